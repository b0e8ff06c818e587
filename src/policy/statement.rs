//! One statement of a policy, with the reason for each of its actions.

use serde_json::{Value, json};

/// An action, with its reason.
pub type Action = (&'static str, &'static str);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sid: &'static str,
    /// Whether the statement denies instead of allowing.
    pub deny: bool,
    pub actions: Vec<Action>,
    pub resources: Vec<String>,
    /// The condition; `Null` if there is none.
    pub condition: Value,
    /// The principals of a key policy or a trust policy; none in an identity policy.
    pub principals: Vec<String>,
}

impl Statement {
    pub fn allow(sid: &'static str, actions: &[Action]) -> Self {
        Self {
            sid,
            deny: false,
            actions: actions.to_vec(),
            resources: Vec::new(),
            condition: Value::Null,
            principals: Vec::new(),
        }
    }

    pub fn deny(sid: &'static str, actions: &[Action]) -> Self {
        Self {
            deny: true,
            ..Self::allow(sid, actions)
        }
    }

    pub fn on(mut self, resources: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.resources = resources.into_iter().map(Into::into).collect();
        self
    }

    pub fn when(mut self, condition: Value) -> Self {
        self.condition = condition;
        self
    }

    /// Adds principals by their ARNs.
    pub fn to(mut self, principals: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.principals = principals.into_iter().map(Into::into).collect();
        self
    }

    pub fn to_json(&self) -> Value {
        let effect = if self.deny { "Deny" } else { "Allow" };
        let actions: Vec<&str> = self.actions.iter().map(|(action, _)| *action).collect();
        let mut statement = json!({"Sid": self.sid, "Effect": effect, "Action": actions});
        if !self.principals.is_empty() {
            statement["Principal"] = json!({"AWS": self.principals});
        }
        if !self.resources.is_empty() {
            statement["Resource"] = json!(self.resources);
        }
        if !self.condition.is_null() {
            statement["Condition"] = self.condition.clone();
        }
        statement
    }
}
