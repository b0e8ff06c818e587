//! CreateGrant: the key's owner grants to any principal, repeatably by `Name`.
//!
//! A caller that only a grant allows to create grants creates none that exceeds it: in operations
//! or in constraints.
//!
//! Source: aws-facts, KMS; model; KMS guide, granting CreateGrant permission.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::authorise::{self, Use};
use super::{Ask, input, keys, policy};
use crate::aws::{Aws, LiveGrant, LiveKey};
use crate::model::Grant;
use crate::refusals::{self, Refused};

/// The grant operations of symmetric keys; `ReEncrypt*` is not a grant operation.
const OPERATIONS: &[&str] = &[
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyPair",
    "GenerateDataKeyPairWithoutPlaintext",
    "GenerateDataKeyWithoutPlaintext",
    "ReEncryptFrom",
    "ReEncryptTo",
    "RetireGrant",
];

#[derive(Debug, PartialEq)]
struct Wish {
    name: Option<String>,
    grantee: String,
    retiring: Option<String>,
    operations: BTreeSet<String>,
    equals: Option<BTreeMap<String, String>>,
    subset: Option<BTreeMap<String, String>>,
}

impl Wish {
    /// Returns whether the new grant allows no more than the grant that allows its creation.
    fn is_within(&self, parent: &Grant) -> bool {
        type Pairs = BTreeMap<String, String>;
        let holds = |given: Option<&Pairs>, wanted: &Pairs| {
            given.is_some_and(|given| wanted.iter().all(|(k, v)| given.get(k) == Some(v)))
        };
        let (equals, subset) = (self.equals.as_ref(), self.subset.as_ref());
        let wanted = parent.encryption_context_equals.as_ref();
        let same = wanted.is_none_or(|wanted| equals == Some(wanted));
        let wanted = parent.encryption_context_subset.as_ref();
        let least = wanted.is_none_or(|wanted| holds(equals, wanted) || holds(subset, wanted));
        let operations = &parent.operations;
        self.operations.iter().all(|name| operations.contains(name)) && same && least
    }
}

pub(super) fn perform(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = [
        "KeyId",
        "GranteePrincipal",
        "RetiringPrincipal",
        "Operations",
        "Constraints",
        "Name",
        "GrantTokens",
        "DryRun",
    ];
    ask.input.only("CreateGrant", &names)?;
    let tokens = ask.input.texts("GrantTokens")?;
    let wish = read(ask)?;
    let key_arn = keys::find(aws, ask, ask.input.required("KeyId", 2048)?, false)?;
    let key = keys::get(aws, &key_arn)?;
    let usage = Use {
        grant_tokens: &tokens,
        keys: vec![
            (
                "kms:grantoperations",
                wish.operations.iter().cloned().collect(),
            ),
            ("kms:granteeprincipal", vec![wish.grantee.clone()]),
            (
                "kms:retiringprincipal",
                wish.retiring.iter().cloned().collect(),
            ),
        ],
        ..Use::direct("CreateGrant")
    };
    authorise::check(aws, &ask.call.caller, key, &usage)?;
    let parents = authorise::parents(aws, &ask.call.caller, key, &usage);
    let parent = parents.iter().find(|parent| wish.is_within(parent));
    let parent = parent.map(|parent| parent.grant_id.clone());
    if !parents.is_empty() && parent.is_none() {
        let caller = &ask.call.caller.principal.arn;
        return Err(refusals::GRANT_BEYOND_PARENT.with(&[caller, &key.arn]));
    }
    keys::enabled(key)?;
    if !key.is_symmetric() {
        let what = format!("CreateGrant for a key of spec {}", key.spec);
        return Err(refusals::NOT_IMPLEMENTED.with(&[&what]));
    }
    for principal in [Some(&wish.grantee), wish.retiring.as_ref()]
        .into_iter()
        .flatten()
    {
        if !principal.starts_with("arn:") || !policy::exists(aws, ask.region(), principal) {
            return Err(refusals::GRANTEE_INVALID.with(&[principal]));
        }
    }
    if ask.input.flag("DryRun")? {
        return Err(refusals::GRANT_DRY_RUN.with(&[]));
    }
    let known = already(key, &wish);
    let token = aws.new_token("grant token");
    let id = known.unwrap_or_else(|| aws.new_grant_id());
    let live = live(aws, ask, &key_arn, wish, parent, (&id, &token));
    add(aws, live)?;
    Ok(json!({"GrantId": id, "GrantToken": token}))
}

