//! SimulatePrincipalPolicy: the answers that real calls would have had.

use amiferry_sandbox::FULL_AWS_ACCESS;
use serde_json::{Value, json};

use crate::client::Answer;
use crate::policies::permit;
use crate::worlds::{Bench, CONSUMER, COPIER, SOURCE_KEY, TARGET_KEY};

const COPY: &str = "ec2:CopySnapshot";
const DECRYPT: &str = "kms:Decrypt";

fn policy(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

fn limited() -> Bench {
    let bench = Bench::new();
    let policy = policy(&json!([
        {"Effect": "Allow", "Action": "ec2:CopySnapshot", "Resource": "*"},
        {"Effect": "Allow", "Action": "kms:Decrypt", "Resource": TARGET_KEY,
         "Condition": {"StringEquals": {"kms:ViaService": "ec2.us-west-2.amazonaws.com"}}},
        {"Effect": "Deny", "Action": "ec2:DeleteSnapshot", "Resource": "*"},
    ]));
    bench.set_policies(COPIER, &[&policy]);
    bench
}

async fn simulate(bench: &Bench, more: &[(&str, &str)]) -> Answer {
    let mut params = vec![("PolicySourceArn", COPIER)];
    params.extend_from_slice(more);
    bench
        .consumer
        .iam("SimulatePrincipalPolicy", &params)
        .await
        .ok()
}

#[tokio::test(start_paused = true)]
async fn a_simulation_decides_each_action() {
    let bench = limited();
    let actions = [
        ("ActionNames.member.1", COPY),
        ("ActionNames.member.2", "ec2:RegisterImage"),
        ("ActionNames.member.3", "ec2:DeleteSnapshot"),
    ];
    let answer = simulate(&bench, &actions).await;
    assert_eq!(
        answer.texts("EvalDecision"),
        ["allowed", "implicitDeny", "explicitDeny"]
    );
    let names = actions.map(|(_, name)| name);
    assert_eq!(answer.texts("EvalActionName"), names);
    assert_eq!(answer.text("EvalResourceName").as_deref(), Some("*"));
    assert_eq!(answer.text("IsTruncated").as_deref(), Some("false"));
}

#[tokio::test(start_paused = true)]
async fn a_simulation_decides_each_resource_and_reports_the_strictest() {
    let bench = limited();
    let resources = [
        ("ActionNames.member.1", DECRYPT),
        ("ResourceArns.member.1", TARGET_KEY),
        ("ResourceArns.member.2", SOURCE_KEY),
    ];
    let answer = simulate(&bench, &resources).await;
    assert_eq!(answer.text("EvalDecision").as_deref(), Some("implicitDeny"));
    assert!(answer.body.contains("<member>kms:viaservice</member>"));
    let with_context = [
        resources[0],
        resources[1],
        resources[2],
        ("ContextEntries.member.1.ContextKeyName", "kms:ViaService"),
        (
            "ContextEntries.member.1.ContextKeyValues.member.1",
            "ec2.us-west-2.amazonaws.com",
        ),
        ("ContextEntries.member.1.ContextKeyType", "string"),
    ];
    let answer = simulate(&bench, &with_context).await;
    assert_eq!(
        answer.texts("EvalResourceDecision"),
        ["allowed", "implicitDeny"]
    );
    assert_eq!(answer.texts("EvalResourceName"), [TARGET_KEY, SOURCE_KEY]);
    assert_eq!(answer.text("EvalDecision").as_deref(), Some("implicitDeny"));
    assert!(!answer.body.contains("kms:viaservice"));
}

#[tokio::test(start_paused = true)]
async fn a_simulation_shows_a_denial_by_service_control_policy() {
    let bench = limited();
    let action = [("ActionNames.member.1", COPY)];
    let answer = simulate(&bench, &action).await;
    let allowed = "AllowedByOrganizations";
    assert_eq!(answer.text(allowed).as_deref(), Some("true"));
    let deny = policy(&json!([{"Effect": "Deny", "Action": COPY, "Resource": "*"}]));
    let only_kms = policy(
        &json!([{"Effect": "Allow", "Action": "kms:*", "Resource": "*"},
        {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]),
    );
    for (policies, decision) in [
        (vec![FULL_AWS_ACCESS, &deny], "explicitDeny"),
        (vec![only_kms.as_str()], "implicitDeny"),
    ] {
        let changed = bench
            .sandbox
            .edit(|aws| aws.set_service_control_policies(CONSUMER, &policies));
        assert_eq!(changed, Ok(true));
        let answer = simulate(&bench, &action).await;
        assert_eq!(answer.text("EvalDecision").as_deref(), Some(decision));
        assert_eq!(answer.text(allowed).as_deref(), Some("false"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_simulated_resource_policy_applies_to_every_resource() {
    let bench = Bench::new();
    bench.set_policies(COPIER, &[]);
    let user = "arn:aws:iam::222222222222:user/nobody";
    let naming = |who: &str, effect: &str| {
        let mut statement = permit(who, "kms:*");
        statement["Effect"] = json!(effect);
        policy(&json!([statement]))
    };
    let (root, user_allowed) = (
        naming("arn:aws:iam::222222222222:root", "Allow"),
        naming(user, "Allow"),
    );
    for (resource, text, caller, decision) in [
        (TARGET_KEY, &naming(COPIER, "Allow"), COPIER, "allowed"),
        (TARGET_KEY, &root, COPIER, "implicitDeny"),
        (TARGET_KEY, &user_allowed, COPIER, "implicitDeny"),
        (TARGET_KEY, &user_allowed, user, "allowed"),
        (TARGET_KEY, &naming(user, "Deny"), user, "explicitDeny"),
        // A foreign key needs the caller's own policies as well.
        (SOURCE_KEY, &user_allowed, user, "implicitDeny"),
    ] {
        let params = [
            ("ActionNames.member.1", DECRYPT),
            ("ResourceArns.member.1", resource),
            ("ResourcePolicy", text.as_str()),
            ("CallerArn", caller),
        ];
        let answer = simulate(&bench, &params).await;
        assert_eq!(
            answer.text("EvalDecision").as_deref(),
            Some(decision),
            "{resource} {caller}"
        );
    }
}
