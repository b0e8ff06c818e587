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
mod lifecycle;
mod policy;

pub(crate) use policy::exists;

use serde_json::Value;

use crate::aws::Aws;
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
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

    /// Refuses the call unless the caller's own policies allow the action. Only actions without a
    /// key policy to ask are decided so.
    fn permit(
        self,
        aws: &Aws,
        action: &str,
        resource: &str,
        mut context: Context,
    ) -> Result<(), Refused> {
        let caller = &self.call.caller;
        let region = vec![self.region().to_owned()];
        context.insert("aws:requestedregion".to_owned(), region);
        let verdict = identity::decide(aws, caller, action, resource, &context);
        if verdict == Verdict::Allowed {
            return Ok(());
        }
        let (arn, reason) = (&caller.principal.arn, verdict.reason(action));
        Err(refusals::KMS_ACCESS_DENIED.with(&[arn, action, resource, &reason]))
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
        "CreateKey" => lifecycle::create(aws, ask),
        "ScheduleKeyDeletion" => lifecycle::schedule_deletion(aws, ask),
        "ListKeys" => keys::list(aws, ask),
        "ListResourceTags" => keys::list_tags(aws, ask),
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
