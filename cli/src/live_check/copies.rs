//! Attempts of the role to copy the snapshot of the check.

use amiferry::allowed::Allowed;
use amiferry::aws::{Aws, CopyToSign};
use amiferry::error::{Refusal, RefusalKind};
use amiferry::ids::{KeyRef, Region, SnapshotId};
use aws_sdk_ec2::types::ResourceType;

use super::party::Party;
use super::patience::Waiting;
use super::scene::Scene;

/// A copy to try.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    pub snapshot: &'a str,
    /// The Region of the copy.
    pub region: &'a str,
    /// Whether a PresignedUrl goes with it, as with every copy of a run.
    pub presigned: bool,
}

/// The end of an attempt.
#[derive(Debug)]
pub enum Copied {
    /// There is a copy.
    Completed(String),
    /// The call was accepted, and the copy ended in `error` with this message.
    Failed(String),
    /// The call was refused.
    Refused(Refusal),
}

impl Copied {
    pub fn is_completed(&self) -> bool {
        matches!(self, Self::Completed(_))
    }

    /// Returns what happened, in words.
    pub fn words(&self) -> String {
        match self {
            Self::Completed(_) => "the copy completed".to_owned(),
            Self::Failed(message) => format!("accepted, then error: {message}"),
            Self::Refused(refusal) => {
                format!("refused at once: {} {}", refusal.code, refusal.message)
            }
        }
    }
}

/// Whether the refusal is an answer to the question, and not a fault on the way to it.
fn is_final(refusal: &Refusal) -> bool {
    matches!(
        refusal.kind(),
        RefusalKind::Denied | RefusalKind::NotFound | RefusalKind::Final
    )
}

impl Scene {
    /// Returns an attempt to copy the snapshot of the check, as a run would.
    pub fn attempt<'a>(&'a self, region: &'a str) -> Attempt<'a> {
        Attempt {
            snapshot: &self.snapshot,
            region,
            presigned: true,
        }
    }

    async fn presigned(
        &self,
        role: &Party,
        attempt: &Attempt<'_>,
    ) -> Result<Option<String>, Refusal> {
        let parsed = (
            SnapshotId::parse(attempt.snapshot),
            Region::parse(&self.check.home),
            Region::parse(attempt.region),
            KeyRef::parse(self.key_in(attempt.region)),
        );
        let (Ok(snapshot), Ok(from), Ok(to), Ok(key)) = parsed else {
            return Ok(None);
        };
        let Some(credentials) = role.credentials().await else {
            return Ok(None);
        };
        let copy = CopyToSign {
            snapshot: &snapshot,
            from: &from,
            to: &to,
            key: &key,
        };
        let aws = Aws::new(role.config().clone(), None, Ok(Allowed::default()));
        let signed = aws.presigned_copy(&credentials, &copy).await;
        signed.map(Some).map_err(|why| {
            let at = role.place(attempt.region);
            Refusal::ours("CopySnapshot", &at, attempt.snapshot, "NotSigned", why)
        })
    }

    /// Makes one attempt, as this session of the role.
    pub async fn copy(&self, role: &Party, attempt: &Attempt<'_>) -> Result<Copied, Refusal> {
        let (check, region) = (&self.check, attempt.region);
        let url = if attempt.presigned {
            self.presigned(role, attempt).await?
        } else {
            None
        };
        let asked = role
            .ec2(region)
            .copy_snapshot()
            .source_region(&check.home)
            .source_snapshot_id(attempt.snapshot)
            .encrypted(true)
            .kms_key_id(self.key_in(region))
            .set_presigned_url(url)
            .description(check.name())
            .tag_specifications(check.tags(ResourceType::Snapshot))
            .send()
            .await;
        let refused = |e| role.refused("CopySnapshot", region, attempt.snapshot, &e);
        let copy = match asked.map_err(refused) {
            Ok(copy) => copy.snapshot_id.unwrap_or_default(),
            Err(refusal) if is_final(&refusal) => return Ok(Copied::Refused(refusal)),
            Err(refusal) => return Err(refusal),
        };
        let ended = check.end_of_copy(role, region, &copy).await?;
        Ok(match ended {
            None => Copied::Completed(copy),
            Some(message) => Copied::Failed(message),
        })
    }

    /// Tries to copy until an attempt ends as wanted, or for as long as a permission may take to
    /// spread. Returns the last attempt, and how long that took.
    pub async fn copy_until(
        &self,
        role: &Party,
        attempt: &Attempt<'_>,
        wanted: impl Fn(&Copied) -> bool,
    ) -> Result<(Copied, String), Refusal> {
        let mut waiting = Waiting::at_most(self.check.patience);
        loop {
            let copied = self.copy(role, attempt).await?;
            if wanted(&copied) || !waiting.goes_on().await {
                return Ok((copied, waiting.so_far()));
            }
        }
    }
}
