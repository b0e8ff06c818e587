use super::*;

const NOW: i64 = 1_800_000_000;

fn image(n: u8) -> ImageId {
    ImageId::parse(&format!("ami-{n:017x}")).unwrap()
}

fn history(images: &[u8]) -> Vec<ParameterVersion> {
    let numbered = (1..).zip(images);
    let version = |(number, n): (i64, &u8)| ParameterVersion {
        number,
        value: image(*n).to_string(),
        data_type: AMI_TYPE.to_owned(),
    };
    numbered.map(version).collect()
}

#[test]
fn a_parameter_is_written_once_and_never_after_somebody_moved_it_on() {
    let write = |typed| ParameterStep::Write { typed };
    assert_eq!(parameter_step(&[], &image(1)), write(true));
    assert_eq!(parameter_step(&history(&[1, 2]), &image(3)), write(true));
    let mut texts = history(&[1]);
    texts[0].data_type = "text".to_owned();
    assert_eq!(parameter_step(&texts, &image(3)), write(false));
    let done = |version, former: Option<u8>| {
        ParameterStep::Done(PublishedParameter {
            version,
            former: former.map(image),
        })
    };
    assert_eq!(
        parameter_step(&history(&[1, 2]), &image(2)),
        done(2, Some(1))
    );
    // A call that was repeated has written the same value twice.
    assert_eq!(
        parameter_step(&history(&[1, 2, 2]), &image(2)),
        done(3, Some(1))
    );
    assert_eq!(parameter_step(&history(&[2]), &image(2)), done(1, None));
    let moved = ParameterStep::MovedOn(image(3).to_string());
    assert_eq!(parameter_step(&history(&[1, 2, 3]), &image(2)), moved);
}

fn tokens() -> Vec<String> {
    ["a", "b", "c"].map(str::to_owned).to_vec()
}

fn running(token: &str, checks: [&str; 2]) -> TestInstance {
    let [instance, system] = checks.map(str::to_owned);
    TestInstance {
        id: format!("i-{token}"),
        group: None,
        token: token.to_owned(),
        state: "running".to_owned(),
        reason: None,
        launched: NOW - 60,
        checks: Some((instance, system)),
    }
}

fn ended(token: &str, code: &str) -> TestInstance {
    TestInstance {
        state: "terminated".to_owned(),
        reason: Some((code.to_owned(), "said".to_owned())),
        ..running(token, ["ok", "ok"])
    }
}

#[test]
fn a_launch_test_ends_by_its_checks_its_age_or_the_end_of_its_instance() {
    let step = |instances: &[TestInstance]| test_step(&tokens(), instances, NOW);
    assert_eq!(step(&[]), TestStep::Launch("a".to_owned()));
    assert_eq!(step(&[running("a", ["ok", "ok"])]), TestStep::Passed);
    assert_eq!(
        step(&[running("a", ["ok", "initializing"])]),
        TestStep::Wait
    );
    let failed = |instances: &[TestInstance], words: &str| {
        let TestStep::Failed(why) = step(instances) else {
            panic!("{instances:?}");
        };
        assert!(why.contains(words), "{why}");
    };
    failed(
        &[running("a", ["impaired", "ok"])],
        "instance status impaired",
    );
    failed(
        &[ended("a", "Client.InternalError")],
        "Client.InternalError: said",
    );
    let mut old = running("a", ["initializing", "ok"]);
    old.launched = NOW - LONGEST_TEST - 1;
    failed(&[old], "15 minutes");
}

#[test]
fn an_instance_that_a_dead_process_terminated_is_followed_by_another_a_few_times() {
    let step = |instances: &[TestInstance]| test_step(&tokens(), instances, NOW);
    let mut instances = Vec::new();
    for (token, next) in [("a", "b"), ("b", "c")] {
        instances.push(ended(token, BY_CALL));
        assert_eq!(step(&instances), TestStep::Launch(next.to_owned()));
    }
    instances.push(ended("c", BY_CALL));
    assert!(matches!(step(&instances), TestStep::Failed(_)));
}

#[test]
fn a_version_of_a_launch_template_tells_the_default_before_it() {
    let words = version_words("0123456789abcdef", 12);
    assert_eq!(default_before(&words), Some(12));
    assert_eq!(default_before("by hand, version 3"), None);
}
