//! DescribeImageReferences: the resources of the caller's account and Region that name images.
//!
//! Source: model; EC2 guide, resources that reference AMIs. Unproved are the refusal of an image
//! that is not there, whether a parameter of the data type `text` counts, the exact permissions to
//! describe what is looked through, and the refusal of a caller who lacks one of them.

use std::collections::BTreeSet;

use super::pages::Page;
use super::permit::{self, Facts};
use super::{Ask, visibility};
use crate::aws::{Aws, parameter_arn, regional_arn};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::query::Query;
use crate::wire::xml::Xml;

const INSTANCE: &str = "ec2:Instance";
const TEMPLATE: &str = "ec2:LaunchTemplate";
const PARAMETER: &str = "ssm:Parameter";

/// The types of resources, and the actions on them that the caller must be allowed, with the kind
/// of resource that each is allowed on.
const TYPES: [(&str, &[(&str, &str)]); 5] = [
    (INSTANCE, &[("ec2:DescribeInstances", "")]),
    (
        TEMPLATE,
        &[
            ("ec2:DescribeLaunchTemplates", ""),
            ("ec2:DescribeLaunchTemplateVersions", ""),
        ],
    ),
    (
        PARAMETER,
        &[
            ("ssm:DescribeParameters", "*"),
            ("ssm:GetParameters", "parameter/*"),
        ],
    ),
    (
        "imagebuilder:ImageRecipe",
        &[("imagebuilder:ListImageRecipes", "")],
    ),
    (
        "imagebuilder:ContainerRecipe",
        &[
            ("imagebuilder:ListContainerRecipes", ""),
            ("imagebuilder:GetContainerRecipe", "container-recipe/*"),
        ],
    ),
];

const STATES: [&str; 6] = [
    "pending",
    "running",
    "shutting-down",
    "terminated",
    "stopping",
    "stopped",
];
/// The versions of a launch template that count without the option `version-depth`, the newest
/// first, and the most that the option can name (model).
const USUAL_DEPTH: usize = 10;
const LARGEST_DEPTH: usize = 10_000;
const MOST_IMAGES: usize = 10;

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let page = Page::read(aws, ask, "", 5)?;
    let images = ask.query.list("ImageId");
    if images.is_empty() {
        return Err(refusals::MISSING_PARAMETER.with(&["ImageId"]));
    }
    if images.len() > MOST_IMAGES {
        return Err(refusals::REFERENCES_IMAGE_LIMIT.with(&[&images.len().to_string()]));
    }
    images.iter().try_for_each(|id| ids::image(id))?;
    let scope = Scope::read(ask.query)?;
    permit::action(aws, ask, "*", &Facts::default())?;
    scope.permit(aws, ask)?;
    ask.dry_run()?;
    let mut found = Vec::new();
    for id in &images {
        exists(aws, ask, id)?;
        found.extend(scope.references(aws, ask, id));
    }
    let (found, token) = page.cut(found);
    let mut xml = Xml::new();
    xml.list("imageReferenceSet", found, |xml, (image, kind, arn)| {
        xml.text("imageId", image)
            .text("resourceType", kind)
            .text("arn", arn);
    });
    xml.maybe("nextToken", token.as_deref());
    Ok(xml.finish())
}

fn exists(aws: &Aws, ask: Ask<'_>, id: &str) -> Result<(), Refused> {
    let key = (ask.region().to_owned(), id.to_owned());
    if aws.deregistered.contains(&key) {
        return Err(refusals::IMAGE_UNAVAILABLE.with(&[id]));
    }
    let image = aws.images.get(id).map(|live| &live.view);
    let image = image.filter(|image| image.region == ask.region());
    let seen = image.is_some_and(|image| visibility::may_launch(aws, image, ask.account()));
    if seen {
        return Ok(());
    }
    Err(refusals::IMAGE_NOT_FOUND.with(&[id]))
}

/// The resources that a request looks through.
struct Scope {
    types: BTreeSet<&'static str>,
    /// The states of instances; none stands for all.
    states: Vec<String>,
    depth: usize,
}

