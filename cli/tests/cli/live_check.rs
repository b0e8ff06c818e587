//! The live check against the sandbox, in every combination of the facts that nobody has documented
//! and that the sandbox can have either way.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use amiferry_sandbox::{
    Account, BlockDeviceMapping, Ebs, Facts, Fault, Image, Sandbox, Server, Snapshot, User, World,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::stage::{Ended, begun, end_of, ended, interrupt, program};
use crate::tables::shown;

const SOURCE: &str = "111111111111";
const TARGET: &str = "222222222222";
const REGIONS: [&str; 2] = ["us-west-2", "us-east-1"];

/// Two accounts, and their administrators' profiles.
struct Accounts {
    sandbox: Sandbox,
    server: Server,
    home: TempDir,
}

fn account(id: &str) -> Account {
    let (key, secret) = (format!("AKIA{id}0001"), format!("secret/{id}"));
    let admin = format!("arn:aws:iam::{id}:user/admin");
    Account::new(id)
        .user(User::admin("admin"))
        .access_key(&key, &secret, &admin)
}

fn world(facts: Facts) -> World {
    let world = World::new().facts(facts).speed(500.0);
    world.account(account(SOURCE)).account(account(TARGET))
}

impl Accounts {
    async fn with(facts: Facts) -> Self {
        Self::of(world(facts)).await
    }

    async fn of(world: World) -> Self {
        let sandbox = Sandbox::new(world);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = sandbox.serve(address).await.expect("a server");
        let home = tempfile::tempdir().expect("a folder");
        let profiles = [("images", SOURCE), ("team", TARGET)].map(|(name, id)| {
            format!(
                "[{name}]\naws_access_key_id = AKIA{id}0001\n\
                 aws_secret_access_key = secret/{id}\n"
            )
        });
        let file = home.path().join("credentials");
        std::fs::write(file, profiles.concat()).expect("written");
        Self {
            sandbox,
            server,
            home,
        }
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.home.path(), &["live-check"]);
        command
            .args(["--profile", "images", "--target-profile", "team"])
            .args(["--region", REGIONS[0], "--other-region", REGIONS[1]])
            .args(["--patience", "2s"])
            .args(arguments)
            .current_dir(self.home.path())
            .env(
                "AWS_SHARED_CREDENTIALS_FILE",
                self.home.path().join("credentials"),
            )
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.server.addr()));
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.program(arguments)).await
    }

    /// Returns everything that is there in both accounts, and not about to be deleted.
    fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        for account in [SOURCE, TARGET] {
            for region in REGIONS {
                let images = self.sandbox.images(account, region);
                left.extend(images.into_iter().map(|image| image.image_id));
                let snapshots = self.sandbox.snapshots(account, region);
                left.extend(snapshots.into_iter().map(|snapshot| snapshot.snapshot_id));
            }
        }
        let pairs = [
            ("CreateVolume", "DeleteVolume"),
            ("CreateKey", "ScheduleKeyDeletion"),
            ("CreateRole", "DeleteRole"),
            ("CreateBucket", "DeleteBucket"),
        ];
        let unequal = pairs
            .iter()
            .filter(|(made, removed)| self.did(made) != self.did(removed));
        left.extend(unequal.map(|(made, _)| (*made).to_owned()));
        left
    }

    /// Waits until an operation succeeded.
    async fn until(&self, operation: &str) {
        for _ in 0..1200 {
            if self.did(operation) > 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no {operation}");
    }

    /// Returns how often an operation succeeded.
    fn did(&self, operation: &str) -> usize {
        let calls = self.sandbox.ledger();
        let same = calls.iter().filter(|call| call.operation == operation);
        same.filter(|call| call.outcome == Some(Ok(()))).count()
    }

    /// Returns the report that the check wrote.
    fn report(&self) -> String {
        let files = std::fs::read_dir(self.home.path()).expect("a folder");
        let paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
        let mut reports = paths
            .iter()
            .filter(|path| path.extension().is_some_and(|e| e == "md"));
        let report = reports.next().expect("a report");
        std::fs::read_to_string(report).expect("text")
    }
}

/// Returns whether each fact held, by its name.
fn held(told: &Value) -> BTreeMap<String, String> {
    let rows = told["Facts"].as_array().expect("rows").iter();
    let text = |row: &Value, key: &str| row[key].as_str().expect("text").to_owned();
    rows.map(|row| (text(row, "Fact"), text(row, "Held")))
        .collect()
}

