//! Builds the live world from a declared one. A world that contradicts itself is refused with the
//! key at fault.

mod buckets;
mod keys;
mod launch_templates;
mod organization;
mod parameters;
mod possible;
mod principals;
mod resources;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::SystemTime;

use buckets::add_bucket;
pub(super) use buckets::bucket_policy;
use keys::add_default_keys;
pub(super) use keys::add_key;
pub(crate) use keys::{key_arn, managed_key};
use launch_templates::add_launch_template;
use parameters::add_parameter;
pub(crate) use principals::caller;
use principals::{add_access_key, add_user};
pub(super) use principals::{add_role, policy_names};
pub(super) use resources::{add_image, add_snapshot};

use super::{Aws, Copies, Owned, Partition, Rules, is_region};
use crate::iam::{Kind, Policy};
use crate::model::Ec2Settings;
use crate::world::{self, Account, Stack, World, WorldError};

impl World {
    /// Reads a world file, from which a sandbox can start. The error names the key at fault.
    pub fn from_toml(text: &str) -> Result<Self, WorldError> {
        let world = world::read(text)?;
        Aws::from_world(world.clone(), SystemTime::UNIX_EPOCH)?;
        Ok(world)
    }
}

impl Aws {
    pub(crate) fn from_world(world: World, now: SystemTime) -> Result<Self, WorldError> {
        let mut aws = Self::empty(&world, now);
        if let Some(organization) = &world.organization {
            let manager = &organization.management_account;
            let manager = world.accounts.iter().find(|account| account.id == *manager);
            // A wrong name is reported with the account that has it.
            let partition = manager.and_then(organization::partition);
            let partition = partition.unwrap_or(Partition::of_region(""));
            organization::add_organization(&mut aws, organization, partition)?;
        }
        for (i, account) in world.accounts.iter().enumerate() {
            add_account(&mut aws, account, &format!("account[{i}]"))?;
        }
        organization::check_members(&aws)?;
        // Keys come before the snapshots they encrypt, and snapshots before images, whatever the
        // order of declaration.
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, key) in account.keys.iter().enumerate() {
                add_key(
                    &mut aws,
                    &account.id,
                    key,
                    &format!("account[{i}].key[{j}]"),
                )?;
            }
            add_default_keys(&mut aws, account, &format!("account[{i}].ebs_default_keys"))?;
        }
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, snapshot) in account.snapshots.iter().enumerate() {
                let at = format!("account[{i}].snapshot[{j}]");
                add_snapshot(&mut aws, &account.id, snapshot.clone(), &at)?;
            }
        }
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, bucket) in account.buckets.iter().enumerate() {
                let at = format!("account[{i}].bucket[{j}]");
                add_bucket(&mut aws, &account.id, bucket, &at)?;
            }
        }
        for (i, account) in world.accounts.iter().enumerate() {
            for (j, template) in account.launch_templates.iter().enumerate() {
                let at = format!("account[{i}].launch_template[{j}]");
                add_launch_template(&mut aws, &account.id, template, &at)?;
            }
            for (j, parameter) in account.parameters.iter().enumerate() {
                let at = format!("account[{i}].parameter[{j}]");
                add_parameter(&mut aws, &account.id, parameter, &at)?;
            }
            for (j, stack) in account.stacks.iter().enumerate() {
                let at = format!("account[{i}].stack[{j}]");
                add_stack(&mut aws, &account.id, stack, &at)?;
            }
        }
        for (i, account) in world.accounts.into_iter().enumerate() {
            for (j, image) in account.images.into_iter().enumerate() {
                let at = format!("account[{i}].image[{j}]");
                add_image(&mut aws, &account.id, image, &at)?;
            }
        }
        Ok(aws)
    }

    fn empty(world: &World, now: SystemTime) -> Self {
        Self {
            now,
            rules: Rules {
                speed: world.speed,
                copy_mib_per_second: world.copy_mib_per_second,
                copy_start: world.copy_start,
                latency: world.latency,
                grant_delay: world.grant_delay,
                permission_delay: world.permission_delay,
                tag_delay: world.tag_delay,
                read_delay: world.read_delay,
                gone_delay: world.gone_delay,
                registration_delay: world.registration_delay,
                name_delay: world.name_delay,
                principal_delay: world.principal_delay,
                policy_delay: world.policy_delay,
                limits: world.limits,
                facts: world.facts,
            },
            accounts: BTreeMap::new(),
            organization: None,
            principals: BTreeMap::new(),
            credentials: BTreeMap::new(),
            images: Owned::default(),
            pending_images: BTreeSet::new(),
            snapshots: Owned::default(),
            volumes: BTreeMap::new(),
            volume_tokens: BTreeMap::new(),
            snapshots_due: BTreeMap::new(),
            deregistered: BTreeSet::new(),
            released_names: BTreeMap::new(),
            keys: BTreeMap::new(),
            aliases: BTreeMap::new(),
            copying: Copies::default(),
            image_tokens: BTreeMap::new(),
            late_policies: VecDeque::new(),
            s3_buckets: BTreeMap::new(),
            stacks: BTreeMap::new(),
            parameters: BTreeMap::new(),
            pending_parameters: VecDeque::new(),
            instances: BTreeMap::new(),
            instance_tokens: BTreeMap::new(),
            impaired_images: BTreeSet::new(),
            fast_restores: BTreeMap::new(),
            locks: BTreeMap::new(),
            templates: BTreeMap::new(),
            groups: BTreeMap::new(),
            template_tokens: BTreeMap::new(),
            gone: super::gone::Gone::default(),
            lateness: super::late::Lateness::of(world.late_reads, world.speed),
            buckets: BTreeMap::new(),
            invocations: Vec::new(),
            executions: BTreeMap::new(),
            serial: 0,
            node: None,
            lost: super::Lost::Any,
        }
    }
}

