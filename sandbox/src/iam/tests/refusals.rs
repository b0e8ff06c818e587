use super::*;

/// An input, and a part of its refusal.
type Cases = &'static [(&'static str, &'static str)];

fn assert_refused(cases: Cases, refuse: impl Fn(&str) -> String) {
    for (input, expected) in cases {
        let message = refuse(input);
        assert!(message.contains(expected), "{input}: {message}");
    }
}

fn refusal(document: &str) -> String {
    match Policy::parse(document) {
        Ok(policy) => panic!("{document} was accepted: {policy:?}"),
        Err(error) => error.to_string(),
    }
}

/// Returns the refusal of `{"Effect":"Allow","Action":"kms:*","Resource":"*"}` with elements
/// replaced or added.
fn refusal_with(elements: &str) -> String {
    let mut statement: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(r#"{"Sid":"Use","Effect":"Allow","Action":"kms:*","Resource":"*"}"#)
            .unwrap();
    let changes: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&format!("{{{elements}}}")).unwrap();
    for (element, value) in changes {
        if value.is_null() {
            statement.remove(&element);
        } else {
            statement.insert(element, value);
        }
    }
    let document = serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] });
    let message = refusal(&document.to_string());
    assert!(
        message.starts_with("Statement[0] (Sid \"Use\"): "),
        "{message}"
    );
    message["Statement[0] (Sid \"Use\"): ".len()..].to_owned()
}

