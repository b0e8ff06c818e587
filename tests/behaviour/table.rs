//! Every way to give others an image, with every kind of source, in every kind of Region.
//! docs/combinations.md shows the outcomes seen here. After each run the source is as it was, and
//! no target has more than its copy.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use amiferry::handler::{Handler, Invocation};
use amiferry_sandbox::Sandbox;
use aws_credential_types::Credentials;
use serde_json::{Value, json};

use crate::launch_grants::runs;
use crate::support::{AMI, SOURCE, config_in};
use crate::tables::shown;

mod world;

use world::*;

/// Drives a request to its end. Returns the reply, or in a few words the reason for having none.
async fn run(sandbox: &Sandbox, place: &Where, request: &Value) -> Result<Value, String> {
    let config = config_in(place.source, sandbox.http_client(), sandbox.time_source()).await;
    let function = Handler::new(config, crate::support::settings());
    let mut event = json!({ "Distribute": request });
    for _ in 0..500 {
        let invocation = Invocation {
            deadline: Some(sandbox.now() + Duration::from_mins(15)),
            function_arn: format!(
                "arn:{}:lambda:{}:{SOURCE}:function:amiferry",
                place.partition, place.source
            ),
            function_name: "amiferry".to_owned(),
        };
        let reply = function.handle(&event.to_string(), &invocation).await;
        let reply = reply.map_err(|error| {
            let said = error.to_string();
            let key = said.split(':').next().unwrap_or_default();
            format!("{}: `{key}`", error.error_type())
        })?;
        if reply["Status"] != "Continue" {
            return Ok(reply);
        }
        let wait = reply["WaitSeconds"].as_u64().expect("a number");
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
    panic!("the run does not end: {request}");
}

/// Returns the outcome in a word for each kind of end.
fn ends(reply: &Value) -> String {
    let targets = reply["Result"]["Targets"].as_array();
    let words: BTreeSet<&str> = targets
        .into_iter()
        .flatten()
        .filter_map(|t| t["Cause"].as_str().or(t["Status"].as_str()))
        .collect();
    let status = reply["Status"].as_str().unwrap_or_default();
    if words.is_empty() || words.contains(status) {
        return status.to_owned();
    }
    Vec::from_iter(words).join(", ")
}

/// Returns the policies and the number of grants of the source keys.
fn keys(sandbox: &Sandbox, place: &Where) -> Vec<(Option<Value>, usize)> {
    [
        (SOURCE, FIRST_KEY),
        (SOURCE, SECOND_KEY),
        (SOURCE, MRK),
        (ELSEWHERE, FOREIGN_KEY),
    ]
    .iter()
    .map(|(account, id)| {
        let arn = key_arn(place, account, place.source, id);
        (sandbox.key_policy(&arn), sandbox.grants(&arn).len())
    })
    .collect()
}

fn assert_closed(sandbox: &Sandbox, place: &Where, before: &[(Option<Value>, usize)], case: &str) {
    let there = sandbox.snapshots(SOURCE, place.source);
    assert_eq!(there.len(), 2, "{case}: {there:#?}");
    for snapshot in there {
        assert!(snapshot.create_volume_permissions.is_empty(), "{case}");
        assert!(snapshot.tags.is_empty(), "{case}: {:?}", snapshot.tags);
    }
    let image = &sandbox.images(SOURCE, place.source)[0];
    assert!(
        image.launch_permissions.is_empty() && image.tags.is_empty(),
        "{case}"
    );
    assert_eq!(keys(sandbox, place), before, "{case}");
}

async fn copied(place: &Where, sources: Sources, access: &str) -> String {
    let case = format!("{}, {}, {access}", place.name, sources as usize);
    let sandbox = Sandbox::new(world(place, sources, access));
    let before = keys(&sandbox, place);
    let targets: Vec<Value> = place
        .targets
        .iter()
        .map(|(account, region)| {
            json!({"AccountId": account, "Region": region,
            "KmsKeyId": "alias/amis"})
        })
        .collect();
    let mut request = json!({"SourceImageId": AMI, "KeyAccess": access, "Targets": targets});
    if sources.reencrypts() {
        request["ReencryptKmsKeyId"] = json!(FIRST_KEY);
    }
    let end = match run(&sandbox, place, &request).await {
        Ok(reply) => ends(&reply),
        Err(refused) => refused,
    };
    for (account, region) in place.targets {
        let images = sandbox.images(account, region);
        let snapshots = sandbox.snapshots(account, region);
        if end != "Succeeded" {
            assert!(images.is_empty() && snapshots.is_empty(), "{case}: {end}");
            continue;
        }
        assert_eq!((images.len(), snapshots.len()), (1, 2), "{case}");
        let under = key_arn(place, account, region, TARGET_KEY);
        for snapshot in snapshots {
            assert_eq!(snapshot.kms_key_arn, Some(under.clone()), "{case}");
            assert_eq!(snapshot.state, "completed", "{case}");
        }
        let admin = Credentials::new(
            format!("AKIAADMIN{account}"),
            "admin-secret",
            None,
            None,
            "test",
        );
        let place = (*account, *region);
        assert!(
            runs(&sandbox, admin, place, &images[0].image_id).await,
            "{case}"
        );
    }
    assert_closed(&sandbox, place, &before, &case);
    let wanted = if place.name == "across partitions"
        || sources == Sources::AwsEbs
        || (sources, access) == (Sources::KeyOfAnotherAccount, "Policy")
    {
        "InvalidRequest: "
    } else if place.enabled {
        "Succeeded"
    } else {
        "RegionNotEnabled"
    };
    assert!(end.starts_with(wanted), "{case}: {end}");
    end
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_a_copy_ends_as_documented() {
    let names = WHERE.map(|place| place.name).join(" | ");
    let mut table = format!(
        "| source | `KeyAccess` | {names} |\n|---|---|{}\n",
        "---|".repeat(WHERE.len())
    );
    for (sources, name) in SOURCES {
        for access in ACCESSES {
            let mut cells = Vec::new();
            for place in &WHERE {
                cells.push(copied(place, sources, access).await);
            }
            writeln!(table, "| {name} | `{access}` | {} |", cells.join(" | ")).expect("text");
        }
    }
    shown("docs/combinations.md", "copying", &table);
}

/// The audiences with which an image is shared.
const AUDIENCES: [&str; 3] = ["accounts", "an organization", "a unit"];

async fn shared(place: &Where, sources: Sources, access: &str, audience: &str) -> String {
    let case = format!("{}, {}, {access}, {audience}", place.name, sources as usize);
    let sandbox = Sandbox::new(world(place, sources, access));
    let before = keys(&sandbox, place);
    let mut request = json!({"SourceImageId": AMI, "Mode": "Share", "KeyAccess": access});
    match audience {
        "accounts" => request["TargetAccountIds"] = json!([ONE, OTHER]),
        "a unit" => request["OrganizationalUnitIds"] = json!([UNIT]),
        _ => request["OrganizationId"] = json!(ORGANIZATION),
    }
    if sources.reencrypts() {
        request["ReencryptKmsKeyId"] = json!(FIRST_KEY);
    }
    let end = match run(&sandbox, place, &request).await {
        Ok(reply) => ends(&reply),
        Err(refused) => {
            assert_closed(&sandbox, place, &before, &case);
            let wanted = sources == Sources::AwsEbs
                || sources.reencrypts()
                || (sources, access) == (Sources::KeyOfAnotherAccount, "Policy");
            assert!(
                wanted && refused.starts_with("InvalidRequest: "),
                "{case}: {refused}"
            );
            return refused;
        }
    };
    assert_eq!(end, "Succeeded", "{case}");
    for account in [ONE, OTHER] {
        let admin = Credentials::new(
            format!("AKIAADMIN{account}"),
            "admin-secret",
            None,
            None,
            "test",
        );
        // Policies and grants may take effect late.
        tokio::time::sleep(Duration::from_mins(5)).await;
        let launched = runs(&sandbox, admin, (account, place.source), AMI).await;
        assert!(launched, "{case}: {account}");
    }
    request["Unshare"] = json!(true);
    let back = run(&sandbox, place, &request).await.expect("taken back");
    assert_eq!(back["Status"], "Succeeded", "{case}: {back}");
    assert_closed(&sandbox, place, &before, &case);
    end
}

#[tokio::test(start_paused = true)]
async fn every_combination_of_a_share_ends_as_documented() {
    let titles = AUDIENCES.join(" | ");
    let mut table = format!("| source | `KeyAccess` | {titles} |\n|---|---|---|---|---|\n");
    for (sources, name) in SOURCES {
        for access in ACCESSES {
            let mut cells = Vec::new();
            for audience in AUDIENCES {
                let mut ends = BTreeSet::new();
                for place in [&HOME, &CHINA, &GOVCLOUD] {
                    ends.insert(shared(place, sources, access, audience).await);
                }
                assert_eq!(ends.len(), 1, "{name}, {access}, {audience}: {ends:?}");
                cells.extend(ends);
            }
            writeln!(table, "| {name} | `{access}` | {} |", cells.join(" | ")).expect("text");
        }
    }
    shown("docs/combinations.md", "sharing", &table);
}

/// The target's key is named in every way that AWS takes, and not at all.
#[tokio::test(start_paused = true)]
async fn every_name_of_a_target_key_selects_that_key() {
    let names = |place: &Where| {
        let (account, region) = place.targets[0];
        let alias = format!("arn:{}:kms:{region}:{account}:alias/amis", place.partition);
        [
            ("ID", Some(TARGET_KEY.to_owned()), TARGET_KEY),
            (
                "ARN",
                Some(key_arn(place, account, region, TARGET_KEY)),
                TARGET_KEY,
            ),
            ("alias", Some("alias/amis".to_owned()), TARGET_KEY),
            ("ARN of an alias", Some(alias), TARGET_KEY),
            ("multi-Region key", Some(TARGET_MRK.to_owned()), TARGET_MRK),
            ("none: `aws/ebs`", None, ""),
        ]
    };
    let places = [&HOME, &WHERE[1], &CHINA, &GOVCLOUD];
    let titles = places.map(|place| place.name).join(" | ");
    let mut table = format!("| `KmsKeyId` | {titles} |\n|---|---|---|---|---|\n");
    for n in 0..names(&HOME).len() {
        let mut cells = Vec::new();
        for place in places {
            let (account, region) = place.targets[0];
            let (name, key, under) = names(place)[n].clone();
            let sandbox = Sandbox::new(world(place, Sources::OneKey, "Grant"));
            let mut target = json!({"AccountId": account, "Region": region});
            if let Some(key) = key {
                target["KmsKeyId"] = json!(key);
            }
            let request = json!({"SourceImageId": AMI, "Targets": [target]});
            let end = run(&sandbox, place, &request).await;
            let end = end.as_ref().map_or_else(Clone::clone, ends);
            assert_eq!(end, "Succeeded", "{name}, {}", place.name);
            cells.push(end);
            for snapshot in sandbox.snapshots(account, region) {
                let arn = snapshot.kms_key_arn.expect("encrypted");
                let home = format!("arn:{}:kms:{region}:{account}:key/", place.partition);
                assert!(
                    arn.starts_with(&home) && arn.ends_with(under),
                    "{name}: {arn}"
                );
            }
        }
        let name = names(&HOME)[n].0;
        writeln!(table, "| {name} | {} |", cells.join(" | ")).expect("text");
    }
    shown("docs/combinations.md", "keys", &table);
}
