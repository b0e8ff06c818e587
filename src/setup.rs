//! The configuration of the SDK and the settings of the function. The SDK uses ring for TLS,
//! bounded times and standard retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use crate::allowed::Allowed;
use crate::error::Error;
use crate::event::response_hosts::ResponseHosts;
use crate::ids::Region;

/// Returns the SDK's configuration, from the environment.
pub async fn from_environment() -> SdkConfig {
    loader().load().await
}

/// Returns a loader of the SDK's configuration, for callers with settings of their own.
pub fn loader() -> ConfigLoader {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    bounded(aws_config::defaults(BehaviorVersion::latest())).http_client(http)
}

/// The settings in the function's environment, apart from those that the SDK reads.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The ARN of the state machine that custom resources and EventBridge start, if there is one.
    pub state_machine: Option<String>,
    /// The bucket of the ledger, and of data too large or too secret for an execution. Nothing is
    /// distributed without it.
    pub bucket: Option<String>,
    /// The function's own request for EventBridge, as JSON.
    pub request: Option<String>,
    /// The SSM parameter that contains that request.
    pub request_parameter: Option<String>,
    /// The text of [`allowed::ACCOUNTS`](crate::allowed::ACCOUNTS). Each request reports a
    /// malformed setting by its name.
    pub allowed_accounts: Option<String>,
    /// The text of [`allowed::ORGANIZATION`](crate::allowed::ORGANIZATION).
    pub allowed_organization: Option<String>,
    /// The text of [`allowed::SHARE`](crate::allowed::SHARE).
    pub allow_share: Option<String>,
    /// The text of [`response_hosts::SETTING`](crate::event::response_hosts::SETTING).
    pub response_hosts: Option<String>,
    /// The namespace of the metrics in the log. None are written without it.
    pub metrics: Option<String>,
}

impl Settings {
    /// Reads the settings.
    pub fn from_environment() -> Self {
        // A value that is no Unicode is kept as well as possible, so that it is refused and not
        // overlooked.
        let read = |name: &str| {
            let value = std::env::var_os(name)?.to_string_lossy().into_owned();
            Some(value).filter(|value| !value.trim().is_empty())
        };
        Self {
            state_machine: read("AMIFERRY_STATE_MACHINE_ARN"),
            bucket: read("AMIFERRY_BUCKET"),
            request: read("AMIFERRY_REQUEST"),
            request_parameter: read("AMIFERRY_REQUEST_PARAMETER"),
            allowed_accounts: read(crate::allowed::ACCOUNTS),
            allowed_organization: read(crate::allowed::ORGANIZATION),
            allow_share: read(crate::allowed::SHARE),
            response_hosts: read(crate::event::response_hosts::SETTING),
            metrics: read("AMIFERRY_METRICS"),
        }
    }

    /// Returns the bounds of every request. Fails with `InvalidRequest` if a setting is malformed.
    pub fn allowed(&self) -> Result<Allowed, Error> {
        Allowed::parse(
            self.allowed_accounts.as_deref(),
            self.allowed_organization.as_deref(),
            self.allow_share.as_deref(),
        )
    }

    /// Returns the hosts that answers to CloudFormation may go to, for a function in this Region.
    pub fn response_hosts(&self, region: Region) -> Result<ResponseHosts, Error> {
        ResponseHosts::parse(self.response_hosts.as_deref(), region)
    }

    /// Returns the bucket, which every distribution needs.
    pub fn needed_bucket(&self) -> Result<&str, Error> {
        let bucket = self.bucket.as_deref().unwrap_or_default().trim();
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.';
        if bucket.is_empty() {
            return Err(Error::invalid(
                "AMIFERRY_BUCKET",
                "is not set, and nothing is distributed without it; set it to the stack's bucket, \
                 as template.yaml does",
            ));
        }
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
            return Err(Error::invalid(
                "AMIFERRY_BUCKET",
                "is not the name of a bucket (3 to 63 lower-case letters, digits, dots and \
                 hyphens)",
            ));
        }
        Ok(bucket)
    }
}

/// Sets the times and retries of all clients of this project.
pub fn bounded(loader: ConfigLoader) -> ConfigLoader {
    let times = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(4))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_secs(50))
        .build();
    loader
        .timeout_config(times)
        .retry_config(RetryConfig::standard().with_max_attempts(3))
}
