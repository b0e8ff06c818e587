//! `Mode: Share`: letting accounts, organisations and units launch from the source image for as long as they are wanted. Who was let in
//! by this run is written down, as a tag on the image and its snapshots, before the door is opened: whoever had permission
//! for another reason keeps it when the share ends. Never a group: `all` would make the image public.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{OperationType, Tag};
use futures::future::join_all;

use super::mark::{self, Marks};
use super::{Aws, refusal};
use crate::command::{Outcome, shared_tag};
use crate::error::{Refusal, RefusalKind};
use crate::request::KeyAccess;
use crate::state::{Share, State};

mod thing;

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
        told.extend(self.grant(state, &granting).await);
        let audience = refused.iter().find(|(who, _)| who.starts_with("arn:"));
        Outcome::Permitted {
            refused: told,
            audience: audience.map(|(_, refusal)| refusal.clone()),
        }
    }

    /// Takes back what this run gave to those who are no longer to have it.
    pub(super) async fn take_back(&self, state: &State, share: &Share) -> Outcome {
        let succeeded = || state.targets.iter().filter(|t| t.stands());
        let mut stay: BTreeSet<&str> = succeeded().map(|t| t.account_id.as_str()).collect();
        let mut on_snapshots = stay.clone();
        if !share.snapshots {
            on_snapshots.clear();
        }
        let with_roles = stay.clone();
        let mut with_grant = stay.clone();
        if state.order.key_access != KeyAccess::Grant {
            with_grant.clear();
        }
        let members = succeeded().filter(|t| t.member);
        for member in members {
            stay.remove(member.account_id.as_str());
        }
        stay.extend(share.audience.iter().map(|arn| short(arn)));
        let named: BTreeSet<&str> = state
            .targets
            .iter()
            .filter(|t| !t.stands())
            .map(|t| t.account_id.as_str())
            .chain(share.gone.iter().map(|arn| short(arn)))
            .collect();
        let is_gone = |stay: &BTreeSet<&str>, who: &str| {
            if share.only {
                !stay.contains(who)
            } else {
                named.contains(who)
            }
        };
        let mut left = Vec::new();
        let closed = self
            .close_thing(state, Thing::Image, |who| is_gone(&stay, who))
            .await;
        left.extend(closed.err().map(|r| (state.source.image_id.to_string(), r)));
        let closing = state.source.snapshots.iter().map(|id| {
            self.close_thing(state, Thing::Snapshot(id), |who| {
                is_gone(&on_snapshots, who)
            })
        });
        for (id, closed) in state.source.snapshots.iter().zip(join_all(closing).await) {
            left.extend(closed.err().map(|r| (id.to_string(), r)));
        }
        let roles = &state.order.service_linked_roles;
        let asked_for = |word: &str| roles.iter().any(|role| role.in_grant_name() == word);
        let grant_is_gone = |name: &str| match name.split_once('/') {
            None => is_gone(&with_grant, name),
            // One that was made there for a service-linked role; only a request that is the whole list takes it from those who stay.
            Some((who, role)) => is_gone(&with_roles, who) || (share.only && !asked_for(role)),
        };
        let mut grants = 0;
        for key in &state.source.keys {
            match self.revoke_grants(state, key, grant_is_gone).await {
                Ok(kept) => grants += kept,
                Err(refusal) => left.push((key.clone(), refusal)),
            }
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

    /// Opens one thing to these principals.
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
    ) -> Result<(), Refusal> {
        let standing = match self.standing(state, thing).await {
            Err(refusal) if is_there_no_more(&refusal) => return Ok(()),
            other => other?,
        };
        let (gone, stay): (BTreeSet<String>, BTreeSet<String>) = standing
            .let_in
            .iter()
            .cloned()
            .partition(|who| is_gone(who));
        if gone.is_empty() {
            return Ok(());
        }
        let marks = Marks::read(&standing.tags);
        let remove: Principals = standing
            .permitted
            .iter()
            .filter(|who| gone.contains(short(who)))
            .filter(|who| !marks.needed_by_others(&state.run, short(who)))
            .cloned()
            .collect();
        self.change(state, thing, &OperationType::Remove, &remove)
            .await?;
        self.write_mark(state, thing, &standing, &stay).await
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
        let Some(first) = bare.first().cloned() else {
            return Ok(());
        };
        let actor = Self::own(state);
        let region = &state.source.region;
        let answer = self
            .ec2(&actor, region)
            .create_tags()
            .set_resources(Some(bare))
            .set_tags(Some(mark::write(&name, [])))
            .send()
            .await;
        answer.map_err(|e| refusal("CreateTags", &actor.at(region), first, &e))?;
        Ok(())
    }

    /// Takes off the marks that list nobody.
    async fn forget_grants(&self, state: &State) -> Result<(), Refusal> {
        let name = shared_tag(&state.run);
        let empty = |tags: &BTreeMap<String, String>| {
            mark::read(&name, tags).is_some_and(|let_in| let_in.is_empty())
        };
        let noted = self.snapshots_by(state, empty).await?;
        let Some(first) = noted.first().cloned() else {
            return Ok(());
        };
        let actor = Self::own(state);
        let region = &state.source.region;
        let answer = self
            .ec2(&actor, region)
            .delete_tags()
            .set_resources(Some(noted))
            .tags(Tag::builder().key(&name).build())
            .send()
            .await;
        answer.map_err(|e| refusal("DeleteTags", &actor.at(region), first, &e))?;
        Ok(())
    }

    /// The source snapshots whose tags are so.
    async fn snapshots_by(
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
