//! The choice between the two ways to copy: CopySnapshot and RegisterImage, or CopyImage.

use crate::error::Error;
use crate::request::Strategy;
use crate::source::{Problem, Source};
use crate::state::State;

const STAGED: &str = "is Image, but snapshots of the image are under aws/ebs: an image on such \
                      snapshots cannot be shared, and CopyImage needs the image itself";
const INSTEAD: &str = "Say Snapshots, or leave Strategy out";

/// Returns why the request's way is not possible.
pub fn problem(state: &State, strategy: Strategy) -> Option<Problem> {
    let staged = !state.source.managed_keys.is_empty();
    (strategy == Strategy::Image && staged).then(|| Problem {
        what: format!("Strategy: {STAGED}"),
        remedy: INSTEAD.to_owned(),
    })
}

/// Notes the way in which the copies are made. Fails with `InvalidRequest` if it is not possible.
pub(super) fn settle(state: &mut State, strategy: Strategy, source: &Source) -> Result<(), Error> {
    if state.order.share.is_some() {
        return Ok(());
    }
    if problem(state, strategy).is_some() {
        return Err(Error::invalid("Strategy", format!("{STAGED}. {INSTEAD}")));
    }
    state.order.copies_image = why_image(state, strategy, source).is_some();
    if state.order.copies_image {
        state.order.staging_keys.clear();
    }
    Ok(())
}

/// Returns why the image is copied as a whole; `None` if its snapshots are copied.
pub fn why_image(state: &State, strategy: Strategy, source: &Source) -> Option<String> {
    match strategy {
        Strategy::Snapshots => None,
        Strategy::Image => Some("the request says so".to_owned()),
        // A staged copy stands for the snapshot, not for the image.
        Strategy::Auto if !state.source.managed_keys.is_empty() => None,
        Strategy::Auto => {
            let image = &source.image;
            let billed = image.usage_operation.as_deref();
            let billed = billed.filter(|operation| *operation != "RunInstances");
            let billed = billed.map(|operation| {
                let platform = image
                    .platform_details
                    .as_deref()
                    .unwrap_or("more than Linux");
                format!("its instances are billed for {platform} (UsageOperation {operation})")
            });
            let marked = (!image.watermarks.is_empty())
                .then(|| "it has watermarks, which RegisterImage cannot set".to_owned());
            billed.or(marked)
        }
    }
}
