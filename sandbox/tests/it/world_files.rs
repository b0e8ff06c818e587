//! World files: their content and their errors.

use amiferry_sandbox::{Account, Sandbox, Snapshot, World};

#[tokio::test]
async fn the_demo_world_is_valid() {
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
policy = '''{"Version":"2012-10-17","Statement":{"Effect":"Deny","Principal":"*","Action":"s3:*",
             "Resource":"arn:aws:s3:::amiferry-ledger/*"}}'''
[account.bucket.objects]
"runs/a" = "content"
"#;

#[tokio::test]
async fn a_bucket_is_declared_with_its_objects() {
    let sandbox = Sandbox::try_new(World::from_toml(BUCKET).expect("a world")).expect("a sandbox");
    assert_eq!(sandbox.objects("amiferry-ledger")["runs/a"], b"content");
    assert!(sandbox.objects("elsewhere").is_empty());
}

const ACCOUNT: &str = "[[account]]\nid = '111111111111'";
const ORGANIZATION: &str = "[organization]\nid = 'o-a1b2c3d4e5'\n\
                            management_account = '111111111111'\nroot = 'r-ab12'";

/// Asserts that the world file of these lines is refused with this key.
fn assert_key(lines: &[&str], key: &str) {
    let text = lines.join("\n");
    let error = World::from_toml(&text).expect_err(&text);
    assert_eq!(error.key, key, "{text}: {error}");
}

#[test]
fn an_error_of_the_world_names_its_key() {
    for (line, key) in [
        ("sped = 2", "sped"),
        ("speed = 0", "speed"),
        ("speed = 'fast'", "speed"),
        ("latency_seconds = -1", "latency_seconds"),
        ("[late_reads]\ntags_seconds = -1", "late_reads.tags_seconds"),
        ("[late_reads]\ntag = 1", "late_reads.tag"),
        ("[facts]\nrole_grantee = true", "facts.role_grantee"),
        (
            "[facts]\nsession_token_percent = -1",
            "facts.session_token_percent",
        ),
        ("[[account]]\nid = '1'", "account[0].id"),
        ("[[account", "world"),
    ] {
        assert_key(&[line], key);
    }
}

#[test]
fn an_error_of_an_account_names_its_key() {
    assert_key(&[ACCOUNT, ACCOUNT], "account[1].id");
    for (lines, key) in [
        (
            "[[account.role]]\nname = 'x'\npolicies = ['{']",
            "role[0].policies[0]",
        ),
        ("[[account.role]]\nnam = 'x'", "role[0].nam"),
        (
            "[[account.snapshot]]\nregion = 'us-west-2'\nid = 'snap-1'\nsize = 1",
            "snapshot[0].id",
        ),
        (
            "[[account.key]]\nregion = 'us-north-1'\nid = 'k'",
            "key[0].region",
        ),
        (
            "[[account.access_key]]\nid = 'A'\nsecret = 's'\nprincipal = 'arn'",
            "access_key[0].principal",
        ),
        (
            "[[account.parameter]]\nregion = 'us-west-2'\nname = 'aws'\nvalue = 'x'",
            "parameter[0].name",
        ),
        (
            "[[account.parameter]]\nregion = 'us-west-2'\nname = 'x'\nvalue = 'x'\n\
             data_type = 'image'",
            "parameter[0].data_type",
        ),
        (
            "[[account.launch_template]]\nregion = 'us-west-2'\nid = 'lt-1'\nname = 'x'",
            "launch_template[0].id",
        ),
        (
            "[[account.launch_template]]\nregion = 'us-west-2'\nid = 'lt-12345678'\n\
             name = 'x'\ndefault_version = 2",
            "launch_template[0].default_version",
        ),
        ("parent = 'r-ab12'", "parent"),
        ("organization = 'o-1'", "organization"),
        ("state = 'GONE'", "state"),
    ] {
        assert_key(&[ACCOUNT, lines], &format!("account[0].{key}"));
    }
}

#[test]
fn an_error_of_a_bucket_names_its_key() {
    for (from, to, key) in [
        ("amiferry-ledger\"", "Ledger\"", "name"),
        ("us-west-2", "us-north-1", "region"),
        ("ledger/*", "ledgers/*", "policy"),
        ("\"runs/a\"", "\"\"", "objects"),
    ] {
        let text = BUCKET.replace(from, to);
        assert_key(&[&text], &format!("account[0].bucket[0].{key}"));
    }
    let namesake = BUCKET.replace("id = \"1", "id = \"2");
    assert_key(&[BUCKET, &namesake], "account[1].bucket[0].name");
}

#[test]
fn an_error_of_an_organization_names_its_key() {
    let outside = "parent = 'ou-ab12-22222222'";
    assert_key(&[ORGANIZATION, ACCOUNT, outside], "account[0].parent");
    let stranger = ACCOUNT.replace('1', "2");
    assert_key(
        &[ORGANIZATION, &stranger],
        "organization.management_account",
    );
    for (lines, key) in [
        (
            "delegated_administrators = ['222222222222']",
            "delegated_administrators",
        ),
        (
            "[[organization.unit]]\nid = 'ou-cd34-11111111'\nname = 'x'",
            "unit[0].id",
        ),
        (
            "[[organization.unit]]\nid = 'ou-ab12-11111111'\nname = 'x'\n\
             parent = 'ou-ab12-11111111'",
            "unit[0].parent",
        ),
    ] {
        let key = format!("organization.{key}");
        assert_key(&[ORGANIZATION, lines, ACCOUNT], &key);
    }
}

const POSSIBLE: &str = r#"
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

/// Asserts that the possible world with a line added after another is refused with this key.
fn assert_impossible(after: &str, added: &str, key: &str) {
    let text = POSSIBLE.replace(after, &format!("{after}\n{added}"));
    let error = World::from_toml(&text).expect_err(added);
    assert_eq!(error.key, format!("account[0].{key}"), "{added}: {error}");
}

#[test]
fn a_key_or_snapshot_that_aws_cannot_have_is_refused_with_its_key() {
    World::from_toml(POSSIBLE).expect("possible without changes");
    let (key, snapshot) = ("id = \"source\"", "key = \"source\"");
    for (after, added, fault) in [
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
    ] {
        assert_impossible(after, added, fault);
    }
    let text = POSSIBLE.replace("size = 8", "size = 0");
    assert_key(&[&text], "account[0].snapshot[0].size");
}

#[test]
fn an_image_that_aws_cannot_have_is_refused_with_its_key() {
    let image = "name = \"golden\"";
    for (added, fault) in [
        ("state = \"gone\"", "state"),
        ("architecture = \"vax\"", "architecture"),
        (
            "architecture = \"arm64\"\nvirtualization_type = \"paravirtual\"",
            "virtualization_type",
        ),
        ("boot_mode = \"bios\"", "boot_mode"),
        ("deprecation_time = \"soon\"", "deprecation_time"),
        (
            "deregistration_protection = \"yes\"",
            "deregistration_protection",
        ),
        ("public = true", "mapping[0].ebs.snapshot_id"),
        ("state = \"disabled\"\npublic = true", "launch_permissions"),
    ] {
        assert_impossible(image, added, &format!("image[0].{fault}"));
    }
    let text = POSSIBLE.replace("golden", "g");
    assert_key(&[&text], "account[0].image[0].name");
}

#[test]
fn a_mapping_that_aws_cannot_have_is_refused_with_its_key() {
    let (root, ebs) = ("device_name = \"/dev/xvda\"", "[account.image.mapping.ebs]");
    for (after, added, fault) in [
        (root, "virtual_name = \"ephemeral0\"", "ebs"),
        (ebs, "volume_type = \"gp9\"", "ebs.volume_type"),
        (ebs, "volume_size = 7", "ebs.volume_size"),
    ] {
        let key = format!("image[0].mapping[0].{fault}");
        assert_impossible(after, added, &key);
    }
}

#[test]
fn a_world_with_conflicting_resources_is_refused_with_its_key() {
    let ephemeral =
        "[[account.image.mapping]]\ndevice_name = \"/dev/xvda\"\nvirtual_name = \"ephemeral0\"";
    let twice = format!("{POSSIBLE}\n{ephemeral}");
    let error = World::from_toml(&twice).expect_err("a device twice");
    assert_eq!(error.key, "account[0].image[0].mapping[1].device_name");
    let image = POSSIBLE
        .split_once("[[account.image]]")
        .expect("an image")
        .1;
    let namesake = image.replace("ami-0000000000000a001", "ami-0000000000000a002");
    let text = format!("{POSSIBLE}\n[[account.image]]{namesake}");
    let error = World::from_toml(&text).expect_err("two images of one name");
    assert_eq!(error.key, "account[0].image[1].name");
    let managed = POSSIBLE.replace(
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
async fn a_snapshot_under_an_unknown_key_is_refused_in_a_world() {
    let snapshot = Snapshot::new("us-west-2", "snap-0000000000000a001", 1).key("nowhere");
    let world = World::new().account(Account::new("111111111111").snapshot(snapshot));
    let error = Sandbox::try_new(world).expect_err("no such key");
    assert_eq!(error.key, "account[0].snapshot[0].key");
}
