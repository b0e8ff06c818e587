//! SimulatePrincipalPolicy: evaluates the policies of a user or role for actions on resources that
//! need not exist.
//!
//! Identity policies and service control policies are evaluated, only with the context that the
//! request gives. A resource policy applies to every resource. Matched statements, and the
//! decisions of each kind of policy, are not modelled and absent from the answer.
//!
//! Source: model. The model says both that CallerArn may be a role and that resource policies are
//! not simulated for roles; the sandbox simulates them (unproved). The form of a denial by a
//! service control policy in `EvalDecision` is not documented.

use std::sync::Arc;

use super::{Ask, input};
use crate::aws::{self, Aws, Caller};
use crate::iam::{self, Context, Decision, Kind, Policy, Reach, Request};
use crate::identity;
use crate::refusals::{self, Refused};
use crate::wire::query::Query;
use crate::wire::xml::Xml;

const MODELLED: [&str; 6] = [
    "PolicySourceArn",
    "ActionNames",
    "ResourceArns",
    "ContextEntries",
    "ResourcePolicy",
    "CallerArn",
];

struct Simulation {
    /// The principal whose policies apply.
    source: Caller,
    /// The principal that acts.
    caller: Caller,
    resource_policy: Option<Arc<Policy>>,
    context: Context,
    /// The condition keys of the policies that the request lacks.
    missing: Vec<String>,
    /// Whether the account is in an organization.
    member: bool,
}

/// The outcome of one action on one resource.
struct Outcome {
    decision: Decision,
    by_organization: bool,
}

pub(super) fn perform(aws: &Aws, ask: Ask<'_>) -> Result<String, Refused> {
    input::only(ask, &MODELLED)?;
    let source = input::required(ask, "PolicySourceArn", 2048, input::anything)?;
    let actions = ask.query.list("ActionNames.member");
    if actions.is_empty() {
        let constraint = "Member must not be null";
        return Err(input::invalid("ActionNames", "null", constraint));
    }
    if let Some(bad) = actions.iter().find(|name| !is_action(name)) {
        let constraint = "Member must be the name of an operation, with its service";
        return Err(input::invalid("ActionNames", bad, constraint));
    }
    let mut resources = ask.query.list("ResourceArns.member");
    if resources.is_empty() {
        resources.push("*".to_owned());
    }
    ask.permit(aws, source, &[])?;
    let simulation = Simulation::read(aws, ask, source)?;
    let mut xml = Xml::new();
    xml.element("EvaluationResults", |xml| {
        for action in &actions {
            xml.element("member", |xml| {
                simulation.write(xml, aws, action, &resources);
            });
        }
    });
    xml.flag("IsTruncated", false);
    Ok(xml.finish())
}

