//! DescribeImageAttribute and ModifyImageAttribute: an owner reads and changes one attribute of an
//! image.

use std::collections::BTreeSet;

use super::describe_images::write_product_codes;
use super::permit::{self, Facts};
use super::{Ask, RETURN_TRUE};
use crate::aws::{Aws, Partition, is_organization_id, is_unit_id, launch_permissions};
use crate::model::{Image, LaunchPermission};
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::query::Query;
use crate::wire::xml::Xml;

/// The limit of entities that an image may be shared with.
const MOST_PERMISSIONS: usize = 1000;

/// Checks the permission and returns the image of this call. Only the owner of an image may go on.
pub(super) fn owned(aws: &Aws, ask: Ask<'_>) -> Result<Image, Refused> {
    let id = ask.query.required("ImageId")?;
    ids::image(id)?;
    let found = aws
        .images
        .get(id)
        .filter(|image| image.view.region == ask.region());
    let facts = Facts {
        resource_tags: found.map(|image| &image.view.tags),
        owner: found.map(|image| image.view.owner_id.as_str()),
        ..Facts::default()
    };
    permit::action(aws, ask, &permit::image_arn(ask.region(), id), &facts)?;
    let found = found.ok_or_else(|| refusals::IMAGE_NOT_FOUND.with(&[id]))?;
    if found.view.owner_id != ask.account() {
        return Err(refusals::IMAGE_NOT_OWNED.with(&[id]));
    }
    Ok(found.view.clone())
}

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let attribute = ask.query.required("Attribute")?;
    let image = owned(aws, ask)?;
    ask.dry_run()?;
    let mut xml = Xml::new();
    xml.text("imageId", &image.image_id);
    let simple = match attribute {
        "description" => &image.description,
        "kernel" => &image.kernel_id,
        "ramdisk" => &image.ramdisk_id,
        "sriovNetSupport" => &image.sriov_net_support,
        "bootMode" => &image.boot_mode,
        "tpmSupport" => &image.tpm_support,
        "uefiData" => &image.uefi_data,
        "imdsSupport" => &image.imds_support,
        "lastLaunchedTime" => &None,
        "deregistrationProtection" => &Some(protection(&image).to_owned()),
        "launchPermission" => {
            write_permissions(&mut xml, aws, &image);
            return Ok(xml.finish());
        }
        "productCodes" => {
            write_product_codes(&mut xml, &image.product_codes);
            return Ok(xml.finish());
        }
        // AWS has deprecated this attribute and answers AuthFailure (model).
        "blockDeviceMapping" => return Err(refusals::IMAGE_NOT_OWNED.with(&[&image.image_id])),
        other => return Err(refusals::ATTRIBUTE_UNKNOWN.with(&[other])),
    };
    xml.element(attribute, |xml| {
        xml.maybe("value", simple.as_deref());
    });
    Ok(xml.finish())
}

/// Returns the deregistration protection as DescribeImages shows it (values unproved).
pub(super) fn protection(image: &Image) -> &str {
    let protection = image.deregistration_protection.as_deref();
    protection.unwrap_or("disabled")
}

fn write_permissions(xml: &mut Xml, aws: &Aws, image: &Image) {
    let current = launch_permissions(image);
    let live = aws.images.get(&image.image_id);
    let (everyone, named) = live.map_or(&current, |live| {
        live.shown.permissions.shown(&current, aws.now)
    });
    xml.element("launchPermission", |xml| {
        if *everyone {
            xml.element("item", |xml| {
                xml.text("group", "all");
            });
        }
        for permission in named {
            xml.element("item", |xml| {
                match permission {
                    LaunchPermission::User(id) => xml.text("userId", id),
                    LaunchPermission::Organization(arn) => xml.text("organizationArn", arn),
                    LaunchPermission::OrganizationalUnit(arn) => {
                        xml.text("organizationalUnitArn", arn)
                    }
                };
            });
        }
    });
}

pub(super) fn modify(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let query = ask.query;
    let change = Change::read(query)?;
    let image = owned(aws, ask)?;
    ask.dry_run()?;
    if let Change::Permissions { add, .. } = &change {
        add.check_partition(Partition::of_region(ask.region()))?;
        if image.state == "disabled" {
            return Err(refusals::IMAGE_NOT_AVAILABLE.with(&[&image.image_id, &image.state]));
        }
        may_share(aws, &image, add)?;
    }
    let mut applied = Ok(());
    aws.change_image(&image.image_id, |image| applied = change.apply(image));
    applied?;
    Ok(RETURN_TRUE.to_owned())
}

