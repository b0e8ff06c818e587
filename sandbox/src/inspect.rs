//! `/_sandbox/…`: the ledger, the world, invocations, answers and the sessions of AWS's own services, for clients of
//! other processes. Unsigned; it is no part of AWS.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::ledger::{Answer, Call};
use crate::sandbox::Sandbox;
use crate::wire::{Incoming, time};

/// CloudFormation's limit for an answer, in bytes.
const LARGEST_ANSWER: usize = 4096;

pub(crate) fn answer(sandbox: &Sandbox, request: &Incoming, path: &str) -> Response<Bytes> {
    match (request.method.as_str(), path) {
        ("GET", "health") => json_answer(&json!({"ok": true})),
        ("GET", "ledger") => json_answer(&sandbox.ledger().iter().map(shown).collect()),
        ("GET", "world") => json_answer(&sandbox.look(|aws| world(aws))),
        ("GET", "answers") => json_answer(&json!(sandbox.answers())),
        ("GET", "invocations") => {
            let taken = sandbox.lambda_invocations().into_iter().map(|invocation| {
                let text = String::from_utf8_lossy(&invocation.payload).into_owned();
                json!({"function_name": invocation.function_name, "payload": text})
            });
            json_answer(&taken.collect())
        }
        ("POST", "service-sessions") => act_as_service(sandbox, request),
        ("PUT", path) if path.starts_with("answers/") => keep(sandbox, request, path),
        _ => plain(
            StatusCode::NOT_FOUND,
            "text/plain",
            "nothing here\n".to_owned(),
        ),
    }
}

/// Credentials of a service-linked role, `{"RoleArn": "…"}`, as its service has them.
fn act_as_service(sandbox: &Sandbox, request: &Incoming) -> Response<Bytes> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let role = body["RoleArn"].as_str().unwrap_or_default();
    match sandbox.look(|aws| aws.act_as_service(role)) {
        Some(issued) => json_answer(&json!({
            "AccessKeyId": issued.access_key_id,
            "SecretAccessKey": issued.secret_access_key,
            "SessionToken": issued.session_token,
        })),
        None => plain(
            StatusCode::NOT_FOUND,
            "text/plain",
            format!("{role:?} is no service-linked role of this world\n"),
        ),
    }
}

/// The `ResponseURL` sink: S3 signed the URL for an empty Content-Type, and CloudFormation reads 4,096 bytes at most.
fn keep(sandbox: &Sandbox, request: &Incoming, path: &str) -> Response<Bytes> {
    let content_type = request.header("content-type").map(str::to_owned);
    let signed_otherwise = content_type
        .as_deref()
        .is_some_and(|given| !given.is_empty());
    let response = if signed_otherwise {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>The request signature we calculated does not match the signature you provided. \
                    Check your key and signing method.</Message></Error>";
        plain(StatusCode::FORBIDDEN, "application/xml", text.to_owned())
    } else if request.body.len() > LARGEST_ANSWER {
        let text = format!(
            "the answer is {} bytes long, at most {LARGEST_ANSWER}\n",
            request.body.len()
        );
        plain(StatusCode::BAD_REQUEST, "text/plain", text)
    } else {
        plain(StatusCode::OK, "text/plain", String::new())
    };
    sandbox.keep_answer(Answer {
        path: path.trim_start_matches("answers").to_owned(),
        content_type,
        body: String::from_utf8_lossy(&request.body).into_owned(),
        status: response.status().as_u16(),
    });
    response
}

fn shown(call: &Call) -> Value {
    let (outcome, error) = match &call.outcome {
        None => ("none", None),
        Some(Ok(())) => ("ok", None),
        Some(Err(code)) => ("error", Some(code)),
    };
    json!({
        "seq": call.seq, "at": time::iso(call.at), "service": call.service, "operation": call.operation,
        "account": call.account, "region": call.region, "principal": call.principal,
        "params": call.params, "outcome": outcome, "error": error, "request_id": call.request_id,
    })
}

/// Accounts, in them Regions, in them what they own.
fn world(aws: &Aws) -> Value {
    let mut accounts: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    let empty = || json!({"images": [], "snapshots": [], "grants": [], "instances": []});
    let mut put = |account: &'_ str, region: &'_ str, kind: &str, value: Value| {
        let Some((account, _)) = aws.accounts.get_key_value(account) else {
            return;
        };
        let regions = accounts.entry(account).or_default();
        let known = crate::aws::REGIONS.iter().find(|(name, _)| *name == region);
        let Some((region, _)) = known else { return };
        let here = regions.entry(region).or_insert_with(empty);
        if let Some(list) = here[kind].as_array_mut() {
            list.push(value);
        }
    };
    for image in aws.images.values() {
        put(
            &image.view.owner_id,
            &image.view.region,
            "images",
            json!(image.view),
        );
    }
    for snapshot in aws.snapshots.values() {
        let view = snapshot.shown(aws.now);
        put(&view.owner_id, &view.region, "snapshots", json!(view));
    }
    for key in aws.keys.values() {
        for grant in &key.grants {
            put(&key.account, &key.region, "grants", json!(grant.view));
        }
    }
    for live in aws.instances.values() {
        put(
            &live.owner,
            &live.region,
            "instances",
            json!(live.view(aws)),
        );
    }
    for id in aws.accounts.keys() {
        accounts.entry(id).or_default();
    }
    json!({"now": time::iso(aws.now), "accounts": accounts})
}

fn json_answer(value: &Value) -> Response<Bytes> {
    plain(StatusCode::OK, "application/json", value.to_string())
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let value = http::HeaderValue::from_static(content_type);
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, value);
    response
}
