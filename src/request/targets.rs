//! The forms in which a request names targets: a list of objects, parallel lists of accounts and
//! keys, times Regions, and the organization or its units.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::ids::{
    AccountId, ExternalId, KeyRef, OrganizationId, OrganizationalUnitId, Region, RoleName,
};

use super::fields::Fields;
use super::keys::TARGET_KEYS;
use super::{Audience, MAX_TARGETS, Mode, Target, check_count};

/// The role of a target that names none.
pub const DEFAULT_ROLE: &str = "AmiCopyRole";

/// Reads the targets in any form. Two lists of accounts are refused; an audience may accompany
/// either list.
pub fn read(
    fields: &mut Fields,
    mode: Mode,
    source_region: &Region,
) -> Result<(Vec<Target>, Option<Audience>), Error> {
    let role = match fields.checked(&["TargetRoleName", "RoleName"], RoleName::parse)? {
        Some(role) => role,
        None => RoleName::parse(DEFAULT_ROLE).map_err(|e| Error::Internal(e.to_string()))?,
    };
    let shared = Shared {
        role,
        external_id: fields.checked(&["ExternalId"], ExternalId::parse)?,
    };
    let units = units(fields)?;
    let organization = fields.checked(&["OrganizationId"], OrganizationId::parse)?;
    let objects = fields.objects("Targets", &TARGET_KEYS)?;
    let accounts = accounts(fields)?;
    let excluded = excluded(fields)?;
    let has_audience = organization.is_some() || !units.is_empty();
    let forms = Forms {
        objects: objects.is_some(),
        accounts: accounts.is_some(),
        audience: has_audience,
    };
    check_forms(
        &forms,
        mode,
        !excluded.is_empty(),
        fields.has("TargetRegions"),
    )?;
    let regions = regions(fields, source_region)?;
    let keys = fields.list("TargetKmsKeyIds")?.unwrap_or_default();
    let key_of_all = key_of_all(&keys, accounts.is_none() && has_audience)?;
    let targets = match (objects, accounts) {
        (Some(objects), _) => objects
            .into_iter()
            .map(|object| from_object(object, mode, source_region, &shared))
            .collect::<Result<_, _>>()?,
        (None, Some(accounts)) => from_lists(&accounts, &keys, mode, &regions, &shared)?,
        (None, None) => Vec::new(),
    };
    let audience = has_audience.then_some(Audience {
        organization,
        units,
        excluded,
        copies: mode == Mode::Copy,
        each: Each {
            regions,
            key: key_of_all,
            role: shared.role,
            external_id: shared.external_id,
        },
    });
    Ok((targets, audience))
}

/// The forms in which a request names its targets.
struct Forms {
    objects: bool,
    accounts: bool,
    audience: bool,
}

/// Refuses forms and keys that contradict each other.
fn check_forms(forms: &Forms, mode: Mode, excludes: bool, has_regions: bool) -> Result<(), Error> {
    if forms.objects && forms.accounts {
        return Err(Error::invalid(
            "TargetAccountIds",
            "names the targets a second time beside Targets; give one of the two",
        ));
    }
    if !forms.audience && excludes {
        return Err(Error::invalid(
            "ExcludeAccountIds",
            "goes with OrganizationId or OrganizationalUnitIds: the accounts of theirs that are no \
             targets",
        ));
    }
    if mode == Mode::Share && excludes {
        return Err(Error::invalid(
            "ExcludeAccountIds",
            "goes with Mode: Copy; who may launch by an organization or a unit is each of its \
             accounts: name the accounts instead",
        ));
    }
    if !forms.accounts && !forms.audience && has_regions {
        return Err(Error::invalid(
            "TargetRegions",
            "goes with TargetAccountIds; in Targets each item has its own Region",
        ));
    }
    Ok(())
}

/// Returns the refusal of a request without targets.
pub fn missing() -> Error {
    Error::invalid(
        "Targets",
        "is required: a list of {AccountId, Region?, KmsKeyId?, RoleName?, ExternalId?}; or name \
         an OrganizationId or OrganizationalUnitIds",
    )
}

/// Properties of the request that a target without its own takes over.
struct Shared {
    role: RoleName,
    external_id: Option<ExternalId>,
}

/// The properties of each account of an audience as a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Each {
    regions: Vec<Region>,
    key: KeyRef,
    role: RoleName,
    external_id: Option<ExternalId>,
}

impl Each {
    pub fn role(&self) -> (&RoleName, Option<&ExternalId>) {
        (&self.role, self.external_id.as_ref())
    }

    pub fn partition(&self) -> Option<&'static str> {
        self.regions.first().map(Region::partition)
    }

    pub fn targets(&self, account: &AccountId) -> Vec<Target> {
        let in_region = |region: &Region| Target {
            account: account.clone(),
            region: region.clone(),
            key: self.key.clone(),
            role: self.role.clone(),
            external_id: self.external_id.clone(),
            member: true,
        };
        self.regions.iter().map(in_region).collect()
    }
}