fn add_account(aws: &mut Aws, account: &Account, at: &str) -> Result<(), WorldError> {
    let id = &account.id;
    if id.len() != 12 || !id.bytes().all(|b| b.is_ascii_digit()) {
        return fault(at, "id", format!("{id:?} is not twelve digits"));
    }
    let live = organization::place(aws, account, at)?;
    for (region, settings) in &account.ec2_settings {
        check_settings(
            live.partition,
            region,
            settings,
            &format!("{at}.ec2_settings.{region}"),
        )?;
    }
    if aws.accounts.insert(id.clone(), live).is_some() {
        return fault(at, "id", format!("account {id} is declared twice"));
    }
    let impaired = account.impaired_images.iter().cloned();
    aws.impaired_images.extend(impaired);
    for (i, role) in account.roles.iter().enumerate() {
        add_role(aws, id, role, &format!("{at}.role[{i}]"))?;
    }
    for (i, user) in account.users.iter().enumerate() {
        add_user(aws, id, user, &format!("{at}.user[{i}]"))?;
    }
    for (i, key) in account.access_keys.iter().enumerate() {
        add_access_key(aws, id, key, &format!("{at}.access_key[{i}]"))?;
    }
    Ok(())
}

fn check_settings(
    partition: &Partition,
    region: &str,
    settings: &Ec2Settings,
    at: &str,
) -> Result<(), WorldError> {
    const ALLOWED: &[&str] = &["disabled", "audit-mode", "enabled"];
    const SHARING: &[&str] = &["unblocked", "block-new-sharing", "block-all-sharing"];
    known_region(partition, region, at)?;
    for (key, value, known) in [
        ("allowed_images", &settings.allowed_images, ALLOWED),
        (
            "image_block_public_access",
            &settings.image_block_public_access,
            &SHARING[..2],
        ),
        (
            "snapshot_block_public_access",
            &settings.snapshot_block_public_access,
            SHARING,
        ),
    ] {
        if !known.contains(&value.as_str()) {
            let why = format!("{value:?} is not one of {}", known.join(", "));
            return fault(at, key, why);
        }
    }
    Ok(())
}

pub(super) fn policy(json: &str, kind: Kind, at: &str) -> Result<Arc<Policy>, WorldError> {
    parse(json, kind, at).map(Arc::new)
}

fn parse(json: &str, kind: Kind, at: &str) -> Result<Policy, WorldError> {
    let parsed = Policy::parse(json).and_then(|policy| policy.check(kind).map(|()| policy));
    parsed.map_err(|error| WorldError::new(at, error.to_string()))
}

pub(super) fn policies(given: &[&str], at: &str) -> Result<Arc<Vec<Policy>>, WorldError> {
    let each = given.iter().enumerate();
    let parsed = each.map(|(i, json)| parse(json, Kind::Identity, &format!("{at}[{i}]")));
    parsed.collect::<Result<Vec<_>, _>>().map(Arc::new)
}

/// Parses service control policies; none given stands for FullAWSAccess.
pub(super) fn service_control_policies(
    given: &[&str],
    at: &str,
) -> Result<Option<Arc<Vec<Policy>>>, WorldError> {
    let parsed = policies(given, at)?;
    Ok(Some(parsed).filter(|all| !all.is_empty()))
}

/// Refuses a Region that is not in the account's partition.
fn known_region(partition: &Partition, region: &str, at: &str) -> Result<(), WorldError> {
    if is_region(region) && Partition::of_region(region).name == partition.name {
        return Ok(());
    }
    if is_region(region) {
        let why = format!("{region} is not in the partition {}", partition.name);
        return fault(at, "region", why);
    }
    fault(
        at,
        "region",
        format!("{region:?} is not a Region that the sandbox models"),
    )
}

fn fault<T>(at: &str, key: &str, reason: impl Into<String>) -> Result<T, WorldError> {
    Err(WorldError::new(format!("{at}.{key}"), reason))
}

fn add_stack(aws: &mut Aws, account: &str, stack: &Stack, at: &str) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &stack.region, at)?;
    let (region, name) = (stack.region.clone(), stack.name.clone());
    let key = (account.to_owned(), region, name);
    if aws.stacks.insert(key, stack.outputs.clone()).is_some() {
        return fault(
            at,
            "name",
            format!("stack {} is declared twice", stack.name),
        );
    }
    Ok(())
}
