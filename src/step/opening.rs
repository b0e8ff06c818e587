//! The plan of one opening: which resources of the source are opened to which principals, and which
//! grants the targets get.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Refusal;
use crate::ids::{AccountId, KeyArn};
use crate::kms;
use crate::ledger::{Attempt, Kind, Principals, Record, Resource, Run, Site};
use crate::request::KeyAccess;
use crate::state::{RunRef, State, TargetState};

/// One resource, and the principals that it is to be opened to.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The resource with its account and Region.
    pub site: Site,
    /// The accounts, organizations and units to open it to.
    pub principals: Principals,
}

impl Wish {
    /// Returns the resource's record as it was found, or a new one.
    pub fn record(&self, found: Option<&Record>) -> Record {
        let (region, account) = (self.site.region.as_str(), self.site.account.as_str());
        let new = || Record::new(self.site.resource.name(), region, account);
        found.cloned().unwrap_or_else(new)
    }
}

/// One grant on a source key, for all targets of one account and role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGrant {
    /// The source key.
    pub key: KeyArn,
    /// The ARN of the role that uses the key.
    pub grantee: String,
    /// The account of that role.
    pub account: AccountId,
    /// The targets that need the grant, by their places in the state.
    pub targets: Vec<usize>,
}

/// The principals that EC2 or KMS refused.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Targets by their places in the state.
    pub targets: Vec<(usize, Refusal)>,
    /// The refusal of an organization or unit of a share.
    pub audience: Option<Refusal>,
}

/// One opening of a source to some of a run's targets.
#[derive(Debug)]
pub struct OpeningPlan<'a> {
    /// The attempt that opens.
    pub attempt: Attempt,
    /// Whether the opening is for copies or a lasting share.
    pub kind: Kind,
    /// The run as the ledger must admit it: about these targets only.
    pub asked: Run,
    /// The run as the state has it, for a ledger that knows none.
    pub whole: Run,
    /// The resources to open, in order.
    pub wishes: Vec<Wish>,
    /// The targets to open to, by their places in the state.
    pub targets: Vec<usize>,
    opened: &'a State,
}

impl<'a> OpeningPlan<'a> {
    /// Plans to open to these targets. `opened` is the same state about what is opened
    /// ([`State::opened`]).
    pub fn of(state: &State, opened: &'a State, targets: Vec<usize>) -> Self {
        let others = |&i: &usize| !state.run_ref().is_own(&state.targets[i]);
        let targets: Vec<usize> = targets.into_iter().filter(others).collect();
        Self {
            attempt: state.run_ref().attempt(),
            kind: match state.order.share {
                Some(_) => Kind::Share,
                None => Kind::Copy,
            },
            asked: state.as_run_to(&targets),
            whole: state.as_run(),
            wishes: wishes(opened, &targets),
            targets,
            opened,
        }
    }

