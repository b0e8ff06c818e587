//! A group's instance: launched by the service's role, and launched again whenever it is gone.

use std::time::Duration;

use super::{Ask, ROLE, SERVICE};
use crate::aws::{Aws, GroupKey, LiveActivity, caller};
use crate::ec2;
use crate::iam::Context;
use crate::identity::{self, Admitted, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::query::Query;

/// The time between two launches that are refused. AWS waits longer each time.
const AGAIN: Duration = Duration::from_mins(1);
/// The tag by which EC2 shows the group of an instance.
const GROUP_TAG: &str = "aws:autoscaling:groupName";

/// Launches what groups lack, and forgets deleted groups whose instance is gone.
pub(crate) fn keep(aws: &mut Aws) {
    let lacking = |aws: &Aws, key: &GroupKey| {
        let group = &aws.groups[key];
        let since = group.activities.first().map(|last| last.began);
        let waited = since.is_none_or(|since| aws.now >= since + aws.rules.scaled(AGAIN));
        let works = group.instance.as_ref().is_some_and(|id| aws.is_at_work(id));
        // An instance that was launched is replaced at once, a refused launch later.
        group.deleted.is_none() && !works && (group.instance.is_some() || waited)
    };
    let keys: Vec<GroupKey> = aws.groups.keys().cloned().collect();
    for key in keys {
        if lacking(aws, &key) {
            launch(aws, &key);
        }
    }
    let gone: Vec<GroupKey> = aws
        .groups
        .iter()
        .filter(|(_, group)| {
            let ended = |id: &String| {
                let live = aws.instances.get(id);
                live.is_none_or(|live| live.state(aws).1 == "terminated")
            };
            group.deleted.is_some() && group.instance.as_ref().is_none_or(ended)
        })
        .map(|(key, _)| key.clone())
        .collect();
    for key in gone {
        aws.groups.remove(&key);
    }
}

fn launch(aws: &mut Aws, key: &GroupKey) {
    let (account, region, name) = key;
    let role = aws.iam_arn(account, &format!("role/aws-service-role/{SERVICE}/{ROLE}"));
    let query = Query::from(aws.groups[key].launch.clone());
    let call = Admitted {
        caller: caller(aws, account, &role, "AutoScaling", None),
        region: region.clone(),
        temporary: true,
        access_key: String::new(),
        session_token: None,
        host: SERVICE.to_owned(),
        global: false,
    };
    let launched = ec2::launch(aws, &call, &query);
    if let Some(live) = launched
        .as_ref()
        .ok()
        .and_then(|id| aws.instances.get_mut(id))
    {
        live.tags.insert(GROUP_TAG.to_owned(), name.clone());
    }
    let activity = LiveActivity {
        id: crate::aws::uuid_of(&format!("activity {name} {:?}", aws.now)),
        began: aws.now,
        launched: launched.map_err(|no| no.message),
    };
    if let Some(group) = aws.groups.get_mut(key) {
        group.instance = activity.launched.as_ref().ok().cloned();
        group.activities.insert(0, activity);
    }
}

/// Makes the service's role, if it is missing and the caller may make it.
pub(super) fn link_role(aws: &mut Aws, ask: Ask<'_>) -> Result<(), Refused> {
    let account = ask.call.caller.account();
    if aws.role_named(account, ROLE).is_some() {
        return Ok(());
    }
    let arn = aws.iam_arn(account, &format!("role/aws-service-role/{SERVICE}/{ROLE}"));
    let action = "iam:CreateServiceLinkedRole";
    let service = vec![SERVICE.to_owned()];
    let context = Context::from([("iam:awsservicename".to_owned(), service)]);
    let verdict = identity::decide(aws, &ask.call.caller, action, &arn, &context);
    if verdict != Verdict::Allowed {
        let (who, reason) = (&ask.call.caller.principal.arn, verdict.reason(action));
        return Err(refusals::GROUP_ACCESS_DENIED.with(&[who, action, &arn, &reason]));
    }
    aws.link_role(account, SERVICE, ROLE, None);
    Ok(())
}
