//! The promises that hold after every schedule, checked against the world itself.

use std::collections::BTreeSet;

use amiferry_sandbox::{Image, Sandbox, Snapshot};
use serde_json::Value;

use super::hands::{FOREIGN_IMAGE, FOREIGN_SNAPSHOT, GUEST, Hand};
use super::schedule::Schedule;
use crate::staging::regions::{AWAY, staging_key};
use crate::support::*;

/// The state of the source before the schedule.
pub struct Before {
    permitted: Vec<BTreeSet<String>>,
    key_policy: Option<Value>,
}

impl Before {
    pub fn of(sandbox: &Sandbox) -> Self {
        let snapshots = sandbox.snapshots(SOURCE, HOME).into_iter();
        Self {
            permitted: snapshots
                .map(|s| s.create_volume_permissions.into_iter().collect())
                .collect(),
            key_policy: sandbox.key_policy(SOURCE_KEY),
        }
    }
}

macro_rules! promise {
    ($holds:expr, $($said:tt)*) => {
        if !$holds {
            return Err(format!($($said)*));
        }
    };
}

pub fn check(
    sandbox: &Sandbox,
    schedule: &Schedule,
    before: &Before,
    replies: &[Value],
) -> Result<(), String> {
    for reply in replies {
        described(schedule, reply)?;
    }
    for place in FOUR {
        target_is_sound(sandbox, schedule, place, replies)?;
    }
    source_is_as_before(sandbox, schedule, before, replies)?;
    nothing_is_public(sandbox)
}

/// Checks that every target has an end, and every failure its reason and remedy.
fn described(schedule: &Schedule, reply: &Value) -> Result<(), String> {
    let status = reply["Status"].as_str().unwrap_or_default();
    if schedule.must_succeed() {
        promise!(status == "Succeeded", "little befell it, and yet {reply}");
    }
    let targets = reply["Result"]["Targets"].as_array().into_iter().flatten();
    for target in targets {
        let failed = target["Status"] != "Succeeded";
        let said = |key: &str| target[key].as_str().is_some_and(|text| text.len() > 10);
        promise!(
            !failed || said("Reason") && said("Remedy"),
            "a failure without its reason: {target}"
        );
    }
    let text = reply.to_string();
    for secret in ["AKIA", "ASIA", "producer-secret"] {
        promise!(!text.contains(secret), "{secret} in a reply");
    }
    Ok(())
}

fn stuck_about<'a>(replies: &'a [Value], account: &'a str) -> impl Iterator<Item = &'a Value> {
    let lists = replies
        .iter()
        .filter_map(|reply| reply["Result"]["Stuck"].as_array());
    lists
        .flatten()
        .filter(move |left| left["AccountId"] == account)
}

/// Checks that a target has one whole image and nothing beside it, or nothing at all. Otherwise the
/// reply must list what is left behind with its commands.
fn target_is_sound(
    sandbox: &Sandbox,
    schedule: &Schedule,
    place: Place,
    replies: &[Value],
) -> Result<(), String> {
    let (account, region) = place;
    let (images, snapshots) = without_the_foreign(sandbox, schedule, place)?;
    if schedule.wants.share {
        promise!(
            images.is_empty() && snapshots.is_empty(),
            "{place:?}: a share made something"
        );
        return Ok(());
    }
    let used: BTreeSet<String> = images.iter().flat_map(Image::snapshot_ids).collect();
    let there: BTreeSet<String> = snapshots.iter().map(|s| s.snapshot_id.clone()).collect();
    let is_stuck = stuck_about(replies, account).any(|left| left["Region"] == region);
    // EC2 refuses the second name of RegisterImage, and of CopyImage none.
    promise!(
        images.len() <= 1 || (schedule.wants.image && is_stuck),
        "{place:?} has {} images",
        images.len()
    );
    // A killed run that could not begin again has no receipt yet; the same request sent again
    // reports it.
    let refused = replies.iter().any(|reply| reply["Status"] == "Refused");
    promise!(
        used == there || is_stuck || refused,
        "{place:?}: orphans {:?}",
        there.difference(&used)
    );
    let says: Vec<&Value> = replies
        .iter()
        .filter_map(|reply| reply["Result"]["Targets"].as_array())
        .flatten()
        .filter(|t| t["AccountId"] == account && t["Region"] == region)
        .collect();
    let undisturbed = schedule.hands.is_empty() && !is_stuck;
    successes_are_true(sandbox, place, &says, images.first(), undisturbed)?;
    // Without an image there is nothing to launch, so no grant to launch may stay.
    let launching = sandbox.grants(&key_arn(place));
    promise!(
        !images.is_empty()
            || launching.is_empty()
            || is_stuck
            || refused
            || !schedule.hands.is_empty(),
        "{place:?}: grants to launch are left: {launching:?}"
    );
    if says.is_empty() && !refused {
        promise!(
            images.is_empty() && there.is_empty(),
            "{place:?} was asked for by nobody"
        );
    }
    Ok(())
}

/// Checks that the image of each success exists, and is whole where nobody disturbed the run.
fn successes_are_true(
    sandbox: &Sandbox,
    place: Place,
    says: &[&Value],
    image: Option<&Image>,
    undisturbed: bool,
) -> Result<(), String> {
    let succeeded = says.iter().filter(|t| t["Status"] == "Succeeded");
    for target in succeeded.clone() {
        promise!(
            image.is_some_and(|image| target["ImageId"] == image.image_id),
            "{place:?} is said to have {}, has {:?}",
            target["ImageId"],
            image.map(|i| &i.image_id)
        );
    }
    if succeeded.count() > 0 && undisturbed {
        let whole = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            drop(assert_one_image(sandbox, place));
        }));
        promise!(whole.is_ok(), "{place:?}: the image is not whole");
    }
    Ok(())
}

