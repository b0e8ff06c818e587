//! An organization and its parts, as the service encodes them.

use serde_json::{Value, json};

use crate::aws::{Aws, LiveOrganization, LiveUnit};

pub(super) fn organization(organization: &LiveOrganization) -> Value {
    let management = &organization.management_account;
    json!({
        "Id": organization.id,
        "Arn": organization.arn(),
        "FeatureSet": "ALL",
        "MasterAccountArn": organization.arn_of("account", management),
        "MasterAccountId": management,
        "MasterAccountEmail": email(management),
        "AvailablePolicyTypes": [{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}],
    })
}

pub(super) fn root(organization: &LiveOrganization) -> Value {
    json!({
        "Id": organization.root,
        "Arn": organization.arn_of("root", &organization.root),
        "Name": "Root",
        "PolicyTypes": [],
    })
}

pub(super) fn unit(organization: &LiveOrganization, id: &str, unit: &LiveUnit) -> Value {
    json!({
        "Id": id,
        "Arn": organization.arn_of("ou", id),
        "Name": unit.name,
        "Path": organization.path(id),
    })
}

/// Returns an account as ListAccounts shows it; nothing if it is no member.
pub(super) fn account(aws: &Aws, organization: &LiveOrganization, id: &str) -> Option<Value> {
    let live = aws.accounts.get(id)?;
    aws.organization_with(id)?;
    let parent = live.parent.as_deref()?;
    let management = id == organization.management_account;
    let mut shown = json!({
        "Id": id,
        "Arn": organization.arn_of("account", id),
        "Email": email(id),
        "Name": live.name,
        "State": live.state,
        "Paths": [format!("{}{id}/", organization.path(parent))],
        "JoinedMethod": if management { "INVITED" } else { "CREATED" },
        // 1 January 2024: nothing here depends on it.
        "JoinedTimestamp": 1_704_067_200.0,
    });
    // AWS sends the older member until it is retired; it has fewer values (aws-facts,
    // Organizations).
    if let Some(status) = status(&live.state) {
        shown["Status"] = json!(status);
    }
    Some(shown)
}

/// Returns the value of the older member, which lacks some states. A closed account was shown as
/// suspended; nothing is documented for an account that is not yet activated.
fn status(state: &str) -> Option<&str> {
    match state {
        "CLOSED" => Some("SUSPENDED"),
        "PENDING_ACTIVATION" => None,
        same => Some(same),
    }
}

fn email(account: &str) -> String {
    format!("{account}@example.com")
}
