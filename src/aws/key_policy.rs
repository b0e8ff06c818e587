//! Putting a run's statements into the policies of the source keys, and taking them out. KMS replaces a policy as a whole and has no
//! version to compare: whoever writes may undo what somebody else wrote since he read. So a policy is read again right before it is
//! written, is written in one attempt, and is read until it is seen to be as it should. What a slower writer may still put back or
//! lose is found by looking again a little later (`settle`).

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::config::retry::RetryConfig;
use serde_json::Value;

use super::key::key_region;
use super::{Aws, refusal};
use crate::command::policy_tag;
use crate::digest::digest;
use crate::error::{Refusal, RefusalKind};
use crate::ids::{AccountId, Region};
use crate::key_policy::{Access, Document, LONGEST, Terms, role_anywhere};
use crate::request::KeyAccess;
use crate::state::{State, TargetPhase};

mod admit;
mod noted;

pub(super) use admit::Admitted;
pub(super) use noted::is_noted;

/// Writes of one policy before its being changed by others all the time is told.
const MOST_WRITES: usize = 8;
/// Milliseconds between reads until what was written shows.
const SHOWS_AFTER: [u64; 4] = [0, 200, 600, 1200];
/// Seconds between two looks of one process at whether somebody undid its statements.
const LOOK_AGAIN: i64 = 5;

/// What one process knows of the policies it edits.
#[derive(Debug, Default)]
pub struct Policies {
    /// One edit at a time: a process is not to be its own competitor.
    editing: tokio::sync::Mutex<LastLook>,
}

#[derive(Debug, Default)]
struct LastLook(i64);

impl Aws {
    /// Makes this run's statements in one policy what `wanted` makes of those that are there. Tells whether that may have changed
    /// anything. Before the first is put in, the snapshots are made to lead to them, for whoever has no state.
    async fn edit_policy(
        &self,
        state: &State,
        key: &str,
        wanted: &(dyn Fn(Access) -> Access + Send + Sync),
    ) -> Result<bool, Refusal> {
        let terms = terms(state);
        let (mut wrote, mut noted, mut said) = (false, false, None);
        for write in 0..=MOST_WRITES {
            let text = self.policy_text(state, key).await?;
            let document = Self::document(state, key, &text)?;
            let access = wanted(Access::read(&document.ours(&state.run)));
            let statements = access.statements(&state.run, &terms);
            if document.has(&state.run, &statements) {
                return Ok(wrote);
            }
            if write == MOST_WRITES {
                break;
            }
            let new = document.with(&state.run, &statements);
            fits(state, key, &text, &new)?;
            if !noted && !statements.is_empty() {
                self.note_policy(state).await?;
                noted = true;
            }
            if self.policy_text(state, key).await? != text {
                self.pause(state, key, write).await;
                continue;
            }
            // Whatever is answered: it may have been written.
            wrote = true;
            match self.put_policy(state, key, &new).await {
                Ok(()) => {}
                Err(refusal) if refusal.is_passing() => said = Some(refusal),
                Err(refusal) => return Err(refusal),
            }
            if self.shows(state, key, &statements).await? {
                return Ok(true);
            }
            self.pause(state, key, write).await;
        }
        Err(said.unwrap_or_else(|| {
            let message = "others change it at the same time, again and again".to_owned();
            refused(state, key, "KeyPolicyChanging", message)
        }))
    }

