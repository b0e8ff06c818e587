use super::*;
use crate::ids::Region;
use crate::request::Defaults;
use serde_json::{Value, json};

const ORG: &str = "o-abcdefghij";
const ONE: &str = "222222222222";
const TWO: &str = "222222222222,333333333333";

fn allowed(accounts: &str, organization: &str, share: &str) -> Result<Allowed, String> {
    Allowed::parse(Some(accounts), Some(organization), Some(share)).map_err(|e| e.to_string())
}

fn request(more: &Value) -> Request {
    let mut words = json!({"SourceImageId": "ami-0a1b2c3d4e5f60718"});
    for (key, value) in more.as_object().unwrap() {
        words[key] = value.clone();
    }
    let defaults = Defaults {
        region: Region::parse("us-west-2").unwrap(),
        account: None,
    };
    Request::parse(&words, &defaults).unwrap()
}

/// Each row: request, settings (accounts, organization, share), and the beginning of the refusal
/// (empty if allowed).
/// A request, the settings (accounts, organization, sharing), and the begin of the refusal.
type Decided<'a> = (Value, (&'a str, &'a str, &'a str), &'a str);

fn assert_decided(cases: &[Decided]) {
    for (words, settings, begin) in cases {
        let (accounts, organization, share) = *settings;
        let allowed = allowed(accounts, organization, share).unwrap();
        let said = allowed.check(&request(words)).err().map(|e| e.to_string());
        let said = said.unwrap_or_default();
        assert!(
            said.starts_with(begin) && said.is_empty() == begin.is_empty(),
            "{words} with {settings:?}: {said:?} does not begin with {begin:?}"
        );
    }
}

#[test]
fn each_request_for_accounts_is_decided_by_the_settings() {
    let copy = || json!({"Targets": [{"AccountId": "222222222222"}]});
    let share = || json!({"Targets": [{"AccountId": "222222222222"}], "Mode": "Share"});
    assert_decided(&[
        (copy(), ("", "", ""), ""),
        (copy(), (ONE, "", ""), ""),
        (copy(), (TWO, ORG, ""), ""),
        (
            copy(),
            ("333333333333", "", ""),
            "AMIFERRY_ALLOWED_ACCOUNTS: does not list 222222222222",
        ),
        // Left to Organizations or IAM.
        (copy(), ("333333333333", ORG, ""), ""),
        (copy(), ("", ORG, ""), ""),
        (
            share(),
            ("", "", ""),
            "AMIFERRY_ALLOW_SHARE: is not true, so Mode: Share",
        ),
        (
            share(),
            (ONE, "", "false"),
            "AMIFERRY_ALLOW_SHARE: is not true, so Mode: Share",
        ),
        (
            share(),
            ("", "", "true"),
            "AMIFERRY_ALLOWED_ACCOUNTS: is not set, and neither is AMIFERRY_ALLOWED_ORGANIZATION",
        ),
        (share(), (ONE, "", "true"), ""),
        (
            share(),
            ("333333333333", "", "true"),
            "AMIFERRY_ALLOWED_ACCOUNTS: does not list",
        ),
        (share(), ("", ORG, "true"), ""),
    ]);
}

#[test]
fn each_lasting_opening_and_audience_is_decided_by_the_settings() {
    let kept = || json!({"Targets": [{"AccountId": "222222222222"}], "RevokeAfterCopy": "false"});
    let organization = || json!({"OrganizationId": ORG});
    let unit = || json!({"OrganizationalUnitIds": "ou-ab12-11111111"});
    let other = "o-zzzzzzzzzz";
    assert_decided(&[
        (
            kept(),
            ("", "", ""),
            "AMIFERRY_ALLOW_SHARE: is not true, so RevokeAfterCopy: false",
        ),
        (
            kept(),
            ("", "", "true"),
            "AMIFERRY_ALLOWED_ACCOUNTS: is not set",
        ),
        (kept(), (ONE, "", "true"), ""),
        (organization(), ("", "", ""), ""),
        (organization(), ("", ORG, ""), ""),
        (
            organization(),
            ("", other, ""),
            "AMIFERRY_ALLOWED_ORGANIZATION: is o-zzzzzzzzzz, but OrganizationId names o-abcdefghij",
        ),
        (
            organization(),
            (TWO, "", ""),
            "AMIFERRY_ALLOWED_ORGANIZATION: is not set",
        ),
        (unit(), ("", ORG, ""), ""),
        (
            unit(),
            (TWO, "", ""),
            "AMIFERRY_ALLOWED_ORGANIZATION: is not set",
        ),
    ]);
}

