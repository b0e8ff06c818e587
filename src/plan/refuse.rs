//! Refusals of requests whose source is known.

use crate::error::Error;
use crate::name::NameFacts;
use crate::request::{KeyAccess, Mode, Request, Target, shared_with_itself};
use crate::source::Source;
use crate::state::{BYTES_IN_ALL, BYTES_PER_TARGET, State};

/// Refuses what only the image can prove to be wrong.
pub(super) fn check_words(request: &Request, source: &Source) -> Result<(), Error> {
    check_own_account(request, source)?;
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

/// Refuses a share with the source account, and a copy that would need its source's own name.
fn check_own_account(request: &Request, source: &Source) -> Result<(), Error> {
    let own = |target: &&Target| target.account == source.owner;
    let Some(target) = request.targets.iter().find(own) else {
        return Ok(());
    };
    if request.mode == Mode::Share {
        let named = request.targets.iter().position(|t| t == target);
        let key = format!("Targets[{}].AccountId", named.unwrap_or_default());
        return Err(Error::invalid(key, shared_with_itself(&source.owner)));
    }
    let beside = |target: &&Target| own(target) && target.region == request.source_region;
    let taken = request.targets.iter().find(beside).is_some_and(|target| {
        let name = request.name.fill(NameFacts {
            source_name: &source.image.name,
            source_image: &source.id,
            source_account: &source.owner,
            account: &target.account,
            region: &target.region,
        });
        name == source.image.name
    });
    if taken {
        let problem = format!(
            "gives the copy in {} the name of {} itself, {:?}, and EC2 takes each name once in an \
             account and Region; add something to it, such as {{name}}-copy",
            request.source_region, source.id, source.image.name
        );
        return Err(Error::invalid("Name", problem));
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
