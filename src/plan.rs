//! From the wish and the facts to the step state in which a run begins. Pure. `Plan`'s `Display` is the dry run.

use std::fmt;

use crate::error::Error;
use crate::ids::AccountId;
use crate::request::{KeyAccess, MAX_TARGETS, Request, Target, source_among_targets};
use crate::source::Source;
use crate::state::{
    BYTES_IN_ALL, BYTES_PER_TARGET, Order, Phase, SCHEMA, Sharing, SourceRef, State, TargetPhase,
    TargetState,
};

/// Plans to give each target its AMI.
pub fn distribute(request: &Request, source: &Source, run: &str, now: i64) -> Result<State, Error> {
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
    source.check_copyable()?;
    let source_ref = SourceRef {
        image_id: source.id.clone(),
        region: request.source_region.clone(),
        account_id: source.owner.clone(),
        snapshots: source.snapshots.iter().map(|s| s.id.clone()).collect(),
        keys: source.keys(),
    };
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, TargetPhase::Looking))
        .collect();
    let state = state(request, source_ref, targets, run, now);
    check_size(&state)?;
    Ok(state)
}

/// Plans to take away what a run made in these targets (or, with `keep`, only what it left open at the source). The image
/// itself may be gone.
pub fn withdraw(
    request: &Request,
    source: Option<&Source>,
    account: &AccountId,
    keep: bool,
    run: &str,
    now: i64,
) -> State {
    let source_ref = SourceRef {
        image_id: request.source_image.clone(),
        region: request.source_region.clone(),
        account_id: source.map_or_else(|| account.clone(), |s| s.owner.clone()),
        snapshots: source.map_or_else(Vec::new, |s| {
            s.snapshots.iter().map(|s| s.id.clone()).collect()
        }),
        keys: source.map_or_else(Vec::new, Source::keys),
    };
    let phase = if keep {
        TargetPhase::Removed
    } else {
        TargetPhase::Removing
    };
    let targets = request.targets.iter().map(|t| target(t, phase)).collect();
    state(request, source_ref, targets, run, now)
}

/// Adds targets that an update took off the list, to be deregistered.
pub fn take_off(state: &mut State, gone: &[Target]) -> Result<(), Error> {
    state
        .targets
        .extend(gone.iter().map(|t| target(t, TargetPhase::Removing)));
    if state.targets.len() > MAX_TARGETS {
        let problem = format!(
            "the targets and those taken off the list are {}; at most {MAX_TARGETS} go into one run",
            state.targets.len()
        );
        return Err(Error::invalid("Targets", problem));
    }
    Ok(())
}

fn state(
    request: &Request,
    source: SourceRef,
    targets: Vec<TargetState>,
    run: &str,
    now: i64,
) -> State {
    State {
        schema: SCHEMA,
        run: run.to_owned(),
        started: now,
        phase: Phase::Looking,
        source,
        order: Order {
            name: request.name.clone(),
            tags: request.tags.clone(),
            copy_tags: request.copy_tags,
            key_access: request.key_access,
            revoke_after_copy: request.revoke_after_copy,
            copy_completion_minutes: request.copy_completion_minutes,
        },
        sharing: Sharing::default(),
        targets,
    }
}

fn target(target: &Target, phase: TargetPhase) -> TargetState {
    TargetState {
        account_id: target.account.clone(),
        region: target.region.clone(),
        kms_key_id: target.key.clone(),
        role_name: target.role.clone(),
        external_id: target.external_id.clone(),
        phase,
        progress: 0,
        due: 0,
        since: 0,
        last_start: 0,
        tries: 0,
        again: 0,
        queued: false,
        shared: false,
        image_id: None,
        copies: Vec::new(),
        failure: None,
        left: Vec::new(),
    }
}

/// A request whose state could outgrow what it promises is refused now rather than in the middle of a run.
fn check_size(state: &State) -> Result<(), Error> {
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

/// What a run would do, in words.
#[derive(Debug)]
pub struct Plan<'a>(pub &'a State);

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State {
            source,
            order,
            targets,
            ..
        } = self.0;
        writeln!(
            f,
            "Copy {} ({} snapshots) from {} {}",
            source.image_id,
            source.snapshots.len(),
            source.account_id,
            source.region
        )?;
        for target in targets {
            let (account, region, key) = (&target.account_id, &target.region, &target.kms_key_id);
            writeln!(
                f,
                "  to {account} {region} as {} under {key}",
                target.role_name
            )?;
        }
        let grants = if order.key_access == KeyAccess::Grant {
            source.keys.len()
        } else {
            0
        };
        let after = if order.revoke_after_copy {
            "revoked afterwards"
        } else {
            "left in place"
        };
        write!(
            f,
            "Meanwhile shared: {} snapshots and {grants} grants for each account in need; {after}",
            source.snapshots.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::ids::Region;
    use crate::request::Defaults;
    use crate::source::tests::example;

    fn request(extra: &serde_json::Value) -> Request {
        let mut value = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718", "Targets": [{"AccountId": "222222222222", "KmsKeyId": "alias/amis"}]});
        value
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        Request::parse(
            &value,
            &Defaults {
                region: Region::parse("us-west-2").unwrap(),
                account: None,
            },
        )
        .unwrap()
    }

    #[test]
    fn the_plan_reads_as_a_dry_run() {
        let state = distribute(&request(&json!({})), &example(), "0123456789abcdef", 0).unwrap();
        assert_eq!(
            Plan(&state).to_string(),
            "Copy ami-0a1b2c3d4e5f60718 (2 snapshots) from 111111111111 us-west-2\n  to 222222222222 us-west-2 as AmiCopyRole under alias/amis\n\
             Meanwhile shared: 2 snapshots and 1 grants for each account in need; revoked afterwards"
        );
    }

    #[test]
    fn the_source_account_and_a_foreign_hint_are_refused() {
        let own = request(
            &json!({"Targets": [{"AccountId": "222222222222"}, {"AccountId": "111111111111"}]}),
        );
        let message = distribute(&own, &example(), "0123456789abcdef", 0)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("Targets[1].AccountId: 111111111111 is the source account itself"),
            "{message}"
        );
        let hint = request(&json!({"SourceSnapshotId": "snap-00000000000000000"}));
        let message = distribute(&hint, &example(), "0123456789abcdef", 0)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("SourceSnapshotId: snap-00000000000000000 does not belong to"),
            "{message}"
        );
    }

    #[test]
    fn tags_that_would_burst_the_state_are_refused_by_name() {
        let tags: BTreeMap<String, String> = (0..40)
            .map(|n| (format!("tag-{n}"), "v".repeat(256)))
            .collect();
        let message = distribute(
            &request(&json!({ "Tags": tags })),
            &example(),
            "0123456789abcdef",
            0,
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.starts_with("Tags: makes the step state too large"),
            "{message}"
        );
    }

    #[test]
    fn withdrawing_does_not_need_the_image() {
        let account = AccountId::parse("111111111111").unwrap();
        let state = withdraw(
            &request(&json!({})),
            None,
            &account,
            false,
            "0123456789abcdef",
            0,
        );
        assert_eq!(
            State::open(&serde_json::to_value(&state).unwrap()).unwrap(),
            state
        );
    }
}
