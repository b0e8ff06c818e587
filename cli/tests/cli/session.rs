//! The recorded session: from a plan to an interrupted and resumed distribution, a share and its
//! end.

use std::fmt::Write;
use std::process::Command;

use crate::pages::REQUEST;
use crate::stage::{Ended, IMAGE, Stage, begun, end_of, ended, interrupt, saved_with};
use crate::tables::shown;

/// At this speed the copies of the demo take twenty seconds, so that the resumed run meets them on
/// a slow machine too.
const SLOW: f64 = 13.0;
const SHARED: [&str; 4] = ["--image", IMAGE, "--target", "333333333333"];

/// Returns the program, with both of its outputs on the same screen.
fn command(stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = stage.program(arguments);
    command.current_dir(stage.home.path());
    command
}

/// Returns the output with equal times and IDs of copies, and without repeated lines of progress.
fn steady(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line
            .split(' ')
            .map(steady_word)
            .collect::<Vec<_>>()
            .join(" ");
        let target = line
            .split_once(" Copying ")
            .map(|(target, _)| target.to_owned());
        let repeats = |there: &String| {
            let before = there.split_once(" Copying ").map(|(target, _)| target);
            before.is_some() && before == target.as_deref()
        };
        if !lines.iter().any(repeats) {
            lines.push(line);
        }
    }
    lines.join("\n")
}

fn steady_word(word: &str) -> String {
    if word.len() == 20 && word.starts_with("20") && word.ends_with('Z') {
        return "2026-01-01T00:00:00Z".to_owned();
    }
    let bare = word.trim_end_matches([',', ':']);
    let of_source = bare == IMAGE || bare.starts_with("snap-0a1b2c3d4e5f607");
    for (kind, same) in [
        ("ami-", "ami-0123456789abcdef0"),
        ("snap-", "snap-0123456789abcdef0"),
    ] {
        if bare.starts_with(kind) && !of_source {
            return word.replace(bare, same);
        }
    }
    word.to_owned()
}

fn note(session: &mut String, arguments: &[&str], played: &Ended) {
    let shown = arguments.join(" ");
    let said = [steady(&played.stderr), steady(&played.stdout)];
    let said: Vec<String> = said.into_iter().filter(|text| !text.is_empty()).collect();
    let _ = writeln!(
        session,
        "```console\n$ amiferry {shown}\n{}\n```\n",
        said.join("\n")
    );
}

/// Plays a command to its end, with this exit code.
async fn play(stage: &Stage, session: &mut String, arguments: &[&str], code: i32) -> Ended {
    let played = ended(command(stage, arguments)).await;
    assert_eq!(played.code, Some(code), "{arguments:?}: {played:?}");
    note(session, arguments, &played);
    played
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_from_plan_to_receipt_is_the_one_of_the_page() {
    let stage = Stage::at_speed(SLOW).await;
    std::fs::write(stage.home.path().join("request.yaml"), REQUEST).expect("written");
    let mut session = String::new();
    let file = ["-f", "request.yaml"];
    let with = |verb: &[&'static str]| [verb, &file].concat();

    play(&stage, &mut session, &with(&["plan"]), 0).await;
    let distribute = with(&["distribute", "--local"]);
    let child = begun(command(&stage, &distribute));
    let (path, _) = saved_with(&stage, "State").await;
    interrupt(&child);
    let left = end_of(child).await;
    assert_eq!(left.code, Some(130), "{left:?}");
    note(&mut session, &distribute, &left);

    let run = path
        .file_stem()
        .and_then(|stem| stem.to_str())
        .expect("a run");
    play(&stage, &mut session, &["resume", run], 0).await;
    play(&stage, &mut session, &with(&["verify"]), 0).await;
    play(
        &stage,
        &mut session,
        &[["share"].as_slice(), &SHARED].concat(),
        0,
    )
    .await;
    play(&stage, &mut session, &["status"], 0).await;
    play(
        &stage,
        &mut session,
        &[["unshare"].as_slice(), &SHARED].concat(),
        0,
    )
    .await;
    play(&stage, &mut session, &["receipt", run], 0).await;
    play(&stage, &mut session, &["runs"], 0).await;
    shown("../docs/session.md", "session", &format!("\n{session}"));
}
