//! The local AWS that the program serves itself.

use std::io::{BufRead, BufReader};

use crate::stage::{IMAGE, begun, end_of, ended, interrupt, program};

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_serves_the_program_with_the_variables_that_it_prints() {
    let home = tempfile::tempdir().expect("a folder");
    let serve = ["sandbox", "--port", "0", "--speed", "500"];
    let mut child = begun(program(home.path(), &serve));
    let stdout = child.stdout.take().expect("a pipe");
    let mut lines = BufReader::new(stdout)
        .lines()
        .map(|line| line.expect("a line"));
    let mut variables = Vec::new();
    while variables.len() < 5 {
        let line = lines.next().expect("five variables");
        let (name, value) = line
            .strip_prefix("export ")
            .and_then(|set| set.split_once('='))
            .expect("a variable");
        variables.push((name.to_owned(), value.to_owned()));
    }
    let target = "222222222222=alias/amis";
    let mut plan = program(home.path(), &["plan", "--image", IMAGE, "--target", target]);
    let planned = ended({
        plan.envs(variables);
        plan
    })
    .await;
    assert_eq!(planned.code, Some(0), "{planned:?}");
    assert!(
        planned.stdout.contains("+ 222222222222 us-west-2"),
        "{planned:?}"
    );
    interrupt(&child);
    let served = end_of(child).await;
    assert_eq!(served.code, Some(0), "{served:?}");

    let nowhere = ended(program(
        home.path(),
        &["sandbox", "--world", "/nowhere.toml"],
    ))
    .await;
    assert_eq!(nowhere.code, Some(252), "{nowhere:?}");
    assert!(nowhere.stderr.contains("/nowhere.toml"), "{nowhere:?}");
}
