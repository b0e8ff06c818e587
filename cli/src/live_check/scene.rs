//! The things that the check makes: a bucket, a key, an encrypted snapshot and its image in the
//! source account; a key in each of two Regions and a role in the target account.

use std::time::Duration;

use amiferry::error::Refusal;
use amiferry::kms;
use aws_credential_types::Credentials;
use aws_sdk_ec2::types::{
    ArchitectureValues, BlockDeviceMapping, EbsBlockDevice, ResourceType, SnapshotState,
    TagSpecification, VirtualizationType, VolumeState, VolumeType,
};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use serde_json::{Value, json};

use super::party::Party;
use super::patience::Waiting;

/// The tag of everything that a check makes and tags, with the check's ID.
pub const TAG: &str = "amiferry-live-check";
/// The prefix of all names.
const PREFIX: &str = "amiferry-live-check-";
/// The longest wait for a volume, a snapshot or a copy of 1 GiB.
pub const LONGEST: Duration = Duration::from_mins(30);
/// The name of the role's one policy.
pub const ROLE_POLICY: &str = "live-check";

/// A check: who takes part, where, and under which names.
#[derive(Debug, Clone)]
pub struct Check {
    pub id: String,
    pub source: Party,
    pub target: Party,
    /// The Region of the source, which is one of the targets, too.
    pub home: String,
    /// The other Region of the target.
    pub other: String,
    /// How long a permission may take to spread.
    pub patience: Duration,
    pub partition: &'static str,
}

/// The things that were made for a check.
#[derive(Debug, Clone)]
pub struct Scene {
    pub check: Check,
    /// The ARN of the source key.
    pub source_key: String,
    pub snapshot: String,
    pub image: String,
    /// The ARNs of the target's keys, in the home and in the other Region.
    pub keys: [String; 2],
}

impl Check {
    /// Returns the name of the bucket, the image and the role.
    pub fn name(&self) -> String {
        format!("{PREFIX}{}", self.id)
    }

    pub fn role_arn(&self) -> String {
        let account = &self.target.account;
        format!("arn:{}:iam::{account}:role/{}", self.partition, self.name())
    }

    pub fn root_of(&self, party: &Party) -> String {
        format!("arn:{}:iam::{}:root", self.partition, party.account)
    }

    /// Returns the tags of a new resource of EC2.
    pub fn tags(&self, of: ResourceType) -> TagSpecification {
        let tag = aws_sdk_ec2::types::Tag::builder().key(TAG).value(&self.id);
        TagSpecification::builder()
            .resource_type(of)
            .tags(tag.build())
            .build()
    }

    /// Returns the key of the target in a Region.
    pub async fn make_key(&self, party: &Party, region: &str) -> Result<String, Refusal> {
        let tag = aws_sdk_kms::types::Tag::builder()
            .tag_key(TAG)
            .tag_value(&self.id)
            .build();
        let made = party
            .kms(region)
            .create_key()
            .description(self.name())
            .set_tags(tag.ok().map(|tag| vec![tag]))
            .send()
            .await
            .map_err(|e| party.refused("CreateKey", region, "", &e))?;
        let arn = made.key_metadata.and_then(|key| key.arn);
        Ok(arn.unwrap_or_default())
    }

