//! Shares, plans, and what the ledger says of them.

use crate::stage::{BUCKET, IMAGE, Stage, TARGETS};

fn share<'a>(verb: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let first = [
        verb,
        "--image",
        IMAGE,
        "--target",
        "222222222222",
        "--target",
        "333333333333",
    ];
    first.iter().chain(more).copied().collect()
}

/// Returns the text with times and IDs of runs as words, so that it is the same each time.
fn steady(text: &str, run: &str) -> String {
    let year = |word: &str| word.len() == 20 && word.starts_with("20") && word.ends_with('Z');
    let line = |line: &str| {
        let words = line.split(' ');
        let words = words.map(|w| if year(w) { "2026-01-01T00:00:00Z" } else { w });
        words
            .collect::<Vec<_>>()
            .join(" ")
            .replace(run, "0123456789abcdef")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_shows_in_the_ledger_until_it_is_taken_back() {
    let stage = Stage::at_speed(500.0).await;
    let shared = stage.run(&share("share", &["--output", "json"])).await;
    assert_eq!(shared.code, Some(0), "{shared:?}");
    let run = shared.json()["Result"]["RunId"]
        .as_str()
        .expect("a run")
        .to_owned();

    let watched = stage.run(&["watch", &run, "--timeout", "1s"]).await;
    assert_eq!(watched.code, Some(4), "{watched:?}");
    let status = stage.run(&["status", &run]).await;
    insta::assert_snapshot!("status_of_a_share", steady(&status.stdout, &run));
    let runs = stage.run(&["runs"]).await;
    insta::assert_snapshot!("runs_with_a_share", steady(&runs.stdout, &run));
    let open = stage
        .run(&["receipt", &run, "--output", "json"])
        .await
        .json();
    let open = open["Receipt"].as_array().expect("a receipt");
    assert!(
        open.iter().all(|entry| entry["ClosedAt"].is_null()),
        "{open:?}"
    );

    let taken_back = stage.run(&share("unshare", &["--yes"])).await;
    assert_eq!(taken_back.code, Some(0), "{taken_back:?}");
    assert!(
        taken_back
            .stdout
            .contains("333333333333  us-west-2  Unshared"),
        "{taken_back:?}"
    );
    let receipt = stage.run(&["receipt", &run]).await;
    insta::assert_snapshot!("receipt_of_a_share", steady(&receipt.stdout, &run));
    let watched = stage.run(&["watch", &run, "--timeout", "20s"]).await;
    assert_eq!(watched.code, Some(0), "{watched:?}");
    let swept = stage.run(&["sweep"]).await;
    assert_eq!(swept.stdout, "Nothing to sweep.\n", "{swept:?}");
    let unknown = stage.run(&["receipt", "0000000000000000"]).await;
    assert_eq!(unknown.code, Some(252), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_shows_a_copy_until_it_is_there() {
    let stage = Stage::at_speed(500.0).await;
    let request: Vec<&str> = ["--image", IMAGE].iter().chain(&TARGETS).copied().collect();
    let with = |words: &[&'static str]| -> Vec<&str> {
        let first = words.iter().copied().filter(|word| !word.starts_with('-'));
        let rest = words.iter().copied().filter(|word| word.starts_with('-'));
        first.chain(request.iter().copied()).chain(rest).collect()
    };
    let before = stage.run(&with(&["plan", "--detailed-exitcode"])).await;
    assert_eq!(before.code, Some(2), "{before:?}");
    insta::assert_snapshot!("plan_before_a_distribution", before.stdout);
    assert!(stage.sandbox.objects(BUCKET).is_empty());

    let done = stage
        .run(&with(&["distribute", "--local", "--quiet"]))
        .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let after = stage
        .run(&with(&["plan", "--detailed-exitcode", "--output=json"]))
        .await;
    assert_eq!(after.code, Some(0), "{after:?}");
    assert_eq!(after.json()["Unchanged"], 2);

    let mut blocked = with(&["plan"]);
    blocked.extend(["--target", "333333333333=alias/missing"]);
    let blocked = stage.run(&blocked).await;
    assert_eq!(blocked.code, Some(1), "{blocked:?}");
    assert!(
        blocked.stdout.contains("\n! 333333333333 us-west-2\n"),
        "{blocked:?}"
    );
    assert!(
        blocked
            .stdout
            .contains("\nPlan: 2 there already, 1 blocked\n"),
        "{blocked:?}"
    );
}
