use super::*;

#[test]
fn account_ids_have_twelve_digits() {
    assert!(AccountId::parse("012345678901").is_ok());
    for wrong in [
        "01234567890",
        "0123456789012",
        "12345678901a",
        "",
        "１２３４５６７８９０１２",
    ] {
        let error = AccountId::parse(wrong).unwrap_err().to_string();
        assert!(error.contains("12 digits"), "{error}");
    }
}

#[test]
fn regions_of_every_partition_are_accepted() {
    for right in [
        "us-west-2",
        "us-gov-east-1",
        "cn-north-1",
        "ap-southeast-5",
        "us-iso-east-1",
    ] {
        assert!(Region::parse(right).is_ok(), "{right}");
    }
    for wrong in [
        "us-west",
        "US-WEST-2",
        "us-west-2a",
        "https://x",
        "us--west-2",
        "west-2",
        "",
    ] {
        assert!(Region::parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(Region::parse("cn-north-1").unwrap().partition(), "aws-cn");
}

#[test]
fn a_key_may_be_an_id_an_arn_or_an_alias() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for right in [
        id.to_owned(),
        format!("arn:aws:kms:us-west-2:222222222222:key/{id}"),
        "alias/amis".to_owned(),
        "arn:aws-cn:kms:cn-north-1:222222222222:alias/team/amis".to_owned(),
        "mrk-1234abcd12ab34cd56ef1234567890ab".to_owned(),
    ] {
        assert!(KeyRef::parse(&right).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "alias/",
        "key/x",
        "arn:aws:s3:::bucket",
        "arn:aws:kms:us-west-2:22222222222:key/x",
        "amis",
    ] {
        assert!(KeyRef::parse(wrong).is_err(), "{wrong}");
    }
    let arn = KeyRef::parse(&format!("arn:aws:kms:us-west-2:222222222222:key/{id}")).unwrap();
    assert_eq!(arn.home(), Some(("aws", "us-west-2", "222222222222")));
    assert_eq!(arn.arn().unwrap().as_str(), arn.as_str());
    assert_eq!(KeyRef::from(arn.arn().unwrap()), arn);
    for other in [id, "alias/aws/ebs"] {
        let named = KeyRef::parse(other).unwrap();
        assert_eq!((named.home(), named.arn()), (None, None), "{other}");
    }
}

#[test]
fn a_key_arn_is_that_of_a_key_and_not_of_an_alias() {
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    for right in [
        format!("arn:aws:kms:us-west-2:222222222222:key/{id}"),
        format!("arn:aws-us-gov:kms:us-gov-west-1:222222222222:key/{id}"),
        "arn:aws-cn:kms:cn-north-1:222222222222:key/mrk-1234abcd12ab34cd56ef1234567890ab"
            .to_owned(),
    ] {
        assert_eq!(KeyArn::parse(&right).unwrap().to_string(), right);
    }
    for wrong in [
        String::new(),
        id.to_owned(),
        "alias/amis".to_owned(),
        "arn:aws:kms:us-west-2:222222222222:alias/amis".to_owned(),
        "arn:aws:kms:us-west-2:222222222222:key/".to_owned(),
        "arn:aws:kms:us-west-2:222222222222:key/*".to_owned(),
        "arn:aws:kms:us-west-2:222222222222".to_owned(),
        format!("arn:aws:kms:us-west-2:222222222222:{id}"),
        format!("arn:aws:kms:us-west-2:22222222222:key/{id}"),
        format!("arn:aws:kms:us-west-2a:222222222222:key/{id}"),
        format!("arn:aws:kms::222222222222:key/{id}"),
        format!("arn:aws:ebs:us-west-2:222222222222:key/{id}"),
        format!("arn:aws-x:kms:us-west-2:222222222222:key/{id}"),
        format!("arn:aws:kms:us-west-2:222222222222:key/{id}\n"),
        format!("xarn:aws:kms:us-west-2:222222222222:key/{id}"),
    ] {
        let error = KeyArn::parse(&wrong).expect_err(&wrong).to_string();
        assert!(error.contains("the ARN of a KMS key"), "{error}");
    }
}

#[test]
fn a_key_arn_names_the_account_and_region_of_its_key() {
    let text = "arn:aws-cn:kms:cn-north-1:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let key = KeyArn::parse(text).unwrap();
    let (account, region) = (key.account(), key.region());
    assert_eq!(
        (account.as_str(), region.as_str()),
        ("222222222222", "cn-north-1")
    );
    assert!(key.is_in(&account, &region));
    assert!(!key.is_in(&AccountId::parse("333333333333").unwrap(), &region));
    assert!(!key.is_in(&account, &Region::parse("cn-northwest-1").unwrap()));
    let foreign = KeyArn::parse(&text.replace("aws-cn", "aws")).unwrap();
    assert!(!foreign.is_in(&account, &region), "another partition");
}

#[test]
fn ids_of_organizations_and_units_are_checked() {
    assert!(OrganizationId::parse("o-abcdefghij").is_ok());
    for right in ["ou-ab12-11111111", "r-ab12"] {
        assert!(OrganizationalUnitId::parse(right).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "ou-",
        "ou-ab12",
        "ou-ab12-1",
        "OU-ab12-11111111",
        "r-",
        "o-abcdefghij",
        "ou-ab12-1111111/",
    ] {
        assert!(OrganizationalUnitId::parse(wrong).is_err(), "{wrong}");
    }
    for wrong in ["", "o-", "o-short", "o-ABCDEFGHIJ", "abcdefghij"] {
        assert!(OrganizationId::parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_long_input_is_cut_in_the_error() {
    let error = ImageId::parse(&"x".repeat(5_000)).unwrap_err().to_string();
    assert!(error.len() < 200, "{}", error.len());
}

#[test]
fn deserializing_an_id_checks_it() {
    assert!(serde_json::from_str::<AccountId>("\"12\"").is_err());
    assert!(serde_json::from_str::<SnapshotId>("\"snap-0123456789abcdef0\"").is_ok());
    let key = "\"arn:aws:kms:us-west-2:222222222222:key/1234abcd-12ab-34cd-56ef-1234567890ab\"";
    let arn: KeyArn = serde_json::from_str(key).unwrap();
    assert_eq!(serde_json::to_string(&arn).unwrap(), key);
    for wrong in ["\"*\"", "\"alias/amis\"", "7", "null", "[]"] {
        assert!(serde_json::from_str::<KeyArn>(wrong).is_err(), "{wrong}");
    }
}
