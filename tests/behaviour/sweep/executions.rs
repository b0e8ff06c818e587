//! Runs of state machines: an execution that lives keeps its run.

use super::*;

/// An execution keeps its openings however old they are, and no longer than it works.
#[tokio::test(start_paused = true)]
async fn openings_of_an_execution_stay_exactly_as_long_as_it_runs() {
    for (ended, status) in [(false, "RUNNING"), (true, "ABORTED"), (true, "SUCCEEDED")] {
        let sandbox = Sandbox::new(with_machine());
        started(&sandbox, "one").await;
        call(
            &sandbox,
            &json!({"Open": distribute(&TWO), "Execution": "one"}),
        )
        .await
        .expect("opens");
        tokio::time::sleep(Duration::from_hours(60)).await;
        if ended {
            assert!(sandbox.end_execution(MACHINE, "one", status));
        }
        let swept = sweep_with_machine(&sandbox).await.expect("sweeps");
        let count = |key: &str| swept[key].as_array().map_or(0, Vec::len);
        let expected = if ended { (1, 0) } else { (0, 1) };
        assert_eq!((count("Closed"), count("Alive")), expected, "{status}");
        assert_eq!(sandbox.grants(SOURCE_KEY).is_empty(), ended, "{status}");
    }
}

/// Two executions share one run, and the later one may use the openings of the earlier. Step
/// Functions forgets executions after ninety days; a forgotten execution counts as ended.
#[tokio::test(start_paused = true)]
async fn a_run_stays_open_until_its_last_execution_ends() {
    let sandbox = Sandbox::new(with_machine());
    started(&sandbox, "two").await;
    for execution in ["forgotten", "two"] {
        let event = json!({"Open": distribute(&TWO), "Execution": execution});
        call(&sandbox, &event).await.expect("opens");
    }
    let swept = sweep_with_machine(&sandbox).await.expect("sweeps");
    assert_eq!(swept["Alive"].as_array().map(Vec::len), Some(1), "{swept}");
    assert!(!sandbox.grants(SOURCE_KEY).is_empty());
    assert!(sandbox.end_execution(MACHINE, "two", "TIMED_OUT"));
    sweep_with_machine(&sandbox).await.expect("sweeps");
    assert_closed(&sandbox);
}

/// An execution whose state is unknown does not count as ended.
#[tokio::test(start_paused = true)]
async fn a_run_whose_execution_cannot_be_described_is_not_closed() {
    let sandbox = Sandbox::new(with_machine());
    started(&sandbox, "one").await;
    call(
        &sandbox,
        &json!({"Open": distribute(&TWO), "Execution": "one"}),
    )
    .await
    .expect("opens");
    sandbox.set_fault(|call| match call.operation.as_str() {
        "DescribeExecution" => Fault::Refuse {
            status: 400,
            code: "AccessDeniedException".to_owned(),
            message: "not you".to_owned(),
        },
        _ => Fault::None,
    });
    let error = sweep_with_machine(&sandbox).await.expect_err("is result");
    assert!(error.to_string().contains("DescribeExecution"), "{error}");
    assert!(!sandbox.grants(SOURCE_KEY).is_empty());
}

/// Returns a world in which the function has the stack's policy for executions.
fn with_machine() -> World {
    let mut world = slow_world(&TWO);
    let source = world
        .accounts
        .iter_mut()
        .find(|account| account.id == SOURCE);
    source.expect("it").roles = vec![function_role().policy(documented("Watch"))];
    world
}

async fn started(sandbox: &Sandbox, execution: &str) {
    let config = config_in(HOME, sandbox.http_client(), sandbox.time_source()).await;
    let started = aws_sdk_sfn::Client::new(&config)
        .start_execution()
        .state_machine_arn(MACHINE)
        .name(execution)
        .send();
    started.await.expect("starts");
}

async fn sweep_with_machine(sandbox: &Sandbox) -> Result<Value, Error> {
    let settings = Settings {
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    };
    Handler::new(
        config_in(HOME, sandbox.http_client(), sandbox.time_source()).await,
        settings,
    )
    .handle(&json!({"Sweep": {}}).to_string(), &invocation(sandbox))
    .await
}
