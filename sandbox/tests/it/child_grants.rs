//! Grants created by a principal that only another grant allows to create them.

use serde_json::{Value, json};

use crate::client::Client;
use crate::policies::{document, permit};
use crate::worlds::{Bench, CONSUMER, COPIER, SOURCE_KEY};

const NOBODY: &str = "arn:aws:iam::222222222222:user/nobody";

fn wish(grantee: &str, operations: &[&str], constraints: &Value) -> Value {
    let mut wish =
        json!({"KeyId": SOURCE_KEY, "GranteePrincipal": grantee, "Operations": operations});
    if !constraints.is_null() {
        wish["Constraints"] = constraints.clone();
    }
    wish
}

/// Returns a session of a role that has a grant of CreateGrant from the key's owner.
async fn granted(bench: &Bench, operations: &[&str], constraints: &Value) -> Client {
    let parent = wish(COPIER, operations, constraints);
    bench.producer.kms("CreateGrant", parent).await.ok();
    let with_id = [("ExternalId", "shared-secret")];
    bench.ferry.assume(COPIER, &with_id).await
}

#[tokio::test(start_paused = true)]
async fn a_child_grant_with_an_operation_beyond_its_parent_is_refused() {
    let bench = Bench::new();
    let none = Value::Null;
    let copier = granted(&bench, &["CreateGrant", "Decrypt", "DescribeKey"], &none).await;
    for (operations, status) in [
        (&["Decrypt"][..], 200),
        (&["CreateGrant", "DescribeKey"], 200),
        (&["Encrypt"], 400),
        (&["Decrypt", "ReEncryptFrom"], 400),
    ] {
        let child = wish(NOBODY, operations, &none);
        let answer = copier.kms("CreateGrant", child).await;
        assert_eq!(answer.status, status, "{operations:?}: {answer:?}");
    }
    // The key's owner needs no parent grant. A principal that the key policy allows to create
    // grants needs none either.
    let all = wish(NOBODY, &["Encrypt", "ReEncryptFrom"], &none);
    bench.producer.kms("CreateGrant", all.clone()).await.ok();
    let policy = document(&[permit(CONSUMER, "kms:CreateGrant")]);
    bench.set_key_policy(SOURCE_KEY, &policy);
    copier.kms("CreateGrant", all).await.ok();
}

#[tokio::test(start_paused = true)]
async fn a_child_grant_with_looser_constraints_is_refused() {
    let subset = |pairs: Value| json!({"EncryptionContextSubset": pairs});
    let equals = |pairs: Value| json!({"EncryptionContextEquals": pairs});
    let (one, two) = (json!({"a": "1"}), json!({"a": "1", "b": "2"}));
    for (parent, child, status) in [
        (subset(one.clone()), Value::Null, 400),
        (subset(one.clone()), subset(one.clone()), 200),
        (subset(one.clone()), subset(two.clone()), 200),
        (subset(one.clone()), equals(two.clone()), 200),
        (subset(two.clone()), subset(one.clone()), 400),
        (equals(one.clone()), equals(one.clone()), 200),
        (equals(one.clone()), subset(one.clone()), 400),
        (equals(one), equals(two), 400),
    ] {
        let bench = Bench::new();
        let copier = granted(&bench, &["CreateGrant", "Decrypt"], &parent).await;
        let wish = wish(NOBODY, &["Decrypt"], &child);
        let answer = copier.kms("CreateGrant", wish).await;
        assert_eq!(answer.status, status, "{parent} {child}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_of_create_grant_creates_no_grant() {
    let bench = Bench::new();
    let copier = granted(&bench, &["CreateGrant", "Decrypt"], &Value::Null).await;
    for (operation, refusal) in [
        ("Decrypt", "GRANT_DRY_RUN"),
        ("Encrypt", "GRANT_BEYOND_PARENT"),
    ] {
        let mut child = wish(NOBODY, &[operation], &Value::Null);
        child["DryRun"] = json!(true);
        let answer = copier.kms("CreateGrant", child).await;
        assert_eq!(answer.refusal.as_deref(), Some(refusal));
    }
    assert_eq!(bench.sandbox.grants(SOURCE_KEY).len(), 1);
}
