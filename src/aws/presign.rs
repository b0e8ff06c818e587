//! The PresignedUrl of CopySnapshot: proof, for the source Region, that the caller may read the
//! snapshot there. EC2 demands it of encrypted snapshots on the Query API, and the Rust SDK does
//! not make it. It is a GET of the same action on the source Region's endpoint, signed with the
//! caller's credentials (EC2 API reference, CopySnapshot, PresignedUrl).

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_ec2::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use super::Aws;
use crate::ids::{KeyRef, Region, SnapshotId};

/// The URL's lifetime. EC2 reads it when the copy begins; other SDKs give it an hour, too.
const VALID: Duration = Duration::from_hours(1);

/// The copy that a URL is signed for.
#[derive(Debug)]
pub struct CopyToSign<'a> {
    /// The source snapshot.
    pub snapshot: &'a SnapshotId,
    /// The Region of the source.
    pub from: &'a Region,
    /// The Region of the copy.
    pub to: &'a Region,
    /// The key of the copy.
    pub key: &'a KeyRef,
}

impl Aws {
    /// Returns the URL for a copy by the principal of these credentials.
    pub async fn presigned_copy(
        &self,
        credentials: &Credentials,
        copy: &CopyToSign<'_>,
    ) -> Result<String, String> {
        let mut url = self.ec2_endpoint(copy.from).await?;
        url.query_pairs_mut()
            .append_pair("Action", "CopySnapshot")
            .append_pair("Version", "2016-11-15")
            .append_pair("SourceRegion", copy.from.as_str())
            .append_pair("SourceSnapshotId", copy.snapshot.as_str())
            .append_pair("DestinationRegion", copy.to.as_str())
            .append_pair("Encrypted", "true")
            .append_pair("KmsKeyId", copy.key.as_str());
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(VALID);
        let identity = credentials.clone().into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(copy.from.as_str())
            .name("ec2")
            .time(self.time.now())
            .settings(settings)
            .build()
            .map_err(|e| e.to_string())?
            .into();
        let request = SignableRequest::new(
            "GET",
            url.as_str(),
            std::iter::empty(),
            SignableBody::Bytes(&[]),
        )
        .map_err(|e| e.to_string())?;
        let (instructions, _) = sign(request, &params)
            .map_err(|e| e.to_string())?
            .into_parts();
        for (name, value) in instructions.params() {
            url.query_pairs_mut().append_pair(name, value);
        }
        Ok(url.into())
    }

    /// Returns the endpoint of a Region as the SDK itself would choose it, overrides included.
    async fn ec2_endpoint(&self, region: &Region) -> Result<Url, String> {
        let key = ServiceConfigKey::builder()
            .service_id("EC2")
            .env("AWS_ENDPOINT_URL")
            .profile("endpoint_url")
            .build();
        let of_service = key.ok().and_then(|key| {
            self.config
                .service_config()
                .and_then(|config| config.load_config(key))
        });
        let params = Params::builder()
            .region(region.as_str())
            .set_endpoint(of_service.or_else(|| self.config.endpoint_url().map(str::to_owned)))
            .set_use_fips(self.config.use_fips())
            .set_use_dual_stack(self.config.use_dual_stack())
            .build()
            .map_err(|e| e.to_string())?;
        let endpoint = DefaultResolver::new()
            .resolve_endpoint(&params)
            .await
            .map_err(|e| e.to_string())?;
        let mut url = Url::parse(endpoint.url()).map_err(|e| e.to_string())?;
        if url.path().is_empty() {
            url.set_path("/");
        }
        Ok(url)
    }
}
