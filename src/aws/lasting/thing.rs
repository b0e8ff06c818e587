//! What a lasting share is of, an image or a snapshot: how it is shared at this moment, and changing that.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{ImageAttributeName, OperationType, Tag};

use crate::aws::mark::Marks;
use crate::aws::{Aws, image, mark, refusal, tags};
use crate::command::shared_tag;
use crate::error::Refusal;
use crate::ids::SnapshotId;
use crate::state::State;

/// Tags of a mark that are written anew at once, and more of them than its list needs: a resource has fifty, for everybody.
const AT_ONCE: usize = 4;
/// Principals in one ModifyImageAttribute.
const BATCH: usize = 500;

/// Account IDs, and ARNs of organisations and units.
pub type Principals = BTreeSet<String>;

/// What is shared.
#[derive(Debug, Clone, Copy)]
pub enum Thing<'a> {
    Image,
    Snapshot(&'a SnapshotId),
}

/// How a thing is shared at this moment.
#[derive(Debug)]
pub struct Standing {
    pub permitted: Principals,
    pub tags: BTreeMap<String, String>,
    /// Whom this run let in, as the mark names them.
    pub let_in: BTreeSet<String>,
    /// As the tags were before the permissions were read: a run that closed meanwhile has its mark here.
    earlier: BTreeMap<String, String>,
}

impl Standing {
    /// Whether this one is there for no reason but another run.
    pub fn is_joint(&self, run: &str, who: &str) -> bool {
        [&self.earlier, &self.tags].into_iter().any(|tags| {
            let marks = Marks::read(tags);
            marks.let_in_by_others(run, &self.permitted).contains(who)
                || marks.shared_by_others(run, short(who))
        })
    }

    /// Whether another run needs this one, or may yet shut it out, and this run has not marked it before.
    pub fn joins(&self, run: &str, who: &str) -> bool {
        let who = short(who);
        let concerns = |tags| {
            let marks = Marks::read(tags);
            marks.needed_by_others(run, who) || marks.released_by_others(run, who)
        };
        !self.let_in.contains(who) && [&self.earlier, &self.tags].into_iter().any(concerns)
    }
}

impl Aws {
    /// The permissions are read before the mark: one that this run gave meanwhile was marked before it was given.
    pub(super) async fn standing(
        &self,
        state: &State,
        thing: Thing<'_>,
    ) -> Result<Standing, Refusal> {
        let earlier = self.thing_tags(state, thing).await?;
        let permitted = match thing {
            Thing::Image => self.launch_permissions(state).await?,
            Thing::Snapshot(id) => self.permitted_accounts(state, id).await?,
        };
        let tags = self.thing_tags(state, thing).await?;
        let let_in = mark::let_in(&state.run, &tags).unwrap_or_default();
        Ok(Standing {
            permitted,
            tags,
            let_in,
            earlier,
        })
    }

