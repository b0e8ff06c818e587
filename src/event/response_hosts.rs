//! The hosts that a ResponseURL may name.
//!
//! Everybody who may invoke the function can send an event, and the answer contains image IDs and
//! AWS's messages. The answer therefore goes to CloudFormation's own bucket of the function's
//! Region, or to a listed host.
//!
//! Sources:
//!
//! - CloudFormation user guide, "VPC endpoints": the bucket's name, with the Region's name without
//!   dashes.
//! - CloudFormation user guide, "`AWS::CloudFormation::CustomResource`": `ServiceToken` is of the
//!   stack's Region.
//! - Amazon S3 endpoints (general reference); the examples of the Lambda developer guide, also for
//!   China.

use url::Url;

use super::custom_resource::ResponseUrl;
use crate::error::Error;
use crate::ids::Region;

/// The setting that lists further hosts.
pub const SETTING: &str = "AMIFERRY_RESPONSE_HOSTS";
const BUCKET: &str = "cloudformation-custom-resource-response-";
/// The one host that may be reached without TLS if it is listed: an emulator on the same machine.
const LOCAL: &str = "127.0.0.1";

/// The hosts that answers may go to.
#[derive(Debug, Clone)]
pub struct ResponseHosts {
    region: Region,
    listed: Vec<String>,
}

impl ResponseHosts {
    /// Returns CloudFormation's own hosts in this Region, and no others.
    pub fn of(region: Region) -> Self {
        let listed = Vec::new();
        Self { region, listed }
    }

    /// Returns CloudFormation's own hosts in this Region, and those of the setting: host names
    /// joined by commas.
    pub fn parse(setting: Option<&str>, region: Region) -> Result<Self, Error> {
        let Some(joined) = setting.map(str::trim).filter(|text| !text.is_empty()) else {
            return Ok(Self::of(region));
        };
        let listed = joined.split(',').map(|host| {
            let host = host.trim().to_ascii_lowercase();
            let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
            if (1..=253).contains(&host.len()) && host.bytes().all(plain) {
                return Ok(host);
            }
            let shown: String = host.chars().take(80).collect();
            let problem = format!(
                "{shown:?} is not a host name; the setting is a list of host names joined by \
                 commas, without scheme, port or path"
            );
            Err(Error::invalid(SETTING, problem))
        });
        let listed = listed.collect::<Result<_, _>>()?;
        Ok(Self { region, listed })
    }

    /// Refuses a URL with another host. The refusal never shows the URL.
    pub fn check(&self, url: &ResponseUrl) -> Result<(), Error> {
        if permits(url.reveal(), &self.region, &self.listed) {
            return Ok(());
        }
        let problem = format!(
            "does not lead to CloudFormation's bucket in {} ({}); an emulator's host must be \
             listed in {SETTING}, the only host without https is {LOCAL}",
            self.region,
            bucket(&self.region)
        );
        Err(Error::invalid("ResponseURL", problem))
    }
}

/// Returns whether the answer may go to `url`, for a function in `region` with these hosts
/// `listed`.
fn permits(url: &str, region: &Region, listed: &[String]) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let Some(host) = url.host_str() else {
        return false;
    };
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    let is_listed = listed.iter().any(|listed| listed == host);
    match url.scheme() {
        "http" => is_listed && host == LOCAL,
        "https" => is_listed || url.port().is_none() && is_own(&url, host, region),
        _ => false,
    }
}

/// Returns whether the URL leads into CloudFormation's bucket, by the host's name or by the path.
fn is_own(url: &Url, host: &str, region: &Region) -> bool {
    let bucket = bucket(region);
    endpoints(region).iter().any(|endpoint| {
        if host == endpoint {
            url.path().strip_prefix('/').is_some_and(|path| {
                let key = path.strip_prefix(&bucket);
                key.is_some_and(|key| key.starts_with('/'))
            })
        } else {
            let name = host.strip_suffix(endpoint.as_str());
            name.and_then(|name| name.strip_suffix('.')) == Some(&bucket)
        }
    })
}

