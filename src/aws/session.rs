//! Sessions of the copy role in the target accounts: assumed once for each account, narrowed to the
//! run, renewed before they end. Role chaining limits them to one hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use tokio::sync::OnceCell;
use tracing::warn;

use super::{Actor, Aws, Place, refusal};
use crate::error::{Error, Refusal, RefusalKind};
use crate::ids::{AccountId, ExternalId};
use crate::policy::session_policies;
use crate::state::{RunRef, State, TargetState};

const LIFETIME: i32 = 3600;
/// The policy of a session that only proves that the role can be assumed.
const NOTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}"#;
/// A session this close to its end serves no other command.
const RESERVE: Duration = Duration::from_mins(5);

/// A cell for each role: commands that come while it is being assumed wait for that one call.
type Cell = Arc<OnceCell<(Credentials, SystemTime)>>;

#[derive(Debug, Default)]
pub struct Sessions {
    by_role: Mutex<HashMap<(String, Option<String>), Cell>>,
}

impl Sessions {
    fn cell(&self, role: &str, external_id: Option<&str>, now: SystemTime) -> Cell {
        let mut cells = self.by_role.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = cells
            .entry((role.to_owned(), external_id.map(str::to_owned)))
            .or_default();
        if cell.get().is_some_and(|(_, end)| *end < now + RESERVE) {
            *cell = Cell::default();
        }
        cell.clone()
    }

    fn forget(&self, role: &str, external_id: Option<&str>) {
        let mut cells = self.by_role.lock().unwrap_or_else(PoisonError::into_inner);
        cells.remove(&(role.to_owned(), external_id.map(str::to_owned)));
    }
}

impl Aws {
    /// Returns a session of the copy role in this target. Takes the whole state: the session policy
    /// names the keys and Regions of all targets in the account, and is made only when it is
    /// needed.
    pub(super) async fn session(
        &self,
        state: &State,
        target: &TargetState,
    ) -> Result<Actor, Refusal> {
        let role = target
            .role_name
            .arn(target.region.partition(), &target.account_id);
        let external_id = target.external_id.as_ref().map(ExternalId::as_str);
        let cell = self.sessions.cell(&role, external_id, self.time.now());
        let (credentials, _) = cell
            .get_or_try_init(|| {
                let policies = session_policies(state, &target.account_id);
                let name = format!("amiferry-{}", state.run);
                let home = self.at_home(&state.source.account_id);
                self.assume(home, name, &role, external_id, policies)
            })
            .await?;
        Ok(Actor {
            account: target.account_id.to_string(),
            credentials: Some(credentials.clone()),
        })
    }

    /// Returns a session of the same role with another session policy, for one use.
    pub(super) async fn session_with(
        &self,
        run: RunRef<'_>,
        target: &TargetState,
        policy: String,
    ) -> Result<Actor, Refusal> {
        let name = format!("amiferry-{}", run.id);
        let home = &run.source.account_id;
        self.session_for(&name, home, target, policy).await
    }

    /// Returns a session of a target's copy role with this name and policy, for one use. `home` is
    /// the function's account.
    pub(super) async fn session_for(
        &self,
        name: &str,
        home: &AccountId,
        target: &TargetState,
        policy: String,
    ) -> Result<Actor, Refusal> {
        let role = target
            .role_name
            .arn(target.region.partition(), &target.account_id);
        let external_id = target.external_id.as_ref().map(ExternalId::as_str);
        let (home, policies) = (self.at_home(home), vec![policy]);
        let assumed = self.assume(home, name.to_owned(), &role, external_id, policies);
        let (credentials, _) = assumed.await?;
        Ok(Actor {
            account: target.account_id.to_string(),
            credentials: Some(credentials),
        })
    }

    /// Whether the function may assume this role. The session that proves it may do nothing.
    pub(super) async fn may_assume(
        &self,
        role: &str,
        external_id: Option<&ExternalId>,
    ) -> Result<bool, Error> {
        let external_id = external_id.map(ExternalId::as_str);
        let name = "amiferry".to_owned();
        let assumed = self.assume(
            self.here(),
            name,
            role,
            external_id,
            vec![NOTHING.to_owned()],
        );
        match assumed.await {
            Ok(_) => Ok(true),
            Err(refusal) if refusal.kind() == RefusalKind::Denied => Ok(false),
            Err(refusal) => Err(Error::from_refusal(refusal)),
        }
    }

    /// Forgets a session whose credentials were refused, so that the next command gets new ones.
    pub(super) fn forget_session(&self, target: &TargetState) {
        let role = target
            .role_name
            .arn(target.region.partition(), &target.account_id);
        self.sessions
            .forget(&role, target.external_id.as_ref().map(ExternalId::as_str));
    }

    /// Assumes the role with the first of these policies that STS can pack.
    async fn assume(
        &self,
        at: Place,
        name: String,
        role: &str,
        external_id: Option<&str>,
        policies: Vec<String>,
    ) -> Result<(Credentials, SystemTime), Refusal> {
        let mut coarser = policies.into_iter().peekable();
        loop {
            let policy = coarser.next().unwrap_or_default();
            let characters = policy.len();
            let assuming = self.assume_with(&at, &name, role, external_id, policy);
            match assuming.await {
                Err(refusal) if does_not_fit(&refusal) && coarser.peek().is_some() => {
                    let said = refusal.message;
                    warn!(
                        session = name,
                        role, characters, said, "session policy too large: a coarser one follows"
                    );
                }
                assumed => return assumed,
            }
        }
    }

    async fn assume_with(
        &self,
        at: &Place,
        name: &str,
        role: &str,
        external_id: Option<&str>,
        policy: String,
    ) -> Result<(Credentials, SystemTime), Refusal> {
        let answer = self
            .sts()
            .assume_role()
            .role_arn(role)
            .role_session_name(name)
            .duration_seconds(LIFETIME)
            .policy(policy)
            .set_external_id(external_id.map(str::to_owned))
            .send()
            .await
            .map_err(|e| refusal("AssumeRole", at, role, &e))?;
        let said = "the answer carries no credentials";
        let unreadable = || Refusal::ours("AssumeRole", at, role, "UnreadableAnswer", said);
        let given = answer.credentials().ok_or_else(unreadable)?;
        let end = SystemTime::try_from(*given.expiration()).map_err(|_| unreadable())?;
        let token = Some(given.session_token().to_owned());
        let credentials = Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            token,
            Some(end),
            "AssumeRole",
        );
        Ok((credentials, end))
    }
}

/// Whether STS cannot pack the policy. Only STS knows the packed size.
fn does_not_fit(refusal: &Refusal) -> bool {
    let too_long = refusal.code == "ValidationError" && refusal.message.contains("policy");
    too_long || refusal.code.starts_with("PackedPolicyTooLarge")
}
