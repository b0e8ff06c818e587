//! `Enroll`: accounts that joined get the image of each channel.

use amiferry::error::Error;
use amiferry::setup::Settings;
use amiferry_sandbox::{Organization, Sandbox, World};
use serde_json::{Value, json};

use crate::support::*;

const UNIT: &str = "ou-ab12-11111111";
const DEV: &str = "/golden/dev";
const PROD: &str = "/golden/prod";
/// Accounts that are there from the beginning, and those that join.
const FORMER: [&str; 3] = ["222222222222", "333333333333", "444444444444"];
const JOINED: [&str; 2] = ["555555555555", "666666666666"];
/// The next source image.
const NEXT: &str = "ami-0a1b2c3d4e5f60799";

fn world_of_unit() -> World {
    let organization = Organization::new(ORG, SOURCE, "r-ab12").unit(UNIT, "team", "r-ab12");
    let opt_in = ("amiferry:distribute", "true");
    let mut next = image();
    next.tags.insert(opt_in.0.to_owned(), opt_in.1.to_owned());
    NEXT.clone_into(&mut next.image_id);
    "golden-next".clone_into(&mut next.name);
    let mut source = producer().parent("r-ab12").image(next);
    source.images[0]
        .tags
        .insert(opt_in.0.to_owned(), opt_in.1.to_owned());
    let mut world = World::new()
        .copy_mib_per_second(4096.0)
        .organization(organization)
        .account(source);
    for id in FORMER.into_iter().chain(JOINED) {
        let mut account = consumer(id, &[HOME]).parent(UNIT);
        let policy = documented("PublishImage").replace("222222222222", id);
        account.roles[0].policies.push(policy);
        world = world.account(account);
    }
    world
}

fn own_request() -> Value {
    json!({"OrganizationalUnitIds": [UNIT], "TargetKmsKeyIds": ["alias/amis"],
        "Publish": {"Parameter": DEV, "DeprecateAfterDays": 90}})
}

fn with_request(request: &Value) -> Settings {
    Settings {
        request: Some(request.to_string()),
        state_machine: Some(MACHINE.to_owned()),
        ..settings()
    }
}

/// Distributes an image to these accounts, and writes it into a channel.
async fn distributed(sandbox: &Sandbox, image: &str, channel: &str, accounts: &[&str]) {
    let event = json!({"Distribute": {"SourceImageId": image, "TargetAccountIds": accounts,
        "TargetKmsKeyIds": ["alias/amis"], "Publish": {"Parameter": channel}}});
    let reply = to_the_end(sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
}

/// Returns a sandbox whose former accounts have the first image in `DEV`.
async fn before_they_join() -> Sandbox {
    let sandbox = Sandbox::new(world_of_unit());
    distributed(&sandbox, AMI, DEV, &FORMER).await;
    sandbox
}

async fn enroll_with(sandbox: &Sandbox, settings: Settings, call: Value) -> Result<Value, Error> {
    let function = function_with(sandbox, settings).await;
    let event = json!({ "Enroll": call }).to_string();
    function.handle(&event, &invocation(sandbox)).await
}

async fn enroll(sandbox: &Sandbox, call: Value) -> Value {
    let reply = enroll_with(sandbox, with_request(&own_request()), call).await;
    reply.expect("a reply")
}

/// Plays the executions that a channel's reply names.
async fn play(sandbox: &Sandbox, channel: &Value) {
    for name in channel["Executions"].as_array().expect("Executions") {
        let name = name.as_str().expect("a name");
        let input = sandbox.execution_input(MACHINE, name).expect("started");
        let event: Value = serde_json::from_str(&input).expect("JSON");
        let reply = to_the_end(sandbox, &event).await;
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        sandbox.end_execution(MACHINE, name, "SUCCEEDED");
    }
}

/// Returns the source image whose copy a channel holds.
fn held(sandbox: &Sandbox, account: &str, channel: &str) -> Option<String> {
    let last = sandbox.parameter(account, HOME, channel).pop()?.value;
    let mut images = sandbox.images(account, HOME).into_iter();
    let image = images.find(|image| image.image_id == last)?;
    image.tags.get("amiferry:source-image").cloned()
}

/// Returns the accounts that a channel's reply lists with this word.
fn listed<'a>(channel: &'a Value, word: &str) -> Vec<&'a str> {
    let targets = channel["Targets"].as_array().expect("Targets").iter();
    let of_word = targets.filter(|one| one["Status"] == word);
    of_word
        .map(|one| one["AccountId"].as_str().expect("an account"))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn accounts_that_joined_get_the_image_of_the_others_once() {
    let sandbox = before_they_join().await;
    let dry = enroll(&sandbox, json!({})).await;
    assert_eq!(
        (&dry["Status"], &dry["Applied"]),
        (&json!("Succeeded"), &json!(false))
    );
    let channel = &dry["Channels"][0];
    assert_eq!(listed(channel, "WouldEnroll"), JOINED, "{channel}");
    assert_eq!(channel["UpToDate"], 3);
    assert_eq!(calls(&sandbox, "StartExecution"), 0, "a dry run");

    let reply = enroll(&sandbox, json!({"Apply": true})).await;
    let channel = &reply["Channels"][0];
    assert_eq!(listed(channel, "Enrolled"), JOINED, "{reply}");
    assert_eq!(channel["SourceImageId"], AMI);
    // The same call again, as by an event that is delivered twice, starts nothing.
    let again = enroll(&sandbox, json!({"Apply": true})).await;
    assert_eq!(again["Channels"][0]["Executions"], channel["Executions"]);
    play(&sandbox, channel).await;
    for account in JOINED {
        assert_eq!(held(&sandbox, account, DEV).as_deref(), Some(AMI));
    }
    let image = sandbox.images(JOINED[0], HOME).pop().expect("a copy");
    assert!(image.deprecation_time.is_some(), "published as requested");
    assert_closed(&sandbox);

    let after = enroll(&sandbox, json!({"Apply": true})).await;
    let channel = &after["Channels"][0];
    assert_eq!(
        (&channel["UpToDate"], &channel["Executions"]),
        (&json!(5), &json!([]))
    );
}

