//! The deployed stack, known by its outputs, and the executions of its state machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amiferry::aws::refusal;
use amiferry::error::Place;
use amiferry::ledger::RunStatus;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_sfn::operation::describe_execution::DescribeExecutionOutput;
use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::arguments::Globals;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::saved::Saved;
use crate::session::Session;

/// Between two looks at an execution.
const LOOK: Duration = Duration::from_secs(3);
/// Looks that fail in a row before a person is told.
const MOST_FAILURES: u32 = 5;
/// The ends of a run that an execution fails with.
const ENDS: [&str; 3] = ["PartiallySucceeded", "Failed", "Stuck"];

/// The outputs of the stack.
#[derive(Debug)]
pub struct Outputs {
    /// The bucket of the ledger.
    pub bucket: String,
    /// The ARN of the state machine.
    pub machine: String,
}

impl Session {
    /// Reads the outputs of the stack.
    pub async fn outputs(&self, stack: &str) -> Result<Outputs, Failure> {
        let client = aws_sdk_cloudformation::Client::new(&self.config);
        let answer = client.describe_stacks().stack_name(stack).send().await;
        let answer = answer.map_err(|e| {
            let said = refusal("DescribeStacks", &self.place(), stack, &e);
            if said.code == "ValidationError" {
                return Failure::Usage(format!(
                    "--stack: {} has no stack {stack}: deploy it, name another by --stack or \
                     AMIFERRY_STACK, or give --bucket",
                    self.region
                ));
            }
            said.into()
        })?;
        let stacks = answer.stacks();
        let outputs = stacks.iter().flat_map(Stack::outputs);
        let output = |key: &str| {
            let found = outputs
                .clone()
                .find(|output| output.output_key() == Some(key));
            let value = found.and_then(|output| output.output_value());
            value.map(str::to_owned).ok_or_else(|| {
                let said =
                    format!("--stack: {stack} has no output {key}; is it a stack of amiferry?");
                Failure::Usage(said)
            })
        };
        Ok(Outputs {
            bucket: output("BucketName")?,
            machine: output("StateMachineArn")?,
        })
    }

    /// Starts an execution for a request, and returns its ARN. The execution's name begins with the
    /// run.
    pub async fn start(&self, machine: &str, run: &str, words: &Value) -> Result<String, Failure> {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let client = aws_sdk_sfn::Client::new(&self.config);
        let started = client
            .start_execution()
            .state_machine_arn(machine)
            .name(format!("{run}-{}", since.as_secs()))
            .input(json!({"Distribute": words}).to_string())
            .send()
            .await;
        match started {
            Ok(started) => Ok(started.execution_arn().to_owned()),
            Err(e) => Err(refusal("StartExecution", &self.place(), machine, &e).into()),
        }
    }

    fn place(&self) -> Place {
        Place {
            account: "the source account".to_owned(),
            region: self.region.to_string(),
        }
    }
}

/// Follows an execution to its end, and returns a reply as the engine gives it in this process.
pub async fn follow(
    globals: &Globals,
    session: &Session,
    saved: &Saved,
    interrupt: &mut Interrupt,
) -> Result<Value, Failure> {
    let progress = Progress::new(globals);
    let end = globals.timeout.map(|time| Instant::now() + time);
    let ended = tokio::select! {
        ended = watch(session, saved, &progress) => ended,
        () = interrupt.pressed() => Err(goes_on(saved, Failure::Interrupted)),
        () = crate::local::until(end) => Err(goes_on(saved, Failure::Running)),
    };
    progress.end(ended, saved)
}

fn goes_on(saved: &Saved, how: impl Fn(String) -> Failure) -> Failure {
    let resume = saved.resume();
    how(format!(
        "the state machine goes on with the run; to follow it again: {resume}"
    ))
}

async fn watch(session: &Session, saved: &Saved, progress: &Progress) -> Result<Value, Failure> {
    let arn = saved.execution().unwrap_or_default();
    let client = aws_sdk_sfn::Client::new(&session.config);
    let (mut failures, mut phase) = (0, None);
    loop {
        match client.describe_execution().execution_arn(arn).send().await {
            Ok(seen) if *seen.status() != ExecutionStatus::Running => {
                return reply_of(session, saved, &seen).await;
            }
            Ok(_) => failures = 0,
            Err(e) => {
                failures += 1;
                let said = refusal("DescribeExecution", &session.place(), arn, &e);
                if failures == MOST_FAILURES || !said.is_passing() {
                    return Err(said.into());
                }
            }
        }
        // A caller that may not read the ledger follows without its words.
        if let Ok(Some(run)) = session.aws().run_record(&saved.run).await
            && phase.replace(run.status) != Some(run.status)
        {
            progress.note(match run.status {
                RunStatus::Live => "the run has begun: its targets are looked at and copied to",
                RunStatus::Closing => "the source is being closed",
                RunStatus::Ended => "the source is closed",
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Returns the reply of an execution that has ended.
async fn reply_of(
    session: &Session,
    saved: &Saved,
    seen: &DescribeExecutionOutput,
) -> Result<Value, Failure> {
    if *seen.status() == ExecutionStatus::Succeeded {
        let result: Value = serde_json::from_str(seen.output().unwrap_or_default())
            .map_err(|e| Failure::Failed(format!("the output of the execution: {e}")))?;
        let result = match result.get("ResultAt") {
            Some(at) => from_bucket(session, at).await?,
            None => result,
        };
        return Ok(json!({"Status": "Succeeded", "Result": result}));
    }
    let error = seen.error().unwrap_or_else(|| seen.status().as_str());
    let cause = seen.cause().unwrap_or("the execution was stopped");
    let status = ENDS.into_iter().find(|end| *end == error);
    Ok(json!({
        "Status": status.unwrap_or("Failed"),
        "Result": {"RunId": saved.run},
        "Error": error,
        "Notice": cause,
    }))
}

/// Reads a result that was too large for an execution.
async fn from_bucket(session: &Session, at: &Value) -> Result<Value, Failure> {
    let (bucket, key) = (at["Bucket"].as_str(), at["Key"].as_str());
    let (bucket, key) = (bucket.unwrap_or_default(), key.unwrap_or_default());
    let kept = session.aws().kept(bucket, key).await?;
    let kept = kept.and_then(|body| serde_json::from_slice(&body).ok());
    kept.ok_or_else(|| {
        let said = format!("s3://{bucket}/{key}, the result of the run, is not there any more");
        Failure::Failed(said)
    })
}
