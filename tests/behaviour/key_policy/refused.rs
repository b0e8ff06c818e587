//! Policies that KMS refuses, and requests that the run refuses first, each with its cause and
//! remedy.

use amiferry_sandbox::Fault;

use super::*;

fn failed(reply: &Value, account: &'static str) -> (String, String, String) {
    let result = target(reply, (account, HOME));
    assert_eq!(result["Status"], "Failed", "{result}");
    let word = |key: &str| result[key].as_str().unwrap().to_owned();
    (word("Cause"), word("Reason"), word("Remedy"))
}

/// KMS refuses the whole policy over one account that does not exist. The run finds that account,
/// which fails alone.
#[tokio::test(start_paused = true)]
async fn accounts_that_do_not_exist_fail_alone() {
    let places: Vec<Place> = [
        "222222222222",
        "333333333333",
        "444444444444",
        "555555555555",
        "666666666666",
        "777777777777",
    ]
    .map(|account| (account, HOME))
    .to_vec();
    for gone in [
        vec!["999999999999"],
        vec!["000000000001", "444444444445", "999999999999"],
    ] {
        let sandbox = Sandbox::new(editing_world(&places));
        let before = key_policy(&sandbox).await;
        let all: Vec<&str> = places
            .iter()
            .map(|p| p.0)
            .chain(gone.iter().copied())
            .collect();
        let reply = to_the_end(&sandbox, &share(&all, &json!({}))).await;
        assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
        for account in &gone {
            let (cause, reason, remedy) = failed(&reply, account);
            assert_eq!(cause, "UnknownAccount");
            assert!(
                reason.contains("MalformedPolicy") || reason.contains(account),
                "{reason}"
            );
            assert!(remedy.contains(account), "{remedy}");
        }
        assert_eq!(
            named(&sandbox),
            places.iter().map(|p| p.0).collect::<Vec<_>>()
        );
        let image = sandbox.edit(|aws| aws.image(AMI)).unwrap();
        assert_eq!(image.launch_permissions.len(), places.len());
        to_the_end(&sandbox, &share(&all, &json!({"Unshare": true}))).await;
        assert_ended(&sandbox, &before).await;
    }
    let sandbox = Sandbox::new(editing_world(&TWO));
    let reply = to_the_end(&sandbox, &share(&["999999999999"], &json!({}))).await;
    assert_eq!(failed(&reply, "999999999999").0, "UnknownAccount");
}

