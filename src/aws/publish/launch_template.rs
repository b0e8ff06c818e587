//! A version of a launch template with the image.

use aws_sdk_ec2::types::{Filter, LaunchTemplateVersion, RequestLaunchTemplateData};

use super::Publishing;
use crate::aws::refusal;
use crate::command::Rest;
use crate::digest::digest;
use crate::error::Refusal;
use crate::publish::{default_before, version_words};
use crate::request::LaunchTemplate;
use crate::state::PublishedTemplate;

/// Makes the version unless the template has one, and makes it the default if that is asked for.
pub(super) async fn publish(publishing: &mut Publishing<'_>) -> Result<(), Rest> {
    let Some(template) = &publishing.wish.launch_template else {
        return Ok(());
    };
    let default = default_version(publishing, template).await?;
    let (there, words) = match version_of_image(publishing, template).await? {
        Some(version) => version,
        None => make(publishing, template, &default).await?,
    };
    let default = default.version_number().unwrap_or_default();
    let mut published = PublishedTemplate {
        version: there,
        former: None,
    };
    if publishing.wish.set_default_version {
        if default < there {
            set_default(publishing, template, there).await?;
        }
        if default > there {
            let note = format!("{template}: its default version {default} is newer than {there}");
            publishing.notes.push(note);
        } else {
            published.former = default_before(&words).filter(|before| *before != there);
        }
    }
    publishing.done.template = Some(published);
    Ok(())
}

/// Returns the default version.
async fn default_version(
    publishing: &Publishing<'_>,
    template: &LaunchTemplate,
) -> Result<LaunchTemplateVersion, Refusal> {
    let visit = publishing.visit;
    let asked = visit.ec2.describe_launch_template_versions();
    let asked = match template {
        LaunchTemplate::Id(id) => asked.launch_template_id(id.as_str()),
        LaunchTemplate::Name(name) => asked.launch_template_name(name.as_str()),
    };
    let operation = "DescribeLaunchTemplateVersions";
    let answer = asked.versions("$Default").send().await;
    let answer = answer.map_err(|e| refusal(operation, &visit.at, template, &e))?;
    let found = answer.launch_template_versions.unwrap_or_default();
    let missing = || {
        let said = "the answer has no default version";
        Refusal::ours(operation, &visit.at, template, "UnreadableAnswer", said)
    };
    found.into_iter().next().ok_or_else(missing)
}

/// Returns the newest version with the image, with its description.
async fn version_of_image(
    publishing: &Publishing<'_>,
    template: &LaunchTemplate,
) -> Result<Option<(i64, String)>, Refusal> {
    let visit = publishing.visit;
    let filter = Filter::builder()
        .name("image-id")
        .values(publishing.id.as_str());
    let asked = visit
        .ec2
        .describe_launch_template_versions()
        .filters(filter.build());
    let asked = match template {
        LaunchTemplate::Id(id) => asked.launch_template_id(id.as_str()),
        LaunchTemplate::Name(name) => asked.launch_template_name(name.as_str()),
    };
    let mut pages = asked.into_paginator().send();
    let mut newest = None;
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| refusal("DescribeLaunchTemplateVersions", &visit.at, template, &e))?;
        for version in page.launch_template_versions() {
            let words = version.version_description().unwrap_or_default().to_owned();
            newest = newest.max(version.version_number().map(|number| (number, words)));
        }
    }
    Ok(newest)
}

/// Makes a version from the default one. The token makes it once, however often it is asked for.
///
/// EC2 does not take over snapshots in block device mappings, by which instances would start from
/// an older image (EC2 API reference, CreateLaunchTemplateVersion, SourceVersion).
async fn make(
    publishing: &Publishing<'_>,
    template: &LaunchTemplate,
    default: &LaunchTemplateVersion,
) -> Result<(i64, String), Rest> {
    let (visit, id) = (publishing.visit, publishing.id);
    let number = default.version_number().unwrap_or_default();
    let words = version_words(visit.run.id, number);
    let place = [
        visit.target.account_id.as_str(),
        visit.target.region.as_str(),
    ];
    let from = number.to_string();
    let named = template.to_string();
    let token = digest(
        ["launch-template", id.as_str(), &named, &from]
            .into_iter()
            .chain(place),
    );
    let asked = visit.ec2.create_launch_template_version();
    let asked = match template {
        LaunchTemplate::Id(id) => asked.launch_template_id(id.as_str()),
        LaunchTemplate::Name(name) => asked.launch_template_name(name.as_str()),
    };
    let data = RequestLaunchTemplateData::builder().image_id(id.as_str());
    let operation = "CreateLaunchTemplateVersion";
    let answer = asked
        .source_version(&from)
        .version_description(&words)
        .launch_template_data(data.build())
        .client_token(token)
        .send()
        .await;
    let answer = answer.map_err(|e| refusal(operation, &visit.at, template, &e))?;
    let made = answer
        .launch_template_version()
        .and_then(LaunchTemplateVersion::version_number);
    let said = "the answer has no version number";
    let unreadable = || Refusal::ours(operation, &visit.at, template, "UnreadableAnswer", said);
    Ok((made.ok_or_else(unreadable)?, words))
}

async fn set_default(
    publishing: &Publishing<'_>,
    template: &LaunchTemplate,
    version: i64,
) -> Result<(), Refusal> {
    let visit = publishing.visit;
    let asked = visit.ec2.modify_launch_template();
    let asked = match template {
        LaunchTemplate::Id(id) => asked.launch_template_id(id.as_str()),
        LaunchTemplate::Name(name) => asked.launch_template_name(name.as_str()),
    };
    let answer = asked.default_version(version.to_string()).send().await;
    answer.map_err(|e| refusal("ModifyLaunchTemplate", &visit.at, template, &e))?;
    Ok(())
}