fn is_action(name: &str) -> bool {
    let parts = name.split_once(':');
    parts.is_some_and(|(service, operation)| {
        !service.is_empty()
            && !operation.is_empty()
            && operation.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

impl Simulation {
    fn read(aws: &Aws, ask: Ask<'_>, source_arn: &str) -> Result<Self, Refused> {
        let account = ask.call.caller.account();
        let is_entity = |arn: &str| arn.contains(":role/") || arn.contains(":user/");
        if !source_arn.starts_with("arn:") || !is_entity(source_arn) {
            return Err(refusals::IAM_POLICY_SOURCE.with(&[source_arn]));
        }
        let own = source_arn.starts_with(&aws.iam_arn(account, ""));
        let policies = aws.principals.get(source_arn).filter(|_| own);
        let policies = policies.ok_or_else(|| refusals::IAM_NO_SUCH_SOURCE.with(&[source_arn]))?;
        let source = aws::caller(aws, account, source_arn, "simulated", None);
        let caller = match input::optional(ask, "CallerArn", 2048, input::anything)? {
            None => source.clone(),
            Some(arn) => {
                let wrong = || refusals::IAM_CALLER_ARN.with(&[arn]);
                let account = aws::account_of(arn).filter(|_| is_entity(arn));
                aws::caller(aws, account.ok_or_else(wrong)?, arn, "simulated", None)
            }
        };
        let context = context(ask.query);
        let given = |key: &str| context.contains_key(key) || key.starts_with("aws:principal");
        let statements = policies.policies.iter().flat_map(Policy::statements);
        let keys = statements.flat_map(|statement| &statement.conditions);
        let mut missing: Vec<String> = keys.map(|condition| condition.key.clone()).collect();
        missing.retain(|key| !given(key));
        missing.sort();
        missing.dedup();
        Ok(Self {
            member: aws.organization_of(account).is_some(),
            resource_policy: resource_policy(ask)?,
            source,
            caller,
            missing,
            context,
        })
    }

    fn judge(&self, aws: &Aws, action: &str, resource: &str) -> Outcome {
        let request = Request {
            principal: &self.caller.principal,
            action,
            resource,
            context: &self.context,
        };
        let organization = identity::organization(aws, &self.source, &request);
        let own = aws.policies_of(&self.source);
        let own = own.map_or(Decision::ImplicitDeny, |own| {
            iam::evaluate_identity(&own, &request)
        });
        let decision = match &organization {
            Decision::Allow => self.with_resource(own, &request),
            denied => denied.clone(),
        };
        Outcome {
            decision,
            by_organization: organization.is_allow(),
        }
    }

    /// Combines with the resource policy's decision: inside one account either suffices; a resource
    /// of another account needs both.
    fn with_resource(&self, own: Decision, request: &Request<'_>) -> Decision {
        let Some(policy) = &self.resource_policy else {
            return own;
        };
        let said = iam::evaluate_resource(policy, request);
        if let Decision::ExplicitDeny { .. } = &said {
            return said;
        }
        let reach = iam::resource_reach(policy, request);
        let owner = aws::account_of(request.resource).filter(|owner| !owner.is_empty());
        let foreign = owner.is_some_and(|owner| owner != self.caller.account());
        match own {
            Decision::ExplicitDeny { .. } => own,
            Decision::Allow if !foreign || reach.is_some() => own,
            Decision::ImplicitDeny if !foreign && reach > Some(Reach::Account) => Decision::Allow,
            Decision::Allow | Decision::ImplicitDeny => Decision::ImplicitDeny,
        }
    }

    /// Writes one action: the strictest of its decisions, and each of them.
    fn write(&self, xml: &mut Xml, aws: &Aws, action: &str, resources: &[String]) {
        let each = resources.iter().map(|name| self.judge(aws, action, name));
        let each: Vec<Outcome> = each.collect();
        let strictest = each.iter().map(|outcome| word(&outcome.decision)).max();
        xml.text("EvalActionName", action)
            .text("EvalDecision", strictest.map_or("", |(_, word)| word));
        if resources == ["*"] {
            xml.text("EvalResourceName", "*");
        }
        self.write_missing(xml);
        self.write_organizations(xml, each.iter().all(|outcome| outcome.by_organization));
        xml.element("ResourceSpecificResults", |xml| {
            for (name, outcome) in resources.iter().zip(&each) {
                xml.element("member", |xml| {
                    xml.text("EvalResourceName", name)
                        .text("EvalResourceDecision", word(&outcome.decision).1);
                    self.write_missing(xml);
                });
            }
        });
    }

    fn write_missing(&self, xml: &mut Xml) {
        xml.element("MissingContextValues", |xml| {
            for key in &self.missing {
                xml.text("member", key);
            }
        });
    }

    fn write_organizations(&self, xml: &mut Xml, allowed: bool) {
        if self.member {
            xml.element("OrganizationsDecisionDetail", |xml| {
                xml.flag("AllowedByOrganizations", allowed);
            });
        }
    }
}

/// Returns the rank of a decision in strictness, and its word.
fn word(decision: &Decision) -> (u8, &'static str) {
    match decision {
        Decision::Allow => (0, "allowed"),
        Decision::ImplicitDeny => (1, "implicitDeny"),
        Decision::ExplicitDeny { .. } => (2, "explicitDeny"),
    }
}

fn resource_policy(ask: Ask<'_>) -> Result<Option<Arc<Policy>>, Refused> {
    let Some(text) = ask.query.get("ResourcePolicy") else {
        return Ok(None);
    };
    let wrong = |error: iam::PolicyError| refusals::IAM_RESOURCE_POLICY.with(&[&error.to_string()]);
    let policy = Policy::parse(text).map_err(wrong)?;
    policy.check(Kind::Resource).map_err(wrong)?;
    Ok(Some(Arc::new(policy)))
}

fn context(query: &Query) -> Context {
    let entries = query.structures("ContextEntries.member");
    let entries = entries.iter().filter_map(|entry| {
        let key = entry.get("ContextKeyName")?.to_lowercase();
        Some((key, entry.list("ContextKeyValues.member")))
    });
    entries.collect()
}