    /// Whether what was written is there by now: reads may tell of it late.
    async fn shows(&self, state: &State, key: &str, wanted: &[Value]) -> Result<bool, Refusal> {
        for wait in SHOWS_AFTER {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let text = self.policy_text(state, key).await?;
            if Self::document(state, key, &text)?.has(&state.run, wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Longer each time, and for each run another while, so that two do not keep in step.
    async fn pause(&self, state: &State, key: &str, write: usize) {
        let number = write.to_string();
        let hash = digest([state.run.as_str(), key, &number, &self.now().to_string()]);
        let spread = u64::from_str_radix(&hash[..4], 16).unwrap_or_default();
        let longest = 250_u64 << write.min(5);
        tokio::time::sleep(Duration::from_millis(100 + spread % longest)).await;
    }

    /// Whether the statements for all targets can be put in, as far as reading tells: nothing is written.
    pub(super) async fn would_admit(&self, state: &State, key: &str) -> Result<(), Refusal> {
        if !is_own(state, key) {
            return Err(of_another_account(state, key));
        }
        let text = self.policy_text(state, key).await?;
        let document = Self::document(state, key, &text)?;
        let all: Vec<usize> = (0..state.targets.len()).collect();
        let access = Access::read(&document.ours(&state.run)).and(those_in(state, &all));
        let statements = access.statements(&state.run, &terms(state));
        fits(state, key, &text, &document.with(&state.run, &statements))
    }

    async fn policy_text(&self, state: &State, key: &str) -> Result<String, Refusal> {
        let actor = Self::own(state);
        let region = key_region(state, key);
        let answer = self
            .kms(&actor, &region)
            .get_key_policy()
            .key_id(key)
            .send();
        let answer = answer
            .await
            .map_err(|e| refusal("GetKeyPolicy", &actor.at(&region), key, &e))?;
        answer.policy.ok_or_else(|| {
            refused(
                state,
                key,
                "UnreadableAnswer",
                "the answer carries no policy".to_owned(),
            )
        })
    }

    /// The lockout check stays on: a policy that would shut its own account out is refused by KMS. One attempt, because a later one
    /// would write what is no longer so.
    async fn put_policy(&self, state: &State, key: &str, text: &str) -> Result<(), Refusal> {
        let actor = Self::own(state);
        let region = key_region(state, key);
        let once = aws_sdk_kms::config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .kms(&actor, &region)
            .put_key_policy()
            .key_id(key)
            .policy(text)
            .customize()
            .config_override(once)
            .send()
            .await;
        answer.map_err(|e| refusal("PutKeyPolicy", &actor.at(&region), key, &e))?;
        Ok(())
    }

    fn document<'a>(state: &State, key: &str, text: &'a str) -> Result<Document<'a>, Refusal> {
        Document::read(text).map_err(|e| refused(state, key, "KeyPolicyUnreadable", e.to_string()))
    }

    /// Puts back what somebody's slower write has undone, while the run is open. At most once in a while, whoever asks.
    pub(super) async fn let_in_again(&self, state: &State) {
        let mut editing = self.policies.editing.lock().await;
        if self.now() - editing.0 < LOOK_AGAIN {
            return;
        }
        editing.0 = self.now();
        if !matches!(self.is_policy_noted(state).await, Ok(true)) {
            return;
        }
        for key in own_keys(state) {
            let again = |there: Access| known(state, there).and(those_in(state, &[]));
            if let Err(refused) = self.edit_policy(state, key, &again).await {
                tracing::warn!(run = state.run, %refused, "the key policy could not be put right");
            }
        }
    }

    /// Makes the policies of all source keys what they are to be at this moment; tells whether one was not. A key that is gone has none.
    /// `noted`: the snapshots say that this run has statements in them; where they do not and the policy may not be read, it has none.
    pub(super) async fn settle(
        &self,
        state: &State,
        noted: bool,
        wanted: &(dyn Fn(Access) -> Access + Send + Sync),
    ) -> Result<bool, Vec<(String, Refusal)>> {
        let _editing = self.policies.editing.lock().await;
        let (mut changed, mut left) = (false, Vec::new());
        for key in own_keys(state) {
            match self.edit_policy(state, key, wanted).await {
                Ok(edited) => changed |= edited,
                Err(refusal) if refusal.kind() == RefusalKind::NotFound => {}
                Err(refusal)
                    if !noted
                        && refusal.operation == "GetKeyPolicy"
                        && refusal.kind() == RefusalKind::Denied => {}
                Err(refusal) => left.push((key.to_owned(), refusal)),
            }
        }
        if left.is_empty() {
            Ok(changed)
        } else {
            Err(left)
        }
    }
}

/// What this function itself says of a policy.
fn refused(state: &State, key: &str, code: &str, message: String) -> Refusal {
    Refusal {
        operation: "PutKeyPolicy",
        account: state.source.account_id.to_string(),
        region: key_region(state, key).to_string(),
        resource: key.to_owned(),
        code: code.to_owned(),
        message,
        request_id: None,
    }
}

/// A policy that is too long already may still become shorter.
fn fits(state: &State, key: &str, there: &str, new: &str) -> Result<(), Refusal> {
    if new.len() <= LONGEST || new.len() <= there.len() {
        return Ok(());
    }
    let bytes = new.len();
    let message =
        format!("with this run's statements it would have {bytes} bytes, at most {LONGEST}");
    Err(refused(state, key, "KeyPolicyTooLong", message))
}

fn of_another_account(state: &State, key: &str) -> Refusal {
    let owner = key.split(':').nth(4).unwrap_or_default();
    let message = format!("only account {owner} can edit the policy of its key");
    refused(state, key, "KeyOfAnotherAccount", message)
}

/// The source keys whose policies the source account can edit.
fn own_keys(state: &State) -> impl Iterator<Item = &str> {
    let own = |key: &&String| is_own(state, key);
    state.source.keys.iter().filter(own).map(String::as_str)
}

pub(super) fn is_own(state: &State, key: &str) -> bool {
    key.split(':').nth(4) == Some(state.source.account_id.as_str())
}

fn terms(state: &State) -> Terms {
    let partition = state.source.region.partition();
    let anywhere = |arn: String| {
        let mut parts: Vec<&str> = arn.split(':').collect();
        parts[4] = "*";
        parts.join(":")
    };
    let roles = state.order.service_linked_roles.iter();
    Terms {
        partition,
        owner: state.source.account_id.clone(),
        launch: state.order.share.is_some(),
        service_linked_roles: roles
            .map(|role| anywhere(role.arn(partition, &state.source.account_id)))
            .collect(),
    }
}

/// What stands in a policy already and belongs there: whoever has a part of the run knows no other target, and direct calls for a
/// lasting share add to each other. A whole copying run knows all that it may let in.
fn known(state: &State, there: Access) -> Access {
    if state.part || state.order.share.is_some() {
        return there;
    }
    let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
    let regions: BTreeSet<&Region> = state.targets.iter().map(|t| &t.region).collect();
    let mut known = Access {
        accounts: there
            .accounts
            .iter()
            .filter(|a| ours.contains(a))
            .cloned()
            .collect(),
        regions: there
            .regions
            .iter()
            .filter(|r| regions.contains(r))
            .cloned()
            .collect(),
        ..Access::default()
    };
    let in_there = |i: &usize| known.accounts.contains(&state.targets[*i].account_id);
    let let_in: Vec<usize> = (0..state.targets.len()).filter(in_there).collect();
    known.roles = roles_of(state, &let_in);
    if there.has_members() {
        for arn in &state.order.audience {
            known.add_audience(arn);
        }
        known.member_roles = member_roles(state);
    }
    known
}

/// What these targets, and those that the run has let in before, are to have on one key.
fn those_in(state: &State, targets: &[usize]) -> Access {
    let mut access = Access::default();
    access.regions.insert(state.source.region.clone());
    let regions = state.source.keys.iter().map(|key| key_region(state, key));
    access.regions.extend(regions);
    let share = state.order.share.as_ref();
    let audience = share.map_or(&state.order.audience, |share| &share.audience);
    let (mut named, mut members) = (Vec::new(), false);
    for (i, target) in state.targets.iter().enumerate() {
        if !targets.contains(&i) && !target.shared {
            continue;
        }
        access.regions.insert(target.region.clone());
        if target.member && !audience.is_empty() {
            members = true;
        } else {
            access.accounts.insert(target.account_id.clone());
            named.push(i);
        }
    }
    if share.is_some() || members {
        for arn in audience {
            access.add_audience(arn);
        }
    }
    if share.is_none() {
        access.roles = roles_of(state, &named);
        access.member_roles = member_roles(state);
    }
    access
}

/// What is to stay of a lasting share: what is there, and, where this run lets in by policy, those who have it, because somebody's slower
/// write may have lost them.
pub(super) fn stays(state: &State, there: Access) -> Access {
    if !by_policy(state) {
        return there;
    }
    let has_it = |i: &usize| state.targets[*i].phase == TargetPhase::Succeeded;
    let targets: Vec<usize> = (0..state.targets.len()).filter(has_it).collect();
    there.and(those_in(state, &targets))
}

/// The roles that copy for these targets: by their name, if they have one in common, because the accounts are named beside it.
fn roles_of(state: &State, targets: &[usize]) -> BTreeSet<String> {
    let partition = state.source.region.partition();
    let targets = || targets.iter().map(|&i| &state.targets[i]);
    let names: BTreeSet<_> = state.targets.iter().map(|t| &t.role_name).collect();
    if names.len() == 1 && !state.part {
        return targets()
            .map(|t| role_anywhere(partition, &t.role_name))
            .collect();
    }
    targets()
        .map(|t| t.role_name.arn(partition, &t.account_id))
        .collect()
}

/// The roles that copy for the members of the audience.
fn member_roles(state: &State) -> BTreeSet<String> {
    let members = state.targets.iter().filter(|t| t.member);
    let partition = state.source.region.partition();
    members
        .map(|t| role_anywhere(partition, &t.role_name))
        .collect()
}

/// Whether this run may have statements in policies, by its order.
pub(super) fn by_policy(state: &State) -> bool {
    state.order.key_access == KeyAccess::Policy
}

/// The tag that leads to the policies.
pub(super) fn note_of(state: &State) -> String {
    policy_tag(&state.run)
}
