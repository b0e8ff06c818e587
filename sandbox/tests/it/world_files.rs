//! World files: their content and their errors.

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

const IMPOSSIBLE: &str = r#"
[[account]]
id = "111111111111"
[[account.key]]
region = "us-west-2"
id = "source"
[[account.snapshot]]
region = "us-west-2"
id = "snap-0000000000000a001"
size = 8
key = "source"
[[account.image]]
region = "us-west-2"
id = "ami-0000000000000a001"
name = "golden"
[[account.image.mapping]]
device_name = "/dev/xvda"
[account.image.mapping.ebs]
snapshot_id = "snap-0000000000000a001"
"#;

#[test]
fn a_world_that_aws_cannot_have_is_refused_with_its_key() {
    World::from_toml(IMPOSSIBLE).expect("possible as it stands");
    let (key, snapshot) = ("id = \"source\"", "key = \"source\"");
    let (image, root) = ("name = \"golden\"", "device_name = \"/dev/xvda\"");
    let ebs = "[account.image.mapping.ebs]";
    for (beside, added, fault) in [
        (key, "spec = \"AES\"", "key[0].spec"),
        (key, "usage = \"SIGN_VERIFY\"", "key[0].usage"),
        (key, "spec = \"HMAC_256\"", "snapshot[0].key"),
        (key, "state = \"Lost\"", "key[0].state"),
        (snapshot, "state = \"done\"", "snapshot[0].state"),
        (
            snapshot,
            "storage_tier = \"cold\"",
            "snapshot[0].storage_tier",
        ),
        (snapshot, "stored_mib = 8193", "snapshot[0].stored_mib"),
        (snapshot, "public = true", "snapshot[0].public"),
        (
            snapshot,
            "copies_fail_at = [101, \"no\"]",
            "snapshot[0].copies_fail_at",
        ),
        (
            snapshot,
            "create_volume_permissions = [\"2\"]",
            "snapshot[0].create_volume_permissions",
        ),
        (snapshot, "tags = { \"\" = \"x\" }", "snapshot[0].tags"),
        (image, "state = \"gone\"", "image[0].state"),
        (image, "architecture = \"vax\"", "image[0].architecture"),
        (
            image,
            "architecture = \"arm64\"\nvirtualization_type = \"paravirtual\"",
            "image[0].virtualization_type",
        ),
        (image, "boot_mode = \"bios\"", "image[0].boot_mode"),
        (
            image,
            "deprecation_time = \"soon\"",
            "image[0].deprecation_time",
        ),
        (
            image,
            "deregistration_protection = \"yes\"",
            "image[0].deregistration_protection",
        ),
        (
            image,
            "public = true",
            "image[0].mapping[0].ebs.snapshot_id",
        ),
        (
            image,
            "state = \"disabled\"\npublic = true",
            "image[0].launch_permissions",
        ),
        (
            root,
            "virtual_name = \"ephemeral0\"",
            "image[0].mapping[0].ebs",
        ),
        (
            ebs,
            "volume_type = \"gp9\"",
            "image[0].mapping[0].ebs.volume_type",
        ),
        (
            ebs,
            "volume_size = 7",
            "image[0].mapping[0].ebs.volume_size",
        ),
    ] {
        let text = IMPOSSIBLE.replace(beside, &format!("{beside}\n{added}"));
        let error = World::from_toml(&text).expect_err(added);
        assert_eq!(error.key, format!("account[0].{fault}"), "{added}: {error}");
    }
    for (from, to, fault) in [
        ("size = 8", "size = 0", "account[0].snapshot[0].size"),
        ("golden", "g", "account[0].image[0].name"),
    ] {
        let error = World::from_toml(&IMPOSSIBLE.replace(from, to)).expect_err(to);
        assert_eq!(error.key, fault, "{error}");
    }
}

#[test]
fn a_world_with_things_that_exclude_each_other_is_refused_with_its_key() {
    let ephemeral =
        "[[account.image.mapping]]\ndevice_name = \"/dev/xvda\"\nvirtual_name = \"ephemeral0\"";
    let twice = format!("{IMPOSSIBLE}\n{ephemeral}");
    let error = World::from_toml(&twice).expect_err("a device twice");
    assert_eq!(error.key, "account[0].image[0].mapping[1].device_name");
    let image = IMPOSSIBLE
        .split_once("[[account.image]]")
        .expect("an image")
        .1;
    let namesake = image.replace("ami-0000000000000a001", "ami-0000000000000a002");
    let text = format!("{IMPOSSIBLE}\n[[account.image]]{namesake}");
    let error = World::from_toml(&text).expect_err("two images of one name");
    assert_eq!(error.key, "account[0].image[1].name");
    let managed = IMPOSSIBLE.replace(
        "key = \"source\"",
        "key = \"alias/aws/ebs\"\ncreate_volume_permissions = [\"222222222222\"]",
    );
    let error = World::from_toml(&managed).expect_err("a shared snapshot under aws/ebs");
    assert_eq!(
        error.key,
        "account[0].snapshot[0].create_volume_permissions"
    );
}

#[tokio::test]
async fn a_world_that_contradicts_itself_is_refused() {
    let snapshot = Snapshot::new("us-west-2", "snap-0000000000000a001", 1).key("nowhere");
    let world = World::new().account(Account::new("111111111111").snapshot(snapshot));
    let error = Sandbox::try_new(world).expect_err("no such key");
    assert_eq!(error.key, "account[0].snapshot[0].key");
}