    /// Returns the run, about what is opened.
    pub fn run(&self) -> RunRef<'a> {
        self.opened.run_ref()
    }

    /// Returns the state of what is opened, as [`crate::key_policy::Parties`] reads it.
    pub fn opened(&self) -> &'a State {
        self.opened
    }

    /// Whether the run puts statements into key policies.
    pub fn edits(&self) -> bool {
        self.run().order.key_access == KeyAccess::Policy
    }

    /// Whether the run, or its targets for it, make grants on the source keys.
    pub fn grants(&self) -> bool {
        let order = self.run().order;
        order.key_access == KeyAccess::Grant || order.grants_on_source_keys()
    }

    /// Returns the grants for these targets. Targets of one account and role share theirs.
    pub fn wanted_grants(&self, targets: &[usize]) -> Vec<WantedGrant> {
        let run = self.run();
        let mut wanted: BTreeMap<(String, KeyArn), Vec<usize>> = BTreeMap::new();
        for &i in targets {
            for key in &run.source.keys {
                let grant = (grantee(run, &self.opened.targets[i]), key.clone());
                wanted.entry(grant).or_default().push(i);
            }
        }
        let grants = wanted.into_iter().map(|((grantee, key), targets)| {
            let account = self.opened.targets[targets[0]].account_id.clone();
            WantedGrant {
                key,
                grantee,
                account,
                targets,
            }
        });
        grants.collect()
    }

    /// Sorts the principals that EC2 did not take. Also returns the targets that it took.
    pub fn sort_refusals(&self, not_taken: &[(String, Refusal)]) -> (Refusals, Vec<usize>) {
        let (mut refused, mut taken) = (Refusals::default(), Vec::new());
        for &i in &self.targets {
            let account = self.opened.targets[i].account_id.as_str();
            match not_taken.iter().find(|(who, _)| who == account) {
                Some((_, refusal)) => refused.targets.push((i, refusal.clone())),
                None => taken.push(i),
            }
        }
        let audience = not_taken.iter().find(|(who, _)| who.starts_with("arn:"));
        refused.audience = audience.map(|(_, refusal)| refusal.clone());
        (refused, taken)
    }

    /// Returns the accounts of the run's targets that the run had it open to before.
    pub fn earlier(&self, open_before: &BTreeSet<String>) -> Vec<AccountId> {
        let accounts = self.opened.targets.iter().map(|t| &t.account_id);
        let ours: BTreeSet<&AccountId> = accounts.collect();
        ours.into_iter()
            .filter(|account| open_before.contains(account.as_str()))
            .cloned()
            .collect()
    }
}

/// Returns the grantee of a target: the role that copies, or the account that launches, whose own
/// policies then decide who may.
pub fn grantee(run: RunRef<'_>, target: &TargetState) -> String {
    let partition = target.region.partition();
    match run.share() {
        Some(_) => format!("arn:{partition}:iam::{}:root", target.account_id),
        None => target.role_name.arn(partition, &target.account_id),
    }
}

/// Returns the actions that the grant of a target allows.
pub fn granted_actions(run: RunRef<'_>) -> &'static [&'static str] {
    if run.order.grants_on_source_keys() {
        &kms::LAUNCHING
    } else {
        &kms::COPYING
    }
}

fn wishes(state: &State, targets: &[usize]) -> Vec<Wish> {
    let named = |member: bool| -> Principals {
        let all = targets.iter().map(|&i| &state.targets[i]);
        let some = all.filter(|t| member || !t.member);
        some.map(|t| t.account_id.as_str()).collect()
    };
    let accounts = named(true);
    let mut as_such = named(false);
    let run = state.run_ref();
    let audience: Principals = run.audience().iter().map(String::as_str).collect();
    as_such.extend(&audience);
    let mut wishes = Vec::new();
    let mut wish = |resource: Resource, principals: &Principals| {
        if !principals.is_empty() {
            let region = match &resource {
                Resource::Key(arn) => arn.region(),
                _ => state.source.region.clone(),
            };
            let account = state.source.account_id.clone();
            let site = Site {
                resource,
                account,
                region,
            };
            wishes.push(Wish {
                site,
                principals: principals.clone(),
            });
        }
    };
    if run.share().is_some() {
        wish(Resource::Image(state.source.image_id.clone()), &as_such);
    } else if run.order.copies_image {
        wish(Resource::Image(state.source.image_id.clone()), &accounts);
    }
    if run.share().is_none_or(|share| share.snapshots) {
        for id in &state.source.snapshots {
            wish(Resource::Snapshot(id.clone()), &accounts);
        }
    }
    let of_keys = match state.order.key_access {
        KeyAccess::Grant => &accounts,
        KeyAccess::Policy if audience.is_empty() => &accounts,
        KeyAccess::Policy => &as_such,
        // Grants of service-linked roles are made there later.
        KeyAccess::None if state.order.grants_on_source_keys() => &accounts,
        KeyAccess::None => return wishes,
    };
    for key in &state.source.keys {
        wish(Resource::Key(key.clone()), of_keys);
    }
    wishes
}
