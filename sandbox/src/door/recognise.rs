//! Recognises the service, the operation and its parameters, from the bytes of a request alone.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::{Service, unreadable};
use crate::refusals::{self, Refused};
use crate::s3::{self, Address};
use crate::wire::query::Query;
use crate::wire::sigv4::Claim;
use crate::wire::{Incoming, json};

#[derive(Debug)]
pub(super) struct Asked {
    pub service: Service,
    pub operation: String,
    pub params: BTreeMap<String, String>,
    pub body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Query(Query),
    Json(Value),
    Invoke {
        function: String,
        event: bool,
    },
    /// A call of S3.
    Rest(s3::Target),
    Unreadable(Refused),
}

/// `X-Amz-Target` of the JSON services (model, `targetPrefix`).
const TARGETS: &[(&str, Service)] = &[
    ("TrentService.", Service::Kms),
    ("AWSOrganizationsV20161128.", Service::Organizations),
    ("AWSStepFunctions.", Service::States),
    ("AmazonSSM.", Service::Ssm),
];
const IAM_VERSION: &str = "2010-05-08";
const CLOUDFORMATION_VERSION: &str = "2010-05-15";
const AUTO_SCALING_VERSION: &str = "2011-01-01";
const FUNCTIONS: &str = "/2015-03-31/functions/";

pub(super) fn recognise(request: &Incoming, claim: Option<&Claim>) -> Asked {
    if claim.is_some_and(|claim| claim.service == "s3") || s3::is_endpoint(&request.host) {
        return of_s3(request);
    }
    let target = request.header("x-amz-target").unwrap_or_default();
    for (prefix, service) in TARGETS {
        if let Some(operation) = target.strip_prefix(prefix) {
            return of_json(request, *service, operation);
        }
    }
    if let Some(rest) = request.path.strip_prefix(FUNCTIONS) {
        return of_invoke(request, rest);
    }
    of_query(request, claim)
}

fn of_json(request: &Incoming, service: Service, operation: &str) -> Asked {
    let (params, body) = match serde_json::from_slice::<Value>(&request.body) {
        Ok(value @ Value::Object(_)) => (json::flatten(&value), Body::Json(value)),
        Ok(_) => (
            BTreeMap::new(),
            Body::Unreadable(unreadable(service, "not an object")),
        ),
        Err(error) => (
            BTreeMap::new(),
            Body::Unreadable(unreadable(service, &error.to_string())),
        ),
    };
    Asked {
        service,
        operation: operation.to_owned(),
        params,
        body,
    }
}

fn of_invoke(request: &Incoming, rest: &str) -> Asked {
    let mut asked = Asked {
        service: Service::Lambda,
        operation: "Invoke".to_owned(),
        params: BTreeMap::new(),
        body: Body::Unreadable(refusals::NOT_IMPLEMENTED.with(&["this operation of Lambda"])),
    };
    let Some(name) = rest.strip_suffix("/invocations") else {
        return asked;
    };
    let function = percent_decode_str(name).decode_utf8_lossy().into_owned();
    let kind = request
        .header("x-amz-invocation-type")
        .unwrap_or("RequestResponse");
    asked
        .params
        .insert("FunctionName".to_owned(), function.clone());
    asked
        .params
        .insert("InvocationType".to_owned(), kind.to_owned());
    if request.method == "POST" {
        asked.body = Body::Invoke {
            function,
            event: kind == "Event",
        };
    }
    asked
}

fn of_s3(request: &Incoming) -> Asked {
    let foreign = request.host.contains(".amazonaws.") && !s3::is_endpoint(&request.host);
    let what = format!("the endpoint {} of S3", request.host);
    let no = match Address::of(request) {
        _ if foreign => refusals::NOT_IMPLEMENTED.with(&[&what]),
        None => unreadable(Service::S3, "It is not UTF-8."),
        Some(address) => {
            let (operation, params, target) = s3::recognise(request, address);
            return Asked {
                service: Service::S3,
                operation,
                params,
                body: Body::Rest(target),
            };
        }
    };
    Asked {
        service: Service::S3,
        operation: request.method.clone(),
        params: BTreeMap::new(),
        body: Body::Unreadable(no),
    }
}

fn of_query(request: &Incoming, claim: Option<&Claim>) -> Asked {
    let form = match request.method.as_str() {
        "GET" => request.query.as_bytes(),
        _ => &request.body[..],
    };
    let query = Query::parse(form);
    let readable = std::str::from_utf8(form).is_ok();
    let scope = claim.map(|claim| claim.service.as_str());
    let service = match (scope, query.get("Version")) {
        (Some("sts"), _) | (None, Some("2011-06-15")) => Service::Sts,
        (Some("iam"), _) | (None, Some(IAM_VERSION)) => Service::Iam,
        (Some("cloudformation"), _) | (None, Some(CLOUDFORMATION_VERSION)) => {
            Service::CloudFormation
        }
        (Some("autoscaling"), _) | (None, Some(AUTO_SCALING_VERSION)) => Service::AutoScaling,
        (Some("kms"), _) => Service::Kms,
        (Some("lambda"), _) => Service::Lambda,
        (Some("organizations"), _) => Service::Organizations,
        (Some("states"), _) => Service::States,
        (Some("ssm"), _) => Service::Ssm,
        _ => Service::Ec2,
    };
    let operation = query.owned("Action").unwrap_or_default();
    let mut params = query.params().clone();
    params.remove("Action");
    params.remove("Version");
    let garbled = (!readable).then(|| unreadable(service, "It is not UTF-8."));
    let body = garbled
        .or_else(|| refused_query(service, &query))
        .map_or_else(
            || Body::Query(Query::from(params.clone())),
            Body::Unreadable,
        );
    Asked {
        service,
        operation,
        params,
        body,
    }
}

fn refused_query(service: Service, query: &Query) -> Option<Refused> {
    match service {
        Service::Kms => return Some(refusals::NOT_IMPLEMENTED.with(&["KMS without X-Amz-Target"])),
        Service::Organizations => {
            return Some(refusals::NOT_IMPLEMENTED.with(&["Organizations without X-Amz-Target"]));
        }
        Service::States => {
            return Some(refusals::NOT_IMPLEMENTED.with(&["Step Functions without X-Amz-Target"]));
        }
        Service::Ssm => {
            return Some(refusals::NOT_IMPLEMENTED.with(&["Systems Manager without X-Amz-Target"]));
        }
        Service::Lambda => return Some(refusals::NOT_IMPLEMENTED.with(&["this path of Lambda"])),
        Service::Ec2
        | Service::Sts
        | Service::Iam
        | Service::S3
        | Service::CloudFormation
        | Service::AutoScaling => {}
    }
    if query.get("Action").is_none_or(str::is_empty) {
        return Some(refusals::MISSING_PARAMETER.with(&["Action"]));
    }
    let wanted = match service {
        Service::Ec2 => "2016-11-15",
        Service::Iam => IAM_VERSION,
        Service::CloudFormation => CLOUDFORMATION_VERSION,
        Service::AutoScaling => AUTO_SCALING_VERSION,
        _ => "2011-06-15",
    };
    let version = query.get("Version").unwrap_or_default();
    (version != wanted).then(|| refusals::NO_SUCH_VERSION.with(&[version]))
}
