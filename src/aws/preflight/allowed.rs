//! Whether a target lets its people launch images of the source account: Allowed AMIs. One's own images, and so copies, are always
//! allowed (EC2 user guide, Allowed AMIs).

use super::unseen;
use crate::aws::{Actor, Aws, refusal};
use crate::preflight::{Finding, Level};
use crate::state::{State, TargetState};

impl Aws {
    pub(super) async fn preflight_allowed(
        &self,
        state: &State,
        target: &TargetState,
        actor: &Actor,
    ) -> Option<Finding> {
        let at = actor.at(&target.region);
        let answer = self
            .ec2(actor, &target.region)
            .get_allowed_images_settings()
            .send()
            .await;
        let settings =
            match answer.map_err(|e| refusal("GetAllowedImagesSettings", &at, "the account", &e)) {
                Ok(settings) => settings,
                Err(refusal) => {
                    return Some(unseen(
                        "AllowedImages",
                        target,
                        &refusal,
                        "ec2:GetAllowedImagesSettings",
                    ));
                }
            };
        let owner = state.source.account_id.as_str();
        let named = settings.image_criteria().iter().any(|criterion| {
            let providers = criterion.image_providers();
            providers.is_empty() || providers.iter().any(|provider| provider == owner)
        });
        let level = match settings.state() {
            Some("enabled") if !named => Level::Error,
            Some("audit-mode") if !named => Level::Warning,
            _ => return None,
        };
        let reason = format!(
            "Allowed AMIs is {} and names no images of account {owner}",
            settings.state().unwrap_or_default()
        );
        let remedy = format!(
            "In account {}, Region {}: add {owner} to the image providers of the Allowed AMIs criteria, or use Mode: Copy",
            target.account_id, target.region
        );
        Some(Finding::of_target(
            level,
            "AllowedImages",
            target,
            reason,
            remedy,
        ))
    }
}
