//! An account of the check: its credentials, and clients in any Region.

use amiferry::aws::{Place, refusal};
use amiferry::error::Refusal;
use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::http::Response;

/// An account, as one set of credentials sees it.
#[derive(Debug, Clone)]
pub struct Party {
    /// The account's ID.
    pub account: String,
    config: SdkConfig,
}

/// A client of this SDK in a Region. A macro, as the builders have no trait in common.
macro_rules! client_of {
    ($sdk:ident, $party:expr, $region:expr) => {
        $sdk::Client::from_conf(
            $sdk::config::Builder::from(&$party.config)
                .region(aws_config::Region::new($region.to_owned()))
                .build(),
        )
    };
}

impl Party {
    /// Asks STS whose credentials these are.
    pub async fn of(config: SdkConfig) -> Result<Self, Refusal> {
        let caller = aws_sdk_sts::Client::new(&config)
            .get_caller_identity()
            .send()
            .await;
        let mut party = Self {
            account: String::new(),
            config,
        };
        let caller = caller.map_err(|e| party.refused("GetCallerIdentity", "", "", &e))?;
        caller
            .account
            .unwrap_or_default()
            .clone_into(&mut party.account);
        Ok(party)
    }

    /// Returns the account as a session of a role sees it.
    pub fn with(&self, credentials: Credentials) -> Self {
        let provider = SharedCredentialsProvider::new(credentials);
        let config = self.config.clone().into_builder();
        Self {
            account: self.account.clone(),
            config: config.credentials_provider(provider).build(),
        }
    }

    /// Returns the credentials, if their provider has any.
    pub async fn credentials(&self) -> Option<Credentials> {
        let provider = self.config.credentials_provider()?;
        provider.provide_credentials().await.ok()
    }

    /// Returns the SDK's configuration.
    pub fn config(&self) -> &SdkConfig {
        &self.config
    }

    pub fn ec2(&self, region: &str) -> aws_sdk_ec2::Client {
        client_of!(aws_sdk_ec2, self, region)
    }

    pub fn kms(&self, region: &str) -> aws_sdk_kms::Client {
        client_of!(aws_sdk_kms, self, region)
    }

    pub fn iam(&self, region: &str) -> aws_sdk_iam::Client {
        client_of!(aws_sdk_iam, self, region)
    }

    pub fn sts(&self, region: &str) -> aws_sdk_sts::Client {
        client_of!(aws_sdk_sts, self, region)
    }

    pub fn s3(&self, region: &str) -> aws_sdk_s3::Client {
        // Emulators have no wildcard host names for buckets.
        let config = aws_sdk_s3::config::Builder::from(&self.config)
            .region(aws_config::Region::new(region.to_owned()))
            .force_path_style(self.config.endpoint_url().is_some());
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// Returns AWS's refusal with the account, the Region and the resource.
    pub fn refused<E>(
        &self,
        operation: &'static str,
        region: &str,
        resource: &str,
        error: &SdkError<E, Response>,
    ) -> Refusal
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        refusal(operation, &self.place(region), resource, error)
    }

    /// Returns the account in a Region.
    pub fn place(&self, region: &str) -> Place {
        Place {
            account: self.account.clone(),
            region: region.to_owned(),
        }
    }
}
