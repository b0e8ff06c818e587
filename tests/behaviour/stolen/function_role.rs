//! The function's role outside its function, without `AllowShare`, and with `AllowedAccountIds`.

use amiferry_sandbox::{Account, Role, Sandbox};
use aws_credential_types::Credentials;
use aws_sdk_ec2::error::ProvideErrorMetadata;
use aws_sdk_kms::types::GrantOperation;

use crate::launch_grants::somebody;
use crate::support::*;

const COPY_ROLE: &str = "arn:aws:iam::222222222222:role/AmiCopyRole";
const OTHER_COPY_ROLE: &str = "arn:aws:iam::444444444444:role/AmiCopyRole";

/// The calls that the thief tries with the role. Each returns its error code.
struct Thief {
    ec2: aws_sdk_ec2::Client,
    kms: aws_sdk_kms::Client,
    sts: aws_sdk_sts::Client,
}

type Code = Option<String>;

fn code<T, E: ProvideErrorMetadata>(said: Result<T, E>) -> Code {
    let refused = said.err()?;
    Some(refused.code().unwrap_or("no code").to_owned())
}

impl Thief {
    fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            sts: aws_sdk_sts::Client::new(config),
        }
    }

    async fn shares_a_snapshot(&self, operation: &str, account: &str) -> Code {
        let call = self.ec2.modify_snapshot_attribute().snapshot_id(ROOT);
        let call = call.operation_type(operation.into()).user_ids(account);
        code(call.send().await)
    }

    async fn shares_the_image(&self, account: &str) -> Code {
        let call = self.ec2.modify_image_attribute().image_id(AMI);
        let call = call
            .attribute("launchPermission")
            .operation_type("add".into());
        code(call.user_ids(account).send().await)
    }

    async fn grants(&self, grantee: &str) -> Code {
        let call = self.kms.create_grant().key_id(SOURCE_KEY);
        let call = call.operations(GrantOperation::Decrypt);
        code(call.grantee_principal(grantee).send().await)
    }

    async fn assumes(&self, role: &str) -> Code {
        let call = self.sts.assume_role().role_arn(role);
        code(call.role_session_name("thief").send().await)
    }
}

const REFUSED: Option<&str> = Some("UnauthorizedOperation");
const DENIED: Option<&str> = Some("AccessDeniedException");
const NOT_ASSUMED: Option<&str> = Some("AccessDenied");

/// Returns a world in which the role has these documented policies, and an access key that its
/// function does not have.
fn sandbox(policies: &[String]) -> Sandbox {
    let mut producer = producer().access_key(
        "AKIAELSEWHERE0000000",
        "stolen-secret",
        "arn:aws:iam::111111111111:role/amiferry",
    );
    producer.roles[0] = policies.iter().fold(Role::new("amiferry"), Role::policy);
    let fourth: Account = consumer("444444444444", &[HOME]);
    Sandbox::new(world_with(producer, &TWO).account(fourth))
}

async fn in_the_function(sandbox: &Sandbox) -> Thief {
    Thief::new(&config_in(HOME, sandbox.http_client(), sandbox.time_source()).await)
}

#[tokio::test(start_paused = true)]
async fn the_function_role_outside_its_function_opens_and_assumes_nothing() {
    let sandbox = sandbox(&["Find", "ShareImages"].map(documented));
    let key = Credentials::new("AKIAELSEWHERE0000000", "stolen-secret", None, None, "test");
    let elsewhere = Thief::new(&somebody(&sandbox, HOME, key));
    let account = TWO[0].0;
    assert_eq!(
        elsewhere.shares_a_snapshot("add", account).await.as_deref(),
        REFUSED
    );
    assert_eq!(
        elsewhere.shares_the_image(account).await.as_deref(),
        REFUSED
    );
    assert_eq!(elsewhere.grants(COPY_ROLE).await.as_deref(), DENIED);
    assert_eq!(elsewhere.assumes(COPY_ROLE).await.as_deref(), NOT_ASSUMED);
    let function = in_the_function(&sandbox).await;
    assert_eq!(function.shares_a_snapshot("add", account).await, None);
    assert_eq!(function.shares_the_image(account).await, None);
    assert_eq!(function.grants(COPY_ROLE).await, None);
    assert_eq!(function.assumes(COPY_ROLE).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_function_role_without_allow_share_shares_no_image_and_grants_no_account() {
    let sandbox = sandbox(&[documented("Find")]);
    let thief = in_the_function(&sandbox).await;
    assert_eq!(thief.shares_the_image(TWO[0].0).await.as_deref(), REFUSED);
    for account in ["222222222222", "333333333333"] {
        let root = format!("arn:aws:iam::{account}:root");
        assert_eq!(thief.grants(&root).await.as_deref(), DENIED);
    }
    assert_eq!(thief.grants(COPY_ROLE).await, None);
}

#[tokio::test(start_paused = true)]
async fn the_function_role_with_allowed_account_ids_reaches_no_other_account() {
    let sandbox = sandbox(&[with_named_accounts()]);
    let thief = in_the_function(&sandbox).await;
    let (named, other) = ("222222222222", "444444444444");
    assert_eq!(thief.shares_a_snapshot("add", named).await, None);
    assert_eq!(
        thief.shares_a_snapshot("add", other).await.as_deref(),
        REFUSED
    );
    // The list may have lost an account since, whose permissions must be removable.
    assert_eq!(thief.shares_a_snapshot("remove", other).await, None);
    assert_eq!(thief.grants(COPY_ROLE).await, None);
    assert_eq!(thief.grants(OTHER_COPY_ROLE).await.as_deref(), DENIED);
    assert_eq!(thief.assumes(COPY_ROLE).await, None);
    assert_eq!(thief.assumes(OTHER_COPY_ROLE).await.as_deref(), NOT_ASSUMED);
}

/// Returns the function's policy with the statements for named accounts in place of those of the
/// same names.
fn with_named_accounts() -> String {
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_str(&documented(name)).expect("a policy")
    };
    let (mut policy, named) = (read("Find"), read("aws:ResourceAccount"));
    let named = named["Statement"].as_array().expect("statements");
    let statements = policy["Statement"].as_array_mut().expect("statements");
    statements.retain(|statement| named.iter().all(|n| n["Sid"] != statement["Sid"]));
    statements.extend(named.iter().cloned());
    policy.to_string()
}
