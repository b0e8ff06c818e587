//! `runs`, `status` and `receipt`: the ledger, read and left as it is.

use amiferry::ledger::{Kind, Principals, Receipt, Record, Run, RunStatus, readable, short_name};
use serde_json::{Value, json};

use crate::arguments::{self, Globals, Ledger};
use crate::failure::{DONE, Failure};
use crate::print::{List, text};
use crate::session::Session;

/// The state of an opening that is closed, until a sweep reads it back.
pub(super) const CLOSED: &str = "closed, not verified yet";

/// All runs and resources of the ledger.
pub(super) struct Book {
    /// The runs.
    pub runs: Vec<Run>,
    records: Vec<Record>,
}

impl Book {
    /// Returns what is open now, of one run or of all, and what was open before any run.
    pub(super) fn open(&self, run: Option<&str>) -> Vec<Value> {
        let mut entries = Vec::new();
        for record in &self.records {
            let of_runs = entries_of(self, record).into_iter();
            entries.extend(of_runs.filter(|e| run.is_none_or(|run| e["RunId"] == run)));
            if run.is_none() {
                entries.extend(before(record));
            }
        }
        entries
    }

    /// Refuses a run that the ledger does not know.
    pub(super) fn knows(&self, run: Option<&str>) -> Result<(), Failure> {
        match run {
            Some(run) if !self.runs.iter().any(|known| known.run == run) => Err(unknown(run)),
            _ => Ok(()),
        }
    }
}

/// Lists the runs, the latest first.
pub async fn runs(globals: &Globals, args: &Ledger) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, args).await?;
    let aws = session.aws();
    let mut runs = aws.all_runs().await?.to_vec();
    runs.sort_by_key(|run| std::cmp::Reverse((run.since, run.run.clone())));
    let mut list = List::new(&[
        "RUN", "STATUS", "KIND", "IMAGE", "REGION", "TARGETS", "SINCE", "ASKED BY",
    ]);
    for run in &runs {
        list.add(row_of_run(run), json!(run));
    }
    list.print(
        globals.output,
        &json!({"Runs": runs}),
        "The ledger has no runs.",
    )?;
    Ok(DONE)
}

fn row_of_run(run: &Run) -> Vec<String> {
    vec![
        run.run.clone(),
        status_of(run),
        format!("{:?}", run.kind),
        run.source_image_id.clone(),
        run.source_region.clone(),
        (run.targets.len() + run.audience.len()).to_string(),
        readable(run.since),
        run.asked_by.clone(),
    ]
}

/// Returns the result of a run that has one, else its status.
pub(super) fn status_of(run: &Run) -> String {
    let result = run.result.as_ref().map(|result| text(result, "Status"));
    match (run.status, result) {
        (RunStatus::Ended, Some(result)) if !result.is_empty() => result,
        (RunStatus::Ended, _) => "Ended".to_owned(),
        (RunStatus::Closing, _) => "Closing".to_owned(),
        (RunStatus::Live, Some(result)) if run.kind == Kind::Share => result,
        (RunStatus::Live, _) => "Live".to_owned(),
    }
}

/// Shows what is open now.
pub async fn status(globals: &Globals, args: &arguments::Status) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, &args.ledger).await?;
    let book = read(&session).await?;
    book.knows(args.run.as_deref())?;
    let entries = book.open(args.run.as_deref());
    let mut list = List::new(&["RESOURCE", "NOW", "TO", "SINCE", "RUN", "IMAGE"]);
    for entry in &entries {
        let row = ["Resource", "Now", "To", "Since", "RunId", "SourceImageId"];
        let mut cells: Vec<String> = row.iter().map(|key| text(entry, key)).collect();
        cells[2] = principals(entry);
        list.add(cells, entry.clone());
    }
    let none = "Nothing is open.";
    list.print(globals.output, &json!({"Resources": entries}), none)?;
    Ok(DONE)
}

/// Prints the receipt of a run.
pub async fn receipt(globals: &Globals, args: &arguments::Receipt) -> Result<u8, Failure> {
    let session = Session::with_ledger(globals, &args.ledger).await?;
    let book = read(&session).await?;
    let run = book.runs.iter().find(|known| known.run == args.run);
    let run = run.ok_or_else(|| unknown(&args.run))?;
    let untold = book.records.iter().flat_map(|record| run.untold(record));
    let closed = run.receipt.iter().cloned().chain(untold);
    let mut entries: Vec<Value> = closed.map(|entry| Receipt::told(&entry)).collect();
    entries.extend(
        book.records
            .iter()
            .flat_map(|record| run.still_open(record)),
    );
    let mut list = List::new(&["RESOURCE", "WHAT", "TO", "OPENED", "CLOSED", "VERIFIED"]);
    for entry in &entries {
        list.add(row_of_receipt(entry), entry.clone());
    }
    let whole = json!({"RunId": run.run, "Status": status_of(run), "Receipt": entries});
    list.print(globals.output, &whole, "The run has opened nothing.")?;
    Ok(DONE)
}

