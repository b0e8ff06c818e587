//! The SDK's configuration: what the environment says, with ring for TLS, bounded times and standard retries.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

/// The configuration of the function.
pub async fn from_environment() -> SdkConfig {
    let http = Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https();
    bounded(aws_config::defaults(BehaviorVersion::latest()))
        .http_client(http)
        .load()
        .await
}

/// What the function's environment says beside what the SDK reads.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Started by custom resources and EventBridge, if there is one.
    pub state_machine: Option<String>,
    /// Holds the ledger, and what is too large or too secret for an execution.
    pub bucket: Option<String>,
    /// The function's own request for EventBridge: the JSON itself,
    pub request: Option<String>,
    /// or the SSM parameter that holds it.
    pub request_parameter: Option<String>,
}

impl Settings {
    pub fn from_environment() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|v| !v.trim().is_empty());
        Self {
            state_machine: read("AMIFERRY_STATE_MACHINE_ARN"),
            bucket: read("AMIFERRY_BUCKET"),
            request: read("AMIFERRY_REQUEST"),
            request_parameter: read("AMIFERRY_REQUEST_PARAMETER"),
        }
    }
}

/// Times and retries, for every configuration that this project's clients are built from.
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
