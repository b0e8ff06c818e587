//! The service-linked roles by which a service of AWS launches instances for an account. Such a
//! role needs the key of the image's snapshots.
//!
//! A request names a role by its service, with an underscore and the custom suffix if it has one:
//! `autoscaling.amazonaws.com`, `autoscaling.amazonaws.com_batch`.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::digest::digest;
use crate::ids::AccountId;

/// The services whose roles launch instances, the names of the roles, and whether the service takes
/// a custom suffix.
///
/// Sources: IAM user guide, using service-linked roles; the same chapter of the EC2 Auto Scaling,
/// EC2 Spot, EKS and Batch user guides.
const SERVICES: [(&str, &str, bool); 6] = [
    (
        "autoscaling.amazonaws.com",
        "AWSServiceRoleForAutoScaling",
        true,
    ),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", false),
    (
        "spotfleet.amazonaws.com",
        "AWSServiceRoleForEC2SpotFleet",
        false,
    ),
    ("ec2fleet.amazonaws.com", "AWSServiceRoleForEC2Fleet", false),
    (
        "eks-nodegroup.amazonaws.com",
        "AWSServiceRoleForAmazonEKSNodegroup",
        false,
    ),
    ("batch.amazonaws.com", "AWSServiceRoleForBatch", false),
];

/// A service-linked role, in any account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct ServiceLinkedRole {
    service: &'static str,
    name: &'static str,
    suffix: Option<String>,
}

impl ServiceLinkedRole {
    /// Checks the service's name and the suffix. The error names the accepted form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (service, suffix) = match text.split_once('_') {
            Some((service, suffix)) => (service, Some(suffix)),
            None => (text, None),
        };
        let Some((service, name, takes_suffix)) =
            SERVICES.iter().find(|(known, ..)| *known == service)
        else {
            let known: Vec<&str> = SERVICES.iter().map(|(service, ..)| *service).collect();
            return Err(format!(
                "is no service whose role launches instances; accepted are {}, some with _ and a \
                 custom suffix behind it",
                known.join(", ")
            ));
        };
        if let Some(suffix) = suffix {
            if !takes_suffix {
                return Err(format!(
                    "{service} takes no custom suffix; name it as {service}"
                ));
            }
            // The role's name has at most 64 characters, with its suffix.
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b);
            if suffix.is_empty() || name.len() + 1 + suffix.len() > 64 || !suffix.bytes().all(plain)
            {
                return Err(format!(
                    "has a suffix that is none: {service}_ and up to {} of A-Za-z0-9+=,.@_-",
                    63 - name.len()
                ));
            }
        }
        Ok(Self {
            service,
            name,
            suffix: suffix.map(str::to_owned),
        })
    }

    /// Returns the roles that use the key when this role's service launches.
    ///
    /// A node group of EKS is a group of Auto Scaling, and the role of EKS's node groups never uses
    /// the key. Most compute environments of Batch are such groups too, but the role of Batch may
    /// launch as well. Source: EKS user guide, managed node groups; Batch user guide, AWS managed
    /// policies.
    pub fn launching(self) -> Vec<Self> {
        let auto_scaling = || Self {
            service: SERVICES[0].0,
            name: SERVICES[0].1,
            suffix: None,
        };
        match self.service {
            "eks-nodegroup.amazonaws.com" => vec![auto_scaling()],
            "batch.amazonaws.com" => vec![self, auto_scaling()],
            _ => vec![self],
        }
    }

    /// Returns the name of the service, such as `autoscaling.amazonaws.com`.
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Returns the custom suffix, if the role has one.
    pub fn suffix(&self) -> Option<&str> {
        self.suffix.as_deref()
    }

    /// Returns the role's name, without its path.
    pub fn role_name(&self) -> String {
        match &self.suffix {
            Some(suffix) => format!("{}_{suffix}", self.name),
            None => self.name.to_owned(),
        }
    }

    /// Returns the role's form in a grant's name, which accepts fewer characters than a role's.
    /// Other characters are replaced; a colon, which no role's name contains, and a digest keep
    /// different roles apart.
    pub fn in_grant_name(&self) -> String {
        let name = self.role_name();
        let fits = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
        if name.chars().all(fits) {
            return name;
        }
        let plain: String = name
            .chars()
            .map(|c| if fits(c) { c } else { '-' })
            .collect();
        format!("{plain}:{}", &digest([name.as_str()])[..8])
    }

    /// Returns the command that creates the role in its account.
    pub fn command(&self) -> String {
        let suffix = self.suffix.as_ref();
        let suffix = suffix.map_or_else(String::new, |s| format!(" --custom-suffix {s}"));
        format!(
            "aws iam create-service-linked-role --aws-service-name {}{suffix}",
            self.service
        )
    }

    /// Returns the ARN of this role in `account`.
    pub fn arn(&self, partition: &str, account: &AccountId) -> String {
        format!(
            "arn:{partition}:iam::{account}:role/aws-service-role/{}/{}",
            self.service,
            self.role_name()
        )
    }
}