enum Change {
    Permissions { add: Entities, remove: Entities },
    Description(String),
    ImdsSupport(String),
}

#[derive(Default)]
struct Entities {
    named: BTreeSet<LaunchPermission>,
    everyone: bool,
}

impl Entities {
    fn is_empty(&self) -> bool {
        self.named.is_empty() && !self.everyone
    }

    /// Refuses organizations of another partition.
    fn check_partition(&self, partition: &Partition) -> Result<(), Refused> {
        for permission in &self.named {
            let (arn, kind) = match permission {
                LaunchPermission::User(_) => continue,
                LaunchPermission::Organization(arn) => (arn, "OrganizationArn"),
                LaunchPermission::OrganizationalUnit(arn) => (arn, "OrganizationalUnitArn"),
            };
            if !partition.has(arn) {
                return Err(bad_item(arn, kind));
            }
        }
        Ok(())
    }

    fn add_group(&mut self, group: &str) -> Result<(), Refused> {
        if group != "all" {
            return Err(bad_item(group, "UserGroup"));
        }
        self.everyone = true;
        Ok(())
    }

    fn add_user(&mut self, id: &str) -> Result<(), Refused> {
        ids::account(id).map_err(|_| bad_item(id, "userId"))?;
        self.named.insert(LaunchPermission::User(id.to_owned()));
        Ok(())
    }

    fn add_organization(&mut self, arn: &str) -> Result<(), Refused> {
        let formed = in_organizations(arn, "organization").is_some_and(is_organization_id);
        if !formed {
            return Err(bad_item(arn, "OrganizationArn"));
        }
        self.named
            .insert(LaunchPermission::Organization(arn.to_owned()));
        Ok(())
    }

    fn add_unit(&mut self, arn: &str) -> Result<(), Refused> {
        let parts = in_organizations(arn, "ou").and_then(|rest| rest.split_once('/'));
        if !parts.is_some_and(|(own, unit)| is_organization_id(own) && is_unit_id(unit)) {
            return Err(bad_item(arn, "OrganizationalUnitArn"));
        }
        self.named
            .insert(LaunchPermission::OrganizationalUnit(arn.to_owned()));
        Ok(())
    }

    /// Reads the entities of `LaunchPermission.Add.N.…`.
    fn of_structures(items: &[Query]) -> Result<Self, Refused> {
        let mut entities = Self::default();
        for item in items {
            item.get("UserId")
                .map_or(Ok(()), |id| entities.add_user(id))?;
            item.get("Group")
                .map_or(Ok(()), |group| entities.add_group(group))?;
            item.get("OrganizationArn")
                .map_or(Ok(()), |arn| entities.add_organization(arn))?;
            item.get("OrganizationalUnitArn")
                .map_or(Ok(()), |arn| entities.add_unit(arn))?;
        }
        Ok(entities)
    }

    /// Reads the entities of `UserId.N`, `UserGroup.N`, ….
    fn of_lists(query: &Query) -> Result<Self, Refused> {
        let mut entities = Self::default();
        query
            .list("UserId")
            .iter()
            .try_for_each(|id| entities.add_user(id))?;
        query
            .list("UserGroup")
            .iter()
            .try_for_each(|group| entities.add_group(group))?;
        query
            .list("OrganizationArn")
            .iter()
            .try_for_each(|arn| entities.add_organization(arn))?;
        query
            .list("OrganizationalUnitArn")
            .iter()
            .try_for_each(|arn| entities.add_unit(arn))?;
        Ok(entities)
    }
}

/// Returns the part of an ARN behind `arn:<partition>:organizations::<account>:<kind>/`.
fn in_organizations<'a>(arn: &'a str, kind: &str) -> Option<&'a str> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    Partition::named(partition)?;
    let rest = rest.strip_prefix("organizations::")?;
    let (account, path) = rest.split_once(':')?;
    ids::account(account).ok()?;
    path.strip_prefix(kind)?.strip_prefix('/')
}

