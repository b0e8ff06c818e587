//! Putting a run's statements into the policies of the source keys, and taking them out. KMS replaces a policy as a whole and has no
//! version to compare, so whoever writes may undo what somebody else wrote since he read. Among this project's processes the
//! key's record in the ledger is the lock (`lock`). Against other people a policy is read again right before it is written, is
//! written in one attempt, and is read until it shows what was written; what their slower write undoes is put in again while a target
//! waits for the key, and what it brings back is taken out when the closing is verified.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::config::retry::RetryConfig;
use serde_json::Value;

use super::key::key_region;
use super::{Actor, Aws, refusal};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{AccountId, Region};
use crate::key_policy::{Access, Document, LONGEST, Terms, role_anywhere};
use crate::ledger::{Principals, Run};
use crate::request::KeyAccess;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{State, TargetPhase};

mod admit;
mod lock;

pub(super) use admit::Admitted;

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

/// Whose statements are edited, and where.
pub(super) struct Editor {
    run: String,
    account: AccountId,
    /// Where a key's ARN tells no Region.
    region: Region,
    terms: Terms,
}

impl Editor {
    fn of(state: &State) -> Self {
        Self {
            run: state.run.clone(),
            account: state.source.account_id.clone(),
            region: state.source.region.clone(),
            terms: terms(
                &state.source.region,
                &state.source.account_id,
                state.order.share.is_some(),
                &state.order.service_linked_roles,
            ),
        }
    }

    /// For closing, which may know no state.
    fn of_run(run: &Run) -> Option<Self> {
        let account = AccountId::parse(&run.account_id).ok()?;
        let region = Region::parse(&run.source_region).ok()?;
        let roles = &run.order["ServiceLinkedRoles"];
        let roles: Vec<ServiceLinkedRole> =
            serde_json::from_value(roles.clone()).unwrap_or_default();
        let launch = run.kind == crate::ledger::Kind::Share;
        let terms = terms(&region, &account, launch, &roles);
        Some(Self {
            run: run.run.clone(),
            account,
            region,
            terms,
        })
    }

    fn region_of(&self, key: &str) -> Region {
        let named = key.split(':').nth(3).and_then(|r| Region::parse(r).ok());
        named.unwrap_or_else(|| self.region.clone())
    }

    fn is_own(&self, key: &str) -> bool {
        key.split(':').nth(4) == Some(self.account.as_str())
    }

    /// What this function itself says of a policy.
    fn refused(&self, key: &str, code: &str, message: String) -> Refusal {
        Refusal {
            operation: "PutKeyPolicy",
            account: self.account.to_string(),
            region: self.region_of(key).to_string(),
            resource: key.to_owned(),
            code: code.to_owned(),
            message,
            request_id: None,
        }
    }

    fn document<'a>(&self, key: &str, text: &'a str) -> Result<Document<'a>, Refusal> {
        Document::read(text).map_err(|e| self.refused(key, "KeyPolicyUnreadable", e.to_string()))
    }

    /// A policy that is too long already may still become shorter.
    fn fits(&self, key: &str, there: &str, new: &str) -> Result<(), Refusal> {
        if new.len() <= LONGEST || new.len() <= there.len() {
            return Ok(());
        }
        let bytes = new.len();
        let message =
            format!("with this run's statements it would have {bytes} bytes, at most {LONGEST}");
        Err(self.refused(key, "KeyPolicyTooLong", message))
    }

    fn of_another_account(&self, key: &str) -> Refusal {
        let owner = key.split(':').nth(4).unwrap_or_default();
        let message = format!("only account {owner} can edit the policy of its key");
        self.refused(key, "KeyOfAnotherAccount", message)
    }
}

impl Aws {
    /// Makes this run's statements in one policy what `wanted` makes of those that are there. Tells whether they were not.
    async fn edit_policy(
        &self,
        editor: &Editor,
        key: &str,
        wanted: &(dyn Fn(Access) -> Access + Send + Sync),
    ) -> Result<bool, Refusal> {
        if let Some(there) = self.is_as_wanted(editor, key, wanted).await? {
            if there {
                self.note_edited(editor, key).await?;
            }
            return Ok(false);
        }
        let locked_at = self.lock_policy(editor, key).await?;
        let edited = self.edit_locked(editor, key, locked_at, wanted).await;
        self.unlock_policy(key).await;
        edited.map(|()| true)
    }

    /// Where the policy is as it is to be: whether it has statements of this run.
    async fn is_as_wanted(
        &self,
        editor: &Editor,
        key: &str,
        wanted: &(dyn Fn(Access) -> Access + Send + Sync),
    ) -> Result<Option<bool>, Refusal> {
        let text = self.policy_text(editor, key).await?;
        let document = editor.document(key, &text)?;
        let access = wanted(Access::read(&document.ours(&editor.run)));
        let statements = access.statements(&editor.run, &editor.terms);
        let has = document.has(&editor.run, &statements);
        Ok(has.then_some(!statements.is_empty()))
    }

