//! ListGrants, RevokeGrant and RetireGrant.

use serde_json::{Value, json};

use super::authorise::{self, Use};
use super::{Ask, keys};
use crate::aws::{Aws, LiveGrant, LiveKey, Lost, account_of};
use crate::iam::Context;
use crate::identity::{self, Verdict};
use crate::refusals::{self, Refused};
use crate::wire::time;

pub(super) fn list(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    let names = ["KeyId", "Limit", "Marker", "GrantId", "GranteePrincipal"];
    ask.input.only("ListGrants", &names)?;
    let limit = ask.input.number("Limit", 100)?.unwrap_or(50);
    let offset = keys::marker(ask)?;
    let grant_id = ask.input.text("GrantId", 128)?;
    let grantee = ask.input.text("GranteePrincipal", 256)?;
    let arn = keys::find(aws, ask, ask.input.required("KeyId", 2048)?, false)?;
    let key = keys::get(aws, &arn)?;
    authorise::check(aws, &ask.call.caller, key, &Use::direct("ListGrants"))?;
    let grants = key.listed_grants(aws.now).filter(|grant| {
        grant_id.is_none_or(|id| grant.grant_id == id)
            && grantee.is_none_or(|wanted| grant.grantee_principal == wanted)
    });
    let shown = grants.map(|grant| {
        let mut constraints = serde_json::Map::new();
        if let Some(equals) = &grant.encryption_context_equals {
            constraints.insert("EncryptionContextEquals".to_owned(), json!(equals));
        }
        if let Some(subset) = &grant.encryption_context_subset {
            constraints.insert("EncryptionContextSubset".to_owned(), json!(subset));
        }
        let mut shown = json!({
            "KeyId": grant.key_arn,
            "GrantId": grant.grant_id,
            // KMS shows a grant without a name with an empty one.
            "Name": grant.name.clone().unwrap_or_default(),
            "CreationDate": time::epoch(grant.creation_date),
            "GranteePrincipal": grant.grantee_principal,
            "IssuingAccount": grant.issuing_account,
            "Operations": grant.operations,
        });
        if let Some(retiring) = &grant.retiring_principal {
            shown["RetiringPrincipal"] = json!(retiring);
        }
        if !constraints.is_empty() {
            shown["Constraints"] = Value::Object(constraints);
        }
        shown
    });
    Ok(keys::page("Grants", shown.collect(), offset, limit))
}

pub(super) fn revoke(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input
        .only("RevokeGrant", &["KeyId", "GrantId", "DryRun"])?;
    let id = grant_id(ask.input.required("GrantId", 128)?)?;
    let arn = keys::find(aws, ask, ask.input.required("KeyId", 2048)?, false)?;
    let key = keys::get(aws, &arn)?;
    authorise::check(aws, &ask.call.caller, key, &Use::direct("RevokeGrant"))?;
    find(key, id)?;
    finish(aws, ask, &arn, id)
}

pub(super) fn retire(aws: &mut Aws, ask: Ask<'_>) -> Result<Value, Refused> {
    ask.input
        .only("RetireGrant", &["KeyId", "GrantId", "GrantToken", "DryRun"])?;
    let (arn, id) = if let Some(token) = ask.input.text("GrantToken", 8192)? {
        let mut all = aws
            .keys
            .values()
            .flat_map(|key| key.grants.iter().map(move |g| (key, g)));
        let found = all.find(|(key, grant)| key.region == ask.region() && grant.token == token);
        let (key, grant) = found.ok_or_else(|| refusals::GRANT_TOKEN_INVALID.with(&[]))?;
        (key.arn.clone(), grant.view.grant_id.clone())
    } else {
        let given = ask.input.required("KeyId", 2048)?;
        if !given.starts_with("arn:") {
            return Err(refusals::KEY_INVALID_ARN.with(&[given]));
        }
        let id = grant_id(ask.input.required("GrantId", 128)?)?.to_owned();
        (keys::find(aws, ask, given, false)?, id)
    };
    let key = keys::get(aws, &arn)?;
    may_retire(aws, ask, key, find(key, &id)?)?;
    finish(aws, ask, &arn, &id)
}

/// Returns whether the caller may retire the grant: the retiring principal, the grantee if the
/// grant says so, or the account that issued it.
fn may_retire(aws: &Aws, ask: Ask<'_>, key: &LiveKey, grant: &LiveGrant) -> Result<(), Refused> {
    let caller = &ask.call.caller;
    let view = &grant.view;
    let context = Context::from([(
        "aws:requestedregion".to_owned(),
        vec![ask.region().to_owned()],
    )]);
    let verdict = identity::decide(aws, caller, "kms:RetireGrant", &key.arn, &context);
    let arn = &caller.principal.arn;
    let denied = |reason: &str| {
        refusals::KMS_ACCESS_DENIED.with(&[arn, "kms:RetireGrant", &key.arn, reason])
    };
    if verdict.is_final() {
        return Err(denied(&verdict.reason("kms:RetireGrant")));
    }
    let retiring = view
        .retiring_principal
        .as_ref()
        .is_some_and(|p| authorise::is(p, caller));
    let included = view
        .operations
        .iter()
        .any(|operation| operation == "RetireGrant");
    if retiring || (included && authorise::is(&view.grantee_principal, caller)) {
        return Ok(());
    }
    let issued = view.issuing_account == aws.iam_arn(ask.account(), "root");
    if issued && verdict == Verdict::Allowed {
        return Ok(());
    }
    Err(denied("because no grant allows the kms:RetireGrant action"))
}

fn grant_id(id: &str) -> Result<&str, Refused> {
    if id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(id);
    }
    Err(refusals::GRANT_ID_MALFORMED.with(&[id]))
}

fn find<'a>(key: &'a LiveKey, id: &str) -> Result<&'a LiveGrant, Refused> {
    let found = key.grants.iter().find(|grant| grant.view.grant_id == id);
    found.ok_or_else(|| refusals::GRANT_NOT_FOUND.with(&[id]))
}

fn finish(aws: &mut Aws, ask: Ask<'_>, key_arn: &str, id: &str) -> Result<Value, Refused> {
    if ask.input.flag("DryRun")? {
        return Err(refusals::GRANT_DRY_RUN.with(&[]));
    }
    let grant = find(keys::get(aws, key_arn)?, id)?;
    let account = account_of(&grant.view.grantee_principal).map(str::to_owned);
    aws.lost = account.map_or(Lost::Any, Lost::OfAccount);
    aws.revoke_grant(key_arn, id);
    Ok(Value::Null)
}
