//! From the request and the facts to the first state of a run. Pure. `Plan`'s `Display` is the dry
//! run.

mod refuse;
mod strategy;
mod words;

pub use refuse::check_keys;
pub use strategy::{problem as strategy_problem, why_image};
pub use words::Plan;

use refuse::{check_size, check_words};

use crate::error::Error;
use crate::losses::notes;
use crate::request::{KeyAccess, MAX_TARGETS, Mode, Request, Target};
use crate::service_linked_role::ServiceLinkedRole;
use crate::source::Source;
use crate::state::{
    Order, Pace, Phase, Published, Retag, SCHEMA, Share, Sharing, SourceRef, State, TargetPhase,
    TargetState, Work,
};

/// Plans to give each target its own AMI. Fails with `InvalidRequest` if the source does not permit
/// it.
pub fn distribute(request: &Request, source: &Source, run: &str, now: i64) -> Result<State, Error> {
    check_words(request, source)?;
    source.check_copyable(!request.needs_sharing(&source.owner))?;
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, TargetPhase::Looking))
        .collect();
    let mut state = state(request, source_ref(request, source), targets, run, now);
    state.settle_stages();
    strategy::settle(&mut state, request.strategy, source)?;
    settle_parameter(&mut state, source)?;
    state.order.notes = notes(&state, source);
    check_size(&state)?;
    Ok(state)
}

/// Returns the first state of a distribution or share without any check, so that the preflight can
/// list all obstacles.
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
    let targets = targets.map(|t| target(t, phase.clone())).collect();
    let mut state = state(request, source_ref(request, source), targets, run, now);
    if request.mode == Mode::Share {
        state.order.share = Some(Share {
            snapshots: request.sharing.snapshots,
            audience,
            ..Share::default()
        });
    }
    state.settle_stages();
    if strategy::problem(&state, request.strategy).is_none() {
        strategy::settle(&mut state, request.strategy, source)?;
    }
    settle_parameter(&mut state, source)?;
    check_size(&state)?;
    Ok(state)
}

/// Fills the parameter's name as far as all targets have it in common: a state has no facts of the
/// source.
fn settle_parameter(state: &mut State, source: &Source) -> Result<(), Error> {
    let publish = state.order.publish.iter_mut();
    for parameter in publish.filter_map(|publish| publish.parameter.as_mut()) {
        let settled = parameter.settled(&source.image.name, &source.id, &source.owner);
        *parameter = settled.map_err(|problem| {
            let named = format!("for an image named {:?} it {problem}", source.image.name);
            Error::invalid("Publish.Parameter", named)
        })?;
    }
    Ok(())
}

/// Adds the organization and units that key policies name in place of the targets' accounts.
pub fn name_audience(mut state: State, arns: Vec<String>) -> Result<State, Error> {
    if state.order.key_access == KeyAccess::Policy {
        state.order.audience = arns;
        check_size(&state)?;
    }
    Ok(state)
}

/// Plans a lasting share: lets the targets and the audience launch, or, with `Unshare`, no longer.
/// `only` makes the request the whole list of principals of this run.
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
    let phase = if unshare {
        TargetPhase::Removed
    } else {
        TargetPhase::Ready
    };
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, phase.clone()))
        .collect();
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

/// Plans to close everything that a run of lasting sharing ever opened.
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

/// Returns the image as a state refers to it.
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

/// Plans to remove what a run made in these targets. With `keep`, closes only what the run left
/// open at the source.
pub fn withdraw(request: &Request, source: SourceRef, keep: bool, run: &str, now: i64) -> State {
    let phase = if keep {
        TargetPhase::Removed
    } else {
        TargetPhase::Removing
    };
    let targets = request
        .targets
        .iter()
        .map(|t| target(t, phase.clone()))
        .collect();
    let mut state = state(request, source, targets, run, now);
    // The ledger knows where the run has staged copies.
    state.order.staging_keys.clear();
    state
}

/// Adds what an update changes in existing copies: their tags, and the roles that launch from them.
pub fn amend(
    state: &mut State,
    retag: Option<Retag>,
    ended_roles: Vec<ServiceLinkedRole>,
) -> Result<(), Error> {
    state.order.retag = retag;
    state.order.ended_roles = ended_roles;
    check_size(state)
}

/// Adds targets that an update took off the list, to be deregistered.
pub fn take_off(state: &mut State, gone: &[Target]) -> Result<(), Error> {
    state
        .targets
        .extend(gone.iter().map(|t| target(t, TargetPhase::Removing)));
    if state.targets.len() > MAX_TARGETS {
        let problem = format!(
            "the targets and those taken off the list are {}; at most {MAX_TARGETS} go into one \
             run",
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
    let order = Order {
        name: request.name.clone(),
        tags: request.tags.clone(),
        copy_tags: request.copy_tags,
        copies_image: false,
        key_access: request.key_access,
        revoke_after_copy: request.revoke_after_copy,
        copy_completion_minutes: request.copy_completion_minutes,
        serial: request.copy_completion_minutes.map_or(0, |_| targets.len()),
        share: None,
        service_linked_roles: request.service_linked_roles.clone(),
        create_service_linked_roles: request.create_service_linked_roles,
        publish: request.publish.clone(),
        reencrypt_key: request.reencrypt_key.clone(),
        staging_keys: request.staging_keys.clone(),
        audience: Vec::new(),
        notes: Vec::new(),
        renewal: None,
        retag: None,
        ended_roles: Vec::new(),
    };
    begun(source, order, targets, run, now)
}

/// Returns the state of a run that has done nothing yet.
fn begun(source: SourceRef, order: Order, targets: Vec<TargetState>, run: &str, now: i64) -> State {
    State {
        schema: SCHEMA,
        run: run.to_owned(),
        attempt: 0,
        started: now,
        phase: Phase::Looking,
        source,
        order,
        sharing: Sharing::default(),
        execution: String::new(),
        event: String::new(),
        end_by: 0,
        part: false,
        unread: 0,
        contended: false,
        targets,
    }
}

/// Returns a target that is only looked at, for a call that makes no copies.
pub fn to_look_at(looked_at: &Target) -> TargetState {
    target(looked_at, TargetPhase::Looking)
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
        pace: Pace::default(),
        work: Work::default(),
        shared: false,
        image_id: None,
        published: Published::default(),
        note: None,
        failure: None,
    }
}

#[cfg(test)]
mod tests;
