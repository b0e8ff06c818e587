//! Temporary credentials of assumed roles, and of the roles that AWS's own services act as.

use std::time::{Duration, SystemTime};

use super::{Aws, Caller, Credential, account_of, caller};

/// The credentials that sign the requests of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionCredentials {
    /// The access key ID.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_access_key: String,
    /// The session token.
    pub session_token: String,
}

/// Returns the service of a service-linked role, from the role's name with its path (IAM guide,
/// service-linked roles):
/// `aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling`.
pub(crate) fn service_of(role: &str) -> Option<&str> {
    let (service, name) = role.strip_prefix("aws-service-role/")?.split_once('/')?;
    (service.ends_with(".amazonaws.com") && !name.is_empty()).then_some(service)
}

/// Returns whether an identity is a service-linked role, by its ARN.
pub(crate) fn is_service_linked(identity: &str) -> bool {
    let role = identity.split_once(":role/");
    role.is_some_and(|(_, name)| service_of(name).is_some())
}

impl Aws {
    pub(crate) fn issue(
        &mut self,
        caller: Caller,
        expires: SystemTime,
        global: bool,
    ) -> SessionCredentials {
        let issued = SessionCredentials {
            access_key_id: self.new_access_key_id(),
            secret_access_key: self.new_token("secret")[..40].to_owned(),
            session_token: self.new_token("session token"),
        };
        let credential = Credential {
            secret: issued.secret_access_key.clone(),
            session_token: Some(issued.session_token.clone()),
            expires: Some(expires),
            global,
            caller,
        };
        self.credentials
            .insert(issued.access_key_id.clone(), credential);
        issued
    }

    /// Returns credentials to act as a service-linked role for an hour. Only the role's service can
    /// have them, so there are none for any other role.
    pub fn act_as_service(&mut self, role_arn: &str) -> Option<SessionCredentials> {
        let (_, role) = role_arn.split_once(":role/")?;
        let account = account_of(role_arn)?;
        let service = service_of(role)?;
        self.principals.get(role_arn)?;
        let session = service.split('.').next()?;
        let caller = caller(self, account, role_arn, session, None);
        let expires = self.now + Duration::from_hours(1);
        Some(self.issue(caller, expires, false))
    }
}
