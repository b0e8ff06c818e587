//! Whether accounts are active ones of the organization that the settings name, as far as AWS
//! Organizations tells.

use std::collections::BTreeSet;

use aws_sdk_organizations::types::Account;

use super::organization::{explain, is_active};
use super::{Aws, refusal};
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::AccountId;

/// Up to so many accounts are asked for one by one.
const FEW: usize = 20;

/// The answer of AWS Organizations about some accounts.
#[derive(Debug)]
pub enum Membership {
    /// All but these are active accounts of the source account's organization.
    Outside(BTreeSet<AccountId>),
    /// Nothing, and why.
    Untold(String),
}

impl Aws {
    /// Returns the ID of the source account's organization. Every account may ask.
    pub async fn own_organization(&self) -> Result<String, Error> {
        let id = self.organization_id().await.map_err(explain)?;
        id.ok_or_else(|| Error::Internal("DescribeOrganization told no ID".to_owned()))
    }

    /// Asks which of `accounts` are no active accounts of `organization`. Only the management
    /// account and its delegated administrators are told.
    pub async fn membership(
        &self,
        organization: &str,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<Membership, Error> {
        match self.organization_id().await {
            Ok(Some(own)) if own == organization => {}
            Ok(_) => {
                let said = "the source account is in another organization";
                return Ok(Membership::Untold(said.to_owned()));
            }
            Err(refusal) => return untold(refusal),
        }
        if accounts.len() <= FEW {
            match self.each_outside(accounts).await {
                Ok(outside) => return Ok(Membership::Outside(outside)),
                // The role may be allowed the list only.
                Err(refusal) if refusal.kind() == RefusalKind::Denied => {}
                Err(refusal) => return untold(refusal),
            }
        }
        match self.active_accounts().await {
            Ok(active) => Ok(Membership::Outside(
                accounts.difference(&active).cloned().collect(),
            )),
            Err(refusal) => untold(refusal),
        }
    }

    async fn organization_id(&self) -> Result<Option<String>, Refusal> {
        let asked = self.organizations().describe_organization().send().await;
        let told = asked.map_err(|e| {
            let at = self.here();
            refusal("DescribeOrganization", &at, "the organization", &e)
        })?;
        Ok(told.organization.and_then(|organization| organization.id))
    }

    async fn each_outside(
        &self,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<BTreeSet<AccountId>, Refusal> {
        let client = self.organizations();
        let mut outside = BTreeSet::new();
        for account in accounts {
            let asked = client
                .describe_account()
                .account_id(account.as_str())
                .send()
                .await;
            let told = asked
                .map_err(|e| refusal("DescribeAccount", &self.here(), account.to_string(), &e));
            let is_member = match told {
                Ok(told) => told.account.as_ref().is_some_and(is_active),
                Err(refusal) if refusal.kind() == RefusalKind::NotFound => false,
                Err(refusal) => return Err(refusal),
            };
            if !is_member {
                outside.insert(account.clone());
            }
        }
        Ok(outside)
    }

    async fn active_accounts(&self) -> Result<BTreeSet<AccountId>, Refusal> {
        let client = self.organizations();
        let mut pages = client.list_accounts().into_paginator().send();
        let mut active = BTreeSet::new();
        while let Some(page) = pages.next().await {
            let page =
                page.map_err(|e| refusal("ListAccounts", &self.here(), "the organization", &e))?;
            let accounts: Vec<Account> = page.accounts.unwrap_or_default();
            let ids = accounts.iter().filter(|account| is_active(account));
            active.extend(ids.filter_map(|a| AccountId::parse(a.id().unwrap_or_default()).ok()));
        }
        Ok(active)
    }
}

/// A refusal for good says nothing of the accounts; one that may pass is an error, and the call may
/// be repeated.
fn untold(refusal: Refusal) -> Result<Membership, Error> {
    if refusal.is_passing() {
        return Err(Error::from_refusal(refusal));
    }
    Ok(Membership::Untold(refusal.to_string()))
}
