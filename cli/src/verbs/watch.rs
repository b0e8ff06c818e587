//! `watch`: a line for each change of what is open, and of the runs.

use std::collections::BTreeMap;

use amiferry::ledger::{Kind, RunStatus, readable};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::ledger::{Book, CLOSED, principals, read, status_of};
use crate::arguments::{Globals, Output, Watch};
use crate::failure::{DONE, FAILED, Failure};
use crate::interrupt::Interrupt;
use crate::local::until;
use crate::print::{self, tabbed, text};
use crate::session::Session;

/// The runs and openings of one look, by what tells them apart.
type Seen = BTreeMap<String, Value>;

/// Prints changes until the run ends, the time is up, or somebody presses Ctrl-C.
pub async fn watch(globals: &Globals, args: &Watch) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, &args.ledger).await?;
    let end = globals.timeout.map(|time| Instant::now() + time);
    let mut interrupt = Interrupt::listen();
    let run = args.run.as_deref();
    let mut before = Seen::new();
    loop {
        let book = read(&session).await?;
        book.knows(run)?;
        let now = seen(&book, run);
        let at = readable(session.aws().now());
        for change in changes(&before, &now) {
            show(globals.output, &at, &change)?;
        }
        if let Some(code) = ended(&book, run) {
            return Ok(code);
        }
        before = now;
        tokio::select! {
            () = tokio::time::sleep(args.every) => {}
            () = interrupt.pressed() => {
                return Err(Failure::Interrupted("the runs go on".to_owned()));
            }
            () = until(end) => return Err(Failure::Running("the runs go on".to_owned())),
        }
    }
}

fn seen(book: &Book, run: Option<&str>) -> Seen {
    let runs = book
        .runs
        .iter()
        .filter(|known| run.is_none_or(|run| known.run == run));
    let runs = runs.map(|run| {
        let told = json!({"RunId": run.run, "Status": status_of(run),
            "SourceImageId": run.source_image_id});
        (run.run.clone(), told)
    });
    let open = book.open(run).into_iter();
    let open = open.map(|entry| {
        let who = principals(&entry);
        (
            format!(
                "{} {} {who}",
                text(&entry, "Resource"),
                text(&entry, "RunId")
            ),
            entry,
        )
    });
    runs.chain(open).collect()
}

/// Compares two looks. What is gone was closed and verified, or its run forgotten.
fn changes(before: &Seen, now: &Seen) -> Vec<Value> {
    let news = now
        .iter()
        .filter(|(what, entry)| before.get(*what) != Some(entry));
    let mut all: Vec<Value> = news
        .map(|(_, entry)| {
            let of_run = entry.get("Resource").is_none();
            let what = if of_run { "Run" } else { opening(entry) };
            changed(what, entry)
        })
        .collect();
    let gone = before.iter().filter(|(what, _)| !now.contains_key(*what));
    all.extend(gone.map(|(_, entry)| {
        let what = match entry.get("Resource") {
            None => "Forgotten",
            Some(_) if is_closed(entry) => "Verified",
            Some(_) => "Closed",
        };
        changed(what, entry)
    }));
    all
}

fn opening(entry: &Value) -> &'static str {
    if is_closed(entry) { "Closed" } else { "Opened" }
}

/// Returns whether an opening is closed, and only waits to be verified by a sweep.
fn is_closed(entry: &Value) -> bool {
    text(entry, "Now") == CLOSED
}

fn changed(what: &str, entry: &Value) -> Value {
    let mut told = entry.clone();
    told["Change"] = json!(what);
    told
}

/// Returns the exit code of a run that has ended, once nothing of it is open.
fn ended(book: &Book, run: Option<&str>) -> Option<u8> {
    let run = book
        .runs
        .iter()
        .find(|known| Some(known.run.as_str()) == run)?;
    let closed = book.open(Some(&run.run)).iter().all(is_closed);
    // The run of a share stays live after `unshare`: the next share of the AMI is the same run.
    let over = match run.kind {
        Kind::Share => run.result.is_some(),
        Kind::Copy | Kind::Kept => run.status == RunStatus::Ended,
    };
    let over = over && closed;
    over.then(|| {
        if status_of(run) == "Succeeded" {
            DONE
        } else {
            FAILED
        }
    })
}

fn show(output: Output, at: &str, change: &Value) -> Result<(), Failure> {
    let mut told = change.clone();
    told["At"] = json!(at);
    if matches!(output, Output::Json | Output::Jsonl) {
        return print::json_line(&told);
    }
    let cells = [
        at.to_owned(),
        text(change, "Change").to_lowercase(),
        subject(change),
    ];
    match output {
        Output::Text => print::line(tabbed(&cells)),
        _ => print::line(format!("{}  {:8} {}", cells[0], cells[1], cells[2])),
    }
}

fn subject(change: &Value) -> String {
    let run = text(change, "RunId");
    if change.get("Resource").is_none() {
        return format!(
            "{run} {} of {}",
            text(change, "Status"),
            text(change, "SourceImageId")
        );
    }
    let because = if run.is_empty() {
        String::new()
    } else {
        format!(" by {run}")
    };
    format!(
        "{} to {}{because}",
        text(change, "Resource"),
        principals(change)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(to: &str) -> (String, Value) {
        (
            format!("snap-1 run {to}"),
            json!({"Resource": "snap-1", "RunId": "run", "To": [to]}),
        )
    }

    #[test]
    fn each_change_is_told_once() {
        let run = |status: &str| ("run".to_owned(), json!({"RunId": "run", "Status": status}));
        let first: Seen = [run("Live"), open("222222222222")].into();
        let second: Seen = [run("Ended"), open("333333333333")].into();
        let words = |before: &Seen, now: &Seen| -> Vec<String> {
            let changes = changes(before, now).into_iter();
            changes.map(|change| text(&change, "Change")).collect()
        };
        assert_eq!(words(&Seen::new(), &first), ["Run", "Opened"]);
        let mut closed = first.clone();
        let (what, mut entry) = open("222222222222");
        entry["Now"] = json!(CLOSED);
        closed.insert(what, entry);
        assert_eq!(words(&first, &closed), ["Closed"]);
        let only_run: Seen = [run("Live")].into();
        assert_eq!(words(&closed, &only_run), ["Verified"]);
        assert_eq!(words(&first, &second), ["Run", "Opened", "Closed"]);
        assert_eq!(words(&second, &second), Vec::<String>::new());
        assert_eq!(words(&second, &Seen::new()), ["Forgotten", "Closed"]);
    }
}
