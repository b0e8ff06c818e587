//! From the wish and the facts to the step state in which a run begins. Pure. `Plan`'s `Display` is the dry run.

use std::collections::BTreeMap;

mod words;

pub use words::Plan;

use crate::error::Error;
use crate::ids::{AccountId, KeyRef, RoleName};
use crate::name::NameTemplate;
use crate::request::{
    DEFAULT_ROLE, KeyAccess, MAX_TARGETS, Mode, Request, Target, source_among_targets,
};
use crate::source::Source;
use crate::state::{
    BYTES_IN_ALL, BYTES_PER_TARGET, Order, Phase, SCHEMA, Share, Sharing, SourceRef, State,
    TargetPhase, TargetState,
};

/// Who was let in is written on the image and its snapshots, in tags of 19 accounts each; a resource has fifty tags.
const MOST_SHARED_ONE_BY_ONE: usize = 380;

/// Plans to give each target its AMI.
pub fn distribute(request: &Request, source: &Source, run: &str, now: i64) -> Result<State, Error> {
    check_words(request, source)?;
    source.check_copyable(request.reencrypt_key.is_some())?;
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, TargetPhase::Looking))
        .collect();
    let mut state = state(request, source_ref(request, source), targets, run, now);
    if !state.needs_staging() {
        state.order.reencrypt_key = None;
    }
    check_size(&state)?;
    Ok(state)
}

/// What either would begin with, whatever there is against it: to look what that is.
pub fn draft(
    request: &Request,
    source: &Source,
    audience: Vec<String>,
    run: &str,
    now: i64,
) -> Result<State, Error> {
    check_words(request, source)?;
    let targets = request.targets.iter();
    let phase = match request.mode {
        Mode::Copy => TargetPhase::Looking,
        Mode::Share => TargetPhase::Ready,
    };
    let targets = targets.map(|t| target(t, phase)).collect();
    let mut state = state(request, source_ref(request, source), targets, run, now);
    if request.mode == Mode::Share {
        state.order.share = Some(Share {
            snapshots: request.sharing.snapshots,
            audience,
            ..Share::default()
        });
    }
    if !state.needs_staging() {
        state.order.reencrypt_key = None;
    }
    check_size(&state)?;
    Ok(state)
}

/// Notes the organisation and units that the targets are members of, where the policies of the keys are to name them as such.
pub fn name_audience(mut state: State, arns: Vec<String>) -> Result<State, Error> {
    if state.order.key_access == KeyAccess::Policy {
        state.order.audience = arns;
        check_size(&state)?;
    }
    Ok(state)
}

/// Plans lasting sharing: to let the targets and the audience launch, or, with `Unshare`, no longer. `only` makes the request
/// the whole list of those this run has ever let in.
pub fn share(
    request: &Request,
    source: &Source,
    audience: Vec<String>,
    only: bool,
    run: &str,
    now: i64,
) -> Result<State, Error> {
    check_words(request, source)?;
    let unshare = request.sharing.unshare;
    if !unshare {
        source.check_shareable(request.sharing.snapshots)?;
    }
    let listed = request
        .targets
        .iter()
        .filter(|t| !t.member || request.sharing.snapshots);
    let count = listed.count();
    if count > MOST_SHARED_ONE_BY_ONE {
        let problem = format!(
            "names {count} accounts to share with one by one; at most {MOST_SHARED_ONE_BY_ONE}: name their OrganizationId or OrganizationalUnitIds, without ShareSnapshots"
        );
        return Err(Error::invalid("Targets", problem));
    }
    let phase = if unshare {
        TargetPhase::Removed
    } else {
        TargetPhase::Ready
    };
    let targets = request.targets.iter().map(|t| target(t, phase)).collect();
    let mut state = state(request, source_ref(request, source), targets, run, now);
    let (audience, gone) = if unshare {
        (Vec::new(), audience)
    } else {
        (audience, Vec::new())
    };
    state.order.share = Some(Share {
        snapshots: request.sharing.snapshots,
        audience,
        gone,
        only,
    });
    check_size(&state)?;
    Ok(state)
}

/// Plans to take back all that a run of lasting sharing ever gave.
pub fn unshare_all(request: &Request, source: SourceRef, run: &str, now: i64) -> State {
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, TargetPhase::Removed))
        .collect();
    let mut state = state(request, source, targets, run, now);
    state.order.share = Some(Share {
        only: true,
        ..Share::default()
    });
    state
}

