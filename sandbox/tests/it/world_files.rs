//! World files: what they say, and what is wrong with them.

use amiferry_sandbox::{Account, Sandbox, Snapshot, World};

#[tokio::test]
async fn the_demo_world_is_one() {
    let text = include_str!("../../worlds/demo.toml");
    let world = World::from_toml(text).expect("a world");
    assert_eq!(world.accounts.len(), 4);
    let sandbox = Sandbox::try_new(world).expect("a sandbox");
    let images = sandbox.images("111111111111", "us-west-2");
    let [image] = images.as_slice() else {
        panic!("{images:?}")
    };
    assert_eq!(image.snapshot_ids().len(), 2);
    assert!(
        image
            .block_device_mappings
            .iter()
            .any(|m| m.virtual_name.is_some())
    );
    assert!(
        sandbox
            .snapshots("111111111111", "us-west-2")
            .iter()
            .all(|s| s.encrypted)
    );
}

const BUCKET: &str = r#"
[[account]]
id = "111111111111"
[[account.bucket]]
region = "us-west-2"
name = "amiferry-ledger"
policy = '{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"arn:aws:s3:::amiferry-ledger/*"}}'
[account.bucket.objects]
"runs/a" = "content"
"#;

#[tokio::test]
async fn a_bucket_is_declared_with_its_objects() {
    let sandbox = Sandbox::try_new(World::from_toml(BUCKET).expect("a world")).expect("a sandbox");
    assert_eq!(sandbox.objects("amiferry-ledger")["runs/a"], b"content");
    assert!(sandbox.objects("elsewhere").is_empty());
}

const ORGANIZATION: &str = "[organization]\nid = \"o-a1b2c3d4e5\"\nmanagement_account = \"111111111111\"\nroot = \"r-ab12\"\n";

#[test]
fn an_error_names_its_key() {
    let account = "[[account]]\nid = \"111111111111\"\n";
    let cases = [
        ("sped = 2".to_owned(), "sped"),
        ("speed = 0".to_owned(), "speed"),
        ("speed = \"fast\"".to_owned(), "speed"),
        ("latency_seconds = -1".to_owned(), "latency_seconds"),
        (
            "[late_reads]\ntags_seconds = -1".to_owned(),
            "late_reads.tags_seconds",
        ),
        ("[late_reads]\ntag = 1".to_owned(), "late_reads.tag"),
        ("[[account]]\nid = \"1\"".to_owned(), "account[0].id"),
        (format!("{account}{account}"), "account[1].id"),
        (
            format!("{account}[[account.role]]\nname = \"x\"\npolicies = [\"{{\"]"),
            "account[0].role[0].policies[0]",
        ),
        (
            format!("{account}[[account.role]]\nnam = \"x\""),
            "account[0].role[0].nam",
        ),
        (
            format!(
                "{account}[[account.snapshot]]\nregion = \"us-west-2\"\nid = \"snap-1\"\nsize = 1"
            ),
            "account[0].snapshot[0].id",
        ),
        (
            format!("{account}[[account.key]]\nregion = \"us-north-1\"\nid = \"k\""),
            "account[0].key[0].region",
        ),
        (
            format!(
                "{account}[[account.access_key]]\nid = \"A\"\nsecret = \"s\"\nprincipal = \"arn\""
            ),
            "account[0].access_key[0].principal",
        ),
        (
            BUCKET.replace("amiferry-ledger\"", "Ledger\""),
            "account[0].bucket[0].name",
        ),
        (
            BUCKET.replace("us-west-2", "us-north-1"),
            "account[0].bucket[0].region",
        ),
        (
            BUCKET.replace("ledger/*", "ledgers/*"),
            "account[0].bucket[0].policy",
        ),
        (
            BUCKET.replace("\"runs/a\"", "\"\""),
            "account[0].bucket[0].objects",
        ),
        (
            format!("{BUCKET}{}", BUCKET.replace("id = \"1", "id = \"2")),
            "account[1].bucket[0].name",
        ),
        ("[[account".to_owned(), "world"),
        (format!("{account}parent = \"r-ab12\""), "account[0].parent"),
        (
            format!("{account}organization = \"o-1\""),
            "account[0].organization",
        ),
        (format!("{account}state = \"GONE\""), "account[0].state"),
        (
            format!("{ORGANIZATION}\n{account}parent = \"ou-ab12-22222222\""),
            "account[0].parent",
        ),
        (
            format!("{ORGANIZATION}\n[[account]]\nid = \"222222222222\""),
            "organization.management_account",
        ),
        (
            format!("{ORGANIZATION}delegated_administrators = [\"222222222222\"]\n{account}"),
            "organization.delegated_administrators",
        ),
        (
            format!(
                "{ORGANIZATION}[[organization.unit]]\nid = \"ou-cd34-11111111\"\nname = \"x\"\n{account}"
            ),
            "organization.unit[0].id",
        ),
        (
            format!(
                "{ORGANIZATION}[[organization.unit]]\nid = \"ou-ab12-11111111\"\nname = \"x\"\nparent = \"ou-ab12-11111111\"\n{account}"
            ),
            "organization.unit[0].parent",
        ),
    ];
    for (text, key) in cases {
        let error = World::from_toml(&text).expect_err(&text);
        assert_eq!(error.key, key, "{text}: {error}");
    }
}

#[tokio::test]
async fn a_world_that_contradicts_itself_is_refused() {
    let snapshot = Snapshot::new("us-west-2", "snap-0000000000000a001", 1).key("nowhere");
    let world = World::new().account(Account::new("111111111111").snapshot(snapshot));
    let error = Sandbox::try_new(world).expect_err("no such key");
    assert_eq!(error.key, "account[0].snapshot[0].key");
}