const DOCUMENTS: Cases = &[
    ("", "not valid JSON"),
    ("{", "not valid JSON"),
    ("[]", "a policy is a JSON object"),
    ("{}", "Statement: is missing"),
    (r#"{"Statement":[]}"#, "Statement: must be"),
    (r#"{"Statement":"x"}"#, "Statement: must be"),
    (
        r#"{"Statement":[7]}"#,
        "Statement[0]: a statement is a JSON object",
    ),
    (
        r#"{"Version":"2017-10-12","Statement":{}}"#,
        "Version: \"2017-10-12\" is neither",
    ),
    (
        r#"{"Version":2012,"Statement":{}}"#,
        "Version: must be a string",
    ),
    (r#"{"statement":[]}"#, "statement: unknown element"),
    (
        r#"{"Statement":{"Effect":"Allow","Effect":"Deny"}}"#,
        "\"Effect\" appears twice",
    ),
    (
        r#"{"Statement":[{"Effect":"Allow","Action":"*"},{"Effect":"Allow"}]}"#,
        "Statement[1]: Action: policy",
    ),
];

#[test]
fn a_malformed_document_is_refused() {
    assert_refused(DOCUMENTS, refusal);
}

const STATEMENTS: Cases = &[
    (
        r#""Effect":"allow""#,
        "Effect: must be \"Allow\" or \"Deny\"",
    ),
    (r#""Effect":null"#, "Effect: must be \"Allow\" or \"Deny\""),
    (r#""Actions":"*""#, "Actions: unknown element"),
    (
        r#""Action":null"#,
        "Action: policy statement must contain actions",
    ),
    (r#""Action":[]"#, "Action: the list is empty"),
    (
        r#""Action":7"#,
        "Action: must be a string or a list of strings",
    ),
    (
        r#""Action":["kms:*",["x"]]"#,
        "Action: must be a string or a list of strings",
    ),
    (
        r#""Action":"Decrypt""#,
        "Action: \"Decrypt\" is not of the form service:Action",
    ),
    (r#""Action":"kms:""#, "Action: \"kms:\" is not"),
    (
        r#""Action":"k*s:Decrypt""#,
        "Action: \"k*s:Decrypt\" is not",
    ),
    (
        r#""Action":"kms:${aws:username}""#,
        "Action: \"kms:${aws:username}\" is not",
    ),
    (
        r#""NotAction":"kms:*""#,
        "NotAction: cannot be combined with Action",
    ),
    (
        r#""Resource":"key/1""#,
        "Resource: resource \"key/1\" must be in ARN format",
    ),
    (
        r#""Resource":"arn:aws:kms""#,
        "Resource: resource \"arn:aws:kms\" must be in ARN format",
    ),
    (
        r#""Resource":"arn:aws:*:::x""#,
        "Resource: the vendor of resource",
    ),
    (
        r#""Resource":"arn:aws:s3:::${x""#,
        "Resource: the variable in",
    ),
    (
        r#""NotResource":"*""#,
        "NotResource: cannot be combined with Resource",
    ),
];

#[test]
fn a_malformed_statement_is_refused() {
    assert_refused(STATEMENTS, refusal_with);
    assert_refused(&[(r#""Sid":7"#, "Sid: must be a string")], |sid| {
        refusal(&format!(
            r#"{{"Statement":{{{sid},"Effect":"Allow","Action":"*"}}}}"#
        ))
    });
}

const PRINCIPALS: Cases = &[
    (r#""222222222222""#, "Principal: must be \"*\" or an object"),
    ("{}", "Principal: must be \"*\" or an object"),
    (r#"{"AWS":[]}"#, "Principal.AWS: the list is empty"),
    (
        r#"{"AWS":"22222222222"}"#,
        "Principal.AWS: \"22222222222\" is neither",
    ),
    (
        r#"{"AWS":"arn:aws:iam::222222222222:role/*"}"#,
        "has a wildcard",
    ),
    (
        r#"{"AWS":"arn:aws:iam::222222222222:role/"}"#,
        "is not the ARN of a principal",
    ),
    (
        r#"{"AWS":"arn:aws:iam::222222222222:group/x"}"#,
        "is not the ARN of a principal",
    ),
    (
        r#"{"AWS":"arn:aws:sts::222222222222:assumed-role/x"}"#,
        "is not the ARN of a principal",
    ),
    (
        r#"{"AWS":"arn:aws:kms:us-east-1:222222222222:key/x"}"#,
        "is neither",
    ),
    (
        r#"{"Service":"ec2"}"#,
        "Principal.Service: \"ec2\" is not a service principal",
    ),
    (
        r#"{"Federated":"x"}"#,
        "Principal.Federated: principals of this kind are not modelled",
    ),
    (r#"{"CanonicalUser":"x"}"#, "not modelled"),
    (r#"{"Aws":"*"}"#, "Principal.Aws: unknown kind"),
];

#[test]
fn a_malformed_principal_is_refused() {
    assert_refused(PRINCIPALS, |principal| {
        refusal_with(&format!(r#""Principal":{principal}"#))
    });
    let message = refusal_with(r#""NotPrincipal":{"AWS":"222222222222"}"#);
    assert!(
        message.contains("NotPrincipal: is supported with the effect Deny only"),
        "{message}"
    );
}

const CONDITIONS: Cases = &[
    ("[]", "Condition: must be an object of operators"),
    (
        r#"{"StringEqual":{"k:x":"a"}}"#,
        "Condition.StringEqual: unknown operator",
    ),
    (
        r#"{"stringequals":{"k:x":"a"}}"#,
        "Condition.stringequals: unknown operator",
    ),
    (
        r#"{"ForSomeValues:StringEquals":{"k:x":"a"}}"#,
        "unknown operator",
    ),
    (
        r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#,
        "Condition.IpAddress: this operator is not modelled",
    ),
    (
        r#"{"NotIpAddressIfExists":{"aws:SourceIp":"10.0.0.0/8"}}"#,
        "not modelled",
    ),
    (r#"{"BinaryEquals":{"k:x":"a"}}"#, "not modelled"),
    (r#"{"NullIfExists":{"k:x":true}}"#, "Null takes neither"),
    (
        r#"{"ForAllValues:Null":{"k:x":true}}"#,
        "Null takes neither",
    ),
    (
        r#"{"StringEquals":"a"}"#,
        "Condition.StringEquals: must be an object of condition keys",
    ),
    (
        r#"{"StringEquals":{"x":"a"}}"#,
        "must be prefaced by a vendor",
    ),
    (
        r#"{"StringEquals":{"k:x":[]}}"#,
        "Condition.StringEquals.k:x: the list is empty",
    ),
    (
        r#"{"StringEquals":{"k:x":{"a":1}}}"#,
        "must be a string, number or boolean",
    ),
    (
        r#"{"StringEquals":{"k:x":null}}"#,
        "must be a string, number or boolean",
    ),
    (r#"{"StringEquals":{"k:x":"a","K:X":"b"}}"#, "names the key"),
    (
        r#"{"ArnEquals":{"k:x":"a"},"ArnLike":{"k:x":["*","arn:aws"]}}"#,
        "is not an ARN of six parts",
    ),
    (
        r#"{"Bool":{"k:x":"yes"}}"#,
        "\"yes\" is not \"true\" or \"false\"",
    ),
    (r#"{"Null":{"k:x":"maybe"}}"#, "\"maybe\" is not"),
    (
        r#"{"NumericEquals":{"k:x":"NaN"}}"#,
        "\"NaN\" is not a number",
    ),
    (r#"{"NumericEquals":{"k:x":"1e999"}}"#, "is not a number"),
    (
        r#"{"DateLessThan":{"k:x":"soon"}}"#,
        "\"soon\" is not a date",
    ),
    (
        r#"{"StringLike":{"k:x":"${aws:username"}}"#,
        "has no closing brace",
    ),
];

#[test]
fn a_malformed_condition_is_refused() {
    assert_refused(CONDITIONS, |condition| {
        refusal_with(&format!(r#""Condition":{condition}"#))
    });
}

#[test]
fn two_names_of_one_operator_may_share_a_key() {
    let both = r#"{"ArnLike":{"k:x":"arn:aws:iam::*:role/a*"},
                   "ArnEquals":{"k:x":"arn:aws:iam::*:role/*b"}}"#;
    let policy = policy(&format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{both}}}"#
    ));
    assert_eq!(policy.statements()[0].conditions.len(), 2);
}

#[test]
fn a_sid_of_two_statements_is_refused() {
    let two = |first: &str, second: &str| {
        let statement = |sid: &str| {
            format!(r#"{{"Sid":"{sid}","Effect":"Allow","Action":"*","Resource":"*"}}"#)
        };
        format!(
            r#"{{"Statement":[{},{}]}}"#,
            statement(first),
            statement(second)
        )
    };
    assert!(refusal(&two("A", "A")).contains("Statement[1] (Sid \"A\"): Sid: statement IDs (SID)"));
    assert!(Policy::parse(&two("A", "a")).is_ok());
    assert!(Policy::parse(&two("", "")).is_ok());
}

#[test]
fn a_document_fits_only_its_own_kind() {
    let plain = r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#;
    let key = r#"{"Sid":"Allow use","Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}"#;
    let trust =
        r#"{"Effect":"Allow","Principal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}"#;
    for (statement, fits) in [
        (plain, Kind::Identity),
        (key, Kind::Resource),
        (trust, Kind::Trust),
    ] {
        for kind in [Kind::Identity, Kind::Resource, Kind::Trust] {
            assert_eq!(
                policy(statement).check(kind).is_ok(),
                kind == fits,
                "{statement} as {kind:?}"
            );
        }
    }
    let all_but = policy(
        r#"{"Effect":"Deny","NotPrincipal":{"AWS":"222222222222"},"Action":"sts:AssumeRole"}"#,
    );
    for kind in [Kind::Identity, Kind::Trust] {
        let message = all_but.check(kind).unwrap_err().to_string();
        assert!(
            message.ends_with("has prohibited field NotPrincipal"),
            "{message}"
        );
    }
    let spaced = r#"{"Sid":"Allow use","Effect":"Allow","Action":"*","Resource":"*"}"#;
    let message = policy(spaced)
        .check(Kind::Identity)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "Statement[0] (Sid \"Allow use\"): Sid: statement IDs (SID) must be alpha-numeric"
    );
    let message = policy(key).check(Kind::Identity).unwrap_err();
    assert_eq!(
        (message.statement(), message.element()),
        (Some(0), "Principal")
    );
}

/// Parses every prefix and every one-byte change of a rich document: each parses or is refused.
#[test]
fn a_mutilated_document_never_panics() {
    let document = r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"é","Effect":"Deny",
        "NotPrincipal":{"AWS":["arn:aws:iam::222222222222:role/a","222222222222"],
        "Service":"ec2.amazonaws.com"},"Action":["kms:*","ec2:?opy*"],
        "Resource":["*","arn:aws:ec2:*::snapshot/${aws:PrincipalTag/x, 'é'}*"],
        "Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["é*",1.5e3,true]},
        "DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00.5+01:00"},
        "ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:*"}}}]}"#;
    assert!(Policy::parse(document).is_ok());
    let (principal, context) = (session(), Context::new());
    let request = Request {
        principal: &principal,
        action: "ec2:CopyImage",
        resource: SNAPSHOT,
        context: &context,
    };
    let bytes = document.as_bytes();
    for at in 0..bytes.len() {
        for replacement in [
            &b""[..],
            b"\"",
            b"{",
            b"$",
            b"*",
            b"0",
            b":",
            b"\\",
            b"\xc3\xa9",
            b",",
        ] {
            let mutated = [&bytes[..at], replacement, &bytes[at + 1..]].concat();
            if let Ok(policy) = Policy::parse(&String::from_utf8_lossy(&mutated)) {
                let _ = (evaluate_resource(&policy, &request), policy.principals());
            }
        }
        let _ = Policy::parse(&String::from_utf8_lossy(&bytes[..at]));
    }
}