/// The policy names a principal that has been deleted since, and KMS refuses any write of it.
#[tokio::test(start_paused = true)]
async fn a_policy_that_names_a_deleted_principal_has_its_own_cause() {
    let policy = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:role/AmiCopyRole"},
         "Action": "kms:Verify", "Resource": "*"}]})
    .to_string();
    let sandbox = Sandbox::new(world_with(editing_with(&policy), &TWO));
    sandbox.edit(|aws| assert!(aws.drop_principal("arn:aws:iam::222222222222:role/AmiCopyRole")));
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({}))).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let (cause, reason, remedy) = failed(&reply, ONE);
    assert_eq!(cause, "KeyPolicyRefused");
    assert!(reason.contains("as it stands"), "{reason}");
    assert!(remedy.contains("deleted since"), "{remedy}");
    assert_ended(&sandbox, &policy).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_would_exceed_32_kb_is_not_written() {
    let long = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"},
         "Action": "kms:*", "Resource": "*"},
        {"Sid": "x".repeat(32_000), "Effect": "Allow",
         "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:Verify",
         "Resource": "*"}]})
    .to_string();
    let sandbox = Sandbox::new(world_with(editing_with(&long), &TWO));
    for event in [by_policy(&[(ONE, HOME)]), share(&[ONE], &json!({}))] {
        let reply = to_the_end(&sandbox, &event).await;
        assert_eq!(reply["Status"], "Failed", "{reply}");
        let (cause, reason, remedy) = failed(&reply, ONE);
        assert_eq!(cause, "KeyPolicyTooLong");
        assert!(reason.contains("at most 32768"), "{reason}");
        assert!(
            remedy.contains("OrganizationId") && remedy.contains("KeyAccess: Grant"),
            "{remedy}"
        );
        assert_eq!(calls(&sandbox, "PutKeyPolicy"), 0);
        assert_ended(&sandbox, &long).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_of_another_account_is_refused_before_anything_is_opened() {
    let elsewhere = key_arn((OTHER, HOME));
    let sandbox = Sandbox::new(editing_world(&[(ONE, HOME), (OTHER, HOME)]));
    sandbox.edit(|aws| {
        aws.change_snapshot(DATA, |s| s.kms_key_arn = Some(elsewhere.clone()));
    });
    for event in [by_policy(&[(ONE, HOME)]), share(&[ONE], &json!({}))] {
        let error = call(&sandbox, &event).await.unwrap_err();
        assert_eq!(error.error_type(), "InvalidRequest", "{error}");
        let said = error.to_string();
        assert!(
            said.starts_with("KeyAccess: is Policy, but only account 333333333333"),
            "{said}"
        );
        assert!(
            said.contains("say None") && said.contains("say Grant"),
            "{said}"
        );
    }
    assert_eq!(
        calls(&sandbox, "ModifySnapshotAttribute") + calls(&sandbox, "PutKeyPolicy"),
        0
    );
}

/// The reply names the action and the key. Nothing stays open, and the run is not stuck.
#[tokio::test(start_paused = true)]
async fn a_denied_policy_read_or_write_fails_the_run_and_names_the_action() {
    for denied in ["GetKeyPolicy", "PutKeyPolicy"] {
        for event in [
            by_policy(&[(ONE, HOME)]),
            share(&[ONE], &json!({})),
            share(&[], &json!({"OrganizationId": "o-abcdefghij"})),
        ] {
            let sandbox = Sandbox::new(super::copying::organized());
            let before = key_policy(&sandbox).await;
            sandbox.set_fault(move |call| {
                if call.operation == denied {
                    return refuse("AccessDeniedException", "not authorized");
                }
                Fault::None
            });
            let reply = to_the_end(&sandbox, &event).await;
            assert_ne!(reply["Status"], "Stuck", "{reply}");
            assert_ne!(reply["Status"], "Succeeded", "{reply}");
            let result = match reply["Result"].get("Audience") {
                Some(audience) => audience.clone(),
                None => target(&reply, (ONE, HOME)).clone(),
            };
            assert_eq!(result["Status"], "Failed", "{result}");
            assert!(
                result["Reason"].as_str().unwrap().starts_with(denied),
                "{result}"
            );
            let remedy = result["Remedy"].as_str().unwrap();
            assert!(
                remedy.contains(
                    "kms:GetKeyPolicy and kms:PutKeyPolicy on arn:aws:kms:us-west-2:\
             111111111111:key/"
                ),
                "{remedy}"
            );
            sandbox.clear_fault();
            assert_ended(&sandbox, &before).await;
        }
    }
}

/// The run does not bypass KMS's lockout check, and the reply contains its message.
#[tokio::test(start_paused = true)]
async fn a_policy_that_would_lock_out_the_caller_is_not_forced() {
    let sandbox = Sandbox::new(editing_world(&TWO));
    let before = key_policy(&sandbox).await;
    sandbox.set_fault(|call| {
        assert!(
            !call.params.keys().any(|key| key.starts_with("Bypass")),
            "{call:?}"
        );
        if call.operation == "PutKeyPolicy" {
            return refuse(
                "MalformedPolicyDocumentException",
                "The new key policy will not allow you to update the key policy in the future.",
            );
        }
        Fault::None
    });
    let reply = to_the_end(&sandbox, &share(&[ONE, OTHER], &json!({}))).await;
    let (cause, reason, remedy) = failed(&reply, OTHER);
    assert_eq!(cause, "KeyPolicyRefused");
    assert!(reason.contains("will not allow you to update"), "{reason}");
    assert!(
        remedy.contains("kms:PutKeyPolicy after the change"),
        "{remedy}"
    );
    assert_eq!(calls(&sandbox, "PutKeyPolicy"), 1, "nobody is looked for");
    sandbox.clear_fault();
    assert_ended(&sandbox, &before).await;
}

/// The reply lists the statements with commands. Once the role is mended, the same event removes
/// them.
#[tokio::test(start_paused = true)]
async fn statements_that_cannot_be_removed_are_listed_with_commands() {
    for event in [
        by_policy(&[(ONE, HOME)]),
        share(&[ONE], &json!({"Unshare": true})),
    ] {
        let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
        let before = key_policy(&sandbox).await;
        if event["Distribute"]["Unshare"] == true {
            to_the_end(&sandbox, &share(&[ONE], &json!({}))).await;
        }
        sandbox.set_fault(|call| {
            if call.operation == "PutKeyPolicy" && !call.params["Policy"].contains("Amiferry") {
                return refuse("AccessDeniedException", "not authorized");
            }
            Fault::None
        });
        let reply = to_the_end(&sandbox, &event).await;
        assert_eq!(reply["Status"], "Stuck", "{reply}");
        let commands = reply["Result"]["Stuck"][0]["Commands"].to_string();
        let sids = format!(
            "begins with Amiferry{}",
            reply["Result"]["RunId"].as_str().unwrap()
        );
        assert!(
            commands.contains("aws kms get-key-policy") && commands.contains(&sids),
            "{commands}"
        );
        assert!(commands.contains("aws kms put-key-policy"), "{commands}");
        assert_eq!(parts(&sandbox).len(), 3);
        sandbox.clear_fault();
        assert_eq!(to_the_end(&sandbox, &event).await["Status"], "Succeeded");
        assert_ended(&sandbox, &before).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_unencrypted_image_needs_no_edit_of_a_key_policy() {
    let sandbox = Sandbox::new(editing_world(&[(ONE, HOME)]));
    sandbox.edit(|aws| {
        for id in [ROOT, DATA] {
            aws.change_snapshot(id, |s| {
                s.encrypted = false;
                s.kms_key_arn = None;
            });
        }
    });
    let reply = to_the_end(&sandbox, &by_policy(&[(ONE, HOME)])).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(
        calls(&sandbox, "GetKeyPolicy") + calls(&sandbox, "PutKeyPolicy"),
        0
    );
    assert_closed(&sandbox);
}

/// A state that claims an almost finished share of a key opens that key to nobody.
#[tokio::test(start_paused = true)]
async fn a_forged_state_of_a_share_opens_no_key() {
    let other = "11111111-aaaa-bbbb-cccc-000000000009";
    let account = editing().key(amiferry_sandbox::Key::new(HOME, other));
    let sandbox = Sandbox::new(world_with(account, &TWO));
    sandbox.set_fault(|call| match call.operation.as_str() {
        "GetKeyPolicy" => Fault::Refuse {
            status: 400,
            code: "ThrottlingException".to_owned(),
            message: "slowly".to_owned(),
        },
        _ => Fault::None,
    });
    let reply = call(&sandbox, &share(&[ONE], &json!({}))).await.unwrap();
    sandbox.clear_fault();
    let mut state = reply["State"].clone();
    assert_eq!(state["Targets"][0]["Phase"], "Ready", "{reply}");
    (state["Phase"], state["Targets"][0]["Phase"]) = (json!("Revoking"), json!("Succeeded"));
    let key = format!("arn:aws:kms:{HOME}:{SOURCE}:key/{other}");
    let before = sandbox.key_policy(&key).unwrap();
    state["Source"]["Keys"] = json!([key]);
    to_the_end(&sandbox, &json!({"State": state})).await;
    assert_eq!(sandbox.key_policy(&key).unwrap(), before);
}
