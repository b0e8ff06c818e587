//! STS: AssumeRole and GetCallerIdentity.
//!
//! Source: model; aws-facts, STS. The trust policy of a role must name the caller. The caller's own
//! policies must allow the call too if the role is in another account or the trust names only the
//! account.

use std::sync::Arc;
use std::time::Duration;

use crate::aws::{self, Aws, LivePrincipal};
use crate::iam::{self, Context, Kind, Policy, Reach, Request};
use crate::identity::Admitted;
use crate::identity::{self, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::time;
use crate::wire::xml::Xml;

/// The longest session policy, in characters.
const LONGEST_POLICY: usize = 2048;
/// The number of characters that fill the packed size, of which AWS shows percents only. Policies
/// of this length were seen to fit; a policy of 1,690 characters took 157 % (aws-facts: STS).
const PACKED: usize = 1100;
const HOUR: u32 = 3600;

pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    query: &Query,
) -> Result<String, Refused> {
    match operation {
        "AssumeRole" => assume_role(aws, call, query),
        // GetCallerIdentity needs no permission (model).
        "GetCallerIdentity" => Ok(caller_identity(call)),
        _ => Err(refusals::NOT_IMPLEMENTED.with(&[&format!("operation {operation} of STS")])),
    }
}

fn caller_identity(call: &Admitted) -> String {
    let principal = &call.caller.principal;
    let mut xml = Xml::new();
    xml.text("Arn", &principal.arn)
        .text("UserId", user_id(&call.caller.identity, &principal.arn))
        .text("Account", &principal.account);
    xml.finish()
}

/// Returns the unique ID: `AROA…:session` for a role, `AIDA…` for a user.
fn user_id(identity: &str, arn: &str) -> String {
    let digits = aws::uuid_of(identity).replace('-', "").to_ascii_uppercase();
    match arn.split_once(":assumed-role/") {
        Some((_, path)) => {
            let session = path.rsplit('/').next().unwrap_or_default();
            format!("AROA{}:{session}", &digits[..17])
        }
        None => format!("AIDA{}", &digits[..17]),
    }
}

/// The request, once every member has passed the model's constraints.
struct Wish<'a> {
    role_arn: &'a str,
    session: &'a str,
    external_id: Option<&'a str>,
    policy: Option<Arc<Policy>>,
    seconds: Option<u32>,
}

fn read<'a>(aws: &Aws, query: &'a Query) -> Result<Wish<'a>, Refused> {
    const MODELLED: [&str; 5] = [
        "RoleArn",
        "RoleSessionName",
        "ExternalId",
        "Policy",
        "DurationSeconds",
    ];
    if let Some(other) = query
        .params()
        .keys()
        .find(|name| !MODELLED.contains(&name.as_str()))
    {
        let what = format!("parameter {other} of AssumeRole");
        return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
    }
    let role_arn = member(query, "RoleArn", 20, 2048, |_| true)?;
    let name_char = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    let id_char = |c: char| name_char(c) || ":/".contains(c);
    let required = |name| move || invalid(name, "null", "Member must not be null");
    let policy = query.get("Policy");
    let policy = policy.map(|text| session_policy(aws, text));
    Ok(Wish {
        role_arn: role_arn.ok_or_else(required("roleArn"))?,
        session: member(query, "RoleSessionName", 2, 64, name_char)?
            .ok_or_else(required("roleSessionName"))?,
        external_id: member(query, "ExternalId", 2, 1224, id_char)?,
        policy: policy.transpose()?,
        seconds: query.get("DurationSeconds").map(seconds).transpose()?,
    })
}

fn member<'a>(
    query: &'a Query,
    name: &str,
    least: usize,
    most: usize,
    allowed: impl Fn(char) -> bool,
) -> Result<Option<&'a str>, Refused> {
    let Some(text) = query.get(name) else {
        return Ok(None);
    };
    let shown: String = text.chars().take(200).collect();
    if !(least..=most).contains(&text.chars().count()) {
        let constraint = format!("Member must have length between {least} and {most}");
        return Err(invalid(name, &shown, &constraint));
    }
    if !text.chars().all(allowed) {
        return Err(invalid(
            name,
            &shown,
            "Member must satisfy regular expression pattern",
        ));
    }
    Ok(Some(text))
}

fn invalid(name: &str, value: &str, constraint: &str) -> Refused {
    refusals::STS_VALIDATION.with(&[value, name, constraint])
}

fn seconds(text: &str) -> Result<u32, Refused> {
    let number = text
        .parse::<u32>()
        .ok()
        .filter(|n| (900..=43_200).contains(n));
    let constraint = "Member must have value between 900 and 43200";
    number.ok_or_else(|| invalid("durationSeconds", text, constraint))
}

/// Returns the percentage of the packed size that a policy takes.
fn packed(aws: &Aws, text: &str) -> usize {
    filled(aws, text) / PACKED
}