/// Checks that every account to which a run reports an opening is permitted.
pub fn shared(sandbox: &Sandbox, schedule: &Schedule, replies: &[Value]) -> Result<(), String> {
    let images = sandbox.images(SOURCE, HOME);
    let (Some(image), true) = (images.first(), schedule.hands.is_empty()) else {
        return Ok(());
    };
    for (account, _) in FOUR {
        let says = |reply: &Value| {
            let mut targets = reply["Result"]["Targets"].as_array().into_iter().flatten();
            targets.any(|t| t["AccountId"] == account && t["Status"] == "Succeeded")
        };
        let mut permitted = image.launch_permissions.iter();
        let is_in = permitted.any(|p| format!("{p:?}").contains(account));
        promise!(
            is_in || !replies.iter().all(says),
            "a reply names {account} as permitted, and it is not: {:?}",
            image.launch_permissions
        );
    }
    Ok(())
}

/// Returns the contents of a target without the things of other people, which must be untouched.
fn without_the_foreign(
    sandbox: &Sandbox,
    schedule: &Schedule,
    place: Place,
) -> Result<(Vec<Image>, Vec<Snapshot>), String> {
    let mut images = sandbox.images(place.0, place.1);
    let mut snapshots = sandbox.snapshots(place.0, place.1);
    let before = (images.len(), snapshots.len());
    images.retain(|image| image.image_id != FOREIGN_IMAGE);
    snapshots.retain(|snapshot| snapshot.snapshot_id != FOREIGN_SNAPSHOT);
    let others = usize::from(before.0 > images.len()) + usize::from(before.1 > snapshots.len());
    let theirs = schedule.has(Hand::ForeignImage) || schedule.has(Hand::NameTaken);
    let here = schedule.runs[0].places[0] == place;
    // An image registered too late is refused if it has the copy's name.
    promise!(
        !(theirs && here) || others > 0,
        "{place:?}: another's image is gone"
    );
    Ok((images, snapshots))
}

/// Checks that preexisting permissions stay, and that openings are gone.
fn source_is_as_before(
    sandbox: &Sandbox,
    schedule: &Schedule,
    before: &Before,
    replies: &[Value],
) -> Result<(), String> {
    if stuck_about(replies, SOURCE).next().is_some()
        || replies.iter().any(|r| r["Status"] == "Refused")
    {
        return Ok(());
    }
    let taken = schedule.has(Hand::SharingTakenAway);
    let there = sandbox.snapshots(SOURCE, HOME);
    promise!(
        there.len() == 2,
        "copies are left in the source account: {there:?}"
    );
    let policy = sandbox.key_policy(SOURCE_KEY);
    promise!(policy == before.key_policy, "the key policy is {policy:?}");
    for (snapshot, before) in there.iter().zip(&before.permitted) {
        let now: BTreeSet<String> = snapshot.create_volume_permissions.iter().cloned().collect();
        let mut before = before.clone();
        if schedule.has(Hand::AccountPermitted) {
            before.insert(GUEST.to_owned());
        }
        let before = &before;
        let tagged = snapshot
            .tags
            .get("owner")
            .is_some_and(|by| by == "somebody");
        promise!(
            tagged || snapshot.snapshot_id != ROOT || !schedule.has(Hand::SourceTagged),
            "another's tag is gone"
        );
        let same = if taken {
            now.is_subset(before)
        } else {
            now == *before
        };
        promise!(
            same,
            "{} is shared with {now:?}, was with {before:?}",
            snapshot.snapshot_id
        );
        let marks: Vec<&String> = snapshot
            .tags
            .keys()
            .filter(|k| k.starts_with("amiferry:"))
            .collect();
        promise!(
            marks.is_empty(),
            "{} has marks: {marks:?}",
            snapshot.snapshot_id
        );
    }
    let away = sandbox.snapshots(SOURCE, AWAY);
    promise!(away.is_empty(), "staged copies are left: {away:?}");
    for key in [SOURCE_KEY, &staging_key()] {
        let grants = sandbox.grants(key);
        promise!(grants.is_empty(), "grants are left on {key}: {grants:?}");
    }
    for image in sandbox.images(SOURCE, HOME) {
        let open = &image.launch_permissions;
        promise!(open.is_empty(), "the image is shared: {open:?}");
    }
    Ok(())
}

/// Checks that nothing is public, and that no call ever named a group.
fn nothing_is_public(sandbox: &Sandbox) -> Result<(), String> {
    for call in sandbox.ledger() {
        let group = call
            .params
            .iter()
            .any(|(key, value)| key.contains("Group") || value == "all");
        promise!(!group, "{} names a group", call.operation);
    }
    for (account, region) in FOUR.into_iter().chain([(SOURCE, HOME)]) {
        for image in sandbox.images(account, region) {
            let open = account != SOURCE && !image.launch_permissions.is_empty();
            promise!(!image.public && !open, "{} is shared", image.image_id);
        }
        for snapshot in sandbox.snapshots(account, region) {
            promise!(!snapshot.public, "{} is public", snapshot.snapshot_id);
        }
    }
    Ok(())
}
