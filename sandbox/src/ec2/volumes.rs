//! CreateVolume, DescribeVolumes and DeleteVolume: empty volumes, which no instance uses.
//!
//! The key of a volume is checked asynchronously: a volume whose key cannot be used is accepted and
//! ends in `error`. AWS does not document how long it stays there. Source: model.

use std::collections::BTreeMap;

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, RETURN_TRUE, copy_image, copy_snapshot, tags};
use crate::aws::Aws;
use crate::kms::by_ec2;
use crate::model::Volume;
use crate::refusals::{self, Refused};
use crate::rules::{ids, zones};
use crate::wire::time;
use crate::wire::xml::Xml;

/// The least `MaxResults` (model).
const LEAST_RESULTS: usize = 5;
/// The volume types that the sandbox models, with their largest size in GiB (model, Size).
const TYPES: [(&str, u32); 2] = [("gp2", 16_384), ("gp3", 65_536)];
const OTHER_TYPES: [&str; 5] = ["standard", "io1", "io2", "sc1", "st1"];

/// The request of a CreateVolume call.
struct Wish<'a> {
    zone: &'a str,
    size: u32,
    kind: &'static str,
    encrypted: bool,
    key: Option<&'a str>,
    tags: BTreeMap<String, String>,
}

pub(super) fn create(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let wish = read(ask)?;
    permit_creation(aws, ask, &wish)?;
    ask.dry_run()?;
    if let Some(id) = already(aws, ask)? {
        let known = aws.volumes.get(&id).cloned();
        let known = known.ok_or_else(|| refusals::VOLUME_NOT_FOUND.with(&[&id]))?;
        return Ok(answer(&known));
    }
    if zones::id_of(ask.region(), wish.zone).is_none() {
        return Err(refusals::VOLUME_ZONE.with(&[wish.zone]));
    }
    let (key, usable) = encryption(aws, ask, &wish);
    let volume = Volume {
        volume_id: aws.new_resource_id("vol"),
        owner_id: ask.account().to_owned(),
        region: ask.region().to_owned(),
        availability_zone: wish.zone.to_owned(),
        size: wish.size,
        volume_type: wish.kind.to_owned(),
        state: if usable { "available" } else { "error" }.to_owned(),
        encrypted: wish.encrypted,
        kms_key_arn: key,
        tags: wish.tags,
        create_time: aws.now,
    };
    let id = volume.volume_id.clone();
    if let Some(token) = ask.query.owned("ClientToken") {
        let key = (ask.account().to_owned(), ask.region().to_owned(), token);
        let made = (copy_image::fingerprint(ask), id.clone());
        aws.volume_tokens.insert(key, made);
    }
    // The answer precedes the check of the key.
    let answer = answer(&Volume {
        state: "creating".to_owned(),
        ..volume.clone()
    });
    aws.volumes.insert(id, volume);
    Ok(answer)
}

