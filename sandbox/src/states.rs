//! Step Functions' executions, as far as starting and describing them needs. Nothing is executed: a
//! test ends an execution with [`crate::Sandbox::end_execution`] and its like.
//!
//! Source: model; Service Authorization Reference, AWS Step Functions; API reference,
//! StartExecution, idempotency.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::aws::{Aws, Execution, execution_arn, regional_arn, uuid_of};
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    body: &Value,
) -> Result<Value, Refused> {
    match operation {
        "StartExecution" => start(aws, call, body),
        "DescribeExecution" => describe(aws, call, body),
        _ => {
            let what = format!("operation {operation} of Step Functions");
            Err(refusals::NOT_IMPLEMENTED.with(&[&what]))
        }
    }
}

fn start(aws: &mut Aws, call: &Admitted, body: &Value) -> Result<Value, Refused> {
    let machine = arn(body, "stateMachineArn", "stateMachine")?;
    permit(aws, call, "states:StartExecution", machine)?;
    // Only the names of machines are known. Every machine of the caller's account and Region is
    // taken to exist.
    let here = regional_arn(
        "states",
        &call.region,
        call.caller.account(),
        "stateMachine:",
    );
    if !machine.starts_with(&here) {
        return Err(refusals::STATE_MACHINE_DOES_NOT_EXIST.with(&[machine]));
    }
    let name = match body["name"].as_str() {
        Some(name) => name.to_owned(),
        None => uuid_of(&format!("execution {}", aws.executions.len())),
    };
    let input = body["input"].as_str().unwrap_or("{}").to_owned();
    let arn = execution_arn(machine, &name);
    if let Some(there) = aws.executions.get(&arn) {
        if there.status != "RUNNING" || there.input != input {
            return Err(refusals::EXECUTION_ALREADY_EXISTS.with(&[&arn]));
        }
        return Ok(json!({"executionArn": arn, "startDate": seconds(there.started)}));
    }
    let execution = Execution {
        machine: machine.to_owned(),
        name,
        input,
        status: "RUNNING".to_owned(),
        started: aws.now,
        ended: None,
        output: None,
        failure: None,
    };
    aws.executions.insert(arn.clone(), execution);
    Ok(json!({"executionArn": arn, "startDate": seconds(aws.now)}))
}

fn describe(aws: &Aws, call: &Admitted, body: &Value) -> Result<Value, Refused> {
    let arn = arn(body, "executionArn", "execution")?;
    permit(aws, call, "states:DescribeExecution", arn)?;
    let found = aws.executions.get(arn);
    let execution = found.ok_or_else(|| refusals::EXECUTION_DOES_NOT_EXIST.with(&[arn]))?;
    let mut answer = json!({
        "executionArn": arn,
        "stateMachineArn": execution.machine,
        "name": execution.name,
        "status": execution.status,
        "startDate": seconds(execution.started),
        "input": execution.input,
    });
    if let Some(ended) = execution.ended {
        answer["stopDate"] = seconds(ended);
    }
    if let Some(output) = &execution.output {
        answer["output"] = json!(output);
    }
    if let Some((error, cause)) = &execution.failure {
        answer["error"] = json!(error);
        answer["cause"] = json!(cause);
    }
    Ok(answer)
}

fn arn<'a>(body: &'a Value, key: &str, kind: &str) -> Result<&'a str, Refused> {
    let arn = body[key].as_str().unwrap_or_default();
    if arn.split(':').nth(2) == Some("states") && arn.split(':').nth(5) == Some(kind) {
        return Ok(arn);
    }
    Err(refusals::STATES_INVALID_ARN.with(&[arn]))
}

fn permit(aws: &Aws, call: &Admitted, action: &str, arn: &str) -> Result<(), Refused> {
    let context = Context::from([("aws:requestedregion".to_owned(), vec![call.region.clone()])]);
    let decision = identity::decide(aws, &call.caller, action, arn, &context);
    if decision == Verdict::Allowed {
        return Ok(());
    }
    let caller = &call.caller.principal.arn;
    Err(refusals::STATES_ACCESS_DENIED.with(&[caller, action, arn, &decision.reason(action)]))
}

fn seconds(time: SystemTime) -> Value {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    json!(since.unwrap_or_default().as_secs())
}