fn read(ask: Ask<'_>) -> Result<Wish, Refused> {
    let operations: BTreeSet<String> = ask.input.texts("Operations")?.into_iter().collect();
    let unknown = operations
        .iter()
        .find(|given| !OPERATIONS.contains(&given.as_str()));
    if unknown.is_some() || operations.is_empty() {
        let allowed = format!(
            "Member must satisfy enum value set: [{}]",
            OPERATIONS.join(", ")
        );
        return Err(input::invalid("Operations", &json!(operations), &allowed));
    }
    let name = ask.input.text("Name", 256)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || ":/_-".contains(c);
    if let Some(name) = name.filter(|name| !name.chars().all(fits)) {
        let pattern = "Member must satisfy regular expression pattern: ^[a-zA-Z0-9:/_-]+$";
        return Err(input::invalid("Name", &json!(name), pattern));
    }
    let constraints = ask.input.inner("Constraints")?;
    let (mut equals, mut subset) = (None, None);
    if let Some(constraints) = constraints {
        constraints.only(
            "CreateGrant.Constraints",
            &["EncryptionContextEquals", "EncryptionContextSubset"],
        )?;
        equals = constraints.map("EncryptionContextEquals")?;
        subset = constraints.map("EncryptionContextSubset")?;
    }
    Ok(Wish {
        name: name.map(str::to_owned),
        grantee: ask.input.required("GranteePrincipal", 256)?.to_owned(),
        retiring: ask.input.text("RetiringPrincipal", 256)?.map(str::to_owned),
        operations,
        equals,
        subset,
    })
}

/// Returns the grant that an equal, named request created before.
fn already(key: &LiveKey, wish: &Wish) -> Option<String> {
    wish.name.as_ref()?;
    let same = key.grants.iter().map(|grant| &grant.view).find(|grant| {
        grant.name == wish.name
            && grant.grantee_principal == wish.grantee
            && grant.retiring_principal == wish.retiring
            && grant.operations.iter().collect::<BTreeSet<_>>() == wish.operations.iter().collect()
            && grant.encryption_context_equals == wish.equals
            && grant.encryption_context_subset == wish.subset
    });
    same.map(|grant| grant.grant_id.clone())
}

fn live(
    aws: &mut Aws,
    ask: Ask<'_>,
    key_arn: &str,
    wish: Wish,
    parent: Option<String>,
    (id, token): (&str, &str),
) -> LiveGrant {
    LiveGrant {
        token: token.to_owned(),
        parent,
        in_force_at: aws.now + aws.rules.scaled(aws.rules.grant_delay),
        listed: aws.listed_when_created(),
        view: Grant {
            grant_id: id.to_owned(),
            key_arn: key_arn.to_owned(),
            name: wish.name,
            grantee_principal: wish.grantee,
            retiring_principal: wish.retiring,
            operations: wish.operations.into_iter().collect(),
            encryption_context_equals: wish.equals,
            encryption_context_subset: wish.subset,
            issuing_account: aws.iam_arn(ask.account(), "root"),
            creation_date: aws.now,
        },
    }
}

fn add(aws: &mut Aws, grant: LiveGrant) -> Result<(), Refused> {
    let most = aws.rules.limits.grants_per_key;
    let key_arn = &grant.view.key_arn;
    let Some(live) = aws.keys.get_mut(key_arn) else {
        return Err(refusals::KEY_NOT_FOUND.with(&[key_arn]));
    };
    let mut known = live.grants.iter_mut();
    if let Some(known) = known.find(|known| known.view.grant_id == grant.view.grant_id) {
        // Every request has a token of its own; the sandbox keeps the latest.
        known.token = grant.token;
        return Ok(());
    }
    if live.grants.len() >= most {
        return Err(refusals::GRANT_LIMIT.with(&[&most.to_string(), key_arn]));
    }
    live.grants.push(grant);
    Ok(())
}
