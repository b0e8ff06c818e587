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