fn row_of_receipt(entry: &Value) -> Vec<String> {
    let verified = &entry["Verified"];
    let open = verified["Open"]
        .as_array()
        .is_some_and(|open| !open.is_empty());
    let verified = match (text(verified, "At"), open) {
        (at, _) if at.is_empty() => "not yet".to_owned(),
        (at, true) => format!("{at}: was open still, closed then"),
        (at, false) => at,
    };
    let is_open = entry["ClosedAt"].is_null();
    let closed = if is_open {
        "open".to_owned()
    } else {
        text(entry, "ClosedAt")
    };
    let verified = if is_open { String::new() } else { verified };
    vec![
        text(entry, "Resource"),
        text(entry, "What"),
        principals(entry),
        text(entry, "OpenedAt"),
        closed,
        verified,
    ]
}

/// Reads the ledger.
pub(super) async fn read(session: &Session) -> Result<Book, Failure> {
    let aws = session.aws();
    let mut records = Vec::new();
    for resource in aws.open_resources().await? {
        records.extend(aws.opening_record(&resource).await?);
    }
    let runs = aws.all_runs().await?.to_vec();
    Ok(Book { runs, records })
}

fn unknown(run: &str) -> Failure {
    Failure::Usage(format!(
        "{run}: the ledger has no such run; amiferry runs lists them"
    ))
}

/// Returns what attempts of runs hold, are closing and have closed of one resource.
fn entries_of(book: &Book, record: &Record) -> Vec<Value> {
    let mut entries = Vec::new();
    for (attempt, holding) in &record.holders {
        if holding.principals.is_empty() {
            continue;
        }
        let now = match holding.kind {
            Kind::Copy => "open for a copy",
            Kind::Share => "shared",
            Kind::Kept => "open for ever",
        };
        let entry = entry(record, now, &holding.principals, holding.since);
        entries.push(of_run(book, entry, &attempt.run));
    }
    for (attempt, closing) in &record.closing {
        let entry = entry(record, "being closed", &closing.principals, closing.since);
        entries.push(of_run(book, entry, &attempt.run));
    }
    for (attempt, closed) in &record.closed {
        if !closed.principals.is_empty() {
            let entry = entry(record, CLOSED, &closed.principals, closed.at);
            entries.push(of_run(book, entry, &attempt.run));
        }
    }
    entries
}

/// Returns the permissions that were there before any run, or may have been.
fn before(record: &Record) -> Vec<Value> {
    let told = [
        ("open before any run", &record.before),
        ("open, unclear by whom", &record.unclear),
    ];
    let there = told
        .into_iter()
        .filter(|(_, principals)| !principals.is_empty());
    there
        .map(|(now, principals)| {
            let mut entry = entry(record, now, principals, 0);
            entry["Since"] = Value::Null;
            entry
        })
        .collect()
}

fn entry(record: &Record, now: &str, principals: &Principals, since: i64) -> Value {
    let mut entry = json!(principals);
    entry["Resource"] = json!(record.resource);
    entry["Region"] = json!(record.region);
    entry["AccountId"] = json!(record.account_id);
    entry["Now"] = json!(now);
    entry["Since"] = json!(readable(since));
    entry
}

fn of_run(book: &Book, mut entry: Value, run: &str) -> Value {
    entry["RunId"] = json!(run);
    if let Some(run) = book.runs.iter().find(|known| known.run == run) {
        entry["SourceImageId"] = json!(run.source_image_id);
        entry["AskedBy"] = json!(run.asked_by);
    }
    entry
}

/// Returns the accounts, organizations and units of an entry in words.
pub(super) fn principals(entry: &Value) -> String {
    let lists = ["Accounts", "Audience"]
        .iter()
        .filter_map(|key| entry[*key].as_array());
    let names: Vec<&str> = lists
        .flatten()
        .filter_map(Value::as_str)
        .map(short_name)
        .collect();
    names.join(" ")
}
