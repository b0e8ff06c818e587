//! CopySnapshot: refuses a call at once, accepts it and fails the copy later, or starts a copy.
//!
//! Source: aws-facts, EC2 copying. EC2 checks the visibility of the source, its key and the
//! target's key asynchronously. A copy that lacks one of them is accepted and ends in `error`. A
//! world may say that the source and its key are checked at once (unproved).

use std::collections::BTreeMap;
use std::time::Duration;

use super::permit::{self, Facts};
use super::{Ask, presigned, tags, visibility};
use crate::aws::{self, Aws, Copying, LiveSnapshot, Read};
use crate::kms::by_ec2;
use crate::model::Snapshot;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::xml::Xml;

/// The limits of time-based copies in MiB/s, for one snapshot and for a pair of Regions.
const SNAPSHOT_THROUGHPUT: f64 = 500.0;
const REGION_THROUGHPUT: f64 = 2000.0;

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let query = ask.query;
    let source_region = query.required("SourceRegion")?;
    let source_id = query.required("SourceSnapshotId")?;
    ids::snapshot(source_id)?;
    let minutes = minutes(query.get("CompletionDurationMinutes"))?;
    let mut tags = tags::specified(query, &["snapshot"])?;
    let tags = tags.remove("snapshot").unwrap_or_default();
    permit_copy(aws, ask, source_region, source_id, &tags)?;
    ask.dry_run()?;
    if !aws::are_neighbours(source_region, ask.region()) {
        return Err(refusals::COPY_UNKNOWN_REGION.with(&[source_region]));
    }
    if let Some(region) = query
        .get("DestinationRegion")
        .filter(|region| *region != ask.region())
    {
        return Err(refusals::COPY_WRONG_ENDPOINT.with(&[region, ask.region()]));
    }
    let visible = visible(aws, ask, source_region, source_id);
    let readable = visible.is_some();
    if !readable && !aws.rules.facts.late_source_checks {
        return Err(refusals::SNAPSHOT_NOT_FOUND.with(&[source_id]));
    }
    let source = visible.unwrap_or_else(|| unseen(source_region, source_id));
    copyable(&source)?;
    let url = query.get("PresignedUrl").filter(|url| !url.is_empty());
    let needs_url = readable && source.encrypted && !aws.rules.facts.presigned_url_optional;
    if needs_url && url.is_none() {
        return Err(refusals::MISSING_PARAMETER.with(&["PresignedUrl"]));
    }
    let mut plan = Encryption::of_request(aws, ask, &source)?;
    if plan.source_key_unusable && !aws.rules.facts.late_source_checks {
        return Err(refusals::COPY_SOURCE_KEY_REFUSED.with(&[source_id]));
    }
    if !readable {
        plan.fails = Some(refusals::COPY_SOURCE_NOT_FOUND.with(&[]).message);
    }
    within_limits(aws, ask, &source, minutes)?;
    let order = Order {
        source,
        readable,
        description: query.get("Description").unwrap_or_default().to_owned(),
        tags: tags.clone(),
        minutes,
        encryption: plan,
        counted: true,
    };
    let id = start(aws, ask, order);
    let mut xml = Xml::new();
    xml.text("snapshotId", &id);
    tags::write(&mut xml, &tags);
    Ok(xml.finish())
}

/// Checks the permissions. Since 2025 the source is a resource of its own (AWS storage blog,
/// resource-level permissions for copying).
fn permit_copy(
    aws: &Aws,
    ask: Ask<'_>,
    source_region: &str,
    source_id: &str,
    tags: &BTreeMap<String, String>,
) -> Result<(), Refused> {
    let source = aws.snapshots.get(source_id).map(|snapshot| &snapshot.view);
    let own = source.filter(|source| source.owner_id == ask.account());
    let source_facts = Facts {
        resource_tags: own.map(|source| &source.tags),
        owner: source.map(|source| source.owner_id.as_str()),
        ..Facts::default()
    };
    permit::action(
        aws,
        ask,
        &permit::snapshot_arn(source_region, source_id),
        &source_facts,
    )?;
    let new = permit::snapshot_arn(ask.region(), "*");
    let new_facts = Facts {
        request_tags: Some(tags),
        ..Facts::default()
    };
    permit::action(aws, ask, &new, &new_facts)?;
    permit::tagging(aws, ask, &new, tags)
}

fn visible(aws: &Aws, ask: Ask<'_>, region: &str, id: &str) -> Option<Snapshot> {
    let found = aws.snapshots.get(id);
    let visible = found.filter(|source| {
        source.view.region == region
            && visibility::may_restore(aws, &source.view, ask.account())
            && aws.knows_permission(source, ask.account())
    });
    visible.map(|source| source.view.clone())
}

/// Returns a stand-in for a source that the caller cannot see. Only the request is known of its
/// copy.
fn unseen(region: &str, id: &str) -> Snapshot {
    Snapshot::new(region, id, 0).with(|source| source.encrypted = true)
}

