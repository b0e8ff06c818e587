//! Opening the source (rule 1 of [`crate::ledger`]): what the run may open to is read from its object, each resource is held in its
//! record, then the permissions are given, and then the records are read again: who holds no longer closes what he gave.
//!
//! For a copy createVolumePermission on every snapshot and access to every key; for a lasting share launch permission as well.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kms::types::GrantOperation;
use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt};

use super::key::key_region;
use super::key_policy::Admitted;
use super::ledger::{Change, Found};
use super::permission::{Resource, Site};
use super::{Aws, grants, launch};
use crate::command::{Outcome, grant_prefix};
use crate::error::{Error, Refusal};
use crate::ids::AccountId;
use crate::ledger::{Attempt, FRESH, Kind, Opening, Principals, Record};
use crate::request::KeyAccess;
use crate::state::State;

/// CreateGrant allows 50 a second.
const GRANTS_AT_ONCE: usize = 8;
const SESSIONS_AT_ONCE: usize = 16;
/// Writes of one record that others change at the same time.
const MOST_RACES: usize = 24;

/// One resource, and to whom it is to be opened.
pub(super) struct Wish {
    site: Site,
    principals: Principals,
}

impl Wish {
    /// The resource's record as it was found, or a new one.
    fn record(&self, found: Option<&Found<Record>>) -> Record {
        let (region, account) = (self.site.region.as_str(), self.site.account.as_str());
        let new = || Record::new(self.site.resource.name(), region, account);
        found.map_or_else(new, |found| found.value.clone())
    }
}

fn wait_for(site: &Site, until: i64, attempt: &Attempt) -> Held {
    let why = format!("attempt {attempt} is closing {}", site.resource.name());
    Held::Wait { until, why }
}

fn closed_meanwhile(site: &Site, attempt: &Attempt) -> Held {
    let name = site.resource.name();
    Held::Over(format!("attempt {attempt} has closed {name} meanwhile"))
}

/// What came of holding.
enum Held {
    /// All of them; the run had it open to these accounts before.
    All(BTreeSet<String>),
    Wait {
        until: i64,
        why: String,
    },
    Over(String),
}

/// Whom AWS did not take.
#[derive(Default)]
struct Refusals {
    targets: Vec<(usize, Refusal)>,
    audience: Option<Refusal>,
}

