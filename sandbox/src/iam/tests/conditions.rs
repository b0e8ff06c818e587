use super::*;

/// Returns whether a condition holds, in a statement that allows everything else.
fn holds(condition: &str, request: &[(&str, &[&str])]) -> bool {
    let policies = [policy(&format!(
        r#"{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}"#
    ))];
    let (principal, context) = (session(), context(request));
    let request = Request {
        principal: &principal,
        action: "a:b",
        resource: "*",
        context: &context,
    };
    evaluate_identity(&policies, &request).is_allow()
}

/// Checks `operator: {k:x: values}` against requests that carry `k:x` with these values.
fn table(rows: &[(&str, &str, &[&str], bool)]) {
    for (operator, expected, request, outcome) in rows {
        let condition = format!(r#"{{"{operator}":{{"k:X":{expected}}}}}"#);
        assert_eq!(
            holds(&condition, &[("k:x", request)]),
            *outcome,
            "{condition} on {request:?}"
        );
    }
}

#[test]
fn string_operators_compare_case_and_wildcards() {
    table(&[
        ("StringEquals", r#""a""#, &["a"], true),
        ("StringEquals", r#""a""#, &["A"], false),
        ("StringEquals", r#"["b","a"]"#, &["a"], true),
        ("StringEquals", r#""a*""#, &["ab"], false),
        ("StringEquals", r#""a*""#, &["a*"], true),
        ("StringNotEquals", r#"["b","a"]"#, &["a"], false),
        ("StringNotEquals", r#"["b","a"]"#, &["c"], true),
        ("StringEqualsIgnoreCase", r#""aB""#, &["Ab"], true),
        ("StringNotEqualsIgnoreCase", r#""aB""#, &["Ab"], false),
        (
            "StringLike",
            r#""ec2.*.amazonaws.co?""#,
            &["ec2.eu-west-1.amazonaws.com"],
            true,
        ),
        ("StringLike", r#""EC2.*""#, &["ec2.x"], false),
        ("StringNotLike", r#""ec2.*""#, &["ec2.x"], false),
        ("StringNotLike", r#""ec2.*""#, &["rds.x"], true),
        ("StringEquals", "true", &["true"], true),
        ("StringEquals", "12", &["12"], true),
        (
            "StringEquals",
            r#""${aws:PrincipalAccount}""#,
            &["222222222222"],
            true,
        ),
        (
            "StringEquals",
            r#""${aws:username}""#,
            &["${aws:username}"],
            false,
        ),
        (
            "StringLike",
            r#""${aws:PrincipalAccount}-*""#,
            &["222222222222-x"],
            true,
        ),
    ]);
}

#[test]
fn numeric_date_and_boolean_operators_compare_values() {
    table(&[
        ("NumericEquals", r#""3600""#, &["3600.0"], true),
        ("NumericNotEquals", "3600", &["3600"], false),
        ("NumericLessThan", "10", &["9"], true),
        ("NumericLessThan", "10", &["10"], false),
        ("NumericLessThanEquals", "10", &["10"], true),
        ("NumericGreaterThan", "10", &["10"], false),
        ("NumericGreaterThanEquals", "10", &["10"], true),
        ("NumericLessThan", "10", &["nine"], false),
        (
            "DateLessThan",
            r#""2026-01-02T00:00:00Z""#,
            &["2026-01-01"],
            true,
        ),
        ("DateGreaterThan", r#""2026-01-02""#, &["2026-01-01"], false),
        (
            "DateEquals",
            r#""2026-03-01T00:00:00Z""#,
            &["1772323200"],
            true,
        ),
        (
            "DateNotEquals",
            r#""2026-03-01T00:00:00Z""#,
            &["1772323200"],
            false,
        ),
        (
            "DateLessThanEquals",
            r#""2026-03-01""#,
            &["2026-03-01"],
            true,
        ),
        (
            "DateGreaterThanEquals",
            r#""2026-03-01""#,
            &["2026-03-01"],
            true,
        ),
        ("Bool", "true", &["true"], true),
        ("Bool", r#""TRUE""#, &["true"], true),
        ("Bool", r#""true""#, &["false"], false),
        ("Bool", r#""false""#, &["false"], true),
        ("Bool", r#""true""#, &["yes"], false),
    ]);
}

#[test]
fn arns_are_compared_part_by_part() {
    let role = "arn:aws:iam::222222222222:role/ops/AmiCopyRole";
    table(&[
        ("ArnEquals", r#""arn:aws:iam::*:role/ops/*""#, &[role], true),
        (
            "ArnLike",
            r#""arn:aws:iam::222222222222:role/*""#,
            &[role],
            true,
        ),
        ("ArnLike", r#""arn:aws:*:role/*:::""#, &[role], false),
        (
            "ArnNotLike",
            r#""arn:aws:iam::222222222222:role/*""#,
            &[role],
            false,
        ),
        (
            "ArnNotEquals",
            r#""arn:aws:iam::333333333333:role/*""#,
            &[role],
            true,
        ),
        ("ArnLike", r#""*""#, &[role], true),
        (
            "ArnLike",
            r#""arn:aws:iam::${aws:PrincipalAccount}:role/*""#,
            &[role],
            true,
        ),
    ]);
}

#[test]
fn a_condition_on_a_missing_key_follows_its_operator() {
    for (operator, expected, outcome) in [
        ("StringEquals", r#""a""#, false),
        ("StringLike", r#""*""#, false),
        ("StringNotEquals", r#""a""#, true),
        ("StringNotLike", r#""*""#, true),
        ("StringNotEqualsIgnoreCase", r#""a""#, true),
        ("NumericLessThan", "1", false),
        ("NumericNotEquals", "1", true),
        ("DateNotEquals", r#""2026-01-01""#, true),
        ("Bool", "false", false),
        ("ArnLike", r#""*""#, false),
        ("ArnNotLike", r#""*""#, true),
        ("StringEqualsIfExists", r#""a""#, true),
        ("BoolIfExists", "true", true),
        ("Null", "true", true),
        ("Null", r#""false""#, false),
        ("ForAllValues:StringEquals", r#""a""#, true),
        ("ForAllValues:StringNotEquals", r#""a""#, true),
        ("ForAnyValue:StringEquals", r#""a""#, false),
        ("ForAnyValue:StringNotEquals", r#""a""#, false),
        ("ForAnyValue:StringEqualsIfExists", r#""a""#, true),
    ] {
        let condition = format!(r#"{{"{operator}":{{"k:x":{expected}}}}}"#);
        assert_eq!(holds(&condition, &[]), outcome, "{condition}, key absent");
        assert_eq!(
            holds(&condition, &[("k:x", &[])]),
            outcome,
            "{condition}, key without values"
        );
    }
}

#[test]
fn a_condition_on_a_present_key_compares_its_value() {
    table(&[
        ("StringEqualsIfExists", r#""a""#, &["b"], false),
        ("StringEqualsIfExists", r#""a""#, &["a"], true),
        ("Null", "true", &["x"], false),
        ("Null", "false", &["x"], true),
    ]);
}

#[test]
fn a_condition_on_several_values_follows_its_quantifier() {
    table(&[
        (
            "ForAllValues:StringEquals",
            r#"["a","b"]"#,
            &["a", "b"],
            true,
        ),
        (
            "ForAllValues:StringEquals",
            r#"["a","b"]"#,
            &["a", "c"],
            false,
        ),
        (
            "ForAllValues:StringNotEquals",
            r#"["a","b"]"#,
            &["c", "a"],
            false,
        ),
        (
            "ForAllValues:StringNotEquals",
            r#"["a","b"]"#,
            &["c", "d"],
            true,
        ),
        (
            "ForAnyValue:StringEquals",
            r#"["a","b"]"#,
            &["c", "a"],
            true,
        ),
        (
            "ForAnyValue:StringEquals",
            r#"["a","b"]"#,
            &["c", "d"],
            false,
        ),
        (
            "ForAnyValue:StringNotEquals",
            r#"["a","b"]"#,
            &["a", "c"],
            true,
        ),
        (
            "ForAnyValue:StringNotEquals",
            r#"["a","b"]"#,
            &["a", "b"],
            false,
        ),
        (
            "ForAnyValue:StringLike",
            r#""kms:*""#,
            &["aws:x", "kms:y"],
            true,
        ),
        ("StringEquals", r#""a""#, &["a", "b"], true),
        ("StringNotEquals", r#""a""#, &["a", "b"], false),
    ]);
}

#[test]
fn a_condition_block_holds_only_if_every_key_does() {
    let both = r#"{"StringEquals":{"k:a":"1","k:b":"2"},"Bool":{"k:c":true}}"#;
    assert!(holds(
        both,
        &[("k:a", &["1"]), ("k:b", &["2"]), ("k:c", &["true"])]
    ));
    assert!(!holds(
        both,
        &[("k:a", &["1"]), ("k:b", &["3"]), ("k:c", &["true"])]
    ));
    assert!(!holds(both, &[("k:a", &["1"]), ("k:b", &["2"])]));
}

#[test]
fn condition_keys_of_the_principal_follow_from_it() {
    for condition in [
        r#"{"StringEquals":{"aws:PrincipalOrgID":"o-exampleorg"}}"#,
        r#"{"ForAnyValue:StringLike":{"aws:PrincipalOrgPaths":"o-exampleorg/r-ab12/*"}}"#,
        r#"{"StringEquals":{"AWS:principalaccount":"222222222222"}}"#,
        r#"{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::222222222222:role/ops/AmiCopyRole"}}"#,
        r#"{"StringEquals":{"aws:PrincipalType":"AssumedRole"}}"#,
        r#"{"Bool":{"aws:PrincipalIsAWSService":false}}"#,
    ] {
        assert!(holds(condition, &[]), "{condition}");
    }
    let other = r#"{"StringEquals":{"aws:PrincipalOrgID":"o-other"}}"#;
    assert!(!holds(other, &[]));
    assert!(
        holds(other, &[("aws:principalorgid", &["o-other"])]),
        "the context has the last word"
    );
}
