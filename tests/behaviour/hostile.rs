//! Hostile input: events, states and answers of AWS are mutated from seeds, and names, descriptions
//! and tags are as odd as people make them. The function refuses by name or continues. It never
//! panics or hangs, opens nothing because of bad input, and reveals no secret.
//!
//! A failure prints its seed and how to play it again. `AMIFERRY_FUZZ_COUNT` asks for that many
//! cases of each test instead of the bounded number.

mod answers;
mod events;
mod log;
mod mutate;
mod names;
mod play;
mod seeds;
mod states;

pub use log::Log;

use amiferry::error::Error;
use amiferry_sandbox::Sandbox;
use serde_json::Value;

use crate::support::*;

/// Secrets that no output may contain: parts of ResponseURLs and of credentials.
pub const SECRETS: [&str; 6] = [
    "secret-of-the-stack",
    "X-Amz-Signature",
    "producer-secret",
    "AKIA",
    "ASIA",
    "SessionToken",
];

pub const KINDS: [&str; 6] = [
    "InvalidRequest",
    "InvalidState",
    "AccessDenied",
    "Throttled",
    "SourceNotFound",
    "Internal",
];

/// Checks that an error is one of the six types, short, on one line, and names its subject.
pub fn is_well_said(error: &Error) -> Result<(), String> {
    let kind = error.error_type();
    let message = error.to_string();
    if !KINDS.contains(&kind) {
        return Err(format!("{kind} is no error type of this function"));
    }
    if message.len() >= 2048 {
        let begin: String = message.chars().take(100).collect();
        return Err(format!("a message of {} bytes: {begin}…", message.len()));
    }
    if message.chars().any(|c| c.is_control() || c == '\u{202e}') {
        return Err(format!("control characters in {message:?}"));
    }
    let named = message
        .split_once(": ")
        .is_some_and(|(key, _)| !key.is_empty());
    if matches!(kind, "InvalidRequest" | "InvalidState") && !named {
        return Err(format!("{message:?} names no key"));
    }
    tells_no_secret("an error", &message)
}

pub fn tells_no_secret(what: &str, text: &str) -> Result<(), String> {
    match SECRETS.iter().find(|secret| text.contains(**secret)) {
        None => Ok(()),
        Some(secret) => {
            let at = text.find(secret).unwrap_or_default();
            let begin = text.floor_char_boundary(at.saturating_sub(160));
            let end = text.ceil_char_boundary((at + 80).min(text.len()));
            Err(format!("{secret} in {what}: …{}…", &text[begin..end]))
        }
    }
}

/// Returns whether a call only reads.
pub fn only_looks(operation: &str) -> bool {
    ["Describe", "List", "Get", "AssumeRole"]
        .iter()
        .any(|begin| operation.starts_with(begin))
}

/// Checks that no call ever named a group, and that nothing is public.
pub fn nothing_is_public(sandbox: &Sandbox) -> Result<(), String> {
    for call in sandbox.ledger() {
        let mut given = call.params.iter();
        let permits = call.operation.starts_with("Modify");
        if given.any(|(key, value)| key.contains("Group") || permits && value == "all") {
            return Err(format!(
                "{} names a group: {:?}",
                call.operation, call.params
            ));
        }
    }
    for (account, region) in FOUR.into_iter().chain([(SOURCE, HOME)]) {
        if sandbox.images(account, region).iter().any(|i| i.public)
            || sandbox.snapshots(account, region).iter().any(|s| s.public)
        {
            return Err(format!("something of {account} {region} is public"));
        }
    }
    Ok(())
}

/// Returns the word by which a case is counted.
pub fn outcome(result: &Result<Value, Error>) -> String {
    match result {
        Ok(reply) => reply["Status"].as_str().unwrap_or("(no status)").to_owned(),
        Err(error) => error.error_type().to_owned(),
    }
}
