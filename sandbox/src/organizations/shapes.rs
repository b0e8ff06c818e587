//! An organization and what is in it, as the service writes it down.

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

/// Nothing if it is no member.
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
    // The older member has fewer words, and is sent until it is retired (aws-facts, Organizations).
    if let Some(status) = status(&live.state) {
        shown["Status"] = json!(status);
    }
    Some(shown)
}

/// Of the states that the older member has no word for, a closed account was shown as suspended; what it says of one
/// that is not yet activated is not documented, so nothing is said.
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
