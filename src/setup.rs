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
