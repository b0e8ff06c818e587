use serde_json::json;

use super::*;
use crate::ids::{AccountId, Region, RoleName};

const RUN: &str = "0123456789abcdef";
const OTHER: &str = "fedcba9876543210";

fn terms(launch: bool) -> Terms {
    Terms {
        partition: "aws",
        owner: AccountId::parse("111111111111").unwrap(),
        launch,
        service_linked_roles: Vec::new(),
    }
}

fn regions(names: &[&str]) -> std::collections::BTreeSet<Region> {
    names.iter().map(|r| Region::parse(r).unwrap()).collect()
}

fn copying(accounts: &[&str]) -> Access {
    let role = RoleName::parse("AmiCopyRole").unwrap();
    Access {
        accounts: accounts
            .iter()
            .map(|a| AccountId::parse(a).unwrap())
            .collect(),
        roles: [role_anywhere("aws", &role)].into(),
        regions: regions(&["us-west-2"]),
        ..Access::default()
    }
}

fn statements(run: &str) -> Vec<Value> {
    copying(&["222222222222", "333333333333"]).statements(run, &terms(false))
}

/// Valid shapes of a policy, some of which nobody would write.
const SHAPES: [&str; 12] = [
    r#"{"Version":"2012-10-17","Id":"key-default-1","Statement":[
        {"Sid":"Enable IAM User Permissions","Effect":"Allow"}]}"#,
    "{\n  \"Version\" : \"2012-10-17\",\n  \"Statement\" : [ {\n    \"Sid\" : \"a\"\n  }, {\n    \
     \"Sid\" : \"b\"\n  } ]\n}",
    r#"{"Statement":{"Effect":"Allow","Principal":"*"}}"#,
    r#" { "Statement" : { "Effect" : "Allow" } , "Id" : "\u0053tatement" } "#,
    r#"{"Statement":[{"Sid":"x"},{"Sid":"x"},{"Sid":"x","Sid":"y"}]}"#,
    r#"{"Statement":[{"Sid":"\u00e9\ud83d\ude00 \"Statement\":[ ]}"}],"Version":"2008-10-17"}"#,
    r#"{"Statement":[{"Sid":"\ud800"}]}"#,
    r#"{"Statement":[{"Sid":"Amiferry"},{"Sid":"Amiferry0123456789abcdef"},
        {"Sid":"Amiferry0123456789abcdefuse"},{"Sid":"xAmiferry0123456789abcdefUse"}]}"#,
    r#"{"Statement":[{"Sid":"Amiferry0123456789abcdef0Use"},
        {"Sid":["Amiferry0123456789abcdefUse"]}]}"#,
    r#"{"Statement":[1e999,-0,"text",null,[{"Sid":"Amiferry0123456789abcdefUse"}]]}"#,
    r#"{"Statement":[]}"#,
    "{\"Statement\":[\t{}\r\n,\n{}\t]\n,\"\":[[[]]]}",
];

#[test]
fn removing_statements_restores_every_byte() {
    for shape in SHAPES {
        let before = Document::read(shape).unwrap();
        assert!(before.ours(RUN).is_empty(), "{shape}");
        let with = before.with(RUN, &statements(RUN));
        let there = Document::read(&with).unwrap();
        assert!(there.has(RUN, &statements(RUN)), "{with}");
        assert_eq!(there.others(RUN), before.others(RUN));
        assert_eq!(there.with(RUN, &[]), shape);
        // The change replaces the run's statements, whatever they were.
        let changed = there.with(RUN, &statements(RUN)[..1]);
        let changed = Document::read(&changed).unwrap();
        assert_eq!(changed.others(RUN), before.others(RUN));
        assert_eq!(changed.with(RUN, &[]), shape);
    }
}

#[test]
fn a_run_ignores_the_statements_of_other_runs() {
    for shape in SHAPES {
        let one = Document::read(shape).unwrap().with(RUN, &statements(RUN));
        let both = Document::read(&one)
            .unwrap()
            .with(OTHER, &statements(OTHER));
        let first_gone = Document::read(&both).unwrap().with(RUN, &[]);
        let left = Document::read(&first_gone).unwrap();
        assert!(left.has(OTHER, &statements(OTHER)) && left.ours(RUN).is_empty());
        let both_gone = left.with(OTHER, &[]);
        let before = Document::read(shape).unwrap();
        assert_eq!(
            Document::read(&both_gone).unwrap().others(RUN),
            before.others(RUN)
        );
    }
}

#[test]
fn a_text_that_is_no_policy_is_refused() {
    for text in [
        "",
        "null",
        "[]",
        "{}",
        "{\"Statement\":",
        "{\"Statement\":null}",
        "{\"Statement\":\"[]\"}",
        "{\"Statement\":[]}x",
        "{\"Statement\":[],\"Statement\":[]}",
        "{\"statement\":[]}",
        "\u{feff}{\"Statement\":[]}",
        "{\"Statement\":[{]}",
        "{\"Statement\":[],}",
    ] {
        let error = Document::read(text).unwrap_err().to_string();
        assert!(error.contains("is not written"), "{text}: {error}");
    }
}

/// KMS may write the policy anew: in another order, and a list of one as the one.
#[test]
fn our_statements_are_found_after_kms_rewrote_them() {
    let text = r#"{"Statement":[
        {"Action":["kms:DescribeKey"],"Resource":["*"],"Effect":"Allow",
         "Principal":{"AWS":["arn:aws:iam::333333333333:root","arn:aws:iam::222222222222:root"]},
         "Condition":{"ArnLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/AmiCopyRole"]}},
         "Sid":"Amiferry0123456789abcdef\u0044escribe"}]}"#;
    let document = Document::read(text).unwrap();
    assert!(document.has(RUN, &statements(RUN)[..1]));
    assert!(!document.has(RUN, &statements(RUN)));
    let less = copying(&["222222222222"]).statements(RUN, &terms(false));
    assert!(!document.has(RUN, &less[..1]));
}

