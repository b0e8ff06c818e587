//! GetAllowedImagesSettings, GetImageBlockPublicAccessState and GetSnapshotBlockPublicAccessState:
//! the settings of the caller's account in this Region. Declarative policies are not modelled.

use super::Ask;
use super::permit::{self, Facts};
use crate::aws::Aws;
use crate::model::Ec2Settings;
use crate::refusals::Refused;
use crate::wire::xml::Xml;

pub(super) fn allowed_images(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let settings = own(aws, ask)?;
    let mut xml = Xml::new();
    xml.text("state", &settings.allowed_images);
    xml.list(
        "imageCriterionSet",
        &settings.image_providers,
        |xml, providers| {
            xml.element("imageProviderSet", |xml| {
                for provider in providers {
                    xml.text("item", provider);
                }
            });
        },
    );
    Ok(managed(xml))
}

pub(super) fn image_block_public_access(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let state = own(aws, ask)?.image_block_public_access;
    let mut xml = Xml::new();
    xml.text("imageBlockPublicAccessState", state);
    Ok(managed(xml))
}

pub(super) fn snapshot_block_public_access(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let state = own(aws, ask)?.snapshot_block_public_access;
    let mut xml = Xml::new();
    xml.text("state", state);
    Ok(managed(xml))
}

fn own(aws: &Aws, ask: Ask<'_>) -> Result<Ec2Settings, Refused> {
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    Ok(aws.ec2_settings(ask.account(), ask.region()))
}

fn managed(mut xml: Xml) -> String {
    xml.text("managedBy", "account");
    xml.finish()
}