    async fn edit_locked(
        &self,
        editor: &Editor,
        key: &str,
        mut locked_at: i64,
        wanted: &(dyn Fn(Access) -> Access + Send + Sync),
    ) -> Result<(), Refusal> {
        let mut said = None;
        for write in 0..MOST_WRITES {
            let text = self.policy_text(editor, key).await?;
            let document = editor.document(key, &text)?;
            let access = wanted(Access::read(&document.ours(&editor.run)));
            let statements = access.statements(&editor.run, &editor.terms);
            if document.has(&editor.run, &statements) {
                return Ok(());
            }
            let new = document.with(&editor.run, &statements);
            editor.fits(key, &text, &new)?;
            if self.policy_text(editor, key).await? != text {
                self.pause_editing(write).await;
                continue;
            }
            if !lock::is_fresh(locked_at, self.now()) {
                // Somebody else may have had it meanwhile: what was read is out of date.
                locked_at = self.lock_policy(editor, key).await?;
                continue;
            }
            match self.put_policy(editor, key, &new).await {
                Ok(()) => {}
                Err(refusal) if refusal.is_passing() => said = Some(refusal),
                Err(refusal) => return Err(refusal),
            }
            if self.shows(editor, key, &statements).await? {
                return Ok(());
            }
            self.pause_editing(write).await;
        }
        Err(said.unwrap_or_else(|| {
            let message = "others change it at the same time, again and again".to_owned();
            editor.refused(key, "KeyPolicyChanging", message)
        }))
    }

