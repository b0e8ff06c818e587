//! AWS's answers made wrong on their way. Broken ones must not matter: the run ends somehow, and
//! when the answers are whole again the same event ends well, with everything closed. Answers that
//! lie in good form cannot be seen through; but they must not break the function, nor open anything
//! to anybody.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amiferry::error::Error;
use amiferry::handler::Handler;
use amiferry_sandbox::Sandbox;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector,
    http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{Full, Limited};
use serde_json::{Value, json};

use super::mutate::{mutate, word};
use super::play::{Rng, play};
use super::{is_well_said, nothing_is_public, tells_no_secret};
use crate::support::*;

const MOST_CALLS: usize = 3000;

#[test]
fn broken_answers_end_a_run_and_the_next_run_succeeds() {
    play("answers::broken", 30, |rng| Box::pin(broken(rng)));
}

#[test]
fn lying_answers_break_nothing_and_open_nothing() {
    play("answers::lying", 30, |rng| Box::pin(lying(rng)));
}

/// The answers that hold credentials are truncated. The SDK's message about an unreadable answer
/// quotes all of it.
#[test]
fn a_truncated_assume_role_answer_reveals_no_credentials() {
    play("answers::a_truncated", 12, |rng| {
        Box::pin(cut_credentials(rng))
    });
}

async fn cut_credentials(rng: &mut Rng) -> Result<String, String> {
    let sandbox = Sandbox::new(world(&TWO));
    let wire = Wire::new(&sandbox, rng, |rng, reply| {
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        if let Some(at) = text.find("</AccessKeyId>") {
            let behind = &text[at..];
            let end = behind.find("</Expiration>").unwrap_or(behind.len());
            reply.body.truncate(at + rng.usize(0..end));
            reply.breaks = rng.bool();
        }
        "cut"
    });
    wire.always();
    let reply = drive(&wire, &sandbox).await?;
    Ok(reply["Status"].as_str().unwrap_or("(no status)").to_owned())
}

async fn broken(rng: &mut Rng) -> Result<String, String> {
    let sandbox = Sandbox::new(world(&TWO));
    let (wire, word) = run_mangled(rng, &sandbox, brake).await?;
    // A run survives a few broken answers by retrying.
    if wire.mangled().len() < 3 && word != "Succeeded" {
        return Err(format!("{word} for {:?}", wire.mangled()));
    }
    wire.stop();
    let reply = drive(&wire, &sandbox).await?;
    if reply["Status"] != "Succeeded" {
        return Err(format!("after {word}, with whole answers: {reply}"));
    }
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
    Ok(word)
}

async fn lying(rng: &mut Rng) -> Result<String, String> {
    let sandbox = Sandbox::new(world(&TWO));
    let (wire, word) = run_mangled(rng, &sandbox, lie).await?;
    wire.stop();
    let reply = drive(&wire, &sandbox).await?;
    // An image that was registered after a lie about its source stays, for a person to look at.
    let targets = reply["Result"]["Targets"].as_array().into_iter().flatten();
    let said = |t: &Value| {
        t["Status"] == "Succeeded" || t["Cause"] == "NotFaithful" || t["Cause"] == "NameTaken"
    };
    if !targets.clone().all(said) || targets.count() == 0 {
        return Err(format!("after {word}, with true answers: {reply}"));
    }
    nothing_is_public(&sandbox)?;
    Ok(word)
}

/// Plays the first run, in which some answers are mangled.
async fn run_mangled(rng: &mut Rng, sandbox: &Sandbox, how: How) -> Result<(Wire, String), String> {
    let wire = Wire::new(sandbox, rng, how);
    let reply = drive(&wire, sandbox).await;
    let mangled = wire.mangled();
    let reply = reply.map_err(|said| format!("{said}\nMangled: {mangled:?}"))?;
    nothing_is_public(sandbox)?;
    Ok((
        wire,
        reply["Status"].as_str().unwrap_or("(no status)").to_owned(),
    ))
}

