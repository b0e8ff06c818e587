//! Organizations: its members, their places and their states. Reading only.
//!
//! | operation | who may |
//! |---|---|
//! | DescribeOrganization | every member account |
//! | all others | the management account and delegated administrators |
//!
//! Source: model; Service Authorization Reference, AWS Organizations. Organizations has one
//! endpoint for each partition. A resource policy of the organization, which could limit delegated
//! administrators further, is not modelled.

mod input;
mod pages;
mod shapes;

use serde_json::{Value, json};

use crate::aws::{Aws, LiveOrganization};
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use input::Input;
use pages::Page;

/// A call, as the operations read it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    aws: &'a Aws,
    call: &'a Admitted,
    operation: &'a str,
    input: Input<'a>,
}

pub(crate) fn perform(
    aws: &Aws,
    call: &Admitted,
    operation: &str,
    body: &Value,
) -> Result<Value, Refused> {
    let ask = Ask {
        aws,
        call,
        operation,
        input: Input::new(body),
    };
    match operation {
        "DescribeOrganization" => describe_organization(ask),
        "DescribeAccount" => describe_account(ask),
        "ListRoots" => list_roots(ask),
        "ListAccounts" => list_accounts(ask),
        "ListAccountsForParent" => list_accounts_for_parent(ask),
        "ListOrganizationalUnitsForParent" => list_units_for_parent(ask),
        "ListParents" => list_parents(ask),
        _ => {
            let what = format!("operation {operation} of Organizations");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
    }
}

fn describe_organization(ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input.only(ask.operation, &[])?;
    let organization = ask.member(|_| "*".to_owned())?;
    Ok(json!({"Organization": shapes::organization(organization)}))
}

fn describe_account(ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input.only(ask.operation, &["AccountId"])?;
    let id = ask.input.required("AccountId", input::is_account)?;
    let organization = ask.administrator(|organization| organization.arn_of("account", id))?;
    let account = shapes::account(ask.aws, organization, id);
    let account = account.ok_or_else(|| refusals::ORG_ACCOUNT_NOT_FOUND.with(&[]))?;
    Ok(json!({"Account": account}))
}

fn list_roots(ask: Ask<'_>) -> Result<Value, Refused> {
    let page = Page::read(ask, "", &[])?;
    let organization = ask.administrator(|_| "*".to_owned())?;
    Ok(page.cut(organization, "Roots", vec![shapes::root(organization)]))
}

fn list_accounts(ask: Ask<'_>) -> Result<Value, Refused> {
    let page = Page::read(ask, "", &[])?;
    let organization = ask.administrator(|_| "*".to_owned())?;
    let all = ask.aws.accounts.keys();
    let members = all.filter_map(|id| shapes::account(ask.aws, organization, id));
    Ok(page.cut(organization, "Accounts", members.collect()))
}

/// Lists the accounts directly in the root or OU, without accounts further down.
fn list_accounts_for_parent(ask: Ask<'_>) -> Result<Value, Refused> {
    let (page, organization, parent) = ask.parent()?;
    let all = ask.aws.accounts.iter();
    let here = all.filter(|(_, live)| live.parent.as_deref() == Some(parent));
    let shown = here.filter_map(|(id, _)| shapes::account(ask.aws, organization, id));
    Ok(page.cut(organization, "Accounts", shown.collect()))
}

fn list_units_for_parent(ask: Ask<'_>) -> Result<Value, Refused> {
    let (page, organization, parent) = ask.parent()?;
    let below = organization.units.iter();
    let below = below.filter(|(_, unit)| unit.parent == parent);
    let shown = below.map(|(id, unit)| shapes::unit(organization, id, unit));
    Ok(page.cut(organization, "OrganizationalUnits", shown.collect()))
}

fn list_parents(ask: Ask<'_>) -> Result<Value, Refused> {
    let child = ask.input.required("ChildId", input::is_child)?;
    let page = Page::read(ask, child, &["ChildId"])?;
    let is_account = input::is_account(child);
    let kind = if is_account { "account" } else { "ou" };
    let organization = ask.administrator(|organization| organization.arn_of(kind, child))?;
    let parent = if is_account {
        let member = ask.aws.organization_with(child).is_some();
        let live = ask.aws.accounts.get(child).filter(|_| member);
        live.and_then(|live| live.parent.as_ref())
    } else {
        organization.units.get(child).map(|unit| &unit.parent)
    };
    let parent = parent.ok_or_else(|| refusals::ORG_CHILD_NOT_FOUND.with(&[]))?;
    let kind = if *parent == organization.root {
        "ROOT"
    } else {
        "ORGANIZATIONAL_UNIT"
    };
    let shown = vec![json!({"Id": parent, "Type": kind})];
    Ok(page.cut(organization, "Parents", shown))
}

impl<'a> Ask<'a> {
    /// Returns the caller's organization, if the caller's policies allow the call on `resource`.
    fn member(
        self,
        resource: impl Fn(&LiveOrganization) -> String,
    ) -> Result<&'a LiveOrganization, Refused> {
        let caller = &self.call.caller;
        let found = self.aws.organization_with(caller.account());
        // A resource has a name only inside an organization.
        let resource = found.map_or_else(|| "*".to_owned(), resource);
        let action = format!("organizations:{}", self.operation);
        let mut context = Context::new();
        context.insert(
            "aws:requestedregion".to_owned(),
            vec![self.call.region.clone()],
        );
        let verdict = identity::decide(self.aws, caller, &action, &resource, &context);
        if verdict != Verdict::Allowed {
            let (arn, reason) = (&caller.principal.arn, verdict.reason(&action));
            return Err(refusals::ORG_ACCESS_DENIED.with(&[arn, &action, &resource, &reason]));
        }
        if let (None, Some(named)) = (found, self.aws.organization_of(caller.account())) {
            let what = format!("organization {named}, of which the world declares only the ID");
            return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
        }
        found.ok_or_else(|| refusals::ORG_NOT_IN_USE.with(&[]))
    }

    /// Returns the caller's organization as `member` does, for the management account and delegated
    /// administrators only.
    fn administrator(
        self,
        resource: impl Fn(&LiveOrganization) -> String,
    ) -> Result<&'a LiveOrganization, Refused> {
        let organization = self.member(resource)?;
        if organization.may_list(self.call.caller.account()) {
            return Ok(organization);
        }
        Err(refusals::ORG_NOT_ADMINISTRATOR.with(&[]))
    }

    /// Reads the input that the operations `…ForParent` have in common.
    fn parent(self) -> Result<(Page, &'a LiveOrganization, &'a str), Refused> {
        let parent = self.input.required("ParentId", input::is_parent)?;
        let page = Page::read(self, parent, &["ParentId"])?;
        let organization = self.administrator(|known| known.arn_of_parent(parent))?;
        if !organization.has_parent(parent) {
            return Err(refusals::ORG_PARENT_NOT_FOUND.with(&[]));
        }
        Ok((page, organization, parent))
    }
}
