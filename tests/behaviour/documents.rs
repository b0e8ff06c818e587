//! `{"Policies": …}` tells exactly what a request needs: where roles and keys have these policies and no others, all that the request may
//! come to succeeds, and without any one action of them something does not.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use amiferry::ids::{AccountId, Region};
use amiferry::plan;
use amiferry::request::{Defaults, Request};
use amiferry::state::SourceRef;
use amiferry_sandbox::{Account, Key, Organization, Role, Sandbox, World};
use aws_credential_types::Credentials;
use serde_json::{Value, json};

use crate::launch_grants::{SCALING, arn, launches, runs};
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;
use crate::tables::shown;

const ACCOUNT: &str = "222222222222";
/// One that has a copy broken and made again, one that fails and is served the second time.
const FIRST: Place = (ACCOUNT, HOME);
const SECOND: Place = (ACCOUNT, "us-east-1");
const SPOT: &str = "AWSServiceRoleForEC2Spot";
/// What has no run for its user.
const FOR_PEOPLE: [&str; 2] = ["Administration", "LookAfterIt"];
/// What nobody needs, in the place of what is taken out: a statement must have an action.
const HARMLESS: &str = "ec2:DescribeVpcs";

const ORGANIZATION: &str = "o-abcdefghij";
const ROOT_UNIT: &str = "r-ab12";
const UNIT: &str = "ou-ab12-11111111";

fn organization() -> Organization {
    Organization::new(ORGANIZATION, SOURCE, ROOT_UNIT).unit(UNIT, "team", ROOT_UNIT)
}

/// What a request says, with the words that all plays have.
fn wish(more: &Value) -> Value {
    let mut wish = json!({"SourceImageId": AMI, "ExternalId": "a-secret-between-us"});
    for (key, value) in more.as_object().expect("words") {
        wish[key] = value.clone();
    }
    if !more["OrganizationId"].is_null() || !more["OrganizationalUnitIds"].is_null() {
        // Its accounts are all there is.
    } else if more["Mode"] == "Share" {
        wish["TargetAccountIds"] = json!([ACCOUNT]);
    } else {
        wish["Targets"] = request(&[FIRST, SECOND])["Targets"].clone();
    }
    wish
}

/// The source account, with a snapshot under `aws/ebs` if the request is to copy it under another key first.
fn source_of(wish: &Value) -> Account {
    if wish["ReencryptKmsKeyId"].is_null() {
        producer()
    } else {
        under_aws_ebs(1)
    }
}

