//! Opening keys to targets by policy, and finding the accounts that KMS does not know. One account
//! that does not exist spoils the policy for all, and KMS does not say which.

use std::collections::{BTreeMap, BTreeSet};

use super::Editor;
use crate::aws::Aws;
use crate::error::Refusal;
use crate::ids::{AccountId, KeyArn};
use crate::key_policy::{Access, Parties};

/// Writes of one policy to find the accounts that it is refused for.
const MOST_TRIALS: usize = 40;

/// The refusals of an opening by policy.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Targets that were refused.
    pub refused: Vec<(usize, Refusal)>,
    /// The refusal of the organization or units.
    pub audience: Option<Refusal>,
}

impl Aws {
    /// Puts the statements for these targets into the policies of all source keys, beside those of
    /// earlier targets.
    pub(in crate::aws) async fn admit(&self, parties: &Parties<'_>, targets: &[usize]) -> Admitted {
        let mut admitted = Admitted::default();
        let editor = Editor::of(parties.run());
        let _editing = self.policies.editing.lock().await;
        for key in &parties.run().source.keys {
            let unknown = if editor.is_own(key) {
                self.admit_to(parties, targets, key).await
            } else {
                Err(editor.of_another_account(key))
            };
            match unknown {
                Ok(accounts) => {
                    let of = |i: usize| accounts.get(parties.account(i));
                    let refused = targets.iter().filter_map(|&i| Some((i, of(i)?.clone())));
                    admitted.refused.extend(refused);
                }
                Err(refusal) => {
                    let all = targets.iter().map(|&i| (i, refusal.clone()));
                    admitted.refused.extend(all);
                    admitted.audience.get_or_insert(refusal);
                }
            }
        }
        admitted
    }

    /// Returns the accounts that KMS does not know.
    async fn admit_to(
        &self,
        parties: &Parties<'_>,
        targets: &[usize],
        key: &KeyArn,
    ) -> Result<BTreeMap<AccountId, Refusal>, Refusal> {
        let editor = Editor::of(parties.run());
        let wanted = parties.access(targets);
        let held = self.held(parties.run().id, key).await;
        let all = |there: Access| parties.known(there, &held).and(wanted.clone());
        let refusal = match self.edit_policy(&editor, key, &all).await {
            Ok(_) => return Ok(BTreeMap::new()),
            Err(refusal) if is_unknown_principal(&refusal) => refusal,
            Err(refusal) => return Err(refusal),
        };
        if wanted.accounts.is_empty() {
            return Err(refusal);
        }
        // The policy as it stands may be refused as well: it may name somebody who has been deleted
        // since.
        if let Err(as_it_stands) = self.rewrite(&editor, key).await {
            if !is_unknown_principal(&as_it_stands) {
                return Err(as_it_stands);
            }
            let said = &as_it_stands.message;
            let message = format!("the policy as it stands is refused as well: {said}");
            return Err(editor.refused(key, "KeyPolicyNamesNobody", message));
        }
        self.find_unknown(parties, key, &wanted, refusal).await
    }

    /// Opens to half of the accounts at a time; a refused half is halved again.
    async fn find_unknown(
        &self,
        parties: &Parties<'_>,
        key: &KeyArn,
        wanted: &Access,
        first: Refusal,
    ) -> Result<BTreeMap<AccountId, Refusal>, Refusal> {
        let (mut unknown, mut good) = (BTreeMap::new(), BTreeSet::new());
        let mut waiting = vec![(wanted.accounts.clone(), Some(first.clone()))];
        let mut trials = 0;
        while let Some((some, refusal)) = waiting.pop() {
            let refusal = match refusal {
                Some(refusal) => refusal,
                None if trials == MOST_TRIALS => {
                    unknown.extend(some.into_iter().map(|account| (account, first.clone())));
                    continue;
                }
                None => {
                    trials += 1;
                    match self.try_with(parties, key, wanted, &good | &some).await {
                        Ok(()) => {
                            good.extend(some);
                            continue;
                        }
                        Err(refusal) if is_unknown_principal(&refusal) => refusal,
                        Err(refusal) => return Err(refusal),
                    }
                }
            };
            if let (1, Some(one)) = (some.len(), some.first()) {
                let message = format!("account {one}: {}", refusal.message);
                let code = "UnknownAccount".to_owned();
                unknown.insert(
                    one.clone(),
                    Refusal {
                        code,
                        message,
                        ..refusal
                    },
                );
                continue;
            }
            let half = some.len() / 2;
            waiting.push((some.iter().skip(half).cloned().collect(), None));
            waiting.push((some.iter().take(half).cloned().collect(), None));
        }
        Ok(unknown)
    }

    /// Opens to these of the wanted accounts, and to no others of them.
    async fn try_with(
        &self,
        parties: &Parties<'_>,
        key: &KeyArn,
        wanted: &Access,
        these: BTreeSet<AccountId>,
    ) -> Result<(), Refusal> {
        let others: BTreeSet<AccountId> = &wanted.accounts - &these;
        let less = Access {
            accounts: these,
            ..wanted.clone()
        };
        let held = self.held(parties.run().id, key).await;
        let trial = |there: Access| {
            let mut access = parties.known(there, &held);
            access.accounts.retain(|account| !others.contains(account));
            access.and(less.clone())
        };
        self.edit_policy(&Editor::of(parties.run()), key, &trial)
            .await
            .map(drop)
    }

    /// Writes the policy as it stands.
    async fn rewrite(&self, editor: &Editor, key: &KeyArn) -> Result<(), Refusal> {
        let locked_at = self.lock_policy(editor, key).await?;
        let rewritten = async {
            let mut text = self.policy_text(editor, key).await?;
            editor.document(key, &text)?;
            if !super::lock::is_fresh(locked_at, self.now()) {
                self.lock_policy(editor, key).await?;
                text = self.policy_text(editor, key).await?;
            }
            self.put_policy(editor, key, &text).await
        };
        let rewritten = rewritten.await;
        self.unlock_policy(key).await;
        rewritten
    }
}

/// Whether KMS refuses a principal. It has one code for every fault of a policy.
fn is_unknown_principal(refusal: &Refusal) -> bool {
    refusal.code == "MalformedPolicyDocumentException"
        && refusal.message.to_ascii_lowercase().contains("principal")
}