/// Drives a run to its end: a reply, or a lasting error.
async fn drive(wire: &Wire, sandbox: &Sandbox) -> Result<Value, String> {
    let function = wire.function(sandbox).await;
    let mut event = distribute(&TWO);
    let mut errors = 0;
    for _ in 0..MOST_CALLS {
        match function
            .handle(&event.to_string(), &invocation(sandbox))
            .await
        {
            Ok(reply) => {
                tells_no_secret("a reply", &reply.to_string())?;
                if reply["Status"] != "Continue" {
                    return Ok(reply);
                }
                let wait = reply["WaitSeconds"].as_u64().unwrap_or(1);
                tokio::time::sleep(Duration::from_secs(wait)).await;
                event = json!({"State": reply["State"]});
            }
            Err(error) => {
                is_well_said(&error)?;
                errors += 1;
                if errors > 20 || !matches!(error, Error::Throttled(_) | Error::Internal(_)) {
                    return Ok(json!({"Status": error.error_type(), "Error": error.to_string()}));
                }
                tokio::time::sleep(Duration::from_secs(30)).await;
            }
        }
    }
    Err(format!("does not end: {MOST_CALLS} calls"))
}

type How = fn(&mut Rng, &mut Reply) -> &'static str;

/// An answer of AWS on its way.
struct Reply {
    status: u16,
    body: Vec<u8>,
    /// The connection breaks before the end.
    breaks: bool,
}

#[derive(Debug)]
struct Chance {
    rng: Rng,
    percent: u8,
    left: u32,
    mangled: Vec<&'static str>,
}

/// The wire of the sandbox, which mangles answers.
struct Wire {
    client: SharedHttpClient,
    chance: Arc<Mutex<Chance>>,
}

impl Wire {
    fn new(sandbox: &Sandbox, rng: &mut Rng, how: How) -> Self {
        let chance = Chance {
            percent: *rng.choice(&[3, 10, 40]).expect("one"),
            left: *rng.choice(&[1, 3, 12, 60]).expect("one"),
            mangled: Vec::new(),
            rng: rng.fork(),
        };
        let chance = Arc::new(Mutex::new(chance));
        let (inner, mangling) = (sandbox.http_client(), chance.clone());
        let client = http_client_fn(move |settings, components| {
            SharedHttpConnector::new(Mangler {
                inner: inner.http_connector(settings, components),
                chance: mangling.clone(),
                how,
            })
        });
        Self { client, chance }
    }

    fn stop(&self) {
        self.chance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .left = 0;
    }

    fn always(&self) {
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        (chance.percent, chance.left) = (100, u32::MAX);
    }

    fn mangled(&self) -> Vec<&'static str> {
        self.chance
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .mangled
            .clone()
    }

    async fn function(&self, sandbox: &Sandbox) -> Handler {
        let config = config_in(HOME, self.client.clone(), sandbox.time_source()).await;
        Handler::new(config, settings())
    }
}

#[derive(Debug)]
struct Mangler {
    inner: SharedHttpConnector,
    chance: Arc<Mutex<Chance>>,
    how: How,
}

impl HttpConnector for Mangler {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, chance, how) = (self.inner.call(request), self.chance.clone(), self.how);
        HttpConnectorFuture::new(async move {
            let answer = answer.await?;
            let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
            if chance.left == 0 || chance.rng.u8(0..100) >= chance.percent {
                return Ok(answer);
            }
            chance.left -= 1;
            let mut reply = Reply {
                status: answer.status().as_u16(),
                body: answer.body().bytes().unwrap_or_default().to_vec(),
                breaks: false,
            };
            let done = how(&mut chance.rng, &mut reply);
            chance.mangled.push(done);
            let status = reply.status.try_into().unwrap_or_else(|_| answer.status());
            let body = if reply.breaks {
                // The connection ends before the announced length: reading fails.
                SdkBody::from_body_1_x(Limited::new(Full::new(Bytes::from("<x>")), 1))
            } else {
                SdkBody::from(reply.body)
            };
            let mut sent = HttpResponse::new(status, body);
            *sent.headers_mut() = answer.headers().clone();
            Ok(sent)
        })
    }
}

