//! The world of the tests, and a caller that drives the function as a state machine would.
//! `promises` has what must hold after every run.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use amiferry::error::Error;
use amiferry::handler::{Handler, Invocation};
use amiferry::setup::{Settings, bounded};
use amiferry_sandbox::{
    Account, BlockDeviceMapping, Bucket, Ebs, Image, Key, Role, Sandbox, Snapshot, World,
};
use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use aws_smithy_runtime_api::client::http::HttpClient;
use serde_json::{Value, json};

mod acts;
mod promises;

pub use acts::*;
pub use promises::*;

pub const SOURCE: &str = "111111111111";
pub const HOME: &str = "us-west-2";
pub const AMI: &str = "ami-0a1b2c3d4e5f60718";
pub const ROOT: &str = "snap-0123456789abcdef0";
pub const DATA: &str = "snap-0123456789abcdef1";
pub const SOURCE_KEY: &str =
    "arn:aws:kms:us-west-2:111111111111:key/11111111-aaaa-bbbb-cccc-000000000001";
pub const MACHINE: &str = "arn:aws:states:us-west-2:111111111111:stateMachine:amiferry";
pub const FUNCTION: &str = "arn:aws:lambda:us-west-2:111111111111:function:amiferry";
/// The function's bucket, and the organization of the settings.
pub const BUCKET: &str = "amiferry-bucket";
pub const ORG: &str = "o-abcdefghij";
const ROLE: &str = "arn:aws:iam::111111111111:role/amiferry";
pub const KEY_ID: &str = "22222222-aaaa-bbbb-cccc-000000000002";

/// An account and a Region.
pub type Place = (&'static str, &'static str);

/// The targets of most tests: two accounts at home, one of them elsewhere too, one elsewhere only.
pub const TWO: [Place; 2] = [("222222222222", HOME), ("333333333333", "us-east-1")];
pub const FOUR: [Place; 4] = [
    ("222222222222", HOME),
    ("222222222222", "us-east-1"),
    ("333333333333", HOME),
    ("444444444444", "eu-west-1"),
];

/// Returns the first policy in docs/permissions.md that contains this name, of a statement or a
/// key. The documented policies are the tested ones.
pub fn documented(name: &str) -> String {
    let text = include_str!("../../docs/permissions.md");
    let mut blocks = text.split("```json\n").skip(1);
    let block = blocks.find_map(|rest| {
        let block = rest.split("```").next()?;
        block.contains(&format!("\"{name}\"")).then_some(block)
    });
    block
        .expect("docs/permissions.md has this statement")
        .to_owned()
}

pub fn key_arn((account, region): Place) -> String {
    format!("arn:aws:kms:{region}:{account}:key/{KEY_ID}")
}

/// Returns the source account with its image: two encrypted gp3 snapshots, one instance store
/// mapping.
pub fn producer() -> Account {
    Account::new(SOURCE)
        .function_key("AKIAIOSFODNNPRODUCER", "producer-secret", ROLE, FUNCTION)
        .role(function_role())
        .bucket(Bucket::new(HOME, BUCKET))
        .key(Key::new(HOME, "11111111-aaaa-bbbb-cccc-000000000001").alias("alias/shared-ami-key"))
        .snapshot(
            Snapshot::new(HOME, ROOT, 8)
                .key(SOURCE_KEY)
                .tag("part", "root"),
        )
        .snapshot(Snapshot::new(HOME, DATA, 100).key(SOURCE_KEY))
        .image(image())
}

/// Returns the function's role as documented, for copies and shares with any account.
pub fn function_role() -> Role {
    Role::new("amiferry")
        .policy(documented("Find"))
        .policy(documented("ShareImages"))
        .policy(documented("TooLargeForAState"))
}

