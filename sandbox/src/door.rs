//! The way of a call: recognised, entered into the ledger, struck by its fault, admitted or
//! refused, performed, answered in its protocol.

mod admit;
mod answer;
mod recognise;
mod throttle;

use bytes::Bytes;

use recognise::{Asked, Body};

use crate::aws::Aws;
use crate::inspect;
use crate::ledger::{Call, Fault};
use crate::refusals::{self, Refused};
use crate::runtime::Runtime;
use crate::wire::sigv4::{Claim, Unreadable};
use crate::wire::{Incoming, Reply};
use crate::{
    autoscaling, cloudformation, ec2, kms, lambda, organizations, roles, s3, ssm, states, sts,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Ec2,
    Kms,
    Sts,
    Lambda,
    Organizations,
    States,
    Ssm,
    Iam,
    S3,
    CloudFormation,
    AutoScaling,
}

impl Service {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Kms => "kms",
            Service::Sts => "sts",
            Service::Lambda => "lambda",
            Service::Organizations => "organizations",
            Service::States => "states",
            Service::Ssm => "ssm",
            Service::Iam => "iam",
            Service::S3 => "s3",
            Service::CloudFormation => "cloudformation",
            Service::AutoScaling => "autoscaling",
        }
    }
}

/// The decision of a service in its own terms; `answer` encodes it.
#[derive(Debug)]
pub(crate) enum Done {
    /// The inner elements of a query answer.
    Xml(String),
    Json(serde_json::Value),
    /// An accepted asynchronous invocation.
    Accepted,
    Rest(s3::Rest),
}

pub(crate) async fn receive(runtime: &Runtime, request: Incoming) -> Reply {
    if let Some(path) = request.path.strip_prefix("/_sandbox/") {
        return inspect::answer(runtime, &request, path).await;
    }
    let reply = decide(runtime, &request).await;
    match reply {
        // A HEAD request is answered without a body.
        Reply::Answer(answer) if request.method == "HEAD" => {
            Reply::Answer(answer.map(|_| Bytes::new()))
        }
        reply => reply,
    }
}

async fn decide(runtime: &Runtime, request: &Incoming) -> Reply {
    let claim = Claim::of_header(request);
    let asked = recognise::recognise(request, claim.as_ref().ok());
    let mut call = call(runtime, &asked, &claim);
    runtime.enter(&mut call);
    let latency = runtime.look(|aws| aws.rules.scaled(aws.rules.latency));
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let fault = runtime.fault_for(&call);
    match &fault {
        Fault::Delay(time) => tokio::time::sleep(*time).await,
        Fault::Refuse {
            status,
            code,
            message,
        } => {
            runtime.decided(call.seq, Err(code.clone()));
            let error = answer::Error {
                status: *status,
                code,
                message,
                name: None,
                details: &[],
            };
            return Reply::Answer(answer::error(asked.service, &error, &call.request_id));
        }
        Fault::ResetBefore => return Reply::Reset,
        Fault::HangBefore => runtime.hang().await,
        Fault::None | Fault::ResetAfter | Fault::HangAfter => {}
    }
    let decided = runtime.look(|aws| {
        aws.choose_node(call.seq);
        let decided = perform(aws, request, &asked, &claim);
        aws.node = None;
        if decided.is_ok() && takes_access_away(&asked.operation) {
            ec2::break_copies(aws);
        }
        decided
    });
    let outcome = decided.as_ref().map(drop);
    runtime.decided(call.seq, outcome.map_err(|no| no.refusal.code.to_owned()));
    match fault {
        Fault::ResetAfter => return Reply::Reset,
        Fault::HangAfter => runtime.hang().await,
        _ => {}
    }
    Reply::Answer(match decided {
        Ok(done) => answer::success(asked.service, &asked.operation, done, &call.request_id),
        Err(no) => answer::error(asked.service, &answer::Error::from(&no), &call.request_id),
    })
}

