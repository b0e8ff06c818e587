//! The run and the attempt that a state asks the ledger for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Order, State, TargetPhase};
use crate::ids::AccountId;
use crate::ledger::{Kind, Run, RunStatus, RunTarget, SCHEMA};
use crate::request::KeyAccess;

/// The minutes within which EC2 completes each copy, by the request's name.
const COMPLETION: &str = "CopyCompletionMinutes";

impl Run {
    /// Returns the minutes within which EC2 completes each copy, if the request says so.
    pub fn completion_minutes(&self) -> Option<u64> {
        self.order[COMPLETION].as_u64()
    }
}

impl State {
    /// Returns the ledger's form of these targets.
    fn run_targets(&self, targets: &[usize]) -> BTreeSet<RunTarget> {
        let targets = targets.iter().map(|&i| &self.targets[i]);
        let each = targets.map(|target| RunTarget {
            account_id: target.account_id.to_string(),
            region: target.region.to_string(),
            role_name: target.role_name.to_string(),
        });
        each.collect()
    }

    /// Returns the accounts of targets to which another process of the run opened the source.
    pub fn opened_by_others(&self, was_open_to: &BTreeSet<String>) -> Vec<AccountId> {
        let by_itself = |account: &AccountId| {
            let mut shared = self.targets.iter().filter(|t| t.shared);
            shared.any(|t| t.account_id == *account)
        };
        // A state recovered from the ledger knows no snapshots: its execution had not begun to
        // copy.
        let copied = !self.source.snapshots.is_empty();
        let accounts = self.targets.iter().map(|t| &t.account_id);
        accounts
            .filter(|a| copied && was_open_to.contains(a.as_str()) && !by_itself(a))
            .cloned()
            .collect()
    }

    /// Returns the Regions of the staged copies.
    fn stage_regions(&self) -> BTreeSet<String> {
        let stages = self.run_ref().stages().into_iter();
        stages.map(|stage| stage.region.to_string()).collect()
    }

    /// Returns the run of this state, without an attempt.
    pub fn as_run(&self) -> Run {
        let targets = self.targets.iter().enumerate();
        let opened = targets.filter(|(_, t)| t.phase != TargetPhase::Removing);
        let opened: Vec<usize> = opened.map(|(i, _)| i).collect();
        self.as_run_to(&opened)
    }

    /// Returns the run of this state with these targets only.
    pub fn as_run_to(&self, opened: &[usize]) -> Run {
        let snapshots = self.source.snapshots.iter().map(ToString::to_string);
        let mut resources: BTreeSet<String> = snapshots.collect();
        resources.extend(self.source.keys.iter().map(ToString::to_string));
        let kind = if self.order.share.is_some() {
            resources.insert(self.source.image_id.to_string());
            Kind::Share
        } else {
            if self.order.copies_image {
                resources.insert(self.source.image_id.to_string());
            }
            Kind::Copy
        };
        Run {
            schema: SCHEMA,
            revision: 1,
            run: self.run.clone(),
            kind,
            asked_by: String::new(),
            since: self.started,
            source_image_id: self.source.image_id.to_string(),
            source_region: self.source.region.to_string(),
            account_id: self.source.account_id.to_string(),
            order: self.order.opening(),
            targets: self.run_targets(opened),
            audience: self.run_ref().audience().iter().cloned().collect(),
            attempt: 0,
            executions: BTreeSet::from([self.execution.clone()])
                .into_iter()
                .filter(|name| !name.is_empty())
                .collect(),
            calls: self.execution.is_empty(),
            earlier: BTreeMap::new(),
            joined: false,
            status: RunStatus::Live,
            closing_since: None,
            resources,
            stages: self.may_have_staged(),
            staged_in: self.stage_regions(),
            grants: self.order.key_access == KeyAccess::Grant,
            edits_policies: self.order.key_access == KeyAccess::Policy,
            receipt: Vec::new(),
            events: Vec::from([self.event.clone()])
                .into_iter()
                .filter(|event| !event.is_empty())
                .collect(),
            retained: BTreeSet::new(),
            result: None,
        }
    }
}

impl Order {
    /// Returns the part of the order that decides what is opened, how, and for how long. The
    /// principals of a lasting share are listed apart.
    pub fn opening(&self) -> Value {
        let mut opening = json!({
            "KeyAccess": self.key_access,
            "RevokeAfterCopy": self.revoke_after_copy,
            "ShareSnapshots": self.share.as_ref().is_some_and(|share| share.snapshots),
            "ServiceLinkedRoles": self.service_linked_roles,
            "ReencryptKmsKeyId": self.reencrypt_key,
        });
        if self.copies_image {
            opening["Strategy"] = json!("Image");
        }
        if let Some(minutes) = self.copy_completion_minutes {
            opening[COMPLETION] = json!(minutes);
        }
        if !self.staging_keys.is_empty() {
            opening["StagingKmsKeyIds"] = json!(self.staging_keys);
        }
        opening
    }
}
