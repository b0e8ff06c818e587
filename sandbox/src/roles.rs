//! IAM, the service: GetRole, CreateServiceLinkedRole and SimulatePrincipalPolicy.
//!
//! `iam` evaluates policies; this module answers questions about principals. Source: model; Service
//! Authorization Reference, AWS IAM. IAM has one endpoint for each partition, and no Regions.

mod input;
mod linked;
mod simulate;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::aws::{Aws, uuid_of};
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::time;
use crate::wire::xml::Xml;

/// A call, as the operations read it.
#[derive(Clone, Copy)]
struct Ask<'a> {
    call: &'a Admitted,
    operation: &'a str,
    query: &'a Query,
}

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    query: &Query,
) -> Result<String, Refused> {
    let ask = Ask {
        call,
        operation,
        query,
    };
    match operation {
        "GetRole" => get(aws, ask),
        "CreateServiceLinkedRole" => linked::create(aws, ask),
        "SimulatePrincipalPolicy" => simulate::perform(aws, ask),
        _ => Err(refusals::NOT_IMPLEMENTED.with(&[&format!("operation {operation} of IAM")])),
    }
}

fn get(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["RoleName"])?;
    let name = input::required(ask, "RoleName", 64, input::is_name)?;
    let found = aws.role_named(ask.call.caller.account(), name);
    let unknown = || aws.iam_arn(ask.call.caller.account(), &format!("role/{name}"));
    let arn = found.map_or_else(unknown, str::to_owned);
    ask.permit(aws, &arn, &[])?;
    let arn = found.ok_or_else(|| refusals::IAM_NO_SUCH_ROLE.with(&[name]))?;
    Ok(written(aws, arn))
}

/// Returns `<Role>` as every operation answers with it; the policy is encoded (model, GetRole).
fn written(aws: &Aws, arn: &str) -> String {
    let mut xml = Xml::new();
    let path = arn.split_once(":role/").map_or("", |(_, path)| path);
    let (path, name) = path.rsplit_once('/').unwrap_or(("", path));
    let slash = if path.is_empty() { "" } else { "/" };
    let id = uuid_of(arn).replace('-', "").to_ascii_uppercase();
    xml.element("Role", |xml| {
        xml.text("Path", format!("/{path}{slash}"))
            .text("RoleName", name)
            .text("RoleId", format!("AROA{}", &id[..17]))
            .text("Arn", arn);
        if let Some(role) = aws.principals.get(arn) {
            let trust = utf8_percent_encode(&role.trust_text, NON_ALPHANUMERIC).to_string();
            xml.text("CreateDate", time::iso_seconds(role.created))
                .text("AssumeRolePolicyDocument", trust)
                .maybe("Description", role.description.as_deref())
                .number("MaxSessionDuration", role.max_session_seconds);
        }
    });
    xml.finish()
}

impl Ask<'_> {
    /// Refuses the call unless the caller's policies allow it on the resource.
    fn permit(
        self,
        aws: &Aws,
        resource: &str,
        keys: &[(&'static str, &str)],
    ) -> Result<(), Refused> {
        let caller = &self.call.caller;
        let action = format!("iam:{}", self.operation);
        let region = ("aws:requestedregion", self.call.region.as_str());
        let keys = keys.iter().chain([&region]);
        let context: Context = keys
            .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]))
            .collect();
        let verdict = identity::decide(aws, caller, &action, resource, &context);
        if verdict == Verdict::Allowed {
            return Ok(());
        }
        let (arn, reason) = (&caller.principal.arn, verdict.reason(&action));
        Err(refusals::IAM_ACCESS_DENIED.with(&[arn, &action, resource, &reason]))
    }
}