/// What the requests are that are played.
fn wishes() -> [(&'static str, Value); 12] {
    let roles = json!(["autoscaling.amazonaws.com", "spot.amazonaws.com"]);
    [
        (
            "Copy, Grant, roles",
            json!({"Mode": "Copy", "ServiceLinkedRoles": roles, "CreateServiceLinkedRoles": true}),
        ),
        ("Copy, None", json!({"Mode": "Copy", "KeyAccess": "None"})),
        (
            "Copy, Grant, aws/ebs",
            json!({"Mode": "Copy", "ReencryptKmsKeyId": SHARED_KEY}),
        ),
        (
            "Copy, Policy",
            json!({"Mode": "Copy", "KeyAccess": "Policy"}),
        ),
        (
            "Share, Policy",
            json!({"Mode": "Share", "KeyAccess": "Policy"}),
        ),
        (
            "Share, None, organisation",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationId": ORGANIZATION}),
        ),
        (
            "Share, None, unit",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationalUnitIds": UNIT}),
        ),
        (
            "Copy, Grant, unit",
            json!({"Mode": "Copy", "OrganizationalUnitIds": UNIT, "TargetRegions": [FIRST.1, SECOND.1], "TargetKmsKeyIds": "alias/amis"}),
        ),
        (
            "Share, None, unit, roles",
            json!({"Mode": "Share", "KeyAccess": "None", "OrganizationalUnitIds": UNIT, "ServiceLinkedRoles": roles}),
        ),
        (
            "Share, Grant, roles",
            json!({"Mode": "Share", "ServiceLinkedRoles": roles, "CreateServiceLinkedRoles": true}),
        ),
        (
            "Share, None, snapshots",
            json!({"Mode": "Share", "KeyAccess": "None", "ShareSnapshots": true}),
        ),
        (
            "Share, None, roles",
            json!({"Mode": "Share", "KeyAccess": "None", "ServiceLinkedRoles": roles}),
        ),
    ]
}

/// What the function answers, in a world whose roles may do more.
async fn told(wish: &Value) -> Value {
    let mut world = world_with(source_of(wish), &[FIRST, SECOND]).organization(organization());
    world.accounts[0].parent = Some(ROOT_UNIT.to_owned());
    world.accounts[1].parent = Some(UNIT.to_owned());
    let sandbox = Sandbox::new(world);
    let before = sandbox.ledger().len();
    let reply = call(&sandbox, &json!({"Policies": wish}))
        .await
        .expect("a reply");
    let changing = sandbox.ledger().split_off(before);
    let changing = changing.iter().find(|call| {
        !["Describe", "List", "GetCallerIdentity"]
            .iter()
            .any(|reading| call.operation.starts_with(reading))
    });
    assert_eq!(changing.map(|call| call.operation.clone()), None);
    reply
}

/// A world of these policies.
fn world_of(policies: &[Value], wish: &Value) -> World {
    let of = |purpose: &str, region: Option<&str>| -> Option<String> {
        let mut all = policies.iter();
        let found =
            all.find(|p| p["For"] == purpose && region.is_none_or(|region| p["Region"] == region));
        found.map(|p| p["Document"].to_string())
    };
    let mut source = source_of(wish);
    source.roles[0].policies = of("function role", None).into_iter().collect();
    source.keys[0].policy = of("source key", None);
    let mut target = Account::new(ACCOUNT)
        .access_key(
            "AKIAADMIN222222222222",
            "admin-secret",
            "arn:aws:iam::222222222222:role/Admin",
        )
        .role(Role::admin("Admin"))
        .role(Role::service_linked(SCALING.0, SCALING.1));
    if let (Some(trust), Some(policy)) = (of("trust of the copy role", None), of("copy role", None))
    {
        let role = Role::new("AmiCopyRole").trust_policy(trust).policy(policy);
        target = target.role(role);
    }
    for place in [FIRST, SECOND] {
        if let Some(policy) = of("target key", Some(place.1)) {
            let arn = key_arn(place);
            let id = arn.rsplit('/').next().expect("an ID");
            let key = Key::new(place.1, id).alias("alias/amis").policy(policy);
            target = target.key(key);
        }
    }
    World::new()
        .copy_mib_per_second(250.0)
        .organization(organization())
        .account(source.parent(ROOT_UNIT))
        .account(target.parent(UNIT))
}

/// Drives a call to its end; between the steps something happens.
async fn drive(
    sandbox: &Sandbox,
    event: &Value,
    mut meanwhile: impl FnMut(&Sandbox),
) -> Result<Value, String> {
    let mut event = event.clone();
    for _ in 0..500 {
        let reply = call(sandbox, &event).await;
        let reply = reply.map_err(|e| e.error_type().to_owned())?;
        if reply["Status"] != "Continue" {
            return Ok(reply);
        }
        meanwhile(sandbox);
        let wait = reply["WaitSeconds"].as_u64().expect("a number");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
    Err("no end".to_owned())
}

/// An answer in a few words.
fn brief(reply: &Value) -> String {
    let mut words = vec![reply["Status"].as_str().unwrap_or_default().to_owned()];
    let targets = reply["Result"]["Targets"].as_array();
    for target in targets.into_iter().flatten() {
        let word = target["Cause"].as_str().or(target["Status"].as_str());
        let region = target["Region"].as_str().unwrap_or_default();
        words.push(format!("{region} {}", word.unwrap_or_default()));
    }
    words.join(", ")
}

fn expect(what: &str, is: &str, wanted: &str) -> Result<(), String> {
    if is == wanted {
        Ok(())
    } else {
        Err(format!("{what}: {is}"))
    }
}

/// Nothing is open at the source.
fn closed(sandbox: &Sandbox) -> Result<(), String> {
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        let marked = snapshot.tags.keys().any(|k| k.starts_with("amiferry:"));
        if marked || !snapshot.create_volume_permissions.is_empty() {
            return Err("a snapshot is left open".to_owned());
        }
    }
    let image = &sandbox.images(SOURCE, HOME)[0];
    let marked = image.tags.keys().any(|k| k.starts_with("amiferry:"));
    if marked || !image.launch_permissions.is_empty() {
        return Err("the image is left open".to_owned());
    }
    let grants = sandbox.grants(SOURCE_KEY).len();
    expect("grants left", &grants.to_string(), "0")
}

fn count(sandbox: &Sandbox, place: Place, images: usize, snapshots: usize) -> Result<(), String> {
    let there = (
        sandbox.images(place.0, place.1).len(),
        sandbox.snapshots(place.0, place.1).len(),
    );
    let wanted = (images, snapshots);
    let (there, wanted) = (format!("{there:?}"), format!("{wanted:?}"));
    expect("images and snapshots", &there, &wanted)
}

/// All that a request may come to.
async fn play(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    // Roles and policies are known everywhere after a while.
    tokio::time::sleep(Duration::from_mins(1)).await;
    if wish["Mode"] == "Share" {
        play_share(sandbox, wish).await
    } else {
        play_copy(sandbox, wish).await
    }
}

async fn play_copy(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    let event = json!({ "Distribute": wish });
    let mut broken = BTreeSet::new();
    let reply = drive(sandbox, &event, |sandbox| {
        sandbox.edit(|aws| {
            for copy in aws.pending_copies() {
                let Some(made) = aws.snapshot(&copy) else {
                    continue;
                };
                // One of each account's is broken, and all of the second target's.
                if made.region == SECOND.1 || broken.insert(made.owner_id) {
                    aws.fail_copy(&copy, "internal error");
                }
            }
        });
    })
    .await?;
    let wanted = "PartiallySucceeded, us-west-2 Succeeded, us-east-1 CopyFailed";
    expect("first", &brief(&reply), wanted)?;
    count(sandbox, FIRST, 1, 2)?;
    count(sandbox, SECOND, 0, 0)?;
    closed(sandbox)?;
    let reply = drive(sandbox, &event, |_| {}).await?;
    let wanted = "Succeeded, us-west-2 Succeeded, us-east-1 Succeeded";
    expect("second", &brief(&reply), wanted)?;
    count(sandbox, FIRST, 1, 2)?;
    count(sandbox, SECOND, 1, 2)?;
    closed(sandbox)?;
    let run = reply["Result"]["RunId"].as_str().expect("a run");
    let reply = drive(sandbox, &deletion(sandbox, wish, run), |_| {}).await?;
    expect(
        "Delete",
        reply["Status"].as_str().unwrap_or_default(),
        "Succeeded",
    )?;
    for place in [FIRST, SECOND] {
        count(sandbox, place, 0, 0)?;
        let grants = sandbox.grants(&key_arn(place)).len();
        expect("grants to launch left", &grants.to_string(), "0")?;
    }
    closed(sandbox)
}

/// What a custom resource's Delete with `OnDelete: Deregister` begins with.
fn deletion(sandbox: &Sandbox, wish: &Value, run: &str) -> Value {
    let defaults = Defaults {
        region: Region::parse(HOME).expect("a Region"),
        account: None,
    };
    let request = Request::parse(wish, &defaults).expect("a request");
    let account = |id: &str| AccountId::parse(id).expect("an account");
    let request = request.with_members(&[account(ACCOUNT)], &account(SOURCE));
    let request = request.expect("targets");
    let source = json!({"ImageId": AMI, "Region": HOME, "AccountId": SOURCE,
        "Snapshots": [ROOT, DATA], "Keys": [SOURCE_KEY]});
    let source: SourceRef = serde_json::from_value(source).expect("a source");
    let now = sandbox.now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.expect("after 1970").as_secs()).expect("seconds");
    json!({"State": plan::withdraw(&request, source, false, run, now)})
}

