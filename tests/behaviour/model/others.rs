//! Acts of other people, as real calls of an administrator of each account.

use std::collections::BTreeMap;

use amiferry_sandbox::{Sandbox, User, World};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, OperationType, ResourceType, SnapshotAttributeName, Tag,
    TagSpecification,
};
use aws_sdk_kms::types::GrantOperation;

use super::acts::{PLACES, Theirs, Thing};
use super::reference::{Reference, is_of_a_run};
use crate::support::*;

/// The name of the administrators' role, by which the ledger of calls separates their calls from
/// ours.
pub const NAME: &str = "somebody";
const SEED: &str = "snap-0eeeeeeeeeeeeeee";
/// The name of our copies.
const OUR_NAME: &str = "golden-copied-from-111111111111";

type Tags = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Others {
    configs: BTreeMap<String, SdkConfig>,
}

fn access_key(account: &str) -> String {
    format!("AKIAIOSFODNNADMIN{}", &account[..3])
}

/// Adds an administrator to each account, a snapshot of others to each place, and more accounts.
pub fn move_in(mut world: World) -> World {
    for account in &mut world.accounts {
        let arn = format!("arn:aws:iam::{}:user/{NAME}", account.id);
        let id = account.id.clone();
        *account = std::mem::take(account).user(User::admin(NAME)).access_key(
            &access_key(&id),
            "their-secret",
            &arn,
        );
        for (n, (_, region)) in PLACES.iter().enumerate().filter(|(_, p)| p.0 == id) {
            let own = amiferry_sandbox::Snapshot::new(region, &format!("{SEED}{n}"), 8);
            account.snapshots.push(own.tag("whose", "theirs"));
        }
    }
    world
}

impl Others {
    pub async fn of(sandbox: &Sandbox) -> Self {
        let mut configs = BTreeMap::new();
        for account in [SOURCE, PLACES[0].0, PLACES[2].0] {
            let credentials =
                Credentials::new(access_key(account), "their-secret", None, None, "test");
            let loader = aws_config::defaults(BehaviorVersion::latest())
                .region(Region::new(HOME))
                .credentials_provider(credentials)
                .http_client(sandbox.http_client())
                .time_source(sandbox.time_source());
            configs.insert(account.to_owned(), loader.load().await);
        }
        Self { configs }
    }

    fn ec2(&self, (account, region): Place) -> aws_sdk_ec2::Client {
        let config = aws_sdk_ec2::config::Builder::from(&self.configs[account]);
        aws_sdk_ec2::Client::from_conf(
            config
                .region(aws_sdk_ec2::config::Region::new(region))
                .build(),
        )
    }

    /// Performs the act if its object exists. The reference learns what was made.
    pub async fn act(
        &self,
        sandbox: &Sandbox,
        act: &Theirs,
        reference: &std::sync::Mutex<Reference>,
    ) {
        match act {
            Theirs::Permit(thing, who) => self.permit(*thing, who, OperationType::Add).await,
            Theirs::Forbid(thing, who) => self.permit(*thing, who, OperationType::Remove).await,
            Theirs::Grant { to, role } => self.grant(to, *role, reference).await,
            Theirs::Revoke(n) => {
                let ids: Vec<String> = reference
                    .lock()
                    .expect("no panic")
                    .grants
                    .iter()
                    .cloned()
                    .collect();
                self.revoke(&ids, *n, reference).await;
            }
            Theirs::RevokeOurs(n) => {
                let grants = sandbox.grants(SOURCE_KEY).into_iter();
                let ours = grants.filter(|g| g.name.as_deref().is_some_and(is_of_a_run));
                let ids: Vec<String> = ours.map(|g| g.grant_id).collect();
                self.revoke(&ids, *n, reference).await;
            }
            Theirs::Tag(thing, n) => self.tag(*thing, *n).await,
            Theirs::Untag(thing, n) => self.untag(*thing, *n).await,
            Theirs::Snapshot { place, like_ours } => {
                self.snapshot(sandbox, *place, *like_ours, reference).await;
            }
            Theirs::Image { .. } => self.image(sandbox, act, reference).await,
            Theirs::Retag { place, which, key } => {
                self.retag(sandbox, *place, *which, *key, reference).await;
            }
            Theirs::DeleteCopy { place, which } => {
                self.delete_copy(sandbox, PLACES[*place], *which, reference)
                    .await;
            }
            Theirs::Deregister { place } => {
                self.deregister(sandbox, PLACES[*place], reference).await;
            }
        }
    }

    async fn tag(&self, thing: Thing, n: u64) {
        let tag = Tag::builder()
            .key(format!("theirs-{n}"))
            .value("as they say")
            .build();
        let ec2 = self.ec2((SOURCE, HOME));
        let call = ec2.create_tags().resources(thing.id()).tags(tag);
        call.send().await.expect("an administrator may tag");
    }

