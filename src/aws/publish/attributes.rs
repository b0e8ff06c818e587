//! The deprecation of an image, and its protection from deregistration.

use aws_sdk_ec2::types::Image;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::Publishing;
use crate::aws::visit::Visit;
use crate::aws::{image, refusal};
use crate::command::Rest;
use crate::error::Refusal;
use crate::ids::ImageId;
use crate::request::Protection;

/// Deprecates the image at the requested time, unless that time is past.
pub(super) async fn deprecate(publishing: &mut Publishing<'_>) -> Result<(), Rest> {
    let Some(wanted) = publishing.wish.deprecate else {
        return Ok(());
    };
    let at = wanted.at(image::created(&publishing.image));
    let time = DateTime::from_secs(at);
    let words = time.fmt(Format::DateTime).unwrap_or_default();
    let there = publishing.image.deprecation_time();
    let there = there.and_then(|text| DateTime::from_str(text, Format::DateTime).ok());
    if there == Some(time) {
        return Ok(());
    }
    if at <= publishing.now {
        let note = format!("not deprecated: {words} is past");
        publishing.notes.push(note);
        return Ok(());
    }
    let (visit, id) = (publishing.visit, publishing.id);
    let asked = visit.ec2.enable_image_deprecation().image_id(id.as_str());
    let answer = asked.deprecate_at(time).send().await;
    answer.map_err(|e| refusal("EnableImageDeprecation", &visit.at, id, &e))?;
    Ok(())
}

/// Protects the image from deregistration.
pub(super) async fn protect(publishing: &mut Publishing<'_>) -> Result<(), Rest> {
    let Some(wanted) = publishing.wish.protection else {
        return Ok(());
    };
    let cools = wanted == Protection::WithCooldown;
    let state = if cools {
        "enabled-with-cooldown"
    } else {
        "enabled-without-cooldown"
    };
    if publishing.image.deregistration_protection() == Some(state) {
        return Ok(());
    }
    let (visit, id) = (publishing.visit, publishing.id);
    let asked = visit.ec2.enable_image_deregistration_protection();
    let asked = asked.image_id(id.as_str()).with_cooldown(cools);
    let answer = asked.send().await;
    answer.map_err(|e| refusal("EnableImageDeregistrationProtection", &visit.at, id, &e))?;
    Ok(())
}

/// Takes the protection away that the run asks for, so that the image can be removed. An image that
/// somebody else has protected stays protected.
pub(in crate::aws) async fn unprotect(
    visit: &Visit<'_>,
    image: &Image,
    id: &ImageId,
) -> Result<(), Refusal> {
    let publish = visit.run.order.publish.as_ref();
    let asked = publish.is_some_and(|publish| publish.protection.is_some());
    let state = image.deregistration_protection().unwrap_or_default();
    if !asked || !state.starts_with("enabled") {
        return Ok(());
    }
    let asked = visit.ec2.disable_image_deregistration_protection();
    let answer = asked.image_id(id.as_str()).send().await;
    answer.map_err(|e| refusal("DisableImageDeregistrationProtection", &visit.at, id, &e))?;
    Ok(())
}