/// Returns the facts as the check should find them.
fn expected(facts: Facts) -> BTreeMap<String, String> {
    let yes = [
        ("unseen-source", facts.late_source_checks),
        ("unreadable-key", facts.late_source_checks),
        ("role-grantee", facts.role_grantees),
        ("no-presigned-url", facts.presigned_url_optional),
        ("via-service", true),
        ("copy-image", facts.image_copies_across_accounts),
        ("child-grants", facts.child_grants_outlive),
        ("revocation", true),
        ("session-policy", facts.session_token_percent <= 100),
        ("tags", true),
        ("distribution", true),
        ("share", true),
        ("closed", true),
    ];
    let word = |held: bool| if held { "yes" } else { "no" }.to_owned();
    let tried = yes.map(|(name, held)| (name.to_owned(), word(held)));
    let untried = ["copy-image-billing", "snapshot-billing"];
    let untried = untried.map(|name| (name.to_owned(), "unknown".to_owned()));
    tried.into_iter().chain(untried).collect()
}

/// Returns a combination by the bits of a number; all bits are the facts as documented.
fn combination(bits: u32) -> Facts {
    let bit = |n: u32| bits & (1 << n) != 0;
    Facts {
        role_grantees: bit(0),
        late_source_checks: bit(1),
        presigned_url_optional: bit(2),
        via_source_region: bit(3),
        image_copies_across_accounts: bit(4),
        child_grants_outlive: bit(5),
        session_token_percent: if bit(6) { 100 } else { 200 },
        ..Facts::default()
    }
}

/// The combinations of seven facts in which each pair of facts has each pair of values.
const PAIRS: [u32; 9] = [127, 0, 85, 42, 102, 25, 120, 7, 51];

