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
    let screen = screen(80, &bytes);
    assert!(
        screen.contains("\nACCOUNT       REGION     STATUS     IMAGE\n"),
        "{screen}"
    );
    assert!(!screen.contains("Copying"), "{screen}");

    for columns in [80, 200] {
        let bytes = at_terminal(&stage, columns, &["runs"]).await;
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| !line.starts_with("Script "));
        let widest = lines.map(|line| line.trim_end().chars().count()).max();
        assert!(
            widest.is_some_and(|widest| widest <= usize::from(columns)),
            "{text}"
        );
    }
}
