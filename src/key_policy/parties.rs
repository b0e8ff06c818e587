//! The parties of a run in the policy of a source key: whom its statements are to name, and whom
//! of those that stand there already they go on naming.

use std::collections::BTreeSet;

use super::{Access, role_anywhere};
use crate::ids::{AccountId, KeyArn, Region};
use crate::ledger::{Principals, Record, Run};
use crate::state::{RunRef, State, TargetPhase};

/// The targets and the audience of one run, as its statements name them.
#[derive(Debug, Clone, Copy)]
pub struct Parties<'a> {
    state: &'a State,
}

impl<'a> Parties<'a> {
    /// Reads them from the state of what is opened ([`State::opened`]).
    pub fn of(opened: &'a State) -> Self {
        Self { state: opened }
    }

    /// Returns the run.
    pub fn run(&self) -> RunRef<'a> {
        self.state.run_ref()
    }

    /// Returns the account of the target with this index.
    pub fn account(&self, target: usize) -> &'a AccountId {
        &self.state.targets[target].account_id
    }

    /// Returns the indices of all targets.
    pub fn all(&self) -> Vec<usize> {
        (0..self.state.targets.len()).collect()
    }

    /// Returns the access that these targets are to have on one key.
    pub fn access(&self, targets: &[usize]) -> Access {
        let state = self.state;
        let mut access = Access::default();
        access.regions.insert(state.source.region.clone());
        let regions = state.source.keys.iter().map(KeyArn::region);
        access.regions.extend(regions);
        let audience = self.run().audience();
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
        let copies = state.order.share.is_none();
        if !copies || members {
            for arn in audience {
                access.add_audience(arn);
            }
        }
        if copies {
            access.roles = self.roles_of(&named);
            access.member_roles = self.member_roles();
        }
        access
    }

    /// Returns the part of the statements that is there and belongs there.
    ///
    /// A run that is a part of another knows no other target, and direct calls for a lasting share
    /// add to each other: they keep everything. A whole copying run knows all that it may name.
    pub fn known(&self, there: Access, held: &Principals) -> Access {
        let state = self.state;
        if state.part || state.order.share.is_some() {
            return there;
        }
        let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
        let regions: BTreeSet<&Region> = state.targets.iter().map(|t| &t.region).collect();
        let has_members = there.has_members();
        let is_known = |a: &AccountId| ours.contains(a) || held.contains(a.as_str());
        let mut known = Access {
            accounts: there.accounts.into_iter().filter(is_known).collect(),
            regions: there
                .regions
                .into_iter()
                .filter(|region| regions.contains(region))
                .collect(),
            ..Access::default()
        };
        let named = |i: &usize| known.accounts.contains(self.account(*i));
        let named: Vec<usize> = self.all().into_iter().filter(named).collect();
        known.roles = self.roles_of(&named);
        if has_members {
            for arn in &state.order.audience {
                known.add_audience(arn);
            }
            known.member_roles = self.member_roles();
        }
        known
    }

    /// Returns the shared targets that the ledger holds a key open to; see [`Self::admitted`].
    pub fn admitted_while_shared(&self, run: &Run, record: &Record) -> Option<Vec<usize>> {
        self.admitted(run, record, |i| self.state.targets[i].shared)
    }

    /// Returns the succeeded targets that the ledger holds a key open to; see [`Self::admitted`].
    pub fn admitted_for_good(&self, run: &Run, record: &Record) -> Option<Vec<usize>> {
        let succeeded = |i: usize| self.state.targets[i].phase == TargetPhase::Succeeded;
        self.admitted(run, record, succeeded)
    }

    /// Returns the picked targets whose accounts the run holds a key open to, by the ledger and not
    /// by the state. `None` where the state is not what the run was accepted with.
    fn admitted(
        self,
        run: &Run,
        record: &Record,
        picks: impl Fn(usize) -> bool,
    ) -> Option<Vec<usize>> {
        let this = self.run();
        let held = record.held_by_run(this.id);
        let audience = this.audience();
        let members = !audience.is_empty() && audience.iter().all(|who| held.contains(who));
        let is_held = |i: usize| {
            let target = &self.state.targets[i];
            held.contains(target.account_id.as_str()) || (target.member && members)
        };
        let all = self.all().into_iter();
        let these: Vec<usize> = all.filter(|&i| picks(i) && is_held(i)).collect();
        let asked = self.state.as_run_to(&these);
        let admitted = run.admits(&this.attempt(), &asked).is_ok();
        Some(these).filter(|_| admitted && (audience.is_empty() || members))
    }

    /// Returns the roles that copy for these targets. Roles of one name go by that name, because
    /// the accounts stand beside it.
    fn roles_of(self, targets: &[usize]) -> BTreeSet<String> {
        let state = self.state;
        let partition = state.source.region.partition();
        let targets = targets.iter().map(|&i| &state.targets[i]);
        let names: BTreeSet<_> = state.targets.iter().map(|t| &t.role_name).collect();
        if names.len() == 1 && !state.part {
            return targets
                .map(|t| role_anywhere(partition, &t.role_name))
                .collect();
        }
        targets
            .map(|t| t.role_name.arn(partition, &t.account_id))
            .collect()
    }

    /// Returns the roles that copy for the members of the audience.
    fn member_roles(self) -> BTreeSet<String> {
        let members = self.state.targets.iter().filter(|t| t.member);
        let partition = self.state.source.region.partition();
        members
            .map(|t| role_anywhere(partition, &t.role_name))
            .collect()
    }
}
