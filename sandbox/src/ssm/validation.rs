//! The validation of values of the data type `aws:ec2:image`, a moment after PutParameter.
//!
//! Source: model, DataType of PutParameter: an invalid value is dropped without an answer. The time
//! and the order of two pending values are unproved.

use std::time::{Duration, SystemTime};

use crate::aws::{Aws, PendingParameter};
use crate::ec2;
use crate::rules::ids;

pub(super) const DELAY: Duration = Duration::from_secs(3);

/// Brings the world to this moment, with the validations that are due, each at its time.
pub(crate) fn settle(aws: &mut Aws, now: SystemTime) {
    while let Some(at) = aws.pending_parameters.front().map(|next| next.at) {
        if at > now {
            break;
        }
        ec2::settle(aws, at);
        if let Some(due) = aws.pending_parameters.pop_front() {
            end(aws, due);
        }
    }
    ec2::settle(aws, now);
}

fn end(aws: &mut Aws, due: PendingParameter) {
    let taken = !due.overwrite && aws.parameters.contains_key(&due.key);
    if !taken && is_available(aws, &due) {
        aws.put_parameter(due.key, due.version, due.tags);
    }
}

/// Returns whether the value names an available image that the account may launch in the Region.
fn is_available(aws: &Aws, due: &PendingParameter) -> bool {
    let (account, region, _) = &due.key;
    let id = due.version.view.value.as_str();
    let found = aws.images.get(id).map(|image| &image.view);
    ids::is_id("ami", id)
        && found.is_some_and(|image| {
            image.region == *region
                && image.state == "available"
                && ec2::may_launch(aws, image, account)
        })
}
