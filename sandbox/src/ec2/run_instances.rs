//! RunInstances, one instance at a time and with AWS's defaults: it shows whether an image
//! launches.
//!
//! | what is missing | what happens |
//! |---|---|
//! | launch permission | `InvalidAMIID.NotFound` |
//! | an image that the type can boot | refused |
//! | the use of a key | accepted; the instance goes from `pending` to `terminated` |
//!
//! Source: EC2 guide, instance terminates immediately; EBS guide, encryption outcomes; aws-facts,
//! KMS.

use std::collections::BTreeMap;

use super::permit::{self, Facts};
use super::{Ask, copy_image, copy_snapshot, instance_types, instances, tags, visibility};
use crate::aws::{Aws, LiveInstance, regional_arn};
use crate::kms::by_ec2;
use crate::model::{Image, Snapshot};
use crate::refusals::{self, Refused};
use crate::rules::ids;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let id = launch(aws, ask)?;
    Ok(instances::reservation(aws, &id))
}

/// Launches an instance and returns its ID.
pub(super) fn launch(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let query = ask.query;
    let image_id = query.required("ImageId")?;
    ids::image(image_id)?;
    for name in ["MinCount", "MaxCount"] {
        query.required(name)?;
        if query.number(name)? != Some(1) {
            return Err(refusals::NOT_IMPLEMENTED.with(&[&format!("{name} other than 1")]));
        }
    }
    let order = Order::read(ask, image_id)?;
    permit_launch(aws, ask, &order)?;
    let profile_arn = permit_profile(aws, ask)?;
    ask.dry_run()?;
    if let Some(id) = already(aws, ask)? {
        return Ok(id);
    }
    let image = launchable(aws, ask, image_id)?;
    instance_types::check(order.instance_type, &image)?;
    exist(aws, ask, &order)?;
    let fails = failure(aws, ask, &image)?;
    Ok(add(aws, ask, image, order, profile_arn, fails))
}

/// Checks whether the caller may launch an instance so.
pub(super) fn permitted(aws: &Aws, ask: Ask<'_>) -> Result<(), Refused> {
    let order = Order::read(ask, ask.query.required("ImageId")?)?;
    permit_launch(aws, ask, &order)?;
    permit_profile(aws, ask).map(drop)
}

type Tags = BTreeMap<String, String>;

/// The checked parameters of a launch.
struct Order<'a> {
    image_id: &'a str,
    instance_type: &'a str,
    subnet_id: Option<&'a str>,
    http_tokens: Option<&'a str>,
    instance_tags: Tags,
    volume_tags: Tags,
    /// Whether volumes go with the instance, by the names of the devices.
    deletions: BTreeMap<String, bool>,
}

/// Resource types of tags that a launch may have besides instances and volumes (model).
const OTHER_TAGGED: &[&str] = &["network-interface", "spot-instances-request", "elastic-gpu"];

impl<'a> Order<'a> {
    fn read(ask: Ask<'a>, image_id: &'a str) -> Result<Self, Refused> {
        let query = ask.query;
        for (name, known) in [
            ("InstanceInitiatedShutdownBehavior", ["stop", "terminate"]),
            ("MetadataOptions.HttpTokens", ["optional", "required"]),
        ] {
            if let Some(given) = query.get(name).filter(|given| !known.contains(given)) {
                return Err(query.bad(name, given));
            }
        }
        for specification in query.structures("TagSpecification") {
            let kind = specification.get("ResourceType").unwrap_or_default();
            if OTHER_TAGGED.contains(&kind) {
                let what = format!("tags of the type {kind} in RunInstances");
                return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
            }
        }
        let mut deletions = BTreeMap::new();
        for mapping in query.structures("BlockDeviceMapping") {
            let device = mapping.required("DeviceName")?.to_owned();
            if let Some(deleted) = mapping.flag("Ebs.DeleteOnTermination")? {
                deletions.insert(device, deleted);
            }
        }
        let mut tags = tags::specified(query, &["instance", "volume"])?;
        Ok(Self {
            deletions,
            image_id,
            instance_type: query.get("InstanceType").unwrap_or(instance_types::DEFAULT),
            subnet_id: query.get("SubnetId"),
            http_tokens: query.get("MetadataOptions.HttpTokens"),
            instance_tags: tags.remove("instance").unwrap_or_default(),
            volume_tags: tags.remove("volume").unwrap_or_default(),
        })
    }

