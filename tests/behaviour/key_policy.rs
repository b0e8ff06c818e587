//! `KeyAccess: Policy`: a run adds statements to the policies of the source keys for as long as its
//! copy or share needs them. The statements of other people stay as they are.

use amiferry_sandbox::{Account, Role, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

mod concurrent;
mod copying;
mod interrupted;
mod made_up;
mod refused;
mod sharing;

pub const ONE: &str = "222222222222";
pub const OTHER: &str = "333333333333";

/// Returns the source account with a function that may edit key policies.
fn editing() -> Account {
    let mut account = producer();
    account.roles[0] = function_role().policy(documented("KeyPolicies"));
    account
}

/// Returns the same with this policy on the source key.
fn editing_with(policy: &str) -> Account {
    let mut account = editing();
    account.keys[0].policy = Some(policy.to_owned());
    account
}

pub fn editing_world(places: &[Place]) -> World {
    world_with(editing(), places)
}

pub fn by_policy(places: &[Place]) -> Value {
    let mut event = distribute(places);
    event["Distribute"]["KeyAccess"] = json!("Policy");
    event
}

fn share(accounts: &[&str], more: &Value) -> Value {
    let mut request = json!({"SourceImageId": AMI, "Mode": "Share", "KeyAccess": "Policy",
        "TargetAccountIds": accounts.join(",")});
    if accounts.is_empty() {
        request.as_object_mut().unwrap().remove("TargetAccountIds");
    }
    for (key, value) in more.as_object().expect("an object") {
        request[key] = value.clone();
    }
    json!({ "Distribute": request })
}

/// Returns the statements of runs in the source key's policy, by their names without the run.
fn ours(sandbox: &Sandbox) -> Vec<(String, Value)> {
    let policy = sandbox.key_policy(SOURCE_KEY).expect("a policy");
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.clone(),
        one => vec![one.clone()],
    };
    let name = |s: &Value| {
        s["Sid"]
            .as_str()
            .and_then(|sid| sid.strip_prefix("Amiferry").map(str::to_owned))
    };
    let named = statements
        .into_iter()
        .filter_map(|s| Some((name(&s)?[16..].to_owned(), s)));
    named.collect()
}

fn parts(sandbox: &Sandbox) -> Vec<String> {
    ours(sandbox).into_iter().map(|(part, _)| part).collect()
}

/// Returns the accounts that a statement names.
fn accounts_in(statement: &Value) -> Vec<String> {
    let who = &statement["Principal"]["AWS"];
    let list = who.as_array().cloned().unwrap_or_else(|| vec![who.clone()]);
    let id = |arn: &Value| {
        arn.as_str()
            .unwrap()
            .split(':')
            .nth(4)
            .unwrap_or("*")
            .to_owned()
    };
    list.iter().map(id).collect()
}

pub fn named(sandbox: &Sandbox) -> Vec<String> {
    ours(sandbox)
        .first()
        .map(|(_, s)| accounts_in(s))
        .unwrap_or_default()
}

/// Checks that nothing of any run is left: no permission, tag, grant or statement.
pub async fn assert_ended(sandbox: &Sandbox, policy: &str) {
    assert_closed(sandbox);
    let image = sandbox.edit(|aws| aws.image(AMI)).expect("the image");
    assert!(!image.tags.keys().any(|key| key.starts_with("amiferry:")));
    assert_eq!(key_policy(sandbox).await, policy);
}

fn refuse(code: &str, message: &str) -> amiferry_sandbox::Fault {
    amiferry_sandbox::Fault::Refuse {
        status: 400,
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
