//! The words of a notification, which a person reads in a mail without opening a log.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Status, stuck, succeeded};
use crate::state::State;

/// SNS allows 100 characters of ASCII.
const SUBJECT: usize = 100;
/// Lines of a mail. A longer one helps nobody.
const MOST_LINES: usize = 100;
/// An execution's cause may have 32,768 characters.
const MOST_BYTES: usize = 30_000;

/// Returns the words about a run that has ended.
pub fn of(state: &State) -> Value {
    let status = Status::of(state);
    let good = state.targets.iter().filter(|t| succeeded(t)).count();
    let subject = format!(
        "amiferry {}: {}, {good} of {} targets",
        status.as_str(),
        state.source.image_id,
        state.targets.len()
    );
    let mut message = format!("{subject}\nRun {}", state.run);
    if !state.execution.is_empty() {
        let _ = write!(message, ", execution {}", state.execution);
    }
    message.push('\n');
    // The failed targets come first: a person has to act on them.
    let (bad, fine): (Vec<_>, Vec<_>) = state.targets.iter().partition(|t| !succeeded(t));
    for target in bad.iter().chain(&fine).take(MOST_LINES) {
        let _ = write!(message, "\n{} {}: ", target.account_id, target.region);
        match (&target.image_id, &target.failure) {
            (Some(image), _) if succeeded(target) => message.push_str(image.as_str()),
            (_, Some(failure)) if !succeeded(target) => {
                let remedy = failure.cause.remedy(state.run_ref(), target);
                let _ = write!(message, "failed: {}\n  {remedy}", failure.reason);
                if let Some(image) = target.image_id.as_ref().filter(|_| target.stands()) {
                    let _ = write!(message, " ({image})");
                }
            }
            _ => message.push_str("done"),
        }
    }
    if state.targets.len() > MOST_LINES {
        let _ = write!(message, "\n… and {} more", state.targets.len() - MOST_LINES);
    }
    if let Some(said) = &state.sharing.refused {
        let _ = write!(message, "\nNot shared with the organisation: {said}");
    }
    if status == Status::Stuck {
        message.push_str("\n\nSomething could not be cleaned up. To be done by hand:\n");
        let left = stuck::what_is_left(state);
        for left in left.as_array().into_iter().flatten() {
            let word = |key: &str| left[key].as_str().unwrap_or_default().to_owned();
            let _ = write!(
                message,
                "\n{} {}: {} ({})",
                word("AccountId"),
                word("Region"),
                word("What"),
                word("Reason")
            );
            for command in left["Commands"].as_array().into_iter().flatten() {
                let _ = write!(message, "\n  {}", command.as_str().unwrap_or_default());
            }
        }
    }
    if message.len() > MOST_BYTES {
        message.truncate(message.floor_char_boundary(MOST_BYTES));
        message.push('…');
    }
    json!({"Subject": ascii(&subject), "Message": message})
}

/// Returns the words about an execution that had no run.
pub fn of_nothing(status: &str, said: &str) -> Value {
    json!({
        "Subject": ascii(&format!("amiferry {status}")),
        "Message": format!("amiferry {status}: {said}"),
    })
}

fn ascii(text: &str) -> String {
    let plain = text.chars().map(|c| {
        if c.is_ascii_graphic() || c == ' ' {
            c
        } else {
            '?'
        }
    });
    plain.take(SUBJECT).collect()
}
