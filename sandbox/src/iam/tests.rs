//! Evaluation of whole documents; the parts are tested beside their code.

mod conditions;
mod principals;
mod refusals;

use super::*;

pub(super) const KEY: &str =
    "arn:aws:kms:us-east-1:111111111111:key/11111111-2222-3333-4444-555555555555";

pub(super) fn session() -> Principal {
    Principal {
        arn: "arn:aws:sts::222222222222:assumed-role/AmiCopyRole/run-1".to_owned(),
        role_arn: Some("arn:aws:iam::222222222222:role/ops/AmiCopyRole".to_owned()),
        account: "222222222222".to_owned(),
        org_id: Some("o-exampleorg".to_owned()),
        org_path: Some("o-exampleorg/r-ab12/ou-ab12-11111111/".to_owned()),
        service: None,
        source_function: None,
    }
}

pub(super) fn policy(statement: &str) -> Policy {
    Policy::parse(&format!(
        r#"{{"Version":"2012-10-17","Statement":{statement}}}"#
    ))
    .unwrap()
}

pub(super) fn context(pairs: &[(&str, &[&str])]) -> Context {
    let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    pairs
        .iter()
        .map(|(key, values)| ((*key).to_owned(), owned(values)))
        .collect()
}

fn identity(statements: &[&str], action: &str, resource: &str) -> Decision {
    let policies: Vec<Policy> = statements
        .iter()
        .map(|statement| policy(statement))
        .collect();
    let (principal, context) = (session(), Context::new());
    evaluate_identity(
        &policies,
        &Request {
            principal: &principal,
            action,
            resource,
            context: &context,
        },
    )
}

const SNAPSHOT: &str = "arn:aws:ec2:us-east-1::snapshot/snap-0123456789abcdef0";

#[test]
fn an_action_that_no_policy_allows_is_denied() {
    assert_eq!(
        identity(&[], "ec2:CopySnapshot", "*"),
        Decision::ImplicitDeny
    );
    let allow = r#"{"Effect":"Allow","Action":"ec2:CopySnapshot","Resource":"*"}"#;
    assert_eq!(
        identity(&[allow], "ec2:CopySnapshot", SNAPSHOT),
        Decision::Allow
    );
    assert_eq!(
        identity(&[allow], "ec2:CopyImage", SNAPSHOT),
        Decision::ImplicitDeny
    );
}

#[test]
fn a_deny_of_any_policy_wins_and_carries_its_sid() {
    let allow = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let deny = r#"{"Sid":"NoCopies","Effect":"Deny","Action":"ec2:Copy*","Resource":"*"}"#;
    let denied = Decision::ExplicitDeny {
        sid: Some("NoCopies".to_owned()),
    };
    for order in [[allow, deny], [deny, allow]] {
        assert_eq!(identity(&order, "ec2:CopyImage", "*"), denied);
        assert_eq!(identity(&order, "ec2:RegisterImage", "*"), Decision::Allow);
    }
}

#[test]
fn actions_match_in_any_case_and_resources_do_not() {
    let allow = r#"{"Effect":"Allow","Action":["EC2:copysnap*"],
                    "Resource":"arn:aws:ec2:*::snapshot/snap-*"}"#;
    assert_eq!(
        identity(&[allow], "ec2:CopySnapshot", SNAPSHOT),
        Decision::Allow
    );
    assert_eq!(
        identity(
            &[allow],
            "ec2:CopySnapshot",
            &SNAPSHOT.replace("snap-", "Snap-")
        ),
        Decision::ImplicitDeny
    );
    assert_eq!(
        identity(&[allow], "ec2:CopySnapshot", "*"),
        Decision::ImplicitDeny
    );
}

