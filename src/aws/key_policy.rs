//! Putting a run's statements into the policies of the source keys, and taking them out.
//!
//! KMS replaces a policy as a whole and has no version to compare, so every writer may undo what
//! others wrote since it read. Among this project's processes the key's record in the ledger is the
//! lock (`lock`).
//!
//! Against other people, a policy is read again right before it is written, is written in one
//! attempt, and is read until it shows. Statements that a person's slower write undoes are put in
//! again while a target waits for the key. Statements that it brings back are taken out when the
//! closing is verified.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_kms::config::retry::RetryConfig;
use serde_json::Value;

use super::{Actor, Aws, refusal};
use crate::error::{Refusal, RefusalKind};
use crate::ids::{AccountId, KeyArn, Region};
use crate::key_policy::{Access, Document, LONGEST, Parties, Terms};
use crate::ledger::{Principals, Record, Run, short_name};
use crate::request::KeyAccess;
use crate::service_linked_role::ServiceLinkedRole;
use crate::state::{RunRef, State};

mod admit;
mod lock;

pub(super) use admit::Admitted;

/// Writes of one policy before the edit fails, because others change it all the time.
const MOST_WRITES: usize = 8;
/// Milliseconds between reads until a written policy shows.
const SHOWS_AFTER: [u64; 4] = [0, 200, 600, 1200];
/// Seconds between two repairs of statements by one process.
const LOOK_AGAIN: i64 = 5;

/// The state of one process about the policies that it edits.
#[derive(Debug, Default)]
pub struct Policies {
    /// Allows one edit at a time: a process must not compete with itself.
    editing: tokio::sync::Mutex<LastLook>,
}

#[derive(Debug, Default)]
struct LastLook(i64);

/// The run whose statements are edited, and the account of the keys.
pub(super) struct Editor {
    run: String,
    account: AccountId,
    terms: Terms,
}

impl Editor {
    fn of(run: RunRef<'_>) -> Self {
        let (region, account) = (&run.source.region, &run.source.account_id);
        let roles = &run.order.service_linked_roles;
        Self {
            run: run.id.to_owned(),
            account: account.clone(),
            terms: Terms::new(region, account, run.share().is_some(), roles),
        }
    }

    /// Returns the editor for a closing, which may know no state.
    fn of_run(run: &Run) -> Option<Self> {
        let account = AccountId::parse(&run.account_id).ok()?;
        let region = Region::parse(&run.source_region).ok()?;
        let roles = &run.order["ServiceLinkedRoles"];
        let roles: Vec<ServiceLinkedRole> =
            serde_json::from_value(roles.clone()).unwrap_or_default();
        let launch = run.kind == crate::ledger::Kind::Share;
        let terms = Terms::new(&region, &account, launch, &roles);
        Some(Self {
            run: run.run.clone(),
            account,
            terms,
        })
    }

    /// Returns the key's record as it was found, or a new one.
    fn record_of(&self, key: &KeyArn, found: Option<&Record>) -> Record {
        let (region, account) = (key.region(), self.account.as_str());
        let new = || Record::new(key.as_str(), region.as_str(), account);
        found.cloned().unwrap_or_else(new)
    }

    fn is_own(&self, key: &KeyArn) -> bool {
        key.account() == self.account
    }

    /// Returns a refusal of a policy by this function itself.
    fn refused(&self, key: &KeyArn, code: &str, message: String) -> Refusal {
        let at = Actor::own(&self.account).at(&key.region());
        Refusal::ours("PutKeyPolicy", &at, key, code, message)
    }

