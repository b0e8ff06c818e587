//! The needs of a copy: the snapshot's permission, the key's grant, and a URL.

use amiferry::error::Refusal;
use amiferry::kms;
use aws_sdk_ec2::types::{OperationType, SnapshotAttributeName};
use aws_sdk_kms::types::GrantOperation;
use serde_json::json;

use super::Course;
use crate::live_check::copies::{Attempt, Copied};
use crate::live_check::fact::{Fact, Seen};
use crate::live_check::scene::Scene;

const UNSEEN: Fact = Fact {
    name: "unseen-source",
    claim: "A copy of a snapshot that the role cannot see is accepted, and ends in error because \
            the source is not found",
    otherwise: "A run takes this refusal for that of a snapshot that is gone, and may give up \
                while a permission still spreads",
};
const UNREADABLE: Fact = Fact {
    name: "unreadable-key",
    claim: "A copy whose source key the role cannot use is accepted, and ends in error because \
            the key is not accessible",
    otherwise: "A run may name another cause for a key that the role cannot use yet",
};
pub(super) const GRANTEE: Fact = Fact {
    name: "role-grantee",
    claim: "A grant to the ARN of a role in another account lets that role copy",
    otherwise: "Use KeyAccess: Policy; the distribution below does",
};
const URL: Fact = Fact {
    name: "no-presigned-url",
    claim: "A copy of another account's encrypted snapshot into another Region needs no \
            PresignedUrl",
    otherwise: "Nothing is lost: a run sends one with every copy",
};
const VIA: Fact = Fact {
    name: "via-service",
    claim: "kms:ViaService of the source key names the source's Region or the copy's",
    otherwise: "The policies of amiferry policies name these two, and keep such copies from the \
                key",
};

