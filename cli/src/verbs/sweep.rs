//! `sweep`: closes what outlived its run, or tells what that is.

use serde_json::{Value, json};

use super::preflight::ask;
use crate::arguments::{Globals, Sweep};
use crate::failure::{DONE, Failure};
use crate::print::{List, note, text};
use crate::session::Session;

/// The lists of a reply, with words for each.
const LISTS: [(&str, &str); 6] = [
    ("WouldClose", "would be closed"),
    ("WouldFinish", "closing would be finished"),
    ("WouldVerify", "would be verified"),
    ("Closed", "closed"),
    ("Verified", "verified"),
    ("Alive", "at work still"),
];

/// Sweeps, or with no `--apply` tells what a sweep would do.
pub async fn sweep(globals: &Globals, args: &Sweep) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, &args.ledger).await?;
    let reply = ask(&session, &json!({"Sweep": {"Apply": args.apply}})).await?;
    let mut list = List::new(&["RUN", "ATTEMPT", "RESOURCE", "WHAT"]);
    for (key, words) in LISTS {
        for entry in reply[key].as_array().into_iter().flatten() {
            list.add(row(entry, words), with_words(entry, words));
        }
    }
    list.print(globals.output, &reply, "Nothing to sweep.")?;
    let would = LISTS[..3]
        .iter()
        .any(|(key, _)| reply[*key].as_array().is_some_and(|l| !l.is_empty()));
    if would {
        note(globals, "Nothing was changed; --apply does it.");
    }
    Ok(DONE)
}

fn row(entry: &Value, words: &str) -> Vec<String> {
    let attempt = text(entry, "Attempt");
    let (run, number) = attempt.rsplit_once('.').unwrap_or((&attempt, ""));
    let cells = [run, number, &text(entry, "Resource"), words];
    cells.map(str::to_owned).to_vec()
}

fn with_words(entry: &Value, words: &str) -> Value {
    let mut entry = entry.clone();
    entry["What"] = json!(words);
    entry
}
