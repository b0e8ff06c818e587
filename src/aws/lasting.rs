//! `Mode: Share`: letting accounts, organisations and units launch from the source image for as long as they are wanted. Who was let in
//! by this run is written down, as a tag on the image and its snapshots, before the door is opened: whoever had permission
//! for another reason keeps it when the share ends. Never a group: `all` would make the image public.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_ec2::types::OperationType;
use futures::future::join_all;

use super::key_policy::{by_policy, is_noted, stays};
use super::mark::{self, Marks};
use super::revoke::{Closed, SEEN_BY_ALL};
use super::{Aws, tags};
use crate::command::{Outcome, shared_tag};
use crate::error::{Refusal, RefusalKind};
use crate::key_policy::Access;
use crate::request::KeyAccess;
use crate::state::{Share, State};

mod ends;
mod thing;

use ends::Ends;
use thing::{Principals, Thing, short};

/// How one thing was opened.
struct Opened {
    refused: Vec<(String, Refusal)>,
    /// Another run needs somebody of these. It may be about to close, and has not seen this one's mark: look again when it must
    /// have.
    joins: bool,
}

impl Aws {
    /// Lets in the accounts of these targets and the audience.
    pub(super) async fn permit(&self, state: &State, share: &Share, targets: &[usize]) -> Outcome {
        let account = |i: &usize| state.targets[*i].account_id.to_string();
        let members = |i: &&usize| !state.targets[**i].member;
        let launching: Principals = targets
            .iter()
            .filter(members)
            .map(account)
            .chain(share.audience.iter().cloned())
            .collect();
        let Opened {
            mut refused,
            mut joins,
        } = match self.open(state, Thing::Image, &launching).await {
            Ok(opened) => opened,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        if share.snapshots {
            let accounts: Principals = targets.iter().map(account).collect();
            let opening = state
                .source
                .snapshots
                .iter()
                .map(|id| self.open(state, Thing::Snapshot(id), &accounts));
            for opened in join_all(opening).await {
                match opened {
                    Ok(more) => {
                        refused.extend(more.refused);
                        joins |= more.joins;
                    }
                    Err(refusal) => return Outcome::Refused(refusal),
                }
            }
        }
        if let Err(refusal) = self.note_grants(state).await {
            return Outcome::Refused(refusal);
        }
        if joins {
            return Outcome::NotYet(
                "another run needs some of them, and may be closing".to_owned(),
            );
        }
        let of = |i: usize| {
            let account = state.targets[i].account_id.as_str();
            refused.iter().find(|(who, _)| who == account)
        };
        let (mut told, mut granting) = (Vec::new(), Vec::new());
        for &i in targets {
            match of(i) {
                Some((_, refusal)) => told.push((i, refusal.clone())),
                None => granting.push(i),
            }
        }
        let admitted = self.open_keys(state, &granting).await;
        told.extend(admitted.refused);
        let audience = refused.iter().find(|(who, _)| who.starts_with("arn:"));
        let audience = audience.map(|(_, refusal)| refusal.clone());
        let audience = audience.or(admitted.audience.filter(|_| !share.audience.is_empty()));
        Outcome::Permitted {
            refused: told,
            audience,
        }
    }

    /// Takes back what this run gave to those who are no longer to have it. Only where the keys are `known` to be the image's is
    /// anything put right that others undid: a state may come from anybody who may call, and closing opens nothing on its word.
    pub(super) async fn take_back(&self, state: &State, share: &Share, known: bool) -> Outcome {
        let ends = Ends::of(state, share);
        let (mut left, mut later) = (Vec::new(), None);
        let mut landed = |id: String, closed: Result<Closed, Refusal>| match closed {
            Ok(Closed::Wholly) => {}
            Ok(Closed::Later(why)) => later = Some(why),
            Err(refusal) => left.push((id, refusal)),
        };
        let closed = self
            .close_thing(state, Thing::Image, |who| ends.on_image(who))
            .await;
        landed(state.source.image_id.to_string(), closed);
        let closing =
            state.source.snapshots.iter().map(|id| {
                self.close_thing(state, Thing::Snapshot(id), |who| ends.on_snapshots(who))
            });
        for (id, closed) in state.source.snapshots.iter().zip(join_all(closing).await) {
            landed(id.to_string(), closed);
        }
        let roles = &state.order.service_linked_roles;
        let asked_for = |word: &str| roles.iter().any(|role| role.in_grant_name() == word);
        let grant_is_gone = |name: &str| match name.split_once('/') {
            None => ends.by_key_access(KeyAccess::Grant, name),
            // One that was made there for a service-linked role; only a request that is the whole list takes it from those who stay.
            Some((who, role)) => ends.by_launch_grants(who) || (share.only && !asked_for(role)),
        };
        let mut grants = 0;
        for key in &state.source.keys {
            match self.revoke_grants(state, key, grant_is_gone).await {
                Ok(kept) => grants += kept,
                Err(refusal) => left.push((key.clone(), refusal)),
            }
        }
        match self.settle_lasting(state, &ends, known).await {
            Ok(Some(changed)) if left.is_empty() => return Outcome::Settling { changed },
            Ok(_) => {}
            Err(refusals) => left.extend(refusals),
        }
        if left.is_empty()
            && let Some(why) = later
        {
            return Outcome::NotYet(why);
        }
        if left.is_empty() && grants == 0 {
            let noted = self.forget_grants(state).await;
            left.extend(noted.err().map(|r| (state.source.image_id.to_string(), r)));
        }
        if left.is_empty() {
            Outcome::Done
        } else {
            Outcome::Left(left)
        }
    }

    /// The statements of this run in the keys' policies: as they are to stay, and the note taken off when none is left. Tells whether they
    /// are to be looked at again.
    async fn settle_lasting(
        &self,
        state: &State,
        ends: &Ends<'_>,
        known: bool,
    ) -> Result<Option<bool>, Vec<(String, Refusal)>> {
        let of_image = |r: Refusal| vec![(state.source.image_id.to_string(), r)];
        let tags = self.source_snapshot_tags(state).await.map_err(of_image)?;
        let noted = is_noted(state, tags.iter().flatten());
        if !(noted || by_policy(state)) {
            return Ok(None);
        }
        let somebody = AtomicBool::new(false);
        let wanted = |there: Access| {
            let mut access = if known { stays(state, there) } else { there };
            access.remove(|who| ends.by_key_access(KeyAccess::Policy, who));
            somebody.store(!access.is_nobody(), Ordering::Relaxed);
            access
        };
        let changed = self.settle(state, noted, &wanted).await?;
        if changed || (!self.settled(state) && (noted || state.sharing.at != 0)) {
            return Ok(Some(changed));
        }
        if noted && !somebody.load(Ordering::Relaxed) {
            self.forget_policy(state).await.map_err(of_image)?;
        }
        Ok(None)
    }

    /// Opens one thing to these principals. Returns those whom EC2 does not take, such as accounts that do not exist.
    async fn open(
        &self,
        state: &State,
        thing: Thing<'_>,
        wanted: &Principals,
    ) -> Result<Opened, Refusal> {
        let standing = self.standing(state, thing).await?;
        let add: Principals = wanted.difference(&standing.permitted).cloned().collect();
        // Those who are there because of another run stay when that ends, and go with whichever share is the last.
        let joint = |who: &&String| standing.is_joint(&state.run, who);
        let joint: BTreeSet<&str> = wanted.iter().filter(joint).map(|who| short(who)).collect();
        let mut let_in = standing.let_in.clone();
        let_in.extend(add.iter().map(|who| short(who).to_owned()));
        let_in.extend(joint.iter().map(|who| (*who).to_owned()));
        self.write_mark(state, thing, &standing, &let_in).await?;
        if let Thing::Snapshot(id) = thing {
            self.void_before(state, id, &standing.tags, &add).await?;
        }
        Ok(Opened {
            refused: self.add(state, thing, add).await?,
            joins: wanted.iter().any(|who| standing.joins(&state.run, who)),
        })
    }

    /// Returns those whom EC2 does not take, such as accounts that do not exist.
    async fn add(
        &self,
        state: &State,
        thing: Thing<'_>,
        add: Principals,
    ) -> Result<Vec<(String, Refusal)>, Refusal> {
        if add.is_empty() {
            return Ok(Vec::new());
        }
        match self.change(state, thing, &OperationType::Add, &add).await {
            Ok(()) => Ok(Vec::new()),
            Err(refusal) if refusal.is_passing() => Err(refusal),
            // One bad principal spoils the call for all: each by itself tells which.
            Err(_) => {
                let mut refused = Vec::new();
                for who in add {
                    let one = Principals::from([who.clone()]);
                    match self.change(state, thing, &OperationType::Add, &one).await {
                        Err(refusal) if refusal.is_passing() => return Err(refusal),
                        Err(refusal) => refused.push((who, refusal)),
                        Ok(()) => {}
                    }
                }
                Ok(refused)
            }
        }
    }

    /// Closes one thing to those of this run's who are gone. A thing that is gone itself is closed.
    async fn close_thing(
        &self,
        state: &State,
        thing: Thing<'_>,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<Closed, Refusal> {
        let standing = match self.standing(state, thing).await {
            Err(refusal) if is_there_no_more(&refusal) => return Ok(Closed::Wholly),
            other => other?,
        };
        let (gone, stay): (BTreeSet<String>, BTreeSet<String>) = standing
            .let_in
            .iter()
            .cloned()
            .partition(|who| is_gone(who));
        if gone.is_empty() {
            return Ok(Closed::Wholly);
        }
        let marks = Marks::read(&standing.tags);
        let permitted = standing.permitted.iter();
        let (needed, remove): (Principals, Principals) = permitted
            .filter(|who| gone.contains(short(who)))
            .cloned()
            .partition(|who| marks.needed_by_others(&state.run, short(who)));
        self.change(state, thing, &OperationType::Remove, &remove)
            .await?;
        let needed: BTreeSet<String> = needed.iter().map(|who| short(who).to_owned()).collect();
        let (since, told) = mark::ending(&state.run, &standing.tags);
        let seen = needed.is_subset(&told) && self.now() - since >= SEEN_BY_ALL;
        let accounts: Vec<String> = needed.iter().cloned().collect();
        let unlisted = marks.to_hand_over(&state.run, &accounts);
        if needed.is_empty() || (seen && unlisted.is_empty()) {
            self.write_mark(state, thing, &standing, &stay).await?;
            return Ok(Closed::Wholly);
        }
        // The other may be ending at this moment, too.
        self.write_mark(state, thing, &standing, &(&stay | &needed))
            .await?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        let mut new = mark::write_ending(&state.run, self.now(), &needed);
        if seen {
            new.extend(unlisted);
        }
        tags::write(&ec2, &at, vec![thing.id(state).to_owned()], new).await?;
        Ok(Closed::Later(format!(
            "another run needs accounts of this one on {}",
            thing.id(state)
        )))
    }

    /// Marks the snapshots, with an empty list if need be: when the image is gone, they lead to the keys that have grants.
    async fn note_grants(&self, state: &State) -> Result<(), Refusal> {
        let none = state.order.key_access != KeyAccess::Grant
            && state.order.service_linked_roles.is_empty();
        if none || state.source.keys.is_empty() {
            return Ok(());
        }
        let name = shared_tag(&state.run);
        let bare = self
            .snapshots_by(state, |tags| !tags.contains_key(&name))
            .await?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        tags::write(&ec2, &actor.at(region), bare, mark::write(&name, [])).await
    }

    /// Takes off the marks that list nobody.
    async fn forget_grants(&self, state: &State) -> Result<(), Refusal> {
        let name = shared_tag(&state.run);
        let empty = |tags: &BTreeMap<String, String>| {
            mark::let_in(&state.run, tags).is_some_and(|let_in| let_in.is_empty())
        };
        let noted = self.snapshots_by(state, empty).await?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        tags::delete(&ec2, &actor.at(region), noted, [name]).await
    }

    /// The source snapshots whose tags are so.
    pub(super) async fn snapshots_by(
        &self,
        state: &State,
        so: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Result<Vec<String>, Refusal> {
        let tags = self.source_snapshot_tags(state).await?;
        let those = state.source.snapshots.iter().zip(&tags);
        Ok(those
            .filter(|(_, tags)| tags.as_ref().is_some_and(&so))
            .map(|(id, _)| id.to_string())
            .collect())
    }
}

/// An image or snapshot that somebody deregistered or deleted: nobody launches from it any more.
fn is_there_no_more(refusal: &Refusal) -> bool {
    refusal.kind() == RefusalKind::NotFound || refusal.code == "InvalidAMIID.Unavailable"
}
