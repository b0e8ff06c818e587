//! Looking at a target before acting on it.

use aws_sdk_ec2::types::Image;

use super::naming::{self, Holder};
use super::{Aws, Place, copies, image};
use crate::command::Outcome;
use crate::error::{Refusal, RefusalKind};
use crate::source::Source;
use crate::state::State;

impl Aws {
    pub(super) async fn look(
        &self,
        state: &State,
        source: &Result<Source, String>,
        i: usize,
    ) -> Outcome {
        match self.look_at(state, source.as_ref().ok(), i).await {
            Ok(outcome) => outcome,
            Err(refusal) => {
                if refusal.kind() == RefusalKind::Expired {
                    self.forget_session(&state.targets[i]);
                }
                Outcome::Refused(refusal)
            }
        }
    }

    async fn look_at(
        &self,
        state: &State,
        source: Option<&Source>,
        i: usize,
    ) -> Result<Outcome, Refusal> {
        let mut target = state.targets[i].clone();
        let actor = self.session(state, &target).await?;
        self.probed.forget(target.account_id.as_str());
        // Once copies have begun under it, the key is settled.
        if target.since == 0 || !target.kms_key_id.is_key_arn() {
            target.kms_key_id = self.target_key(&actor, &target).await?;
        }
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let mut image = naming::own_copy(&ec2, &at, state, &target).await?;
        if let (true, Some(source)) = (state.order.renewal.is_some(), source) {
            image = image.filter(|image| naming::is_named(image, state, source, &target));
        }
        if let (None, Some(source)) = (&image, source) {
            image = match self.holder(&ec2, &at, state, source, &target).await? {
                Holder::Ours(image) => Some(image),
                Holder::Another(other) => {
                    let name = naming::name(state, source, &target);
                    return Err(taken(&at, &name, &other));
                }
                Holder::Nobody | Holder::Young | Holder::Former => None,
            };
        }
        let copies = copies::list(&ec2, &at, state, &target).await?.copies;
        Ok(Outcome::Looked {
            key: target.kms_key_id,
            image: image.as_ref().and_then(image::id_of),
            copies,
        })
    }
}

/// What RegisterImage would say after hours of copying.
fn taken(at: &Place, name: &str, holder: &Image) -> Refusal {
    Refusal {
        operation: "RegisterImage",
        account: at.account.clone(),
        region: at.region.clone(),
        resource: name.to_owned(),
        code: "InvalidAMIName.Duplicate".to_owned(),
        message: format!("not sent: {} has this name", naming::told(holder)),
        request_id: None,
    }
}
