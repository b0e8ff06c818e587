//! Provoking the refusals of Organizations.

use serde_json::{Value, json};

use crate::client::Answer;
use crate::worlds::{Bench, CONSUMER, ROOT_ID, world};

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let ask =
        |operation: &'static str, body: Value| bench.management.organizations(operation, body);
    Some(match name {
        "ORG_NOT_IN_USE" => {
            let mut world = world();
            world.accounts[1].parent = None;
            let bench = Bench::of(world);
            bench
                .consumer
                .organizations("DescribeOrganization", json!({}))
                .await
        }
        "ORG_NOT_ADMINISTRATOR" => {
            bench
                .consumer
                .organizations("ListAccounts", json!({}))
                .await
        }
        "ORG_ACCESS_DENIED" => {
            bench
                .nobody
                .organizations("DescribeOrganization", json!({}))
                .await
        }
        "ORG_PATTERN" => ask("ListAccountsForParent", json!({"ParentId": "ou-1"})).await,
        "ORG_REQUIRED" => ask("ListAccountsForParent", json!({})).await,
        "ORG_MAX_VALUE" => ask("ListAccounts", json!({"MaxResults": 21})).await,
        "ORG_MIN_VALUE" => ask("ListAccounts", json!({"MaxResults": 0})).await,
        "ORG_NEXT_TOKEN" => {
            // A token of another list is invalid too.
            let other = ask("ListRoots", json!({})).await.ok();
            let token = other.json()["NextToken"].clone();
            assert!(token.is_string(), "{other:?}");
            ask("ListAccounts", json!({"NextToken": token})).await
        }
        "ORG_PARENT_NOT_FOUND" => {
            let body = json!({"ParentId": "ou-ab12-33333333"});
            ask("ListOrganizationalUnitsForParent", body).await
        }
        "ORG_CHILD_NOT_FOUND" => ask("ListParents", json!({"ChildId": "333333333333"})).await,
        "ORG_ACCOUNT_NOT_FOUND" => {
            ask("DescribeAccount", json!({"AccountId": "333333333333"})).await
        }
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn an_invalid_input_has_its_reason() {
    let bench = Bench::new();
    for (body, reason) in [
        (json!({}), "INPUT_REQUIRED"),
        (json!({"ParentId": CONSUMER}), "INVALID_PATTERN"),
        (
            json!({"ParentId": ROOT_ID, "MaxResults": 21}),
            "MAX_VALUE_EXCEEDED",
        ),
        (
            json!({"ParentId": ROOT_ID, "MaxResults": -1}),
            "MIN_VALUE_EXCEEDED",
        ),
        (
            json!({"ParentId": ROOT_ID, "NextToken": "zz"}),
            "INVALID_NEXT_TOKEN",
        ),
    ] {
        let answer = bench
            .management
            .organizations("ListAccountsForParent", body)
            .await;
        assert_eq!(answer.code.as_deref(), Some("InvalidInputException"));
        assert_eq!(answer.json()["Reason"], reason, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_organizations_call_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for (operation, body) in [
        ("ListPolicies", json!({"Filter": "TAG_POLICY"})),
        ("ListRoots", json!({"Colour": "red"})),
    ] {
        let answer = bench.management.organizations(operation, body).await;
        assert_eq!(answer.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
    }
    let mistyped = bench
        .management
        .organizations("ListRoots", json!({"MaxResults": "ten"}))
        .await;
    assert_eq!(mistyped.code.as_deref(), Some("SerializationException"));
    // The world must declare the organization: nobody could list the accounts of an undeclared one.
    let mut world = world();
    world.accounts[1].parent = None;
    world.accounts[1].organization = Some("o-elsewhere1".to_owned());
    let bench = Bench::of(world);
    let answer = bench
        .consumer
        .organizations("DescribeOrganization", json!({}))
        .await;
    assert_eq!(answer.refusal.as_deref(), Some("NOT_IMPLEMENTED"));
}