    /// Whether what was written is there by now: reads may tell of it late.
    async fn shows(&self, editor: &Editor, key: &str, wanted: &[Value]) -> Result<bool, Refusal> {
        for wait in SHOWS_AFTER {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let text = self.policy_text(editor, key).await?;
            if editor.document(key, &text)?.has(&editor.run, wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Longer each time, and at random, so that two processes do not keep in step.
    async fn pause_editing(&self, write: usize) {
        let longest = 250_u64 << write.min(5);
        tokio::time::sleep(Duration::from_millis(100) + Self::jitter(longest)).await;
    }

    /// Whether the statements for all targets can be put in, as far as reading tells: nothing is written.
    pub(super) async fn would_admit(&self, state: &State, key: &str) -> Result<(), Refusal> {
        let editor = Editor::of(state);
        if !editor.is_own(key) {
            return Err(editor.of_another_account(key));
        }
        let text = self.policy_text(&editor, key).await?;
        let document = editor.document(key, &text)?;
        let all: Vec<usize> = (0..state.targets.len()).collect();
        let access = Access::read(&document.ours(&state.run)).and(those_in(state, &all));
        let statements = access.statements(&state.run, &editor.terms);
        editor.fits(key, &text, &document.with(&state.run, &statements))
    }

    async fn policy_text(&self, editor: &Editor, key: &str) -> Result<String, Refusal> {
        let actor = Actor::own(&editor.account);
        let region = editor.region_of(key);
        let answer = self
            .kms(&actor, &region)
            .get_key_policy()
            .key_id(key)
            .send();
        let answer = answer
            .await
            .map_err(|e| refusal("GetKeyPolicy", &actor.at(&region), key, &e))?;
        answer.policy.ok_or_else(|| {
            let message = "the answer carries no policy".to_owned();
            editor.refused(key, "UnreadableAnswer", message)
        })
    }

    /// The lockout check stays on: a policy that would shut its own account out is refused by KMS. One attempt, because a later one
    /// would write what is no longer so.
    async fn put_policy(&self, editor: &Editor, key: &str, text: &str) -> Result<(), Refusal> {
        let actor = Actor::own(&editor.account);
        let region = editor.region_of(key);
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

    /// Puts back what somebody's slower write has undone, while this attempt holds the keys. At most once in a while, whoever asks.
    pub(super) async fn let_in_again(&self, state: &State) {
        let mut editing = self.policies.editing.lock().await;
        if self.now() - editing.0 < LOOK_AGAIN {
            return;
        }
        editing.0 = self.now();
        let editor = Editor::of(state);
        for key in state.source.keys.iter().filter(|key| editor.is_own(key)) {
            let shared = |i: &usize| state.targets[*i].shared;
            let Ok(Some(held)) = self.admitted_to(state, key, &shared).await else {
                continue;
            };
            let all = self.held(&state.run, key).await;
            let again = |there: Access| known(state, there, &all).and(those_in(state, &held));
            if let Err(refused) = self.edit_policy(&editor, key, &again).await {
                tracing::warn!(run = state.run, %refused, "the key policy could not be put right");
            }
        }
    }

    /// Everybody whom a run holds a key open to, as far as the ledger can be read.
    async fn held(&self, run: &str, key: &str) -> Principals {
        let record = self.opening_record(key).await;
        record
            .ok()
            .flatten()
            .map(|record| record.held_by_run(run))
            .unwrap_or_default()
    }

    /// Those of these targets whose accounts this run holds a key open to, by the ledger and not by the state; `None` where the state is not
    /// what the run was accepted with.
    async fn admitted_to(
        &self,
        state: &State,
        key: &str,
        picks: &(dyn Fn(&usize) -> bool + Send + Sync),
    ) -> Result<Option<Vec<usize>>, Refusal> {
        let (run, record) = (
            self.run_record(&state.run).await?,
            self.opening_record(key).await?,
        );
        let (Some(run), Some(record)) = (run, record) else {
            return Ok(None);
        };
        let held = record.held_by_run(&state.run);
        let audience = state.audience();
        let members = !audience.is_empty() && audience.iter().all(|who| held.contains(who));
        let is_held = |i: &usize| {
            let target = &state.targets[*i];
            held.contains(target.account_id.as_str()) || (target.member && members)
        };
        let all = 0..state.targets.len();
        let these: Vec<usize> = all.filter(|i| picks(i) && is_held(i)).collect();
        let admitted = run
            .admits(&state.attempt(), &state.as_run_to(&these))
            .is_ok();
        Ok(Some(these).filter(|_| admitted && (audience.is_empty() || members)))
    }

    /// Takes these out of the run's statements in the policy of one key; tells whether they were in. A key that is gone has none.
    pub(super) async fn remove_statements(
        &self,
        run: &Run,
        key: &str,
        gone: &Principals,
    ) -> Result<bool, Refusal> {
        let Some(editor) = Editor::of_run(run).filter(|editor| editor.is_own(key)) else {
            return Ok(false);
        };
        let _editing = self.policies.editing.lock().await;
        let short = |who: &String| who.rsplit('/').next().unwrap_or(who).to_owned();
        let gone: BTreeSet<String> = gone.iter().map(short).collect();
        let without = |mut there: Access| {
            there.remove(|who| gone.contains(who));
            there
        };
        match self.edit_policy(&editor, key, &without).await {
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => Ok(false),
            other => other,
        }
    }

    /// Makes the run's statements of a lasting share what they are to be.
    pub(super) async fn settle_share(
        &self,
        state: &State,
        key: &str,
        is_gone: &(dyn Fn(&str) -> bool + Send + Sync),
        known: bool,
    ) -> Result<(), Refusal> {
        let editor = Editor::of(state);
        if !editor.is_own(key) {
            return Ok(());
        }
        let _editing = self.policies.editing.lock().await;
        let has_it = |i: &usize| state.targets[*i].phase == TargetPhase::Succeeded;
        let stay = if known && by_policy(state) {
            self.admitted_to(state, key, &has_it).await?
        } else {
            None
        };
        let wanted = |mut there: Access| {
            if let Some(stay) = &stay {
                there = there.and(those_in(state, stay));
            }
            there.remove(is_gone);
            there
        };
        match self.edit_policy(&editor, key, &wanted).await {
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => Ok(()),
            other => other.map(drop),
        }
    }
}

fn terms(region: &Region, account: &AccountId, launch: bool, roles: &[ServiceLinkedRole]) -> Terms {
    let partition = region.partition();
    let anywhere = |arn: String| {
        let mut parts: Vec<&str> = arn.split(':').collect();
        if let Some(of) = parts.get_mut(4) {
            *of = "*";
        }
        parts.join(":")
    };
    Terms {
        partition,
        owner: account.clone(),
        launch,
        service_linked_roles: roles
            .iter()
            .map(|role| anywhere(role.arn(partition, account)))
            .collect(),
    }
}

/// What stands in a policy already and belongs there: whoever has a part of the run knows no other target, and direct calls for a
/// lasting share add to each other. A whole copying run knows all that it may let in.
fn known(state: &State, there: Access, held: &Principals) -> Access {
    if state.part || state.order.share.is_some() {
        return there;
    }
    let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
    let regions: BTreeSet<&Region> = state.targets.iter().map(|t| &t.region).collect();
    let mut known = Access {
        accounts: there
            .accounts
            .iter()
            .filter(|a| ours.contains(a) || held.contains(a.as_str()))
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

/// What these targets are to have on one key.
fn those_in(state: &State, targets: &[usize]) -> Access {
    let mut access = Access::default();
    access.regions.insert(state.source.region.clone());
    let regions = state.source.keys.iter().map(|key| key_region(state, key));
    access.regions.extend(regions);
    let share = state.order.share.as_ref();
    let audience = share.map_or(&state.order.audience, |share| &share.audience);
    let (mut named, mut members) = (Vec::new(), false);
    for (i, target) in targets.iter().map(|&i| (i, &state.targets[i])) {
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