async fn play_share(sandbox: &Sandbox, wish: &Value) -> Result<(), String> {
    let reply = drive(sandbox, &json!({ "Distribute": wish }), |_| {}).await?;
    // An organisation is shared with as such; that its accounts are not asked for is part of it.
    let named = wish["TargetAccountIds"].is_array() || wish["ServiceLinkedRoles"].is_array();
    let wanted = if named {
        "Succeeded, us-west-2 Succeeded"
    } else {
        "Succeeded"
    };
    expect("Share", &brief(&reply), wanted)?;
    let admin = Credentials::new("AKIAADMIN222222222222", "admin-secret", None, None, "test");
    if !runs(sandbox, admin, FIRST, AMI).await {
        return Err("the account does not launch".to_owned());
    }
    if !wish["ServiceLinkedRoles"].is_null()
        && !launches(sandbox, &arn(ACCOUNT, SCALING), HOME, AMI).await
    {
        return Err("Auto Scaling does not launch".to_owned());
    }
    let mut back = wish.clone();
    back["Unshare"] = json!(true);
    let reply = drive(sandbox, &json!({ "Distribute": back }), |_| {}).await?;
    expect(
        "Unshare",
        reply["Status"].as_str().unwrap_or_default(),
        "Succeeded",
    )?;
    closed(sandbox)
}