/// Implemented by hand: the derived implementation would borrow the static names.
impl<'de> Deserialize<'de> for ServiceLinkedRole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl From<ServiceLinkedRole> for String {
    fn from(role: ServiceLinkedRole) -> String {
        role.to_string()
    }
}

impl fmt::Display for ServiceLinkedRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.service)?;
        self.suffix
            .as_ref()
            .map_or(Ok(()), |suffix| write!(f, "_{suffix}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_by_service_and_suffix() {
        let account = AccountId::parse("222222222222").unwrap();
        let arn = |text: &str| ServiceLinkedRole::parse(text).unwrap().arn("aws", &account);
        assert_eq!(
            arn("autoscaling.amazonaws.com"),
            "arn:aws:iam::222222222222:role/aws-service-role/autoscaling.amazonaws.com/\
             AWSServiceRoleForAutoScaling"
        );
        assert_eq!(
            arn("autoscaling.amazonaws.com_my_batch"),
            "arn:aws:iam::222222222222:role/aws-service-role/autoscaling.amazonaws.com/\
             AWSServiceRoleForAutoScaling_my_batch"
        );
        assert!(
            arn("spot.amazonaws.com").ends_with("/spot.amazonaws.com/AWSServiceRoleForEC2Spot")
        );
        let role = ServiceLinkedRole::parse("autoscaling.amazonaws.com_x").unwrap();
        assert_eq!(
            serde_json::to_value(&role).unwrap(),
            "autoscaling.amazonaws.com_x"
        );
    }

    #[test]
    fn eks_and_batch_add_the_role_of_auto_scaling() {
        let launching = |text: &str| -> Vec<String> {
            let roles = ServiceLinkedRole::parse(text).unwrap().launching();
            roles.iter().map(ServiceLinkedRole::role_name).collect()
        };
        assert_eq!(
            launching("eks-nodegroup.amazonaws.com"),
            ["AWSServiceRoleForAutoScaling"]
        );
        assert_eq!(
            launching("batch.amazonaws.com"),
            ["AWSServiceRoleForBatch", "AWSServiceRoleForAutoScaling"]
        );
        assert_eq!(
            launching("spotfleet.amazonaws.com"),
            ["AWSServiceRoleForEC2SpotFleet"]
        );
    }

    /// KMS takes `[a-zA-Z0-9:/_-]+`, IAM `+=,.@` as well.
    #[test]
    fn grant_names_of_different_roles_differ() {
        let word = |text: &str| ServiceLinkedRole::parse(text).unwrap().in_grant_name();
        assert_eq!(
            word("autoscaling.amazonaws.com"),
            "AWSServiceRoleForAutoScaling"
        );
        assert_eq!(
            word("autoscaling.amazonaws.com_my-batch"),
            "AWSServiceRoleForAutoScaling_my-batch"
        );
        let odd = word("autoscaling.amazonaws.com_a.b+c");
        assert!(
            odd.starts_with("AWSServiceRoleForAutoScaling_a-b-c:"),
            "{odd}"
        );
        let takes = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
        assert!(odd.chars().all(takes), "{odd}");
        assert_ne!(odd, word("autoscaling.amazonaws.com_a+b.c"));
        assert_ne!(odd, word("autoscaling.amazonaws.com_a-b-c"));
    }

    #[test]
    fn the_command_creates_the_named_role() {
        let command = |text: &str| ServiceLinkedRole::parse(text).unwrap().command();
        assert_eq!(
            command("autoscaling.amazonaws.com_my.batch"),
            "aws iam create-service-linked-role --aws-service-name autoscaling.amazonaws.com \
             --custom-suffix my.batch"
        );
        assert!(command("spot.amazonaws.com").ends_with("--aws-service-name spot.amazonaws.com"));
    }

    #[test]
    fn an_unknown_service_is_refused_with_the_accepted_form() {
        for (wrong, said) in [
            ("", "accepted are autoscaling.amazonaws.com"),
            ("autoscaling", "accepted are"),
            ("lambda.amazonaws.com", "accepted are"),
            ("autoscaling.amazonaws.com_", "has a suffix that is none"),
            ("autoscaling.amazonaws.com_a b", "has a suffix that is none"),
            ("autoscaling.amazonaws.com_/", "has a suffix that is none"),
            ("spot.amazonaws.com_x", "takes no custom suffix"),
        ] {
            let error = ServiceLinkedRole::parse(wrong).unwrap_err();
            assert!(error.contains(said), "{wrong}: {error}");
        }
        assert!(
            ServiceLinkedRole::parse(&format!("autoscaling.amazonaws.com_{}", "x".repeat(64)))
                .is_err()
        );
    }
}