fn read(ask: Ask<'_>) -> Result<Wish<'_>, Refused> {
    let query = ask.query;
    let zone = query.required("AvailabilityZone")?;
    query.required("Size")?;
    let size = query.number("Size")?.unwrap_or_default();
    // The default is AWS's own (model).
    let given = query.get("VolumeType").unwrap_or("gp2");
    if OTHER_TYPES.contains(&given) {
        return Err(refusals::NOT_IMPLEMENTED.with(&[&format!("volumes of type {given}")]));
    }
    let known = TYPES.iter().find(|(kind, _)| *kind == given);
    let (kind, most) = known.ok_or_else(|| query.bad("VolumeType", given))?;
    if !(1..=*most).contains(&size) {
        let no = &refusals::VOLUME_SIZE;
        return Err(no.with(&[&size.to_string(), kind, &most.to_string()]));
    }
    let encrypted = query.flag("Encrypted")?.unwrap_or(false);
    let key = query.get("KmsKeyId").filter(|key| !key.is_empty());
    if key.is_some() && !encrypted {
        return Err(refusals::VOLUME_KEY_NEEDS_ENCRYPTED.with(&[]));
    }
    let mut tags = tags::specified(query, &["volume"])?;
    Ok(Wish {
        zone,
        size,
        kind,
        encrypted,
        key,
        tags: tags.remove("volume").unwrap_or_default(),
    })
}

fn permit_creation(aws: &Aws, ask: Ask<'_>, wish: &Wish<'_>) -> Result<(), Refused> {
    let new = permit::volume_arn(ask, "*");
    let facts = Facts {
        request_tags: Some(&wish.tags),
        keys: vec![
            ("ec2:availabilityzone", vec![wish.zone.to_owned()]),
            ("ec2:encrypted", vec![wish.encrypted.to_string()]),
            ("ec2:volumesize", vec![wish.size.to_string()]),
            ("ec2:volumetype", vec![wish.kind.to_owned()]),
        ],
        ..Facts::default()
    };
    permit::action(aws, ask, &new, &facts)?;
    permit::tagging(aws, ask, &new, &wish.tags)
}

/// Returns the volume that this token created, if it was used before.
fn already(aws: &Aws, ask: Ask<'_>) -> Result<Option<String>, Refused> {
    let Some(token) = ask.query.owned("ClientToken") else {
        return Ok(None);
    };
    let key = (ask.account().to_owned(), ask.region().to_owned(), token);
    match aws.volume_tokens.get(&key) {
        Some((asked, id)) if *asked == copy_image::fingerprint(ask) => Ok(Some(id.clone())),
        Some(_) => Err(refusals::CLIENT_TOKEN_REUSED.with(&[&key.2])),
        None => Ok(None),
    }
}

/// Returns the key of the new volume as describe calls show it, and whether the caller may encrypt
/// a volume under it.
fn encryption(aws: &mut Aws, ask: Ask<'_>, wish: &Wish<'_>) -> (Option<String>, bool) {
    if !wish.encrypted {
        return (None, true);
    }
    let caller = &ask.call.caller;
    let found = match wish.key {
        Some(key) => by_ec2::find(aws, caller, ask.region(), key),
        None => Some(copy_snapshot::default_key(aws, ask)),
    };
    let usable = found
        .as_ref()
        .is_some_and(|key| by_ec2::may_write(aws, caller, key));
    (found.or_else(|| wish.key.map(str::to_owned)), usable)
}

pub(super) fn describe(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "VolumeId", LEAST_RESULTS)?;
    let filters = Filters::read_some(ask.query, &[])?;
    let wanted = ask.query.list("VolumeId");
    wanted.iter().try_for_each(|id| ids::volume(id))?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    if let Some(id) = wanted.iter().find(|id| own(aws, ask, id).is_none()) {
        return Err(refusals::VOLUME_NOT_FOUND.with(&[id]));
    }
    let all = aws.volumes.keys().filter_map(|id| own(aws, ask, id));
    let found = all.filter(|volume| {
        let tags = volume.tags.iter();
        let tags: Vec<(&str, &str)> = tags.map(|(k, v)| (k.as_str(), v.as_str())).collect();
        (wanted.is_empty() || wanted.contains(&volume.volume_id))
            && filters.admit(|| tags.clone(), |_| Vec::new())
    });
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("volumeSet", found, write);
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

pub(super) fn delete(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let id = ask.query.required("VolumeId")?;
    ids::volume(id)?;
    let found = own(aws, ask, id);
    permit::action(aws, ask, &permit::volume_arn(ask, id), &facts(found))?;
    ask.dry_run()?;
    found.ok_or_else(|| refusals::VOLUME_NOT_FOUND.with(&[id]))?;
    aws.volumes.remove(id);
    Ok(RETURN_TRUE.to_owned())
}

/// Returns the volume, if it belongs to the caller's account in this Region.
pub(super) fn own<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Option<&'a Volume> {
    let found = aws.volumes.get(id);
    found.filter(|volume| volume.owner_id == ask.account() && volume.region == ask.region())
}

/// Returns the condition keys of a volume that exists.
pub(super) fn facts(volume: Option<&Volume>) -> Facts<'_> {
    let keys = volume.map(|volume| {
        vec![
            (
                "ec2:availabilityzone",
                vec![volume.availability_zone.clone()],
            ),
            ("ec2:encrypted", vec![volume.encrypted.to_string()]),
            ("ec2:volumeid", vec![volume.volume_id.clone()]),
            ("ec2:volumesize", vec![volume.size.to_string()]),
            ("ec2:volumetype", vec![volume.volume_type.clone()]),
        ]
    });
    Facts {
        resource_tags: volume.map(|volume| &volume.tags),
        keys: keys.unwrap_or_default(),
        ..Facts::default()
    }
}

fn answer(volume: &Volume) -> String {
    let mut xml = Xml::new();
    write(&mut xml, volume);
    xml.finish()
}

fn write(xml: &mut Xml, volume: &Volume) {
    xml.text("volumeId", &volume.volume_id)
        .number("size", volume.size)
        .text("snapshotId", "")
        .text("availabilityZone", &volume.availability_zone)
        .text("status", &volume.state)
        .text("createTime", time::iso(volume.create_time))
        .text("volumeType", &volume.volume_type)
        .flag("encrypted", volume.encrypted)
        .maybe("kmsKeyId", volume.kms_key_arn.as_deref())
        .flag("multiAttachEnabled", false);
    tags::write(xml, &volume.tags);
}