fn bucket(region: &Region) -> String {
    format!("{BUCKET}{}", region.as_str().replace('-', ""))
}

/// Returns the names by which S3 is reached in this Region. The global names belong to the
/// partition `aws` only.
fn endpoints(region: &Region) -> Vec<String> {
    let domain = match region.partition() {
        "aws-cn" => "amazonaws.com.cn",
        _ => "amazonaws.com",
    };
    let mut endpoints: Vec<String> = [
        "s3.",
        "s3-",
        "s3.dualstack.",
        "s3-fips.",
        "s3-fips.dualstack.",
    ]
    .iter()
    .map(|service| format!("{service}{region}.{domain}"))
    .collect();
    if region.partition() == "aws" {
        endpoints.push(format!("s3.{domain}"));
        endpoints.push(format!("s3-external-1.{domain}"));
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/arn%3Aaws%3Acloudformation?X-Amz-Signature=x";

    fn region(name: &str) -> Region {
        Region::parse(name).unwrap()
    }

    #[test]
    fn cloudformations_own_hosts_of_each_partition_are_permitted() {
        for (home, host) in [
            (
                "us-west-2",
                "cloudformation-custom-resource-response-uswest2.s3.us-west-2.amazonaws.com",
            ),
            (
                "us-west-2",
                "cloudformation-custom-resource-response-uswest2.s3-us-west-2.amazonaws.com",
            ),
            (
                "us-west-2",
                "cloudformation-custom-resource-response-uswest2.s3.amazonaws.com",
            ),
            (
                "us-west-2",
                "cloudformation-custom-resource-response-uswest2.s3.dualstack.us-west-2.\
                 amazonaws.com",
            ),
            (
                "us-west-2",
                "s3.us-west-2.amazonaws.com/cloudformation-custom-resource-response-uswest2",
            ),
            (
                "us-west-2",
                "s3-us-west-2.amazonaws.com/cloudformation-custom-resource-response-uswest2",
            ),
            (
                "us-west-2",
                "S3.US-WEST-2.amazonaws.com/cloudformation-custom-resource-response-uswest2",
            ),
            (
                "us-east-1",
                "cloudformation-custom-resource-response-useast1.s3.amazonaws.com",
            ),
            (
                "us-east-1",
                "cloudformation-custom-resource-response-useast1.s3.us-east-1.amazonaws.com:443",
            ),
            (
                "cn-north-1",
                "cloudformation-custom-resource-response-cnnorth1.s3.cn-north-1.amazonaws.com.cn",
            ),
            (
                "us-gov-west-1",
                "cloudformation-custom-resource-response-usgovwest1.s3-us-gov-west-1.amazonaws.com",
            ),
            (
                "us-gov-west-1",
                "cloudformation-custom-resource-response-usgovwest1.s3-fips.us-gov-west-1.\
                 amazonaws.com",
            ),
        ] {
            assert!(
                permits(&format!("https://{host}{PATH}"), &region(home), &[]),
                "{host}"
            );
        }
    }

    #[test]
    fn every_other_host_is_refused_unless_it_is_listed() {
        let own = "cloudformation-custom-resource-response-uswest2";
        for url in [
            format!("http://{own}.s3.us-west-2.amazonaws.com{PATH}"),
            format!("https://{own}.s3.us-west-2.amazonaws.com:8443{PATH}"),
            format!("https://user:pass@{own}.s3.us-west-2.amazonaws.com{PATH}"),
            format!("https://{own}.s3.us-west-2.amazonaws.com.evil.com{PATH}"),
            format!("https://{own}.s3.us-west-2.amazonaws.com.cn{PATH}"),
            format!("https://{own}.s3.us-west-2.amazonaws.com.{PATH}"),
            format!("https://{own}.s3.evil.com{PATH}"),
            format!("https://{own}s3.us-west-2.amazonaws.com{PATH}"),
            format!("https://x.{own}.s3.us-west-2.amazonaws.com{PATH}"),
            // Everybody can create a bucket of this name.
            format!("https://{own}-mine.s3.us-west-2.amazonaws.com{PATH}"),
            format!("https://cloudformation-custom-resource-response-mine.s3.amazonaws.com{PATH}"),
            format!(
                "https://cloudformation-custom-resource-response-useast1.s3.amazonaws.com{PATH}"
            ),
            format!("https://evil.s3.us-west-2.amazonaws.com/{own}{PATH}"),
            format!("https://s3.us-west-2.amazonaws.com/{own}-mine{PATH}"),
            format!("https://s3.us-west-2.amazonaws.com/evil/{own}{PATH}"),
            format!("https://s3.us-west-2.amazonaws.com/{own}/../evil{PATH}"),
            format!("https://s3.us-west-2.amazonaws.com/{own}/%2e%2e/evil{PATH}"),
            "https://127.0.0.1/answers".to_owned(),
            "http://127.0.0.1/answers".to_owned(),
            "https://169.254.169.254/latest".to_owned(),
            "https://example.com/x".to_owned(),
            "file:///etc/passwd".to_owned(),
            "ftp://127.0.0.1/".to_owned(),
            String::new(),
        ] {
            assert!(!permits(&url, &region("us-west-2"), &[]), "{url}");
        }
        for partition in ["cn-north-1", "us-gov-west-1"] {
            let name = partition.replace('-', "");
            let global = format!(
                "https://cloudformation-custom-resource-response-{name}.s3.amazonaws.com{PATH}"
            );
            assert!(!permits(&global, &region(partition), &[]), "{global}");
        }
    }

    #[test]
    fn a_listed_host_is_permitted_and_only_this_machine_without_tls() {
        let listed = ["127.0.0.1".to_owned(), "emulator.example".to_owned()];
        for (url, permitted) in [
            ("http://127.0.0.1:4566/x", true),
            ("https://127.0.0.1:4566/x", true),
            ("http://127.1:4566/x", true),
            ("https://emulator.example:4566/x", true),
            ("http://emulator.example/x", false),
            ("http://127.0.0.1.example.com/x", false),
            ("http://127.0.0.1@example.com/x", false),
            ("http://127.0.0.2/x", false),
            ("https://x.emulator.example/x", false),
        ] {
            assert_eq!(
                permits(url, &region("us-west-2"), &listed),
                permitted,
                "{url}"
            );
        }
    }

    #[test]
    fn the_refusal_names_the_setting_and_never_the_url() {
        let url = ResponseUrl::parse("https://example.com/secret-of-the-stack").unwrap();
        let hosts = ResponseHosts::parse(None, region("us-west-2")).unwrap();
        let said = hosts.check(&url).unwrap_err().to_string();
        assert!(
            said.starts_with("ResponseURL: ") && said.contains(SETTING),
            "{said}"
        );
        assert!(
            !said.contains("example.com") && !said.contains("secret"),
            "{said}"
        );
    }

    #[test]
    fn a_malformed_list_of_hosts_is_refused_by_name() {
        for wrong in [
            ",",
            "127.0.0.1,",
            "http://127.0.0.1",
            "127.0.0.1:80",
            "a b",
            "höst",
            "*",
            "x/y",
        ] {
            let error = ResponseHosts::parse(Some(wrong), region("us-west-2")).unwrap_err();
            assert!(
                error.to_string().starts_with("AMIFERRY_RESPONSE_HOSTS: "),
                "{error}"
            );
        }
        assert!(
            ResponseHosts::parse(Some(" 127.0.0.1 , Emulator.example "), region("us-west-2"))
                .is_ok()
        );
        assert!(ResponseHosts::parse(Some(" "), region("us-west-2")).is_ok());
    }
}
