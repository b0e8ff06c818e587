//! The SDK's clients: their credentials, their Region, and the quota that their retries come from.
//!
//! The SDK has one quota of retries for the process, for each service and Region, and only
//! successes refill it. An account that answers nothing but errors would take the retries of all
//! others, and of the next run on a warm function.
//!
//! Here each account, Region and service has its own quota, which lasts as long as [`Aws`] does:
//! one invocation.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_ec2::config::retry::RetryPartition;

use super::{Actor, Aws};
use crate::ids::Region;

/// An account, a Region and a service.
type Key = (String, String, &'static str);

/// The quotas of the accounts, Regions and services that were called.
#[derive(Debug, Default)]
pub(super) struct Retries {
    quotas: Mutex<HashMap<Key, RetryPartition>>,
}

impl Retries {
    fn of(&self, account: &str, region: &str, service: &'static str) -> RetryPartition {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = quotas
            .entry((account.to_owned(), region.to_owned(), service))
            .or_insert_with(|| RetryPartition::custom(service).build());
        quota.clone()
    }
}

/// A client of this SDK for an actor in a Region. A macro, as the builders have no trait in common.
macro_rules! client_of {
    ($sdk:ident, $aws:expr, $actor:expr, $region:expr) => {{
        let (actor, region): (&Actor, &str) = ($actor, $region.as_str());
        let quota = $aws.retries.of(&actor.account, region, stringify!($sdk));
        let config = $sdk::config::Builder::from(&$aws.config)
            .region(aws_config::Region::new(region.to_owned()))
            .retry_partition(quota);
        let config = match &actor.credentials {
            Some(credentials) => config.credentials_provider(credentials.clone()),
            None => config,
        };
        $sdk::Client::from_conf(config.build())
    }};
}

/// A client of this SDK for the function itself, in its own Region.
macro_rules! own_client {
    ($sdk:ident, $aws:expr) => {
        $sdk::Client::from_conf(own_config!($sdk, $aws).build())
    };
}

macro_rules! own_config {
    ($sdk:ident, $aws:expr) => {
        $sdk::config::Builder::from(&$aws.config).retry_partition($aws.retries.of(
            "",
            "",
            stringify!($sdk),
        ))
    };
}

impl Aws {
    pub(super) fn ec2(&self, actor: &Actor, region: &Region) -> aws_sdk_ec2::Client {
        client_of!(aws_sdk_ec2, self, actor, region)
    }

    pub(super) fn kms(&self, actor: &Actor, region: &Region) -> aws_sdk_kms::Client {
        client_of!(aws_sdk_kms, self, actor, region)
    }

    /// Returns a client of IAM. Any Region of the partition leads to its one IAM.
    pub(super) fn iam(&self, actor: &Actor, region: &Region) -> aws_sdk_iam::Client {
        client_of!(aws_sdk_iam, self, actor, region)
    }

    pub(super) fn autoscaling(
        &self,
        actor: &Actor,
        region: &Region,
    ) -> aws_sdk_autoscaling::Client {
        client_of!(aws_sdk_autoscaling, self, actor, region)
    }

    pub(super) fn ssm_at(&self, actor: &Actor, region: &Region) -> aws_sdk_ssm::Client {
        client_of!(aws_sdk_ssm, self, actor, region)
    }

    /// Returns a client of STS in the function's own Region: tokens of the global endpoint fail in
    /// opt-in Regions.
    pub(super) fn sts(&self) -> aws_sdk_sts::Client {
        own_client!(aws_sdk_sts, self)
    }

    pub(super) fn sfn(&self) -> aws_sdk_sfn::Client {
        own_client!(aws_sdk_sfn, self)
    }

    pub(super) fn ssm(&self) -> aws_sdk_ssm::Client {
        own_client!(aws_sdk_ssm, self)
    }

    pub(super) fn organizations(&self) -> aws_sdk_organizations::Client {
        own_client!(aws_sdk_organizations, self)
    }

    pub(super) fn lambda(&self) -> aws_sdk_lambda::Client {
        own_client!(aws_sdk_lambda, self)
    }

    pub(super) fn s3(&self) -> aws_sdk_s3::Client {
        // Emulators have no wildcard host names for buckets.
        let elsewhere = self.config.endpoint_url().is_some()
            || ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]
                .iter()
                .any(|name| std::env::var_os(name).is_some());
        let config = own_config!(aws_sdk_s3, self).force_path_style(elsewhere);
        aws_sdk_s3::Client::from_conf(config.build())
    }
}