/// Returns a hundred times the number of characters that a policy fills of the packed size.
fn filled(aws: &Aws, text: &str) -> usize {
    text.chars().count() * usize::from(aws.rules.facts.session_token_percent)
}

fn session_policy(aws: &Aws, text: &str) -> Result<Arc<Policy>, Refused> {
    let length = text.chars().count();
    if length > LONGEST_POLICY {
        return Err(refusals::STS_POLICY_TOO_LONG.with(&[&length.to_string()]));
    }
    if filled(aws, text) > PACKED * 100 {
        return Err(refusals::STS_POLICY_TOO_LARGE.with(&[&packed(aws, text).to_string()]));
    }
    let malformed =
        |error: iam::PolicyError| refusals::STS_POLICY_MALFORMED.with(&[&error.to_string()]);
    let policy = Policy::parse(text).map_err(malformed)?;
    policy.check(Kind::Identity).map_err(malformed)?;
    Ok(Arc::new(policy))
}

fn assume_role(aws: &mut Aws, call: &Admitted, query: &Query) -> Result<String, Refused> {
    let wish = read(aws, query)?;
    let role = permitted(aws, call, &wish)?;
    let seconds = wish.seconds.unwrap_or(HOUR);
    if call.temporary && seconds > HOUR {
        return Err(refusals::STS_CHAINING.with(&[]));
    }
    if seconds > role.max_session_seconds {
        return Err(refusals::STS_MAX_SESSION.with(&[]));
    }
    let account = aws::account_of(wish.role_arn)
        .unwrap_or_default()
        .to_owned();
    let caller = aws::caller(
        aws,
        &account,
        wish.role_arn,
        wish.session,
        wish.policy.clone(),
    );
    let expires = aws.now + Duration::from_secs(seconds.into());
    let arn = caller.principal.arn.clone();
    let issued = aws.issue(caller, expires, call.global);
    let mut xml = Xml::new();
    xml.element("AssumedRoleUser", |xml| {
        xml.text("AssumedRoleId", user_id(wish.role_arn, &arn))
            .text("Arn", &arn);
    });
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", &issued.access_key_id)
            .text("SecretAccessKey", &issued.secret_access_key)
            .text("SessionToken", &issued.session_token)
            .text("Expiration", time::iso_seconds(expires));
    });
    if let Some(text) = query.get("Policy") {
        xml.text("PackedPolicySize", packed(aws, text).to_string());
    }
    Ok(xml.finish())
}

/// Returns the role, if trust policy and identity policies allow the call. A role that does not
/// exist is denied like a role that does not trust the caller.
fn permitted(aws: &Aws, call: &Admitted, wish: &Wish<'_>) -> Result<LivePrincipal, Refused> {
    let caller = &call.caller;
    let refused =
        |why: &str| refusals::STS_ACCESS_DENIED.with(&[&caller.principal.arn, wish.role_arn, why]);
    // AWS does not show which permission is missing.
    let denied = || refused("");
    let mut context = Context::new();
    if let Some(id) = wish.external_id {
        context.insert("sts:externalid".to_owned(), vec![id.to_owned()]);
    }
    context.insert("aws:requestedregion".to_owned(), vec![call.region.clone()]);
    if let Some(account) = aws::account_of(wish.role_arn) {
        context.insert("aws:resourceaccount".to_owned(), vec![account.to_owned()]);
        if let Some(organization) = aws.organization_of(account) {
            context.insert(
                "aws:resourceorgid".to_owned(),
                vec![organization.to_owned()],
            );
        }
    }
    context.insert(
        "sts:rolesessionname".to_owned(),
        vec![wish.session.to_owned()],
    );
    let own = identity::decide(aws, caller, "sts:AssumeRole", wish.role_arn, &context);
    if own.is_final() && own != Verdict::Denied {
        return Err(refused(&format!(" {}", own.reason("sts:AssumeRole"))));
    }
    // A role of a suspended account is denied like any other (live answer,
    // CrowdStrike/cloud-resource-estimator#25). A role of another partition does not exist.
    let here = aws.partition_of(caller.account());
    let closed = aws::account_of(wish.role_arn).is_none_or(|account| aws.is_closed(account));
    if closed || !here.has(wish.role_arn) {
        return Err(denied());
    }
    let role = aws.principals.get(wish.role_arn).ok_or_else(denied)?;
    let trust = role.trust.as_ref().ok_or_else(denied)?;
    let request = Request {
        principal: &caller.principal,
        action: "sts:AssumeRole",
        resource: wish.role_arn,
        context: &context,
    };
    let reach = iam::resource_reach(trust, &request).ok_or_else(denied)?;
    let same_account = crate::aws::account_of(wish.role_arn) == Some(caller.account());
    let named = same_account && reach != Reach::Account && own == Verdict::NoIdentityPolicy;
    if own == Verdict::Allowed || named {
        return Ok(role.clone());
    }
    Err(denied())
}