impl Aws {
    /// Opens the source to the accounts of these targets, and to the audience of a lasting share.
    pub(super) async fn open(&self, state: &State, targets: &[usize]) -> Outcome {
        if let Err(why) = self.may_be_given(state, targets) {
            return Outcome::NotAllowed(why);
        }
        let opened = state.opened();
        let (targets, mut unreached) = self.reached(state, targets).await;
        let targets = &targets[..];
        let wishes = wishes(&opened, targets);
        let began = match self.hold_all(state, targets, &wishes).await {
            Ok(Held::All(began)) => began,
            Ok(Held::Wait { until, why }) => return Outcome::Wait { until, why },
            Ok(Held::Over(why)) => return Outcome::Over(why),
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let refused = match self.permit_all(&opened, targets, &wishes).await {
            Ok(refused) => refused,
            Err(refusal) => return Outcome::OpeningRefused(refusal),
        };
        match self.still_held(state, targets, &wishes).await {
            Ok(None) => {}
            Ok(Some(why)) => return self.close_again(state, &wishes, why).await,
            Err(refusal) => return Outcome::OpeningRefused(refusal),
        }
        let ours: BTreeSet<&AccountId> = state.targets.iter().map(|t| &t.account_id).collect();
        let earlier = ours
            .into_iter()
            .filter(|a| began.contains(a.as_str()))
            .cloned()
            .collect();
        unreached.extend(refused.targets);
        Outcome::Opened {
            earlier,
            refused: unreached,
            audience: refused.audience,
        }
    }

    /// Whether the settings allow what this state asks for, as they are now: a `State` may be older than they are, or made up.
    fn may_be_given(&self, state: &State, targets: &[usize]) -> Result<(), String> {
        let allowed = self.allowed.as_ref().map_err(String::clone)?;
        let check = || {
            let accounts = targets.iter().map(|&i| &state.targets[i].account_id);
            allowed.check_accounts(accounts)?;
            let audience = state.audience().iter().map(String::as_str);
            allowed.check_audience(audience)?;
            match (&state.order.share, state.order.revoke_after_copy) {
                (Some(_), _) => allowed.check_share("Mode: Share"),
                (None, false) => allowed.check_share("RevokeAfterCopy: false"),
                (None, true) => Ok(()),
            }
        };
        check().map_err(|error: Error| error.to_string())
    }

    /// Those of a copy's targets whose role this very process has assumed; a `State` may name any. With whom it has not, and what AWS said.
    async fn reached(
        &self,
        state: &State,
        targets: &[usize],
    ) -> (Vec<usize>, Vec<(usize, Refusal)>) {
        if state.order.share.is_some() {
            return (targets.to_vec(), Vec::new());
        }
        let all_targets = Vec::from(targets);
        let reaching = all_targets
            .into_iter()
            .map(|i| async move { (i, self.session(state, &state.targets[i]).await.err()) });
        let mut all = stream::iter(reaching).buffered(SESSIONS_AT_ONCE);
        let (mut reached, mut unreached) = (Vec::new(), Vec::new());
        while let Some((i, refusal)) = all.next().await {
            match refusal {
                None => reached.push(i),
                Some(refusal) => unreached.push((i, refusal)),
            }
        }
        (reached, unreached)
    }

    /// Asks the run's object whether it may, then writes the hold into each record.
    async fn hold_all(
        &self,
        state: &State,
        targets: &[usize],
        wishes: &[Wish],
    ) -> Result<Held, Refusal> {
        if let Err(why) = self.admitted(state, targets, wishes).await? {
            return Ok(Held::Over(why));
        }
        let (attempt, since) = (state.attempt(), self.now());
        let kind = kind_of(state);
        let reading = wishes.iter().map(|wish| {
            let key = crate::ledger::record_key(wish.site.resource.name());
            async move { self.ledger_object::<Record>(&key).await }
        });
        let records: Vec<Option<Found<Record>>> = try_join_all(reading).await?;
        // Where one must be waited for, none is held: what is held without being open would keep others from closing it.
        for (wish, found) in wishes.iter().zip(&records) {
            let record = wish.record(found.as_ref());
            // The permissions are read only where the record demands it.
            match record.open(&attempt, kind, &wish.principals, &wish.principals, since) {
                Opening::Wait { until, attempt } => {
                    return Ok(wait_for(&wish.site, until, &attempt));
                }
                Opening::Over => return Ok(closed_meanwhile(&wish.site, &attempt)),
                Opening::Hold(_) | Opening::Held | Opening::Finish(_) => {}
            }
        }
        let holding = wishes
            .iter()
            .zip(records)
            .map(|(wish, found)| self.hold(wish, &attempt, kind, found));
        let mut began = BTreeSet::new();
        let mut wait: Option<(i64, String)> = None;
        for held in join_all(holding).await {
            match held? {
                Held::All(earlier) => began.extend(earlier),
                Held::Wait { until, why } => wait = Some((until, why)),
                over @ Held::Over(_) => return Ok(over),
            }
        }
        if let Some((until, why)) = wait {
            return Ok(Held::Wait { until, why });
        }
        if self.now() - since > FRESH
            && let Some(why) = self.still_held(state, targets, wishes).await?
        {
            return Ok(Held::Over(why));
        }
        Ok(Held::All(began))
    }

    /// Whether the ledger lets this state open to these targets, and notes there which resources it is going to hold.
    async fn admitted(
        &self,
        state: &State,
        targets: &[usize],
        wishes: &[Wish],
    ) -> Result<Result<(), String>, Refusal> {
        let asked = state.as_run_to(targets);
        let attempt = state.attempt();
        let names: Vec<&str> = wishes
            .iter()
            .map(|wish| wish.site.resource.name())
            .collect();
        let edits = state.order.key_access == KeyAccess::Policy;
        let grants = state.order.key_access == KeyAccess::Grant || state.grants_on_source_keys();
        self.change_run(&state.run, |run| {
            let Some(run) = run else {
                return Change::Leave(Err(format!("the ledger knows no run {}", attempt.run)));
            };
            if let Err(why) = run.admits(&attempt, &asked) {
                return Change::Leave(Err(why));
            }
            let known = names.iter().all(|name| run.resources.contains(*name));
            let means = (run.edits_policies || !edits) && (run.grants || !grants);
            if known && means {
                return Change::Leave(Ok(()));
            }
            let mut new = run.next();
            new.resources
                .extend(names.iter().map(|name| (*name).to_owned()));
            new.edits_policies |= edits;
            new.grants |= grants;
            Change::Write(new, Ok(()))
        })
        .await
    }

    /// Writes into one record that this attempt holds it open to these.
    async fn hold(
        &self,
        wish: &Wish,
        attempt: &Attempt,
        kind: Kind,
        read: Option<Found<Record>>,
    ) -> Result<Held, Refusal> {
        let (site, principals) = (&wish.site, &wish.principals);
        let key = crate::ledger::record_key(site.resource.name());
        let mut found = read;
        for race in 0..MOST_RACES {
            if race > 0 {
                found = self.ledger_object::<Record>(&key).await?;
            }
            let record = wish.record(found.as_ref());
            let permitted = if record.needs_reading(principals) {
                self.permitted(site).await?
            } else {
                Principals::default()
            };
            let earlier = || -> BTreeSet<String> {
                let held = record.touched_by_run(&attempt.run);
                held.iter().cloned().collect()
            };
            match record.open(attempt, kind, principals, &permitted, self.now()) {
                Opening::Hold(new) => {
                    if self.write_object(&key, &*new, found.as_ref()).await? {
                        return Ok(Held::All(earlier()));
                    }
                    self.pause_after_race(race).await;
                }
                Opening::Held => return Ok(Held::All(earlier())),
                Opening::Wait {
                    until,
                    attempt: own,
                } if own == *attempt => {
                    let name = site.resource.name();
                    let why = format!(
                        "a permission on {name} may have been removed: reads show it within a minute"
                    );
                    return Ok(Held::Wait { until, why });
                }
                Opening::Wait { until, attempt } => return Ok(wait_for(site, until, &attempt)),
                Opening::Finish(other) => self.finish_closing(site, &other).await?,
                Opening::Over => return Ok(closed_meanwhile(site, attempt)),
            }
        }
        Err(self.too_many_races(&key))
    }

    /// Gives the permissions that are held. A permission that EC2 shows already is given all the same: a closing may have taken it
    /// away a moment ago.
    async fn permit_all(
        &self,
        state: &State,
        targets: &[usize],
        wishes: &[Wish],
    ) -> Result<Refusals, Refusal> {
        let permitting = wishes
            .iter()
            .filter(|wish| !wish.site.resource.is_key())
            .map(|wish| self.permit(&wish.site, &wish.principals));
        let mut not_taken = Vec::new();
        for refused in join_all(permitting).await {
            not_taken.extend(refused?);
        }
        let mut refused = Refusals::default();
        let mut granting = Vec::new();
        for &i in targets {
            let account = state.targets[i].account_id.as_str();
            match not_taken.iter().find(|(who, _)| who == account) {
                Some((_, refusal)) => refused.targets.push((i, refusal.clone())),
                None => granting.push(i),
            }
        }
        let audience = not_taken.iter().find(|(who, _)| who.starts_with("arn:"));
        refused.audience = audience.map(|(_, refusal)| refusal.clone());
        let keys = self.open_keys(state, &granting).await;
        refused.targets.extend(keys.refused);
        let lists = !state.audience().is_empty();
        refused.audience = refused.audience.or(keys.audience.filter(|_| lists));
        Ok(refused)
    }

    /// Lets the targets use the source keys, in the way that the request names.
    async fn open_keys(&self, state: &State, targets: &[usize]) -> Admitted {
        match state.order.key_access {
            KeyAccess::Grant => Admitted {
                refused: self.grant(state, targets).await,
                audience: None,
            },
            KeyAccess::Policy => self.admit(state, targets).await,
            KeyAccess::None => Admitted::default(),
        }
    }

    /// A grant on each source key: to each account's role for copying, to the account for launching. Returns the targets that
    /// were refused theirs.
    async fn grant(&self, state: &State, targets: &[usize]) -> Vec<(usize, Refusal)> {
        // Several targets of one account and role share their grant.
        let mut wanted: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
        for &i in targets {
            for key in &state.source.keys {
                let grant = (grantee(state, i), key.clone());
                wanted.entry(grant).or_default().push(i);
            }
        }
        let held_at = self.now();
        let granting = wanted.into_iter().map(|((grantee, key), of)| async move {
            let made = self.grant_one(state, of[0], &grantee, &key, held_at).await;
            let refusal = made.err()?;
            Some(
                of.into_iter()
                    .map(|i| (i, refusal.clone()))
                    .collect::<Vec<_>>(),
            )
        });
        let refused = stream::iter(granting).buffer_unordered(GRANTS_AT_ONCE);
        let refused: Vec<Vec<(usize, Refusal)>> =
            refused.filter_map(std::future::ready).collect().await;
        refused.into_iter().flatten().collect()
    }

    async fn grant_one(
        &self,
        state: &State,
        i: usize,
        grantee: &str,
        key: &str,
        held_at: i64,
    ) -> Result<(), Refusal> {
        let account = &state.targets[i].account_id;
        if self.now() - held_at > FRESH {
            // Among very many grants: the hold was written long ago.
            let principals: Principals = [account.as_str()].into_iter().collect();
            let record = self.opening_record(key).await?;
            if !record.is_some_and(|record| record.holds(&state.attempt(), &principals)) {
                return Err(over(state, key));
            }
        }
        let site = grants::KeySite {
            key,
            account: &state.source.account_id,
            region: key_region(state, key),
        };
        let name = format!("{}{account}", grant_prefix(&state.run));
        self.make_grant(&site, grantee, name, &operations(state))
            .await
    }

    /// Why this attempt holds no longer what it has just opened, if so.
    async fn still_held(
        &self,
        state: &State,
        targets: &[usize],
        wishes: &[Wish],
    ) -> Result<Option<String>, Refusal> {
        let attempt = state.attempt();
        let reading = wishes
            .iter()
            .map(|wish| self.opening_record(wish.site.resource.name()));
        for (wish, record) in wishes.iter().zip(join_all(reading).await) {
            let held = record?.is_some_and(|record| record.holds(&attempt, &wish.principals));
            if !held {
                let name = wish.site.resource.name();
                return Ok(Some(format!("attempt {attempt} closed {name} meanwhile")));
            }
        }
        // A closing that found nothing to close yet has said so here before it looked.
        let run = self.run_record(&state.run).await?;
        let asked = state.as_run_to(targets);
        Ok(match run.map(|run| run.admits(&attempt, &asked)) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(why),
            None => Some(format!("the ledger knows no run {} any more", state.run)),
        })
    }

