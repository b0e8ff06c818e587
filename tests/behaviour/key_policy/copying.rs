//! Copies, by accounts, organization and units.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amiferry_sandbox::{Fault, Organization};

use super::*;

/// The statements of the run at each CopySnapshot, by their names without the run.
type Seen = Arc<Mutex<Vec<Vec<(String, Value)>>>>;

/// Notes the statements at each CopySnapshot.
fn watch(sandbox: &Sandbox) -> Seen {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (world, keep) = (sandbox.clone(), seen.clone());
    sandbox.set_fault(move |call| {
        if call.operation == "CopySnapshot" {
            keep.lock().unwrap().push(ours(&world));
        }
        Fault::None
    });
    seen
}

#[tokio::test(start_paused = true)]
async fn a_copy_by_policy_adds_statements_and_removes_them() {
    let sandbox = Sandbox::new(editing_world(&FOUR));
    let before = key_policy(&sandbox).await;
    let seen = watch(&sandbox);
    let reply = to_the_end(&sandbox, &by_policy(&FOUR)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &FOUR);
    assert_eq!(calls(&sandbox, "CreateGrant"), 0);
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 8);
    for statements in &seen {
        let [describe, using, grant] = statements.as_slice() else {
            panic!("{statements:?}")
        };
        assert_eq!(
            [&describe.0, &using.0, &grant.0],
            ["Describe", "Use", "Grant"]
        );
        assert_eq!(
            accounts_in(&using.1),
            ["222222222222", "333333333333", "444444444444"]
        );
        assert_eq!(
            using.1["Condition"]["ArnLike"]["aws:PrincipalArn"],
            "arn:aws:iam::*:role/AmiCopyRole"
        );
        assert_eq!(
            using.1["Condition"]["StringEquals"]["kms:ViaService"],
            json!([
                "ec2.eu-west-1.amazonaws.com",
                "ec2.us-east-1.amazonaws.com",
                "ec2.us-west-2.amazonaws.com"
            ])
        );
    }
    assert_ended(&sandbox, &before).await;
}

/// The second run finds every image, and opens nothing.
#[tokio::test(start_paused = true)]
async fn an_existing_copy_needs_no_edit_of_the_key_policy() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    to_the_end(&sandbox, &by_policy(&TWO)).await;
    let written = calls(&sandbox, "PutKeyPolicy");
    assert_eq!(written, 2, "in and out");
    let begun = sandbox.now();
    assert_eq!(
        to_the_end(&sandbox, &by_policy(&TWO)).await["Status"],
        "Succeeded"
    );
    assert_eq!(calls(&sandbox, "PutKeyPolicy"), written);
    assert!(sandbox.now().duration_since(begun).unwrap() < Duration::from_secs(10));
    assert_ended(&sandbox, &before).await;
}

/// A statement's condition names a role of another name by itself.
#[tokio::test(start_paused = true)]
async fn roles_of_several_names_stand_in_statements_one_by_one() {
    let mut other = consumer(OTHER, &[HOME]);
    other.roles[0].name = "Elsewhere".to_owned();
    let world = World::new()
        .copy_mib_per_second(4096.0)
        .account(editing())
        .account(consumer(ONE, &[HOME]))
        .account(other);
    let sandbox = Sandbox::new(world);
    sandbox.edit(|aws| {
        let mut policy: Value = serde_json::from_str(&documented("Find")).unwrap();
        let mut statements = policy["Statement"].as_array_mut().unwrap().iter_mut();
        let targets = statements.find(|s| s["Sid"] == "Targets").unwrap();
        targets["Resource"] = json!("*");
        let (policy, keys) = (policy.to_string(), documented("KeyPolicies"));
        aws.set_policies("arn:aws:iam::111111111111:role/amiferry", &[&policy, &keys])
            .unwrap()
    });
    let seen = watch(&sandbox);
    let mut event = by_policy(&[(ONE, HOME), (OTHER, HOME)]);
    event["Distribute"]["Targets"][1]["RoleName"] = json!("Elsewhere");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let seen = seen.lock().unwrap().clone();
    assert_eq!(
        seen[0][0].1["Condition"]["ArnLike"]["aws:PrincipalArn"],
        json!([
            "arn:aws:iam::222222222222:role/AmiCopyRole",
            "arn:aws:iam::333333333333:role/Elsewhere"
        ])
    );
}

const ORG: &str = "o-abcdefghij";
const TEAM: &str = "ou-ab12-11111111";
const INNER: &str = "ou-ab12-22222222";

/// Returns a world with two accounts in a unit, one of them in a unit inside, and one outside.
pub fn organized() -> World {
    let organization = Organization::new(ORG, SOURCE, "r-ab12")
        .unit(TEAM, "team", "r-ab12")
        .unit(INNER, "inner", TEAM);
    World::new()
        .copy_mib_per_second(4096.0)
        .organization(organization)
        .account(editing().parent("r-ab12"))
        .account(consumer(ONE, &[HOME]).parent(TEAM))
        .account(consumer(OTHER, &[HOME]).parent(INNER))
        .account(consumer("555555555555", &[HOME]).parent("r-ab12"))
}