#[test]
fn a_not_element_covers_everything_else() {
    let no_action = r#"{"Effect":"Allow","NotAction":["kms:*","ec2:D?lete*"],"Resource":"*"}"#;
    assert_eq!(
        identity(&[no_action], "ec2:CopyImage", "*"),
        Decision::Allow
    );
    assert_eq!(
        identity(&[no_action], "ec2:DeleteSnapshot", "*"),
        Decision::ImplicitDeny
    );
    assert_eq!(
        identity(&[no_action], "KMS:Decrypt", KEY),
        Decision::ImplicitDeny
    );
    let no_resource = format!(r#"{{"Effect":"Allow","Action":"*","NotResource":"{KEY}"}}"#);
    assert_eq!(
        identity(&[&no_resource], "kms:Decrypt", KEY),
        Decision::ImplicitDeny
    );
    assert_eq!(
        identity(&[&no_resource], "kms:Decrypt", &KEY.replace("555", "556")),
        Decision::Allow
    );
}

#[test]
fn a_variable_in_a_resource_takes_the_callers_value() {
    let own = r#"{"Effect":"Allow","Action":"kms:*",
                  "Resource":"arn:aws:kms:*:${aws:PrincipalAccount}:key/*"}"#;
    assert_eq!(identity(&[own], "kms:Decrypt", KEY), Decision::ImplicitDeny);
    assert_eq!(
        identity(
            &[own],
            "kms:Decrypt",
            &KEY.replace("111111111111", "222222222222")
        ),
        Decision::Allow
    );
    let unknown = r#"{"Effect":"Allow","Action":"kms:*",
                      "Resource":"arn:aws:kms:*:*:key/${aws:PrincipalTag/key}"}"#;
    assert_eq!(
        identity(&[unknown], "kms:Decrypt", KEY),
        Decision::ImplicitDeny
    );
}

#[test]
fn a_variable_without_the_current_version_is_plain_text() {
    let body = r#"{"Statement":{"Effect":"Allow","Action":"s3:*",
                   "Resource":"arn:aws:s3:::${aws:PrincipalAccount}"}}"#;
    let policies = [Policy::parse(body).unwrap()];
    let (principal, context) = (session(), Context::new());
    let judge = |resource| {
        evaluate_identity(
            &policies,
            &Request {
                principal: &principal,
                action: "s3:Get",
                resource,
                context: &context,
            },
        )
    };
    assert_eq!(judge("arn:aws:s3:::222222222222"), Decision::ImplicitDeny);
    assert_eq!(
        judge("arn:aws:s3:::${aws:PrincipalAccount}"),
        Decision::Allow
    );
}

#[test]
fn a_statement_without_a_resource_allows_nothing_as_an_identity_policy() {
    let trust_like = r#"{"Effect":"Allow","Action":"sts:AssumeRole"}"#;
    assert_eq!(
        identity(&[trust_like], "sts:AssumeRole", "*"),
        Decision::ImplicitDeny
    );
}

#[test]
fn a_parsed_policy_returns_its_parts() {
    let policy = policy(
        r#"[{"Sid":"One","Effect":"Allow","Action":["kms:Decrypt","kms:Describe*"],"Resource":"*",
             "Condition":{"StringEquals":{"KMS:ViaService":["ec2.us-east-1.amazonaws.com"]}}}]"#,
    );
    let [one] = policy.statements() else {
        panic!("one statement")
    };
    assert_eq!(
        (one.sid.as_deref(), one.effect),
        (Some("One"), Effect::Allow)
    );
    let actions: Vec<&str> = one.actions.listed().iter().map(Pattern::as_str).collect();
    assert_eq!(actions, ["kms:Decrypt", "kms:Describe*"]);
    assert!(one.covers_action("kms:describekey") && !one.covers_action("kms:Encrypt"));
    assert!(one.resources.as_ref().unwrap().listed()[0].is_any());
    assert_eq!(one.conditions[0].key, "kms:viaservice");
    assert_eq!(one.conditions[0].values(), ["ec2.us-east-1.amazonaws.com"]);
}
