//! The `Principal` and `NotPrincipal` elements.
//!
//! Source: *IAM User Guide*, "AWS JSON policy elements: Principal" and "… `NotPrincipal`".
//! Federated and canonical users are not modelled and are refused; wildcards inside a principal's
//! ARN are refused as AWS does.

use serde_json::Value;

use super::error::PolicyError;
use super::evaluate::Reach;
use super::json_text;
use super::{Principal, statement::Elements};

/// The principals of one element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principals {
    /// AWS principals, under `AWS`.
    pub aws: Vec<AwsPrincipal>,
    /// Service principals: `ec2.amazonaws.com`.
    pub services: Vec<String>,
}

/// `Principal` (`Only`) or `NotPrincipal` (`AllBut`).
pub type PrincipalsElement = Elements<Principals>;

/// An AWS principal as a policy may name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AwsPrincipal {
    /// `*`
    Anyone,
    /// An account, by twelve digits or `arn:aws:iam::222222222222:root`.
    Account {
        /// The account ID.
        id: String,
        /// The account as the policy names it.
        written: String,
    },
    /// A role, user, session or federated user, by its exact ARN.
    Arn(String),
    /// `AROA…`: a policy shows this once the principal it named was deleted. The ID matches nobody.
    Deleted(String),
}

impl Principals {
    pub(super) fn parse(value: &Value) -> Result<Principals, PolicyError> {
        let mut principals = Principals::default();
        let object = match value {
            Value::String(star) if star == "*" => {
                principals.aws.push(AwsPrincipal::Anyone);
                return Ok(principals);
            }
            Value::Object(object) if !object.is_empty() => object,
            _ => {
                return Err(PolicyError::new(
                    "",
                    "must be \"*\" or an object such as {\"AWS\": \"…\"}",
                ));
            }
        };
        for (kind, names) in object {
            let names = json_text::strings(names).map_err(|error| error.within(kind))?;
            for name in names {
                match kind.as_str() {
                    "AWS" => principals
                        .aws
                        .push(AwsPrincipal::parse(&name).map_err(|error| error.within(kind))?),
                    "Service" if is_service(&name) => principals.services.push(name),
                    "Service" => {
                        return Err(PolicyError::new(
                            kind,
                            format!("{name:?} is not a service principal"),
                        ));
                    }
                    "Federated" | "CanonicalUser" => {
                        return Err(PolicyError::new(
                            kind,
                            "principals of this kind are not modelled",
                        ));
                    }
                    _ => return Err(PolicyError::new(kind, "unknown kind of principal")),
                }
            }
        }
        Ok(principals)
    }

    /// Returns the closest way in which these principals include `caller`, if they do.
    pub(super) fn reach(&self, caller: &Principal) -> Option<Reach> {
        let by_service = caller
            .service
            .as_ref()
            .filter(|service| self.services.contains(service))
            .map(|_| Reach::Principal);
        self.aws
            .iter()
            .filter_map(|principal| principal.reach(caller))
            .chain(by_service)
            .max()
    }

    /// Returns whether `NotPrincipal` exempts `caller`: it must list every identity of the caller,
    /// its account included.
    pub(super) fn exempt(&self, caller: &Principal) -> bool {
        if self.aws.contains(&AwsPrincipal::Anyone) {
            return true;
        }
        if let Some(service) = &caller.service {
            return self.services.contains(service);
        }
        let names = |arn: &str| {
            self.aws
                .iter()
                .any(|listed| matches!(listed, AwsPrincipal::Arn(own) if own == arn))
        };
        let account = self.aws.iter().any(
            |listed| matches!(listed, AwsPrincipal::Account { id, .. } if *id == caller.account),
        );
        let root = caller.arn.ends_with(":root");
        account && (root || names(&caller.arn)) && caller.role_arn.as_deref().is_none_or(names)
    }
}

impl AwsPrincipal {
    fn parse(name: &str) -> Result<AwsPrincipal, PolicyError> {
        let refuse = |why: &str| Err(PolicyError::new("", format!("{name:?} {why}")));
        if name == "*" {
            return Ok(AwsPrincipal::Anyone);
        }
        if name.contains(['*', '?']) {
            return refuse("has a wildcard, which no principal but \"*\" may have");
        }
        if is_account(name) {
            return Ok(AwsPrincipal::Account {
                id: name.to_owned(),
                written: name.to_owned(),
            });
        }
        if is_unique_id(name) {
            return Ok(AwsPrincipal::Deleted(name.to_owned()));
        }
        let parts: Vec<&str> = name.splitn(6, ':').collect();
        let [arn, partition, service, "", account, resource] = parts[..] else {
            return refuse("is neither an account ID nor the ARN of a principal");
        };
        if arn != "arn" || !partition.starts_with("aws") || !is_account(account) {
            return refuse("is neither an account ID nor the ARN of a principal");
        }
        if service == "iam" && resource == "root" {
            return Ok(AwsPrincipal::Account {
                id: account.to_owned(),
                written: name.to_owned(),
            });
        }
        let (kind, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let known = match (service, kind) {
            ("iam", "role" | "user") => !rest.is_empty() && !rest.ends_with('/'),
            ("sts", "assumed-role") => rest
                .split_once('/')
                .is_some_and(|(role, session)| !role.is_empty() && !session.is_empty()),
            ("sts", "federated-user") => !rest.is_empty(),
            _ => false,
        };
        if known {
            Ok(AwsPrincipal::Arn(name.to_owned()))
        } else {
            refuse("is not the ARN of a principal")
        }
    }

    fn reach(&self, caller: &Principal) -> Option<Reach> {
        match self {
            AwsPrincipal::Anyone => Some(Reach::Principal),
            AwsPrincipal::Deleted(_) => None,
            _ if caller.service.is_some() => None,
            // The root user *is* its account; the account's other principals are reached only
            // through it.
            AwsPrincipal::Account { id, written }
                if *id == caller.account && shares_partition(written, &caller.arn) =>
            {
                Some(if caller.arn.ends_with(":root") {
                    Reach::Principal
                } else {
                    Reach::Account
                })
            }
            AwsPrincipal::Arn(arn) if *arn == caller.arn => Some(if caller.role_arn.is_some() {
                Reach::Session
            } else {
                Reach::Principal
            }),
            AwsPrincipal::Arn(arn) if Some(arn) == caller.role_arn.as_ref() => {
                Some(Reach::Principal)
            }
            AwsPrincipal::Account { .. } | AwsPrincipal::Arn(_) => None,
        }
    }

    /// Returns the text of the policy.
    pub fn as_str(&self) -> &str {
        match self {
            AwsPrincipal::Anyone => "*",
            AwsPrincipal::Account { written, .. } => written,
            AwsPrincipal::Arn(text) | AwsPrincipal::Deleted(text) => text,
        }
    }
}

/// Returns whether both are in one partition; an account's twelve digits fit any.
fn shares_partition(written: &str, arn: &str) -> bool {
    !written.starts_with("arn:") || written.split(':').nth(1) == arn.split(':').nth(1)
}

pub(super) fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_service(name: &str) -> bool {
    let host = name.strip_suffix(".cn").unwrap_or(name);
    let prefix = host.strip_suffix(".amazonaws.com").unwrap_or("");
    !prefix.is_empty()
        && prefix
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
}

/// Returns whether the text is a unique ID such as `AROAEXAMPLEID` (*IAM User Guide*, "IAM
/// identifiers", unique ID prefixes of roles and users).
fn is_unique_id(text: &str) -> bool {
    (text.starts_with("AROA") || text.starts_with("AIDA"))
        && (16..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}
