//! IAM, the service: roles and their inline policies, CreateServiceLinkedRole and
//! SimulatePrincipalPolicy.
//!
//! `iam` evaluates policies; this module answers questions about principals. Source: model; Service
//! Authorization Reference, AWS IAM. IAM has one endpoint for each partition, and no Regions.

mod inline;
mod input;
mod lifecycle;
mod linked;
mod simulate;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::aws::{Aws, is_service_linked, uuid_of};
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
        "CreateRole" => lifecycle::create(aws, ask),
        "DeleteRole" => lifecycle::delete(aws, ask),
        "ListRoles" => lifecycle::list(aws, ask),
        "PutRolePolicy" => inline::put(aws, ask),
        "DeleteRolePolicy" => inline::delete(aws, ask),
        "CreateServiceLinkedRole" => linked::create(aws, ask),
        "SimulatePrincipalPolicy" => simulate::perform(aws, ask),
        _ => Err(refusals::NOT_IMPLEMENTED.with(&[&format!("operation {operation} of IAM")])),
    }
}

fn get(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &["RoleName"])?;
    Ok(written(aws, &named(aws, ask)?))
}

/// Returns the ARN of the role that the call names, if it exists and the caller may act on it.
fn named(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let name = input::required(ask, "RoleName", 64, input::is_name)?;
    let found = aws.role_named(ask.call.caller.account(), name);
    let unknown = || aws.iam_arn(ask.call.caller.account(), &format!("role/{name}"));
    let arn = found.map_or_else(unknown, str::to_owned);
    ask.permit(aws, &arn, &[])?;
    found.ok_or_else(|| refusals::IAM_NO_SUCH_ROLE.with(&[name]))?;
    Ok(arn)
}

/// Returns the ARN of the role that the call names and changes. AWS alone changes service-linked
/// roles.
fn changeable(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    let arn = named(aws, ask)?;
    if is_service_linked(&arn) {
        let name = arn.rsplit('/').next().unwrap_or_default();
        return Err(refusals::IAM_PROTECTED_ROLE.with(&[name]));
    }
    Ok(arn)
}

/// Returns `<Role>` as every operation on one role answers with it.
fn written(aws: &Aws, arn: &str) -> String {
    let mut xml = Xml::new();
    xml.element("Role", |xml| write(xml, aws, arn));
    xml.finish()
}

/// Writes the members of a role; the policy is encoded (model, GetRole).
fn write(xml: &mut Xml, aws: &Aws, arn: &str) {
    let path = arn.split_once(":role/").map_or("", |(_, path)| path);
    let (path, name) = path.rsplit_once('/').unwrap_or(("", path));
    let slash = if path.is_empty() { "" } else { "/" };
    let id = uuid_of(arn).replace('-', "").to_ascii_uppercase();
    xml.text("Path", format!("/{path}{slash}"))
        .text("RoleName", name)
        .text("RoleId", format!("AROA{}", &id[..17]))
        .text("Arn", arn);
    let Some(role) = aws.principals.get(arn) else {
        return;
    };
    let trust = utf8_percent_encode(&role.trust_text, NON_ALPHANUMERIC).to_string();
    xml.text("CreateDate", time::iso_seconds(role.created))
        .text("AssumeRolePolicyDocument", trust)
        .maybe("Description", role.description.as_deref())
        .number("MaxSessionDuration", role.max_session_seconds);
    if !role.tags.is_empty() {
        xml.element("Tags", |xml| {
            for (key, value) in &role.tags {
                xml.element("member", |xml| {
                    xml.text("Key", key).text("Value", value);
                });
            }
        });
    }
}

impl Ask<'_> {
    /// Refuses the call unless the caller's policies allow it on the resource.
    fn permit(self, aws: &Aws, resource: &str, keys: &[(&str, &str)]) -> Result<(), Refused> {
        self.permit_action(aws, self.operation, resource, keys)
    }

    /// Refuses the call unless the caller's policies allow this action. A key that is given twice
    /// has both values.
    fn permit_action(
        self,
        aws: &Aws,
        operation: &str,
        resource: &str,
        keys: &[(&str, &str)],
    ) -> Result<(), Refused> {
        let caller = &self.call.caller;
        let action = format!("iam:{operation}");
        let region = ("aws:requestedregion", self.call.region.as_str());
        let mut context = Context::new();
        for (key, value) in keys.iter().chain([&region]) {
            let values = context.entry((*key).to_owned()).or_default();
            values.push((*value).to_owned());
        }
        let role = aws.principals.get(resource);
        for (tag, value) in role.iter().flat_map(|role| &role.tags) {
            for prefix in ["aws:resourcetag", "iam:resourcetag"] {
                let key = format!("{prefix}/{}", tag.to_lowercase());
                context.insert(key, vec![value.clone()]);
            }
        }
        let verdict = identity::decide(aws, caller, &action, resource, &context);
        if verdict == Verdict::Allowed {
            return Ok(());
        }
        let (arn, reason) = (&caller.principal.arn, verdict.reason(&action));
        Err(refusals::IAM_ACCESS_DENIED.with(&[arn, &action, resource, &reason]))
    }
}
