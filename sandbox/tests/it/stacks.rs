//! CloudFormation: the outputs of a stack.

use amiferry_sandbox::Stack;

use crate::client::Answer;
use crate::worlds::{Bench, PRODUCER, WEST, world};

const FERRY: [(&str, &str); 1] = [("StackName", "ferry")];

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
        "STACK_ACCESS_DENIED" => bench.nobody.stacks("DescribeStacks", &FERRY).await,
        "STACK_DOES_NOT_EXIST" => bench.consumer.stacks("DescribeStacks", &FERRY).await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_stack_shows_its_outputs_to_its_own_account_and_region() {
    let mut world = world();
    let stack = Stack::new(WEST, "ferry").output("BucketName", "ledger");
    let producer = world
        .accounts
        .iter_mut()
        .find(|account| account.id == PRODUCER);
    producer.expect("the producer").stacks.push(stack);
    let bench = Bench::of(world);
    let shown = bench.producer.stacks("DescribeStacks", &FERRY).await.ok();
    assert_eq!(shown.text("OutputKey").as_deref(), Some("BucketName"));
    assert_eq!(shown.text("OutputValue").as_deref(), Some("ledger"));
    let east = bench.producer.in_region("us-east-1");
    let elsewhere = east.stacks("DescribeStacks", &FERRY).await;
    assert_eq!(elsewhere.refusal.as_deref(), Some("STACK_DOES_NOT_EXIST"));
}

#[tokio::test(start_paused = true)]
async fn a_call_of_cloudformation_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for (action, params) in [("ListStacks", &FERRY[..]), ("DescribeStacks", &[])] {
        let answer = bench.producer.stacks(action, params).await;
        assert_eq!(
            answer.refusal.as_deref(),
            Some("NOT_IMPLEMENTED"),
            "{action}"
        );
    }
}
