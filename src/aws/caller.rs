//! The identity of the function.

use super::{Aws, refusal};
use crate::error::Error;
use crate::ids::AccountId;
use crate::policy::Caller;

impl Aws {
    /// Asks STS for the caller's identity. STS answers every caller.
    pub async fn caller(&self) -> Result<Caller, Error> {
        let answer = self.sts().get_caller_identity().send().await.map_err(|e| {
            Error::from_refusal(refusal(
                "GetCallerIdentity",
                &self.here(),
                "the function's role",
                &e,
            ))
        })?;
        let account = answer.account().and_then(|id| AccountId::parse(id).ok());
        match (account, answer.arn()) {
            (Some(account), Some(arn)) => Ok(Caller::read(account, arn)),
            _ => Err(Error::Internal(
                "GetCallerIdentity told no account and no ARN".to_owned(),
            )),
        }
    }
}
