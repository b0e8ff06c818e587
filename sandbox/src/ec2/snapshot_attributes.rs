//! DescribeSnapshotAttribute and ModifySnapshotAttribute: the accounts that may create volumes and
//! copies from a snapshot.

use std::collections::BTreeSet;

use super::describe_images::write_product_codes;
use super::permit::{self, Facts};
use super::{Ask, RETURN_TRUE, visibility};
use crate::aws::{Aws, Lost, volume_permissions};
use crate::model::Snapshot;
use crate::refusals::{self, Refused};
use crate::rules::ids;
use crate::wire::query::Query;
use crate::wire::xml::Xml;

const MOST_CHANGES: usize = 500;

/// Checks the permission and returns the snapshot of this call. Only the owner of a snapshot may go
/// on.
pub(super) fn owned(aws: &Aws, ask: Ask<'_>, facts: Facts<'_>) -> Result<Snapshot, Refused> {
    let id = ask.query.required("SnapshotId")?;
    ids::snapshot(id)?;
    let found = aws.snapshots.get(id).map(|snapshot| &snapshot.view);
    let found = found.filter(|snapshot| snapshot.region == ask.region());
    let facts = Facts {
        resource_tags: found.map(|snapshot| &snapshot.tags),
        owner: found.map(|snapshot| snapshot.owner_id.as_str()),
        ..facts
    };
    permit::action(aws, ask, &permit::snapshot_arn(ask.region(), id), &facts)?;
    let visible = found.filter(|snapshot| visibility::may_restore(aws, snapshot, ask.account()));
    let snapshot = visible.ok_or_else(|| refusals::SNAPSHOT_NOT_FOUND.with(&[id]))?;
    if snapshot.owner_id != ask.account() {
        return Err(refusals::SNAPSHOT_NOT_OWNED.with(&[id]));
    }
    Ok(snapshot.clone())
}

pub(super) fn describe(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let attribute = ask.query.required("Attribute")?;
    let snapshot = owned(aws, ask, Facts::default())?;
    ask.dry_run()?;
    let mut xml = Xml::new();
    xml.text("snapshotId", &snapshot.snapshot_id);
    match attribute {
        "productCodes" => write_product_codes(&mut xml, &snapshot.product_codes),
        "createVolumePermission" => write_permissions(&mut xml, aws, &snapshot),
        other => return Err(refusals::ATTRIBUTE_UNKNOWN.with(&[other])),
    }
    Ok(xml.finish())
}

fn write_permissions(xml: &mut Xml, aws: &Aws, snapshot: &Snapshot) {
    let current = volume_permissions(snapshot);
    let live = aws.snapshots.get(&snapshot.snapshot_id);
    let (everyone, accounts) = live.map_or(&current, |live| {
        live.shown.permissions.shown(&current, aws.now)
    });
    xml.element("createVolumePermission", |xml| {
        if *everyone {
            xml.element("item", |xml| {
                xml.text("group", "all");
            });
        }
        for account in accounts {
            xml.element("item", |xml| {
                xml.text("userId", account);
            });
        }
    });
}

pub(super) fn modify(aws: &mut Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let change = Change::read(ask.query)?;
    let snapshot = owned(aws, ask, change.facts())?;
    ask.dry_run()?;
    if change.adds() {
        may_share(aws, &snapshot, &change)?;
    }
    aws.lost = if change.remove.is_empty() && !change.remove_everyone {
        Lost::None
    } else {
        Lost::OfSource(snapshot.snapshot_id.clone())
    };
    let now = aws.now;
    if let Some(live) = aws.snapshots.get_mut(&snapshot.snapshot_id) {
        let new = change.add.difference(&snapshot.create_volume_permissions);
        let new = new.map(|account| (account.clone(), now));
        live.permitted_at.extend(new);
    }
    aws.change_snapshot(&snapshot.snapshot_id, |snapshot| {
        let permissions = &mut snapshot.create_volume_permissions;
        permissions.retain(|account| !change.remove.contains(account));
        permissions.extend(change.add);
        snapshot.public = (snapshot.public && !change.remove_everyone) || change.add_everyone;
    });
    Ok(RETURN_TRUE.to_owned())
}

#[derive(Default)]
struct Change {
    add: BTreeSet<String>,
    remove: BTreeSet<String>,
    add_everyone: bool,
    remove_everyone: bool,
}

