//! The findings of a preflight: everything that could prevent a distribution, each with its remedy.
//!
//! The module is pure. The calls are in `aws::preflight`; each of them only reads, or asks AWS for
//! its decision (`DryRun`).

use serde_json::{Value, json};

use crate::cause::Cause;
use crate::error::Refusal;
use crate::ids::{AccountId, Region};
use crate::state::{Failure, RunRef, SourceRef, TargetState};

pub mod key_policy;

/// How grave a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The run would fail here.
    Error,
    /// The run would work, but not as expected: later, or only if somebody does something else.
    Warning,
    /// AWS did not allow the look.
    Unknown,
    /// The finding needs no action.
    Note,
}

impl Level {
    /// Returns how grave a refusal is: one that may pass says nothing of a run.
    pub fn of(refusal: &Refusal) -> Self {
        if refusal.is_passing() {
            Self::Unknown
        } else {
            Self::Error
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Unknown => "Unknown",
            Self::Note => "Note",
        }
    }
}

/// One finding of a preflight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How grave the finding is.
    pub level: Level,
    /// The subject of the look: a word for programs.
    pub check: &'static str,
    /// The account, or an empty text if the finding is about none.
    pub account: String,
    /// The Region, or an empty text if the finding is about none.
    pub region: String,
    /// The fact that was found.
    pub reason: String,
    /// The remedy: what to change, and where.
    pub remedy: String,
}

impl Finding {
    /// Returns a finding about a target.
    pub fn of_target(
        level: Level,
        check: &'static str,
        target: &TargetState,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level,
            check,
            account: target.account_id.to_string(),
            region: target.region.to_string(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    /// Returns the finding for a refusal in a target, with the words of a run that meets the same
    /// refusal.
    pub fn refused(
        check: &'static str,
        run: RunRef<'_>,
        target: &TargetState,
        refusal: &Refusal,
    ) -> Self {
        let (cause, reason) = (Cause::of(refusal), refusal.to_string());
        let failed = TargetState {
            failure: Some(Failure::new(cause, &reason)),
            ..target.clone()
        };
        let remedy = cause.remedy(run, &failed);
        Self::of_target(Level::of(refusal), check, target, reason, remedy)
    }

    /// Returns a finding about the source.
    pub fn of_source(
        level: Level,
        check: &'static str,
        account: Option<&AccountId>,
        region: &Region,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level,
            check,
            account: account.map(ToString::to_string).unwrap_or_default(),
            region: region.to_string(),
            reason: reason.into(),
            remedy: remedy.into(),
        }
    }

    fn told(&self) -> Value {
        let mut told = json!({
            "Level": self.level.as_str(),
            "Check": self.check,
            "Region": self.region,
            "Reason": self.reason,
            "Remedy": self.remedy,
        });
        if !self.account.is_empty() {
            told["AccountId"] = json!(self.account);
        }
        told
    }
}

/// Returns the reply: the gravest findings first; of equal ones those of the source first, then in
/// the order of the targets.
pub fn reply(mut findings: Vec<Finding>, plan: Option<String>) -> Value {
    findings.sort_by_key(|finding| finding.level);
    let ready = findings.iter().all(|f| f.level != Level::Error);
    let told: Vec<Value> = findings.iter().map(Finding::told).collect();
    let mut reply = json!({"Status": if ready { "Ready" } else { "NotReady" }, "Findings": told});
    let unknown = findings
        .iter()
        .filter(|f| f.level == Level::Unknown)
        .count();
    if unknown > 0 {
        reply["Unknown"] = json!(unknown);
    }
    if let Some(plan) = plan {
        reply["Plan"] = json!(plan.lines().collect::<Vec<_>>());
    }
    reply
}

/// Returns the policy of the session in a target, which only reads and asks. IAM has no condition
/// for `DryRun`, so the calls of this code must set it.
pub fn session_policy(source: &SourceRef, account: &AccountId) -> String {
    let partition = source.region.partition();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Resource": "*", "Action": [
                "ec2:DescribeImages", "ec2:DescribeSnapshots", "ec2:GetAllowedImagesSettings",
                "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:CopyImage",
                "ec2:CreateTags", "kms:DescribeKey", "kms:GetKeyPolicy"]},
            {"Effect": "Allow", "Action": ["iam:GetRole", "iam:SimulatePrincipalPolicy"],
             "Resource": format!("arn:{partition}:iam::{account}:role/*")},
        ]
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_findings_come_first_and_one_error_fails_the_reply() {
        let region = Region::parse("us-west-2").unwrap();
        let finding =
            |level, check| Finding::of_source(level, check, None, &region, "why", "what to do");
        let good = vec![finding(Level::Note, "a"), finding(Level::Warning, "b")];
        let told = reply(good.clone(), None);
        assert_eq!(told["Status"], "Ready");
        assert_eq!(told["Findings"][0]["Check"], "b");
        assert_eq!(told.get("Unknown"), None);
        let mut unseen = good.clone();
        unseen.push(finding(Level::Unknown, "d"));
        assert_eq!(reply(unseen, None)["Unknown"], 1);
        let mut bad = good;
        bad.push(finding(Level::Error, "c"));
        let told = reply(bad, Some("one\ntwo".to_owned()));
        assert_eq!(told["Status"], "NotReady");
        assert_eq!(told["Findings"][0]["Check"], "c");
        assert_eq!(told["Plan"], json!(["one", "two"]));
    }
}
