//! The sandbox's own paths, `/_sandbox/…`: the ledger, the world, invocations, answers and the
//! sessions of AWS's own services, for clients of other processes. Requests are unsigned; AWS has
//! no such paths.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use crate::aws::Aws;
use crate::ledger::{Answer, AnswerRefusal, Call};
use crate::runtime::Runtime;
use crate::wire::{Incoming, Reply, time};

/// CloudFormation's limit for an answer, in bytes.
const LARGEST_ANSWER: usize = 4096;

pub(crate) async fn answer(runtime: &Runtime, request: &Incoming, path: &str) -> Reply {
    let is_answer = request.method == "PUT" && path.starts_with("answers/");
    let refusal = is_answer.then(|| runtime.answer_refusal()).flatten();
    Reply::Answer(match refusal {
        None => told(runtime, request, path),
        Some(AnswerRefusal::Status { status, .. }) => {
            keep(runtime, request, path, status);
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            plain(status, "text/plain", "refused by the test\n".to_owned())
        }
        Some(AnswerRefusal::Hang) => {
            keep(runtime, request, path, 0);
            runtime.hang().await;
            return Reply::Reset;
        }
        Some(AnswerRefusal::Close) => {
            keep(runtime, request, path, 0);
            return Reply::Reset;
        }
    })
}

fn told(runtime: &Runtime, request: &Incoming, path: &str) -> Response<Bytes> {
    match (request.method.as_str(), path) {
        ("GET", "health") => json_answer(&json!({"ok": true})),
        ("GET", "ledger") => json_answer(&runtime.ledger().iter().map(shown).collect()),
        ("GET", "world") => json_answer(&runtime.look(|aws| world(aws))),
        ("GET", "answers") => json_answer(&json!(runtime.answers())),
        ("GET", "invocations") => {
            let taken = runtime.take_invocations().into_iter().map(|invocation| {
                let text = String::from_utf8_lossy(&invocation.payload).into_owned();
                json!({"function_name": invocation.function_name, "payload": text})
            });
            json_answer(&taken.collect())
        }
        ("POST", "answers") => refuse(runtime, request),
        ("POST", "service-sessions") => act_as_service(runtime, request),
        ("PUT", path) if path.starts_with("answers/") => take(runtime, request, path),
        _ => plain(
            StatusCode::NOT_FOUND,
            "text/plain",
            "nothing here\n".to_owned(),
        ),
    }
}

/// Answers with the credentials of a service-linked role, `{"RoleArn": "…"}`, as its service has
/// them.
fn act_as_service(runtime: &Runtime, request: &Incoming) -> Response<Bytes> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let role = body["RoleArn"].as_str().unwrap_or_default();
    match runtime.look(|aws| aws.act_as_service(role)) {
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

/// Takes an answer, as the `ResponseURL` sink. S3 signed the URL for an empty Content-Type, and
/// CloudFormation reads 4,096 bytes at most.
fn take(runtime: &Runtime, request: &Incoming, path: &str) -> Response<Bytes> {
    let content_type = request.header("content-type");
    let signed_otherwise = content_type.is_some_and(|given| !given.is_empty());
    let response = if signed_otherwise {
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>The request signature we calculated does not match the signature you \
                    provided. Check your key and signing method.</Message></Error>";
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
    keep(runtime, request, path, response.status().as_u16());
    response
}

fn keep(runtime: &Runtime, request: &Incoming, path: &str, status: u16) {
    runtime.keep_answer(Answer {
        path: path.trim_start_matches("answers").to_owned(),
        content_type: request.header("content-type").map(str::to_owned),
        body: String::from_utf8_lossy(&request.body).into_owned(),
        status,
    });
}

/// Sets how the sink fails from now on: `{"how": "status", "status": 503, "times": 2}`, `{"how":
/// "hang"}`, `{"how": "close"}`, or `null` to take answers again.
fn refuse(runtime: &Runtime, request: &Incoming) -> Response<Bytes> {
    match serde_json::from_slice::<Option<AnswerRefusal>>(&request.body) {
        Ok(Some(how)) => runtime.set_answer_refusal(Some(how)),
        Ok(None) => runtime.set_answer_refusal(None),
        Err(error) => {
            return plain(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n"));
        }
    }
    json_answer(&json!({"ok": true}))
}

fn shown(call: &Call) -> Value {
    let (outcome, error) = match &call.outcome {
        None => ("none", None),
        Some(Ok(())) => ("ok", None),
        Some(Err(code)) => ("error", Some(code)),
    };
    json!({
        "seq": call.seq, "at": time::iso(call.at),
        "service": call.service, "operation": call.operation,
        "account": call.account, "region": call.region, "principal": call.principal,
        "params": call.params, "outcome": outcome, "error": error, "request_id": call.request_id,
    })
}

/// Returns the world as JSON: accounts, their Regions, and the resources in each.
fn world(aws: &Aws) -> Value {
    let mut accounts: BTreeMap<&str, BTreeMap<&str, Value>> = BTreeMap::new();
    let empty = || {
        json!({
            "images": [], "snapshots": [], "volumes": [], "keys": [], "grants": [], "instances": [],
            "buckets": [], "parameters": [], "launch_templates": [], "fast_restores": [],
        })
    };
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
        let view = aws.with_progress(snapshot);
        put(&view.owner_id, &view.region, "snapshots", json!(view));
    }
    for volume in aws.volumes.values() {
        put(&volume.owner_id, &volume.region, "volumes", json!(volume));
    }
    for key in aws.keys.values() {
        let shown = json!({"arn": key.arn, "policy": key.policy_text});
        put(&key.account, &key.region, "keys", shown);
        for grant in &key.grants {
            put(&key.account, &key.region, "grants", json!(grant.view));
        }
    }
    for (account, region, kind, shown) in used(aws) {
        put(account, region, kind, shown);
    }
    for (name, bucket) in &aws.s3_buckets {
        put(
            &bucket.account,
            &bucket.region,
            "buckets",
            bucket.shown(name),
        );
    }
    for id in aws.accounts.keys() {
        accounts.entry(id).or_default();
    }
    json!({"now": time::iso(aws.now), "accounts": accounts})
}

/// Returns all that uses images and snapshots, with its account, Region and kind.
fn used(aws: &Aws) -> Vec<(&str, &str, &'static str, Value)> {
    let mut used: Vec<(&str, &str, &'static str, Value)> = Vec::new();
    for live in aws.instances.values() {
        let shown = json!(live.view(aws));
        used.push((&live.owner, &live.region, "instances", shown));
    }
    for key in aws.parameters.keys() {
        let (account, region, name) = key;
        let shown = json!({"name": name, "versions": aws.parameter_versions(key)});
        used.push((account, region, "parameters", shown));
    }
    for (id, live) in &aws.templates {
        let (account, region) = (&live.account, &live.region);
        let mut shown = json!(aws.template_versions(account, region, id));
        shown["id"] = json!(id);
        shown["name"] = json!(live.name);
        used.push((account, region, "launch_templates", shown));
    }
    for ((account, snapshot, zone), live) in &aws.fast_restores {
        let shown = json!({
            "snapshot_id": snapshot, "availability_zone": zone, "state": live.state(aws),
        });
        used.push((account, &live.region, "fast_restores", shown));
    }
    used
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
