//! `Strategy`: images copied as a whole by CopyImage, and the choice of `Auto`.

use std::fmt::Write;
use std::time::Duration;

use amiferry_sandbox::{Account, BlockDeviceMapping, Ebs, Facts, Fault, Sandbox, World};
use serde_json::{Value, json};

use crate::key_policy::{by_policy, editing_world};
use crate::resume::{cut_at_each_call, hang};
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;
use crate::tables::shown;

const TWO: [Place; 2] = [("222222222222", HOME), ("333333333333", "us-east-1")];
/// A change of a thing.
type Change<T> = fn(&mut T);

const ONE: [Place; 1] = [("222222222222", HOME)];

fn by_image(places: &[Place]) -> Value {
    let mut event = distribute(places);
    event["Distribute"]["Strategy"] = json!("Image");
    event
}

/// Returns the source account with an image whose instances are billed for Red Hat.
fn billed() -> Account {
    let mut account = producer();
    bill(
        &mut account,
        "Red Hat Enterprise Linux",
        "RunInstances:0010",
    );
    account
}

fn assert_copied_as_whole(sandbox: &Sandbox, places: &[Place]) {
    for place in places {
        let copy = assert_one_image(sandbox, *place);
        assert_eq!(copy.source_image_id.as_deref(), Some(AMI));
        let root = copy.root_snapshot_id().expect("a root snapshot");
        let mut snapshots = sandbox.snapshots(place.0, place.1).into_iter();
        let root = snapshots.find(|s| s.snapshot_id == root).expect("it");
        assert_eq!(root.tags.get("part").map(String::as_str), Some("root"));
    }
    assert_closed(sandbox);
}

