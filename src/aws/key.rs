//! The keys of a copy: the target's key by its ARN, and the proof that a new grant on a source key
//! works.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use aws_sdk_kms::types::{KeyManagerType, KeyMetadata, KeySpec, KeyState, KeyUsageType};

use super::visit::Visit;
use super::{Actor, Aws, refusal};
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::{AccountId, KeyArn, KeyRef, Region};
use crate::source::KeyFault;
use crate::state::TargetState;

/// Source keys that a session has been seen to reach in this process.
#[derive(Debug, Default)]
pub struct Probed(Mutex<HashSet<(String, KeyArn)>>);

impl Probed {
    /// Forgets an account's keys. A target that looks again may have lost a key: another run's
    /// grant serves only until it is revoked.
    pub fn forget(&self, account: &str) {
        let mut probed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        probed.retain(|(of, _)| of != account);
    }
}

impl Aws {
    /// Returns the target's key, which must exist and be usable by EBS.
    pub(super) async fn target_key(
        &self,
        actor: &Actor,
        target: &TargetState,
    ) -> Result<KeyArn, Refusal> {
        let at = actor.at(&target.region);
        let named = &target.kms_key_id;
        let answer = self
            .kms(actor, &target.region)
            .describe_key()
            .key_id(named.as_str())
            .send()
            .await;
        let answer = answer.map_err(|e| refusal("DescribeKey", &at, named, &e))?;
        let final_refusal = |code, message| Refusal::ours("DescribeKey", &at, named, code, message);
        let key = answer
            .key_metadata()
            .ok_or_else(|| final_refusal("UnreadableAnswer", "no KeyMetadata".to_owned()))?;
        let arn = key.arn().and_then(|arn| KeyArn::parse(arn).ok());
        let arn = arn.ok_or_else(|| final_refusal("UnreadableAnswer", "no key ARN".to_owned()))?;
        match key_fault(key) {
            None => Ok(arn),
            Some(fault @ KeyFault::State(_)) => {
                Err(final_refusal("DisabledException", fault.of(&arn)))
            }
            Some(fault) => Err(final_refusal("InvalidKeyUsageException", fault.of(&arn))),
        }
    }

    /// Proves that a target's session reaches every source key.
    ///
    /// EC2 takes no grant tokens, so a grant must be seen to work before a copy starts: a copy that
    /// cannot use a key fails only after EC2 has accepted it.
    pub(super) async fn probe_source_keys(&self, visit: &Visit<'_>) -> Result<(), Refusal> {
        let actor = &visit.actor;
        for key in &visit.run.copied_keys(visit.target) {
            let probe = (actor.account.clone(), key.clone());
            if self
                .probed
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .contains(&probe)
            {
                continue;
            }
            let region = key.region();
            let answer = self
                .kms(actor, &region)
                .describe_key()
                .key_id(key.as_str())
                .send()
                .await;
            answer.map_err(|e| refusal("DescribeKey", &actor.at(&region), key, &e))?;
            self.probed
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(probe);
        }
        Ok(())
    }
}

impl Aws {
    /// Returns the key that a request names for copies of the source in its own account: a key that
    /// can be shared, exists and is enabled. `word` is the request's name for it.
    pub async fn staging_key(
        &self,
        word: &str,
        named: &KeyRef,
        owner: &AccountId,
        region: &Region,
    ) -> Result<KeyArn, Error> {
        let refuse = |problem: String| Error::invalid(word, problem);
        let own = (region.partition(), region.as_str(), owner.as_str());
        let elsewhere = |key: &str| {
            refuse(format!(
                "{key} is not in account {owner} in {region}; it must be a key of the source \
                 account in that Region"
            ))
        };
        if named.home().is_some_and(|home| home != own) {
            return Err(elsewhere(named.as_str()));
        }
        let actor = Actor::own(owner);
        let kms = self.kms(&actor, region);
        let answer = kms.describe_key().key_id(named.as_str()).send().await;
        let answer = answer.map_err(|e| refusal("DescribeKey", &actor.at(region), named, &e));
        let answer = match answer {
            Err(said) if said.kind() == RefusalKind::NotFound => {
                return Err(refuse(format!(
                    "there is no {named} in account {owner} in {region} ({said})"
                )));
            }
            other => other.map_err(Error::from_refusal)?,
        };
        let key = answer.key_metadata();
        let key =
            key.ok_or_else(|| Error::Internal(format!("DescribeKey told nothing of {named}")))?;
        let arn = key.arn().and_then(|arn| KeyArn::parse(arn).ok());
        let arn =
            arn.ok_or_else(|| Error::Internal(format!("DescribeKey told no ARN of {named}")))?;
        if !arn.is_in(owner, region) {
            return Err(elsewhere(arn.as_str()));
        }
        if key.key_manager() == Some(&KeyManagerType::Aws) {
            return Err(refuse(format!(
                "{arn} is AWS-managed itself, which no other account can ever use; name a \
                 customer-managed key"
            )));
        }
        match key_fault(key) {
            None => Ok(arn),
            Some(fault @ KeyFault::State(_)) => Err(refuse(format!(
                "{}; enable it, or name another",
                fault.of(&arn)
            ))),
            Some(fault) => Err(refuse(fault.of(&arn))),
        }
    }
}

/// Returns the reason why EBS cannot use this key, if there is one.
pub fn key_fault(key: &KeyMetadata) -> Option<KeyFault> {
    if let Some(state) = key.key_state().filter(|s| **s != KeyState::Enabled) {
        return Some(KeyFault::State(state.as_str().to_owned()));
    }
    if let Some(usage) = key
        .key_usage()
        .filter(|u| **u != KeyUsageType::EncryptDecrypt)
    {
        return Some(KeyFault::Usage(usage.as_str().to_owned()));
    }
    let spec = key
        .key_spec()
        .filter(|s| **s != KeySpec::SymmetricDefault)?;
    Some(KeyFault::Spec(spec.as_str().to_owned()))
}
