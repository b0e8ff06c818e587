//! The program at a terminal: a pseudo-terminal that `script` makes.

use std::process::Command;

use crate::stage::{IMAGE, Stage, TARGETS, ended};

/// Returns the bytes that the program sends to a terminal of so many columns.
async fn at_terminal(stage: &Stage, columns: u16, arguments: &[&str]) -> Vec<u8> {
    let own = stage.program(arguments);
    let words: Vec<String> = std::iter::once(own.get_program())
        .chain(own.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let typescript = stage.home.path().join("typescript");
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--flush", "--command"])
        .arg(format!("stty cols {columns} rows 24; {}", words.join(" ")))
        .arg(&typescript)
        .env_clear()
        .envs(
            own.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm");
    let played = ended(script).await;
    assert_eq!(played.code, Some(0), "{played:?}");
    std::fs::read(typescript).expect("a typescript")
}

/// Returns the text of a screen after these bytes.
fn screen(columns: u16, bytes: &[u8]) -> String {
    let mut parser = vt100::Parser::new(60, columns, 0);
    parser.process(bytes);
    parser.screen().contents()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_shows_each_target_and_then_results_alone() {
    let stage = Stage::at_speed(100.0).await;
    let first = ["distribute", "--local", "--image", IMAGE];
    let arguments: Vec<&str> = first.iter().chain(&TARGETS).copied().collect();
    let bytes = at_terminal(&stage, 80, &arguments).await;
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("222222222222 us-west-2  Copying"), "{text:?}");
    assert!(
        !text.contains("0/100"),
        "no bar without its target: {text:?}"
    );
    let screen = screen(80, &bytes);
    assert!(
        screen.contains("\nACCOUNT       REGION     STATUS     IMAGE\n"),
        "{screen}"
    );
    assert!(!screen.contains("Copying"), "{screen}");
}

/// The verbs that look, after a distribution and a share.
const LOOKS: [&[&str]; 10] = [
    &["plan"],
    &["preflight"],
    &["verify"],
    &["runs"],
    &["status"],
    &["receipt"],
    &["sweep"],
    &["retain", "--lineage", "golden-*", "--keep-newest", "1"],
    &["explain", "Given key ID is not accessible"],
    &["unshare", "--no-progress"],
];

#[tokio::test(flavor = "multi_thread")]
async fn every_verb_keeps_to_the_columns_of_its_terminal_and_says_the_same_in_a_pipe() {
    let stage = Stage::at_speed(500.0).await;
    let request = [&["--image", IMAGE], TARGETS.as_slice()].concat();
    let arguments = [["distribute", "--local"].as_slice(), &request].concat();
    assert_eq!(stage.run(&arguments).await.code, Some(0));
    let shared = ["--image", IMAGE, "--target", "333333333333"];
    let done = stage.run(&[["share"].as_slice(), &shared].concat()).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let runs = stage.run(&["runs", "--output", "text"]).await.stdout;
    let run = runs.split('\t').next().expect("a run").to_owned();
    for verb in LOOKS {
        let arguments = match verb[0] {
            "plan" | "preflight" | "verify" => [verb, &request].concat(),
            "unshare" => [verb, &shared, &["--yes"]].concat(),
            "receipt" => [verb, &[run.as_str()]].concat(),
            "retain" => [verb, &["--target-account-ids", "222222222222"]].concat(),
            _ => verb.to_vec(),
        };
        let piped = stage.run(&arguments).await;
        assert_eq!(piped.code, Some(0), "{arguments:?}: {piped:?}");
        assert!(!piped.stdout.contains('\u{1b}'), "{arguments:?}: {piped:?}");
        for columns in [80, 200] {
            let bytes = at_terminal(&stage, columns, &arguments).await;
            let text = String::from_utf8_lossy(&bytes);
            let lines = lines_of(&text);
            let widest = lines.iter().map(|line| line.chars().count()).max();
            assert!(
                widest <= Some(usize::from(columns)),
                "{arguments:?}: {text}"
            );
            // Times differ, and the terminal breaks its lines elsewhere.
            let words = |text: &str| text.split_whitespace().count();
            let (here, there) = (words(&lines.join(" ")), words(&piped.stdout));
            assert!(here >= there, "{arguments:?}: {text}\n{piped:?}");
        }
    }
}

/// Returns the lines of a typescript, without colors and without the lines of `script`.
fn lines_of(text: &str) -> Vec<String> {
    let color = regex_lite::Regex::new("\u{1b}\\[[0-9;?]*[a-zA-Z]").expect("a pattern");
    let plain = color.replace_all(text, "");
    let lines = plain.lines().filter(|line| !line.starts_with("Script "));
    lines.map(|line| line.trim_end().to_owned()).collect()
}
