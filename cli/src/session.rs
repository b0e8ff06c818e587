//! Credentials, Region and settings of one invocation of the program.

use amiferry::aws::Aws;
use amiferry::handler::Handler;
use amiferry::ids::Region;
use amiferry::request::Request;
use amiferry::setup::{self, Settings};
use aws_config::SdkConfig;
use aws_credential_types::provider::ProvideCredentials;
use serde_json::Value;

use crate::arguments::{Globals, Ledger};
use crate::failure::Failure;
use crate::wish::{Scope, Wish};

/// A step that would wait for longer returns, so that its state is saved and its progress shown.
/// The shortest time between two polls of copies is five seconds.
const PATIENCE: i64 = 4;

/// The way to AWS.
#[derive(Debug)]
pub struct Session {
    /// The SDK's configuration.
    pub config: SdkConfig,
    settings: Settings,
    /// The Region of the ledger, and of an AMI whose request names none.
    pub region: Region,
}

impl Session {
    /// Finds the Region and the credentials. Fails before the first call if one is missing.
    pub async fn open(globals: &Globals, bucket: Option<&str>) -> Result<Self, Failure> {
        let session = Self::prepare(globals, bucket).await?;
        find_credentials(&session.config).await?;
        Ok(session)
    }

    /// Reads the request, then finds the credentials: whoever made a mistake in the request is told
    /// that first.
    pub async fn of_request<S: Scope>(
        globals: &Globals,
        wish: &Wish<S>,
        ledger: &Ledger,
    ) -> Result<(Self, Value, Request), Failure> {
        let session = Self::prepare(globals, ledger.bucket.as_deref()).await?;
        let (words, request) = wish.read(&session.region)?;
        find_credentials(&session.config).await?;
        Ok((session, words, request))
    }

    /// Finds the Region.
    async fn prepare(globals: &Globals, bucket: Option<&str>) -> Result<Self, Failure> {
        let config = configured(globals, globals.profile.as_deref()).await;
        let region = region_of(&config)?;
        let mut settings = Settings::from_environment();
        if let Some(bucket) = bucket {
            settings.bucket = Some(bucket.to_owned());
        }
        Ok(Self {
            config,
            settings,
            region,
        })
    }

    /// Finds the credentials, the Region and the ledger: the bucket that is given, or the stack's.
    pub async fn with_ledger(globals: &Globals, ledger: &Ledger) -> Result<Self, Failure> {
        let mut session = Self::open(globals, ledger.bucket.as_deref()).await?;
        session.find_ledger(ledger).await?;
        Ok(session)
    }

    /// Finds the ledger: the bucket that is given, or the stack's.
    pub async fn find_ledger(&mut self, ledger: &Ledger) -> Result<(), Failure> {
        if ledger.bucket.is_none() {
            let outputs = self.outputs(&ledger.stack).await?;
            self.settings.bucket = Some(outputs.bucket);
            self.settings.state_machine = Some(outputs.machine);
        }
        self.settings.needed_bucket()?;
        Ok(())
    }

    /// Returns the bucket of the ledger, in a session with one.
    pub fn bucket(&self) -> &str {
        self.settings.bucket.as_deref().unwrap_or_default()
    }

    /// Returns the function, as a value in this process.
    pub fn handler(&self) -> Handler {
        Handler::new(self.config.clone(), self.settings.clone()).with_patience(PATIENCE)
    }

    /// Returns the calls of the library, for what no event of the function asks.
    pub fn aws(&self) -> Aws {
        Aws::new(
            self.config.clone(),
            self.settings.bucket.clone(),
            self.settings.allowed(),
        )
    }
}

/// Returns the SDK's configuration for a profile.
pub async fn configured(globals: &Globals, profile: Option<&str>) -> SdkConfig {
    let mut loader = setup::loader();
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &globals.region {
        loader = loader.region(aws_config::Region::new(region.clone()));
    }
    if let Some(url) = &globals.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    loader.load().await
}

/// Returns the Region of the configuration. Fails if it has none, or one that AWS cannot have.
pub fn region_of(config: &SdkConfig) -> Result<Region, Failure> {
    let Some(region) = config.region() else {
        return Err(Failure::Usage(
            "no Region: give --region, or set AWS_REGION or a Region of the profile".to_owned(),
        ));
    };
    Region::parse(region.as_ref()).map_err(|e| Failure::Usage(format!("--region: {e}")))
}

/// Asks the chain of the SDK for credentials: without any, each call would fail by its own error.
pub async fn find_credentials(config: &SdkConfig) -> Result<(), Failure> {
    let none = |why: String| {
        Failure::Credentials(format!(
            "no credentials: {why}. Set AWS_PROFILE or give --profile, log in (aws sso login), or \
             set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ))
    };
    let Some(provider) = config.credentials_provider() else {
        return Err(none("no provider is configured".to_owned()));
    };
    match provider.provide_credentials().await {
        Ok(_) => Ok(()),
        Err(error) => {
            let mut why = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                why = format!("{why}: {cause}");
                source = cause.source();
            }
            Err(none(why.trim_end_matches('.').to_owned()))
        }
    }
}
