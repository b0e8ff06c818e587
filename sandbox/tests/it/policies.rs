//! Policy documents, put together from statements.

use serde_json::{Value, json};

pub fn document(statements: &[Value]) -> Value {
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// Returns a statement of an identity policy.
pub fn allow(action: &str, resource: &str) -> Value {
    json!({"Effect": "Allow", "Action": action, "Resource": resource})
}

/// Returns a statement of an identity policy that denies an action on every resource.
pub fn deny(action: &str) -> Value {
    json!({"Effect": "Deny", "Action": action, "Resource": "*"})
}

/// Returns a statement of a key policy.
pub fn permit(principal: &str, actions: impl Into<Value>) -> Value {
    let actions = actions.into();
    json!({"Effect": "Allow", "Principal": {"AWS": principal}, "Action": actions, "Resource": "*"})
}

/// Returns the statement that lets the key's account decide by IAM.
pub fn permit_owner(account: &str) -> Value {
    permit(&root(account), "kms:*")
}

pub fn root(account: &str) -> String {
    format!("arn:aws:iam::{account}:root")
}

/// Returns the statement with a condition.
pub fn when(mut statement: Value, condition: Value) -> Value {
    statement["Condition"] = condition;
    statement
}
