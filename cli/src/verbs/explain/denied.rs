//! A denial of AWS, taken apart: who may not do what with what, by which policy.

use amiferry::denial::{Denial, Policy};
use amiferry::kms::Arn;
use serde_json::{Value, json};

/// Returns the explanation of a text that contains AWS's words of a denial.
pub fn explained(said: &str) -> Option<Value> {
    let after = |mark: &str| {
        let rest = said.split_once(mark)?.1;
        let word = rest.split_whitespace().next()?;
        let ends = |c: char| matches!(c, ',' | '.' | ';' | ')' | '"' | '\'');
        Some(word.trim_matches(ends))
    };
    let action = after("not authorized to perform: ")?;
    let who = after("User: ").unwrap_or("the caller");
    let resource = after("on resource: ");
    let role = role_of(who);
    let denial = Denial::read(said);
    let what = resource.map_or_else(String::new, |resource| format!(" on {resource}"));
    let why = why(denial, &role, resource);
    let about = format!("{role} may not {action}{what}");
    let mut told = json!({"About": about, "Says": why});
    if role.starts_with("arn:") {
        let on = resource.filter(|resource| resource.starts_with("arn:"));
        let on = on.map_or_else(String::new, |arn| format!(" --resource-arns {arn}"));
        told["Commands"] = json!([format!(
            "aws iam simulate-principal-policy --policy-source-arn {role} \
             --action-names {action}{on}"
        )]);
    }
    Some(told)
}

/// Returns the role behind a session: a person edits the role's policies, not the session's.
fn role_of(who: &str) -> String {
    let role = Arn::parse(who).and_then(|arn| {
        let (role, _) = arn
            .resource
            .strip_prefix("assumed-role/")?
            .split_once('/')?;
        let (partition, account) = (arn.partition, arn.account);
        Some(format!("arn:{partition}:iam::{account}:role/{role}"))
    });
    role.unwrap_or_else(|| who.to_owned())
}

fn why(denial: Option<Denial>, role: &str, resource: Option<&str>) -> String {
    let account = |arn: &str| Arn::parse(arn).map(|arn| arn.account.to_owned());
    let of = |arn: Option<&str>| match arn.and_then(account) {
        Some(account) if !account.is_empty() => format!("account {account}"),
        _ => "its account".to_owned(),
    };
    let (here, there) = (of(Some(role)), of(resource));
    let Some(Denial { by, explicit }) = denial else {
        return format!(
            "AWS does not say which policy. In {here}: see whether a policy of the role allows the \
             action on the resource. In {there}: see whether the resource's own policy, or a grant \
             on a key, allows the role."
        );
    };
    let (policy, place) = match by {
        Policy::ServiceControl => (
            "service control policy",
            format!("the management account of the organization of {here}"),
        ),
        Policy::ResourceControl => (
            "resource control policy",
            format!("the management account of the organization of {there}"),
        ),
        Policy::PermissionsBoundary => ("permissions boundary of the role", here),
        Policy::Session => (
            "session policy",
            "the program that assumed the role".to_owned(),
        ),
        Policy::Identity => ("policy of the role", here),
        Policy::Resource => ("policy of the resource", there),
        Policy::Endpoint => ("policy of the VPC endpoint", here),
    };
    if explicit {
        format!(
            "A statement denies the action: in {place}, take the Deny out of the {policy}, or let \
             it spare this role and resource."
        )
    } else {
        format!("No statement allows the action: in {place}, allow it in the {policy}.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "CopySnapshot of snap-1 in 222222222222 us-west-2: AccessDenied: User: \
        arn:aws:sts::222222222222:assumed-role/AmiCopyRole/amiferry-1 is not authorized to \
        perform: kms:CreateGrant on resource: arn:aws:kms:us-west-2:111111111111:key/1";

    #[test]
    fn a_denial_names_the_role_the_policy_and_the_account_to_change_it_in() {
        let said = format!("{SAID} because no resource-based policy allows the action");
        let told = explained(&said).expect("an explanation");
        let role = "arn:aws:iam::222222222222:role/AmiCopyRole";
        let key = "arn:aws:kms:us-west-2:111111111111:key/1";
        assert_eq!(
            told["About"],
            format!("{role} may not kms:CreateGrant on {key}")
        );
        let says = "No statement allows the action: in account 111111111111, allow it in the \
                    policy of the resource.";
        assert_eq!(told["Says"], says);
        let command = told["Commands"][0].as_str().expect("a command");
        assert!(
            command.contains(&format!("--policy-source-arn {role}")),
            "{command}"
        );
        assert!(
            command.ends_with(&format!("--resource-arns {key}")),
            "{command}"
        );
    }

    #[test]
    fn an_explicit_denial_and_a_silent_one_are_told_apart() {
        let said = format!("{SAID} with an explicit deny in a service control policy");
        let told = explained(&said).expect("an explanation");
        let says = told["Says"].as_str().expect("words");
        assert!(
            says.contains("take the Deny out of the service control policy"),
            "{says}"
        );
        let silent = explained(SAID).expect("an explanation");
        let says = silent["Says"].as_str().expect("words");
        assert!(says.starts_with("AWS does not say which policy."), "{says}");
        assert_eq!(explained("Given key ID is not accessible"), None);
    }
}