fn policies(reply: &Value) -> Vec<Value> {
    reply["Policies"].as_array().expect("Policies").clone()
}

/// The world for one play.
fn sandbox_of(policies: &[Value], wish: &Value) -> Sandbox {
    let mut world = world_of(policies, wish);
    if wish["CreateServiceLinkedRoles"] != true {
        let spot = Role::service_linked("spot.amazonaws.com", SPOT);
        let last = world.accounts.last_mut().expect("the target");
        last.roles.push(spot);
    }
    Sandbox::new(world)
}

#[tokio::test(start_paused = true)]
async fn agreeing_with_what_the_sandbox_demands() {
    let mut idle = Vec::new();
    // Who had what taken out, and what came of it, with the actions for which the same came.
    let mut seen: Vec<([String; 4], Vec<String>)> = Vec::new();
    // What one request of a mode proved to be needed, its others need not prove again.
    let mut proved = BTreeSet::new();
    for (name, words) in wishes() {
        let wish = wish(&words);
        let all = policies(&told(&wish).await);
        let whole = play(&sandbox_of(&all, &wish), &wish).await;
        assert_eq!(whole, Ok(()), "{name}: {all:#?}");
        for (d, s, a) in actions(&all) {
            let (document, statement) = (&all[d], &all[d]["Document"]["Statement"][s]);
            let (purpose, sid) = (text(&document["For"]), text(&statement["Sid"]));
            let action = text(&statement["Action"][a]);
            // Whom it asks for depends on the audience.
            let of_request = if sid == "Organization" { name } else { "" };
            let what = [
                text(&wish["Mode"]),
                purpose.clone(),
                sid.clone(),
                action.clone(),
            ];
            if !proved.insert((of_request, what)) {
                continue;
            }
            let mut without = all.clone();
            without[d]["Document"]["Statement"][s]["Action"][a] = json!(HARMLESS);
            match play(&sandbox_of(&without, &wish), &wish).await {
                Ok(()) => idle.push(format!("{name}: {purpose}, {sid}, {action}")),
                Err(came) => {
                    let row = [name.to_owned(), purpose, sid, came];
                    match seen.iter_mut().find(|(there, _)| *there == row) {
                        Some((_, actions)) => actions.push(action),
                        None => seen.push((row, vec![action])),
                    }
                }
            }
        }
    }
    assert!(idle.is_empty(), "nothing fails without: {idle:#?}");
    let mut table =
        "| request | document | statement | without | comes |\n|---|---|---|---|---|\n".to_owned();
    for ([name, purpose, sid, came], actions) in seen {
        let actions = actions.join("`, `");
        writeln!(
            table,
            "| {name} | {purpose} | `{sid}` | `{actions}` | {came} |"
        )
        .expect("text");
    }
    shown("docs/permissions.md", "one action taken out", &table);
}

