//! KMS: keys, their policies and grants.
//!
//! `authorise` decides on the use of a key; `by_ec2` asks it for the calls that EC2 makes on a
//! caller's behalf.

mod authorise;
pub(crate) mod by_ec2;
mod create_grant;
mod grants;
mod input;
mod keys;
mod policy;

use serde_json::Value;

use crate::aws::Aws;
use crate::identity::Admitted;
use crate::refusals::{self, Refused};
use input::Input;

/// A call, as the operations read it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub call: &'a Admitted,
    pub input: Input<'a>,
}

impl<'a> Ask<'a> {
    pub(crate) fn account(self) -> &'a str {
        self.call.caller.account()
    }

    pub(crate) fn region(self) -> &'a str {
        &self.call.region
    }
}

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    body: &Value,
) -> Result<Value, Refused> {
    let ask = Ask {
        call,
        input: Input::new(body),
    };
    match operation {
        "DescribeKey" => keys::describe(aws, ask),
        "ListAliases" => keys::list_aliases(aws, ask),
        "GetKeyPolicy" => policy::get(aws, ask),
        "PutKeyPolicy" => policy::put(aws, ask),
        "CreateGrant" => create_grant::perform(aws, ask),
        "ListGrants" => grants::list(aws, ask),
        "RevokeGrant" => grants::revoke(aws, ask),
        "RetireGrant" => grants::retire(aws, ask),
        _ => Err(refusals::NOT_IMPLEMENTED.with(&[&format!("operation {operation} of KMS")])),
    }
}