async fn plays(bits: u32) {
    let facts = combination(bits);
    let accounts = Accounts::with(facts).await;
    let checked = accounts.run(&["--output", "json"]).await;
    let told = checked.json();
    assert_eq!(held(&told), expected(facts), "{bits:07b}: {checked:?}");
    // Either Region of kms:ViaService will do.
    let all_hold = bits | (1 << 3) == 127;
    assert_eq!(checked.code == Some(0), all_hold, "{bits:07b}: {checked:?}");
    assert_eq!(
        told["Left"],
        serde_json::json!([]),
        "{bits:07b}: {checked:?}"
    );
    assert_eq!(
        accounts.left(),
        [] as [String; 0],
        "{bits:07b}: {checked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_tells_which_facts_hold_and_leaves_nothing() {
    let whole = std::env::var_os("AMIFERRY_ALL_FACTS").is_some();
    let played: Vec<u32> = if whole {
        (0..128).collect()
    } else {
        PAIRS.to_vec()
    };
    for some in played.chunks(16) {
        let together: JoinSet<()> = some.iter().map(|bits| plays(*bits)).collect();
        together.join_all().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lists_the_facts_and_the_report_names_no_account() {
    let accounts = Accounts::with(Facts::default()).await;
    let checked = accounts.run(&["--output", "json"]).await;
    let told = checked.json();
    let mut table = String::from("\n| fact | claim | if it does not hold |\n|---|---|---|\n");
    for row in told["Facts"].as_array().expect("rows") {
        let text = |key: &str| row[key].as_str().expect("text");
        let cells = [text("Fact"), text("Claim"), text("Otherwise")];
        let _ = writeln!(table, "| `{}` | {} | {} |", cells[0], cells[1], cells[2]);
    }
    shown("../docs/live-check.md", "facts", &format!("{table}\n"));
    let report = accounts.report();
    assert!(report.contains("| yes | it copied "), "{report}");
    assert!(
        !report.contains(SOURCE) && !report.contains(TARGET),
        "{report}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_check_and_removes_what_it_made() {
    let accounts = Accounts::with(Facts::default()).await;
    let child = begun(accounts.program(&[]));
    accounts.until("CopySnapshot").await;
    interrupt(&child);
    let left = end_of(child).await;
    assert_eq!(left.code, Some(130), "{left:?}");
    assert_eq!(accounts.left(), [] as [String; 0], "{left:?}");
    assert!(
        accounts.report().contains("The check ended early: Ctrl-C"),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_check_made_is_removed_by_its_id() {
    for operation in [
        "CreateBucket",
        "CreateVolume",
        "CreateRole",
        "CopyImage",
        "GetObject",
    ] {
        let accounts = Accounts::with(Facts::default()).await;
        let mut child = begun(accounts.program(&[]));
        accounts.until(operation).await;
        child.kill().expect("killed");
        let killed = end_of(child).await;
        assert_ne!(
            accounts.left(),
            [] as [String; 0],
            "{operation}: {killed:?}"
        );
        let words = killed
            .stderr
            .split("--clean-up ")
            .nth(1)
            .expect("the command");
        let id = words.split(' ').next().expect("an ID");
        let cleaned = accounts.run(&["--clean-up", id]).await;
        assert_eq!(cleaned.code, Some(0), "{operation}: {cleaned:?}");
        assert_eq!(
            accounts.left(),
            [] as [String; 0],
            "{operation}: {cleaned:?}"
        );
        let again = accounts.run(&["--clean-up", id]).await;
        assert_eq!(
            again.stdout, "Nothing to remove.\n",
            "{operation}: {again:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_cannot_make_a_thing_says_why_and_removes_the_rest() {
    let accounts = Accounts::with(Facts::default()).await;
    accounts
        .sandbox
        .set_fault(|call| match call.operation.as_str() {
            "CreateRole" => Fault::Refuse {
                status: 403,
                code: "AccessDenied".to_owned(),
                message: "no role today".to_owned(),
            },
            _ => Fault::None,
        });
    let refused = accounts.run(&[]).await;
    assert_eq!(refused.code, Some(254), "{refused:?}");
    assert!(refused.stderr.contains("no role today"), "{refused:?}");
    assert_eq!(accounts.left(), [] as [String; 0], "{refused:?}");
    assert!(accounts.report().contains("no role today"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_listed_and_fails_the_check() {
    let accounts = Accounts::with(Facts::default()).await;
    accounts
        .sandbox
        .set_fault(|call| match call.operation.as_str() {
            "DeleteRole" => Fault::Refuse {
                status: 409,
                code: "DeleteConflict".to_owned(),
                message: "somebody attached a policy".to_owned(),
            },
            _ => Fault::None,
        });
    let checked = accounts.run(&["--output", "json"]).await;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    let left = checked.json()["Left"].to_string();
    assert!(left.contains("role amiferry-live-check-"), "{left}");
    assert!(left.contains("somebody attached a policy"), "{left}");
    assert!(
        checked.stderr.contains("left: role amiferry-live-check-"),
        "{checked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_profiles_of_one_account_or_one_region_twice_are_refused_before_anything_is_made() {
    let accounts = Accounts::with(Facts::default()).await;
    for (flag, value, words) in [
        (
            "--target-profile",
            "images",
            "--target-profile: is of 111111111111 too",
        ),
        (
            "--other-region",
            REGIONS[0],
            "--other-region: is us-west-2 like --region",
        ),
        ("--other-region", "moon", "moon"),
    ] {
        let mut command = program(accounts.home.path(), &["live-check", "--profile", "images"]);
        let others = [("--target-profile", "team"), ("--other-region", REGIONS[1])];
        for (other, usual) in others {
            command.args([other, if other == flag { value } else { usual }]);
        }
        command
            .args(["--region", REGIONS[0]])
            .env(
                "AWS_SHARED_CREDENTIALS_FILE",
                accounts.home.path().join("credentials"),
            )
            .env(
                "AWS_ENDPOINT_URL",
                format!("http://{}", accounts.server.addr()),
            );
        let refused = ended(command).await;
        assert_eq!(refused.code, Some(252), "{refused:?}");
        assert!(refused.stderr.contains(words), "{refused:?}");
    }
    assert!(
        accounts
            .sandbox
            .ledger()
            .iter()
            .all(|call| !call.operation.starts_with("Create"))
    );
}

/// Returns a source account with an image of Red Hat's.
fn with_billed_image(mut world: World) -> World {
    let red_hat = (
        "Red Hat Enterprise Linux".to_owned(),
        "RunInstances:0010".to_owned(),
    );
    let snapshot = Snapshot::new(REGIONS[0], "snap-0123456789abcdef0", 10);
    let snapshot = snapshot.with(|snapshot| {
        snapshot.encrypted = false;
        snapshot.lineage_platform = Some(red_hat.clone());
    });
    let image = Image::new(REGIONS[0], BILLED, "licensed");
    let disk = BlockDeviceMapping::ebs("/dev/sda1", Ebs::snapshot("snap-0123456789abcdef0"));
    let image = image.mapping(disk).with(|image| {
        image.root_device_name = Some("/dev/sda1".to_owned());
        image.platform_details.clone_from(&red_hat.0);
        image.usage_operation.clone_from(&red_hat.1);
    });
    let source = account(SOURCE).snapshot(snapshot).image(image);
    world.accounts[0] = source;
    world
}

const BILLED: &str = "ami-0123456789abcdef0";

#[tokio::test(flavor = "multi_thread")]
async fn billing_data_are_compared_by_both_ways_of_copying() {
    tokio::join!(compared(true, "yes"), compared(false, "no"));
}

async fn compared(keep: bool, word: &str) {
    let facts = Facts {
        copies_keep_billing: keep,
        billed_images_across_accounts: keep,
        ..Facts::default()
    };
    let accounts = Accounts::of(with_billed_image(world(facts))).await;
    let checked = accounts
        .run(&["--billed-image", BILLED, "--output", "json"])
        .await;
    let held = held(&checked.json());
    assert_eq!(held["snapshot-billing"], word, "{checked:?}");
    assert_eq!(held["copy-image-billing"], word, "{checked:?}");
    let left = accounts.left();
    assert_eq!(left, [BILLED, "snap-0123456789abcdef0"], "{checked:?}");
}