#[test]
fn statements_of_a_copy_allow_reading_through_ec2_only() {
    let [describe, using, grant] = statements(RUN).try_into().unwrap();
    assert_eq!(
        describe,
        json!({
            "Sid": "Amiferry0123456789abcdefDescribe", "Effect": "Allow",
            "Action": "kms:DescribeKey", "Resource": "*",
            "Principal": {"AWS": ["arn:aws:iam::222222222222:root",
            "arn:aws:iam::333333333333:root"]},
            "Condition": {"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/AmiCopyRole"}},
        })
    );
    assert_eq!(
        using["Action"],
        json!([
            "kms:Decrypt",
            "kms:GenerateDataKeyWithoutPlaintext",
            "kms:ReEncryptFrom",
            "kms:ReEncryptTo"
        ])
    );
    let through = json!({"kms:ViaService": "ec2.us-west-2.amazonaws.com"});
    assert_eq!(using["Condition"]["StringEquals"], through);
    assert_eq!(grant["Action"], "kms:CreateGrant");
    assert_eq!(grant["Condition"]["StringEquals"], through);
    assert_eq!(
        grant["Condition"]["Bool"],
        json!({"kms:GrantIsForAWSResource": "true"})
    );
}

#[test]
fn statements_of_a_share_name_units_and_service_linked_roles() {
    let mut access = Access {
        regions: regions(&["cn-north-1"]),
        ..Access::default()
    };
    access.add_audience("arn:aws-cn:organizations::111111111111:ou/o-abcdefghij/ou-ab12-11111111");
    let terms = Terms {
        partition: "aws-cn",
        service_linked_roles: vec![
            "arn:aws-cn:iam::*:role/aws-service-role/spot.amazonaws.com/AWSServiceRoleForEC2Spot"
                .to_owned(),
        ],
        ..terms(true)
    };
    let [describe, using, grant, roles] = access.statements(RUN, &terms).try_into().unwrap();
    let who = json!({
        "StringEquals": {"aws:PrincipalOrgID": "o-abcdefghij"},
        "StringNotEquals": {"aws:PrincipalAccount": "111111111111"},
        "ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": "o-abcdefghij/*/ou-ab12-11111111/*"},
    });
    assert_eq!(
        (&describe["Condition"], &describe["Principal"]),
        (&who, &json!({"AWS": "*"}))
    );
    assert_eq!(
        using["Condition"]["StringEquals"]["kms:ViaService"],
        "ec2.cn-north-1.amazonaws.com.cn"
    );
    assert_eq!(using["Action"].as_array().unwrap().len(), 4);
    assert_eq!(
        grant["Condition"]["Bool"]["kms:GrantIsForAWSResource"],
        "true"
    );
    assert_eq!(roles["Sid"], "Amiferry0123456789abcdefGrantRolesMembers");
    assert_eq!(roles["Condition"].get("Bool"), None);
    assert_eq!(
        roles["Condition"]["StringLike"]["kms:GranteePrincipal"],
        terms.service_linked_roles[0]
    );
    // The organization as a whole needs no paths.
    access.add_audience("arn:aws-cn:organizations::111111111111:organization/o-abcdefghij");
    let whole = &access.statements(RUN, &terms)[0];
    assert_eq!(whole["Condition"].get("ForAnyValue:StringLike"), None);
}

#[test]
fn principals_are_read_back_from_statements() {
    let mut members = copying(&["222222222222"]);
    members.member_roles = members.roles.clone();
    members.add_audience("arn:aws:organizations::1:ou/o-abcdefghij/ou-ab12-11111111");
    members.regions = regions(&["us-west-2", "eu-west-1"]);
    let mut whole = members.clone();
    whole.units.clear();
    whole.whole = true;
    for access in [copying(&["222222222222", "333333333333"]), members, whole] {
        let written = access.statements(RUN, &terms(false));
        assert_eq!(Access::read(&written.iter().collect::<Vec<_>>()), access);
    }
    // Statements after somebody changed them.
    let odd = json!({"Sid": "x", "Principal": {"AWS": ["*", "arn:aws:iam::222222222222:role/x", 7]},
        "Condition": {"StringEquals": {"kms:ViaService": ["", "ec2.x", {}]}, "ArnLike": []}});
    assert_eq!(Access::read(&[&odd, &json!(7)]), Access::default());
}

#[test]
fn the_pattern_of_any_account_covers_the_role_in_each() {
    let mut part = copying(&["333333333333"]);
    part.roles = [
        "arn:aws:iam::333333333333:role/AmiCopyRole",
        "arn:aws:iam::333333333333:role/Other",
    ]
    .map(str::to_owned)
    .into();
    let both = copying(&["222222222222"]).and(part);
    let roles: Vec<&str> = both.roles.iter().map(String::as_str).collect();
    assert_eq!(
        roles,
        [
            "arn:aws:iam::*:role/AmiCopyRole",
            "arn:aws:iam::333333333333:role/Other"
        ]
    );
}

/// A policy has room for 250 accounts, because it names the roles once.
#[test]
fn a_policy_has_room_for_hundreds_of_accounts() {
    let accounts: Vec<String> = (0..240)
        .map(|n| format!("{:012}", 200_000_000_000_u64 + n))
        .collect();
    let accounts: Vec<&str> = accounts.iter().map(String::as_str).collect();
    let statements = copying(&accounts).statements(RUN, &terms(false));
    let with = Document::read(SHAPES[0]).unwrap().with(RUN, &statements);
    assert!(with.len() < LONGEST, "{}", with.len());
}
