//! Custom resources that share.

use super::*;

/// The properties are those of the source design's two sharing resources.
#[tokio::test(start_paused = true)]
async fn resources_that_share_are_created_updated_and_deleted() {
    let stack = Stack::new(&TWO);
    let properties = json!({"ServiceToken": FUNCTION, "AmiId": AMI, "SnapshotId": ROOT,
        "Region": HOME, "TargetAccountId": ONE});
    let typed = |kind: &str, resource: &str, properties: &Value| {
        let mut event = stack.event(kind, properties);
        event["ResourceType"] = json!(resource);
        event
    };
    let created = stack
        .send(&typed("Create", "Custom::ShareAutomation", &properties))
        .await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(created["Data"]["Image.222222222222.us-west-2"], AMI);
    assert_eq!(launching(&stack.sandbox), accounts(&[ONE]));
    assert_eq!(
        on_snapshots(&stack.sandbox),
        vec![BTreeSet::from([ONE.to_owned()]); 2]
    );

    // The new list closes the accounts that left it.
    let many =
        json!({"ServiceToken": FUNCTION, "AmiId": AMI, "Region": HOME, "TargetAccountIds": OTHER});
    let mut update = typed("Update", "Custom::MultiAccountAmiShare", &many);
    update["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    update["OldResourceProperties"] = properties;
    let updated = stack.send(&update).await;
    assert_eq!(updated["Status"], "SUCCESS", "{updated}");
    assert_eq!(updated["PhysicalResourceId"], created["PhysicalResourceId"]);
    assert_eq!(launching(&stack.sandbox), accounts(&[OTHER]));
    assert_eq!(granted(&stack.sandbox), roots(&[OTHER]));
    assert_eq!(on_snapshots(&stack.sandbox), vec![BTreeSet::new(); 2]);

    for _ in 0..2 {
        let mut delete = typed("Delete", "Custom::MultiAccountAmiShare", &many);
        delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
        assert_eq!(stack.send(&delete).await["Status"], "SUCCESS");
        assert_ended(&stack.sandbox, &[]);
    }
}

/// The image may be gone when its share ends: the ledger names the grants on its key.
#[tokio::test(start_paused = true)]
async fn a_resource_that_shares_is_deleted_after_its_image_is_gone() {
    let stack = Stack::new(&TWO);
    let properties = with(
        json!({"AmiId": AMI, "TargetAccountIds": [ONE]}),
        "Mode",
        json!("Share"),
    );
    let created = stack.send(&stack.event("Create", &properties)).await;
    assert_eq!(created["Status"], "SUCCESS", "{created}");
    assert_eq!(granted(&stack.sandbox), roots(&[ONE]));
    assert!(stack.sandbox.edit(|aws| aws.delete_image(AMI)));
    let mut delete = stack.event("Delete", &properties);
    delete["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
    let deleted = stack.send(&delete).await;
    assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
    assert!(granted(&stack.sandbox).is_empty());
    for snapshot in stack.sandbox.snapshots(SOURCE, HOME) {
        assert!(!snapshot.tags.keys().any(|key| key.starts_with("amiferry:")));
    }
}