fn from_object(
    mut fields: Fields,
    mode: Mode,
    source_region: &Region,
    shared: &Shared,
) -> Result<Target, Error> {
    let missing = Error::invalid(
        fields.key("AccountId"),
        "is required: an AWS account ID (12 digits)",
    );
    if mode == Mode::Share && fields.has("KmsKeyId") {
        return Err(Error::invalid(
            fields.key("KmsKeyId"),
            "goes with Mode: Copy; a shared image stays under the source's key",
        ));
    }
    let target = Target {
        account: fields
            .checked(&["AccountId"], AccountId::parse)?
            .ok_or(missing)?,
        region: fields
            .checked(&["Region"], Region::parse)?
            .unwrap_or_else(|| source_region.clone()),
        key: fields
            .checked(&["KmsKeyId"], KeyRef::parse)?
            .unwrap_or_else(KeyRef::aws_ebs),
        role: fields
            .checked(&["RoleName"], RoleName::parse)?
            .unwrap_or_else(|| shared.role.clone()),
        external_id: fields
            .checked(&["ExternalId"], ExternalId::parse)?
            .or_else(|| shared.external_id.clone()),
        member: false,
    };
    if mode == Mode::Share && target.region != *source_region {
        return Err(Error::invalid(
            fields.key("Region"),
            format!(
                "is {}, but a shared image can be launched in its own Region only \
                 ({source_region}); use Mode: Copy",
                target.region
            ),
        ));
    }
    fields.finish()?;
    Ok(target)
}

fn accounts(fields: &mut Fields) -> Result<Option<Vec<String>>, Error> {
    let many = fields.list("TargetAccountIds")?;
    let one = fields.text(&["TargetAccountId"])?;
    match (many, one) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "TargetAccountId",
            "stands beside TargetAccountIds; give one of the two",
        )),
        (many, one) => Ok(many.or_else(|| one.map(|account| vec![account]))),
    }
}

fn units(fields: &mut Fields) -> Result<Vec<OrganizationalUnitId>, Error> {
    let names = fields.list("OrganizationalUnitIds")?.unwrap_or_default();
    each(&names, "OrganizationalUnitIds", OrganizationalUnitId::parse)
}

fn excluded(fields: &mut Fields) -> Result<BTreeSet<AccountId>, Error> {
    let names = fields.list("ExcludeAccountIds")?.unwrap_or_default();
    let accounts = each(&names, "ExcludeAccountIds", AccountId::parse)?;
    Ok(accounts.into_iter().collect())
}

fn regions(fields: &mut Fields, source_region: &Region) -> Result<Vec<Region>, Error> {
    match fields.list("TargetRegions")? {
        None => Ok(vec![source_region.clone()]),
        Some(names) if names.len() > MAX_TARGETS => {
            let problem = format!(
                "has {} items; at most {MAX_TARGETS} targets go into one run",
                names.len()
            );
            Err(Error::invalid("TargetRegions", problem))
        }
        Some(names) => each(&names, "TargetRegions", Region::parse),
    }
}

/// Returns the one key name for all accounts of an audience: usually an alias.
fn key_of_all(keys: &[String], for_audience: bool) -> Result<KeyRef, Error> {
    match keys {
        [one] if for_audience => {
            KeyRef::parse(one).map_err(|e| Error::invalid("TargetKmsKeyIds[0]", e.to_string()))
        }
        [_, _, ..] if for_audience => Err(Error::invalid(
            "TargetKmsKeyIds",
            "has several items; for an organization give one, such as an alias that each account \
             has",
        )),
        _ => Ok(KeyRef::aws_ebs()),
    }
}

fn each<T, E: std::fmt::Display>(
    items: &[String],
    key: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Vec<T>, Error> {
    let parsed = items.iter().enumerate().map(|(i, item)| {
        parse(item).map_err(|e| Error::invalid(format!("{key}[{i}]"), e.to_string()))
    });
    parsed.collect()
}

fn from_lists(
    accounts: &[String],
    keys: &[String],
    mode: Mode,
    regions: &[Region],
    shared: &Shared,
) -> Result<Vec<Target>, Error> {
    if mode == Mode::Copy && keys.len() > 1 && keys.len() != accounts.len() {
        let problem = format!(
            "has {} items, TargetAccountIds has {}: one key for each account, in the same order, \
             or one that all have, such as an alias",
            keys.len(),
            accounts.len()
        );
        return Err(Error::invalid("TargetKmsKeyIds", problem));
    }
    // Checked before the product: a payload has room for more accounts and Regions than the
    // function has memory for.
    check_count(accounts.len().saturating_mul(regions.len()))?;
    let accounts = each(accounts, "TargetAccountIds", AccountId::parse)?;
    let mut keys = each(keys, "TargetKmsKeyIds", KeyRef::parse)?;
    let of_all = match keys.as_slice() {
        [one] => one.clone(),
        _ => KeyRef::aws_ebs(),
    };
    keys.resize(accounts.len(), of_all);
    let mut targets = Vec::with_capacity(accounts.len() * regions.len());
    for (account, key) in accounts.iter().zip(&keys) {
        for region in regions {
            targets.push(Target {
                account: account.clone(),
                region: region.clone(),
                key: key.clone(),
                role: shared.role.clone(),
                external_id: shared.external_id.clone(),
                member: false,
            });
        }
    }
    Ok(targets)
}