/// Where the actions are that are for the run, one by one.
fn actions(policies: &[Value]) -> Vec<(usize, usize, usize)> {
    let mut all = Vec::new();
    for (d, document) in policies.iter().enumerate() {
        let statements = document["Document"]["Statement"].as_array();
        for (s, statement) in statements.into_iter().flatten().enumerate() {
            let for_people = FOR_PEOPLE.iter().any(|sid| statement["Sid"] == *sid);
            if statement["Effect"] == "Deny" || for_people {
                continue;
            }
            let count = statement["Action"].as_array().map_or(0, Vec::len);
            all.extend((0..count).map(|a| (d, s, a)));
        }
    }
    all
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Whatever is told is documented, with what for.
#[tokio::test(start_paused = true)]
async fn every_action_is_documented() {
    let documented = include_str!("../../docs/permissions.md");
    for (name, words) in wishes() {
        for policy in policies(&told(&wish(&words)).await) {
            let statements = policy["Document"]["Statement"].as_array().expect("a list");
            let run = statements
                .iter()
                .filter(|s| !FOR_PEOPLE.iter().any(|sid| s["Sid"] == *sid));
            for action in run.flat_map(|s| s["Action"].as_array().expect("a list")) {
                let action = action.as_str().expect("text");
                let family =
                    action.starts_with("kms:ReEncrypt") && documented.contains("kms:ReEncrypt*");
                assert!(
                    family || documented.contains(&format!("\"{action}\"")),
                    "{name}: {action}"
                );
                assert!(
                    policy["Reasons"][action]
                        .as_str()
                        .is_some_and(|why| !why.is_empty())
                );
            }
        }
    }
}

/// The example, and the shape of the answer to it.
#[tokio::test(start_paused = true)]
async fn one_answer() {
    let example = include_str!("../../events/policies.json");
    let example: Value = serde_json::from_str(example).expect("an event");
    let reply = told(&example["Policies"]).await;
    assert_eq!(reply["Status"], "Succeeded");
    let shape: Vec<String> = policies(&reply)
        .iter()
        .map(|p| {
            let text = |key: &str| p[key].as_str().unwrap_or("-").to_owned();
            [
                text("For"),
                text("AccountId"),
                text("Region"),
                text("Resource"),
            ]
            .join(" ")
        })
        .collect();
    assert_eq!(
        shape,
        [
            "function role 111111111111 - arn:aws:iam::111111111111:role/amiferry",
            "copy role 222222222222 - arn:aws:iam::222222222222:role/AmiCopyRole",
            "trust of the copy role 222222222222 - arn:aws:iam::222222222222:role/AmiCopyRole",
            "copy role 333333333333 - arn:aws:iam::333333333333:role/AmiCopyRole",
            "trust of the copy role 333333333333 - arn:aws:iam::333333333333:role/AmiCopyRole",
            "source key 111111111111 us-west-2 arn:aws:kms:us-west-2:111111111111:key/11111111-aaaa-bbbb-cccc-000000000001",
            "target key 222222222222 us-west-2 alias/amis",
            "target key 333333333333 us-east-1 alias/amis",
        ]
    );
    let policies = policies(&reply);
    assert_eq!(
        policies[2]["Document"],
        json!({"Version": "2012-10-17", "Statement": [{
            "Sid": "Function", "Effect": "Allow", "Action": ["sts:AssumeRole"],
            "Principal": {"AWS": ["arn:aws:iam::111111111111:root"]},
            // Whether the role has a path, its session does not tell.
            "Condition": {"ArnEquals": {"aws:PrincipalArn": [
                "arn:aws:iam::111111111111:role/amiferry",
                "arn:aws:iam::111111111111:role/*/amiferry",
            ]}},
        }]})
    );
    assert_eq!(
        policies[2]["Reasons"],
        json!({"sts:AssumeRole": "the function, and nobody else"})
    );
    let templates = &reply["CloudFormation"];
    let kinds = |account: &str| -> Vec<String> {
        let resources = templates[account]["Resources"]
            .as_object()
            .expect("resources");
        let kind = |r: &Value| r["Type"].as_str().expect("a type").to_owned();
        resources.values().map(kind).collect()
    };
    assert_eq!(kinds(SOURCE), ["AWS::IAM::ManagedPolicy"]);
    assert!(templates[SOURCE]["Metadata"]["KeyPolicies"]["Statements"][SOURCE_KEY].is_array());
    for account in ["222222222222", "333333333333"] {
        assert_eq!(
            kinds(account),
            ["AWS::IAM::Role", "AWS::KMS::Key", "AWS::KMS::Alias"]
        );
        let role = &templates[account]["Resources"]["CopyRole"]["Properties"];
        assert_eq!(role["RoleName"], "AmiCopyRole");
        assert_eq!(role["Path"], "/");
    }
}
