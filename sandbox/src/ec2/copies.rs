//! Copies under way: a copy breaks when its caller can no longer read the source.

use std::time::SystemTime;

use super::visibility;
use crate::aws::{Aws, Copying};
use crate::kms::by_ec2;
use crate::refusals;

/// Brings the world to this moment: ends the copies that are due, and puts key policies in force,
/// each at its time.
pub(crate) fn settle(aws: &mut Aws, now: SystemTime) {
    while let Some(at) = aws.next_policy().filter(|at| *at <= now) {
        aws.settle_copies(at);
        aws.put_policies_in_force();
        break_copies(aws);
    }
    aws.settle_copies(now);
}

/// Ends in `error` every copy whose caller can no longer read the source. Every change that may
/// take access away must be followed by this.
pub(crate) fn break_copies(aws: &mut Aws) {
    let access = std::mem::take(&mut aws.lost);
    let lost: Vec<(String, String)> = {
        let concerned = aws.copying.iter().filter(|(_, copy)| access.concerns(copy));
        let readable = concerned.filter(|(_, copy)| copy.readable);
        let lost = readable.filter_map(|(id, copy)| Some((id.clone(), loss_of(aws, copy)?)));
        lost.collect()
    };
    for (id, message) in lost {
        aws.fail_copy(&id, &message);
    }
}

/// Returns the `StateMessage` of a copy that has lost its source or key since it began.
fn loss_of(aws: &Aws, copy: &Copying) -> Option<String> {
    let account = copy.caller.account();
    let source = aws.snapshots.get(&copy.source_snapshot_id);
    let visible = source.filter(|source| visibility::may_restore(aws, &source.view, account));
    let Some(source) = visible else {
        let refused = refusals::COPY_SOURCE_LOST.with(&[&copy.source_snapshot_id]);
        return Some(refused.message);
    };
    let key = copy.source_key.as_ref()?;
    let usable = by_ec2::may_read(aws, &copy.caller, &copy.region, key, &source.view);
    (!usable).then(|| refusals::COPY_KEY_NOT_ACCESSIBLE.with(&[]).message)
}