    fn document<'a>(&self, key: &KeyArn, text: &'a str) -> Result<Document<'a>, Refusal> {
        Document::read(text).map_err(|e| self.refused(key, "KeyPolicyUnreadable", e.to_string()))
    }

    /// Refuses a policy that is too long. A policy that is too long already may become shorter.
    fn fits(&self, key: &KeyArn, there: &str, new: &str) -> Result<(), Refusal> {
        if new.len() <= LONGEST || new.len() <= there.len() {
            return Ok(());
        }
        let bytes = new.len();
        let message =
            format!("with this run's statements it would have {bytes} bytes, at most {LONGEST}");
        Err(self.refused(key, "KeyPolicyTooLong", message))
    }

    fn of_another_account(&self, key: &KeyArn) -> Refusal {
        let owner = key.account();
        let message = format!("only account {owner} can edit the policy of its key");
        self.refused(key, "KeyOfAnotherAccount", message)
    }
}

impl Aws {
    /// Edits one policy: `wanted` makes the run's new access of the present one. Returns whether
    /// the policy was written.
    async fn edit_policy(
        &self,
        editor: &Editor,
        key: &KeyArn,
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

    /// Returns, where the policy is as `wanted`, whether it has statements of this run; otherwise
    /// `None`.
    async fn is_as_wanted(
        &self,
        editor: &Editor,
        key: &KeyArn,
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
        key: &KeyArn,
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
                // Another process may have had the lock meanwhile, so the text is out of date.
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

    /// Whether a written policy shows by now. Reads may be late.
    async fn shows(
        &self,
        editor: &Editor,
        key: &KeyArn,
        wanted: &[Value],
    ) -> Result<bool, Refusal> {
        for wait in SHOWS_AFTER {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            let text = self.policy_text(editor, key).await?;
            if editor.document(key, &text)?.has(&editor.run, wanted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits longer each time, and at random, so that two processes do not keep in step.
    async fn pause_editing(&self, write: usize) {
        let longest = 250_u64 << write.min(5);
        tokio::time::sleep(Duration::from_millis(100) + Self::jitter(longest)).await;
    }

    /// Whether the statements for all targets can be put in, as far as reading tells: nothing is
    /// written.
    pub(super) async fn would_admit(
        &self,
        parties: &Parties<'_>,
        key: &KeyArn,
    ) -> Result<(), Refusal> {
        let editor = Editor::of(parties.run());
        if !editor.is_own(key) {
            return Err(editor.of_another_account(key));
        }
        let text = self.policy_text(&editor, key).await?;
        let document = editor.document(key, &text)?;
        let there = Access::read(&document.ours(&editor.run));
        let access = there.and(parties.access(&parties.all()));
        let statements = access.statements(&editor.run, &editor.terms);
        editor.fits(key, &text, &document.with(&editor.run, &statements))
    }

    async fn policy_text(&self, editor: &Editor, key: &KeyArn) -> Result<String, Refusal> {
        let actor = Actor::own(&editor.account);
        let region = key.region();
        let answer = self
            .kms(&actor, &region)
            .get_key_policy()
            .key_id(key.as_str())
            .send();
        let answer = answer
            .await
            .map_err(|e| refusal("GetKeyPolicy", &actor.at(&region), key, &e))?;
        answer.policy.ok_or_else(|| {
            let message = "the answer carries no policy".to_owned();
            editor.refused(key, "UnreadableAnswer", message)
        })
    }

    /// Writes a policy. KMS's lockout check stays on: it refuses a policy that locks its own
    /// account out. One attempt only, because a later attempt would write an outdated text.
    async fn put_policy(&self, editor: &Editor, key: &KeyArn, text: &str) -> Result<(), Refusal> {
        let actor = Actor::own(&editor.account);
        let region = key.region();
        let once = aws_sdk_kms::config::Builder::new().retry_config(RetryConfig::disabled());
        let answer = self
            .kms(&actor, &region)
            .put_key_policy()
            .key_id(key.as_str())
            .policy(text)
            .customize()
            .config_override(once)
            .send()
            .await;
        answer.map_err(|e| refusal("PutKeyPolicy", &actor.at(&region), key, &e))?;
        Ok(())
    }

    /// Puts the statements of a run back where the session of a target is denied its keys. Takes
    /// the whole state, because a policy names all targets.
    pub(super) async fn put_back(&self, state: &State, refusal: &Refusal) {
        let edits = state.order.key_access == KeyAccess::Policy;
        if edits && refusal.kind() == RefusalKind::Denied {
            let opened = state.opened(state.run_ref().home_stage());
            self.put_statements_back(&Parties::of(&opened)).await;
        }
    }

    /// Repairs what somebody's slower write has undone, while this attempt holds the keys. Does so
    /// at most once in [`LOOK_AGAIN`] seconds, however many targets ask.
    async fn put_statements_back(&self, parties: &Parties<'_>) {
        let mut editing = self.policies.editing.lock().await;
        if self.now() - editing.0 < LOOK_AGAIN {
            return;
        }
        editing.0 = self.now();
        let run = parties.run();
        let editor = Editor::of(run);
        for key in run.source.keys.iter().filter(|key| editor.is_own(key)) {
            let Ok(Some((by_ledger, record))) = self.run_and_record(run.id, key).await else {
                continue;
            };
            let Some(held) = parties.admitted_while_shared(&by_ledger, &record) else {
                continue;
            };
            let all = self.held(run.id, key).await;
            let again = |there: Access| parties.known(there, &all).and(parties.access(&held));
            if let Err(refused) = self.edit_policy(&editor, key, &again).await {
                tracing::warn!(run = run.id, %refused, "the key policy could not be put right");
            }
        }
    }

    /// Returns the principals that a run holds a key open to, as far as the ledger can be read.
    async fn held(&self, run: &str, key: &KeyArn) -> Principals {
        let record = self.opening_record(key.as_str()).await;
        record
            .ok()
            .flatten()
            .map(|record| record.held_by_run(run))
            .unwrap_or_default()
    }

    /// Reads a run's object and a key's record; `None` where the ledger lacks one of them.
    async fn run_and_record(
        &self,
        run: &str,
        key: &KeyArn,
    ) -> Result<Option<(Run, Record)>, Refusal> {
        let (run, record) = (
            self.run_record(run).await?,
            self.opening_record(key.as_str()).await?,
        );
        Ok(run.zip(record))
    }

    /// Takes these principals out of the run's statements in the policy of one key. Returns whether
    /// the policy named them. A key that is gone has no policy.
    pub(super) async fn remove_statements(
        &self,
        run: &Run,
        key: &KeyArn,
        gone: &Principals,
    ) -> Result<bool, Refusal> {
        let Some(editor) = Editor::of_run(run).filter(|editor| editor.is_own(key)) else {
            return Ok(false);
        };
        let _editing = self.policies.editing.lock().await;
        let gone: BTreeSet<&str> = gone.iter().map(|who| short_name(who)).collect();
        let without = |mut there: Access| {
            there.remove(|who| gone.contains(who));
            there
        };
        match self.edit_policy(&editor, key, &without).await {
            Err(refusal) if refusal.kind() == RefusalKind::NotFound => Ok(false),
            other => other,
        }
    }

    /// Makes the run's statements of a lasting share what they are to be. Puts statements in only
    /// where the key is `known` to be the image's.
    pub(super) async fn settle_share(
        &self,
        parties: &Parties<'_>,
        key: &KeyArn,
        is_gone: &(dyn Fn(&str) -> bool + Send + Sync),
        known: bool,
    ) -> Result<(), Refusal> {
        let run = parties.run();
        let editor = Editor::of(run);
        if !editor.is_own(key) {
            return Ok(());
        }
        let _editing = self.policies.editing.lock().await;
        let stay = if known && run.order.key_access == KeyAccess::Policy {
            let read = self.run_and_record(run.id, key).await?;
            read.and_then(|(run, record)| parties.admitted_for_good(&run, &record))
        } else {
            None
        };
        let wanted = |mut there: Access| {
            if let Some(stay) = &stay {
                there = there.and(parties.access(stay));
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