    async fn untag(&self, thing: Thing, n: u64) {
        let tag = Tag::builder().key(format!("theirs-{n}")).build();
        let ec2 = self.ec2((SOURCE, HOME));
        let call = ec2.delete_tags().resources(thing.id()).tags(tag);
        call.send().await.expect("an administrator may untag");
    }

    async fn delete_copy(
        &self,
        sandbox: &Sandbox,
        place: Place,
        which: usize,
        reference: &std::sync::Mutex<Reference>,
    ) {
        let ids = our_snapshots(sandbox, place, reference);
        let Some(id) = ids.get(which % ids.len().max(1)) else {
            return;
        };
        let images = sandbox.images(place.0, place.1);
        let stand_on_it = images.into_iter().filter(|i| i.snapshot_ids().contains(id));
        {
            let mut reference = reference.lock().expect("no panic");
            reference.hinder_all();
            // EC2 refuses the root device's snapshot only.
            let disputed: Vec<String> = stand_on_it.map(|i| i.image_id).collect();
            if !disputed.is_empty() {
                reference.names_taken.insert(place);
            }
            reference.disputed.extend(disputed);
        }
        let call = self.ec2(place).delete_snapshot().snapshot_id(id);
        drop(call.send().await);
    }

    async fn deregister(
        &self,
        sandbox: &Sandbox,
        place: Place,
        reference: &std::sync::Mutex<Reference>,
    ) {
        let ours = our_images(sandbox, place, reference);
        let Some(id) = ours.first() else { return };
        {
            let mut reference = reference.lock().expect("no panic");
            reference.hinder_all();
            reference.standing.remove(&place);
        }
        let call = self.ec2(place).deregister_image().image_id(id);
        call.delete_associated_snapshots(true)
            .send()
            .await
            .expect("an administrator may");
    }

    async fn permit(&self, thing: Thing, who: &str, operation: OperationType) {
        let ec2 = self.ec2((SOURCE, HOME));
        if thing == Thing::Image {
            let call = ec2
                .modify_image_attribute()
                .image_id(AMI)
                .attribute("launchPermission");
            let call = call.operation_type(operation).user_ids(who);
            call.send().await.expect("an administrator may");
        } else {
            let call = ec2.modify_snapshot_attribute().snapshot_id(thing.id());
            let call = call.attribute(SnapshotAttributeName::CreateVolumePermission);
            let call = call.operation_type(operation).user_ids(who);
            call.send().await.expect("an administrator may");
        }
    }

    async fn grant(&self, to: &str, role: bool, reference: &std::sync::Mutex<Reference>) {
        let name = if role { "role/AmiCopyRole" } else { "root" };
        let kms = aws_sdk_kms::Client::new(&self.configs[SOURCE]);
        let call = kms
            .create_grant()
            .key_id(SOURCE_KEY)
            .operations(GrantOperation::DescribeKey);
        let call = call.operations(GrantOperation::Decrypt);
        // This name resembles ours.
        let call = call
            .name(format!("amiferry-backup-{to}"))
            .grantee_principal(format!("arn:aws:iam::{to}:{name}"));
        let made = call.send().await.expect("an administrator may");
        let id = made.grant_id().expect("it has an ID").to_owned();
        reference.lock().expect("no panic").grants.insert(id);
    }

    async fn revoke(&self, ids: &[String], n: usize, reference: &std::sync::Mutex<Reference>) {
        let Some(id) = ids.get(n % ids.len().max(1)) else {
            return;
        };
        reference.lock().expect("no panic").they_revoked(id);
        let kms = aws_sdk_kms::Client::new(&self.configs[SOURCE]);
        // A grant of a run may have gone meanwhile.
        drop(
            kms.revoke_grant()
                .key_id(SOURCE_KEY)
                .grant_id(id)
                .send()
                .await,
        );
    }

    async fn snapshot(
        &self,
        sandbox: &Sandbox,
        place: usize,
        like_ours: bool,
        reference: &std::sync::Mutex<Reference>,
    ) {
        let tags = their_tags(sandbox, PLACES[place], like_ours);
        let call = self.ec2(PLACES[place]).copy_snapshot();
        let call = call
            .source_region(PLACES[place].1)
            .source_snapshot_id(format!("{SEED}{place}"));
        let call = call.tag_specifications(specification(&tags, ResourceType::Snapshot));
        let Ok(made) = call.send().await else { return };
        let id = made.snapshot_id().expect("it has an ID").to_owned();
        reference
            .lock()
            .expect("no panic")
            .snapshots
            .insert(id, (PLACES[place], tags));
    }