impl Course<'_> {
    /// Opens the snapshot, then the key, and copies at each step.
    pub(super) async fn copying(&mut self, told: &impl Fn(&str)) -> Result<(), Refusal> {
        told("copying what the role cannot see");
        let seen = self.unseen().await;
        self.note(UNSEEN, seen);
        self.scene
            .permit_snapshot(&self.scene.snapshot, OperationType::Add)
            .await?;
        told("copying under a key that the role cannot use");
        let seen = self.unreadable().await;
        self.note(UNREADABLE, seen);
        told("copying by a grant to the role");
        let seen = self.grantee().await;
        self.note(GRANTEE, seen);
        told("copying without a PresignedUrl, and with one value of kms:ViaService");
        let seen = self.without_url().await;
        self.note(URL, seen);
        let seen = self.via_service().await;
        self.note(VIA, seen);
        Ok(())
    }

    async fn unseen(&self) -> Result<Seen, Refusal> {
        let home = self.scene.check.home.as_str();
        // IAM may not know the role's policy everywhere yet.
        let known = |copied: &Copied| match copied {
            Copied::Refused(refusal) => refusal.code != "UnauthorizedOperation",
            _ => true,
        };
        let attempt = self.scene.attempt(home);
        let (copied, _) = self.scene.copy_until(&self.role, &attempt, known).await?;
        Ok(Seen::that(says(&copied, "not found"), copied.words()))
    }

    async fn unreadable(&self) -> Result<Seen, Refusal> {
        let attempt = self.scene.attempt(&self.scene.check.home);
        let of_key = |copied: &Copied| {
            copied.is_completed()
                || copied.words().contains("MissingParameter")
                || copied.words().to_lowercase().contains("key")
        };
        let (copied, time) = self.scene.copy_until(&self.role, &attempt, of_key).await?;
        let words = format!("{}, {time} after the snapshot was shared", copied.words());
        Ok(Seen::that(says(&copied, "not accessible"), words))
    }

    async fn grantee(&self) -> Result<Seen, Refusal> {
        let (scene, role) = (self.scene, self.scene.check.role_arn());
        scene.grant(&role).await?;
        let attempt = scene.attempt(&scene.check.home);
        let completed = Copied::is_completed;
        let (copied, time) = scene.copy_until(&self.role, &attempt, completed).await?;
        if copied.is_completed() {
            return Ok(Seen::yes(format!("it copied {time} after the grant")));
        }
        let by_role = copied.words();
        scene
            .grant(&scene.check.root_of(&scene.check.target))
            .await?;
        let (copied, time) = scene.copy_until(&self.role, &attempt, completed).await?;
        let by_account = if copied.is_completed() {
            format!("a grant to its account does, after {time}")
        } else {
            format!("nor does one to its account: {}", copied.words())
        };
        Ok(Seen::no(format!("{by_role}; {by_account}")))
    }

    async fn without_url(&self) -> Result<Seen, Refusal> {
        let attempt = Attempt {
            presigned: false,
            ..self.scene.attempt(&self.scene.check.other)
        };
        let copied = self.scene.copy(&self.role, &attempt).await?;
        if copied.is_completed() {
            return Ok(Seen::yes(copied.words()));
        }
        let with = self.scene.attempt(&self.scene.check.other);
        let with = self.scene.copy(&self.role, &with).await?;
        let words = format!(
            "without one: {}; with one: {}",
            copied.words(),
            with.words()
        );
        Ok(if with.is_completed() {
            Seen::no(words)
        } else {
            Seen::unknown(words)
        })
    }

    async fn via_service(&self) -> Result<Seen, Refusal> {
        let check = &self.scene.check;
        let mut named = Vec::new();
        for region in [&check.home, &check.other] {
            if self.copies_via(region).await?.is_completed() {
                named.push(region.as_str());
            }
        }
        let words = match named.as_slice() {
            [] => format!(
                "a copy to {} is refused by a policy that names either",
                check.other
            ),
            [one] if **one == check.home => format!("the source's, {one}"),
            [one] => format!("the copy's, {one}"),
            _ => "a policy that names one of them suffices, whichever it is".to_owned(),
        };
        Ok(Seen::that(!named.is_empty(), words))
    }

    /// Copies into the other Region, with a session that may use the source key through EC2 in this
    /// Region only.
    async fn copies_via(&self, region: &str) -> Result<Copied, Refusal> {
        let (scene, other) = (self.scene, self.scene.check.other.as_str());
        let policy = json!({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "ec2:*", "Resource": "*"},
            {"Effect": "Allow", "Action": "kms:*", "Resource": scene.key_in(other)},
            {"Effect": "Allow", "Action": "kms:*", "Resource": scene.source_key,
                "Condition": {"StringEquals": {"kms:ViaService": kms::via_ec2(region)}}}]});
        let (session, _) = scene.check.assume(Some(&policy)).await?;
        scene.copy(&session, &scene.attempt(other)).await
    }
}

/// Whether the copy was accepted, and ended in error with these words.
fn says(copied: &Copied, words: &str) -> bool {
    matches!(copied, Copied::Failed(message) if message.to_lowercase().contains(words))
}

impl Scene {
    /// Gives the target account the use of a snapshot, or takes it back.
    pub(super) async fn permit_snapshot(
        &self,
        snapshot: &str,
        change: OperationType,
    ) -> Result<(), Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let changed = source
            .ec2(region)
            .modify_snapshot_attribute()
            .snapshot_id(snapshot)
            .attribute(SnapshotAttributeName::CreateVolumePermission)
            .operation_type(change)
            .user_ids(&self.check.target.account)
            .send()
            .await;
        changed.map_err(|e| source.refused("ModifySnapshotAttribute", region, snapshot, &e))?;
        Ok(())
    }

    /// Lets a principal copy from under the source key.
    pub(super) async fn grant(&self, principal: &str) -> Result<(), Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let operations = kms::COPYING.iter().map(|action| kms::operation(action));
        let granted = source
            .kms(region)
            .create_grant()
            .key_id(&self.source_key)
            .grantee_principal(principal)
            .name(self.check.name())
            .set_operations(Some(operations.map(GrantOperation::from).collect()))
            .send()
            .await;
        granted.map_err(|e| source.refused("CreateGrant", region, &self.source_key, &e))?;
        Ok(())
    }
}
