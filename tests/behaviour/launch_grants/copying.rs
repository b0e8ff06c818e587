//! After `Mode: Copy`: on the target's own key.

use std::time::Duration;

use super::*;

#[tokio::test(start_paused = true)]
async fn auto_scaling_and_spot_launch_only_from_copies_made_for_them() {
    let sandbox = Sandbox::new(launching_world());
    let (account, region) = TWO[0];
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    let image = target(&reply, TWO[0])["ImageId"]
        .as_str()
        .unwrap()
        .to_owned();
    for role in [SCALING, SUFFIXED, SPOT] {
        assert!(!launches(&sandbox, &arn(account, role), region, &image).await);
    }
    // The same request with the services listed copies nothing, and they launch.
    let copied = calls(&sandbox, "CopySnapshot");
    let reply = to_the_end(&sandbox, &distribute_to_launch(&TWO, &ALL)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopySnapshot"), copied);
    assert_granted(&sandbox, &TWO);
    for (account, region) in TWO {
        let image = sandbox.images(account, region).remove(0).image_id;
        for role in [SCALING, SUFFIXED, SPOT] {
            assert!(launches(&sandbox, &arn(account, role), region, &image).await);
        }
    }
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_launch_grant_serves_its_grantee_only_and_is_made_once() {
    let sandbox = Sandbox::new(launching_world());
    for _ in 0..3 {
        let reply = to_the_end(&sandbox, &distribute_to_launch(&TWO, &ALL[..1])).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
    }
    let (account, region) = TWO[0];
    let [grant] = &launch_grants(&sandbox, &key_arn(TWO[0]))[..] else {
        panic!("one grant");
    };
    assert_eq!(
        grant.name.as_deref(),
        Some("amiferry-launch-AWSServiceRoleForAutoScaling")
    );
    let image = sandbox.images(account, region).remove(0).image_id;
    assert!(launches(&sandbox, &arn(account, SCALING), region, &image).await);
    assert!(!launches(&sandbox, &arn(account, SPOT), region, &image).await);
    let to_roles = sandbox
        .ledger()
        .iter()
        .filter(|call| call.operation == "CreateGrant" && call.account != SOURCE)
        .count();
    assert_eq!(to_roles, 2, "once for each target");
}

/// The role of EKS's node groups launches nothing itself, so an account needs none.
#[tokio::test(start_paused = true)]
async fn eks_node_groups_launch_from_a_copy_through_auto_scaling() {
    let sandbox = Sandbox::new(launching_world());
    let (account, region) = TWO[0];
    let services = ["eks-nodegroup.amazonaws.com", "autoscaling.amazonaws.com"];
    let reply = to_the_end(&sandbox, &distribute_to_launch(&TWO, &services)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let image = sandbox.images(account, region).remove(0).image_id;
    assert!(launches(&sandbox, &arn(account, SCALING), region, &image).await);
    assert_eq!(launch_grants(&sandbox, &key_arn(TWO[0])).len(), 1);
}

/// The account's own key for EBS admits every principal of the account.
#[tokio::test(start_paused = true)]
async fn services_launch_from_a_copy_under_aws_ebs_without_a_grant() {
    let sandbox = Sandbox::new(launching_world());
    let mut event = distribute_to_launch(&TWO, &ALL);
    for target in event["Distribute"]["Targets"].as_array_mut().unwrap() {
        target.as_object_mut().unwrap().remove("KmsKeyId");
    }
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for (account, region) in TWO {
        let key = sandbox.edit(|aws| aws.aws_ebs_key(account, region));
        assert_eq!(launch_grants(&sandbox, &key).len(), 0);
        let image = sandbox.images(account, region).remove(0).image_id;
        assert!(launches(&sandbox, &arn(account, SCALING), region, &image).await);
    }
}

/// A grant under another name suffices if it allows the same operations.
#[tokio::test(start_paused = true)]
async fn a_sufficient_grant_of_somebody_else_is_not_repeated() {
    for (operations, constrained, enough) in [
        (OPERATIONS.to_vec(), false, true),
        (OPERATIONS[1..].to_vec(), false, false),
        (OPERATIONS.to_vec(), true, false),
    ] {
        let sandbox = Sandbox::new(launching_world());
        for place in TWO {
            let constraints = aws_sdk_kms::types::GrantConstraints::builder()
                .encryption_context_subset("aws:ebs:id", "vol-0123456789abcdef0")
                .build();
            let grant = administrator(&sandbox, place)
                .create_grant()
                .key_id(key_arn(place))
                .grantee_principal(arn(place.0, SCALING))
                .set_operations(Some(operations.clone()))
                .set_constraints(constrained.then_some(constraints))
                .name("by-hand");
            grant.send().await.expect("an administrator may");
        }
        let reply = to_the_end(&sandbox, &distribute_to_launch(&TWO, &ALL[..1])).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        for place in TWO {
            let there = launch_grants(&sandbox, &key_arn(place)).len();
            assert_eq!(there, if enough { 1 } else { 2 }, "{operations:?}");
            let image = sandbox.images(place.0, place.1).remove(0).image_id;
            assert!(launches(&sandbox, &arn(place.0, SCALING), place.1, &image).await);
        }
    }
}

/// The valid copy stays. The reply names it with the missing role, and the next run makes only the
/// grant.
#[tokio::test(start_paused = true)]
async fn a_missing_service_linked_role_fails_its_target_and_keeps_the_copy() {
    let world = World::new()
        .copy_mib_per_second(4096.0)
        .account(producer())
        .account(target_account(
            TWO[0].0,
            &[TWO[0].1],
            &[SCALING, SUFFIXED, SPOT],
        ))
        .account(target_account(TWO[1].0, &[TWO[1].1], &[SCALING]));
    let sandbox = Sandbox::new(world);
    let event = distribute_to_launch(&TWO, &ALL);
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let result = target(&reply, TWO[1]);
    assert_eq!(
        (&result["Status"], &result["Cause"]),
        (&json!("Failed"), &json!("ServiceLinkedRoleMissing")),
        "{result}"
    );
    let said = result["Reason"].as_str().unwrap();
    assert!(
        said.contains("AWSServiceRoleForAutoScaling_blue.green, AWSServiceRoleForEC2Spot")
            && said.contains("InvalidArnException"),
        "{said}"
    );
    let remedy = result["Remedy"].as_str().unwrap();
    for part in [
        "In account 333333333333: aws iam create-service-linked-role \
         --aws-service-name autoscaling.amazonaws.com --custom-suffix blue.green; ",
        "--aws-service-name spot.amazonaws.com; or give the request CreateServiceLinkedRoles: true",
        "the AMI and its snapshots are kept",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
    assert_eq!(
        remedy.matches("aws iam").count(),
        2,
        "one is there: {remedy}"
    );
    let image = assert_one_image(&sandbox, TWO[1]);
    assert_eq!(result["ImageId"], image.image_id);
    assert_eq!(result["Snapshots"].as_object().unwrap().len(), 2);
    assert_eq!(
        calls(&sandbox, "CreateServiceLinkedRole"),
        0,
        "nobody asked for it"
    );
    assert_closed(&sandbox);

    let copied = calls(&sandbox, "CopySnapshot");
    make_role(&sandbox, TWO[1], SUFFIXED.0, Some("blue.green")).await;
    make_role(&sandbox, TWO[1], SPOT.0, None).await;
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopySnapshot"), copied);
    assert_granted(&sandbox, &TWO);
    assert_whole(&sandbox, &TWO);
}

/// KMS learns of a new role late.
#[tokio::test(start_paused = true)]
async fn service_linked_roles_are_made_on_request_and_awaited() {
    for (delay, succeeds) in [(0, true), (90, true), (300, true), (3600, false)] {
        let world = launching_world_with(&[]).principal_delay(Duration::from_secs(delay));
        let sandbox = Sandbox::new(world);
        let mut event = distribute_to_launch(&TWO, &ALL);
        event["Distribute"]["CreateServiceLinkedRoles"] = json!("true");
        let reply = to_the_end(&sandbox, &event).await;
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
        if succeeds {
            assert_eq!(reply["Status"], "Succeeded", "{delay}: {reply}");
            assert_granted(&sandbox, &TWO);
            for (account, region) in TWO {
                let image = sandbox.images(account, region).remove(0).image_id;
                for role in [SCALING, SUFFIXED, SPOT] {
                    assert!(launches(&sandbox, &arn(account, role), region, &image).await);
                }
            }
        } else {
            let result = target(&reply, TWO[0]);
            assert_eq!(result["Cause"], "ServiceLinkedRoleMissing", "{result}");
            assert!(result["ImageId"].is_string());
        }
    }
}

/// The copy role may find a missing service-linked role but not make it, or do neither.
#[tokio::test(start_paused = true)]
async fn a_copy_role_that_may_not_make_roles_fails_its_target_and_keeps_the_copy() {
    let launch = documented("LetLaunch");
    let listing: Value = serde_json::from_str(&launch).unwrap();
    let granting = &listing["Statement"].as_array().unwrap()[..2];
    let listing = json!({"Version": "2012-10-17", "Statement": granting}).to_string();
    for (policy, roles, cause, said, remedy) in [
        (
            Some(listing),
            &[] as &[(&str, &str)],
            "ServiceLinkedRoleMissing",
            "CreateServiceLinkedRole",
            "iam:CreateServiceLinkedRole",
        ),
        (
            None,
            &[SCALING],
            "LaunchGrantMissing",
            "ListGrants",
            "kms:ListGrants",
        ),
    ] {
        let place = TWO[0];
        let mut account = target_account(place.0, &[place.1], roles);
        account.roles[0] = copy_role(place.0, &[place.1]);
        if let Some(policy) = policy {
            account.roles[0] = account.roles[0].clone().policy(policy);
        }
        let world = World::new()
            .copy_mib_per_second(4096.0)
            .account(producer())
            .account(account);
        let sandbox = Sandbox::new(world);
        let mut event = distribute(&[place]);
        event["Distribute"]["ServiceLinkedRoles"] = json!(ALL[0]);
        event["Distribute"]["CreateServiceLinkedRoles"] = json!(true);
        let reply = to_the_end(&sandbox, &event).await;
        let result = target(&reply, place);
        assert_eq!(result["Cause"], cause, "{result}");
        assert!(
            result["Reason"].as_str().unwrap().contains(said),
            "{result}"
        );
        assert!(
            result["Remedy"].as_str().unwrap().contains(remedy),
            "{result}"
        );
        assert_eq!(
            result["ImageId"],
            assert_one_image(&sandbox, place).image_id
        );
        assert_closed(&sandbox);
    }
}
