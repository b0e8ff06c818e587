//! The principals of an account: roles, users and their access keys.

use std::fmt::Display;

use serde::Deserialize;

/// An access key of a role or user.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessKey {
    /// The access key ID.
    pub id: String,
    /// The secret access key.
    pub secret: String,
    /// The ARN of a role or user of the same account.
    pub principal: String,
    /// The session token, which makes the key temporary: it is valid only together with the token.
    #[serde(default)]
    pub session_token: Option<String>,
    /// The time that the key is valid, from the start of the world; 0 has expired already. Absent
    /// for a key that never expires.
    #[serde(default)]
    pub valid_seconds: Option<u32>,
    /// The ARN of the Lambda function that has this key in its environment; its requests carry it
    /// as `lambda:SourceFunctionArn`.
    #[serde(default)]
    pub source_function: Option<String>,
}

/// An IAM role: the principals that may assume it, and its policies.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// The name, with its path if it has one. The path `aws-service-role/spot.amazonaws.com/` makes
    /// it a service-linked role: its service is trusted, and AWS's policies apply unless others are
    /// given.
    pub name: String,
    /// The principals that may assume the role: ARNs, account IDs, or `….amazonaws.com`.
    #[serde(default)]
    pub trusts: Vec<String>,
    /// The external ID that the trust policy requires.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The whole trust policy as JSON, in place of `trusts` and `external_id`.
    #[serde(default)]
    pub trust_policy: Option<String>,
    /// The identity policies, as JSON.
    #[serde(default)]
    pub policies: Vec<String>,
    /// The longest session in seconds, by default an hour.
    #[serde(default)]
    pub max_session_seconds: Option<u32>,
}

impl Role {
    /// Returns a role without policies, which nobody may assume.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Returns the role by which a service of AWS acts in the account: `autoscaling.amazonaws.com`,
    /// `AWSServiceRoleForAutoScaling`. [`Aws::act_as_service`](crate::Aws::act_as_service) returns
    /// its credentials.
    pub fn service_linked(service: &str, name: &str) -> Self {
        Self::new(&format!("aws-service-role/{service}/{name}"))
    }

    /// Returns a role that may do everything.
    pub fn admin(name: &str) -> Self {
        Self::new(name).policy(ALLOW_EVERYTHING)
    }

    /// Adds a principal that may assume the role.
    #[must_use]
    pub fn trusts(mut self, principal: &str) -> Self {
        self.trusts.push(principal.to_owned());
        self
    }

    /// Requires an external ID.
    #[must_use]
    pub fn external_id(mut self, id: &str) -> Self {
        self.external_id = Some(id.to_owned());
        self
    }

    /// Sets the whole trust policy.
    #[must_use]
    pub fn trust_policy(mut self, json: impl Display) -> Self {
        self.trust_policy = Some(json.to_string());
        self
    }

    /// Adds an identity policy.
    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policies.push(json.to_string());
        self
    }
}

/// An IAM user.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The name.
    pub name: String,
    /// The identity policies, as JSON.
    #[serde(default)]
    pub policies: Vec<String>,
}

impl User {
    /// Returns a user without policies.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            policies: Vec::new(),
        }
    }

    /// Returns a user that may do everything.
    pub fn admin(name: &str) -> Self {
        Self::new(name).policy(ALLOW_EVERYTHING)
    }

    /// Adds an identity policy.
    #[must_use]
    pub fn policy(mut self, json: impl Display) -> Self {
        self.policies.push(json.to_string());
        self
    }
}

/// The service control policy that AWS attaches everywhere.
pub const FULL_AWS_ACCESS: &str = ALLOW_EVERYTHING;

const ALLOW_EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