    pub async fn make_bucket(&self) -> Result<(), Refusal> {
        let (region, name) = (self.home.as_str(), self.name());
        let mut ask = self.source.s3(region).create_bucket().bucket(&name);
        // S3 refuses the name of its first Region here.
        if region != "us-east-1" {
            let place = CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::from(region));
            ask = ask.create_bucket_configuration(place.build());
        }
        let made = ask.send().await;
        made.map_err(|e| self.source.refused("CreateBucket", region, &name, &e))?;
        Ok(())
    }

    /// Makes the role. Only the source account, with the check's ID, can assume it.
    pub async fn make_role(&self) -> Result<(), Refusal> {
        let trust = json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"AWS": self.root_of(&self.source)},
            "Condition": {"StringEquals": {"sts:ExternalId": self.id}}}]});
        let made = self
            .target
            .iam(&self.home)
            .create_role()
            .role_name(self.name())
            .description("Of a live check of amiferry, which removes it")
            .assume_role_policy_document(trust.to_string())
            .send()
            .await;
        made.map_err(|e| {
            self.target
                .refused("CreateRole", &self.home, &self.name(), &e)
        })?;
        Ok(())
    }

    /// Gives the role this policy in the place of the former one.
    pub async fn put_policy(&self, document: &Value) -> Result<(), Refusal> {
        let put = self
            .target
            .iam(&self.home)
            .put_role_policy()
            .role_name(self.name())
            .policy_name(ROLE_POLICY)
            .policy_document(document.to_string())
            .send()
            .await;
        put.map_err(|e| {
            self.target
                .refused("PutRolePolicy", &self.home, &self.name(), &e)
        })?;
        Ok(())
    }

    /// Assumes the role, as soon as IAM knows it everywhere. Returns how full the session policy
    /// is, too.
    pub async fn assume(&self, policy: Option<&Value>) -> Result<(Party, Option<i32>), Refusal> {
        let mut waiting = Waiting::at_most(self.patience);
        loop {
            let asked = self
                .source
                .sts(&self.home)
                .assume_role()
                .role_arn(self.role_arn())
                .role_session_name("amiferry-live-check")
                .external_id(&self.id)
                .set_policy(policy.map(Value::to_string))
                .send()
                .await;
            let refused = |e| {
                self.source
                    .refused("AssumeRole", &self.home, &self.role_arn(), &e)
            };
            let answer = match asked.map_err(refused) {
                Err(refusal) if refusal.code == "AccessDenied" && waiting.goes_on().await => {
                    continue;
                }
                other => other?,
            };
            #[expect(deprecated, reason = "not every STS has its successor")]
            let full = answer
                .session_token_utilization
                .or(answer.packed_policy_size);
            let given = answer.credentials.as_ref();
            let text = |text: Option<&String>| text.cloned().unwrap_or_default();
            let credentials = Credentials::new(
                text(given.map(|c| &c.access_key_id)),
                text(given.map(|c| &c.secret_access_key)),
                given.map(|c| c.session_token.clone()),
                None,
                "live-check",
            );
            return Ok((self.target.with(credentials), full));
        }
    }

    /// Makes an encrypted snapshot of an empty volume, and removes the volume.
    pub async fn make_snapshot(&self, key: &str) -> Result<String, Refusal> {
        let (source, region) = (&self.source, self.home.as_str());
        let ec2 = source.ec2(region);
        let zones = ec2.describe_availability_zones().send().await;
        let zones = zones.map_err(|e| source.refused("DescribeAvailabilityZones", region, "", &e));
        let zone = zones?.availability_zones.unwrap_or_default().pop();
        let volume = ec2
            .create_volume()
            .set_availability_zone(zone.and_then(|zone| zone.zone_name))
            .size(1)
            .volume_type(VolumeType::Gp3)
            .encrypted(true)
            .kms_key_id(key)
            .tag_specifications(self.tags(ResourceType::Volume))
            .send()
            .await
            .map_err(|e| source.refused("CreateVolume", region, "", &e))?;
        let volume = volume.volume_id.unwrap_or_default();
        self.until_available(&volume).await?;
        let made = ec2
            .create_snapshot()
            .volume_id(&volume)
            .description(self.name())
            .tag_specifications(self.tags(ResourceType::Snapshot))
            .send()
            .await
            .map_err(|e| source.refused("CreateSnapshot", region, &volume, &e))?;
        let snapshot = made.snapshot_id.unwrap_or_default();
        self.end_of_copy(source, region, &snapshot).await?;
        let deleted = ec2.delete_volume().volume_id(&volume).send().await;
        deleted.map_err(|e| source.refused("DeleteVolume", region, &volume, &e))?;
        Ok(snapshot)
    }

    /// Waits for a volume. EC2 checks its key only after the call.
    async fn until_available(&self, volume: &str) -> Result<(), Refusal> {
        let region = self.home.as_str();
        let mut waiting = Waiting::at_most(LONGEST);
        loop {
            let asked = self.source.ec2(region).describe_volumes();
            let shown = asked.volume_ids(volume).send().await;
            let shown = shown.map(|shown| shown.volumes.unwrap_or_default());
            let refused = |e| self.source.refused("DescribeVolumes", region, volume, &e);
            let state = match shown.map_err(refused) {
                Ok(volumes) => volumes.first().and_then(|volume| volume.state.clone()),
                // The volume is not visible yet.
                Err(refusal) if refusal.code.ends_with(".NotFound") => None,
                Err(refusal) => return Err(refusal),
            };
            let failed = state == Some(VolumeState::Error);
            if state == Some(VolumeState::Available) {
                return Ok(());
            }
            if failed || !waiting.goes_on().await {
                let at = self.source.place(region);
                let why = "the volume did not become available";
                return Err(Refusal::ours("CreateVolume", &at, volume, "error", why));
            }
        }
    }

    /// Waits for the end of a snapshot or a copy. Returns the message of its error, if it ends in
    /// one.
    pub async fn end_of_copy(
        &self,
        party: &Party,
        region: &str,
        snapshot: &str,
    ) -> Result<Option<String>, Refusal> {
        let mut waiting = Waiting::at_most(LONGEST);
        loop {
            let asked = party.ec2(region).describe_snapshots();
            let shown = match asked.snapshot_ids(snapshot).send().await {
                Ok(shown) => shown.snapshots.unwrap_or_default(),
                Err(e) => {
                    let refusal = party.refused("DescribeSnapshots", region, snapshot, &e);
                    if !refusal.code.ends_with(".NotFound") {
                        return Err(refusal);
                    }
                    Vec::new()
                }
            };
            let found = shown.first();
            match found.and_then(|one| one.state.as_ref()) {
                Some(SnapshotState::Completed) => return Ok(None),
                Some(SnapshotState::Error) => {
                    let message = found.and_then(|one| one.state_message.clone());
                    return Ok(Some(message.unwrap_or_else(|| "no message".to_owned())));
                }
                _ => {}
            }
            if !waiting.goes_on().await {
                return Ok(Some(format!("not at an end after {}", waiting.so_far())));
            }
        }
    }

    /// Registers an image on a snapshot of this account.
    pub async fn register(
        &self,
        party: &Party,
        region: &str,
        name: &str,
        snapshot: &str,
    ) -> Result<String, Refusal> {
        let root = "/dev/xvda";
        let disk = EbsBlockDevice::builder()
            .snapshot_id(snapshot)
            .volume_type(VolumeType::Gp3);
        let mapping = BlockDeviceMapping::builder()
            .device_name(root)
            .ebs(disk.build());
        let made = party
            .ec2(region)
            .register_image()
            .name(name)
            .architecture(ArchitectureValues::X8664)
            .virtualization_type(VirtualizationType::Hvm.as_str())
            .ena_support(true)
            .root_device_name(root)
            .block_device_mappings(mapping.build())
            .tag_specifications(self.tags(ResourceType::Image))
            .send()
            .await
            .map_err(|e| party.refused("RegisterImage", region, snapshot, &e))?;
        Ok(made.image_id.unwrap_or_default())
    }

    /// Returns the policy of the role while single calls are tried.
    fn broad_policy(keys: &[&str]) -> Value {
        json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Resource": "*", "Action": ["ec2:CopySnapshot", "ec2:CopyImage",
                "ec2:RegisterImage", "ec2:DescribeImages", "ec2:DescribeSnapshots",
                "ec2:CreateTags"]},
            {"Effect": "Allow", "Resource": keys, "Action": [kms::CREATE_GRANT, kms::DECRYPT,
                kms::DESCRIBE_KEY, kms::GENERATE_DATA_KEY_WITHOUT_PLAINTEXT,
                kms::RE_ENCRYPT_FROM, kms::RE_ENCRYPT_TO]}]})
    }
}

