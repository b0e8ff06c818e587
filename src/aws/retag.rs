//! Giving copies that stand the tags that an update of a custom resource asks for.

use std::collections::BTreeMap;

use aws_sdk_ec2::Client;
use aws_sdk_ec2::types::{Filter, Tag};

use super::check::used_in_order;
use super::{Aws, Place, copies, image, refusal, tags};
use crate::command::Outcome;
use crate::error::{Refusal, RefusalKind};
use crate::source::Source;
use crate::state::State;
use crate::tags::{Changes, changes};

/// Resources by the changes that they need, and whether they show them already: those of one request are mostly the same.
type Grouped = BTreeMap<(Changes, bool), Vec<String>>;

impl Aws {
    pub(super) async fn retag(&self, state: &State, source: &Source, i: usize) -> Outcome {
        match self.retag_target(state, source, i).await {
            Ok(outcome) => outcome,
            Err(refusal) => {
                if refusal.kind() == RefusalKind::Expired {
                    self.forget_session(&state.targets[i]);
                }
                Outcome::Refused(refusal)
            }
        }
    }

    async fn retag_target(
        &self,
        state: &State,
        source: &Source,
        i: usize,
    ) -> Result<Outcome, Refusal> {
        let target = &state.targets[i];
        let (Some(retag), Some(id)) = (&state.order.retag, &target.image_id) else {
            return Ok(Outcome::Done);
        };
        let actor = self.session(state, target).await?;
        let (ec2, at) = (self.ec2(&actor, &target.region), actor.at(&target.region));
        let Some(there) = image::own_image(&ec2, &at, id).await? else {
            return Ok(Outcome::NotYet(format!("{id} is not visible")));
        };
        let Some(used) = used_in_order(source, &image::facts(&there)) else {
            return Ok(Outcome::NotYet(format!("{id} shows no snapshots")));
        };
        let mut grouped = Grouped::new();
        let mut group = |id: &str, created: i64, from, there: &BTreeMap<String, String>| {
            let changes = changes(state, retag, from, there);
            // Made by this run, it has the tags already.
            if created <= state.started && changes != Changes::default() {
                let shown = changes.are_shown_by(there);
                grouped
                    .entry((changes, shown))
                    .or_default()
                    .push(id.to_owned());
            }
        };
        let shown = tags::to_map(there.tags());
        group(
            id.as_str(),
            image::created(&there),
            &source.image.tags,
            &shown,
        );
        let ids = used.iter().map(ToString::to_string).collect();
        let filter = Filter::builder().name("snapshot-id").set_values(Some(ids));
        let listed = copies::own_snapshots(&ec2, &at, filter.build()).await?;
        for (id, from) in used.iter().zip(&source.snapshots) {
            let mut listed = listed.iter();
            let there = listed.find(|there| there.snapshot_id() == Some(id.as_str()));
            let started = there.and_then(|there| there.start_time());
            let shown = there.map(|there| tags::to_map(there.tags()));
            group(
                id.as_str(),
                started.map_or(0, aws_smithy_types::DateTime::secs),
                &from.tags,
                &shown.unwrap_or_default(),
            );
        }
        for ((changes, shown), ids) in grouped {
            match change(&ec2, &at, changes, ids).await {
                // What is shown may be a minute old, so the calls are made. But a role that may not make them has changed nothing
                // meanwhile: the rollback of an update that failed by it must succeed.
                Err(refusal) if shown && refusal.kind() == RefusalKind::Denied => {}
                other => other?,
            }
        }
        Ok(Outcome::Done)
    }
}

/// Deletes before it sets: a resource may have no room for more.
async fn change(
    ec2: &Client,
    at: &Place,
    changes: Changes,
    ids: Vec<String>,
) -> Result<(), Refusal> {
    let what = ids.join(", ");
    let pairs = |pairs: BTreeMap<String, String>| -> Vec<Tag> {
        let tag = |(name, value)| Tag::builder().key(name).value(value).build();
        pairs.into_iter().map(tag).collect()
    };
    if !changes.deleted.is_empty() {
        let asked = ec2.delete_tags().set_resources(Some(ids.clone()));
        let answer = asked.set_tags(Some(pairs(changes.deleted))).send().await;
        answer.map_err(|e| refusal("DeleteTags", at, &what, &e))?;
    }
    if !changes.set.is_empty() {
        let asked = ec2.create_tags().set_resources(Some(ids));
        let answer = asked.set_tags(Some(pairs(changes.set))).send().await;
        answer.map_err(|e| refusal("CreateTags", at, &what, &e))?;
    }
    Ok(())
}