fn bad_item(value: &str, kind: &str) -> Refused {
    refusals::IMAGE_ATTRIBUTE_ITEM.with(&[value, kind])
}

impl Change {
    fn read(query: &Query) -> Result<Self, Refused> {
        if let Some(text) = query.get("Description.Value") {
            return Self::description(text);
        }
        if let Some(value) = query.get("ImdsSupport.Value") {
            return Self::imds(query, value);
        }
        let added = Entities::of_structures(&query.structures("LaunchPermission.Add"))?;
        let removed = Entities::of_structures(&query.structures("LaunchPermission.Remove"))?;
        let listed = Entities::of_lists(query)?;
        let structured = !added.is_empty() || !removed.is_empty();
        if structured && (!listed.is_empty() || query.get("OperationType").is_some()) {
            return Err(refusals::PERMISSION_TWO_FORMS.with(&["LaunchPermission"]));
        }
        if structured {
            return Ok(Self::Permissions {
                add: added,
                remove: removed,
            });
        }
        match (query.get("Attribute"), query.get("OperationType")) {
            (Some("description"), _) => Self::description(query.required("Value")?),
            (Some("imdsSupport"), _) => Self::imds(query, query.required("Value")?),
            (Some("launchPermission") | None, Some("add")) if !listed.is_empty() => {
                Ok(Self::Permissions {
                    add: listed,
                    remove: Entities::default(),
                })
            }
            (Some("launchPermission") | None, Some("remove")) if !listed.is_empty() => {
                Ok(Self::Permissions {
                    add: Entities::default(),
                    remove: listed,
                })
            }
            (Some("launchPermission") | None, Some("add" | "remove") | None) => {
                Err(refusals::PERMISSION_NOTHING.with(&[]))
            }
            (Some("launchPermission") | None, Some(other)) => {
                Err(query.bad("OperationType", other))
            }
            (Some(other), _) => Err(refusals::ATTRIBUTE_UNKNOWN.with(&[other])),
        }
    }

    fn description(text: &str) -> Result<Self, Refused> {
        check_description(text)?;
        Ok(Self::Description(text.to_owned()))
    }

    fn imds(query: &Query, value: &str) -> Result<Self, Refused> {
        if value != "v2.0" {
            return Err(query.bad("ImdsSupport", value));
        }
        Ok(Self::ImdsSupport(value.to_owned()))
    }

    fn apply(self, image: &mut Image) -> Result<(), Refused> {
        match self {
            Change::Description(text) => image.description = Some(text),
            Change::ImdsSupport(value) => image.imds_support = Some(value),
            Change::Permissions { add, remove } => {
                let mut permissions = image.launch_permissions.clone();
                permissions.retain(|permission| !remove.named.contains(permission));
                permissions.extend(add.named);
                if permissions.len() > MOST_PERMISSIONS {
                    return Err(refusals::LAUNCH_PERMISSION_LIMIT.with(&[&image.image_id]));
                }
                image.launch_permissions = permissions;
                image.public = (image.public && !remove.everyone) || add.everyone;
            }
        }
        Ok(())
    }
}

pub(super) fn check_description(text: &str) -> Result<(), Refused> {
    if text.chars().count() > 255 {
        return Err(refusals::DESCRIPTION_TOO_LONG.with(&[text]));
    }
    Ok(())
}

/// Refuses an image that may not be shared, or not with everyone.
fn may_share(aws: &Aws, image: &Image, add: &Entities) -> Result<(), Refused> {
    if add.is_empty() {
        return Ok(());
    }
    let settings = aws.ec2_settings(&image.owner_id, &image.region);
    if add.everyone && settings.image_block_public_access != "unblocked" {
        return Err(refusals::IMAGE_PUBLIC_BLOCKED.with(&[&image.image_id]));
    }
    for id in image.snapshot_ids() {
        let key = aws
            .snapshots
            .get(&id)
            .and_then(|snapshot| snapshot.view.kms_key_arn.as_ref());
        let Some(key) = key else { continue };
        if aws.keys.get(key).is_some_and(|key| key.managed) {
            return Err(refusals::MANAGED_KEY_IMAGE_SHARED.with(&[]));
        }
        if add.everyone {
            return Err(refusals::ENCRYPTED_IMAGE_PUBLIC.with(&[&image.image_id]));
        }
    }
    Ok(())
}
