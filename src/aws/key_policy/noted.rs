//! The tag on the source snapshots that says that a run may have statements in the policies of their keys: written before the first of
//! them, taken off when the last is seen to be gone. It leads to the keys when nothing else does.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::Tag;

use super::note_of;
use crate::aws::{Aws, tags};
use crate::error::Refusal;
use crate::state::State;

impl Aws {
    /// Notes it on the snapshots that do not say so yet.
    pub(super) async fn note_policy(&self, state: &State) -> Result<(), Refusal> {
        let note = note_of(state);
        let bare = self
            .snapshots_by(state, |tags| !tags.contains_key(&note))
            .await?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        let tag = Tag::builder().key(&note).value("statements").build();
        tags::write(&ec2, &actor.at(region), bare, vec![tag]).await
    }

    /// Whether any snapshot says so.
    pub(super) async fn is_policy_noted(&self, state: &State) -> Result<bool, Refusal> {
        let tags = self.source_snapshot_tags(state).await?;
        Ok(is_noted(state, tags.iter().flatten()))
    }

    /// Takes it off again.
    pub(in crate::aws) async fn forget_policy(&self, state: &State) -> Result<(), Refusal> {
        let note = note_of(state);
        let noted = self
            .snapshots_by(state, |tags| tags.contains_key(&note))
            .await?;
        let (actor, region) = (Self::own(state), &state.source.region);
        let ec2 = self.ec2(&actor, region);
        tags::delete(&ec2, &actor.at(region), noted, [note]).await
    }
}

/// Whether any of these snapshots leads to a policy with statements of this run.
pub(in crate::aws) fn is_noted<'a>(
    state: &State,
    tags: impl IntoIterator<Item = &'a BTreeMap<String, String>>,
) -> bool {
    let note = note_of(state);
    tags.into_iter().any(|tags| tags.contains_key(&note))
}
