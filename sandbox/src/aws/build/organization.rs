//! The organization, once the accounts are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{fault, service_control_policies};
use crate::aws::{
    Aws, LiveAccount, LiveOrganization, LiveUnit, Partition, is_organization_id, is_root_id,
    is_unit_id,
};
use crate::iam::Policy;
use crate::world::{Account, Organization, WorldError};

/// AWS nests OUs five deep below the root (Organizations guide, quotas).
const DEEPEST: usize = 5;
const STATES: [&str; 5] = [
    "PENDING_ACTIVATION",
    "ACTIVE",
    "SUSPENDED",
    "PENDING_CLOSURE",
    "CLOSED",
];

/// Adds the organization. Runs before any account is placed in it.
pub(super) fn add_organization(
    aws: &mut Aws,
    given: &Organization,
    partition: &'static Partition,
) -> Result<(), WorldError> {
    let at = "organization";
    if !is_organization_id(&given.id) {
        return fault(at, "id", not(&given.id, "o- and 10 to 32 of a-z0-9"));
    }
    if !is_root_id(&given.root) {
        return fault(at, "root", not(&given.root, "r- and 4 to 32 of a-z0-9"));
    }
    let mut units = BTreeMap::new();
    for (i, unit) in given.units.iter().enumerate() {
        let at = format!("{at}.unit[{i}]");
        let within = format!("ou-{}-", &given.root[2..]);
        if !is_unit_id(&unit.id) || !unit.id.starts_with(&within) {
            let form = format!("{within} and 8 to 32 of a-z0-9");
            return fault(&at, "id", not(&unit.id, &form));
        }
        let live = LiveUnit {
            name: unit.name.clone(),
            parent: unit.parent.clone().unwrap_or_else(|| given.root.clone()),
        };
        if units.insert(unit.id.clone(), live).is_some() {
            return fault(&at, "id", format!("{} is declared twice", unit.id));
        }
    }
    check_tree(given, &units)?;
    aws.organization = Some(LiveOrganization {
        id: given.id.clone(),
        partition,
        management_account: given.management_account.clone(),
        root: given.root.clone(),
        units,
        delegated_administrators: given.delegated_administrators.clone(),
        empty_pages: given.empty_pages,
    });
    Ok(())
}

fn not(given: &str, form: &str) -> String {
    format!("{given:?} is not {form}")
}

/// Checks that every OU leads up to the root.
fn check_tree(given: &Organization, units: &BTreeMap<String, LiveUnit>) -> Result<(), WorldError> {
    for (i, unit) in given.units.iter().enumerate() {
        let at = format!("organization.unit[{i}]");
        let mut above = &unit.id;
        let mut seen = BTreeSet::new();
        while *above != given.root {
            let Some(next) = units.get(above) else {
                return fault(&at, "parent", format!("{above} is not in the organization"));
            };
            if !seen.insert(above) {
                return fault(&at, "parent", format!("{above} stands above itself"));
            }
            above = &next.parent;
        }
        if seen.len() > DEEPEST {
            return fault(&at, "parent", format!("more than {DEEPEST} OUs deep"));
        }
    }
    Ok(())
}

/// Returns the partition that the account names, if the sandbox knows it.
pub(super) fn partition(account: &Account) -> Option<&'static Partition> {
    Partition::named(account.partition.as_deref().unwrap_or("aws"))
}

/// Places an account in the declared organization, in an organization known only by its ID, or in
/// none.
pub(super) fn place(aws: &Aws, account: &Account, at: &str) -> Result<LiveAccount, WorldError> {
    let state = account.state.as_deref().unwrap_or("ACTIVE");
    if !STATES.contains(&state) {
        return fault(at, "state", not(state, "one of AWS's account states"));
    }
    let Some(partition) = partition(account) else {
        let given = account.partition.as_deref().unwrap_or_default();
        return fault(at, "partition", not(given, "aws, aws-cn or aws-us-gov"));
    };
    let mut live = LiveAccount {
        partition,
        organization: account.organization.clone(),
        parent: account.parent.clone(),
        name: account.name.clone().unwrap_or_else(|| account.id.clone()),
        state: state.to_owned(),
        service_control_policies: None,
        disabled_regions: account.disabled_regions.clone(),
        ec2_settings: account.ec2_settings.clone(),
        ebs_default_keys: BTreeMap::new(),
    };
    if let Some(id) = live
        .organization
        .as_ref()
        .filter(|id| !is_organization_id(id))
    {
        return fault(at, "organization", not(id, "o- and 10 to 32 of a-z0-9"));
    }
    let declared = aws.organization.as_ref();
    let is_management = declared.is_some_and(|known| known.management_account == account.id);
    if is_management || live.parent.is_some() {
        let Some(known) = declared else {
            return fault(at, "parent", "the world declares no organization");
        };
        let named = live.organization.get_or_insert_with(|| known.id.clone());
        if *named != known.id {
            return fault(at, "organization", format!("is not {}", known.id));
        }
    }
    if let Some(known) = declared.filter(|known| live.organization.as_ref() == Some(&known.id)) {
        let parent = live.parent.get_or_insert_with(|| known.root.clone());
        if !known.has_parent(parent) {
            return fault(at, "parent", format!("{parent} is not in the organization"));
        }
        if known.partition.name != partition.name {
            let why = format!("{} is in {}", known.id, known.partition.name);
            return fault(at, "partition", why);
        }
    }
    live.service_control_policies = limits(account, at)?;
    if live.service_control_policies.is_some() && live.organization.is_none() {
        let why = "the account is in no organization";
        return fault(at, "service_control_policies", why);
    }
    Ok(live)
}

fn limits(account: &Account, at: &str) -> Result<Option<Arc<Vec<Policy>>>, WorldError> {
    let given = account.service_control_policies.iter();
    let given: Vec<&str> = given.map(String::as_str).collect();
    service_control_policies(&given, &format!("{at}.service_control_policies"))
}

/// Checks that the accounts which the organization names are members. Runs after all accounts are
/// added.
pub(super) fn check_members(aws: &Aws) -> Result<(), WorldError> {
    let Some(organization) = &aws.organization else {
        return Ok(());
    };
    let is_member = |account: &str| aws.organization_with(account).is_some();
    let missing = |account: &str| format!("{account} is no account of this organization");
    let management = &organization.management_account;
    if !is_member(management) {
        return fault("organization", "management_account", missing(management));
    }
    let delegated = &mut organization.delegated_administrators.iter();
    match delegated.find(|account| !is_member(account)) {
        Some(account) => fault("organization", "delegated_administrators", missing(account)),
        None => Ok(()),
    }
}
