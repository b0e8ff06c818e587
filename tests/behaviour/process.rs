//! The compiled function under a Lambda Runtime API, over HTTP, and killed there for real.

use std::io::{Read, Seek};
use std::process::Stdio;
use std::time::Duration;

use amiferry_sandbox::{Sandbox, Server};
use lambda_simulator::{InvocationBuilder, InvocationStatus, Simulator};
use serde_json::{Value, json};

use crate::support::*;

struct Lambda {
    simulator: Simulator,
    log: std::fs::File,
    process: std::process::Child,
}

impl Lambda {
    /// Starts the compiled function as Lambda does, configured by its environment.
    async fn start(server: &Server) -> Self {
        let simulator = Simulator::builder()
            .function_name("amiferry")
            .region(HOME)
            .account_id(SOURCE)
            .build()
            .await
            .expect("starts");
        let log = tempfile::tempfile().expect("a temporary file");
        let process = std::process::Command::new(env!("CARGO_BIN_EXE_bootstrap"))
            .env_clear()
            .env(
                "AWS_LAMBDA_RUNTIME_API",
                simulator.runtime_api_url().trim_start_matches("http://"),
            )
            .env("AWS_LAMBDA_FUNCTION_NAME", "amiferry")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
            .env("AWS_LAMBDA_LOG_GROUP_NAME", "log")
            .env("AWS_LAMBDA_LOG_STREAM_NAME", "log")
            .env("AWS_REGION", HOME)
            .env("AMIFERRY_BUCKET", BUCKET)
            .env("AMIFERRY_METRICS", "amiferry")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNNPRODUCER")
            .env("AWS_SECRET_ACCESS_KEY", "producer-secret")
            .env("AWS_ENDPOINT_URL", format!("http://{}", server.addr()))
            .stdout(Stdio::from(log.try_clone().expect("a second handle")))
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        Self {
            simulator,
            log,
            process,
        }
    }

    /// Returns all lines that the process has logged.
    fn logged(&mut self) -> String {
        let mut text = String::new();
        self.log.rewind().expect("rewinds");
        self.log.read_to_string(&mut text).expect("text");
        text
    }

    async fn invoke(&self, payload: Value) -> String {
        let arn = FUNCTION.to_owned();
        let invocation = InvocationBuilder::new()
            .payload(payload)
            .timeout_ms(60_000)
            .function_arn(arn)
            .build()
            .expect("an invocation");
        self.simulator.enqueue(invocation).await
    }

    /// Returns the reply or the error of an invocation.
    async fn reply(&self, payload: Value) -> Result<Value, (String, String)> {
        let id = self.invoke(payload).await;
        let state = self
            .simulator
            .wait_for_invocation_complete(&id, Duration::from_secs(55))
            .await
            .expect("completes");
        if state.status == InvocationStatus::Success {
            return Ok(state.response.expect("a reply").payload);
        }
        let error = state.error.expect("an error");
        Err((error.error_type, error.error_message))
    }
}

impl Drop for Lambda {
    fn drop(&mut self) {
        // The test may have killed the process already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn to_the_end(lambda: &Lambda, mut event: Value) -> Value {
    loop {
        let reply = lambda.reply(event).await.expect("a good call has a reply");
        if reply["Status"] != "Continue" {
            return reply;
        }
        tokio::time::sleep(Duration::from_secs(reply["WaitSeconds"].as_u64().unwrap())).await;
        event = json!({"State": reply["State"]});
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_continues_after_its_process_is_killed_without_loss_or_duplicate() {
    let sandbox = Sandbox::new(world(&FOUR).speed(30.0));
    let server = sandbox
        .serve(([127, 0, 0, 1], 0).into())
        .await
        .expect("a free port");
    let mut first = Lambda::start(&server).await;
    first.invoke(distribute(&FOUR)).await;
    // The source is open by now, and some copies have begun.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while calls(&sandbox, "CopySnapshot") < 3 {
        assert!(std::time::Instant::now() < deadline, "no copies begun");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    first.process.kill().expect("SIGKILL");
    first.process.wait().expect("dead");
    assert!(
        !sandbox.grants(SOURCE_KEY).is_empty(),
        "killed while the source was open"
    );
    let mut second = Lambda::start(&server).await;
    let reply = to_the_end(&second, distribute(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &FOUR);
    assert_closed(&sandbox);
    let log = second.logged();
    assert!(
        log.contains("planned") && log.contains("222222222222"),
        "{log}"
    );
    for secret in ["producer-secret", "AKIAIOSFODNNPRODUCER", "ASIA"] {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

/// Returns the lines of the log that CloudWatch makes metrics of.
fn metrics(log: &str) -> Vec<Value> {
    let lines = log.lines().filter(|line| line.contains("\"_aws\""));
    lines
        .map(|line| serde_json::from_str(line).expect("one JSON object to a line"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_and_sweeps_write_their_metrics_into_the_log() {
    let sandbox = Sandbox::new(world(&TWO).speed(100.0));
    let server = sandbox
        .serve(([127, 0, 0, 1], 0).into())
        .await
        .expect("a free port");
    let mut lambda = Lambda::start(&server).await;
    let reply = to_the_end(&lambda, distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    // An opening of three hours ago, whose attempt was seen a moment ago.
    let time = |hours: u64| {
        let at = sandbox.now() - Duration::from_hours(hours);
        let at = aws_smithy_types::DateTime::from(at);
        let form = aws_smithy_types::date_time::Format::DateTime;
        at.fmt(form).expect("in range")
    };
    let holder = json!({"Kind": "Copy", "Since": time(3), "Latest": time(0),
        "Accounts": ["222222222222"]});
    let record = json!({"Schema": 1, "Revision": 1, "Resource": ROOT, "Region": HOME,
        "AccountId": SOURCE, "Before": {}, "Holders": {"0123456789abcdef.1": holder},
        "Closing": {}, "Closed": {}});
    let key = format!("openings/{ROOT}.json");
    sandbox.edit(|aws| assert!(aws.put_object(BUCKET, &key, record.to_string())));
    to_the_end(&lambda, json!({"Sweep": {}})).await;
    let lines = metrics(&lambda.logged());
    let [run, sweep] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(
        (&run["TargetsSucceeded"], &run["TargetsFailed"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(run["FunctionName"], "amiferry");
    assert_eq!(
        (&sweep["Sweeps"], &sweep["Openings"]),
        (&json!(1), &json!(1))
    );
    let oldest = sweep["OldestOpeningSeconds"].as_i64().expect("a number");
    assert!((3 * 3600..4 * 3600).contains(&oldest), "{oldest}");
}

/// A state machine's `Retry` and `Catch` see these names.
#[tokio::test(flavor = "multi_thread")]
async fn errors_reach_the_runtime_api_with_their_names() {
    let sandbox = Sandbox::new(world(&TWO));
    let server = sandbox
        .serve(([127, 0, 0, 1], 0).into())
        .await
        .expect("a free port");
    let lambda = Lambda::start(&server).await;
    let cases = [
        (json!({}), "InvalidRequest"),
        (json!({"State": {"Schema": 99}}), "InvalidState"),
        (
            json!({"Distribute": {"SourceImageId": "ami-00000000000000000",
                "Targets": [{"AccountId": "222222222222"}]}}),
            "SourceNotFound",
        ),
    ];
    for (payload, name) in cases {
        let (kind, message) = lambda.reply(payload).await.expect_err("must fail");
        assert_eq!(kind, name, "{message}");
    }
}
