//! The ways to name targets: the list of objects, or the parallel lists of accounts and keys, times Regions.

use crate::error::Error;
use crate::ids::{AccountId, ExternalId, KeyRef, Region, RoleName};

use super::Target;
use super::fields::Fields;

const DEFAULT_ROLE: &str = "AmiCopyRole";

/// Reads whichever form is there. Both at once, or none, is refused.
pub fn read(fields: &mut Fields, source_region: &Region) -> Result<Vec<Target>, Error> {
    let role = match fields.checked(&["TargetRoleName", "RoleName"], RoleName::parse)? {
        Some(role) => role,
        None => RoleName::parse(DEFAULT_ROLE).map_err(|e| Error::Internal(e.to_string()))?,
    };
    let shared = Shared {
        role,
        external_id: fields.checked(&["ExternalId"], ExternalId::parse)?,
    };
    let objects = fields.objects("Targets")?;
    let accounts = accounts(fields)?;
    match (objects, accounts) {
        (Some(_), Some(_)) => Err(Error::invalid(
            "TargetAccountIds",
            "names the targets a second time beside Targets; give one of the two",
        )),
        (Some(objects), None) => {
            if fields.list("TargetRegions")?.is_some() {
                return Err(Error::invalid(
                    "TargetRegions",
                    "goes with TargetAccountIds; in Targets each item has its own Region",
                ));
            }
            objects
                .into_iter()
                .map(|object| from_object(object, source_region, &shared))
                .collect()
        }
        (None, Some(accounts)) => from_lists(fields, &accounts, source_region, &shared),
        (None, None) => Ok(Vec::new()),
    }
}

/// What a target takes over from the request where it says nothing itself.
struct Shared {
    role: RoleName,
    external_id: Option<ExternalId>,
}

fn from_object(
    mut fields: Fields,
    source_region: &Region,
    shared: &Shared,
) -> Result<Target, Error> {
    let missing = Error::invalid(
        fields.key("AccountId"),
        "is required: an AWS account ID (12 digits)",
    );
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
    };
    fields.finish("AccountId, Region, KmsKeyId, RoleName, ExternalId")?;
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

fn from_lists(
    fields: &mut Fields,
    accounts: &[String],
    source_region: &Region,
    shared: &Shared,
) -> Result<Vec<Target>, Error> {
    let keys = fields.list("TargetKmsKeyIds")?.unwrap_or_default();
    if keys.len() != accounts.len() {
        let problem = format!(
            "has {} items, TargetAccountIds has {}: one key for each account, in the same order",
            keys.len(),
            accounts.len()
        );
        return Err(Error::invalid("TargetKmsKeyIds", problem));
    }
    let regions = match fields.list("TargetRegions")? {
        None => vec![source_region.clone()],
        Some(names) => names
            .iter()
            .enumerate()
            .map(|(i, name)| {
                Region::parse(name)
                    .map_err(|e| Error::invalid(format!("TargetRegions[{i}]"), e.to_string()))
            })
            .collect::<Result<_, _>>()?,
    };
    let mut targets = Vec::with_capacity(accounts.len() * regions.len());
    for (i, (account, key)) in accounts.iter().zip(&keys).enumerate() {
        let account = AccountId::parse(account)
            .map_err(|e| Error::invalid(format!("TargetAccountIds[{i}]"), e.to_string()))?;
        let key = KeyRef::parse(key)
            .map_err(|e| Error::invalid(format!("TargetKmsKeyIds[{i}]"), e.to_string()))?;
        for region in &regions {
            targets.push(Target {
                account: account.clone(),
                region: region.clone(),
                key: key.clone(),
                role: shared.role.clone(),
                external_id: shared.external_id.clone(),
            });
        }
    }
    Ok(targets)
}
