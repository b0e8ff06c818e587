//! The losses of a copy against its source, and promises that a copy may not keep. Both are known
//! before anything is copied, and are in the reply.

use crate::source::{Problem, Source};
use crate::state::{MOST_NOTES_BYTES, State, shorten};
use crate::tags;

/// MiB per second that EC2 copies of one snapshot at most (EBS user guide, time-based copies).
const MOST_THROUGHPUT: i64 = 500;

/// Returns what the copies lack in every target.
pub fn losses(state: &State, source: &Source) -> Vec<Problem> {
    let mut losses = tags_left_out(state, source);
    losses.extend(attributes(state, source));
    losses
}

/// Returns the losses as texts that fit into a state.
pub fn notes(state: &State, source: &Source) -> Vec<String> {
    let losses = losses(state, source);
    let share = MOST_NOTES_BYTES / losses.len().max(1);
    losses
        .iter()
        .map(|loss| shorten(&loss.what, share))
        .collect()
}

fn tags_left_out(state: &State, source: &Source) -> Vec<Problem> {
    let image = (source.id.to_string(), &source.image.tags);
    let snapshots = source.snapshots.iter().map(|s| (s.id.to_string(), &s.tags));
    let all = std::iter::once(image).chain(snapshots);
    all.filter_map(|(id, from)| {
        let left = tags::of_copy(state.run_ref(), from, "").left_out;
        (!left.is_empty()).then(|| Problem {
            what: format!(
                "{} tags of {id} are left out, because a resource has at most 50: {}",
                left.len(),
                left.join(", ")
            ),
            remedy: format!("take tags off {id}, or give the request fewer Tags"),
        })
    })
    .collect()
}

/// Returns the attributes that RegisterImage does not take, and CopyImage does not copy.
fn attributes(state: &State, source: &Source) -> Vec<Problem> {
    let (id, image) = (&source.id, &source.image);
    let whole = state.order.copies_image;
    let there = image.unregistrable.iter();
    let there = there.filter(|(attribute, ..)| !(whole && attribute == "ImageWatermarks"));
    there
        .map(|(attribute, value, action)| Problem {
            what: format!("the {attribute} of {id} is not carried over: {value}"),
            remedy: format!("give it to the copy in the target account (ec2:{action})"),
        })
        .collect()
}

/// Returns why the time that the request allows for its copies cannot suffice.
pub fn too_short(state: &State, source: &Source) -> Option<Problem> {
    let minutes = i64::from(state.order.copy_completion_minutes?);
    let bytes = |minutes: i64| minutes * 60 * MOST_THROUGHPUT * 1024 * 1024;
    let sized = source.snapshots.iter();
    let (snapshot, size) = sized
        .filter_map(|s| Some((&s.id, s.full_bytes?)))
        .max_by_key(|(_, size)| *size)?;
    (size > bytes(minutes)).then(|| {
        // EC2 takes steps of a quarter of an hour.
        let quarters = (size + bytes(15) - 1) / bytes(15);
        let least = quarters * 15;
        Problem {
            what: format!(
                "{snapshot} has {} GiB, which EC2 cannot copy in {minutes} minutes: it copies a \
                 snapshot at {MOST_THROUGHPUT} MiB a second at most",
                size >> 30
            ),
            remedy: format!("CopyCompletionMinutes of at least {least}"),
        }
    })
}

/// Returns why the copies take longer than the time that the request allows for each.
pub fn serial(state: &State, source: &Source) -> Option<Problem> {
    let minutes = u64::from(state.order.copy_completion_minutes?);
    let targets = state.order.serial;
    (targets > 1).then(|| Problem {
        what: format!(
            "EC2 makes time-based copies of one snapshot one after another, and slower once the \
             Region's throughput is used up: {targets} targets at {minutes} minutes each take up \
             to {} minutes for {}",
            minutes.saturating_mul(targets as u64),
            source.id
        ),
        remedy: "Nothing, if that is soon enough: the run waits that long. Otherwise leave out \
            CopyCompletionMinutes, or name fewer targets"
            .to_owned(),
    })
}

/// Returns why an image may be refused after it was copied: nobody can set the code by which EC2
/// bills its instances.
pub fn licensed(state: &State, source: &Source) -> Option<Problem> {
    let operation = source.image.usage_operation.as_deref()?;
    (operation != "RunInstances" && !state.order.copies_image).then(|| Problem {
        what: format!(
            "instances of {} are billed for {} (UsageOperation {operation}), which EC2 takes from \
             the copied snapshots or leaves out; a copy without it is discarded",
            source.id,
            source
                .image
                .platform_details
                .as_deref()
                .unwrap_or("more than Linux")
        ),
        remedy: "Leave out Strategy, so that CopyImage copies it; where that is not possible, \
            distribute to one target first, and if its copy is NotFaithful, share the image \
            (Mode: Share) or use the original in each account"
            .to_owned(),
    })
}
