//! Lambda's Invoke, as far as a function that calls itself needs it: asynchronous. A test takes the
//! invocations and delivers them.

use bytes::Bytes;

use crate::aws::{Aws, regional_arn};
use crate::iam::Context;
use crate::identity::Admitted;
use crate::ledger::LambdaInvocation;
use crate::refusals::{self, Refused};

/// The largest asynchronous payload, in bytes.
const LARGEST_EVENT: usize = 1024 * 1024;

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    function: &str,
    event: bool,
    payload: &Bytes,
) -> Result<(), Refused> {
    if !event {
        return Err(
            refusals::NOT_IMPLEMENTED.with(&["Invoke with InvocationType other than Event"])
        );
    }
    let account = call.caller.account();
    let arn = if function.starts_with("arn:") {
        function.to_owned()
    } else {
        regional_arn(
            "lambda",
            &call.region,
            account,
            &format!("function:{function}"),
        )
    };
    let decision = crate::identity::decide(
        aws,
        &call.caller,
        "lambda:InvokeFunction",
        &arn,
        &Context::from([("aws:requestedregion".to_owned(), vec![call.region.clone()])]),
    );
    if decision != crate::identity::Verdict::Allowed {
        let reason = decision.reason("lambda:InvokeFunction");
        let caller = &call.caller.principal.arn;
        return Err(refusals::LAMBDA_ACCESS_DENIED.with(&[caller, &arn, &reason]));
    }
    if payload.len() > LARGEST_EVENT {
        return Err(refusals::LAMBDA_TOO_LARGE.with(&[&payload.len().to_string()]));
    }
    aws.invocations.push(LambdaInvocation {
        function_name: function.to_owned(),
        payload: payload.to_vec(),
    });
    Ok(())
}