fn copyable(source: &Snapshot) -> Result<(), Refused> {
    let id = &source.snapshot_id;
    if source.storage_tier == "archive" {
        return Err(refusals::COPY_ARCHIVED.with(&[id]));
    }
    if source.state != "completed" {
        return Err(refusals::COPY_FROM_NOT_COMPLETED.with(&[id, &source.state]));
    }
    Ok(())
}

pub(super) fn minutes(given: Option<&str>) -> Result<Option<u32>, Refused> {
    let Some(text) = given else { return Ok(None) };
    let minutes = text.parse::<u32>().ok();
    let minutes = minutes.filter(|n| (15..=2880).contains(n) && n.is_multiple_of(15));
    minutes
        .map(Some)
        .ok_or_else(|| refusals::COPY_MINUTES.with(&[text]))
}

fn within_limits(
    aws: &Aws,
    ask: Ask<'_>,
    source: &Snapshot,
    minutes: Option<u32>,
) -> Result<(), Refused> {
    let running = running(aws, ask).filter(|copy| copy.counted).count();
    let limit = aws.rules.limits.concurrent_copies;
    if running >= limit {
        return Err(refusals::COPY_LIMIT.with(&[&limit.to_string()]));
    }
    let Some(minutes) = minutes else {
        return Ok(());
    };
    let needed = mib(source) / (f64::from(minutes) * 60.0);
    if needed > SNAPSHOT_THROUGHPUT {
        let size = mib(source).to_string();
        return Err(refusals::COPY_SNAPSHOT_THROUGHPUT.with(&[&size, &minutes.to_string()]));
    }
    if room(aws, ask, &source.region) < 1.0 {
        return Err(refusals::COPY_REGION_THROUGHPUT.with(&[&source.region, ask.region()]));
    }
    Ok(())
}

/// Returns the copies under way into the caller's account in this Region.
pub(super) fn running<'a>(aws: &'a Aws, ask: Ask<'a>) -> impl Iterator<Item = &'a Copying> {
    aws.copying.to(ask.account(), ask.region())
}

/// Returns the MiB/s that time-based copies have left between two Regions. Where that is less than
/// a copy needs, the copy is slower than asked for.
fn room(aws: &Aws, ask: Ask<'_>, source_region: &str) -> f64 {
    let same = running(aws, ask).filter(|copy| copy.source_region == source_region);
    let reserved: f64 = same.map(|copy| copy.reserved_mib_per_second).sum();
    REGION_THROUGHPUT - reserved
}

/// How long a time-based copy waits: those of one snapshot are made one after another.
fn turn(aws: &Aws, source: &Snapshot) -> Duration {
    let copies = aws.copying.values();
    let same = copies.filter(|copy| {
        copy.source_snapshot_id == source.snapshot_id && copy.reserved_mib_per_second > 0.0
    });
    let ends = same.map(|copy| copy.started + copy.takes).max();
    let wait = ends.and_then(|ends| ends.duration_since(aws.now).ok());
    wait.unwrap_or_default()
}

/// The encryption of a copy, and the reason why it will fail, if it will.
#[derive(Clone, Debug, Default)]
pub(super) struct Encryption {
    /// The key as DescribeSnapshots shows it: an ARN, or the text given for a key that does not
    /// exist.
    pub key: Option<String>,
    pub fails: Option<String>,
    /// Whether the copy fails because the caller cannot use the key of the source.
    pub source_key_unusable: bool,
}

impl Encryption {
    fn of_request(aws: &mut Aws, ask: Ask<'_>, source: &Snapshot) -> Result<Self, Refused> {
        let wanted = ask.query.flag("Encrypted")?;
        let key = ask.query.get("KmsKeyId").filter(|key| !key.is_empty());
        if key.is_some() && (wanted == Some(false) || (wanted.is_none() && !source.encrypted)) {
            return Err(refusals::COPY_KEY_NEEDS_ENCRYPTED.with(&[]));
        }
        if source.encrypted && wanted == Some(false) {
            return Err(refusals::COPY_CANNOT_DECRYPT.with(&[]));
        }
        let url = ask.query.get("PresignedUrl").filter(|url| !url.is_empty());
        let mut plan = Self::of_keys(aws, ask, source, wanted == Some(true), key);
        if let Some(Err(why)) = url.map(|url| presigned::check(aws, ask, url, &source.region)) {
            plan.fails = Some(refusals::COPY_BAD_PRESIGNED_URL.with(&[&why]).message);
        }
        Ok(plan)
    }