impl Change {
    fn read(query: &Query) -> Result<Self, Refused> {
        if let Some(attribute) = query
            .get("Attribute")
            .filter(|a| *a != "createVolumePermission")
        {
            return Err(refusals::ATTRIBUTE_UNKNOWN.with(&[attribute]));
        }
        let added = query.structures("CreateVolumePermission.Add");
        let removed = query.structures("CreateVolumePermission.Remove");
        let (users, groups) = (query.list("UserId"), query.list("UserGroup"));
        let count = added.len() + removed.len() + users.len() + groups.len();
        if count > MOST_CHANGES {
            return Err(refusals::PERMISSION_CHANGES_LIMIT.with(&[&count.to_string()]));
        }
        if !added.is_empty() && !removed.is_empty() {
            return Err(refusals::PERMISSION_BOTH_WAYS.with(&[]));
        }
        if count == 0 {
            return Err(refusals::PERMISSION_NOTHING.with(&[]));
        }
        let mut change = Self::default();
        if added.is_empty() && removed.is_empty() {
            let adds = match query.required("OperationType")? {
                "add" => true,
                "remove" => false,
                other => return Err(query.bad("OperationType", other)),
            };
            change.entities(adds, &users, &groups)?;
            return Ok(change);
        }
        if !users.is_empty() || !groups.is_empty() || query.get("OperationType").is_some() {
            return Err(refusals::PERMISSION_TWO_FORMS.with(&["CreateVolumePermission"]));
        }
        for (items, adds) in [(added, true), (removed, false)] {
            let users: Vec<String> = items
                .iter()
                .filter_map(|item| item.owned("UserId"))
                .collect();
            let groups: Vec<String> = items
                .iter()
                .filter_map(|item| item.owned("Group"))
                .collect();
            change.entities(adds, &users, &groups)?;
        }
        Ok(change)
    }

    fn entities(&mut self, adds: bool, users: &[String], groups: &[String]) -> Result<(), Refused> {
        // ModifySnapshotAttribute takes account IDs only, no ARNs of organizations or OUs.
        users.iter().try_for_each(|id| ids::account(id))?;
        groups.iter().try_for_each(|group| check_group(group))?;
        let (place, everyone) = if adds {
            (&mut self.add, &mut self.add_everyone)
        } else {
            (&mut self.remove, &mut self.remove_everyone)
        };
        place.extend(users.iter().cloned());
        *everyone |= !groups.is_empty();
        Ok(())
    }

    fn adds(&self) -> bool {
        !self.add.is_empty() || self.add_everyone
    }

    fn facts(&self) -> Facts<'static> {
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
        let group = |all: bool| {
            if all {
                vec!["all".to_owned()]
            } else {
                Vec::new()
            }
        };
        let keys = [
            ("ec2:add/userid", list(&self.add)),
            ("ec2:remove/userid", list(&self.remove)),
            ("ec2:add/group", group(self.add_everyone)),
            ("ec2:remove/group", group(self.remove_everyone)),
        ];
        Facts {
            keys: keys
                .into_iter()
                .filter(|(_, values)| !values.is_empty())
                .collect(),
            ..Facts::default()
        }
    }
}

fn check_group(group: &str) -> Result<(), Refused> {
    if group != "all" {
        return Err(refusals::USER_GROUP_UNKNOWN.with(&[group]));
    }
    Ok(())
}

fn may_share(aws: &Aws, snapshot: &Snapshot, change: &Change) -> Result<(), Refused> {
    let settings = aws.ec2_settings(&snapshot.owner_id, &snapshot.region);
    if change.add_everyone && settings.snapshot_block_public_access != "unblocked" {
        return Err(refusals::SNAPSHOT_PUBLIC_BLOCKED.with(&[&snapshot.snapshot_id]));
    }
    let Some(key) = &snapshot.kms_key_arn else {
        return Ok(());
    };
    if aws.keys.get(key).is_some_and(|key| key.managed) {
        return Err(refusals::EBS_DEFAULT_KEY_SHARED.with(&[]));
    }
    if change.add_everyone {
        return Err(refusals::ENCRYPTED_SNAPSHOT_PUBLIC.with(&[&snapshot.snapshot_id]));
    }
    Ok(())
}
