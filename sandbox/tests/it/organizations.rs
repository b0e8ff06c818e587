//! Organizations: the permission to list, the content of lists, and the effect of membership
//! elsewhere.

use amiferry_sandbox::{Account, Fault, World};
use http::Request;
use serde_json::{Value, json};

use crate::client::{Answer, Client};
use crate::policies::{allow, document, permit, permit_owner, when};
use crate::worlds::{
    Bench, CONSUMER, INNER, MANAGEMENT, ORGANIZATION, OUTER, PRODUCER, ROOT_ID, SOURCE_KEY,
    organization, world,
};

/// Returns every item of a list, and the number of its pages.
async fn all(client: &Client, operation: &str, body: Value, name: &str) -> (Vec<Value>, usize) {
    let (mut items, mut pages, mut token) = (Vec::new(), 0, Value::Null);
    loop {
        let mut body = body.clone();
        body["NextToken"] = token;
        let page = client.organizations(operation, body).await.ok().json();
        items.extend(page[name].as_array().expect("a list").iter().cloned());
        pages += 1;
        token = page["NextToken"].clone();
        if token.is_null() {
            return (items, pages);
        }
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .filter_map(|item| item["Id"].as_str())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn an_organization_is_listed_level_by_level() {
    let bench = Bench::new();
    let client = &bench.management;
    let (roots, _) = all(client, "ListRoots", json!({}), "Roots").await;
    assert_eq!(ids(&roots), [ROOT_ID]);
    for (parent, units, accounts) in [
        (ROOT_ID, vec![OUTER], vec![PRODUCER, MANAGEMENT]),
        (OUTER, vec![INNER], vec![]),
        (INNER, vec![], vec![CONSUMER]),
    ] {
        let body = json!({"ParentId": parent});
        let operation = "ListOrganizationalUnitsForParent";
        let (found, _) = all(client, operation, body.clone(), "OrganizationalUnits").await;
        assert_eq!(ids(&found), units, "in {parent}");
        let (found, _) = all(client, "ListAccountsForParent", body, "Accounts").await;
        assert_eq!(ids(&found), accounts, "in {parent}, not below it");
    }
    for (child, parent, kind) in [
        (CONSUMER, INNER, "ORGANIZATIONAL_UNIT"),
        (INNER, OUTER, "ORGANIZATIONAL_UNIT"),
        (OUTER, ROOT_ID, "ROOT"),
    ] {
        let (found, _) = all(client, "ListParents", json!({"ChildId": child}), "Parents").await;
        assert_eq!(found, [json!({"Id": parent, "Type": kind})]);
    }
}

#[tokio::test(start_paused = true)]
async fn organizations_arns_have_the_models_form() {
    let mut world = world();
    world.accounts[1] = world.accounts[1].clone().state("SUSPENDED").name("shop");
    let bench = Bench::of(world);
    let body = json!({"AccountId": CONSUMER});
    let account = bench
        .management
        .organizations("DescribeAccount", body)
        .await;
    let account = account.ok().json()["Account"].clone();
    let path = format!("{ORGANIZATION}/{ROOT_ID}/{OUTER}/{INNER}/{CONSUMER}/");
    let arn = format!("arn:aws:organizations::{MANAGEMENT}:account/{ORGANIZATION}/{CONSUMER}");
    assert_eq!(account["Arn"], arn);
    assert_eq!(account["Paths"], json!([path]));
    assert_eq!(
        (&account["State"], &account["Status"], &account["Name"]),
        (&json!("SUSPENDED"), &json!("SUSPENDED"), &json!("shop"))
    );
    let changed = bench
        .sandbox
        .edit(|aws| aws.set_account_state(CONSUMER, "CLOSED"));
    assert!(changed);
    let (accounts, _) = all(&bench.management, "ListAccounts", json!({}), "Accounts").await;
    let closed = accounts.iter().find(|a| a["Id"] == CONSUMER);
    let closed = closed.expect("still listed");
    assert_eq!(
        (&closed["State"], &closed["Status"]),
        (&json!("CLOSED"), &json!("SUSPENDED"))
    );
}

#[tokio::test(start_paused = true)]
async fn members_describe_and_only_administrators_list() {
    let mut world = world();
    world.organization = Some(organization().delegated_administrator(PRODUCER));
    let bench = Bench::of(world);
    for client in [&bench.management, &bench.producer, &bench.consumer] {
        let answer = client
            .organizations("DescribeOrganization", json!({}))
            .await;
        let shown = answer.ok().json()["Organization"].clone();
        assert_eq!(
            (&shown["Id"], &shown["MasterAccountId"]),
            (&json!(ORGANIZATION), &json!(MANAGEMENT))
        );
    }
    for operation in ["ListRoots", "ListAccounts"] {
        bench
            .producer
            .organizations(operation, json!({}))
            .await
            .ok();
        let answer = bench.consumer.organizations(operation, json!({})).await;
        assert_eq!(answer.refusal.as_deref(), Some("ORG_NOT_ADMINISTRATOR"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_needs_permission_on_its_own_resource() {
    let bench = Bench::new();
    let unit = format!("arn:aws:organizations::{MANAGEMENT}:ou/{ORGANIZATION}/{OUTER}");
    let policy = document(&[allow("organizations:List*ForParent", &unit)]).to_string();
    bench.set_policies("arn:aws:iam::999999999999:user/admin", &[&policy]);
    let ask = |operation: &'static str, parent: &'static str| {
        bench
            .management
            .organizations(operation, json!({"ParentId": parent}))
    };
    ask("ListAccountsForParent", OUTER).await.ok();
    ask("ListOrganizationalUnitsForParent", OUTER).await.ok();
    for parent in [INNER, ROOT_ID] {
        let answer = ask("ListAccountsForParent", parent).await;
        assert_eq!(answer.refusal.as_deref(), Some("ORG_ACCESS_DENIED"));
        let named = format!("on resource: arn:aws:organizations::{MANAGEMENT}:");
        assert!(answer.body.contains(&named), "{answer:?}");
    }
}

fn crowded(empty_pages: bool) -> World {
    let mut world = world().organization(organization().empty_pages(empty_pages));
    for i in 0..45 {
        world = world.account(Account::new(&format!("{:012}", 500 + i)).parent(OUTER));
    }
    world
}

#[tokio::test(start_paused = true)]
async fn a_page_holds_at_most_twenty_items_and_may_be_empty() {
    let bench = Bench::of(crowded(true));
    let body = json!({"ParentId": OUTER});
    let first = bench
        .management
        .organizations("ListAccountsForParent", body.clone())
        .await
        .ok()
        .json();
    assert_eq!(first["Accounts"], json!([]));
    assert!(first["NextToken"].is_string(), "{first}");
    let client = &bench.management;
    let (found, pages) = all(client, "ListAccountsForParent", body.clone(), "Accounts").await;
    assert_eq!((found.len(), pages), (45, 4));
    // An empty list has no token.
    let inner = json!({"ParentId": INNER});
    let (none, pages) = all(
        client,
        "ListOrganizationalUnitsForParent",
        inner,
        "OrganizationalUnits",
    )
    .await;
    assert_eq!((none.len(), pages), (0, 1));
    let bench = Bench::of(crowded(false));
    let (found, pages) = all(&bench.management, "ListAccountsForParent", body, "Accounts").await;
    assert_eq!((found.len(), pages), (45, 3));
    let small = json!({"MaxResults": 7});
    let (found, pages) = all(&bench.management, "ListAccounts", small, "Accounts").await;
    assert_eq!((found.len(), pages), (48, 7));
}

#[tokio::test(start_paused = true)]
async fn organizations_calls_are_in_the_ledger_and_can_fail_by_fault() {
    let bench = Bench::new();
    bench.sandbox.set_fault(|call| match call.service.as_str() {
        "organizations" => Fault::Refuse {
            status: 400,
            code: "TooManyRequestsException".to_owned(),
            message: "Too many requests. Try again later.".to_owned(),
        },
        _ => Fault::None,
    });
    let body = json!({"ParentId": OUTER, "MaxResults": 5});
    let answer = bench
        .management
        .organizations("ListAccountsForParent", body)
        .await;
    assert_eq!(answer.code.as_deref(), Some("TooManyRequestsException"));
    let ledger = bench.sandbox.ledger();
    let call = ledger.last().expect("a call");
    assert_eq!(
        (
            call.service.as_str(),
            call.operation.as_str(),
            call.account.as_str()
        ),
        ("organizations", "ListAccountsForParent", MANAGEMENT)
    );
    assert_eq!(call.params["ParentId"], OUTER);
}

/// The only endpoint is in us-east-1; at another address, SDKs sign for the client's Region.
#[tokio::test(start_paused = true)]
async fn organizations_has_one_endpoint() {
    let bench = Bench::new();
    let send = async |region: &str, host: &str| -> Answer {
        let client = bench.management.in_region(region);
        let request = Request::post(format!("https://{host}/"))
            .header("content-type", "application/x-amz-json-1.1")
            .header(
                "x-amz-target",
                "AWSOrganizationsV20161128.DescribeOrganization",
            )
            .body("{}".into())
            .expect("a request");
        client.answer(client.signed("organizations", request)).await
    };
    send("us-east-1", "organizations.us-east-1.amazonaws.com")
        .await
        .ok();
    send("us-west-2", "127.0.0.1:4566").await.ok();
    for (region, host) in [
        ("us-west-2", "organizations.us-east-1.amazonaws.com"),
        ("us-west-2", "organizations.us-west-2.amazonaws.com"),
    ] {
        assert_eq!(send(region, host).await.status, 400, "{region} at {host}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_policy_may_name_a_part_of_the_organization() {
    let bench = Bench::new();
    let path = format!("{ORGANIZATION}/{ROOT_ID}/{OUTER}/*");
    let below = json!({"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": path}});
    let policy = document(&[
        permit_owner(PRODUCER),
        when(permit("*", "kms:DescribeKey"), below),
    ]);
    bench.set_key_policy(SOURCE_KEY, &policy);
    let describe = || {
        bench
            .consumer
            .kms("DescribeKey", json!({"KeyId": SOURCE_KEY}))
    };
    describe().await.ok();
    assert!(
        bench
            .sandbox
            .edit(|aws| aws.move_account(CONSUMER, ROOT_ID))
    );
    assert_eq!(
        describe().await.refusal.as_deref(),
        Some("KMS_ACCESS_DENIED")
    );
    assert!(
        !bench
            .sandbox
            .edit(|aws| aws.move_account(CONSUMER, "ou-ab12-99999999"))
    );
}
