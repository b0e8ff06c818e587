//! The principals with whom a lasting share ends: those that the request takes off, those whose
//! share failed, and, where the request is the whole list, everybody else whom this run let in.

use std::collections::BTreeSet;

use crate::cause::Cause;
use crate::ledger::{Attempt, short_name};
use crate::request::KeyAccess;
use crate::state::{Share, State, TargetState};

/// The principals that keep a lasting share, and those that lose it: accounts, organizations and
/// units by their IDs.
#[derive(Debug)]
pub struct Ends<'a> {
    state: &'a State,
    share: &'a Share,
    /// Accounts that the request names and that have their share.
    accounts: BTreeSet<&'a str>,
    /// The part of `accounts` that the audience stands for.
    members: BTreeSet<&'a str>,
    audience: BTreeSet<&'a str>,
    /// Principals whose share is to end.
    named: BTreeSet<&'a str>,
    /// Accounts that the ledger did not let this attempt open to: nothing is taken away from them.
    untouched: BTreeSet<&'a str>,
}

impl<'a> Ends<'a> {
    /// Reads them from the state of a lasting share whose targets are all terminal.
    pub fn of(state: &'a State, share: &'a Share) -> Self {
        let has_it = |t: &&TargetState| t.stands();
        let account = |t: &'a TargetState| t.account_id.as_str();
        let succeeded = || state.targets.iter().filter(has_it);
        let kept_out = |t: &&TargetState| {
            let cause = t.failure.as_ref().map(|failure| failure.cause);
            matches!(
                cause,
                Some(Cause::AttemptOver | Cause::LedgerFailed | Cause::NotAllowed)
            )
        };
        let others = state.targets.iter().filter(|t| !has_it(t) && !kept_out(t));
        let mut named: BTreeSet<&str> = others.map(account).collect();
        named.extend(share.gone.iter().map(|arn| short_name(arn)));
        let mut audience: BTreeSet<&str> =
            share.audience.iter().map(|arn| short_name(arn)).collect();
        if state.sharing.refused.is_some() {
            // A part of it is no share.
            named.append(&mut audience);
        }
        Self {
            state,
            share,
            accounts: succeeded().map(account).collect(),
            members: succeeded().filter(|t| t.member).map(account).collect(),
            audience,
            named,
            untouched: state.targets.iter().filter(kept_out).map(account).collect(),
        }
    }

    /// The attempt that ends them.
    pub fn attempt(&self) -> Attempt {
        self.state.run_ref().attempt()
    }

    /// Whether the launch permission of the image ends.
    pub fn on_image(&self, who: &str) -> bool {
        let stays = self.as_such(who);
        self.ends(stays, who)
    }

    /// Whether createVolumePermission on the snapshots ends.
    pub fn on_snapshots(&self, who: &str) -> bool {
        self.ends(self.share.snapshots && self.accounts.contains(who), who)
    }

    /// In one of the ways to a key: what another way left is taken away too.
    pub fn by_key_access(&self, way: KeyAccess, who: &str) -> bool {
        let stays = match way {
            // Grants go to accounts.
            KeyAccess::Grant => self.accounts.contains(who),
            KeyAccess::Policy | KeyAccess::None => self.as_such(who),
        };
        let same = self.state.order.key_access == way;
        self.ends(stays && same, who) || (stays && !same)
    }

    /// Of a key altogether, whichever way the request lets them use it.
    pub fn on_keys(&self, who: &str) -> bool {
        let way = match self.state.order.key_access {
            KeyAccess::None => KeyAccess::Grant,
            way => way,
        };
        let launches = self.state.order.grants_on_source_keys() && !self.by_launch_grants(who);
        self.by_key_access(way, who) && !launches
    }

    /// By grants that were made there for service-linked roles.
    pub fn by_launch_grants(&self, who: &str) -> bool {
        self.ends(self.accounts.contains(who), who)
    }

    /// Named by itself, or the audience.
    fn as_such(&self, who: &str) -> bool {
        (self.accounts.contains(who) && !self.members.contains(who)) || self.audience.contains(who)
    }

    fn ends(&self, stays: bool, who: &str) -> bool {
        if self.untouched.contains(who) {
            false
        } else if self.share.only {
            !stays
        } else {
            self.named.contains(who)
        }
    }
}
