//! CopyImage: copies an image and its snapshots into the caller's account, in one call that its
//! token makes repeatable.
//!
//! Source: aws-facts, EC2 copying; model.

use std::collections::BTreeMap;

use super::copy_snapshot::{self, Encryption, Order};
use super::permit::{self, Facts};
use super::{Ask, image_attributes, tags, visibility};
use crate::aws::{self, Aws, LiveImage, LiveSnapshot, Read};
use crate::model::{Image, Snapshot};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::rules::images::check_name;
use crate::wire::xml::Xml;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let query = ask.query;
    let source_region = query.required("SourceRegion")?;
    let source_id = query.required("SourceImageId")?;
    let name = query.required("Name")?;
    ids::image(source_id)?;
    check_name(name)?;
    image_attributes::check_description(query.get("Description").unwrap_or_default())?;
    let tags = tags::specified(query, &["image", "snapshot"])?;
    let none = BTreeMap::new();
    let (image_tags, snapshot_tags) = (
        tags.get("image").unwrap_or(&none),
        tags.get("snapshot").unwrap_or(&none),
    );
    permit_copy(
        aws,
        ask,
        source_region,
        source_id,
        image_tags,
        snapshot_tags,
    )?;
    ask.dry_run()?;
    if !aws::are_neighbours(source_region, ask.region()) {
        return Err(refusals::COPY_UNKNOWN_REGION.with(&[source_region]));
    }
    if let Some(image_id) = already(aws, ask)? {
        return Ok(answer(&image_id));
    }
    let source = copyable(aws, ask, source_region, source_id)?;
    let snapshots = readable_snapshots(aws, ask, &source)?;
    let foreign = source.owner_id != ask.account();
    let encrypted = snapshots.iter().any(|snapshot| snapshot.encrypted);
    if foreign && encrypted && !aws.rules.facts.image_copies_across_accounts {
        return Err(refusals::COPY_IMAGE_STORAGE.with(&[]));
    }
    let limit = aws.rules.limits.concurrent_image_copies;
    if running(aws, ask) >= limit {
        return Err(refusals::COPY_IMAGE_LIMIT.with(&[&limit.to_string()]));
    }
    let copies = copy_snapshots(aws, ask, source_id, snapshots, snapshot_tags)?;
    let id = add(aws, ask, &source, image_tags, &copies)?;
    if let Some(token) = query.owned("ClientToken") {
        let key = (ask.account().to_owned(), ask.region().to_owned(), token);
        aws.image_tokens.insert(key, (fingerprint(ask), id.clone()));
    }
    Ok(answer(&id))
}

