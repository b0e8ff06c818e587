//! Whether a target lets its people launch images of the source account: Allowed AMIs. One's own
//! images, and so copies, are always allowed (EC2 user guide, Allowed AMIs).

use aws_sdk_ec2::types::{ImageCriterion, ImageWatermarkFilterResponse};

use super::unseen;
use crate::aws::visit::Visit;
use crate::aws::{Aws, refusal};
use crate::preflight::{Finding, Level};
use crate::source::{Source, Watermark};

impl Aws {
    pub(super) async fn preflight_allowed(
        &self,
        visit: &Visit<'_>,
        source: &Source,
    ) -> Option<Finding> {
        let (target, at) = (visit.target, &visit.at);
        let answer = visit.ec2.get_allowed_images_settings().send().await;
        let settings =
            match answer.map_err(|e| refusal("GetAllowedImagesSettings", at, "the account", &e)) {
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
        let owner = visit.run.source.account_id.as_str();
        let criteria = settings.image_criteria().iter();
        let now = self.now();
        let meets = criteria
            .map(|criterion| meets(criterion, source, now))
            .max();
        let meets = meets.unwrap_or(Meets::No);
        let level = match (settings.state(), meets) {
            (Some("enabled" | "audit-mode"), Meets::Perhaps) => Level::Unknown,
            (Some("enabled"), Meets::No) => Level::Error,
            (Some("audit-mode"), Meets::No) => Level::Warning,
            _ => return None,
        };
        let told = match meets {
            Meets::Perhaps => {
                "has only criteria that cannot be decided here (scan results are Amazon \
                 Inspector's, and of an age limit the last day is not documented) for images"
            }
            _ => "has no criterion that allows this image",
        };
        let reason = format!(
            "Allowed AMIs is {} and {told} of account {owner}",
            settings.state().unwrap_or_default()
        );
        let instead = match visit.run.share() {
            Some(_) => "Mode: Copy",
            None => "Strategy: Snapshots",
        };
        let remedy = format!(
            "In account {}, Region {}: add {owner} to the image providers of a criterion of \
             Allowed AMIs, and see what else it demands; or use {instead}",
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
    /// The criterion demands what cannot be known here.
    Perhaps,
    Yes,
}

impl From<bool> for Meets {
    fn from(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }
}

const DAY: i64 = 24 * 60 * 60;

fn meets(criterion: &ImageCriterion, source: &Source, now: i64) -> Meets {
    let any = |wanted: &[String], fits: &dyn Fn(&str) -> bool| {
        Meets::from(wanted.is_empty() || wanted.iter().any(|word| fits(word)))
    };
    let image = &source.image;
    let codes = &image.product_codes;
    let of_age = criterion.creation_date_condition().map_or(Meets::Yes, |c| {
        within(c.maximum_days_since_created(), image.created, now)
    });
    let current = criterion
        .deprecation_time_condition()
        .map_or(Meets::Yes, |c| {
            deprecated(c.maximum_days_since_deprecated(), image.deprecated, now)
        });
    let marks = criterion.image_watermarks();
    let pairs = marks
        .iter()
        .flat_map(|mark| image.watermarks.iter().map(move |has| (mark, has)));
    let marked = pairs.map(|(mark, has)| matches(mark, has, now)).max();
    // Scan results are Amazon Inspector's, in the account that scans: no call of EC2 lists them.
    let scanned = criterion.scan_result_condition();
    let all = [
        any(criterion.image_providers(), &|p| p == source.owner.as_str()),
        any(criterion.image_names(), &|name| fits(name, &image.name)),
        any(criterion.marketplace_product_codes(), &|code| {
            codes.iter().any(|c| c == code)
        }),
        of_age,
        current,
        marked.unwrap_or_else(|| marks.is_empty().into()),
        scanned.map_or(Meets::Yes, |_| Meets::Perhaps),
    ];
    all.into_iter().min().unwrap_or(Meets::Yes)
}

/// Whether no more than these days have passed. EC2 does not document how it counts the day that
/// has begun.
fn within(days: Option<i32>, since: Option<i64>, now: i64) -> Meets {
    let Some(days) = days.map(i64::from) else {
        return Meets::Yes;
    };
    match since.map(|since| now - since) {
        None => Meets::Perhaps,
        Some(age) if age <= days * DAY => Meets::Yes,
        Some(age) if age < (days + 1) * DAY => Meets::Perhaps,
        Some(_) => Meets::No,
    }
}

/// An image that is not deprecated, or not yet, meets every such limit; a limit of 0 allows no
/// other.
fn deprecated(days: Option<i32>, since: Option<i64>, now: i64) -> Meets {
    match since {
        Some(since) if since <= now && days == Some(0) => Meets::No,
        Some(since) if since <= now => within(days, Some(since), now),
        _ => Meets::Yes,
    }
}

/// A watermark must have all that the filter names.
fn matches(filter: &ImageWatermarkFilterResponse, mark: &Watermark, now: i64) -> Meets {
    let like =
        |pattern: Option<&str>, value: &str| Meets::from(pattern.is_none_or(|p| fits(p, value)));
    let all = [
        like(filter.watermark_key(), &mark.key),
        like(filter.source_image_region(), &mark.region),
        within(
            filter.maximum_days_since_source_image_created(),
            mark.image_created,
            now,
        ),
        within(
            filter.maximum_days_since_watermark_created(),
            mark.created,
            now,
        ),
    ];
    all.into_iter().min().unwrap_or(Meets::Yes)
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
    use aws_sdk_ec2::types::builders::{
        ImageCriterionBuilder, ImageWatermarkFilterResponseBuilder,
    };
    use aws_sdk_ec2::types::{
        CreationDateCondition, DeprecationTimeCondition, ScanResultCondition,
    };

    use super::*;
    use crate::source::tests::example;

    const NOW: i64 = 1_800_000_000;

    fn ours() -> ImageCriterionBuilder {
        ImageCriterion::builder().image_providers("111111111111")
    }

    fn decided(
        criteria: impl IntoIterator<Item = (ImageCriterionBuilder, Meets)>,
        source: &Source,
    ) {
        for (criterion, expected) in criteria {
            let criterion = criterion.build();
            assert_eq!(meets(&criterion, source, NOW), expected, "{criterion:?}");
        }
    }

    #[test]
    fn an_image_must_meet_all_that_a_criterion_demands() {
        let mut source = example();
        source.image.name = "golden-2026".to_owned();
        let criterion = ImageCriterion::builder;
        let scanned = ScanResultCondition::builder().build();
        let cases = [
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
            (
                ours().scan_result_condition(scanned.clone()),
                Meets::Perhaps,
            ),
            (
                criterion()
                    .image_providers("amazon")
                    .scan_result_condition(scanned),
                Meets::No,
            ),
        ];
        decided(cases, &source);
    }

    #[test]
    fn an_age_limit_is_decided_but_for_its_last_day() {
        let aged = |days: i32| {
            let condition = CreationDateCondition::builder().maximum_days_since_created(days);
            ours().creation_date_condition(condition.build())
        };
        let mut source = example();
        source.image.created = Some(NOW - 30 * DAY - 1);
        let cases = [
            (aged(31), Meets::Yes),
            (aged(30), Meets::Perhaps),
            (aged(29), Meets::No),
        ];
        decided(cases, &source);
        source.image.created = None;
        decided([(aged(31), Meets::Perhaps)], &source);
    }

    #[test]
    fn a_deprecation_limit_is_decided_but_for_its_last_day() {
        let limit = |days: i32| {
            let condition = DeprecationTimeCondition::builder().maximum_days_since_deprecated(days);
            ours().deprecation_time_condition(condition.build())
        };
        let mut source = example();
        for (deprecated, days, expected) in [
            (None, 0, Meets::Yes),
            (Some(NOW + 1), 0, Meets::Yes),
            (Some(NOW), 0, Meets::No),
            (Some(NOW - 5 * DAY), 5, Meets::Yes),
            (Some(NOW - 5 * DAY - 1), 5, Meets::Perhaps),
            (Some(NOW - 6 * DAY), 5, Meets::No),
        ] {
            source.image.deprecated = deprecated;
            decided([(limit(days), expected)], &source);
        }
    }

    #[test]
    fn one_watermark_must_have_all_that_one_filter_names() {
        let filter = ImageWatermarkFilterResponse::builder;
        let marked =
            |filter: ImageWatermarkFilterResponseBuilder| ours().image_watermarks(filter.build());
        let mut source = example();
        decided([(marked(filter()), Meets::No)], &source);
        let mark = |key: &str, region: &str, days: i64| Watermark {
            key: key.to_owned(),
            region: region.to_owned(),
            image_created: Some(NOW - 2 * days * DAY),
            created: Some(NOW - days * DAY),
        };
        source.image.watermarks = vec![
            mark("111111111111:approved", "us-west-2", 10),
            mark("999999999999:tested", "us-east-1", 1),
        ];
        let approved = || filter().watermark_key("111111111111:appr*");
        let cases = [
            (marked(filter()), Meets::Yes),
            (marked(approved()), Meets::Yes),
            (marked(filter().watermark_key("*:refused")), Meets::No),
            (
                marked(approved().source_image_region("us-west-?")),
                Meets::Yes,
            ),
            // The other watermark has this Region.
            (
                marked(approved().source_image_region("us-east-1")),
                Meets::No,
            ),
            (
                marked(approved().maximum_days_since_watermark_created(10)),
                Meets::Yes,
            ),
            (
                marked(approved().maximum_days_since_watermark_created(9)),
                Meets::No,
            ),
            (
                marked(approved().maximum_days_since_source_image_created(20)),
                Meets::Yes,
            ),
            (
                marked(approved().maximum_days_since_source_image_created(19)),
                Meets::No,
            ),
            (
                marked(filter().watermark_key("*:refused")).image_watermarks(approved().build()),
                Meets::Yes,
            ),
        ];
        decided(cases, &source);
    }
}
