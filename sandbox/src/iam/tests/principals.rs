use super::*;

const ROLE: &str = "arn:aws:iam::222222222222:role/ops/AmiCopyRole";
const SESSION: &str = "arn:aws:sts::222222222222:assumed-role/AmiCopyRole/run-1";

fn allow(principal: &str) -> Policy {
    policy(&format!(
        r#"{{"Effect":"Allow","Principal":{principal},"Action":"kms:*","Resource":"*"}}"#
    ))
}

fn reach(policy: &Policy, principal: &Principal) -> Option<Reach> {
    let context = Context::new();
    let request = Request {
        principal,
        action: "kms:Decrypt",
        resource: KEY,
        context: &context,
    };
    let reach = resource_reach(policy, &request);
    assert_eq!(
        evaluate_resource(policy, &request).is_allow(),
        reach.is_some(),
        "both answers agree"
    );
    reach
}

#[test]
fn a_principal_element_reaches_as_closely_as_it_names() {
    for (principal, expected) in [
        (r#""*""#, Some(Reach::Principal)),
        (r#"{"AWS":"*"}"#, Some(Reach::Principal)),
        (r#"{"AWS":"222222222222"}"#, Some(Reach::Account)),
        (
            r#"{"AWS":"arn:aws:iam::222222222222:root"}"#,
            Some(Reach::Account),
        ),
        (
            r#"{"AWS":["333333333333","arn:aws:iam::222222222222:role/ops/AmiCopyRole"]}"#,
            Some(Reach::Principal),
        ),
        (
            r#"{"AWS":["222222222222",
                       "arn:aws:sts::222222222222:assumed-role/AmiCopyRole/run-1"]}"#,
            Some(Reach::Session),
        ),
        (
            r#"{"AWS":"arn:aws:iam::222222222222:role/AmiCopyRole"}"#,
            None,
        ),
        (
            r#"{"AWS":"arn:aws:sts::222222222222:assumed-role/AmiCopyRole/run-2"}"#,
            None,
        ),
        (
            r#"{"AWS":"arn:aws:iam::222222222222:user/AmiCopyRole"}"#,
            None,
        ),
        (r#"{"AWS":"arn:aws:iam::333333333333:root"}"#, None),
        (r#"{"AWS":"AROAEXAMPLEEXAMPLEID1"}"#, None),
        (r#"{"Service":"ec2.amazonaws.com"}"#, None),
    ] {
        assert_eq!(
            reach(&allow(principal), &session()),
            expected,
            "{principal}"
        );
    }
}

#[test]
fn a_user_and_a_root_are_reached_by_name_and_account() {
    let user = Principal {
        arn: "arn:aws:iam::222222222222:user/ann".to_owned(),
        role_arn: None,
        ..session()
    };
    assert_eq!(
        reach(
            &allow(r#"{"AWS":"arn:aws:iam::222222222222:user/ann"}"#),
            &user
        ),
        Some(Reach::Principal)
    );
    let root = Principal {
        arn: "arn:aws:iam::222222222222:root".to_owned(),
        ..user
    };
    assert_eq!(
        reach(&allow(r#"{"AWS":"222222222222"}"#), &root),
        Some(Reach::Principal)
    );
}

#[test]
fn a_service_is_reached_by_its_name_only() {
    let ec2 = Principal {
        arn: "ec2.amazonaws.com".to_owned(),
        role_arn: None,
        account: String::new(),
        org_id: None,
        org_path: None,
        service: Some("ec2.amazonaws.com".to_owned()),
        source_function: None,
    };
    let named =
        allow(r#"{"AWS":"222222222222","Service":["rds.amazonaws.com","ec2.amazonaws.com"]}"#);
    assert_eq!(reach(&named, &ec2), Some(Reach::Principal));
    assert_eq!(reach(&allow(r#"{"AWS":"222222222222"}"#), &ec2), None);
    assert_eq!(
        reach(&allow(r#"{"Service":"rds.amazonaws.com"}"#), &ec2),
        None
    );
}

#[test]
fn a_deny_of_an_account_denies_its_roles() {
    let both = policy(&format!(
        r#"[{{"Effect":"Allow","Principal":{{"AWS":"{ROLE}"}},"Action":"kms:*","Resource":"*"}},
            {{"Sid":"Out","Effect":"Deny","Principal":{{"AWS":"222222222222"}},
              "Action":"kms:Decrypt","Resource":"*"}}]"#
    ));
    let (principal, context) = (session(), Context::new());
    let judge = |action| {
        evaluate_resource(
            &both,
            &Request {
                principal: &principal,
                action,
                resource: KEY,
                context: &context,
            },
        )
    };
    assert_eq!(
        judge("kms:Decrypt"),
        Decision::ExplicitDeny {
            sid: Some("Out".to_owned())
        }
    );
    assert_eq!(judge("kms:DescribeKey"), Decision::Allow);
}

#[test]
fn not_principal_exempts_only_a_principal_it_names_completely() {
    let denied = |exempted: &str| {
        let policy = policy(&format!(
            r#"[{{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}},
                {{"Effect":"Deny","NotPrincipal":{{"AWS":{exempted}}},
                  "Action":"*","Resource":"*"}}]"#
        ));
        reach(&policy, &session()).is_none()
    };
    let account = "arn:aws:iam::222222222222:root";
    assert!(!denied(&format!(r#"["{account}","{ROLE}","{SESSION}"]"#)));
    assert!(denied(&format!(r#"["{account}","{ROLE}"]"#)));
    assert!(denied(&format!(r#"["{ROLE}","{SESSION}"]"#)));
    assert!(denied(&format!(r#""{account}""#)));
    assert!(!denied(r#""*""#));
}

#[test]
fn a_statement_without_a_principal_reaches_nobody() {
    assert_eq!(
        reach(
            &policy(r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#),
            &session()
        ),
        None
    );
}

#[test]
fn a_trust_policy_needs_no_resource() {
    let trust = policy(
        r#"{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:role/ops/AmiCopyRole"},
            "Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"secret"}}}"#,
    );
    let principal = session();
    for (external_id, allowed) in [
        (Some("secret"), true),
        (Some("wrong"), false),
        (None, false),
    ] {
        let context =
            external_id.map_or_else(Context::new, |id| context(&[("sts:externalid", &[id])]));
        let request = Request {
            principal: &principal,
            action: "sts:AssumeRole",
            resource: ROLE,
            context: &context,
        };
        assert_eq!(
            evaluate_resource(&trust, &request).is_allow(),
            allowed,
            "{external_id:?}"
        );
    }
}

#[test]
fn an_organization_is_reached_by_condition() {
    let key_policy = policy(
        r#"{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"kms:Decrypt","Resource":"*",
            "Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-exampleorg"}}}"#,
    );
    assert_eq!(reach(&key_policy, &session()), Some(Reach::Principal));
    assert_eq!(
        reach(
            &key_policy,
            &Principal {
                org_id: None,
                org_path: None,
                ..session()
            }
        ),
        None
    );
}

#[test]
fn a_policy_lists_the_principals_it_names() {
    let policy = policy(&format!(
        r#"[{{"Effect":"Allow","Action":"*","Resource":"*",
              "Principal":{{"AWS":["{ROLE}","222222222222","*"],"Service":"ec2.amazonaws.com"}}}},
            {{"Effect":"Deny","NotPrincipal":{{"AWS":["{ROLE}","arn:aws:iam::222222222222:root"]}},
              "Action":"*","Resource":"*"}}]"#
    ));
    assert_eq!(
        policy.principals(),
        [ROLE, "222222222222", "arn:aws:iam::222222222222:root"]
    );
}
