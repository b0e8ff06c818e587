//! LockSnapshot, UnlockSnapshot and DescribeLockedSnapshots.
//!
//! Source: model; EBS guide, snapshot lock; Service Authorization Reference, Amazon EC2. Unproved
//! is that a change of a lock keeps the time from which it lasts.

use super::Ask;
use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::snapshot_attributes::owned;
use crate::aws::{Aws, LiveLock};
use crate::model::Snapshot;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

const LONGEST_DAYS: u32 = 36_500;
const LONGEST_COOL_OFF_HOURS: u32 = 72;

pub(super) fn lock(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let mode = ask.query.required("LockMode")?;
    if !matches!(mode, "governance" | "compliance") {
        return Err(ask.query.bad("LockMode", mode));
    }
    let days = number(ask, "LockDuration", LONGEST_DAYS)?;
    let days = days.ok_or_else(|| refusals::MISSING_PARAMETER.with(&["LockDuration"]))?;
    let cool_off_hours = number(ask, "CoolOffPeriod", LONGEST_COOL_OFF_HOURS)?;
    let compliance = mode == "compliance";
    if cool_off_hours.is_some() && !compliance {
        return Err(refusals::LOCK_COOL_OFF.with(&[]));
    }
    let mut keys = vec![("ec2:snapshotlockduration", vec![days.to_string()])];
    keys.extend(cool_off_hours.map(|n| ("ec2:snapshotcooloffperiod", vec![n.to_string()])));
    let facts = Facts {
        keys,
        ..Facts::default()
    };
    let snapshot = owned(aws, ask, facts)?;
    ask.dry_run()?;
    let id = &snapshot.snapshot_id;
    if snapshot.state != "completed" {
        let what = "the lock of a snapshot that is not completed";
        return Err(refusals::NOT_IMPLEMENTED.with(&[what]));
    }
    let former = aws.lock_in_force(id);
    if former.is_some_and(|lock| lock.state(aws) == "compliance") {
        if cool_off_hours.is_some() {
            return Err(refusals::LOCK_COOL_OFF.with(&[]));
        }
        if !compliance || former.is_some_and(|lock| days < lock.days) {
            return Err(refusals::LOCK_COMPLIANCE.with(&[id]));
        }
    }
    let lock = LiveLock {
        compliance,
        days,
        cool_off_hours,
        created: former.map_or(aws.now, |lock| lock.created),
    };
    let mut xml = Xml::new();
    write(&mut xml, aws, id, &lock);
    aws.locks.insert(id.clone(), lock);
    Ok(xml.finish())
}

fn number(ask: Ask<'_>, name: &str, most: u32) -> Result<Option<u32>, Refused> {
    let given = ask.query.number(name)?;
    if let Some(n) = given.filter(|n| !(1..=most).contains(n)) {
        return Err(ask.query.bad(name, &n.to_string()));
    }
    Ok(given)
}

pub(super) fn unlock(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let snapshot = owned(aws, ask, Facts::default())?;
    ask.dry_run()?;
    let id = &snapshot.snapshot_id;
    match aws.lock_in_force(id).map(|lock| lock.state(aws)) {
        None => return Err(refusals::SNAPSHOT_NOT_LOCKED.with(&[id])),
        Some("compliance") => return Err(refusals::LOCK_COMPLIANCE.with(&[id])),
        Some(_) => aws.locks.remove(id),
    };
    let mut xml = Xml::new();
    xml.text("snapshotId", id);
    Ok(xml.finish())
}

/// Describes the locks of the account's snapshots, expired ones too.
pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "", 5)?;
    let filters = Filters::read(ask.query, |name| name == "lock-state")?;
    let wanted = ask.query.list("SnapshotId");
    wanted.iter().try_for_each(|id| ids::snapshot(id))?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    for id in &wanted {
        own(aws, ask, id).ok_or_else(|| refusals::SNAPSHOT_NOT_FOUND.with(&[id]))?;
    }
    let found = aws.locks.iter().filter(|(id, lock)| {
        (wanted.is_empty() || wanted.contains(id))
            && own(aws, ask, id).is_some()
            && filters.admit(Vec::new, |_| vec![lock.state(aws).to_owned()])
    });
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("snapshotSet", found, |xml, (id, lock)| {
        xml.text("ownerId", ask.account());
        write(xml, aws, id, lock);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn own<'a>(aws: &'a Aws, ask: Ask<'_>, id: &str) -> Option<&'a Snapshot> {
    let found = aws.snapshots.get(id).map(|live| &live.view);
    found.filter(|found| found.owner_id == ask.account() && found.region == ask.region())
}

fn write(xml: &mut Xml, aws: &Aws, id: &str, lock: &LiveLock) {
    xml.text("snapshotId", id)
        .text("lockState", lock.state(aws))
        .number("lockDuration", lock.days);
    if let Some(hours) = lock.cool_off_hours {
        xml.number("coolOffPeriod", hours);
    }
    let cools_until = lock.cools_until(aws).map(time::iso);
    xml.maybe("coolOffPeriodExpiresOn", cools_until.as_deref())
        .text("lockCreatedOn", time::iso(lock.created))
        .text("lockDurationStartTime", time::iso(lock.created))
        .text("lockExpiresOn", time::iso(lock.expires(aws)));
}
