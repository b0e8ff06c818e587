//! DescribeLaunchTemplateVersions.

use super::{find, named, page};
use crate::aws::{Aws, LiveTemplate, LiveTemplateVersion};
use crate::ec2::Ask;
use crate::ec2::filters::Filters;
use crate::ec2::permit::{self, Facts};
use crate::refusals::{self, Refused};
use crate::wire::time;
use crate::wire::xml::Xml;

const FILTERS: &[&str] = &["image-id", "instance-type", "is-default-version"];

pub(in crate::ec2) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = page(aws, ask)?;
    let filters = Filters::read_some(ask.query, FILTERS)?;
    let wanted = ask.query.list("LaunchTemplateVersion");
    let range = range(ask)?;
    if range.is_some() && !wanted.is_empty() {
        let what = "MinVersion and MaxVersion beside LaunchTemplateVersion";
        return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
    }
    let named = named(ask)?;
    if named.is_none() {
        if wanted.is_empty() {
            return Err(refusals::MISSING_PARAMETER.with(&["LaunchTemplateId"]));
        }
        // A number means nothing without a launch template (model).
        let mut numbers = wanted.iter().filter(|version| !version.starts_with('$'));
        if let Some(number) = numbers.next() {
            return Err(ask.query.bad("LaunchTemplateVersion", number));
        }
    }
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    let mut found = Vec::new();
    match named {
        Some(named) => {
            let live = find(aws, ask, &named)?;
            found.extend(versions(ask, live, &wanted)?);
        }
        None => {
            for live in aws.templates_of(ask.account(), ask.region()) {
                found.extend(versions(ask, live, &wanted)?);
            }
        }
    }
    found.retain(|(live, version)| {
        let number = version.view.version;
        range.is_none_or(|(least, most)| (least..=most).contains(&number))
            && filters.admit(Vec::new, |name| facts(live, version, name))
    });
    let (found, token) = page.cut(found);
    let mut xml = Xml::new();
    xml.list("launchTemplateVersionSet", found, |xml, (live, version)| {
        write(xml, live, version);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn range(ask: Ask<'_>) -> Result<Option<(u64, u64)>, Refused> {
    let least = ask.query.number("MinVersion")?.map(u64::from);
    let most = ask.query.number("MaxVersion")?.map(u64::from);
    let given = least.is_some() || most.is_some();
    Ok(given.then(|| (least.unwrap_or(0), most.unwrap_or(u64::MAX))))
}

type Versions<'a> = Vec<(&'a LiveTemplate, &'a LiveTemplateVersion)>;

/// Returns the versions of a launch template that a request names, or all, the newest first.
fn versions<'a>(
    ask: Ask<'_>,
    live: &'a LiveTemplate,
    wanted: &[String],
) -> Result<Versions<'a>, Refused> {
    let mut numbers = Vec::new();
    for version in wanted {
        numbers.push(match version.as_str() {
            "$Latest" => live.latest_version(),
            "$Default" => live.default_version,
            number => {
                let number: Option<u64> = number.parse().ok();
                let number =
                    number.ok_or_else(|| ask.query.bad("LaunchTemplateVersion", version))?;
                existing(live, number)?
            }
        });
    }
    let all = live.versions.iter().rev();
    let found = all.filter(|version| wanted.is_empty() || numbers.contains(&version.view.version));
    Ok(found.map(|version| (live, version)).collect())
}

/// Returns the number, if the launch template has such a version.
pub(super) fn existing(live: &LiveTemplate, number: u64) -> Result<u64, Refused> {
    let missing = || refusals::TEMPLATE_VERSION_NOT_FOUND.with(&[&number.to_string(), &live.id]);
    live.version(number).map(|_| number).ok_or_else(missing)
}

fn facts(live: &LiveTemplate, version: &LiveTemplateVersion, filter: &str) -> Vec<String> {
    let view = &version.view;
    match filter {
        "image-id" => view.image_id.iter().cloned().collect(),
        "instance-type" => view.instance_type.iter().cloned().collect(),
        _ => vec![(view.version == live.default_version).to_string()],
    }
}

pub(super) fn write(xml: &mut Xml, live: &LiveTemplate, version: &LiveTemplateVersion) {
    let view = &version.view;
    xml.text("launchTemplateId", &live.id)
        .text("launchTemplateName", &live.name)
        .text("versionNumber", view.version.to_string())
        .maybe("versionDescription", view.description.as_deref())
        .text("createTime", time::iso_seconds(version.created))
        .text("createdBy", &version.created_by)
        .flag("defaultVersion", view.version == live.default_version);
    xml.element("launchTemplateData", |xml| {
        xml.maybe("imageId", view.image_id.as_deref())
            .maybe("instanceType", view.instance_type.as_deref());
        if view.mappings.is_empty() {
            return;
        }
        xml.list("blockDeviceMappingSet", &view.mappings, |xml, mapping| {
            xml.text("deviceName", &mapping.device_name);
            xml.element("ebs", |xml| {
                xml.maybe("snapshotId", mapping.snapshot_id.as_deref())
                    .maybe("kmsKeyId", mapping.kms_key_id.as_deref());
            });
        });
    });
}
