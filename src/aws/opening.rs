//! Opening the source (rule 1 of [`crate::ledger`]): what the run may open to is read from its
//! object, each resource is held in its record, then the permissions are given, and then the
//! records are read again: who holds no longer closes what he gave.
//!
//! For a copy createVolumePermission on every snapshot and access to every key; for a lasting share
//! launch permission as well.

use std::collections::BTreeSet;

use futures::future::{join_all, try_join_all};
use futures::stream::{self, StreamExt};

use super::key_policy::Admitted;
use super::ledger::{Change, Found};
use super::{Actor, Aws, grants};
use crate::command::{Opened, Shared, Wait, grant_prefix};
use crate::error::{Error, Refusal};
use crate::ids::AccountId;
use crate::key_policy::Parties;
use crate::ledger::{Attempt, FRESH, Kind, Opening, Principals, Record, Site};
use crate::request::KeyAccess;
use crate::state::{RunRef, State};
use crate::step::{OpeningPlan, Refusals, WantedGrant, Wish, granted_actions};

/// CreateGrant allows 50 a second.
const GRANTS_AT_ONCE: usize = 8;
const SESSIONS_AT_ONCE: usize = 16;
/// Writes of one record that others change at the same time.
const MOST_RACES: usize = 24;

fn wait_for(site: &Site, until: i64, attempt: &Attempt) -> Held {
    let why = format!("attempt {attempt} is closing {}", site.resource.name());
    Held::Wait(Wait { until, why })
}

fn closed_meanwhile(site: &Site, attempt: &Attempt) -> Held {
    let name = site.resource.name();
    Held::Over(format!("attempt {attempt} has closed {name} meanwhile"))
}

/// The outcome of holding.
enum Held {
    /// All of them; the run had it open to these accounts before.
    All(BTreeSet<String>),
    Wait(Wait),
    Over(String),
}

impl Aws {
    /// Opens the source to the accounts of these targets, and to the audience of a lasting share.
    /// All of them copy from the same stage. Takes the whole state, to plan from.
    pub(super) async fn open(&self, state: &State, targets: &[usize]) -> Result<Shared, Refusal> {
        let run = state.run_ref();
        let accounts = targets.iter().map(|&i| &state.targets[i].account_id);
        if let Err(why) = self.may_be_given(run, accounts.collect()) {
            return Ok(Shared::NotAllowed(why));
        }
        let copied_from = targets
            .first()
            .and_then(|&i| run.stage_of(&state.targets[i]));
        let opened = state.opened(copied_from);
        let (reached, mut unreached) = self.reached(state, targets).await;
        let plan = OpeningPlan::of(state, &opened, reached);
        let open_before = match self.hold_all(&plan).await? {
            Held::All(open_before) => open_before,
            Held::Wait(wait) => return Ok(Shared::Wait(wait)),
            Held::Over(why) => return Ok(Shared::Over(why)),
        };
        let refused = match self.permit_all(&plan).await {
            Ok(refused) => refused,
            Err(refusal) => return Ok(Shared::Unsure(refusal)),
        };
        match self.still_held(&plan).await {
            Ok(None) => {}
            Ok(Some(why)) => return Ok(self.close_again(plan, why).await),
            Err(refusal) => return Ok(Shared::Unsure(refusal)),
        }
        unreached.extend(refused.targets);
        Ok(Shared::Opened(Opened {
            earlier: plan.earlier(&open_before),
            refused: unreached,
            audience: refused.audience,
        }))
    }

    /// Whether the settings, as they are now, allow what this run asks for. A `State` may be older
    /// than they are, or made up.
    fn may_be_given(&self, run: RunRef<'_>, accounts: Vec<&AccountId>) -> Result<(), String> {
        let allowed = self.allowed.as_ref().map_err(String::clone)?;
        let check = || {
            allowed.check_accounts(accounts.into_iter())?;
            let audience = run.audience().iter().map(String::as_str);
            allowed.check_audience(audience)?;
            match (run.share(), run.order.revoke_after_copy) {
                (Some(_), _) => allowed.check_share("Mode: Share"),
                (None, false) => allowed.check_share("RevokeAfterCopy: false"),
                (None, true) => Ok(()),
            }
        };
        check().map_err(|error: Error| error.to_string())
    }

