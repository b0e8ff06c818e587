//! `live-check`: tries on AWS what no emulator can prove, and removes all that it made.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use amiferry::digest::digest;
use amiferry::ids::Region;
use serde_json::json;

use super::distribute::confirmed;
use crate::arguments::{Globals, LiveCheck, Output};
use crate::failure::{DONE, FAILED, Failure};
use crate::interrupt::Interrupt;
use crate::live_check::cleaning::Cleaned;
use crate::live_check::fact::Row;
use crate::live_check::facts::Course;
use crate::live_check::party::Party;
use crate::live_check::report::Report;
use crate::live_check::scene::{Check, Scene};
use crate::print::{self, List, note, text};
use crate::session::{configured, find_credentials, region_of};

/// Tries every fact, or cleans up after a check that could not.
pub async fn live_check(globals: &Globals, args: &LiveCheck) -> Result<u8, Failure> {
    let check = prepare(globals, args).await?;
    if args.clean_up.is_some() {
        return cleaned_up(globals, &check).await;
    }
    announce(globals, args, &check)?;
    let mut interrupt = Interrupt::listen();
    let mut rows = Vec::new();
    let ended = tokio::select! {
        ended = tried(globals, args, &check, &mut rows) => ended,
        () = interrupt.pressed() => Err(Failure::Interrupted("Ctrl-C".to_owned())),
    };
    note(globals, "removing what the check made");
    let cleaned = check.clean_up().await;
    let report = Report {
        check: &check,
        rows: &rows,
        cleaned: &cleaned,
        ended: ended.as_ref().err().map(ToString::to_string),
    };
    let file = file_of(args, &check);
    write(&file, &report.file())?;
    show(globals.output, &report)?;
    note(globals, format!("report: {}", file.display()));
    for left in &cleaned.left {
        note(globals, format!("left: {left}"));
    }
    ended?;
    Ok(if report.is_good() { DONE } else { FAILED })
}

/// Finds both accounts, and names the check.
async fn prepare(globals: &Globals, args: &LiveCheck) -> Result<Check, Failure> {
    let source = party(globals, globals.profile.as_deref()).await?;
    let home = region_of(source.config())?;
    let wrong = |words: String| Err(Failure::Usage(words));
    if let Err(problem) = Region::parse(&args.other_region) {
        return wrong(format!("--other-region: {problem}"));
    }
    if args.other_region == home.as_str() {
        return wrong(format!(
            "--other-region: is {home} like --region; name another"
        ));
    }
    let target = party(globals, Some(&args.target_profile)).await?;
    if target.account == source.account {
        let account = &source.account;
        return wrong(format!(
            "--target-profile: is of {account} too; name another account"
        ));
    }
    Ok(Check {
        id: args.clean_up.clone().unwrap_or_else(new_id),
        source,
        target,
        partition: home.partition(),
        home: home.to_string(),
        other: args.other_region.clone(),
        patience: args.patience,
    })
}

async fn party(globals: &Globals, profile: Option<&str>) -> Result<Party, Failure> {
    let config = configured(globals, profile).await;
    find_credentials(&config).await?;
    Ok(Party::of(config).await?)
}

/// Returns an ID that no other check has.
fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_nanos().to_string();
    digest([now.as_str(), &std::process::id().to_string()])[..12].to_owned()
}

/// Says what will be made, what it costs and how it is removed if this process dies, and asks.
fn announce(globals: &Globals, args: &LiveCheck, check: &Check) -> Result<(), Failure> {
    let (source, target) = (&check.source.account, &check.target.account);
    note(
        globals,
        format!(
            "live check {}: makes an encrypted AMI of 1 GiB, a key and a bucket in {source}, and \
             copies, two keys and a role in {target}, in {} and {}, and removes them. It takes \
             about half an hour and costs less than 0.10 USD{}.\n\
             If this process dies: amiferry live-check --clean-up {} with the same profiles and \
             Regions.",
            check.id,
            check.home,
            check.other,
            if args.billed_image.is_some() {
                ", and the storage of the billed image for that time"
            } else {
                ""
            },
            check.id,
        ),
    );
    confirmed(globals, "Go on?")
}

async fn tried(
    globals: &Globals,
    args: &LiveCheck,
    check: &Check,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    let told = |words: &str| note(globals, words);
    let scene = Scene::make(check, &told).await?;
    let mut course = Course::begin(&scene, args.billed_image.as_deref(), rows).await?;
    course.run(&told).await?;
    Ok(())
}

async fn cleaned_up(globals: &Globals, check: &Check) -> Result<u8, Failure> {
    let cleaned = check.clean_up().await;
    let mut list = List::new(&["WHAT", "DONE"]);
    for (things, done) in [(&cleaned.removed, "removed"), (&cleaned.left, "left")] {
        for thing in things {
            let row = vec![thing.clone(), done.to_owned()];
            list.add(row, json!({"What": thing, "Done": done}));
        }
    }
    let whole = json!({"Removed": cleaned.removed, "Left": cleaned.left});
    list.print(globals.output, &whole, "Nothing to remove.")?;
    Ok(code_of(&cleaned))
}

fn code_of(cleaned: &Cleaned) -> u8 {
    if cleaned.left.is_empty() {
        DONE
    } else {
        FAILED
    }
}

fn file_of(args: &LiveCheck, check: &Check) -> PathBuf {
    let usual = || PathBuf::from(format!("{}.md", check.name()));
    args.report.clone().unwrap_or_else(usual)
}

fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let written = std::fs::write(file, text);
    written.map_err(|e| Failure::Failed(format!("{}: {e}", file.display())))
}

fn show(output: Output, report: &Report<'_>) -> Result<(), Failure> {
    let whole = report.to_json();
    let mut list = List::new(&["FACT", "HELD", "SEEN"]);
    for row in report.rows {
        let object = row.to_json();
        let cells = vec![text(&object, "Fact"), text(&object, "Held"), row.words()];
        list.add(cells, object);
    }
    list.print(output, &whole, "No fact was tried.")?;
    if output == Output::Table {
        let left = &report.cleaned.left;
        print::line(format!(
            "\nRemoved: {}, left: {}",
            report.cleaned.removed.len(),
            left.len()
        ))?;
    }
    Ok(())
}
