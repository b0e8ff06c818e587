//! Looking at a target before acting on it.

use super::{Aws, copies, image};
use crate::command::{Outcome, image_key, tag};
use crate::error::{Refusal, RefusalKind};
use crate::state::State;

impl Aws {
    pub(super) async fn look(&self, state: &State, i: usize) -> Outcome {
        match self.look_at(state, i).await {
            Ok(outcome) => outcome,
            Err(refusal) => {
                if refusal.kind() == RefusalKind::Expired {
                    self.forget_session(&state.targets[i]);
                }
                Outcome::Refused(refusal)
            }
        }
    }

    async fn look_at(&self, state: &State, i: usize) -> Result<Outcome, Refusal> {
        let mut target = state.targets[i].clone();
        let actor = self.session(state, &target).await?;
        self.probed.forget(target.account_id.as_str());
        // Once copies have begun under it, the key is settled.
        if target.since == 0 || !target.kms_key_id.is_key_arn() {
            target.kms_key_id = self.target_key(&actor, &target).await?;
        }
        let ec2 = self.ec2(&actor, &target.region);
        let at = actor.at(&target.region);
        let images = image::own_images_by(
            &ec2,
            &at,
            &format!("tag:{}", tag::KEY),
            &image_key(state, &target),
        )
        .await?;
        let copies = copies::list(&ec2, &at, state, &target).await?.copies;
        Ok(Outcome::Looked {
            key: target.kms_key_id,
            image: images.iter().find_map(image::id_of),
            copies,
        })
    }
}
