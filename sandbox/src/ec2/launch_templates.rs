//! DescribeLaunchTemplates, DescribeLaunchTemplateVersions, and the calls that make, change and
//! delete launch templates.
//!
//! Source: model; EC2 guide, launch template versions. Parameters of a version are not validated,
//! as in AWS.

mod change;
mod versions;

pub(super) use change::{create, create_version, delete, modify};
pub(super) use versions::describe as describe_versions;

use super::filters::Filters;
use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, tags};
use crate::aws::{Aws, LiveTemplate, regional_arn};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::time;
use crate::wire::xml::Xml;

/// The size of a page, at most (model).
const LARGEST_PAGE: u32 = 200;

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = page(aws, ask)?;
    let filters = Filters::read_some(ask.query, &["launch-template-name"])?;
    let (wanted, named) = (
        ask.query.list("LaunchTemplateId"),
        ask.query.list("LaunchTemplateName"),
    );
    if !wanted.is_empty() && !named.is_empty() {
        return Err(refusals::TEMPLATE_ID_AND_NAME.with(&[]));
    }
    wanted.iter().try_for_each(|id| ids::launch_template(id))?;
    permit::action(aws, ask, "*", &Facts::default())?;
    ask.dry_run()?;
    for id in &wanted {
        find(aws, ask, &Named::Id(id))?;
    }
    for name in &named {
        find(aws, ask, &Named::Name(name))?;
    }
    let found = aws
        .templates_of(ask.account(), ask.region())
        .filter(|live| {
            (wanted.is_empty() || wanted.contains(&live.id))
                && (named.is_empty() || named.contains(&live.name))
                && filters.admit(|| pairs(live), |_| vec![live.name.clone()])
        });
    let (found, token) = page.cut(found.collect());
    let mut xml = Xml::new();
    xml.list("launchTemplates", found, write);
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn page(aws: &Aws, ask: Ask<'_>) -> Result<Page, Refused> {
    let size = ask.query.number("MaxResults")?;
    if let Some(size) = size.filter(|size| *size > LARGEST_PAGE) {
        return Err(ask.query.bad("MaxResults", &size.to_string()));
    }
    Page::read(aws, ask, "", 1)
}

fn pairs(live: &LiveTemplate) -> Vec<(&str, &str)> {
    let tags = live.tags.iter();
    tags.map(|(key, value)| (key.as_str(), value.as_str()))
        .collect()
}

/// The way in which a request names a launch template.
enum Named<'a> {
    Id(&'a str),
    Name(&'a str),
}

/// Returns the launch template that a request names, if it names one.
fn named(ask: Ask<'_>) -> Result<Option<Named<'_>>, Refused> {
    let given = |name: &str| ask.query.get(name).filter(|value| !value.is_empty());
    let given = (given("LaunchTemplateId"), given("LaunchTemplateName"));
    Ok(match given {
        (Some(_), Some(_)) => return Err(refusals::TEMPLATE_ID_AND_NAME.with(&[])),
        (Some(id), None) => {
            ids::launch_template(id)?;
            Some(Named::Id(id))
        }
        (None, Some(name)) => Some(Named::Name(name)),
        (None, None) => None,
    })
}

fn find<'a>(aws: &'a Aws, ask: Ask<'_>, named: &Named<'_>) -> Result<&'a LiveTemplate, Refused> {
    let mut all = aws.templates_of(ask.account(), ask.region());
    match *named {
        Named::Id(id) => {
            let found = all.find(|live| live.id == id);
            found.ok_or_else(|| refusals::TEMPLATE_NOT_FOUND.with(&[id]))
        }
        Named::Name(name) => {
            let found = all.find(|live| live.name == name);
            found.ok_or_else(|| refusals::TEMPLATE_NAME_NOT_FOUND.with(&[name]))
        }
    }
}

/// Returns the launch template that the caller may change by this call.
fn permitted<'a>(aws: &'a Aws, ask: Ask<'_>) -> Result<&'a LiveTemplate, Refused> {
    let named = named(ask)?;
    let missing = || refusals::MISSING_PARAMETER.with(&["LaunchTemplateId"]);
    let named = named.ok_or_else(missing)?;
    let found = find(aws, ask, &named);
    let id = match (&found, &named) {
        (Ok(live), _) => live.id.as_str(),
        (Err(_), Named::Id(id)) => id,
        (Err(_), Named::Name(_)) => "*",
    };
    let resource = format!("launch-template/{id}");
    let arn = regional_arn("ec2", ask.region(), ask.account(), &resource);
    let facts = Facts {
        resource_tags: found.as_ref().ok().map(|live| &live.tags),
        ..Facts::default()
    };
    permit::action(aws, ask, &arn, &facts)?;
    ask.dry_run()?;
    found
}

fn write(xml: &mut Xml, live: &LiveTemplate) {
    xml.text("launchTemplateId", &live.id)
        .text("launchTemplateName", &live.name)
        .text("createTime", time::iso_seconds(live.created))
        .text("createdBy", &live.created_by)
        .text("defaultVersionNumber", live.default_version.to_string())
        .text("latestVersionNumber", live.latest_version().to_string());
    tags::write(xml, &live.tags);
}
