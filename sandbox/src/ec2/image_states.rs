//! States that an owner sets on an image: disabled, deprecated, and protected from deregistration.
//!
//! Source: model; EC2 guide, disable, deprecate and protect an AMI.

use std::time::{Duration, SystemTime};

use super::{Ask, RETURN_TRUE, image_attributes};
use crate::aws::Aws;
use crate::model::Image;
use crate::refusals::{self, Refused};
use crate::wire::time;
use crate::wire::xml::Xml;

/// The time that protection with a cooldown lasts after it was disabled.
const COOLDOWN: Duration = Duration::from_hours(24);

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let image = image_attributes::owned(aws, ask)?;
    ask.dry_run()?;
    match ask.operation {
        "DisableImage" => disable(aws, &image),
        "EnableImage" => enable(aws, &image),
        "EnableImageDeprecation" => deprecate(aws, ask, &image),
        "DisableImageDeprecation" => {
            aws.change_image(&image.image_id, |image| image.deprecation_time = None);
            Ok(RETURN_TRUE.to_owned())
        }
        "EnableImageDeregistrationProtection" => protect(aws, ask, &image),
        _ => Ok(unprotect(aws, &image)),
    }
}

/// Disables an image and takes every launch permission away. EnableImage does not restore them.
fn disable(aws: &mut Aws, image: &Image) -> Result<String, Refused> {
    if !matches!(image.state.as_str(), "available" | "disabled") {
        return Err(refusals::IMAGE_NOT_AVAILABLE.with(&[&image.image_id, &image.state]));
    }
    aws.change_image(&image.image_id, |image| {
        "disabled".clone_into(&mut image.state);
        image.public = false;
        image.launch_permissions.clear();
    });
    Ok(RETURN_TRUE.to_owned())
}

fn enable(aws: &mut Aws, image: &Image) -> Result<String, Refused> {
    if !matches!(image.state.as_str(), "available" | "disabled") {
        return Err(refusals::IMAGE_NOT_DISABLED.with(&[&image.image_id, &image.state]));
    }
    aws.change_image(&image.image_id, |image| {
        "available".clone_into(&mut image.state);
    });
    Ok(RETURN_TRUE.to_owned())
}

/// Deprecates an image at the nearest minute, never in the past.
fn deprecate(aws: &mut Aws, ask: Ask<'_>, image: &Image) -> Result<String, Refused> {
    let given = ask.query.required("DeprecateAt")?;
    let at = time::parse_iso(given).ok_or_else(|| ask.query.bad("DeprecateAt", given))?;
    if at < aws.now {
        return Err(refusals::DEPRECATION_PAST.with(&[given]));
    }
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    let minutes = (since.unwrap_or_default() + Duration::from_secs(30)).as_secs() / 60;
    let at = time::iso(SystemTime::UNIX_EPOCH + Duration::from_mins(minutes));
    aws.change_image(&image.image_id, |image| image.deprecation_time = Some(at));
    Ok(RETURN_TRUE.to_owned())
}

fn protect(aws: &mut Aws, ask: Ask<'_>, image: &Image) -> Result<String, Refused> {
    let cools = ask.query.flag("WithCooldown")? == Some(true);
    let with = if cools { "with" } else { "without" };
    let protection = format!("enabled-{with}-cooldown");
    let answer = answer(&protection);
    aws.change_image(&image.image_id, |image| {
        image.deregistration_protection = Some(protection);
    });
    Ok(answer)
}

fn unprotect(aws: &mut Aws, image: &Image) -> String {
    let cools = image.deregistration_protection.as_deref() == Some("enabled-with-cooldown");
    let until = cools.then(|| aws.now + aws.rules.scaled(COOLDOWN));
    aws.change_image(&image.image_id, |image| {
        image.deregistration_protection = None;
    });
    let live = aws.images.get_mut(&image.image_id);
    if let (Some(live), Some(until)) = (live, until) {
        live.protected_until = until;
    }
    answer("disabled")
}

fn answer(protection: &str) -> String {
    let mut xml = Xml::new();
    xml.text("return", protection);
    xml.finish()
}