    /// Returns the tags that the launch gives to new resources of this kind.
    fn tags(&self, kind: &str) -> Option<&Tags> {
        let tags = match kind {
            "instance" => &self.instance_tags,
            "volume" => &self.volume_tags,
            _ => return None,
        };
        Some(tags).filter(|tags| !tags.is_empty())
    }
}

/// Checks the permission for every resource of the action (Service Authorization Reference, Amazon
/// EC2), and to tag the new ones. The network is the default one, which has no name here, and so is
/// the subnet if none is named.
fn permit_launch(aws: &Aws, ask: Ask<'_>, order: &Order<'_>) -> Result<(), Refused> {
    let image_id = order.image_id;
    let image = aws.images.get(image_id).map(|image| &image.view);
    let own = image.filter(|image| image.owner_id == ask.account());
    let facts = Facts {
        resource_tags: own.map(|image| &image.tags),
        owner: image.map(|image| image.owner_id.as_str()),
        ..Facts::default()
    };
    permit::action(aws, ask, &permit::image_arn(ask.region(), image_id), &facts)?;
    let arn_of = |kind: &str| {
        let id = order.subnet_id.filter(|_| kind == "subnet").unwrap_or("*");
        regional_arn("ec2", ask.region(), ask.account(), &format!("{kind}/{id}"))
    };
    for kind in [
        "instance",
        "volume",
        "network-interface",
        "security-group",
        "subnet",
    ] {
        let facts = Facts {
            request_tags: order.tags(kind),
            keys: vec![("ec2:instancetype", vec![order.instance_type.to_owned()])],
            ..Facts::default()
        };
        permit::action(aws, ask, &arn_of(kind), &facts)?;
    }
    for kind in ["instance", "volume"] {
        if let Some(tags) = order.tags(kind) {
            permit::tagging(aws, ask, &arn_of(kind), tags)?;
        }
    }
    Ok(())
}

/// Checks the permission to pass the role of the instance profile, and returns the profile's ARN.
/// The role is taken to have the profile's name.
fn permit_profile(aws: &Aws, ask: Ask<'_>) -> Result<Option<String>, Refused> {
    let Some(name) = ask.query.get("IamInstanceProfile.Name") else {
        return Ok(None);
    };
    let account = ask.account();
    let role = aws.role_named(account, name).map(str::to_owned);
    let role = role.unwrap_or_else(|| aws.iam_arn(account, &format!("role/{name}")));
    let service = format!("ec2.{}", aws.partition_of(account).suffix);
    let facts = Facts {
        keys: vec![("iam:passedtoservice", vec![service])],
        ..Facts::default()
    };
    permit::other_action(aws, ask, "iam:PassRole", &role, &facts)?;
    let arn = aws.iam_arn(account, &format!("instance-profile/{name}"));
    Ok(Some(arn))
}

/// Refuses a subnet or an instance profile that cannot exist. Every subnet of the right form is
/// taken to exist, and a profile exists if the role of its name does.
fn exist(aws: &Aws, ask: Ask<'_>, order: &Order<'_>) -> Result<(), Refused> {
    if let Some(id) = order.subnet_id.filter(|id| !ids::is_id("subnet", id)) {
        return Err(refusals::SUBNET_NOT_FOUND.with(&[id]));
    }
    match ask.query.get("IamInstanceProfile.Name") {
        Some(name) if aws.role_named(ask.account(), name).is_none() => {
            Err(refusals::INSTANCE_PROFILE_NOT_FOUND.with(&[name]))
        }
        _ => Ok(()),
    }
}

/// Returns the instance that this token launched, if it was used before.
fn already(aws: &Aws, ask: Ask<'_>) -> Result<Option<String>, Refused> {
    let Some(key) = token(ask) else {
        return Ok(None);
    };
    match aws.instance_tokens.get(&key) {
        Some((asked, id)) if *asked == copy_image::fingerprint(ask) => {
            let launched = aws.instances.get(id).map(|launched| launched.state(aws).1);
            if launched == Some("terminated") {
                return Err(refusals::IDEMPOTENT_INSTANCE_TERMINATED.with(&[]));
            }
            Ok(Some(id.clone()))
        }
        Some(_) => Err(refusals::CLIENT_TOKEN_REUSED.with(&[&key.2])),
        None => Ok(None),
    }
}