impl Scene {
    /// Makes everything. `told` hears of each step.
    pub async fn make(check: &Check, told: &impl Fn(&str)) -> Result<Self, Refusal> {
        told("making a bucket, a key, a snapshot of 1 GiB and an image in the source account");
        check.make_bucket().await?;
        let source_key = check.make_key(&check.source, &check.home).await?;
        let snapshot = check.make_snapshot(&source_key).await?;
        let name = check.name();
        let image = check.register(&check.source, &check.home, &name, &snapshot);
        let image = image.await?;
        told("making keys and a role in the target account");
        let keys = [
            check.make_key(&check.target, &check.home).await?,
            check.make_key(&check.target, &check.other).await?,
        ];
        check.make_role().await?;
        let all = [source_key.as_str(), &keys[0], &keys[1]];
        check.put_policy(&Check::broad_policy(&all)).await?;
        Ok(Self {
            check: check.clone(),
            source_key,
            snapshot,
            image,
            keys,
        })
    }

    /// Returns the key of the target in a Region.
    pub fn key_in(&self, region: &str) -> &str {
        &self.keys[usize::from(region != self.check.home)]
    }

    /// Returns a request for a run from this image into both Regions.
    pub fn request(&self) -> Value {
        let check = &self.check;
        let targets: Vec<Value> = [&check.home, &check.other]
            .iter()
            .map(|region| {
                json!({"AccountId": check.target.account, "Region": region,
                    "KmsKeyId": self.key_in(region)})
            })
            .collect();
        json!({
            "SourceImageId": self.image,
            "SourceRegion": check.home,
            "Targets": targets,
            "TargetRoleName": check.name(),
            "ExternalId": check.id,
            "Tags": {TAG: check.id},
        })
    }
}
