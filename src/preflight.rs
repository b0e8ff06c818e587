//! Looking before anything is changed: what would stand in a distribution's way, all of it at once,
//! each with what to change. Pure; the calls are in `aws::preflight`, and every one of them only
//! reads, or asks AWS what it would say (`DryRun`).
//!
//! | level | means |
//! |---|---|
//! | `Error` | the run would fail here |
//! | `Warning` | it would work, but not as one might expect: later, or only if somebody else does something |
//! | `Unknown` | AWS did not let us look |
//! | `Note` | good to know |

use serde_json::{Value, json};

use crate::cause::Cause;
use crate::error::Refusal;
use crate::ids::{AccountId, Region};
use crate::state::{Failure, RunRef, SourceRef, TargetState};

pub mod key_policy;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
    Unknown,
    Note,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Unknown => "Unknown",
            Self::Note => "Note",
        }
    }
}

/// One thing found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    /// What was looked at: a word for programs.
    pub check: &'static str,
    pub account: String,
    pub region: String,
    pub reason: String,
    pub remedy: String,
}

impl Finding {
    /// About a target.
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

    /// What AWS refused in a target, and what a run that met it would tell.
    pub fn refused(
        check: &'static str,
        run: RunRef<'_>,
        target: &TargetState,
        refusal: &Refusal,
    ) -> Self {
        let level = if refusal.is_passing() {
            Level::Unknown
        } else {
            Level::Error
        };
        let (cause, reason) = (Cause::of(refusal), refusal.to_string());
        let failed = TargetState {
            failure: Some(Failure::new(cause, &reason)),
            ..target.clone()
        };
        let remedy = cause.remedy(run, &failed);
        Self::of_target(level, check, target, reason, remedy)
    }

    /// About the source.
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

/// The reply: the gravest first, and of equal ones those of the source first, then in the order of
/// the targets.
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

/// What the session in a target may do for this: read, and ask. Nothing that changes anything is
/// allowed without `DryRun`; IAM has no condition for that, so it is this code that sends it.
pub fn session_policy(source: &SourceRef, account: &AccountId) -> String {
    let partition = source.region.partition();
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Resource": "*", "Action": [
                "ec2:DescribeImages", "ec2:DescribeSnapshots", "ec2:GetAllowedImagesSettings",
                "ec2:CopySnapshot", "ec2:RegisterImage",
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
    fn the_gravest_come_first_and_one_error_is_enough() {
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
