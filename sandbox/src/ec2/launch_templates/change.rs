//! CreateLaunchTemplate, DeleteLaunchTemplate, CreateLaunchTemplateVersion and
//! ModifyLaunchTemplate.

use std::collections::BTreeMap;

use super::versions::{self, existing};
use super::{Named, find, permitted, write};
use crate::aws::{Aws, LiveTemplate, LiveTemplateVersion, regional_arn};
use crate::ec2::permit::{self, Facts};
use crate::ec2::{Ask, copy_image, tags};
use crate::model::{LaunchTemplateMapping, LaunchTemplateVersion};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::xml::Xml;

pub(in crate::ec2) fn create_version(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let data = ask.query.structure("LaunchTemplateData");
    let data = data.ok_or_else(|| refusals::MISSING_PARAMETER.with(&["LaunchTemplateData"]))?;
    let source = number(ask, "SourceVersion")?;
    let live = permitted(aws, ask)?;
    let id = live.id.clone();
    let number = if let Some(number) = already(aws, ask)? {
        number
    } else {
        let source = source.map(|number| existing(live, number)).transpose()?;
        let source = source.and_then(|number| live.version(number));
        let view = LaunchTemplateVersion {
            version: live.latest_version() + 1,
            description: ask.query.owned("VersionDescription"),
            ..made(&data, source.map(|version| &version.view))?
        };
        add(aws, ask, &id, view, data.params().clone())
    };
    let mut xml = Xml::new();
    if let Some(live) = aws.templates.get(&id) {
        xml.element("launchTemplateVersion", |xml| {
            if let Some(version) = live.version(number) {
                versions::write(xml, live, version);
            }
        });
    }
    Ok(xml.finish())
}

pub(in crate::ec2) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let name = ask.query.required("LaunchTemplateName")?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"().-/_".contains(&b);
    if !(3..=128).contains(&name.len()) || !name.bytes().all(plain) {
        return Err(refusals::TEMPLATE_NAME_MALFORMED.with(&[]));
    }
    let data = ask.query.structure("LaunchTemplateData");
    let data = data.ok_or_else(|| refusals::MISSING_PARAMETER.with(&["LaunchTemplateData"]))?;
    let tags = tags::specified(ask.query, &["launch-template"])?.remove("launch-template");
    let tags = tags.unwrap_or_default();
    let arn = regional_arn("ec2", ask.region(), ask.account(), "launch-template/*");
    let facts = Facts {
        request_tags: Some(&tags),
        ..Facts::default()
    };
    permit::action(aws, ask, &arn, &facts)?;
    permit::tagging(aws, ask, &arn, &tags)?;
    ask.dry_run()?;
    let there = find(aws, ask, &Named::Name(name)).ok();
    if already(aws, ask)?.is_some()
        && let Some(there) = there
    {
        let mut xml = Xml::new();
        xml.element("launchTemplate", |xml| write(xml, there));
        return Ok(xml.finish());
    }
    if there.is_some() {
        return Err(refusals::TEMPLATE_NAME_TAKEN.with(&[]));
    }
    let version = LiveTemplateVersion {
        view: LaunchTemplateVersion {
            version: 1,
            ..made(&data, None)?
        },
        data: data.params().clone(),
        created: aws.now,
        created_by: ask.call.caller.principal.arn.clone(),
    };
    keep_token(aws, ask, 1);
    let live = LiveTemplate {
        id: aws.new_resource_id("lt"),
        name: name.to_owned(),
        account: ask.account().to_owned(),
        region: ask.region().to_owned(),
        tags,
        created: version.created,
        created_by: version.created_by.clone(),
        default_version: 1,
        versions: vec![version],
    };
    let mut xml = Xml::new();
    xml.element("launchTemplate", |xml| write(xml, &live));
    aws.templates.insert(live.id.clone(), live);
    Ok(xml.finish())
}

pub(in crate::ec2) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let id = permitted(aws, ask)?.id.clone();
    let mut xml = Xml::new();
    if let Some(live) = aws.templates.remove(&id) {
        xml.element("launchTemplate", |xml| write(xml, &live));
    }
    Ok(xml.finish())
}

