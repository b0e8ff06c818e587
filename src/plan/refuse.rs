//! Refusals of requests whose source is known.

use crate::error::Error;
use crate::request::{KeyAccess, Request, source_among_targets};
use crate::source::Source;
use crate::state::{BYTES_IN_ALL, BYTES_PER_TARGET, State};

/// Refuses what only the image can prove to be wrong.
pub(super) fn check_words(request: &Request, source: &Source) -> Result<(), Error> {
    if let Some(target) = request
        .targets
        .iter()
        .position(|t| t.account == source.owner)
    {
        return Err(Error::invalid(
            format!("Targets[{target}].AccountId"),
            source_among_targets(&source.owner),
        ));
    }
    if let Some(hint) = &request.source_snapshot_hint
        && !source.snapshots.iter().any(|s| s.id == *hint)
    {
        let known: Vec<&str> = source.snapshots.iter().map(|s| s.id.as_str()).collect();
        return Err(Error::invalid(
            "SourceSnapshotId",
            format!(
                "{hint} does not belong to {}, which has {}",
                source.id,
                known.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Refuses to edit the policies of keys of another account, which alone can edit them.
pub fn check_keys(request: &Request, source: &Source) -> Result<(), Error> {
    let keys = source.keys();
    let elsewhere = keys.iter().find(|key| key.account() != source.owner);
    let edits = request.key_access == KeyAccess::Policy && !request.sharing.unshare;
    match elsewhere {
        Some(key) if edits => Err(Error::invalid(
            "KeyAccess",
            format!(
                "is Policy, but only account {} can edit the policy of {key}: ask it to let the \
                 targets use the key, and say None; or to let the function's role make grants on \
                 it, and say Grant",
                key.account()
            ),
        )),
        _ => Ok(()),
    }
}

/// Refuses a request whose state could outgrow its limit: now, rather than in the middle of a run.
pub(super) fn check_size(state: &State) -> Result<(), Error> {
    let (size, limit) = (
        state.largest_size(),
        BYTES_IN_ALL + BYTES_PER_TARGET * state.targets.len(),
    );
    if size <= limit {
        return Ok(());
    }
    let tags: usize = state
        .order
        .tags
        .iter()
        .map(|(k, v)| k.len() + v.len() + 6)
        .sum();
    let external: usize = state
        .targets
        .iter()
        .filter_map(|t| t.external_id.as_ref())
        .map(|id| id.as_str().len())
        .sum();
    let key = if external > tags {
        "ExternalId"
    } else {
        "Tags"
    };
    let problem = format!(
        "makes the step state too large ({size} bytes of at most {limit}); shorten it by {} bytes",
        size - limit
    );
    Err(Error::invalid(key, problem))
}