pub fn image() -> Image {
    Image::new(HOME, AMI, "golden")
        .description("the golden image")
        .mapping(BlockDeviceMapping::ebs(
            "/dev/xvda",
            Ebs::snapshot(ROOT).gp3(8, 4000, 250),
        ))
        .mapping(BlockDeviceMapping::ebs(
            "/dev/sdb",
            Ebs::snapshot(DATA).gp3(100, 3000, 125),
        ))
        .mapping(BlockDeviceMapping::ephemeral("/dev/sdc", "ephemeral0"))
        .tag("team", "platform")
        .with(|image| {
            image.root_device_name = Some("/dev/xvda".to_owned());
            image.boot_mode = Some("uefi".to_owned());
            image.tpm_support = Some("v2.0".to_owned());
            image.imds_support = Some("v2.0".to_owned());
            image.uefi_data = Some("QU1aTlVFRkk=".to_owned());
            image.sriov_net_support = Some("simple".to_owned());
        })
}

/// Returns the copy role as documented, for an account with targets in these Regions.
pub fn copy_role(account: &str, regions: &[&str]) -> Role {
    let role = Role::new("AmiCopyRole").trust_policy(documented("aws:PrincipalArn"));
    regions.iter().fold(role, |role, region| {
        let policy = documented("TidyUp").replace(
            &format!("{HOME}:222222222222"),
            &format!("{region}:{account}"),
        );
        role.policy(policy.replace("222222222222", account))
    })
}

pub fn consumer(account: &str, regions: &[&str]) -> Account {
    let consumer = Account::new(account).role(copy_role(account, regions));
    regions.iter().fold(consumer, |consumer, region| {
        consumer.key(Key::new(region, KEY_ID).alias("alias/amis"))
    })
}

pub fn world(places: &[Place]) -> World {
    world_with(producer(), places)
}

/// Returns a world in which the larger copy takes half a minute, not seven.
pub fn world_with(producer: Account, places: &[Place]) -> World {
    let mut regions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (account, region) in places {
        regions.entry(account).or_default().push(region);
    }
    regions.iter().fold(
        World::new().copy_mib_per_second(4096.0).account(producer),
        |world, (account, regions)| world.account(consumer(account, regions)),
    )
}

/// Returns a world whose copies are still under way when the first call returns.
pub fn slow_world(places: &[Place]) -> World {
    world(places).copy_mib_per_second(250.0)
}

pub fn request(places: &[Place]) -> Value {
    let targets: Vec<Value> = places
        .iter()
        .map(|(account, region)| {
            json!({"AccountId": account, "Region": region,
            "KmsKeyId": "alias/amis"})
        })
        .collect();
    json!({"SourceImageId": AMI, "Targets": targets, "Tags": {"stage": "test"}})
}

pub fn distribute(places: &[Place]) -> Value {
    json!({"Distribute": request(places)})
}

/// Returns the function with the sandbox for its AWS.
pub async fn function(sandbox: &Sandbox) -> Handler {
    function_with(sandbox, settings()).await
}

/// Returns the settings of the tests, which allow everything to the accounts and the organization
/// of their worlds.
pub fn settings() -> Settings {
    Settings {
        bucket: Some(BUCKET.to_owned()),
        allowed_accounts: Some(allowed_accounts().to_owned()),
        allowed_organization: Some(ORG.to_owned()),
        allow_share: Some("true".to_owned()),
        response_hosts: Some("127.0.0.1".to_owned()),
        ..Settings::default()
    }
}

/// Returns the accounts that requests may name, and hundreds of others.
fn allowed_accounts() -> &'static str {
    static ACCOUNTS: OnceLock<String> = OnceLock::new();
    ACCOUNTS.get_or_init(|| {
        let mut accounts = vec!["000000000001".to_owned(), "444444444445".to_owned()];
        accounts.extend((2..=9).map(|digit| digit.to_string().repeat(12)));
        accounts.extend((0..400).map(|n| (600_000_000_000_u64 + n).to_string()));
        accounts.join(",")
    })
}

pub async fn function_with(sandbox: &Sandbox, settings: Settings) -> Handler {
    Handler::new(config(sandbox, sandbox.time_source()).await, settings)
}