fn token(ask: Ask<'_>) -> Option<(String, String, String)> {
    let token = ask.query.owned("ClientToken")?;
    Some((ask.account().to_owned(), ask.region().to_owned(), token))
}

fn launchable(aws: &Aws, ask: Ask<'_>, id: &str) -> Result<Image, Refused> {
    let found = aws.images.get(id).filter(|image| {
        let view = &image.view;
        view.region == ask.region()
            && image.launchable_at <= aws.now
            && visibility::may_launch(aws, view, ask.account())
    });
    let image = &found
        .ok_or_else(|| refusals::IMAGE_NOT_FOUND.with(&[id]))?
        .view;
    if image.state != "available" {
        return Err(refusals::IMAGE_UNAVAILABLE.with(&[id]));
    }
    if image.owner_id != ask.account() && !image.product_codes.is_empty() {
        let what = "launching an image with product codes of another account";
        return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
    }
    Ok(image.clone())
}

/// Returns the reason why the instance will not start, if it will not. Keys are evaluated at the
/// launch; the failure shows later.
fn failure(aws: &mut Aws, ask: Ask<'_>, image: &Image) -> Result<Option<Refused>, Refused> {
    for id in image.snapshot_ids() {
        let snapshot = aws.snapshots.get(&id).map(|snapshot| snapshot.view.clone());
        let snapshot = snapshot.ok_or_else(|| refusals::SNAPSHOT_NOT_FOUND.with(&[&id]))?;
        let Some(key) = &snapshot.kms_key_arn else {
            continue;
        };
        if let Some(no) = unusable(aws, ask, key, &snapshot) {
            return Ok(Some(no));
        }
    }
    Ok(None)
}

fn unusable(aws: &mut Aws, ask: Ask<'_>, key: &str, snapshot: &Snapshot) -> Option<Refused> {
    let own = snapshot.owner_id == ask.account();
    // EBS encrypts a volume of another account's encrypted snapshot anew, under the caller's
    // default key.
    let target = (!own).then(|| copy_snapshot::default_key(aws, ask));
    let keys = [Some(key), target.as_deref()];
    let states = keys.into_iter().flatten().map(|key| aws.keys.get(key));
    if states.flatten().any(|key| key.state != "Enabled") {
        return Some(refusals::LAUNCH_KEY_STATE.with(&[]));
    }
    let caller = &ask.call.caller;
    let reads = by_ec2::may_read(aws, caller, ask.region(), key, snapshot);
    let writes = target.is_none_or(|key| by_ec2::may_write(aws, caller, &key));
    (!reads || !writes).then(|| refusals::LAUNCH_CLIENT_ERROR.with(&[]))
}

fn add(
    aws: &mut Aws,
    ask: Ask<'_>,
    image: Image,
    order: Order<'_>,
    profile_arn: Option<String>,
    fails: Option<Refused>,
) -> String {
    let id = aws.new_resource_id("i");
    let mut volumes = Vec::new();
    for mapping in &image.block_device_mappings {
        let Some(ebs) = &mapping.ebs else { continue };
        let asked = order.deletions.get(&mapping.device_name).copied();
        let deleted = asked.or(ebs.delete_on_termination).unwrap_or(false);
        let volume = aws.new_resource_id("vol");
        volumes.push((mapping.device_name.clone(), volume, deleted));
    }
    let live = LiveInstance {
        id: id.clone(),
        reservation_id: aws.new_resource_id("r"),
        owner: ask.account().to_owned(),
        region: ask.region().to_owned(),
        image,
        instance_type: order.instance_type.to_owned(),
        tags: order.instance_tags,
        subnet_id: order.subnet_id.map(str::to_owned),
        profile_arn,
        http_tokens: order.http_tokens.map(str::to_owned),
        client_token: ask.query.owned("ClientToken"),
        launched_by: ask.call.caller.principal.arn.clone(),
        launched: aws.now,
        visible_at: aws.now + aws.rules.scaled(aws.rules.read_delay),
        fails,
        terminated: None,
        volumes,
    };
    if let Some(key) = token(ask) {
        let asked = copy_image::fingerprint(ask);
        aws.instance_tokens.insert(key, (asked, id.clone()));
    }
    aws.instances.insert(id.clone(), live);
    id
}
