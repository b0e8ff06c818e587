//! The promises that hold after every run, checked against the world, and the ledger of calls for
//! debugging a failure.

use std::collections::BTreeSet;

use amiferry_sandbox::{Image, Sandbox};
use serde_json::{Value, json};

use super::{AMI, HOME, Place, SOURCE, SOURCE_KEY, key_arn};

/// Checks that each target has exactly one faithful AMI under its own key, and no surplus copy.
pub fn assert_whole(sandbox: &Sandbox, places: &[Place]) {
    for place in places {
        assert_one_image(sandbox, *place);
    }
}

pub fn assert_one_image(sandbox: &Sandbox, place: Place) -> Image {
    let images = sandbox.images(place.0, place.1);
    assert_eq!(
        images.len(),
        1,
        "{place:?} has {:?}",
        images.iter().map(|i| &i.image_id).collect::<Vec<_>>()
    );
    let copy = images.into_iter().next().expect("one");
    let source = sandbox
        .images(SOURCE, HOME)
        .into_iter()
        .find(|i| i.image_id == AMI);
    let snapshots = sandbox.snapshots(place.0, place.1);
    let used: BTreeSet<String> = copy.snapshot_ids().into_iter().collect();
    let there: BTreeSet<String> = snapshots.iter().map(|s| s.snapshot_id.clone()).collect();
    assert_eq!(
        used, there,
        "{place:?}: snapshots of the AMI against those that are there"
    );
    for snapshot in &snapshots {
        assert_eq!(
            (snapshot.state.as_str(), snapshot.encrypted),
            ("completed", true)
        );
        assert_eq!(
            snapshot.kms_key_arn.as_deref(),
            Some(key_arn(place).as_str())
        );
        assert!(snapshot.create_volume_permissions.is_empty() && !snapshot.public);
        assert_eq!(
            snapshot
                .tags
                .get("amiferry:source-image")
                .map(String::as_str),
            Some(AMI)
        );
    }
    if let Some(source) = source {
        assert_same(&source, &copy);
    }
    assert!(copy.launch_permissions.is_empty() && !copy.public);
    copy
}

pub fn assert_same(source: &Image, copy: &Image) {
    let facts = |i: &Image| {
        json!([
            i.description,
            i.architecture,
            i.virtualization_type,
            i.root_device_name,
            i.ena_support,
            i.sriov_net_support,
            i.boot_mode,
            i.tpm_support,
            i.imds_support,
            i.uefi_data,
            i.platform_details,
            i.usage_operation
        ])
    };
    assert_eq!(facts(source), facts(copy));
    let devices = |i: &Image| {
        let devices = i.block_device_mappings.iter().map(|m| {
            let ebs = m.ebs.as_ref().map(|e| {
                json!([
                    e.volume_size,
                    e.volume_type,
                    e.iops,
                    e.throughput,
                    e.delete_on_termination
                ])
            });
            json!([m.device_name, m.virtual_name, m.no_device, ebs]).to_string()
        });
        devices.collect::<BTreeSet<_>>()
    };
    assert_eq!(devices(source), devices(copy));
    for (key, value) in source
        .tags
        .iter()
        .filter(|(key, _)| !key.starts_with("aws:") && !key.starts_with("amiferry:"))
    {
        assert_eq!(copy.tags.get(key), Some(value), "tag {key}");
    }
}

/// Checks that no target account has anything.
pub fn assert_nothing(sandbox: &Sandbox, places: &[Place]) {
    for (account, region) in places {
        assert_eq!(
            sandbox.images(account, region).len(),
            0,
            "{account} {region} has an image"
        );
        assert_eq!(
            sandbox.snapshots(account, region).len(),
            0,
            "{account} {region} has a snapshot"
        );
    }
}

/// Checks that the source is closed: its only permissions are those of `before`, it has no grants,
/// and nothing is public.
pub fn assert_closed_but(sandbox: &Sandbox, before: &[&str]) {
    for snapshot in sandbox.snapshots(SOURCE, HOME) {
        let permitted: Vec<&str> = snapshot
            .create_volume_permissions
            .iter()
            .map(String::as_str)
            .collect();
        assert_eq!(permitted, before, "{} is shared", snapshot.snapshot_id);
        assert!(!snapshot.public);
        assert!(
            !snapshot.tags.keys().any(|k| k.starts_with("amiferry:")),
            "{:?}",
            snapshot.tags
        );
    }
    for image in sandbox.images(SOURCE, HOME) {
        assert!(image.launch_permissions.is_empty() && !image.public);
    }
    assert_eq!(sandbox.grants(SOURCE_KEY), Vec::new(), "grants are left");
}

pub fn assert_closed(sandbox: &Sandbox) {
    assert_closed_but(sandbox, &[]);
}

/// Returns the number of calls of an operation.
pub fn calls(sandbox: &Sandbox, operation: &str) -> usize {
    sandbox
        .ledger()
        .iter()
        .filter(|call| call.operation == operation)
        .count()
}

/// Returns the target's result in a reply.
pub fn target(reply: &Value, (account, region): Place) -> &Value {
    let targets = reply["Result"]["Targets"].as_array().expect("Targets");
    targets
        .iter()
        .find(|t| t["AccountId"] == account && t["Region"] == region)
        .expect("the target is in the result")
}

/// Prints every call that was made, for debugging a failure.
pub fn print_calls(sandbox: &Sandbox) {
    let began = sandbox.ledger().first().map(|call| call.at);
    for call in sandbox.ledger() {
        let at = began
            .and_then(|began| call.at.duration_since(began).ok())
            .unwrap_or_default();
        let words = ["Action", "Version", "Policy", "ClientToken"];
        let params: Vec<String> = call
            .params
            .iter()
            .filter(|(key, _)| !words.contains(&key.as_str()))
            .map(|(key, value)| format!("{key}={}", value.chars().take(60).collect::<String>()))
            .collect();
        let outcome = format!("{:?}", call.outcome);
        println!(
            "{:>8.1} {} {} {} {} {} {outcome}",
            at.as_secs_f64(),
            call.account,
            call.region,
            call.principal.rsplit('/').next().unwrap_or_default(),
            call.operation,
            params.join(" ")
        );
    }
}
