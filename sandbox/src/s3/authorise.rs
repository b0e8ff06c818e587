//! Decides on operations in a bucket: the caller's own policies and the bucket policy, combined as
//! S3 does.
//!
//! | caller | allowed by |
//! |---|---|
//! | of the bucket's account | its own policies, or a bucket policy that names it |
//! | of another account | the bucket policy *and* its own policies |
//!
//! A session policy limits both unless the bucket policy names the session. An explicit deny
//! anywhere wins, and so does the lack of an allowing service control policy. Source: S3 guide, how
//! Amazon S3 authorizes a request; IAM guide, policy evaluation logic.

use super::Ask;
use crate::aws::{Aws, LiveBucket};
use crate::iam::{self, Context, Decision, Reach, Request};
use crate::identity::{self, Verdict};
use crate::refusals::{self, Refused};

/// Condition keys in lower case and their values.
pub(super) type Facts<'a> = &'a [(&'a str, Option<&'a str>)];

/// The actions on a bucket; others are actions on an object.
const ON_BUCKETS: [&str; 3] = ["ListBucket", "CreateBucket", "DeleteBucket"];

/// Refuses unless the caller may do this to the object or to the bucket.
pub(super) fn check(
    aws: &Aws,
    ask: Ask<'_>,
    bucket: &LiveBucket,
    action: &str,
    facts: Facts<'_>,
) -> Result<(), Refused> {
    let mut resource = bucket.arn(ask.bucket);
    if !ON_BUCKETS.contains(&action) {
        resource.push('/');
        resource.push_str(ask.key);
    }
    let action = format!("s3:{action}");
    let caller = &ask.call.caller;
    let context = context(aws, ask, bucket, facts);
    let request = Request {
        principal: &caller.principal,
        action: &action,
        resource: &resource,
        context: &context,
    };
    decide(aws, ask, bucket, &request).map_err(|reason| {
        if caller.account() != bucket.account {
            return refusals::S3_ACCESS_DENIED_ABROAD.with(&[]);
        }
        refusals::S3_ACCESS_DENIED.with(&[&caller.principal.arn, &action, &resource, &reason])
    })
}

/// Decides on an action; an error is the reason in AWS's words.
fn decide(
    aws: &Aws,
    ask: Ask<'_>,
    bucket: &LiveBucket,
    request: &Request<'_>,
) -> Result<(), String> {
    let (caller, action) = (&ask.call.caller, request.action);
    let own = identity::decide(aws, caller, action, request.resource, request.context);
    if own.is_final() {
        return Err(own.reason(action));
    }
    let policy = bucket.policy.as_ref();
    let said = policy.map(|policy| iam::evaluate_resource(policy, request));
    if matches!(said, Some(Decision::ExplicitDeny { .. })) {
        return Err("with an explicit deny in a resource-based policy".to_owned());
    }
    let reach = policy.and_then(|policy| iam::resource_reach(policy, request));
    if caller.account() != bucket.account {
        return match (reach, own) {
            (Some(_), Verdict::Allowed) => Ok(()),
            (Some(_), own) => Err(own.reason(action)),
            (None, _) => Err(format!(
                "because no resource-based policy allows the {action} action"
            )),
        };
    }
    match reach {
        _ if own == Verdict::Allowed => Ok(()),
        Some(Reach::Session) => Ok(()),
        Some(Reach::Principal) if identity::session(caller, request).is_allow() => Ok(()),
        Some(Reach::Principal) => Err(Verdict::NoSessionPolicy.reason(action)),
        Some(Reach::Account) | None => Err(own.reason(action)),
    }
}

/// Returns the condition keys of a request. Source: Service Authorization Reference, Amazon S3,
/// condition keys; IAM guide, global condition keys.
fn context(aws: &Aws, ask: Ask<'_>, bucket: &LiveBucket, facts: Facts<'_>) -> Context {
    let owner = bucket.account.as_str();
    let secure = if ask.request.secure { "true" } else { "false" };
    let common = [
        ("aws:requestedregion", Some(bucket.region.as_str())),
        ("aws:securetransport", Some(secure)),
        ("aws:resourceaccount", Some(owner)),
        ("aws:resourceorgid", aws.organization_of(owner)),
        ("s3:resourceaccount", Some(owner)),
        ("s3:authtype", Some("REST-HEADER")),
        ("s3:signatureversion", Some("AWS4-HMAC-SHA256")),
        (
            "s3:x-amz-content-sha256",
            ask.request.header("x-amz-content-sha256"),
        ),
    ];
    let all = common.iter().chain(facts);
    let given =
        all.filter_map(|(key, value)| Some(((*key).to_owned(), vec![(*value)?.to_owned()])));
    given.collect()
}