    /// Returns those of a copy's targets whose role this very process has assumed, as a `State` may
    /// name any. Also returns the others, with AWS's refusals. Takes the whole state for
    /// [`Aws::session`].
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
    async fn hold_all(&self, plan: &OpeningPlan<'_>) -> Result<Held, Refusal> {
        if let Err(why) = self.admitted(plan).await? {
            return Ok(Held::Over(why));
        }
        let (attempt, kind, since) = (&plan.attempt, plan.kind, self.now());
        let wishes = &plan.wishes;
        let reading = wishes.iter().map(|wish| {
            let key = crate::ledger::record_key(wish.site.resource.name());
            async move { self.ledger_object::<Record>(&key).await }
        });
        let records: Vec<Option<Found<Record>>> = try_join_all(reading).await?;
        // Where one must be waited for, none is held: what is held without being open would keep
        // others from closing it.
        for (wish, found) in wishes.iter().zip(&records) {
            let record = wish.record(found.as_ref().map(|found| &found.value));
            // The permissions are read only where the record demands it.
            match record.open(attempt, kind, &wish.principals, &wish.principals, since) {
                Opening::Wait { until, attempt } => {
                    return Ok(wait_for(&wish.site, until, &attempt));
                }
                Opening::Over => return Ok(closed_meanwhile(&wish.site, attempt)),
                Opening::Hold(_) | Opening::Held | Opening::Finish(_) => {}
            }
        }
        let holding = wishes
            .iter()
            .zip(records)
            .map(|(wish, found)| self.hold(wish, attempt, kind, found));
        let mut began = BTreeSet::new();
        let mut wait = None;
        for held in join_all(holding).await {
            match held? {
                Held::All(earlier) => began.extend(earlier),
                Held::Wait(later) => wait = Some(later),
                over @ Held::Over(_) => return Ok(over),
            }
        }
        if let Some(wait) = wait {
            return Ok(Held::Wait(wait));
        }
        if self.now() - since > FRESH
            && let Some(why) = self.still_held(plan).await?
        {
            return Ok(Held::Over(why));
        }
        Ok(Held::All(began))
    }

