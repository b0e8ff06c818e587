//! Condition keys that only some requests carry: the function that signed, the owner of the
//! resource, the alias of a key.

use amiferry_sandbox::{Account, Key, Role, Sandbox, World};
use serde_json::{Value, json};

use crate::client::Client;
use crate::policies::{allow, deny, document, when};
use crate::worlds::{ORGANIZATION, WEST};

const FUNCTION: &str = "arn:aws:lambda:us-west-2:111111111111:function:ferry";
const FERRY: &str = "arn:aws:iam::111111111111:role/ferry";

/// Returns a policy that allows everything, but this action only under this condition.
fn but(action: &str, condition: &Value) -> String {
    let denied = when(deny(action), condition.clone());
    document(&[allow("*", "*"), denied]).to_string()
}

/// Returns two clients of the role `ferry`: with the function's own key, and with another key.
fn clients(policy: &str) -> (Client, Client) {
    let producer = Account::new("111111111111")
        .role(Role::new("ferry").policy(policy))
        .function_key("AKIAFUNCTION", "function", FERRY, FUNCTION)
        .access_key("AKIAELSEWHERE", "elsewhere", FERRY)
        .key(Key::new(WEST, "source").alias("alias/source"));
    let mut members: Vec<Account> = ["222222222222", "333333333333"]
        .map(|id| Account::new(id).role(Role::admin("Copier").trusts(FERRY)))
        .into();
    members[0].organization = Some(ORGANIZATION.to_owned());
    let world = World::new().account(producer);
    let sandbox = Sandbox::new(members.into_iter().fold(world, World::account));
    let function = Client::new(&sandbox, WEST, "AKIAFUNCTION", "function");
    let elsewhere = Client::new(&sandbox, WEST, "AKIAELSEWHERE", "elsewhere");
    (function, elsewhere)
}

async fn assumes(client: &Client, account: &str) -> bool {
    let role = format!("arn:aws:iam::{account}:role/Copier");
    let parameters = [("RoleArn", role.as_str()), ("RoleSessionName", "test")];
    client.sts("AssumeRole", &parameters).await.status == 200
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_a_function_arn_only_with_the_functions_key() {
    let condition = json!({"ArnNotEquals": {"lambda:SourceFunctionArn": FUNCTION}});
    let (function, elsewhere) = clients(&but("sts:AssumeRole", &condition));
    assert!(assumes(&function, "222222222222").await);
    assert!(!assumes(&elsewhere, "222222222222").await);
}

#[tokio::test(start_paused = true)]
async fn a_role_has_its_account_and_organization_as_condition_keys() {
    let condition = json!({"StringNotEquals": {"aws:ResourceAccount": "222222222222"}});
    let (function, _) = clients(&but("sts:AssumeRole", &condition));
    assert!(assumes(&function, "222222222222").await);
    assert!(!assumes(&function, "333333333333").await);
    let condition = json!({"StringNotEquals": {"aws:ResourceOrgID": ORGANIZATION}});
    let (function, _) = clients(&but("sts:AssumeRole", &condition));
    assert!(assumes(&function, "222222222222").await);
    assert!(!assumes(&function, "333333333333").await);
}

#[tokio::test(start_paused = true)]
async fn a_key_has_its_aliases_as_a_condition_key() {
    for (alias, may) in [("alias/source", true), ("alias/other", false)] {
        let condition = json!({"ForAllValues:StringNotEquals": {"kms:ResourceAliases": alias}});
        let (function, _) = clients(&but("kms:DescribeKey", &condition));
        let answer = function
            .kms("DescribeKey", json!({"KeyId": "alias/source"}))
            .await;
        assert_eq!(answer.status == 200, may, "{alias}");
    }
}