pub(in crate::ec2) fn modify(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let number = number(ask, "SetDefaultVersion")?;
    let live = permitted(aws, ask)?;
    let id = live.id.clone();
    if already(aws, ask)?.is_none() {
        let missing = || refusals::MISSING_PARAMETER.with(&["SetDefaultVersion"]);
        let number = existing(live, number.ok_or_else(missing)?)?;
        keep_token(aws, ask, number);
        if let Some(live) = aws.templates.get_mut(&id) {
            live.default_version = number;
        }
    }
    let mut xml = Xml::new();
    if let Some(live) = aws.templates.get(&id) {
        xml.element("launchTemplate", |xml| write(xml, live));
    }
    Ok(xml.finish())
}

/// Returns the number of a version. The model promises numbers only.
fn number(ask: Ask<'_>, name: &str) -> Result<Option<u64>, Refused> {
    if let Some(alias) = ask.query.get(name).filter(|given| given.starts_with('$')) {
        return Err(refusals::NOT_IMPLEMENTED.with(&[&format!("{name} {alias}")]));
    }
    Ok(ask.query.number(name)?.map(u64::from))
}

/// Returns a version of these data. Data that are not given come from the source; snapshots do not
/// (model, SourceVersion).
fn made(
    data: &Query,
    source: Option<&LaunchTemplateVersion>,
) -> Result<LaunchTemplateVersion, Refused> {
    let mut mappings = Vec::new();
    for given in data.structures("BlockDeviceMapping") {
        mappings.push(LaunchTemplateMapping {
            device_name: given.required("DeviceName")?.to_owned(),
            snapshot_id: given.owned("Ebs.SnapshotId"),
            kms_key_id: given.owned("Ebs.KmsKeyId"),
        });
    }
    if mappings.is_empty() {
        let inherited = source.into_iter().flat_map(|source| &source.mappings);
        mappings.extend(inherited.map(|mapping| LaunchTemplateMapping {
            snapshot_id: None,
            ..mapping.clone()
        }));
    }
    let image = source.and_then(|source| source.image_id.clone());
    let kind = source.and_then(|source| source.instance_type.clone());
    Ok(LaunchTemplateVersion {
        version: 0,
        description: None,
        source_version: source.map(|source| source.version),
        image_id: data.owned("ImageId").or(image),
        instance_type: data.owned("InstanceType").or(kind),
        mappings,
    })
}

fn add(
    aws: &mut Aws,
    ask: Ask<'_>,
    id: &str,
    view: LaunchTemplateVersion,
    data: BTreeMap<String, String>,
) -> u64 {
    let number = view.version;
    keep_token(aws, ask, number);
    let version = LiveTemplateVersion {
        view,
        data,
        created: aws.now,
        created_by: ask.call.caller.principal.arn.clone(),
    };
    if let Some(live) = aws.templates.get_mut(id) {
        live.versions.push(version);
    }
    number
}

type Token = (String, String, String, String);

/// Returns the number of the version that this token made or set, if it was used before.
fn already(aws: &Aws, ask: Ask<'_>) -> Result<Option<u64>, Refused> {
    let Some(key) = token(ask) else {
        return Ok(None);
    };
    match aws.template_tokens.get(&key) {
        Some((asked, number)) if *asked == copy_image::fingerprint(ask) => Ok(Some(*number)),
        Some(_) => Err(refusals::CLIENT_TOKEN_REUSED.with(&[&key.3])),
        None => Ok(None),
    }
}

fn keep_token(aws: &mut Aws, ask: Ask<'_>, number: u64) {
    if let Some(key) = token(ask) {
        let asked = copy_image::fingerprint(ask);
        aws.template_tokens.insert(key, (asked, number));
    }
}

fn token(ask: Ask<'_>) -> Option<Token> {
    let token = ask.query.owned("ClientToken")?;
    let (account, region) = (ask.account().to_owned(), ask.region().to_owned());
    Some((account, region, ask.operation.to_owned(), token))
}
