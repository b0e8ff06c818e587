//! Reads from AWS's message which policy denied a call (IAM user guide, troubleshooting access
//! denied error messages).

/// A kind of policy by which a call can be denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// A service control policy of AWS Organizations.
    ServiceControl,
    /// A resource control policy of AWS Organizations.
    ResourceControl,
    /// The permissions boundary of the role.
    PermissionsBoundary,
    /// The session policy.
    Session,
    /// A policy of the role.
    Identity,
    /// The policy of the resource.
    Resource,
    /// The policy of a VPC endpoint.
    Endpoint,
}

impl Policy {
    const ALL: [(&'static str, Self); 8] = [
        ("service control policy", Self::ServiceControl),
        ("resource control policy", Self::ResourceControl),
        ("permissions boundary", Self::PermissionsBoundary),
        ("session policy", Self::Session),
        ("identity-based policy", Self::Identity),
        ("resource-based policy", Self::Resource),
        ("vpc endpoint policy", Self::Endpoint),
        ("endpoint policy", Self::Endpoint),
    ];
}

/// A denial that names its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// The policy that denied the call.
    pub by: Policy,
    /// Whether the policy has a statement that denies, rather than none that allows.
    pub explicit: bool,
}

impl Denial {
    /// Reads the end of AWS's message: `with an explicit deny in a … policy`, or
    /// `because no … policy allows …`.
    pub fn read(said: &str) -> Option<Self> {
        const EXPLICIT: &str = "explicit deny in ";
        const IMPLICIT: &str = "because no ";
        let said = said.to_lowercase();
        let (at, explicit) = match (said.rfind(EXPLICIT), said.rfind(IMPLICIT)) {
            (Some(at), _) => (at + EXPLICIT.len(), true),
            (None, Some(at)) => (at + IMPLICIT.len(), false),
            (None, None) => return None,
        };
        let named = said[at..]
            .trim_start_matches("a ")
            .trim_start_matches("an ");
        let found = Policy::ALL.iter().find(|(name, _)| named.starts_with(name));
        found.map(|(_, by)| Self { by: *by, explicit })
    }

    /// Returns whether neither a grant nor time can change the denial: somebody has to edit a
    /// policy.
    pub fn is_final(self) -> bool {
        let above_grants = !matches!(self.by, Policy::Identity | Policy::Resource);
        self.explicit || above_grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_is_read_from_the_end_of_the_message() {
        let read = |end: &str| {
            Denial::read(&format!(
                "User: arn:aws:sts::222222222222:assumed-role/AmiCopyRole/x is not authorized to \
                 perform: kms:DescribeKey on resource: arn:aws:kms:us-west-2:111111111111:key/1 \
                 {end}"
            ))
        };
        let denial = |by, explicit| Some(Denial { by, explicit });
        for (end, expected) in [
            (
                "with an explicit deny in a service control policy",
                denial(Policy::ServiceControl, true),
            ),
            (
                "with an explicit deny in a service control policy: \
                 arn:aws:organizations::999999999999:policy/o-1/service_control_policy/p-1",
                denial(Policy::ServiceControl, true),
            ),
            (
                "with an explicit deny in a resource control policy",
                denial(Policy::ResourceControl, true),
            ),
            (
                "with an explicit deny in an identity-based policy",
                denial(Policy::Identity, true),
            ),
            (
                "with an explicit deny in a permissions boundary",
                denial(Policy::PermissionsBoundary, true),
            ),
            (
                "with an explicit deny in a VPC endpoint policy",
                denial(Policy::Endpoint, true),
            ),
            (
                "because no service control policy allows the kms:DescribeKey action",
                denial(Policy::ServiceControl, false),
            ),
            (
                "because no permissions boundary allows the kms:DescribeKey action",
                denial(Policy::PermissionsBoundary, false),
            ),
            (
                "because no session policy allows the kms:DescribeKey action",
                denial(Policy::Session, false),
            ),
            (
                "because no resource-based policy allows the kms:DescribeKey action",
                denial(Policy::Resource, false),
            ),
            ("", None),
        ] {
            assert_eq!(read(end), expected, "{end}");
        }
    }

    #[test]
    fn a_denial_that_a_grant_may_change_is_not_final() {
        let is_final = |by, explicit| Denial { by, explicit }.is_final();
        assert!(!is_final(Policy::Resource, false));
        assert!(!is_final(Policy::Identity, false));
        assert!(is_final(Policy::Resource, true));
        assert!(is_final(Policy::ServiceControl, false));
        assert!(is_final(Policy::Session, false));
    }
}
