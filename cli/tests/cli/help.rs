//! Help, completions and manual pages, which the program makes from its definition.

use crate::stage::{Ended, program};

pub const VERBS: [&str; 22] = [
    "plan",
    "distribute",
    "share",
    "unshare",
    "resume",
    "verify",
    "preflight",
    "policies",
    "explain",
    "runs",
    "status",
    "watch",
    "receipt",
    "sweep",
    "retain",
    "promote",
    "rollback",
    "live-check",
    "sandbox",
    "schema",
    "completions",
    "man",
];

fn run(arguments: &[&str]) -> Ended {
    let home = tempfile::tempdir().expect("a folder");
    let output = program(home.path(), arguments).output();
    output.expect("the program runs").into()
}

#[test]
fn the_help_names_verbs_options_and_exit_codes() {
    let help = run(&["--help"]);
    assert_eq!(help.code, Some(0));
    insta::assert_snapshot!(help.stdout);
}

#[test]
fn the_help_of_a_verb_has_a_flag_for_each_key_of_its_request() {
    insta::assert_snapshot!(run(&["distribute", "-h"]).stdout);
    insta::assert_snapshot!(run(&["share", "-h"]).stdout);
}

#[test]
fn each_verb_has_an_entry_in_help_completions_and_manual() {
    let help = run(&["--help"]).stdout;
    let bash = run(&["completions", "bash"]).stdout;
    for verb in VERBS {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb}");
        assert!(bash.contains(&format!("amiferry,{verb})")), "{verb}");
        let page = run(&["man", verb]);
        assert!(
            page.stdout.contains(&format!(".TH amiferry-{verb} 1")),
            "{page:?}"
        );
    }
    let count = help
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let listed = count
        .take_while(|line| !line.trim_start().starts_with('-'))
        .count();
    assert_eq!(listed, VERBS.len() + 1, "{help}");
    assert!(run(&["man"]).stdout.contains(".TH amiferry 1"));
}

#[test]
fn no_line_of_help_is_wider_than_a_hundred_columns() {
    for verb in VERBS {
        for line in run(&[verb, "--help"]).stdout.lines() {
            assert!(line.chars().count() <= 100, "{verb}: {line}");
        }
    }
}