    /// Whether the ledger lets this state open to these targets, and notes there which resources it
    /// is going to hold.
    async fn admitted(&self, plan: &OpeningPlan<'_>) -> Result<Result<(), String>, Refusal> {
        let attempt = &plan.attempt;
        let wishes = plan.wishes.iter();
        let names: Vec<&str> = wishes.map(|wish| wish.site.resource.name()).collect();
        let (edits, grants) = (plan.edits(), plan.grants());
        self.change_run(&attempt.run, |run| {
            let Some(run) = run else {
                return Change::Leave(Err(format!("the ledger knows no run {}", attempt.run)));
            };
            if let Err(why) = run.admits(attempt, &plan.asked) {
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
            let record = wish.record(found.as_ref().map(|found| &found.value));
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
                        "a permission on {name} may have been removed: reads show it within a \
                         minute"
                    );
                    return Ok(Held::Wait(Wait { until, why }));
                }
                Opening::Wait { until, attempt } => return Ok(wait_for(site, until, &attempt)),
                Opening::Finish(other) => self.finish_closing(site, &other).await?,
                Opening::Over => return Ok(closed_meanwhile(site, attempt)),
            }
        }
        Err(self.too_many_races(&key))
    }

    /// Gives the permissions that are held. A permission that EC2 shows already is given all the
    /// same: a closing may have taken it away a moment ago.
    async fn permit_all(&self, plan: &OpeningPlan<'_>) -> Result<Refusals, Refusal> {
        let permitting = plan
            .wishes
            .iter()
            .filter(|wish| !wish.site.resource.is_key())
            .map(|wish| self.permit(&wish.site, &wish.principals));
        let mut not_taken = Vec::new();
        for refused in join_all(permitting).await {
            not_taken.extend(refused?);
        }
        let (mut refused, taken) = plan.sort_refusals(&not_taken);
        let keys = self.open_keys(plan, &taken).await;
        refused.targets.extend(keys.refused);
        let lists = !plan.run().audience().is_empty();
        refused.audience = refused.audience.or(keys.audience.filter(|_| lists));
        Ok(refused)
    }

    /// Lets these targets use the source keys, in the way that the request names.
    async fn open_keys(&self, plan: &OpeningPlan<'_>, targets: &[usize]) -> Admitted {
        match plan.run().order.key_access {
            KeyAccess::Grant => Admitted {
                refused: self.grant(plan, targets).await,
                audience: None,
            },
            KeyAccess::Policy => self.admit(&Parties::of(plan.opened()), targets).await,
            KeyAccess::None => Admitted::default(),
        }
    }

    /// Makes a grant on each source key: to each account's role for copying, to the account for
    /// launching. Returns the targets that were refused theirs.
    async fn grant(&self, plan: &OpeningPlan<'_>, targets: &[usize]) -> Vec<(usize, Refusal)> {
        let held_at = self.now();
        let wanted = plan.wanted_grants(targets);
        let granting = wanted.into_iter().map(|wanted| async move {
            let refusal = self.grant_one(plan, &wanted, held_at).await.err()?;
            let each = wanted.targets.into_iter();
            Some(each.map(|i| (i, refusal.clone())).collect::<Vec<_>>())
        });
        let refused = stream::iter(granting).buffer_unordered(GRANTS_AT_ONCE);
        let refused: Vec<Vec<(usize, Refusal)>> =
            refused.filter_map(std::future::ready).collect().await;
        refused.into_iter().flatten().collect()
    }

    async fn grant_one(
        &self,
        plan: &OpeningPlan<'_>,
        wanted: &WantedGrant,
        held_at: i64,
    ) -> Result<(), Refusal> {
        let (run, key, account) = (plan.run(), &wanted.key, &wanted.account);
        if self.now() - held_at > FRESH {
            // Among very many grants: the hold was written long ago.
            let principals: Principals = [account.as_str()].into_iter().collect();
            let record = self.opening_record(key.as_str()).await?;
            if !record.is_some_and(|record| record.holds(&plan.attempt, &principals)) {
                let at = Actor::own(&run.source.account_id).at(&run.source.region);
                let message = format!("attempt {} was closed meanwhile", plan.attempt);
                return Err(Refusal::ours(
                    "CreateGrant",
                    &at,
                    key,
                    "AttemptIsOver",
                    message,
                ));
            }
        }
        let site = grants::KeySite {
            key,
            account: &run.source.account_id,
        };
        let name = format!("{}{account}", grant_prefix(run.id));
        let actions = granted_actions(run);
        self.make_grant(&site, &wanted.grantee, name, actions).await
    }

    /// Why this attempt holds no longer what it has just opened, if so.
    async fn still_held(&self, plan: &OpeningPlan<'_>) -> Result<Option<String>, Refusal> {
        let (attempt, wishes) = (&plan.attempt, &plan.wishes);
        let reading = wishes
            .iter()
            .map(|wish| self.opening_record(wish.site.resource.name()));
        for (wish, record) in wishes.iter().zip(join_all(reading).await) {
            let held = record?.is_some_and(|record| record.holds(attempt, &wish.principals));
            if !held {
                let name = wish.site.resource.name();
                return Ok(Some(format!("attempt {attempt} closed {name} meanwhile")));
            }
        }
        // A closing that found nothing to close yet has said so here before it looked.
        let run = self.run_record(&attempt.run).await?;
        Ok(match run.map(|run| run.admits(attempt, &plan.asked)) {
            Some(Ok(())) => None,
            Some(Err(why)) => Some(why),
            None => Some(format!("the ledger knows no run {} any more", attempt.run)),
        })
    }

    /// Closes again what was opened behind a closing, as a closing: nobody takes anything away
    /// unannounced.
    async fn close_again(&self, plan: OpeningPlan<'_>, why: String) -> Shared {
        let attempt = &plan.attempt;
        let run = match self.run_record(&attempt.run).await {
            Ok(run) => run.unwrap_or(plan.whole),
            Err(refusal) => return Shared::Unsure(refusal),
        };
        let (mut receipts, mut said) = (Vec::new(), None);
        for wish in &plan.wishes {
            let gone = Some(&wish.principals);
            match self
                .close_resource(&run, attempt, &wish.site, gone, true)
                .await
            {
                Ok(closed) => receipts.extend(closed.map(|closed| closed.receipt)),
                Err(left) => said = left.into_iter().next().map(|(_, refusal)| refusal).or(said),
            }
        }
        let noted = self.add_receipts(&run.run, receipts).await;
        match said.or(noted.err()) {
            None => Shared::Over(why),
            Some(refusal) => Shared::Unsure(refusal),
        }
    }
}
