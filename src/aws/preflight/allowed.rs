//! Whether a target lets its people launch images of the source account: Allowed AMIs. One's own images, and so copies, are always
//! allowed (EC2 user guide, Allowed AMIs).

use aws_sdk_ec2::types::ImageCriterion;

use super::unseen;
use crate::aws::{Actor, Aws, refusal};
use crate::preflight::{Finding, Level};
use crate::source::Source;
use crate::state::{State, TargetState};

impl Aws {
    pub(super) async fn preflight_allowed(
        &self,
        state: &State,
        source: &Source,
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
        let criteria = settings.image_criteria().iter();
        let meets = criteria.map(|criterion| meets(criterion, source)).max();
        let meets = meets.unwrap_or(Meets::No);
        let level = match (settings.state(), meets) {
            (Some("enabled" | "audit-mode"), Meets::Perhaps) => Level::Unknown,
            (Some("enabled"), Meets::No) => Level::Error,
            (Some("audit-mode"), Meets::No) => Level::Warning,
            _ => return None,
        };
        let told = match meets {
            Meets::Perhaps => {
                "has criteria (dates, watermarks, scan results) that are not looked at for images"
            }
            _ => "has no criterion that allows this image",
        };
        let reason = format!(
            "Allowed AMIs is {} and {told} of account {owner}",
            settings.state().unwrap_or_default()
        );
        let remedy = format!(
            "In account {}, Region {}: add {owner} to the image providers of a criterion of Allowed AMIs, and see what else it demands; or use Mode: Copy",
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

/// Whether the image meets all that a criterion demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meets {
    No,
    /// It demands what is not known here.
    Perhaps,
    Yes,
}

fn meets(criterion: &ImageCriterion, source: &Source) -> Meets {
    let any = |wanted: &[String], fits: &dyn Fn(&str) -> bool| {
        wanted.is_empty() || wanted.iter().any(|word| fits(word))
    };
    let image = &source.image;
    let codes = &image.product_codes;
    let known = any(criterion.image_providers(), &|p| p == source.owner.as_str())
        && any(criterion.image_names(), &|name| fits(name, &image.name))
        && any(criterion.marketplace_product_codes(), &|code| {
            codes.iter().any(|c| c == code)
        });
    let unknown = criterion.deprecation_time_condition().is_some()
        || criterion.creation_date_condition().is_some()
        || criterion.scan_result_condition().is_some()
        || !criterion.image_watermarks().is_empty();
    match (known, unknown) {
        (false, _) => Meets::No,
        (true, true) => Meets::Perhaps,
        (true, false) => Meets::Yes,
    }
}

/// Whether a name fits a pattern with `*` for any characters and `?` for one.
fn fits(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.into_iter().any(|at| fits(rest.as_str(), &name[at..]))
        }
        Some(wanted) => {
            let mut left = name.chars();
            let found = left.next();
            found.is_some_and(|c| wanted == '?' || wanted == c)
                && fits(rest.as_str(), left.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ec2::types::CreationDateCondition;

    use super::*;
    use crate::source::tests::example;

    #[test]
    fn an_image_must_meet_all_that_a_criterion_demands() {
        let mut source = example();
        source.image.name = "golden-2026".to_owned();
        let criterion = ImageCriterion::builder;
        let ours = || criterion().image_providers("111111111111");
        let dated = CreationDateCondition::builder()
            .maximum_days_since_created(30)
            .build();
        for (criterion, expected) in [
            (criterion(), Meets::Yes),
            (ours(), Meets::Yes),
            (criterion().image_providers("none"), Meets::No),
            (criterion().image_providers("amazon"), Meets::No),
            (ours().image_names("golden-*"), Meets::Yes),
            (ours().image_names("silver-*"), Meets::No),
            (ours().image_names("gold?n-20*6"), Meets::Yes),
            (
                criterion()
                    .image_names("golden-2026")
                    .image_providers("amazon"),
                Meets::No,
            ),
            (ours().marketplace_product_codes("abc"), Meets::No),
            (ours().creation_date_condition(dated), Meets::Perhaps),
        ] {
            let criterion = criterion.build();
            assert_eq!(meets(&criterion, &source), expected, "{criterion:?}");
        }
    }
}