impl Scope {
    fn read(query: &Query) -> Result<Self, Refused> {
        let all = query.flag("IncludeAllResourceTypes")? == Some(true);
        let named = query.structures("ResourceType");
        if !all && named.is_empty() {
            return Err(refusals::REFERENCES_WITHOUT_TYPES.with(&[]));
        }
        let every = TYPES.iter().map(|(kind, _)| *kind);
        let mut scope = Self {
            types: every.filter(|_| all).collect(),
            states: Vec::new(),
            depth: USUAL_DEPTH,
        };
        for each in named {
            let given = each.required("ResourceType")?;
            let known = TYPES.iter().find(|(kind, _)| *kind == given);
            let (kind, _) = known.ok_or_else(|| each.bad("ResourceType", given))?;
            scope.types.insert(kind);
            for option in each.structures("ResourceTypeOption") {
                scope.option(kind, &option)?;
            }
        }
        Ok(scope)
    }

    fn option(&mut self, kind: &str, option: &Query) -> Result<(), Refused> {
        let name = option.required("OptionName")?;
        let values = option.list("OptionValue");
        let bad = |value: &String| option.bad("OptionValue", value);
        match (kind, name) {
            (INSTANCE, "state-name") => {
                let unknown = |value: &&String| !STATES.contains(&value.as_str());
                if let Some(value) = values.iter().find(unknown) {
                    return Err(bad(value));
                }
                self.states = values;
            }
            (TEMPLATE, "version-depth") => {
                let [value] = values.as_slice() else {
                    return Err(bad(&values.join(",")));
                };
                let depth = value.parse().ok();
                let depth = depth.filter(|depth| (1..=LARGEST_DEPTH).contains(depth));
                self.depth = depth.ok_or_else(|| bad(value))?;
            }
            _ => return Err(option.bad("OptionName", name)),
        }
        Ok(())
    }

    /// Checks that the caller may describe the resources.
    fn permit(&self, aws: &Aws, ask: Ask<'_>) -> Result<(), Refused> {
        let wanted = TYPES.iter().filter(|(kind, _)| self.types.contains(kind));
        for (action, resource) in wanted.flat_map(|(_, actions)| *actions) {
            let service = action.split(':').next().unwrap_or_default();
            let resource = match *resource {
                "" => "*".to_owned(),
                kind => regional_arn(service, ask.region(), ask.account(), kind),
            };
            permit::other_action(aws, ask, action, &resource, &Facts::default())?;
        }
        Ok(())
    }

    /// Returns image, type and ARN of every resource that names the image.
    fn references(
        &self,
        aws: &Aws,
        ask: Ask<'_>,
        image: &str,
    ) -> Vec<(String, &'static str, String)> {
        let here = |resource: String| regional_arn("ec2", ask.region(), ask.account(), &resource);
        let instances = aws.instances.values().filter(|live| {
            live.owner == ask.account()
                && live.region == ask.region()
                && live.image.image_id == image
                && live.visible_at <= aws.now
                && !live.is_forgotten(aws)
                && (self.states.is_empty() || self.states.iter().any(|s| s == live.state(aws).1))
        });
        let instances = instances.map(|live| (INSTANCE, here(format!("instance/{}", live.id))));
        let templates = aws.templates_of(ask.account(), ask.region());
        let templates = templates.filter(|live| {
            let mut newest = live.versions.iter().rev().take(self.depth);
            newest.any(|version| version.view.image_id.as_deref() == Some(image))
        });
        let templates =
            templates.map(|live| (TEMPLATE, here(format!("launch-template/{}", live.id))));
        let parameters = aws
            .parameters
            .iter()
            .filter(|((account, region, _), live)| {
                let current = live.versions.last();
                account == ask.account()
                    && region == ask.region()
                    && current.is_some_and(|current| current.view.value == image)
            });
        let parameters = parameters.map(|(key, _)| (PARAMETER, parameter_arn(key)));
        let all = instances.chain(templates).chain(parameters);
        all.filter(|(kind, _)| self.types.contains(kind))
            .map(|(kind, arn)| (image.to_owned(), kind, arn))
            .collect()
    }
}