    /// Closes again what was opened behind a closing, as a closing: nobody takes anything away unannounced.
    async fn close_again(&self, state: &State, wishes: &[Wish], why: String) -> Outcome {
        let attempt = state.attempt();
        let run = match self.run_record(&state.run).await {
            Ok(run) => run.unwrap_or_else(|| state.as_run()),
            Err(refusal) => return Outcome::OpeningRefused(refusal),
        };
        let (mut receipts, mut said) = (Vec::new(), None);
        for wish in wishes {
            let gone = Some(&wish.principals);
            match self
                .close_resource(&run, &attempt, &wish.site, gone, true)
                .await
            {
                Ok(closed) => receipts.extend(closed.map(|closed| closed.receipt)),
                Err(left) => said = left.into_iter().next().map(|(_, refusal)| refusal).or(said),
            }
        }
        let noted = self.add_receipts(&run.run, receipts).await;
        match said.or(noted.err()) {
            None => Outcome::Over(why),
            Some(refusal) => Outcome::OpeningRefused(refusal),
        }
    }
}

/// What is to be opened, and to whom.
fn wishes(state: &State, targets: &[usize]) -> Vec<Wish> {
    let named = |member: bool| -> Principals {
        let all = targets.iter().map(|&i| &state.targets[i]);
        let some = all.filter(|t| member || !t.member);
        some.map(|t| t.account_id.as_str()).collect()
    };
    let accounts = named(true);
    let mut as_such = named(false);
    let audience: Principals = state.audience().iter().map(String::as_str).collect();
    as_such.extend(&audience);
    let mut wishes = Vec::new();
    let mut wish = |resource: Resource, principals: &Principals| {
        if !principals.is_empty() {
            let region = match &resource {
                Resource::Key(arn) => key_region(state, arn),
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
    let share = state.order.share.as_ref();
    if share.is_some() {
        wish(Resource::Image(state.source.image_id.clone()), &as_such);
    }
    if share.is_none_or(|share| share.snapshots) {
        for id in &state.source.snapshots {
            wish(Resource::Snapshot(id.clone()), &accounts);
        }
    }
    let of_keys = match state.order.key_access {
        KeyAccess::Grant => &accounts,
        KeyAccess::Policy if audience.is_empty() => &accounts,
        KeyAccess::Policy => &as_such,
        // Grants of service-linked roles are made there later.
        KeyAccess::None if state.grants_on_source_keys() => &accounts,
        KeyAccess::None => return wishes,
    };
    for key in &state.source.keys {
        wish(Resource::Key(key.clone()), of_keys);
    }
    wishes
}

fn kind_of(state: &State) -> Kind {
    match state.order.share {
        Some(_) => Kind::Share,
        None => Kind::Copy,
    }
}

/// What the grant of a target allows.
pub(super) fn operations(state: &State) -> Vec<GrantOperation> {
    match &state.order.share {
        Some(_) if !state.order.service_linked_roles.is_empty() => launch::OPERATIONS.to_vec(),
        _ => grants::OPERATIONS.to_vec(),
    }
}

/// Who gets the grant of a target: the role that copies, or the account that launches, which leaves to its own policies who
/// may.
pub(super) fn grantee(state: &State, i: usize) -> String {
    let target = &state.targets[i];
    let partition = target.region.partition();
    match &state.order.share {
        Some(_) => format!("arn:{partition}:iam::{}:root", target.account_id),
        None => target.role_name.arn(partition, &target.account_id),
    }
}

fn over(state: &State, resource: &str) -> Refusal {
    Refusal {
        operation: "CreateGrant",
        account: state.source.account_id.to_string(),
        region: state.source.region.to_string(),
        resource: resource.to_owned(),
        code: "AttemptIsOver".to_owned(),
        message: format!("attempt {} was closed meanwhile", state.attempt()),
        request_id: None,
    }
}