    async fn image(
        &self,
        sandbox: &Sandbox,
        act: &Theirs,
        reference: &std::sync::Mutex<Reference>,
    ) {
        let Theirs::Image {
            place,
            our_name,
            like_ours,
            on_ours,
        } = act
        else {
            return;
        };
        let tags = their_tags(sandbox, PLACES[*place], *like_ours);
        let completed = |id: &String| {
            let found = sandbox.snapshots(PLACES[*place].0, PLACES[*place].1);
            found
                .iter()
                .any(|s| s.snapshot_id == *id && s.state == "completed")
        };
        let of_ours = our_snapshots(sandbox, PLACES[*place], reference)
            .into_iter()
            .find(completed);
        let snapshot = of_ours
            .filter(|_| *on_ours)
            .unwrap_or_else(|| format!("{SEED}{place}"));
        let count = reference.lock().expect("no panic").images.len();
        let name = if *our_name {
            OUR_NAME.to_owned()
        } else {
            format!("{OUR_NAME}-{count}")
        };
        let ebs = EbsBlockDevice::builder().snapshot_id(snapshot).build();
        let mapping = BlockDeviceMapping::builder()
            .device_name("/dev/xvda")
            .ebs(ebs)
            .build();
        let call = self
            .ec2(PLACES[*place])
            .register_image()
            .name(name)
            .root_device_name("/dev/xvda");
        let call = call
            .architecture(aws_sdk_ec2::types::ArchitectureValues::X8664)
            .virtualization_type("hvm");
        let call = call.block_device_mappings(mapping);
        let call = call.tag_specifications(specification(&tags, ResourceType::Image));
        // EC2 refuses an image whose name is taken.
        let Ok(made) = call.send().await else { return };
        let id = made.image_id().expect("it has an ID").to_owned();
        let mut reference = reference.lock().expect("no panic");
        if *our_name {
            reference.names_taken.insert(PLACES[*place]);
            reference.hinder_all();
        }
        reference.images.insert(id, (PLACES[*place], tags));
    }

    async fn retag(
        &self,
        sandbox: &Sandbox,
        place: usize,
        which: usize,
        key: bool,
        reference: &std::sync::Mutex<Reference>,
    ) {
        let mut ids = our_snapshots(sandbox, PLACES[place], reference);
        let images = our_images(sandbox, PLACES[place], reference);
        ids.extend(images.iter().cloned());
        let Some(id) = ids.get(which % ids.len().max(1)) else {
            return;
        };
        {
            let mut reference = reference.lock().expect("no panic");
            reference.hinder_all();
            reference.disputed.insert(id.clone());
            if images.contains(id) {
                reference.names_taken.insert(PLACES[place]);
            }
        }
        let ec2 = self.ec2(PLACES[place]);
        if key {
            let tag = Tag::builder().key("amiferry:key").build();
            drop(ec2.delete_tags().resources(id).tags(tag).send().await);
        } else {
            let tag = Tag::builder().key("amiferry:run").value("somebody").build();
            drop(ec2.create_tags().resources(id).tags(tag).send().await);
        }
    }
}

fn our_snapshots(
    sandbox: &Sandbox,
    place: Place,
    reference: &std::sync::Mutex<Reference>,
) -> Vec<String> {
    let reference = reference.lock().expect("no panic");
    let all = sandbox
        .snapshots(place.0, place.1)
        .into_iter()
        .map(|s| s.snapshot_id);
    all.filter(|id| !reference.snapshots.contains_key(id))
        .collect()
}

fn our_images(
    sandbox: &Sandbox,
    place: Place,
    reference: &std::sync::Mutex<Reference>,
) -> Vec<String> {
    let reference = reference.lock().expect("no panic");
    let all = sandbox
        .images(place.0, place.1)
        .into_iter()
        .map(|i| i.image_id);
    all.filter(|id| !reference.images.contains_key(id))
        .collect()
}

/// Returns tags of others, or those of an existing copy without the tag by which copies are found.
fn their_tags(sandbox: &Sandbox, place: Place, like_ours: bool) -> Tags {
    let mut tags = Tags::new();
    if like_ours {
        let copies = sandbox.snapshots(place.0, place.1);
        let copy = copies
            .into_iter()
            .find(|s| s.tags.contains_key("amiferry:key"));
        tags = copy.map_or_else(
            || Tags::from([("amiferry:source-image".to_owned(), AMI.to_owned())]),
            |copy| copy.tags,
        );
        tags.remove("amiferry:key");
    }
    tags.insert("whose".to_owned(), "theirs".to_owned());
    tags
}

fn specification(tags: &Tags, kind: ResourceType) -> TagSpecification {
    let tags = tags
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build());
    TagSpecification::builder()
        .resource_type(kind)
        .set_tags(Some(tags.collect()))
        .build()
}