/// Refuses what only the image can tell to be wrong.
fn check_words(request: &Request, source: &Source) -> Result<(), Error> {
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

/// Refuses to edit the policies of keys that only another account can edit.
pub fn check_keys(request: &Request, source: &Source) -> Result<(), Error> {
    let owner = |key: &String| key.split(':').nth(4).map(str::to_owned);
    let keys = source.keys();
    let elsewhere = keys.iter().filter_map(|key| Some((key, owner(key)?)));
    let mut elsewhere = elsewhere.filter(|(_, owner)| owner != source.owner.as_str());
    let edits = request.key_access == KeyAccess::Policy && !request.sharing.unshare;
    match elsewhere.next() {
        Some((key, owner)) if edits => Err(Error::invalid(
            "KeyAccess",
            format!(
                "is Policy, but only account {owner} can edit the policy of {key}: ask it to let the targets use the key, and say None; or to let \
                 the function's role make grants on it, and say Grant"
            ),
        )),
        _ => Ok(()),
    }
}

/// The image as a state names it.
pub fn source_ref(request: &Request, source: &Source) -> SourceRef {
    SourceRef {
        image_id: source.id.clone(),
        region: request.source_region.clone(),
        account_id: source.owner.clone(),
        snapshots: source.snapshots.iter().map(|s| s.id.clone()).collect(),
        keys: source.keys(),
        managed_keys: match request.reencrypt_key {
            Some(_) => source.aws_managed_keys.clone(),
            None => Vec::new(),
        },
        staged: Vec::new(),
    }
}

/// Plans to take away what a run made in these targets (or, with `keep`, only what it left open at the source).
pub fn withdraw(request: &Request, source: SourceRef, keep: bool, run: &str, now: i64) -> State {
    let phase = if keep {
        TargetPhase::Removed
    } else {
        TargetPhase::Removing
    };
    let targets = request.targets.iter().map(|t| target(t, phase)).collect();
    state(request, source, targets, run, now)
}

/// Plans to close what a run left open of which nothing is known but its mark.
pub fn close(source: SourceRef, run: &str, now: i64) -> State {
    State {
        schema: SCHEMA,
        run: run.to_owned(),
        started: now,
        phase: Phase::Revoking,
        source,
        order: Order {
            name: NameTemplate::default(),
            tags: BTreeMap::new(),
            copy_tags: true,
            key_access: KeyAccess::Grant,
            revoke_after_copy: true,
            copy_completion_minutes: None,
            share: None,
            service_linked_roles: Vec::new(),
            create_service_linked_roles: false,
            reencrypt_key: None,
            audience: Vec::new(),
        },
        sharing: Sharing {
            at: now,
            ..Sharing::default()
        },
        execution: String::new(),
        end_by: 0,
        part: false,
        unread: 0,
        targets: Vec::new(),
    }
}

/// Names those whom it let in.
pub fn let_in(
    state: &mut State,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<(), Error> {
    let role = RoleName::parse(DEFAULT_ROLE).map_err(|e| Error::Internal(e.to_string()))?;
    for account in accounts {
        let one = Target {
            account,
            region: state.source.region.clone(),
            key: KeyRef::aws_ebs(),
            role: role.clone(),
            external_id: None,
            member: false,
        };
        state.targets.push(target(&one, TargetPhase::Failed));
    }
    Ok(())
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
            share: None,
            service_linked_roles: request.service_linked_roles.clone(),
            create_service_linked_roles: request.create_service_linked_roles,
            reencrypt_key: request.reencrypt_key.clone(),
            audience: Vec::new(),
        },
        sharing: Sharing::default(),
        execution: String::new(),
        end_by: 0,
        part: false,
        unread: 0,
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
        member: target.member,
        phase,
        progress: 0,
        due: 0,
        since: 0,
        last_start: 0,
        tries: 0,
        again: 0,
        queued: false,
        doubled: false,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::ids::{AccountId, ImageId, Region};
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
        let roles = json!({"ServiceLinkedRoles": ["spot.amazonaws.com", "autoscaling.amazonaws.com_x"], "CreateServiceLinkedRoles": true});
        let state = distribute(&request(&roles), &example(), "0123456789abcdef", 0).unwrap();
        assert!(
            Plan(&state).to_string().ends_with(
                "\nTo launch by it: AWSServiceRoleForEC2Spot, AWSServiceRoleForAutoScaling_x, made where they do not exist"
            ),
            "{}",
            Plan(&state)
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
        let source = SourceRef {
            image_id: ImageId::parse("ami-0a1b2c3d4e5f60718").unwrap(),
            region: Region::parse("us-west-2").unwrap(),
            account_id: AccountId::parse("111111111111").unwrap(),
            snapshots: Vec::new(),
            keys: Vec::new(),
            managed_keys: Vec::new(),
            staged: Vec::new(),
        };
        let state = withdraw(&request(&json!({})), source, false, "0123456789abcdef", 0);
        assert_eq!(
            State::open(&serde_json::to_value(&state).unwrap()).unwrap(),
            state
        );
    }
}