/// Starts the copies and returns the new snapshots by the IDs of their sources.
fn copy_snapshots(
    aws: &mut Aws,
    ask: Ask<'_>,
    source_id: &str,
    snapshots: Vec<Snapshot>,
    tags: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, Refused> {
    let wanted = ask.query.flag("Encrypted")?;
    let key = ask.query.get("KmsKeyId").filter(|key| !key.is_empty());
    if key.is_some() && wanted == Some(false) {
        return Err(refusals::COPY_KEY_NEEDS_ENCRYPTED.with(&[]));
    }
    let minutes = copy_snapshot::minutes(ask.query.get("SnapshotCopyCompletionDurationMinutes"))?;
    let mut copies = BTreeMap::new();
    for snapshot in snapshots {
        let encryption = Encryption::of_keys(aws, ask, &snapshot, wanted == Some(true), key);
        let from = snapshot.snapshot_id.clone();
        let order = Order {
            description: format!("Copied for DestinationAmi from SourceAmi {source_id}"),
            source: snapshot,
            readable: true,
            tags: tags.clone(),
            minutes,
            encryption,
            counted: false,
        };
        copies.insert(from, copy_snapshot::start(aws, ask, order));
    }
    Ok(copies)
}

fn answer(image_id: &str) -> String {
    let mut xml = Xml::new();
    xml.text("imageId", image_id);
    xml.finish()
}

fn permit_copy(
    aws: &Aws,
    ask: Ask<'_>,
    source_region: &str,
    source_id: &str,
    image_tags: &BTreeMap<String, String>,
    snapshot_tags: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let source = aws.images.get(source_id).map(|image| &image.view);
    let own = source.filter(|source| source.owner_id == ask.account());
    let source_facts = Facts {
        resource_tags: own.map(|source| &source.tags),
        owner: source.map(|source| source.owner_id.as_str()),
        ..Facts::default()
    };
    permit::action(
        aws,
        ask,
        &permit::image_arn(source_region, source_id),
        &source_facts,
    )?;
    let image = permit::image_arn(ask.region(), "*");
    let image_facts = Facts {
        request_tags: Some(image_tags),
        ..Facts::default()
    };
    permit::action(aws, ask, &image, &image_facts)?;
    permit::tagging(aws, ask, &image, image_tags)?;
    permit::tagging(
        aws,
        ask,
        &permit::snapshot_arn(ask.region(), "*"),
        snapshot_tags,
    )
}

/// Returns the image that this token created, if it was used before.
fn already(aws: &Aws, ask: Ask<'_>) -> Result<Option<String>, Refused> {
    let Some(token) = ask.query.owned("ClientToken") else {
        return Ok(None);
    };
    let key = (ask.account().to_owned(), ask.region().to_owned(), token);
    match aws.image_tokens.get(&key) {
        Some((asked, id)) if *asked == fingerprint(ask) => Ok(Some(id.clone())),
        Some(_) => Err(refusals::CLIENT_TOKEN_REUSED.with(&[&key.2])),
        None => Ok(None),
    }
}

/// Returns all parameters of the call except the token, as one text.
pub(super) fn fingerprint(ask: Ask<'_>) -> String {
    let params = ask
        .query
        .params()
        .iter()
        .filter(|(name, _)| *name != "ClientToken");
    params
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn copyable(aws: &Aws, ask: Ask<'_>, region: &str, id: &str) -> Result<Image, Refused> {
    let found = aws.images.get(id).map(|image| &image.view);
    let visible = found.filter(|image| {
        image.region == region && visibility::may_launch(aws, image, ask.account())
    });
    let source = visible.ok_or_else(|| refusals::IMAGE_NOT_FOUND.with(&[id]))?;
    if source.state != "available" {
        return Err(refusals::IMAGE_NOT_AVAILABLE.with(&[id, &source.state]));
    }
    if source.owner_id != ask.account() && !source.product_codes.is_empty() {
        return Err(refusals::COPY_IMAGE_MARKETPLACE.with(&[]));
    }
    let billed = source.usage_operation != "RunInstances";
    let refuses = !aws.rules.facts.billed_images_across_accounts;
    if source.owner_id != ask.account() && billed && refuses {
        return Err(refusals::COPY_IMAGE_BILLING.with(&[]));
    }
    Ok(source.clone())
}

fn readable_snapshots(aws: &Aws, ask: Ask<'_>, source: &Image) -> Result<Vec<Snapshot>, Refused> {
    let each = source.snapshot_ids().into_iter().map(|id| {
        let snapshot = aws.snapshots.get(&id).map(|snapshot| snapshot.view.clone());
        let known = |live: &&LiveSnapshot| aws.knows_permission(live, ask.account());
        let known = aws.snapshots.get(&id).as_ref().is_some_and(known);
        let readable = snapshot.filter(|s| known && visibility::may_restore(aws, s, ask.account()));
        readable.ok_or_else(|| refusals::COPY_IMAGE_STORAGE.with(&[]))
    });
    each.collect()
}

/// Counts the image copies under way into the caller's account in this Region.
fn running(aws: &Aws, ask: Ask<'_>) -> usize {
    let pending = aws.images.values().filter(|image| {
        let view = &image.view;
        !image.waits_for.is_empty() && view.owner_id == ask.account() && view.region == ask.region()
    });
    pending.count()
}

fn add(
    aws: &mut Aws,
    ask: Ask<'_>,
    source: &Image,
    tags: &BTreeMap<String, String>,
    copies: &BTreeMap<String, String>,
) -> Result<String, Refused> {
    let query = ask.query;
    let id = aws.new_resource_id("ami");
    let mut all_tags = BTreeMap::new();
    if query.flag("CopyImageTags")? == Some(true) && source.owner_id == ask.account() {
        all_tags.extend(source.tags.clone());
    }
    all_tags.extend(tags.clone());
    let mut view = Image {
        image_id: id.clone(),
        owner_id: ask.account().to_owned(),
        region: ask.region().to_owned(),
        name: query.get("Name").unwrap_or_default().to_owned(),
        description: query
            .owned("Description")
            .or_else(|| source.description.clone()),
        state: "pending".to_owned(),
        creation_date: aws.now,
        tags: all_tags,
        launch_permissions: std::collections::BTreeSet::new(),
        public: false,
        deprecation_time: None,
        deregistration_protection: None,
        source_image_id: Some(source.image_id.clone()),
        source_image_region: Some(source.region.clone()),
        ..source.clone()
    };
    for ebs in view
        .block_device_mappings
        .iter_mut()
        .filter_map(|mapping| mapping.ebs.as_mut())
    {
        let copy = ebs.snapshot_id.as_ref().and_then(|from| copies.get(from));
        if let Some(copy) = copy {
            ebs.encrypted = aws.snapshots.get(copy).is_some_and(|s| s.view.encrypted);
            ebs.snapshot_id = Some(copy.clone());
        }
    }
    let live = LiveImage {
        shown: aws.shown_when_created(Read::Images),
        launchable_at: aws.now + aws.rules.scaled(aws.rules.read_delay),
        available_at: aws.now,
        protected_until: aws.now,
        waits_for: copies.values().cloned().collect(),
        view,
    };
    aws.put_image(live);
    Ok(id)
}
