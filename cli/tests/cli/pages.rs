//! The documents: each command of theirs is run, and help is shown as it is.

use std::path::{Path, PathBuf};

use crate::stage::{Ended, Stage, ended, program, shell};
use crate::tables::shown;

pub const REQUEST: &str = "\
SourceImageId: ami-0a1b2c3d4e5f60718
Targets:
- {AccountId: \"222222222222\", KmsKeyId: alias/amis}
- {AccountId: \"444444444444\", Region: us-east-1, KmsKeyId: alias/amis}
";

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the pages with their paths.
fn pages() -> Vec<(PathBuf, String)> {
    let folders = [root(), root().join("docs")];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let paths = files.map(|file| file.expect("a file").path());
    let mut pages: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), std::fs::read_to_string(path).expect("a page")))
        .collect();
    pages.sort();
    pages
}

/// Returns the text between a fence of this kind and its end.
pub fn blocks<'a>(page: &'a str, kind: &str) -> Vec<&'a str> {
    let fence = format!("```{kind}\n");
    let begun = page.split(&fence).skip(1);
    begun
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

/// Plays the commands of a page in one shell, with the program on its path.
async fn played(stage: &Stage, script: &str) -> Ended {
    let program = Path::new(env!("CARGO_BIN_EXE_amiferry"));
    ended(shell(stage, program.parent().expect("a folder"), script)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_a_page_succeeds_in_its_order() {
    for (path, page) in pages() {
        let script = blocks(&page, "sh cli").join("\n");
        if script.is_empty() {
            continue;
        }
        let stage = Stage::at_speed(500.0).await;
        std::fs::write(stage.home.path().join("request.yaml"), REQUEST).expect("written");
        let ended = played(&stage, &script).await;
        assert_eq!(ended.code, Some(0), "{}: {ended:?}", path.display());
    }
}

#[test]
fn the_request_of_the_page_is_the_one_that_its_commands_read() {
    let page = std::fs::read_to_string(root().join("docs/cli.md")).expect("a page");
    assert_eq!(blocks(&page, "yaml request"), [REQUEST]);
}

#[test]
fn the_page_shows_the_help_of_the_program() {
    let home = tempfile::tempdir().expect("a folder");
    let help = |arguments: &[&str]| {
        let output = program(home.path(), arguments).output();
        Ended::from(output.expect("the program runs")).stdout
    };
    let whole = help(&["--help"]);
    shown(
        "../docs/cli.md",
        "help of the program",
        &format!("```text\n{whole}```\n"),
    );
    let verb = help(&["plan", "-h"]);
    let (_, flags) = verb
        .split_once("\nRequest ")
        .expect("the flags of a request");
    let (flags, _) = flags.split_once("\nGlobal ").expect("the global options");
    let (_, flags) = flags.split_once('\n').expect("a heading");
    shown(
        "../docs/cli.md",
        "flags of a request",
        &format!("```text\n{}\n```\n", flags.trim_end()),
    );
}

/// Returns the short help of a verb without the options that many verbs share.
fn own_help(verb: &str) -> String {
    let home = tempfile::tempdir().expect("a folder");
    let output = program(home.path(), &[verb, "-h"]).output();
    let help = Ended::from(output.expect("the program runs")).stdout;
    let mut shared = false;
    let mut lines = Vec::new();
    for line in help.lines() {
        if !line.starts_with(' ') && !line.is_empty() {
            shared = line.starts_with("Request ") || line.starts_with("Global options");
        }
        if !shared {
            lines.push(line.trim_end());
        }
    }
    lines.join("\n").trim().replace("\n\n\n", "\n\n")
}

#[test]
fn the_page_of_verbs_has_the_help_of_each() {
    for verb in crate::help::VERBS {
        let text = format!("```text\n{}\n```\n", own_help(verb));
        shown("../docs/verbs.md", verb, &text);
    }
}
