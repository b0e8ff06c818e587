//! DeregisterImage and DeleteSnapshot.

use std::collections::BTreeSet;

use super::permit::{self, Facts};
use super::{Ask, RETURN_TRUE, snapshot_attributes};
use crate::aws::{Aws, Lost};
use crate::model::Image;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::xml::Xml;

pub(super) fn image(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let id = ask.query.required("ImageId")?;
    ids::image(id)?;
    let with_snapshots = ask
        .query
        .flag("DeleteAssociatedSnapshots")?
        .unwrap_or(false);
    let found = aws.images.get(id).map(|image| &image.view);
    let found = found.filter(|image| image.region == ask.region()).cloned();
    let facts = Facts {
        resource_tags: found.as_ref().map(|image| &image.tags),
        owner: found.as_ref().map(|image| image.owner_id.as_str()),
        ..Facts::default()
    };
    permit::action(aws, ask, &permit::image_arn(ask.region(), id), &facts)?;
    ask.dry_run()?;
    let Some(image) = found else {
        let key = (ask.region().to_owned(), id.to_owned());
        let no = if aws.deregistered.contains(&key) {
            &refusals::IMAGE_UNAVAILABLE
        } else {
            &refusals::IMAGE_NOT_FOUND
        };
        return Err(no.with(&[id]));
    };
    if image.owner_id != ask.account() {
        return Err(refusals::IMAGE_NOT_OWNED.with(&[id]));
    }
    let cooling = aws
        .images
        .get(id)
        .is_some_and(|image| image.protected_until > aws.now);
    if image.deregistration_protection.is_some() || cooling {
        return Err(refusals::IMAGE_PROTECTED.with(&[id]));
    }
    aws.delete_image(id);
    let name = (
        image.owner_id.clone(),
        image.region.clone(),
        image.name.clone(),
    );
    let free_at = aws.now + aws.rules.scaled(aws.rules.name_delay);
    aws.released_names.insert(name, (id.to_owned(), free_at));
    aws.deregistered
        .insert((ask.region().to_owned(), id.to_owned()));
    let mut xml = Xml::new();
    xml.flag("return", true);
    if with_snapshots {
        let snapshots: BTreeSet<String> = image.snapshot_ids().into_iter().collect();
        let results = snapshots
            .iter()
            .map(|id| (id, delete_associated(aws, ask, id)));
        let results: Vec<_> = results.collect();
        xml.list("deleteSnapshotResultSet", results, |xml, (id, code)| {
            xml.text("snapshotId", id).text("returnCode", code);
        });
    }
    Ok(xml.finish())
}

/// Deletes a snapshot of a deregistered image and returns the return code. Snapshots of other
/// images are kept (aws-facts, EC2 sharing). The code of a locked snapshot is unproved.
fn delete_associated(aws: &mut Aws, ask: Ask<'_>, id: &str) -> &'static str {
    let Some(snapshot) = aws.snapshots.get(id).map(|snapshot| &snapshot.view) else {
        return "client-error";
    };
    let facts = Facts {
        resource_tags: Some(&snapshot.tags),
        owner: Some(&snapshot.owner_id),
        ..Facts::default()
    };
    let arn = permit::snapshot_arn(ask.region(), id);
    if permit::other_action(aws, ask, "ec2:DeleteSnapshot", &arn, &facts).is_err() {
        return "missing-permissions";
    }
    if snapshot.owner_id != ask.account() || aws.images.values().any(|image| maps(&image.view, id))
    {
        return "skipped";
    }
    if aws.lock_in_force(id).is_some() {
        return "client-error";
    }
    aws.delete_snapshot(id);
    "success"
}

fn maps(image: &Image, snapshot_id: &str) -> bool {
    image.snapshot_ids().iter().any(|id| id == snapshot_id)
}

/// Returns the image that keeps this snapshot from being deleted: the snapshot is its root
/// device's, or the image is disabled.
fn kept_by<'a>(aws: &'a Aws, snapshot_id: &str) -> Option<&'a Image> {
    let mut images = aws.images.values().map(|image| &image.view);
    images.find(|image| {
        let disabled = image.state == "disabled" && maps(image, snapshot_id);
        disabled || image.root_snapshot_id() == Some(snapshot_id)
    })
}

/// Deletes a snapshot. A copy that is making it goes on (aws-facts, EC2 copying).
pub(super) fn snapshot(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let snapshot = snapshot_attributes::owned(aws, ask, Facts::default())?;
    ask.dry_run()?;
    let id = snapshot.snapshot_id;
    if let Some(image) = kept_by(aws, &id) {
        return Err(refusals::SNAPSHOT_IN_USE.with(&[&id, &image.image_id]));
    }
    if aws.lock_in_force(&id).is_some() {
        return Err(refusals::SNAPSHOT_LOCKED.with(&[&id]));
    }
    aws.delete_snapshot(&id);
    aws.lost = Lost::OfSource(id);
    Ok(RETURN_TRUE.to_owned())
}
