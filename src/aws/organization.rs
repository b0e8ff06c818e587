//! The organisation: who is in it, and how its units are named in launch permissions.

use aws_sdk_organizations::types::{Account, AccountState, AccountStatus, Organization};

use tracing::info;

use super::{Aws, refusal};
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::{AccountId, OrganizationalUnitId};
use crate::request::Audience;

/// The accounts of an organization and its units.
#[derive(Debug, Default)]
pub struct Members {
    /// The active accounts, in the order AWS tells them.
    pub accounts: Vec<AccountId>,
    /// The ARNs that launch permissions take.
    pub arns: Vec<String>,
}

impl Aws {
    /// Asks AWS Organizations; for the accounts only where they are `needed`, because listing them
    /// is for the management account and its delegated administrators only.
    pub async fn members(
        &self,
        audience: &Audience,
        needed: bool,
        owner: &AccountId,
    ) -> Result<Members, Error> {
        let client = self.organizations();
        let organization = client
            .describe_organization()
            .send()
            .await
            .map_err(|e| {
                explain(refusal(
                    "DescribeOrganization",
                    &self.here(),
                    "the organization",
                    &e,
                ))
            })?
            .organization
            .ok_or_else(|| Error::Internal("DescribeOrganization told nothing".to_owned()))?;
        let mut members = Members {
            arns: arns(audience, &organization)?,
            ..Members::default()
        };
        if !needed {
            return Ok(members);
        }
        let mut accounts = Vec::new();
        if audience.organization.is_some() {
            let mut pages = client.list_accounts().into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| {
                    explain(refusal(
                        "ListAccounts",
                        &self.here(),
                        "the organization",
                        &e,
                    ))
                })?;
                accounts.extend(page.accounts.unwrap_or_default());
            }
        } else {
            for unit in &audience.units {
                self.accounts_below(&client, unit, &mut accounts).await?;
            }
        }
        for account in accounts.iter().filter(|account| is_active(account)) {
            let id = account.id().and_then(|id| AccountId::parse(id).ok());
            members
                .accounts
                .extend(id.filter(|id| !members.accounts.contains(id)));
        }
        // The source account itself is no target.
        members.accounts.retain(|account| account != owner);
        self.leave_out_management(audience, &organization, &mut members)
            .await?;
        Ok(members)
    }

    /// Leaves the management account out where it has no copy role: a service-managed StackSet
    /// deploys to all members but to it.
    async fn leave_out_management(
        &self,
        audience: &Audience,
        organization: &Organization,
        members: &mut Members,
    ) -> Result<(), Error> {
        let management = organization.master_account_id();
        let management = management.and_then(|id| AccountId::parse(id).ok());
        let Some(id) = management.filter(|id| members.accounts.contains(id)) else {
            return Ok(());
        };
        let Some((role, external_id)) = audience.copy_role(&id) else {
            return Ok(());
        };
        if !self.may_assume(&role, external_id).await? {
            info!(account = %id, role, "the management account has no such role and is left out");
            members.accounts.retain(|account| *account != id);
        }
        Ok(())
    }

    /// The accounts of a unit and of the units in it.
    async fn accounts_below(
        &self,
        client: &aws_sdk_organizations::Client,
        unit: &OrganizationalUnitId,
        accounts: &mut Vec<Account>,
    ) -> Result<(), Error> {
        let mut waiting = vec![unit.to_string()];
        while let Some(parent) = waiting.pop() {
            let mut pages = client
                .list_accounts_for_parent()
                .parent_id(&parent)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| {
                    explain(refusal("ListAccountsForParent", &self.here(), &parent, &e))
                })?;
                accounts.extend(page.accounts.unwrap_or_default());
            }
            let mut pages = client
                .list_organizational_units_for_parent()
                .parent_id(&parent)
                .into_paginator()
                .send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|e| {
                    explain(refusal(
                        "ListOrganizationalUnitsForParent",
                        &self.here(),
                        &parent,
                        &e,
                    ))
                })?;
                let units = page.organizational_units.unwrap_or_default();
                waiting.extend(units.into_iter().filter_map(|unit| unit.id));
            }
        }
        Ok(())
    }
}

/// `Status` is being retired: `State` goes before it.
pub(super) fn is_active(account: &Account) -> bool {
    match account.state() {
        Some(state) => *state == AccountState::Active,
        None => account.status() == Some(&AccountStatus::Active),
    }
}

fn arns(audience: &Audience, organization: &Organization) -> Result<Vec<String>, Error> {
    let untold = || Error::Internal("DescribeOrganization told no ID and no ARN".to_owned());
    let id = organization.id().ok_or_else(untold)?;
    let whole = organization.arn().ok_or_else(untold)?;
    if let Some(named) = &audience.organization
        && named.as_str() != id
    {
        return Err(Error::invalid(
            "OrganizationId",
            format!("is {named}, but the source account belongs to {id}"),
        ));
    }
    // arn:aws:organizations::<management account>:organization/o-…
    let home = whole.split_once(":organization/").map(|(home, _)| home);
    let home = home.ok_or_else(untold)?;
    let unit = |unit: &OrganizationalUnitId| {
        if unit.as_str().starts_with("r-") {
            whole.to_owned()
        } else {
            format!("{home}:ou/{id}/{unit}")
        }
    };
    let mut arns: Vec<String> = audience.units.iter().map(unit).collect();
    if audience.organization.is_some() {
        arns.push(whole.to_owned());
    }
    arns.sort();
    arns.dedup();
    Ok(arns)
}

/// Says what to change where the organisation cannot be read.
pub(super) fn explain(refusal: Refusal) -> Error {
    match refusal.code.as_str() {
        "AWSOrganizationsNotInUseException" => Error::invalid(
            "OrganizationId",
            format!("cannot be served: the source account is in no organization ({refusal})"),
        ),
        "ParentNotFoundException" => Error::invalid(
            "OrganizationalUnitIds",
            format!("names a unit that is not in the source account's organization ({refusal})"),
        ),
        _ if refusal.kind() == RefusalKind::Denied => Error::AccessDenied {
            remedy: "Only the management account and delegated administrators may list an \
                     organization's accounts: make the source account a \
                     delegated administrator (aws organizations register-delegated-administrator, \
                     or a resource-based delegation policy), allow the \
                     function's role this action, or name the accounts in Targets; sharing with an \
                     organization without KeyAccess: Grant needs no list"
                .to_owned(),
            refusal,
        },
        _ => Error::from_refusal(refusal),
    }
}
