//! The room of a session of the role, and the time until tags show.

use amiferry::allowed::Allowed;
use amiferry::aws::Aws;
use amiferry::error::{Error, Refusal};
use amiferry::handler::run_of;
use amiferry::ids::{AccountId, Region};
use amiferry::plan;
use amiferry::policy::session_policies;
use amiferry::request::{Defaults, Request};
use aws_sdk_ec2::types::{Filter, Tag};
use serde_json::Value;

use super::Course;
use crate::live_check::fact::{Fact, Seen};
use crate::live_check::patience::Waiting;

const PACKED: Fact = Fact {
    name: "session-policy",
    claim: "STS has room for the narrowest session policy of a run",
    otherwise: "Runs ask again with a coarser policy; the role's own policy must be the narrow one",
};
const TAGS: Fact = Fact {
    name: "tags",
    claim: "A new tag of a snapshot shows in a filtered list within the patience of a run",
    otherwise: "A run may overlook copies of its own, and make them twice",
};
/// A tag for this experiment.
const LATE: &str = "amiferry-live-check-late";

impl Course<'_> {
    /// Assumes the role as a run does, and tags a snapshot.
    pub(super) async fn sessions(&mut self, told: &impl Fn(&str)) {
        told("assuming the role with the session policy of a run, and tagging");
        let seen = self.packed().await;
        self.note(PACKED, seen);
        let seen = self.tagged().await;
        self.note(TAGS, seen);
    }

    async fn packed(&self) -> Result<Seen, Refusal> {
        let policies = match self.session_policies().await {
            Ok(policies) => policies,
            Err(error) => return Ok(Seen::unknown(error.to_string())),
        };
        let mut tried = Vec::new();
        for text in &policies {
            let policy: Value = serde_json::from_str(text).unwrap_or_default();
            let length = text.chars().count();
            match self.scene.check.assume(Some(&policy)).await {
                Ok((_, full)) => {
                    let full = full.map_or_else(String::new, |full| format!(", {full} % full"));
                    tried.push(format!("{length} characters fit{full}"));
                    return Ok(Seen::that(tried.len() == 1, tried.join("; ")));
                }
                Err(refusal) if refusal.code.starts_with("PackedPolicyTooLarge") => {
                    tried.push(format!("{length} characters: {}", refusal.message));
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok(Seen::no(tried.join("; ")))
    }

    /// Returns the session policies that a run would try, the narrowest first.
    async fn session_policies(&self) -> Result<Vec<String>, Error> {
        let check = &self.scene.check;
        let words = self.scene.request();
        let invalid = |e: amiferry::ids::InvalidId| Error::invalid("SourceRegion", e.to_string());
        let region = Region::parse(&check.home).map_err(invalid)?;
        let defaults = Defaults {
            region,
            account: None,
        };
        let request = Request::parse(&words, &defaults)?;
        let config = check.source.config().clone();
        let aws = Aws::new(config, None, Ok(Allowed::default()));
        let read = aws.read_source(&request.source_image, &request.source_region);
        let source = read.await?;
        let run = run_of(&words, &request);
        let state = plan::draft(&request, &source, Vec::new(), &run, aws.now())?;
        let account = AccountId::parse(&check.target.account).map_err(invalid)?;
        Ok(session_policies(&state, &account))
    }

    async fn tagged(&self) -> Result<Seen, Refusal> {
        let check = &self.scene.check;
        let (ec2, snapshot) = (check.source.ec2(&check.home), &self.scene.snapshot);
        let tag = Tag::builder().key(LATE).value(&check.id).build();
        let tagged = ec2.create_tags().resources(snapshot).tags(tag).send().await;
        tagged.map_err(|e| {
            check
                .source
                .refused("CreateTags", &check.home, snapshot, &e)
        })?;
        let mut waiting = Waiting::at_most(check.patience);
        loop {
            let filter = Filter::builder()
                .name(format!("tag:{LATE}"))
                .values(&check.id);
            let asked = ec2.describe_snapshots().filters(filter.build());
            let shown = asked.send().await;
            let shown = shown.map_err(|e| {
                let (source, home) = (&check.source, &check.home);
                source.refused("DescribeSnapshots", home, snapshot, &e)
            })?;
            if !shown.snapshots().is_empty() {
                return Ok(Seen::yes(format!("it shows after {}", waiting.so_far())));
            }
            if !waiting.goes_on().await {
                let most = waiting.so_far();
                return Ok(Seen::no(format!("it does not show after {most}")));
            }
        }
    }
}