#[test]
fn an_unshare_is_allowed_by_every_setting() {
    let words = json!({"Mode": "Share", "Unshare": true,
        "Targets": [{"AccountId": "222222222222"}], "OrganizationId": ORG});
    for settings in [("", "", ""), ("333333333333", "o-zzzzzzzzzz", "false")] {
        let allowed = allowed(settings.0, settings.1, settings.2).unwrap();
        assert!(allowed.check(&request(&words)).is_ok());
    }
}

#[test]
fn an_audience_outside_of_the_organization_is_refused() {
    let arn = "arn:aws:organizations::111111111111";
    let whole = format!("{arn}:organization/{ORG}");
    let unit = format!("{arn}:ou/{ORG}/ou-ab12-11111111");
    let bounded = allowed("", ORG, "true").unwrap();
    let check = |allowed: &Allowed, arn: &str| allowed.check_audience([arn].into_iter());
    for good in [&whole, &unit] {
        assert!(check(&bounded, good).is_ok(), "{good}");
        assert!(check(&Allowed::default(), good).is_ok(), "{good}");
        let by_accounts = check(&allowed(ONE, "", "true").unwrap(), good).unwrap_err();
        assert!(
            by_accounts
                .to_string()
                .starts_with("AMIFERRY_ALLOWED_ORGANIZATION: is not set")
        );
    }
    for bad in [
        format!("{arn}:organization/o-zzzzzzzzzz"),
        format!("{arn}:ou/o-zzzzzzzzzz/ou-ab12-11111111"),
        format!("{arn}:account/{ORG}/222222222222"),
        format!("{arn}:organization"),
        "arn:aws:organizations".to_owned(),
        String::new(),
    ] {
        let said = check(&bounded, &bad).unwrap_err().to_string();
        assert!(
            said.starts_with("AMIFERRY_ALLOWED_ORGANIZATION: is o-abcdefghij, but"),
            "{bad}: {said}"
        );
    }
}

#[test]
fn a_malformed_setting_is_refused_by_its_name() {
    for (accounts, organization, share, begin) in [
        (
            "22222222222",
            "",
            "",
            "AMIFERRY_ALLOWED_ACCOUNTS: \"22222222222\" is not an AWS account ID",
        ),
        (
            "222222222222,,333333333333",
            "",
            "",
            "AMIFERRY_ALLOWED_ACCOUNTS: \"\" is not",
        ),
        (",", "", "", "AMIFERRY_ALLOWED_ACCOUNTS: \"\" is not"),
        (
            "222222222222 333333333333",
            "",
            "",
            "AMIFERRY_ALLOWED_ACCOUNTS: ",
        ),
        ("*", "", "", "AMIFERRY_ALLOWED_ACCOUNTS: "),
        (
            "",
            "ou-ab12-11111111",
            "",
            "AMIFERRY_ALLOWED_ORGANIZATION: \"ou-ab12-11111111\" is not an organization ID",
        ),
        (
            "",
            "o-abcdefghij,o-zzzzzzzzzz",
            "",
            "AMIFERRY_ALLOWED_ORGANIZATION: ",
        ),
        ("", "", "yes", "AMIFERRY_ALLOW_SHARE: must be true or false"),
        ("", "", "1", "AMIFERRY_ALLOW_SHARE: must be true or false"),
    ] {
        let said = allowed(accounts, organization, share).unwrap_err();
        assert!(
            said.starts_with(begin),
            "{said:?} does not begin with {begin:?}"
        );
    }
    let blank = Allowed::parse(Some("  "), None, Some("")).unwrap();
    assert_eq!(blank, Allowed::default());
    assert!(allowed(" 222222222222 , 333333333333 ", "", "True").is_ok());
}

#[test]
fn a_refusal_names_three_accounts_and_counts_the_others() {
    let accounts = [
        "222222222222",
        "333333333333",
        "444444444444",
        "555555555555",
    ];
    let accounts = accounts.map(|id| AccountId::parse(id).unwrap());
    let only = allowed("666666666666", "", "").unwrap();
    let said = only
        .check_accounts(accounts.iter())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("222222222222, 333333333333, 444444444444 and 1 more,"),
        "{said}"
    );
}
