//! The identity of the function.

use crate::ids::AccountId;
use crate::kms::Arn;

/// The identity of the function, as STS shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The function's account.
    pub account: AccountId,
    /// The name of the function's role; `None` if the caller is no role.
    pub role: Option<String>,
    /// Values of `aws:PrincipalArn`. STS leaves out the path of a role, whose name is unique in the
    /// account.
    pub principals: Vec<String>,
    /// The ARN of the function, unqualified; `None` if the code runs outside of Lambda.
    pub function: Option<String>,
    /// The bucket of the function's ledger.
    pub bucket: Option<String>,
}

impl Caller {
    /// Reads the ARN of GetCallerIdentity.
    pub fn read(account: AccountId, arn: &str) -> Self {
        let partition = Arn::parse(arn).map_or("aws", |arn| arn.partition);
        let assumed = arn
            .split_once(":assumed-role/")
            .and_then(|(_, rest)| rest.split('/').next());
        let named = arn
            .split_once(":role/")
            .and_then(|(_, rest)| rest.rsplit('/').next());
        let role = assumed.or(named).map(str::to_owned);
        let principals = match (&role, assumed) {
            (Some(role), Some(_)) => vec![
                format!("arn:{partition}:iam::{account}:role/{role}"),
                format!("arn:{partition}:iam::{account}:role/*/{role}"),
            ],
            _ => vec![arn.to_owned()],
        };
        Self {
            account,
            role,
            principals,
            function: None,
            bucket: None,
        }
    }

    /// Adds the bucket of the ledger.
    #[must_use]
    pub fn with_ledger(mut self, bucket: Option<&str>) -> Self {
        self.bucket = bucket.map(str::to_owned);
        self
    }

    /// Adds the function, by the ARN of its invocation, which may end in a version or an alias.
    #[must_use]
    pub fn in_function(mut self, invoked_arn: &str) -> Self {
        let parts: Vec<&str> = invoked_arn.split(':').take(7).collect();
        let is_function = parts.get(2) == Some(&"lambda") && parts.len() == 7;
        self.function = is_function.then(|| parts.join(":"));
        self
    }
}