    async fn thing_tags(
        &self,
        state: &State,
        thing: Thing<'_>,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        match thing {
            Thing::Image => self.image_tags(state).await,
            Thing::Snapshot(id) => self.snapshot_tags(state, id).await,
        }
    }

    pub(super) async fn launch_permissions(&self, state: &State) -> Result<Principals, Refusal> {
        let actor = Self::own(state);
        let (region, id) = (&state.source.region, &state.source.image_id);
        let answer = self
            .ec2(&actor, region)
            .describe_image_attribute()
            .image_id(id.as_str())
            .attribute(ImageAttributeName::LaunchPermission)
            .send()
            .await
            .map_err(|e| refusal("DescribeImageAttribute", &actor.at(region), id, &e))?;
        let who = answer.launch_permissions().iter().filter_map(|p| {
            p.user_id()
                .or(p.organization_arn())
                .or(p.organizational_unit_arn())
        });
        Ok(who.map(str::to_owned).collect())
    }

    pub(super) async fn image_tags(
        &self,
        state: &State,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let actor = Self::own(state);
        let (region, id) = (&state.source.region, &state.source.image_id);
        let found = image::own_image(&self.ec2(&actor, region), &actor.at(region), id).await?;
        Ok(found.map_or_else(Default::default, |image| tags::to_map(image.tags())))
    }

    pub(in crate::aws) async fn snapshot_tags(
        &self,
        state: &State,
        id: &SnapshotId,
    ) -> Result<BTreeMap<String, String>, Refusal> {
        let all = self.source_snapshot_tags(state).await?;
        let place = state.source.snapshots.iter().position(|s| s == id);
        Ok(place
            .and_then(|i| all.into_iter().nth(i)?)
            .unwrap_or_default())
    }

    /// Makes the mark list these. What is added is written beside what is there; tags that list somebody who goes, and the shortest where
    /// there are many, are written anew, a few at a time.
    pub(super) async fn write_mark(
        &self,
        state: &State,
        thing: Thing<'_>,
        standing: &Standing,
        let_in: &BTreeSet<String>,
    ) -> Result<(), Refusal> {
        if *let_in == standing.let_in {
            return Ok(());
        }
        let name = shared_tag(&state.run);
        let there = mark::keys(&name, &standing.tags);
        if let_in.is_empty() {
            return self.replace(state, thing, Vec::new(), &there).await;
        }
        let added = let_in - &standing.let_in;
        let mut new = Vec::new();
        if !standing.tags.contains_key(&name) {
            // By its name the mark is looked for.
            new.extend(mark::write(&name, []));
        }
        if !added.is_empty() {
            new.extend(mark::also_let_in(&state.run, &added));
        }
        self.replace(state, thing, new, &[]).await?;
        let lists = |key: &String| mark::listed(&standing.tags, &[key]);
        let (mut anew, mut rest): (Vec<&String>, Vec<&String>) = there
            .into_iter()
            .partition(|key| !lists(key).is_subset(let_in));
        rest.retain(|key| **key != name);
        if anew.is_empty() && rest.len() > mark::fewest_tags(standing.let_in.len()) + AT_ONCE {
            rest.sort_by_key(|key| lists(key).len());
            anew = rest.into_iter().take(AT_ONCE).collect();
        }
        for some in anew.chunks(AT_ONCE) {
            let stay = &mark::listed(&standing.tags, some) & let_in;
            let mut new = Vec::new();
            if !stay.is_empty() {
                new.extend(mark::also_let_in(&state.run, &stay));
            }
            if some.contains(&&name) {
                // An earlier version wrote the list there.
                new.extend(mark::write(&name, []));
            }
            self.replace(state, thing, new, some).await?;
        }
        Ok(())
    }

    /// Writes these tags, then deletes those of the old that are none of them.
    async fn replace(
        &self,
        state: &State,
        thing: Thing<'_>,
        new: Vec<Tag>,
        old: &[&String],
    ) -> Result<(), Refusal> {
        let actor = Self::own(state);
        let region = &state.source.region;
        let resource = || vec![thing.id(state).to_owned()];
        let (ec2, at) = (self.ec2(&actor, region), actor.at(region));
        let is_new = |key: &str| new.iter().any(|tag| tag.key() == Some(key));
        let old: Vec<String> = old
            .iter()
            .filter(|key| !is_new(key))
            .map(ToString::to_string)
            .collect();
        tags::write(&ec2, &at, resource(), new).await?;
        tags::delete(&ec2, &at, resource(), old).await
    }

    pub(super) async fn change(
        &self,
        state: &State,
        thing: Thing<'_>,
        operation: &OperationType,
        who: &Principals,
    ) -> Result<(), Refusal> {
        let all: Vec<String> = who.iter().cloned().collect();
        if let Thing::Snapshot(id) = thing {
            return self.modify(state, id, operation.clone(), all).await;
        }
        let actor = Self::own(state);
        let (region, id) = (&state.source.region, &state.source.image_id);
        for some in all.chunks(BATCH) {
            let (arns, accounts): (Vec<String>, Vec<String>) = some
                .iter()
                .cloned()
                .partition(|who| who.starts_with("arn:"));
            let (units, organizations): (Vec<String>, Vec<String>) =
                arns.into_iter().partition(|arn| arn.contains(":ou/"));
            let given = |list: Vec<String>| Some(list).filter(|list| !list.is_empty());
            self.ec2(&actor, region)
                .modify_image_attribute()
                .image_id(id.as_str())
                .attribute("launchPermission")
                .operation_type(operation.clone())
                .set_user_ids(given(accounts))
                .set_organization_arns(given(organizations))
                .set_organizational_unit_arns(given(units))
                .send()
                .await
                .map_err(|e| refusal("ModifyImageAttribute", &actor.at(region), id, &e))?;
        }
        Ok(())
    }
}

impl<'a> Thing<'a> {
    pub fn id(self, state: &'a State) -> &'a str {
        match self {
            Self::Image => state.source.image_id.as_str(),
            Self::Snapshot(id) => id.as_str(),
        }
    }
}

/// A principal as a mark names it: an account by its ID, an organisation or unit by the last part of its ARN.
pub fn short(who: &str) -> &str {
    who.rsplit('/').next().unwrap_or(who)
}