async fn config(sandbox: &Sandbox, clock: SharedTimeSource) -> aws_config::SdkConfig {
    config_in(HOME, sandbox.http_client(), clock).await
}

/// Returns an SDK configuration with the function's own credentials in this Region.
pub async fn config_in(
    region: &'static str,
    client: impl HttpClient + 'static,
    clock: impl TimeSource + 'static,
) -> aws_config::SdkConfig {
    let credentials = Credentials::new(
        "AKIAIOSFODNNPRODUCER",
        "producer-secret",
        None,
        None,
        "test",
    );
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region))
        .credentials_provider(credentials)
        .http_client(client)
        .time_source(clock);
    bounded(loader).load().await
}

/// Returns the policy of the source key, to the byte.
pub async fn key_policy(sandbox: &Sandbox) -> String {
    let kms = aws_sdk_kms::Client::new(&config(sandbox, sandbox.time_source()).await);
    let answer = kms.get_key_policy().key_id(SOURCE_KEY).send().await;
    answer
        .expect("the function may read it")
        .policy
        .expect("a policy")
}

pub fn invocation(sandbox: &Sandbox) -> Invocation {
    Invocation {
        deadline: Some(sandbox.now() + Duration::from_mins(15)),
        function_arn: FUNCTION.to_owned(),
        function_name: "amiferry".to_owned(),
    }
}

/// Calls the function once.
pub async fn call(sandbox: &Sandbox, event: &Value) -> Result<Value, Error> {
    function(sandbox)
        .await
        .handle(&event.to_string(), &invocation(sandbox))
        .await
}

/// A clock that is wrong by a number of seconds.
#[derive(Debug)]
struct Skewed(SharedTimeSource, i64);

impl TimeSource for Skewed {
    fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.1.unsigned_abs());
        if self.1 < 0 {
            self.0.now() - by
        } else {
            self.0.now() + by
        }
    }
}

/// The setup of an unusual function.
#[derive(Debug, Clone, Copy)]
pub struct Odd {
    pub timeout: Duration,
    /// Seconds by which the function's clock is ahead of AWS's.
    pub skew: i64,
    /// Attempts that the SDK makes by itself.
    pub attempts: u32,
}

/// Calls such a function once.
pub async fn call_odd(sandbox: &Sandbox, event: &Value, odd: Odd) -> Result<Value, Error> {
    let clock = SharedTimeSource::new(Skewed(sandbox.time_source(), odd.skew));
    let invocation = Invocation {
        deadline: Some(clock.now() + odd.timeout),
        ..invocation(sandbox)
    };
    let retries = RetryConfig::standard().with_max_attempts(odd.attempts);
    let config = config(sandbox, clock).await.into_builder();
    let config = config.retry_config(retries).build();
    Handler::new(config, settings())
        .handle(&event.to_string(), &invocation)
        .await
}

/// Returns the fault of a call that AWS refuses.
pub fn refuse(status: u16, code: &str) -> amiferry_sandbox::Fault {
    amiferry_sandbox::Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "as the test wants it".to_owned(),
    }
}

/// Drives the function to its end as a state machine does, and checks every state on the way.
pub async fn to_the_end(sandbox: &Sandbox, event: &Value) -> Value {
    let mut event = event.clone();
    for _ in 0..2000 {
        let reply = call(sandbox, &event)
            .await
            .expect("a good call has a reply");
        if reply["Status"] != "Continue" {
            return reply;
        }
        check_state(&reply["State"]);
        let wait = reply["WaitSeconds"]
            .as_u64()
            .expect("WaitSeconds is a number");
        assert!((1..=3600).contains(&wait), "WaitSeconds {wait}");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
    panic!("the run does not end");
}

fn check_state(state: &Value) {
    let text = state.to_string();
    let targets = state["Targets"].as_array().expect("Targets").len();
    assert!(
        text.len() <= 4096 + 1024 * targets,
        "{} bytes for {targets} targets",
        text.len()
    );
    assert_eq!(state["Schema"], 1);
    for secret in ["ASIA", "AKIA", "secret", "SessionToken", "http"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