/// Breaks an answer so that no client can take it for a whole one.
fn brake(rng: &mut Rng, reply: &mut Reply) -> &'static str {
    let page = b"<!DOCTYPE html><html><head><title>502</title></head>\
        <body><h1>Bad Gateway</h1><br></body></html>";
    match rng.u8(0..9) {
        0 | 1 => {
            reply.breaks = true;
            "cut"
        }
        2 => {
            (reply.status, reply.body) = (503, page.to_vec());
            "page with 503"
        }
        3 => {
            (reply.status, reply.body) = (200, page.to_vec());
            "page with 200"
        }
        4 => {
            reply.body = b"<x>"
                .iter()
                .copied()
                .chain(std::iter::repeat_n(b'A', 3 * 1024 * 1024))
                .collect();
            "huge"
        }
        5 => {
            let at = rng.usize(0..reply.body.len().max(1));
            reply
                .body
                .splice(at..at, [0xff, 0xfe, 0x00, b'<', b'"', 0xc3]);
            "bytes"
        }
        6 => {
            reply.status = 500;
            "500 with the answer's own body"
        }
        7 => {
            reply.body = rng
                .choice([&b"null"[..], b"[]", b"\"\"", b"<!-- -->"])
                .expect("one")
                .to_vec();
            "another language"
        }
        _ => {
            reply.body.clear();
            "empty"
        }
    }
}

/// Changes the words of an answer, which stays well formed.
fn lie(rng: &mut Rng, reply: &mut Reply) -> &'static str {
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    if let Ok(mut value) = serde_json::from_str::<Value>(&text) {
        mutate(rng, &mut value);
        reply.body = value.to_string().into_bytes();
        return "json";
    }
    let leaves = leaves(&text);
    let Some(leaf) = rng.choice(&leaves) else {
        return "nothing";
    };
    let (begin, end) = (&text[..leaf.element.0], &text[leaf.element.1..]);
    let element = &text[leaf.element.0..leaf.element.1];
    let (said, new) = match rng.u8(0..4) {
        0 => ("element left out", String::new()),
        1 => ("element twice", element.repeat(2)),
        2 => ("element many times", element.repeat(rng.usize(3..3000))),
        _ => (
            "value",
            element.replace(&text[leaf.value.0..leaf.value.1], &absurd(rng)),
        ),
    };
    reply.body = format!("{begin}{new}{end}").into_bytes();
    said
}

fn absurd(rng: &mut Rng) -> String {
    let some = [
        "2147483647",
        "-1",
        "99999999999999999999",
        "0",
        "sideways",
        "true",
        "2999-01-01T00:00:00.000Z",
        "0000",
        "snap-0ffffffffffffffff",
        "ami-0ffffffffffffffff",
        "arn:aws:kms:us-west-2:999999999999:key/11111111-aaaa-bbbb-cccc-000000000001",
        "999999999999",
        "error",
        "pending",
    ];
    match rng.u8(0..4) {
        0 => word(rng)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace(|c: char| c.is_control(), ""),
        1 => "x".repeat(rng.usize(1..100_000)),
        _ => (*rng.choice(&some).expect("one")).to_owned(),
    }
}

/// An element that contains text only.
struct Leaf {
    element: (usize, usize),
    value: (usize, usize),
}

fn leaves(text: &str) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    for (open, _) in text.match_indices('<') {
        let Some(close) = text[open..].find('>').map(|n| open + n) else {
            continue;
        };
        let name = &text[open + 1..close];
        let end = format!("</{name}>");
        let Some(next) = text[close..].find('<').map(|n| close + n) else {
            continue;
        };
        if !name.starts_with('/') && text[next..].starts_with(&end) {
            leaves.push(Leaf {
                element: (open, next + end.len()),
                value: (close + 1, next),
            });
        }
    }
    leaves
}
