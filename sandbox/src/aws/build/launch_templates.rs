//! Launch templates.

use std::collections::BTreeMap;

use super::{fault, known_region};
use crate::aws::{Aws, LiveTemplate, LiveTemplateVersion};
use crate::model::LaunchTemplateVersion;
use crate::rules::{ids, tags};
use crate::world::{LaunchTemplate, WorldError};

pub(super) fn add_launch_template(
    aws: &mut Aws,
    account: &str,
    template: &LaunchTemplate,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &template.region, at)?;
    let (id, name) = (&template.id, &template.name);
    if !ids::is_id("lt", id) {
        let why = format!("{id:?} is not lt- and 8 or 17 hexadecimal digits");
        return fault(at, "id", why);
    }
    if aws.templates.contains_key(id) {
        return fault(at, "id", format!("{id} is declared twice"));
    }
    let taken = aws
        .templates_of(account, &template.region)
        .any(|other| other.name == *name);
    if taken {
        let why = format!("{name} is the name of another launch template");
        return fault(at, "name", why);
    }
    if let Err(refused) = tags::check(&template.tags) {
        return fault(at, "tags", refused.message);
    }
    let owner = aws.iam_arn(account, "root");
    let images = [&template.image].into_iter().cloned();
    let images = images.chain(template.later_images.iter().cloned().map(Some));
    let versions = images
        .zip(1..)
        .map(|(image_id, version)| LiveTemplateVersion {
            view: LaunchTemplateVersion {
                version,
                description: None,
                source_version: None,
                image_id,
                instance_type: template.instance_type.clone(),
                mappings: template.mappings.clone(),
            },
            data: BTreeMap::new(),
            created: aws.now,
            created_by: owner.clone(),
        });
    let live = LiveTemplate {
        id: id.clone(),
        name: name.clone(),
        account: account.to_owned(),
        region: template.region.clone(),
        tags: template.tags.clone(),
        created: aws.now,
        created_by: owner.clone(),
        default_version: template.default_version.unwrap_or(1),
        versions: versions.collect(),
    };
    if live.version(live.default_version).is_none() {
        let why = format!("there is no version {}", live.default_version);
        return fault(at, "default_version", why);
    }
    aws.templates.insert(id.clone(), live);
    Ok(())
}
