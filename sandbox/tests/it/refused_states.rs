//! Provoking the refusals of Step Functions.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::worlds::Bench;

const MACHINE: &str = "arn:aws:states:us-west-2:222222222222:stateMachine:ferry";

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let consumer = &bench.consumer;
    let named = |input: &str| json!({"stateMachineArn": MACHINE, "name": "once", "input": input});
    let start = async |body: Value| consumer.states("StartExecution", body).await;
    Some(match name {
        "STATES_INVALID_ARN" => start(json!({"stateMachineArn": "ferry"})).await,
        "STATES_ACCESS_DENIED" => bench.nobody.states("StartExecution", named("{}")).await,
        "STATE_MACHINE_DOES_NOT_EXIST" => {
            let foreign = MACHINE.replace("222222222222", "111111111111");
            start(json!({"stateMachineArn": foreign})).await
        }
        "EXECUTION_DOES_NOT_EXIST" => {
            let arn = MACHINE.replace("stateMachine", "execution");
            let body = json!({"executionArn": format!("{arn}:never")});
            consumer.states("DescribeExecution", body).await
        }
        "EXECUTION_ALREADY_EXISTS" => {
            start(named("{}")).await.ok();
            start(named("[]")).await
        }
        _ => return None,
    })
}
