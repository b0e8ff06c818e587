//! The service control policy of docs/guardrails.md: it stops the acts it names, and no run.

use amiferry_sandbox::{Account, FULL_AWS_ACCESS, Organization, Role, Sandbox, Snapshot, World};
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{
    CreateVolumePermission, CreateVolumePermissionModifications, LaunchPermission,
    LaunchPermissionModifications, PermissionGroup, Tag,
};

use crate::launch_grants::somebody;
use crate::support::*;

const MANAGEMENT: &str = "999999999999";
const STRANGER: &str = "444444444444";
/// A snapshot without encryption, which EC2 would make public.
const PLAIN: &str = "snap-0ffffffffffffffff";

fn policy() -> &'static str {
    let text = include_str!("../../docs/guardrails.md");
    let block = text.split("```json\n").nth(1).expect("a policy");
    block.split("```").next().expect("its end")
}

fn with_administrator(account: Account) -> Account {
    let arn = format!("arn:aws:iam::{}:role/Admin", account.id);
    let key = format!("AKIAADMIN{}", account.id);
    account
        .role(Role::admin("Admin"))
        .access_key(&key, "admin-secret", &arn)
}

fn world_of(guarded: bool) -> Sandbox {
    let member = |account: Account| {
        let account = with_administrator(account)
            .parent("r-ab12")
            .service_control_policy(FULL_AWS_ACCESS);
        if guarded {
            account.service_control_policy(policy())
        } else {
            account
        }
    };
    let world = World::new()
        .copy_mib_per_second(4096.0)
        .account(member(producer().snapshot(Snapshot::new(HOME, PLAIN, 8))))
        .account(Account::new(MANAGEMENT).parent("r-ab12"))
        .organization(Organization::new(ORG, MANAGEMENT, "r-ab12"));
    let world = TWO.iter().fold(world, |world, (account, region)| {
        world.account(member(consumer(account, &[region])))
    });
    Sandbox::new(world)
}

fn administrator(sandbox: &Sandbox, (account, region): Place) -> aws_sdk_ec2::Client {
    let id = format!("AKIAADMIN{account}");
    let credentials = Credentials::new(id, "admin-secret", None, None, "test");
    aws_sdk_ec2::Client::new(&somebody(sandbox, region, credentials))
}

/// Returns whether a person in the source account may open a snapshot.
async fn opens(sandbox: &Sandbox, snapshot: &str, to: CreateVolumePermission) -> bool {
    let add = CreateVolumePermissionModifications::builder().add(to);
    let opening = administrator(sandbox, (SOURCE, HOME))
        .modify_snapshot_attribute()
        .snapshot_id(snapshot)
        .create_volume_permission(add.build());
    allowed(opening.send().await)
}

/// Returns whether a person in the source account may share the image.
async fn shares(sandbox: &Sandbox) -> bool {
    let to = LaunchPermission::builder().user_id(STRANGER).build();
    let add = LaunchPermissionModifications::builder().add(to);
    let sharing = administrator(sandbox, (SOURCE, HOME))
        .modify_image_attribute()
        .image_id(AMI)
        .launch_permission(add.build());
    allowed(sharing.send().await)
}

/// A refusal for another reason than the organization's is no proof.
fn allowed<T, E: std::fmt::Debug + aws_sdk_ec2::error::ProvideErrorMetadata>(
    answer: Result<T, aws_sdk_ec2::error::SdkError<E>>,
) -> bool {
    let Err(error) = answer else { return true };
    let said = format!("{error:?}");
    assert!(said.contains("UnauthorizedOperation"), "{said}");
    assert!(said.contains("service control policy"), "{said}");
    false
}

async fn tags(sandbox: &Sandbox, place: Place, resource: &str, key: &str) -> bool {
    let tag = Tag::builder().key(key).value("true").build();
    let tagging = administrator(sandbox, place).create_tags();
    allowed(tagging.resources(resource).tags(tag).send().await)
}

#[tokio::test(start_paused = true)]
async fn a_run_needs_nothing_that_the_guardrails_forbid() {
    let sandbox = world_of(true);
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn the_guardrails_leave_sharing_to_the_function() {
    for guarded in [false, true] {
        let sandbox = world_of(guarded);
        let stranger = CreateVolumePermission::builder().user_id(STRANGER).build();
        assert_eq!(opens(&sandbox, ROOT, stranger).await, !guarded);
        assert_eq!(shares(&sandbox).await, !guarded);
    }
}

#[tokio::test(start_paused = true)]
async fn the_guardrails_let_no_snapshot_become_public() {
    for guarded in [false, true] {
        let all = CreateVolumePermission::builder().group(PermissionGroup::All);
        assert_eq!(
            opens(&world_of(guarded), PLAIN, all.build()).await,
            !guarded
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_guardrails_leave_the_tags_of_copies_to_the_function() {
    for guarded in [false, true] {
        let sandbox = world_of(guarded);
        for key in ["source-image", "source-account", "run", "key"] {
            let key = format!("amiferry:{key}");
            assert_eq!(tags(&sandbox, (SOURCE, HOME), AMI, &key).await, !guarded);
            assert_eq!(tags(&sandbox, (SOURCE, HOME), ROOT, &key).await, !guarded);
        }
        assert!(tags(&sandbox, (SOURCE, HOME), AMI, "amiferry:distribute").await);
        assert!(tags(&sandbox, (SOURCE, HOME), AMI, "team").await);
    }
}
