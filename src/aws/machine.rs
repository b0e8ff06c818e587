//! The state machine: starting it, asking whether an execution still works, and waking those that
//! wait.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::Value;

use super::{Aws, refusal};
use crate::error::{Error, Refusal};

/// Where a waiting execution leaves the token that wakes it, below the name of its state machine:
/// no stack reads another's.
const WAITING: &str = "/amiferry/waiting";

impl Aws {
    /// Starts an execution; tells whether it is new. One of the same name does the same already, or
    /// has done it.
    pub async fn start_execution(
        &self,
        machine: &str,
        name: &str,
        input: &Value,
    ) -> Result<bool, Error> {
        let answer = self
            .sfn()
            .start_execution()
            .state_machine_arn(machine)
            .name(name)
            .input(input.to_string())
            .send()
            .await;
        match answer.map_err(|e| refusal("StartExecution", &self.here(), machine, &e)) {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.code == "ExecutionAlreadyExists" => Ok(false),
            Err(refusal) => Err(Error::from_refusal(refusal)),
        }
    }

    /// Whether an execution of this name is at work. One that is not known any more is not.
    pub async fn is_running(&self, machine: &str, name: &str) -> Result<bool, Refusal> {
        let arn = execution_arn(machine, name);
        let answer = self
            .sfn()
            .describe_execution()
            .execution_arn(&arn)
            .send()
            .await;
        match answer.map_err(|e| refusal("DescribeExecution", &self.here(), &arn, &e)) {
            Ok(answer) => Ok(*answer.status() == ExecutionStatus::Running),
            Err(refusal) if refusal.code == "ExecutionDoesNotExist" => Ok(false),
            Err(refusal) => Err(refusal),
        }
    }

    /// The input of an execution; `None` where it is not known any more.
    pub async fn execution_input(
        &self,
        machine: &str,
        name: &str,
    ) -> Result<Option<Value>, Refusal> {
        let arn = execution_arn(machine, name);
        let describing = self.sfn().describe_execution().execution_arn(&arn).send();
        match describing
            .await
            .map_err(|e| refusal("DescribeExecution", &self.here(), &arn, &e))
        {
            Ok(answer) => Ok(answer
                .input()
                .and_then(|text| serde_json::from_str(text).ok())),
            Err(refusal) if refusal.code == "ExecutionDoesNotExist" => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Wakes the executions of this state machine that wait for copies into this account and
    /// Region; returns how many.
    pub async fn wake(&self, machine: &str, account: &str, region: &str) -> Result<usize, Refusal> {
        let path = waiting_path(machine, account, region);
        let client = self.ssm();
        let mut tokens = Vec::new();
        let mut pages = client
            .get_parameters_by_path()
            .path(&path)
            .recursive(true)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| refusal("GetParametersByPath", &self.here(), &path, &e))?;
            let found = page.parameters.unwrap_or_default();
            tokens.extend(found.into_iter().filter_map(|parameter| parameter.value));
        }
        let machine = self.sfn();
        let mut woken = 0;
        for token in tokens {
            // A token that is used or out of date belongs to one that woke by itself.
            let sent = machine
                .send_task_success()
                .task_token(token)
                .output("{}")
                .send()
                .await;
            woken += usize::from(sent.is_ok());
        }
        Ok(woken)
    }

    /// A parameter's value.
    pub async fn parameter(&self, name: &str) -> Result<String, Error> {
        let answer = self
            .ssm()
            .get_parameter()
            .name(name)
            .with_decryption(true)
            .send()
            .await;
        let answer = answer
            .map_err(|e| Error::from_refusal(refusal("GetParameter", &self.here(), name, &e)))?;
        let value = answer.parameter.and_then(|parameter| parameter.value);
        value.ok_or_else(|| Error::Internal(format!("GetParameter told no value of {name}")))
    }
}

fn execution_arn(machine: &str, name: &str) -> String {
    format!(
        "{}:{name}",
        machine.replacen(":stateMachine:", ":execution:", 1)
    )
}

/// The path below which the tokens of a target lie; `machine` is the state machine's ARN.
fn waiting_path(machine: &str, account: &str, region: &str) -> String {
    let name = machine.rsplit(':').next().unwrap_or_default();
    format!("{WAITING}/{name}/{account}/{region}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_lie_below_the_name_of_their_state_machine() {
        let machine = "arn:aws:states:us-west-2:111111111111:stateMachine:golden";
        assert_eq!(
            waiting_path(machine, "222222222222", "us-east-1"),
            "/amiferry/waiting/golden/222222222222/us-east-1"
        );
    }
}