#[tokio::test(start_paused = true)]
async fn an_organization_and_its_units_are_conditions_of_the_statement() {
    let paths = format!("{ORG}/*/{TEAM}/*");
    for (whom, count, paths) in [
        (json!({"OrganizationalUnitIds": TEAM}), 2, json!(paths)),
        (json!({"OrganizationId": ORG}), 3, Value::Null),
    ] {
        let sandbox = Sandbox::new(organized());
        let before = key_policy(&sandbox).await;
        let seen = watch(&sandbox);
        let mut request = whom.clone();
        request["SourceImageId"] = json!(AMI);
        request["TargetKmsKeyIds"] = json!("alias/amis");
        request["KeyAccess"] = json!("Policy");
        let reply = to_the_end(&sandbox, &json!({"Distribute": request})).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_eq!(reply["Result"]["Targets"].as_array().unwrap().len(), count);
        for statements in seen.lock().unwrap().iter() {
            let names: Vec<&str> = statements.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["DescribeMembers", "UseMembers", "GrantMembers"]);
            for (_, statement) in statements {
                let condition = &statement["Condition"];
                assert_eq!(statement["Principal"], json!({"AWS": "*"}));
                assert_eq!(condition["StringEquals"]["aws:PrincipalOrgID"], ORG);
                assert_eq!(
                    condition["ForAnyValue:StringLike"]["aws:PrincipalOrgPaths"],
                    paths
                );
                assert_eq!(
                    condition["ArnLike"]["aws:PrincipalArn"],
                    "arn:aws:iam::*:role/AmiCopyRole"
                );
            }
        }
        assert_ended(&sandbox, &before).await;
    }
}

/// The other statements are odd but legal JSON.
#[tokio::test(start_paused = true)]
async fn other_peoples_statements_survive_to_the_byte() {
    let root = concat!(
        r#""Effect" : "Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"#,
        r#""Action":["kms:*"],"Resource":"*""#
    );
    for policy in [
        format!("{{\"Statement\":{{{root}}}}}"),
        format!(" {{\n \"Statement\" : {{ {root} }} ,\t\"Id\" : \"\\u0053tatement\"\r\n}} "),
        format!("{{\"Statement\" : [ {{{root}}} ]}}"),
        format!(
            "{{\"Id\":\"\\\"Statement\\\":[\",\"Version\":\"2008-10-17\",\
             \"Statement\":[{{\"Sid\":\"\\u0041miferry é😀 Use\",{root}}},\n\
             {{\"Sid\":\"AmiferryUse\",\"Effect\":\"Deny\",\"NotPrincipal\":{{\"AWS\":[\
             \"arn:aws:iam::111111111111:root\",\"arn:aws:iam::111111111111:role/amiferry\",\
             \"arn:aws:iam::222222222222:root\",\"arn:aws:iam::222222222222:role/AmiCopyRole\"]}},\
             \"Action\":\"kms:ScheduleKeyDeletion\",\"Resource\":\"*\"}}]}}"
        ),
    ] {
        let sandbox = Sandbox::new(world_with(editing_with(&policy), &[(ONE, HOME)]));
        let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
        assert_eq!(reply["Status"], "Succeeded", "{policy}: {reply}");
        assert!(calls(&sandbox, "PutKeyPolicy") >= 2);
        assert_ended(&sandbox, &policy).await;
    }
}

/// A new key policy takes effect late.
#[tokio::test(start_paused = true)]
async fn copies_wait_until_a_new_key_policy_works() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    let (world, written) = (sandbox.clone(), Mutex::new(None));
    sandbox.set_fault(move |call| {
        let mut written = written.lock().unwrap();
        if call.operation == "PutKeyPolicy" {
            written.get_or_insert(world.now());
        }
        let age = written.map(|at| world.now().duration_since(at).unwrap_or_default());
        let young = age.is_none_or(|age| age < Duration::from_mins(4));
        let of_source = call
            .params
            .get("KeyId")
            .is_some_and(|key| key == SOURCE_KEY);
        if call.operation == "DescribeKey" && call.account != SOURCE && of_source && young {
            return refuse("AccessDeniedException", "not yet");
        }
        Fault::None
    });
    let reply = to_the_end(&sandbox, &by_policy(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_eq!(calls(&sandbox, "CopySnapshot"), 4, "none before it counts");
    assert_ended(&sandbox, &before).await;
}

#[tokio::test(start_paused = true)]
async fn statements_stay_with_revoke_after_copy_false() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let mut event = by_policy(&TWO);
    event["Distribute"]["RevokeAfterCopy"] = json!(false);
    assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
    assert_eq!(parts(&sandbox), ["Describe", "Use", "Grant"]);
    let snapshots = sandbox.snapshots(SOURCE, HOME);
    let tags = snapshots.iter().flat_map(|s| s.tags.keys());
    assert!(!tags.into_iter().any(|key| key.starts_with("amiferry:")));
}