#[tokio::test(start_paused = true)]
async fn an_image_is_copied_as_a_whole_and_nothing_stays_shared() {
    for (world, mut event) in [
        (world(&TWO), distribute(&TWO)),
        (editing_world(&TWO), by_policy(&TWO)),
    ] {
        event["Distribute"]["Strategy"] = json!("Image");
        let sandbox = Sandbox::new(world);
        let policy = sandbox.key_policy(SOURCE_KEY);
        let reply = to_the_end(&sandbox, &event).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_copied_as_whole(&sandbox, &TWO);
        assert_eq!(sandbox.key_policy(SOURCE_KEY), policy);
        assert_eq!(calls(&sandbox, "CopyImage"), 2);
        assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
        assert_eq!(calls(&sandbox, "RegisterImage"), 0);
        let receipt = reply["Result"]["Receipt"].to_string();
        assert!(receipt.contains("launchPermission"), "{receipt}");
        let again = to_the_end(&sandbox, &event).await;
        assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
        assert_eq!(calls(&sandbox, "CopyImage"), 2);
        // One call lets both accounts launch, and one ends that.
        assert_eq!(calls(&sandbox, "ModifyImageAttribute"), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn auto_takes_copy_image_only_where_registering_loses_something() {
    let sandbox = Sandbox::new(world(&TWO));
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopyImage"), 0);
    assert_eq!(calls(&sandbox, "ModifyImageAttribute"), 0);

    let sandbox = Sandbox::new(world_with(billed(), &TWO));
    let told = call(&sandbox, &json!({"Preflight": request(&TWO)})).await;
    let told = told.expect("findings").to_string();
    let why = "Copied as a whole, by CopyImage: its instances are billed for Red Hat Enterprise \
               Linux (UsageOperation RunInstances:0010)";
    assert!(told.contains(why), "{told}");
    assert!(!told.contains("Licence"), "{told}");
    let reply = to_the_end(&sandbox, &distribute(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_copied_as_whole(&sandbox, &TWO);
}

#[tokio::test(start_paused = true)]
async fn an_image_under_aws_ebs_cannot_be_copied_as_a_whole() {
    let sandbox = Sandbox::new(world_with(under_aws_ebs(1), &ONE));
    let mut event = by_image(&ONE);
    event["Distribute"]["ReencryptKmsKeyId"] = json!(SHARED_KEY);
    let refused = call(&sandbox, &event).await.unwrap_err().to_string();
    assert!(
        refused.contains("Strategy: is Image, but snapshots"),
        "{refused}"
    );
    let preflight = json!({"Preflight": event["Distribute"]});
    let told = call(&sandbox, &preflight).await.expect("findings");
    assert_eq!(told["Status"], "NotReady", "{told}");
    assert!(
        told.to_string()
            .contains("CopyImage needs the image itself"),
        "{told}"
    );
    // Auto copies its snapshots.
    event["Distribute"]["Strategy"] = json!("Auto");
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "CopyImage"), 0);
}

/// Kills a run at each of its calls, and goes on each time.
async fn cut_everywhere(fault: Fault, again: impl Fn(&Value) -> Value) {
    let world = || world(&TWO).copy_mib_per_second(1024.0);
    let whole = |sandbox: &Sandbox| assert_copied_as_whole(sandbox, &TWO);
    let calls = cut_at_each_call(&fault, &by_image(&TWO), world, again, whole).await;
    assert!(calls > 40, "{calls}");
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_before_any_call_goes_on_from_its_last_state() {
    cut_everywhere(Fault::HangBefore, Value::clone).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_killed_after_any_call_succeeds_when_delivered_again() {
    cut_everywhere(Fault::HangAfter, |_| Value::Null).await;
}

#[tokio::test(start_paused = true)]
async fn any_call_that_fails_once_is_made_again() {
    for n in 0.. {
        let sandbox = Sandbox::new(world(&TWO));
        let refused = refuse(503, "ServiceUnavailable");
        hang(&sandbox, n, refused);
        let before = calls(&sandbox, "CopyImage");
        let reply = to_the_end(&sandbox, &by_image(&TWO)).await;
        assert_eq!(reply["Status"], "Succeeded", "call {n}: {reply}");
        assert_copied_as_whole(&sandbox, &TWO);
        assert_eq!(before, 0);
        if sandbox.ledger().len() <= n {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn late_permissions_and_late_reads_are_waited_for() {
    let minute = Duration::from_mins(1);
    let late: [fn(World, Duration) -> World; 5] = [
        World::permission_delay,
        World::grant_delay,
        World::tag_delay,
        World::read_delay,
        World::gone_delay,
    ];
    for (i, delay) in late.iter().enumerate() {
        let sandbox = Sandbox::new(delay(world(&TWO), minute));
        let reply = to_the_end(&sandbox, &by_image(&TWO)).await;
        assert_eq!(reply["Status"], "Succeeded", "{i}: {reply}");
        tokio::time::sleep(minute * 2).await;
        assert_copied_as_whole(&sandbox, &TWO);
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_ends_failed_is_cleared_away_and_copied_again() {
    let sandbox = Sandbox::new(world(&ONE));
    let fails = |percent| {
        sandbox.edit(|aws| {
            aws.change_snapshot(ROOT, |snapshot| {
                snapshot.copies_fail_at = percent;
            })
        })
    };
    fails(Some((50, "Internal error".to_owned())));
    let reply = to_the_end(&sandbox, &by_image(&ONE)).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let result = target(&reply, ONE[0]);
    assert_eq!(result["Cause"], "CopyFailed", "{reply}");
    let reason = result["Reason"].as_str().expect("a reason");
    assert!(reason.contains("Internal error"), "{reason}");
    assert_nothing(&sandbox, &ONE);
    assert_closed(&sandbox);
    // Five more in the first minutes, in which a permission may be spreading, and two after that.
    assert_eq!(calls(&sandbox, "CopyImage"), 8);
    fails(None);
    let reply = to_the_end(&sandbox, &by_image(&ONE)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_copied_as_whole(&sandbox, &ONE);
}

#[tokio::test(start_paused = true)]
async fn an_image_that_somebody_deregisters_while_it_is_copied_is_copied_again() {
    let sandbox = Sandbox::new(slow_world(&ONE));
    let state = short_call(&sandbox, &by_image(&ONE)).await;
    assert_eq!(state["Status"], "Continue", "{state}");
    let image = &sandbox.images(ONE[0].0, ONE[0].1)[0];
    assert_eq!(image.state, "pending");
    delete_copies(&sandbox, ONE[0]);
    let reply = to_the_end(&sandbox, &json!({"State": state["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_copied_as_whole(&sandbox, &ONE);
}

/// EC2 deletes the snapshots with the image, except those that it cannot delete at that moment.
#[tokio::test(start_paused = true)]
async fn snapshots_of_an_image_that_is_gone_are_deleted_in_the_end() {
    let sandbox = Sandbox::new(slow_world(&ONE));
    let state = short_call(&sandbox, &by_image(&ONE)).await;
    assert_eq!(state["Status"], "Continue", "{state}");
    let image = sandbox.images(ONE[0].0, ONE[0].1)[0].image_id.clone();
    sandbox.edit(|aws| assert!(aws.delete_image(&image)));
    assert_eq!(sandbox.snapshots(ONE[0].0, ONE[0].1).len(), 2);
    let reply = to_the_end(&sandbox, &json!({"State": state["State"]})).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_copied_as_whole(&sandbox, &ONE);
}

/// Such a copy may have the tags of its original.
#[tokio::test(start_paused = true)]
async fn somebodys_own_copy_of_a_copy_stays() {
    let sandbox = Sandbox::new(world(&ONE));
    let reply = to_the_end(&sandbox, &by_image(&ONE)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let copy = sandbox.images(ONE[0].0, ONE[0].1).remove(0);
    let theirs = amiferry_sandbox::Image {
        image_id: "ami-00000000000000bad".to_owned(),
        name: "theirs".to_owned(),
        source_image_id: Some(copy.image_id.clone()),
        ..copy.clone()
    };
    tokio::time::sleep(Duration::from_mins(1)).await;
    sandbox
        .edit(|aws| aws.add_image(ONE[0].0, theirs))
        .expect("a good image");
    let again = to_the_end(&sandbox, &by_image(&ONE)).await;
    assert_eq!(target(&again, ONE[0])["ImageId"], copy.image_id, "{again}");
    assert_eq!(sandbox.images(ONE[0].0, ONE[0].1).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_ec2_becomes_a_remedy_and_nothing_stays() {
    let changes: [(Change<Facts>, &str); 2] = [
        (
            |facts| facts.billed_images_across_accounts = false,
            "BillingProduct",
        ),
        (
            |facts| facts.image_copies_across_accounts = false,
            "storage of this ami",
        ),
    ];
    for (change, said) in changes {
        let mut facts = Facts::default();
        change(&mut facts);
        let sandbox = Sandbox::new(world_with(billed(), &ONE).facts(facts));
        let reply = to_the_end(&sandbox, &by_image(&ONE)).await;
        assert_eq!(reply["Status"], "Failed", "{said}: {reply}");
        let result = target(&reply, ONE[0]);
        let reason = result["Reason"].as_str().expect("a reason");
        assert!(reason.contains(said), "{reason}");
        let remedy = result["Remedy"].as_str().expect("a remedy");
        if said != "storage of this ami" {
            assert_eq!(result["Cause"], "ImageNotCopyable", "{reply}");
            assert!(remedy.contains("Strategy: Snapshots"), "{remedy}");
        }
        assert_nothing(&sandbox, &ONE);
        assert_closed(&sandbox);
    }
}

#[tokio::test(start_paused = true)]
async fn two_runs_at_once_leave_one_image() {
    for late in [Duration::ZERO, Duration::from_secs(30)] {
        let sandbox = Sandbox::new(world(&TWO).tag_delay(late).read_delay(late));
        let mut other = by_image(&TWO);
        other["Distribute"]["Tags"] = json!({"of": "another run"});
        let (one, two) = (by_image(&TWO), other);
        let (one, two) = tokio::join!(to_the_end(&sandbox, &one), to_the_end(&sandbox, &two));
        for reply in [&one, &two] {
            assert_eq!(reply["Status"], "Succeeded", "{late:?}: {reply}");
        }
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_copied_as_whole(&sandbox, &TWO);
        for place in TWO {
            assert_eq!(
                target(&one, place)["ImageId"],
                target(&two, place)["ImageId"]
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_state_twice_at_once_makes_one_image() {
    let sandbox = Sandbox::new(slow_world(&ONE));
    let (event, invoked) = (by_image(&ONE).to_string(), invocation(&sandbox));
    let (one, two) = (function(&sandbox).await, function(&sandbox).await);
    let (one, two) = tokio::join!(one.handle(&event, &invoked), two.handle(&event, &invoked));
    for reply in [one, two] {
        let reply = reply.expect("a reply");
        assert_eq!(reply["Status"], "Continue", "{reply}");
        let reply = to_the_end(&sandbox, &json!({"State": reply["State"]})).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
    }
    assert_copied_as_whole(&sandbox, &ONE);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_who_takes_the_name_meanwhile_keeps_it() {
    let sandbox = Sandbox::new(slow_world(&ONE));
    let state = short_call(&sandbox, &by_image(&ONE)).await;
    assert_eq!(state["Status"], "Continue", "{state}");
    let name = sandbox.images(ONE[0].0, ONE[0].1)[0].name.clone();
    let stranger = amiferry_sandbox::Image::new(ONE[0].1, "ami-00000000000000bad", "other");
    sandbox.edit(|aws| {
        aws.add_image(ONE[0].0, stranger).expect("a good image");
        aws.change_image("ami-00000000000000bad", |image| image.name = name)
    });
    let reply = to_the_end(&sandbox, &json!({"State": state["State"]})).await;
    let result = target(&reply, ONE[0]);
    assert_eq!(result["Cause"], "NotFaithful", "{reply}");
    let reason = result["Reason"].as_str().expect("a reason");
    assert!(
        reason.contains("ami-00000000000000bad has the name"),
        "{reason}"
    );
    let images = sandbox.images(ONE[0].0, ONE[0].1);
    assert_eq!(images.len(), 1, "the stranger's only");
    assert_eq!(sandbox.snapshots(ONE[0].0, ONE[0].1).len(), 0);
    assert_closed(&sandbox);
}

#[tokio::test(start_paused = true)]
async fn a_forged_state_lets_nobody_launch() {
    let sandbox = Sandbox::new(slow_world(&ONE));
    let state = short_call(&sandbox, &distribute(&ONE)).await;
    let mut forged = state["State"].clone();
    forged["Order"]["CopiesImage"] = json!(true);
    forged["Phase"] = json!("Looking");
    forged["Targets"][0]["Phase"] = json!("Looking");
    delete_copies(&sandbox, ONE[0]);
    let reply = to_the_end(&sandbox, &json!({"State": forged})).await;
    assert_ne!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(calls(&sandbox, "ModifyImageAttribute"), 0);
    assert_eq!(calls(&sandbox, "CopyImage"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_launch_permission_of_before_stays() {
    let sandbox = Sandbox::new(world(&TWO));
    let friend = amiferry_sandbox::LaunchPermission::User(TWO[0].0.to_owned());
    let before = friend.clone();
    sandbox.edit(|aws| {
        aws.change_image(AMI, |image| {
            image.launch_permissions.insert(friend);
        })
    });
    let reply = to_the_end(&sandbox, &by_image(&TWO)).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let images = sandbox.images(SOURCE, HOME);
    let left: Vec<_> = images[0].launch_permissions.iter().cloned().collect();
    assert_eq!(left, [before]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_takes_too_long_is_undone() {
    let sandbox = Sandbox::new(world(&ONE).copy_mib_per_second(0.1));
    let reply = to_the_end(&sandbox, &by_image(&ONE)).await;
    assert_eq!(target(&reply, ONE[0])["Cause"], "TooSlow", "{reply}");
    assert_nothing(&sandbox, &ONE);
    assert_closed(&sandbox);
}

/// The shapes of images that people distribute.
const SHAPES: [(&str, Change<Account>); 12] = [
    ("Linux, two gp3 volumes, UEFI, TPM, IMDSv2", |_| {}),
    ("Linux for Arm", |account| {
        let image = &mut account.images[0];
        (image.architecture, image.boot_mode) = ("arm64".to_owned(), None);
        image.tpm_support = None;
    }),
    ("Linux, legacy BIOS, SR-IOV", |account| {
        let image = &mut account.images[0];
        (image.boot_mode, image.tpm_support) = (Some("legacy-bios".to_owned()), None);
        (image.sriov_net_support, image.uefi_data) = (Some("simple".to_owned()), None);
    }),
    ("with UEFI data", |account| {
        account.images[0].uefi_data = Some("QU1aTlVFRkk=".to_owned());
    }),
    ("one volume", |account| {
        account.images[0].block_device_mappings.truncate(1);
        account.snapshots.truncate(1);
    }),
    ("an empty volume beside the root", |account| {
        let empty = Ebs::default().gp3(10, 3000, 125);
        let empty = BlockDeviceMapping::ebs("/dev/sdf", empty);
        account.images[0].block_device_mappings.push(empty);
    }),
    ("io2 volumes", |account| {
        for ebs in account.images[0]
            .block_device_mappings
            .iter_mut()
            .filter_map(|m| m.ebs.as_mut())
        {
            (ebs.volume_type, ebs.iops, ebs.throughput) =
                (Some("io2".to_owned()), Some(4000), None);
        }
    }),
    ("Windows", |account| {
        bill(account, "Windows", "RunInstances:0002");
    }),
    ("Red Hat Enterprise Linux", |account| {
        bill(account, "Red Hat Enterprise Linux", "RunInstances:0010");
    }),
    ("SUSE Linux", |account| {
        bill(account, "SUSE Linux", "RunInstances:000g");
    }),
    ("Windows with SQL Server", |account| {
        bill(
            account,
            "Windows with SQL Server Standard",
            "RunInstances:0006",
        );
    }),
    ("with a watermark", |account| {
        account.images[0].watermarks = vec!["111111111111:golden".to_owned()];
    }),
];

/// Has EC2 bill the image's instances for this, where copied snapshots do not say so.
fn bill(account: &mut Account, platform: &str, operation: &str) {
    platform.clone_into(&mut account.images[0].platform_details);
    operation.clone_into(&mut account.images[0].usage_operation);
}

/// Returns what became of an image by this way, in words.
async fn carried(shape: Change<Account>, strategy: &str) -> (String, bool) {
    let mut account = producer();
    shape(&mut account);
    let source = account.images[0].clone();
    let sandbox = Sandbox::new(world_with(account, &ONE));
    let mut event = distribute(&ONE);
    event["Distribute"]["Strategy"] = json!(strategy);
    let reply = to_the_end(&sandbox, &event).await;
    let whole = calls(&sandbox, "CopyImage") > 0;
    assert_closed(&sandbox);
    if reply["Status"] != "Succeeded" {
        assert_nothing(&sandbox, &ONE);
        let result = target(&reply, ONE[0]);
        let reason = result["Reason"].as_str().expect("a reason");
        return (
            format!(
                "refused: {}",
                reason.split(" is ").next().unwrap_or_default()
            ),
            whole,
        );
    }
    let copy = sandbox.images(ONE[0].0, ONE[0].1).remove(0);
    assert_same(&source, &copy);
    let mut lost = Vec::new();
    if copy.watermarks != source.watermarks {
        lost.push("the watermark");
    }
    if copy.source_image_id.is_none() {
        lost.push("the ancestor's name");
    }
    let words = match lost.as_slice() {
        [] => "all".to_owned(),
        lost => format!("all but {}", lost.join(" and ")),
    };
    (words, whole)
}

#[tokio::test(start_paused = true)]
async fn the_table_of_shapes_is_what_was_carried_by_both_ways() {
    let mut table =
        String::from("\n| image | `Snapshots` carries | `Image` carries | `Auto` takes |\n");
    table += "|---|---|---|---|\n";
    for (name, shape) in SHAPES {
        let (by_snapshots, _) = carried(shape, "Snapshots").await;
        let (as_whole, _) = carried(shape, "Image").await;
        let (_, whole) = carried(shape, "Auto").await;
        let auto = if whole { "`Image`" } else { "`Snapshots`" };
        let _ = writeln!(table, "| {name} | {by_snapshots} | {as_whole} | {auto} |");
    }
    shown(
        "docs/how-it-works.md",
        "shapes by both ways",
        &format!("{table}\n"),
    );
}

#[tokio::test(start_paused = true)]
async fn preflight_asks_about_copy_image_and_the_allowed_images_of_the_target() {
    let asked = json!({"Preflight": by_image(&ONE)["Distribute"]});
    let sandbox = Sandbox::new(world(&ONE));
    let told = call(&sandbox, &asked).await.expect("findings");
    assert_eq!(told["Status"], "Ready", "{told}");
    assert!(
        told.to_string()
            .contains("Meanwhile shared: the image, 2 snapshots"),
        "{told}"
    );
    assert_eq!(sandbox.images(ONE[0].0, ONE[0].1).len(), 0);

    let mut world = world(&ONE);
    let role = &mut world.accounts[1].roles[0];
    role.policies = role
        .policies
        .iter()
        .map(|p| p.replace("\"ec2:CopyImage\"", "\"ec2:No\""))
        .collect();
    let sandbox = Sandbox::new(world);
    let told = call(&sandbox, &asked).await.expect("findings").to_string();
    assert!(
        told.contains("CopyImage") && told.contains("NotReady"),
        "{told}"
    );

    let mut world = crate::support::world(&ONE);
    let looks = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
        "Action": "ec2:GetAllowedImagesSettings", "Resource": "*"}]});
    world.accounts[1].roles[0].policies.push(looks.to_string());
    let sandbox = Sandbox::new(world);
    sandbox.edit(|aws| {
        aws.change_ec2_settings(ONE[0].0, ONE[0].1, |settings| {
            *settings = std::mem::take(settings).allowing(&["999999999999"]);
        })
    });
    let told = call(&sandbox, &asked).await.expect("findings").to_string();
    assert!(told.contains("or use Strategy: Snapshots"), "{told}");
}