#[tokio::test(start_paused = true)]
async fn each_channel_has_its_own_image() {
    let sandbox = before_they_join().await;
    distributed(&sandbox, AMI, PROD, &FORMER).await;
    distributed(&sandbox, NEXT, DEV, &FORMER).await;
    let call = json!({"Apply": true, "Channels": format!("{DEV},{PROD}")});
    let reply = enroll(&sandbox, call).await;
    let channels = reply["Channels"].as_array().expect("Channels");
    for (channel, image) in channels.iter().zip([NEXT, AMI]) {
        assert_eq!(channel["SourceImageId"], image, "{channel}");
        play(&sandbox, channel).await;
    }
    for account in JOINED {
        assert_eq!(held(&sandbox, account, DEV).as_deref(), Some(NEXT));
        assert_eq!(held(&sandbox, account, PROD).as_deref(), Some(AMI));
    }
}

/// A target account can tag any image of its own as it likes.
#[tokio::test(start_paused = true)]
async fn one_account_cannot_choose_the_image_of_those_that_join() {
    let sandbox = before_they_join().await;
    let forger = FORMER[0];
    let copy = sandbox.images(forger, HOME).pop().expect("a copy").image_id;
    sandbox.edit(|aws| {
        aws.change_image(&copy, |image| {
            let said = ("amiferry:source-image".to_owned(), NEXT.to_owned());
            image.tags.extend([said]);
        });
    });
    let reply = enroll(&sandbox, json!({"Apply": true})).await;
    let channel = &reply["Channels"][0];
    assert_eq!(channel["SourceImageId"], AMI);
    assert_eq!(listed(channel, "Behind"), [forger]);
    assert_eq!(listed(channel, "Enrolled"), JOINED);
}

#[tokio::test(start_paused = true)]
async fn an_image_whose_owner_took_the_opt_in_away_goes_to_nobody() {
    let sandbox = before_they_join().await;
    sandbox.edit(|aws| {
        aws.change_image(AMI, |image| {
            image.tags.remove("amiferry:distribute");
        });
    });
    let reply = enroll(&sandbox, json!({"Apply": true})).await;
    assert_eq!(reply["Status"], "Failed", "{reply}");
    let channel = &reply["Channels"][0];
    let reason = channel["Reason"].to_string();
    assert!(reason.contains("amiferry:distribute=true"), "{reason}");
    assert_eq!(listed(channel, "Without"), JOINED);
    assert_eq!(calls(&sandbox, "StartExecution"), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_without_its_role_waits_and_the_others_are_served() {
    let mut world = world_of_unit();
    let last = world.accounts.last_mut().expect("an account");
    last.roles.clear();
    let sandbox = Sandbox::new(world);
    distributed(&sandbox, AMI, DEV, &FORMER).await;
    let reply = enroll(&sandbox, json!({"Apply": true})).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let channel = &reply["Channels"][0];
    assert_eq!(listed(channel, "Enrolled"), [JOINED[0]]);
    assert_eq!(listed(channel, "Unread"), [JOINED[1]]);
    let reason = channel["Targets"][1]["Reason"].to_string();
    assert!(reason.contains("AssumeRole"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_served_says_what_to_change() {
    let sandbox = Sandbox::new(world_of_unit());
    let shares = json!({"Mode": "Share", "OrganizationalUnitIds": [UNIT]});
    let no_parameter = json!({"OrganizationalUnitIds": [UNIT]});
    let mut of_image = own_request();
    of_image["Publish"]["Parameter"] = json!("/golden/{name}");
    let without_machine = Settings {
        state_machine: None,
        ..with_request(&own_request())
    };
    for (settings, call, words) in [
        (with_request(&shares), json!({}), "Mode: is Share"),
        (
            with_request(&no_parameter),
            json!({}),
            "Enroll.Channels: is required",
        ),
        (
            with_request(&of_image),
            json!({}),
            "Publish.Parameter: has {name}",
        ),
        (
            without_machine,
            json!({"Apply": true}),
            "AMIFERRY_STATE_MACHINE_ARN: is not set",
        ),
        (settings(), json!({}), "AMIFERRY_REQUEST: is not set"),
        (
            with_request(&own_request()),
            json!({"Channels": ["/golden/{image}"]}),
            "Enroll.Channels[0]: has {image}",
        ),
        (
            with_request(&own_request()),
            json!({"Color": "red"}),
            "Enroll.Color: unknown key",
        ),
    ] {
        let said = enroll_with(&sandbox, settings, call.clone()).await;
        let said = said.expect_err("refused").to_string();
        assert!(said.starts_with(words), "{call}: {said}");
    }
    // No target has a copy yet.
    let reply = enroll(&sandbox, json!({"Apply": true})).await;
    assert_eq!(reply["Status"], "Failed");
    let reason = reply["Channels"][0]["Reason"].to_string();
    assert!(reason.contains("no target holds a copy"), "{reason}");
}