/// Returns the ledger's entry, before anything is checked: it names the principal that the request
/// claims.
fn call(runtime: &Runtime, asked: &Asked, claim: &Result<Claim, Unreadable>) -> Call {
    let claim = claim.as_ref().ok();
    let (account, principal, at) = runtime.look(|aws| {
        let credential = claim.and_then(|claim| aws.credentials.get(&claim.access_key));
        let who = credential.map(|credential| &credential.caller.principal);
        let (account, arn) = who.map_or(("", ""), |who| (&who.account, &who.arn));
        (account.to_owned(), arn.to_owned(), aws.now)
    });
    Call {
        seq: 0,
        at,
        service: asked.service.name().to_owned(),
        operation: asked.operation.clone(),
        account,
        region: claim.map(|claim| claim.region.clone()).unwrap_or_default(),
        principal,
        params: asked.params.clone(),
        outcome: None,
        request_id: String::new(),
    }
}

fn perform(
    aws: &mut Aws,
    request: &Incoming,
    asked: &Asked,
    claim: &Result<Claim, Unreadable>,
) -> Result<Done, Refused> {
    let admitted = admit::admit(aws, request, asked.service, claim)?;
    throttle::take(aws, asked, &admitted)?;
    match (&asked.body, asked.service) {
        (Body::Query(query), Service::Ec2) => {
            ec2::perform(aws, &admitted, &asked.operation, query).map(Done::Xml)
        }
        (Body::Query(query), Service::Iam) => {
            roles::perform(aws, &admitted, &asked.operation, query).map(Done::Xml)
        }
        (Body::Query(query), Service::CloudFormation) => {
            cloudformation::perform(aws, &admitted, &asked.operation, query).map(Done::Xml)
        }
        (Body::Query(query), Service::AutoScaling) => {
            autoscaling::perform(aws, &admitted, &asked.operation, query).map(Done::Xml)
        }
        (Body::Query(query), _) => {
            sts::perform(aws, &admitted, &asked.operation, query).map(Done::Xml)
        }
        (Body::Json(body), Service::Organizations) => {
            organizations::perform(aws, &admitted, &asked.operation, body).map(Done::Json)
        }
        (Body::Json(body), Service::States) => {
            states::perform(aws, &admitted, &asked.operation, body).map(Done::Json)
        }
        (Body::Json(body), Service::Ssm) => {
            ssm::perform(aws, &admitted, &asked.operation, body).map(Done::Json)
        }
        (Body::Json(body), _) => {
            kms::perform(aws, &admitted, &asked.operation, body).map(Done::Json)
        }
        (Body::Invoke { function, event }, _) => {
            let payload = &request.body;
            lambda::perform(aws, &admitted, function, *event, payload).map(|()| Done::Accepted)
        }
        (Body::Rest(target), _) => {
            s3::perform(aws, &admitted, &asked.operation, request, target).map(Done::Rest)
        }
        (Body::Unreadable(no), _) => Err(no.clone()),
    }
}

fn takes_access_away(operation: &str) -> bool {
    matches!(
        operation,
        "ModifySnapshotAttribute"
            | "DeleteSnapshot"
            | "DeregisterImage"
            | "RevokeGrant"
            | "RetireGrant"
            | "PutKeyPolicy"
            | "ScheduleKeyDeletion"
            | "DeleteRole"
            | "DeleteRolePolicy"
            | "PutRolePolicy"
    )
}

/// Returns the refusal of an unreadable request, in the service's own words.
fn unreadable(service: Service, why: &str) -> Refused {
    match service {
        Service::Kms
        | Service::Lambda
        | Service::Organizations
        | Service::States
        | Service::Ssm => refusals::KMS_MALFORMED_REQUEST.with(&[why]),
        Service::Ec2
        | Service::Sts
        | Service::Iam
        | Service::CloudFormation
        | Service::AutoScaling => refusals::MALFORMED_REQUEST.with(&[why]),
        Service::S3 => refusals::S3_INVALID_URI.with(&[]),
    }
}