    pub(super) fn of_keys(
        aws: &mut Aws,
        ask: Ask<'_>,
        source: &Snapshot,
        wanted: bool,
        key: Option<&str>,
    ) -> Self {
        if !source.encrypted && !wanted && key.is_none() {
            return Self::default();
        }
        let target = match key {
            Some(key) => by_ec2::find(aws, &ask.call.caller, ask.region(), key),
            None => Some(default_key(aws, ask)),
        };
        let caller = &ask.call.caller;
        let source_key = source.kms_key_arn.as_ref();
        let reads =
            source_key.is_none_or(|key| by_ec2::may_read(aws, caller, ask.region(), key, source));
        let writes = target
            .as_ref()
            .is_some_and(|key| by_ec2::may_write(aws, caller, key));
        let no = || refusals::COPY_KEY_NOT_ACCESSIBLE.with(&[]).message;
        Self {
            key: target.or_else(|| key.map(str::to_owned)),
            fails: (!reads || !writes).then(no),
            source_key_unusable: !reads,
        }
    }
}

/// Returns the key that EBS encrypts with in this account and Region when none is named.
pub(super) fn default_key(aws: &mut Aws, ask: Ask<'_>) -> String {
    let chosen = aws.accounts.get(ask.account());
    let chosen = chosen.and_then(|account| account.ebs_default_keys.get(ask.region()).cloned());
    chosen.unwrap_or_else(|| aws::managed_key(aws, ask.account(), ask.region()))
}

/// A copy that was accepted.
pub(super) struct Order {
    pub source: Snapshot,
    /// Whether the caller sees the source.
    pub readable: bool,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub minutes: Option<u32>,
    pub encryption: Encryption,
    pub counted: bool,
}

/// Starts the copy; its snapshot is `pending` from now on.
pub(super) fn start(aws: &mut Aws, ask: Ask<'_>, order: Order) -> String {
    let id = aws.new_resource_id("snap");
    let source = &order.source;
    let reserved = order.minutes.map_or(0.0, |minutes| {
        let needed = mib(source) / (f64::from(minutes) * 60.0);
        needed.min(room(aws, ask, &source.region))
    });
    let takes = takes(aws, source, order.minutes, reserved);
    let failure = order.encryption.fails.clone().map(|message| {
        let start = aws.rules.scaled(aws.rules.copy_start);
        (aws.now + start, message)
    });
    let mut copy = Copying {
        caller: ask.call.caller.clone(),
        region: ask.region().to_owned(),
        readable: order.readable && order.encryption.fails.is_none(),
        source_snapshot_id: source.snapshot_id.clone(),
        source_region: source.region.clone(),
        source_key: source.kms_key_arn.clone(),
        started: aws.now,
        takes,
        fails: failure,
        counted: order.counted,
        reserved_mib_per_second: reserved,
    };
    if let (None, Some((percent, message))) = (&copy.fails, &source.copies_fail_at) {
        copy.fails = Some((copy.moment_of(*percent), message.clone()));
    }
    let live = LiveSnapshot {
        permitted_at: BTreeMap::new(),
        shown: aws.shown_when_created(Read::Snapshots),
        view: view(aws, ask, &id, order),
    };
    aws.copying.insert(id.clone(), copy);
    aws.snapshots.insert(id.clone(), live);
    id
}

fn view(aws: &Aws, ask: Ask<'_>, id: &str, order: Order) -> Snapshot {
    let source = order.source;
    Snapshot {
        owner_id: ask.account().to_owned(),
        // A copy belongs to no volume.
        volume_id: "vol-ffffffff".to_owned(),
        description: order.description,
        state: "pending".to_owned(),
        progress: "0%".to_owned(),
        start_time: aws.now,
        encrypted: order.encryption.key.is_some(),
        kms_key_arn: order.encryption.key,
        tags: order.tags,
        transfer_type: Some(
            order
                .minutes
                .map_or("standard", |_| "time-based")
                .to_owned(),
        ),
        completion_duration_minutes: order.minutes,
        source_snapshot_id: Some(source.snapshot_id.clone()),
        product_codes: source.product_codes.clone(),
        lineage_platform: source.lineage_platform.clone(),
        stored_mib: source.stored_mib,
        encryption_context_id: Some(id.to_owned()),
        ..Snapshot::new(ask.region(), id, source.volume_size)
    }
}

/// Returns the duration of a copy. A time-based copy may be faster than promised. It is slower only
/// where its turn comes later, or the throughput between the Regions is used up.
fn takes(aws: &Aws, source: &Snapshot, minutes: Option<u32>, reserved: f64) -> Duration {
    let seconds = mib(source) / aws.rules.copy_mib_per_second.max(0.001);
    let moving = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_hours(24));
    let usual = aws.rules.copy_start + moving;
    if minutes.is_none() {
        return aws.rules.scaled(usual);
    }
    let promised = Duration::try_from_secs_f64(mib(source) / reserved.max(0.001));
    let promised = promised.unwrap_or(Duration::from_hours(48));
    turn(aws, source) + aws.rules.scaled(promised.min(usual))
}

fn mib(source: &Snapshot) -> f64 {
    let size = source
        .stored_mib
        .unwrap_or(u64::from(source.volume_size) * 1024);
    #[expect(clippy::cast_precision_loss, reason = "a volume has at most 64 TiB")]
    let mib = size as f64;
    mib
}
