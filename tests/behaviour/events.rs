//! EventBridge's events, without a state machine. With one, see tests/fabric.

use std::time::Duration;

use amiferry::setup::Settings;
use amiferry_sandbox::Sandbox;
use serde_json::{Value, json};

use crate::support::*;

fn with_request() -> Settings {
    let mut request = request(&TWO);
    request.as_object_mut().unwrap().remove("SourceImageId");
    Settings {
        request: Some(request.to_string()),
        ..settings()
    }
}

fn became(state: &str, image: &str) -> Value {
    json!({"version": "0", "id": "11111111-2222-3333-4444-555555555555", "source": "aws.ec2",
        "detail-type": "EC2 AMI State Change",
        "account": SOURCE, "region": HOME,
        "resources": [format!("arn:aws:ec2:{HOME}::image/{image}")],
        "detail": {"RequestId": "r", "ImageId": image, "State": state, "ErrorMessage": ""}})
}

fn opted_in(sandbox: &Sandbox) {
    let tag = ("amiferry:distribute".to_owned(), "true".to_owned());
    sandbox.edit(|aws| {
        aws.change_image(AMI, |image| {
            image.tags.extend([tag]);
        })
    });
}

async fn send(
    sandbox: &Sandbox,
    settings: Settings,
    event: &Value,
) -> Result<Value, amiferry::error::Error> {
    let function = function_with(sandbox, settings).await;
    function
        .handle(&event.to_string(), &invocation(sandbox))
        .await
}

#[tokio::test(start_paused = true)]
async fn an_image_event_delivered_several_times_distributes_once() {
    let sandbox = Sandbox::new(world(&TWO));
    opted_in(&sandbox);
    for _ in 0..3 {
        let reply = send(&sandbox, with_request(), &became("available", AMI))
            .await
            .expect("a reply");
        assert_eq!(reply["Status"], "Succeeded", "{reply}");
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
    assert_eq!(calls(&sandbox, "CopySnapshot"), 4);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_no_wish_are_only_logged() {
    let sandbox = Sandbox::new(world(&TWO));
    let mut nothing = vec![
        became("available", AMI),
        became("available", "ami-00000000000000000"),
    ];
    for event in &nothing {
        let reply = send(&sandbox, with_request(), event)
            .await
            .expect("a reply");
        assert_eq!(reply["Status"], "Nothing", "{reply}");
    }
    opted_in(&sandbox);
    nothing = ["failed", "deregistered", "disabled"]
        .map(|state| became(state, AMI))
        .to_vec();
    for event in &nothing {
        let reply = send(&sandbox, with_request(), event)
            .await
            .expect("a reply");
        assert_eq!(reply["Status"], "Nothing", "{reply}");
    }
    let reply = send(&sandbox, settings(), &became("available", AMI))
        .await
        .expect("a reply");
    assert!(
        reply["Why"].as_str().unwrap().contains("AMIFERRY_REQUEST"),
        "{reply}"
    );
    // This image is a copy of amiferry's that carries the opt-in tag.
    let ours = ("amiferry:run".to_owned(), "0123456789abcdef".to_owned());
    sandbox.edit(|aws| aws.change_image(AMI, |image| image.tags.extend([ours])));
    let reply = send(&sandbox, with_request(), &became("available", AMI))
        .await
        .expect("a reply");
    assert!(
        reply["Why"]
            .as_str()
            .unwrap()
            .contains("copy that amiferry made"),
        "{reply}"
    );
    assert_nothing(&sandbox, &TWO);
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_in_the_settings_is_refused_by_name() {
    let sandbox = Sandbox::new(world(&TWO));
    opted_in(&sandbox);
    for (request, said) in [
        ("{", "AMIFERRY_REQUEST: is not JSON"),
        ("[]", "AMIFERRY_REQUEST: must be a JSON object"),
        (
            r#"{"AmiId": "ami-0a1b2c3d4e5f60718"}"#,
            "AMIFERRY_REQUEST.AmiId: is what the event says",
        ),
        (r#"{"Targets": []}"#, "Targets: is an empty list"),
    ] {
        let settings = Settings {
            request: Some(request.to_owned()),
            ..settings()
        };
        let error = send(&sandbox, settings, &became("available", AMI))
            .await
            .expect_err("refused");
        assert!(error.to_string().starts_with(said), "{error}");
    }
}

/// The distribution takes longer than one invocation, so the function invokes itself with the
/// state.
#[tokio::test(start_paused = true)]
async fn a_distribution_longer_than_one_invocation_continues_by_itself() {
    let sandbox = Sandbox::new(slow_world(&TWO).copy_mib_per_second(10.0));
    opted_in(&sandbox);
    let mut payloads = vec![became("available", AMI).to_string()];
    let mut turns = 0;
    while let Some(payload) = payloads.pop() {
        turns += 1;
        let mut short = invocation(&sandbox);
        short.deadline = Some(sandbox.now() + std::time::Duration::from_hours(1));
        let function = function_with(&sandbox, with_request()).await;
        function.handle(&payload, &short).await.expect("a turn");
        payloads.extend(
            sandbox
                .lambda_invocations()
                .into_iter()
                .map(|own| String::from_utf8(own.payload).unwrap()),
        );
    }
    assert!(turns > 1, "{turns}");
    assert_whole(&sandbox, &TWO);
    assert_closed(&sandbox);
}

/// Packer tags an image after it has become available, so the function looks for the tag again.
#[tokio::test(start_paused = true)]
async fn an_image_tagged_after_its_event_is_distributed() {
    for (after, distributed) in [(1, true), (100, true), (240, true), (400, false)] {
        let sandbox = Sandbox::new(world(&TWO));
        let tagging = async {
            tokio::time::sleep(Duration::from_secs(after)).await;
            opted_in(&sandbox);
        };
        let event = became("available", AMI);
        let (reply, ()) = tokio::join!(send(&sandbox, with_request(), &event), tagging);
        let status = if distributed { "Succeeded" } else { "Nothing" };
        assert_eq!(reply.expect("a reply")["Status"], status, "after {after} s");
    }
}

/// Packer deregisters its intermediate image after copying from it. An image that only has such a
/// name stays, and is distributed.
#[tokio::test(start_paused = true)]
async fn an_image_deregistered_soon_after_its_event_is_not_distributed() {
    for (passes, tagged_at_once) in [(true, true), (true, false), (false, true)] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.edit(|aws| aws.change_image(AMI, |image| image.name = "x7Ka2Pq".to_owned()));
        if tagged_at_once {
            opted_in(&sandbox);
        }
        let passing = async {
            tokio::time::sleep(Duration::from_mins(4)).await;
            if passes {
                assert!(sandbox.edit(|aws| aws.delete_image(AMI)));
            }
        };
        let event = became("available", AMI);
        let (reply, ()) = tokio::join!(send(&sandbox, with_request(), &event), passing);
        let reply = reply.expect("a reply");
        if passes {
            assert_eq!(reply["Status"], "Nothing", "{reply}");
            assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
        } else {
            assert_eq!(reply["Status"], "Succeeded", "{reply}");
        }
    }
}

/// The image is gone before its tag was found, whatever its name and tags.
#[tokio::test(start_paused = true)]
async fn an_image_deregistered_while_its_tag_is_awaited_is_not_distributed() {
    for (name, tagged_after) in [("golden", None), ("x7Ka2Pq", None), ("x7Ka2Pq", Some(30))] {
        let sandbox = Sandbox::new(world(&TWO));
        sandbox.edit(|aws| aws.change_image(AMI, |image| name.clone_into(&mut image.name)));
        let going = async {
            if let Some(after) = tagged_after {
                tokio::time::sleep(Duration::from_secs(after)).await;
                opted_in(&sandbox);
            }
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert!(sandbox.edit(|aws| aws.delete_image(AMI)));
        };
        let begun = sandbox.now();
        let event = became("available", AMI);
        let (reply, ()) = tokio::join!(send(&sandbox, with_request(), &event), going);
        let reply = reply.expect("a reply");
        assert_eq!(reply["Status"], "Nothing", "{reply}");
        let why = reply["Why"].as_str().unwrap_or_default();
        assert!(why.contains("deregistered"), "{why}");
        let took = sandbox.now().duration_since(begun).unwrap();
        assert!(took < Duration::from_secs(200), "{name}: {took:?}");
        assert_eq!(calls(&sandbox, "CopySnapshot"), 0);
        assert_nothing(&sandbox, &TWO);
    }
}

/// EventBridge delivers the event twice, and both deliveries wait for the tag at once.
#[tokio::test(start_paused = true)]
async fn events_delivered_twice_while_the_tag_is_awaited_distribute_once() {
    for later in [0, 7, 90] {
        let sandbox = Sandbox::new(world(&TWO));
        let tagging = async {
            tokio::time::sleep(Duration::from_mins(2)).await;
            opted_in(&sandbox);
        };
        let event = became("available", AMI);
        let again = async {
            tokio::time::sleep(Duration::from_secs(later)).await;
            send(&sandbox, with_request(), &event).await
        };
        let (first, second, ()) =
            tokio::join!(send(&sandbox, with_request(), &event), again, tagging);
        for reply in [first, second] {
            let reply = reply.expect("a reply");
            assert_eq!(reply["Status"], "Succeeded", "{later} s later: {reply}");
        }
        for place in TWO {
            assert_one_image(&sandbox, place);
        }
        assert_whole(&sandbox, &TWO);
        assert_closed(&sandbox);
    }
}

/// The owner removes the tag while the function waits for the image.
#[tokio::test(start_paused = true)]
async fn an_image_whose_tag_is_removed_while_awaited_is_not_distributed() {
    let sandbox = Sandbox::new(world(&TWO));
    sandbox.edit(|aws| aws.change_image(AMI, |image| "x7Ka2Pq".clone_into(&mut image.name)));
    opted_in(&sandbox);
    let taking = async {
        tokio::time::sleep(Duration::from_secs(90)).await;
        sandbox.edit(|aws| {
            aws.change_image(AMI, |image| {
                image.tags.remove("amiferry:distribute");
            })
        });
    };
    let event = became("available", AMI);
    let (reply, ()) = tokio::join!(send(&sandbox, with_request(), &event), taking);
    let reply = reply.expect("a reply");
    assert_eq!(reply["Status"], "Nothing", "{reply}");
    assert_nothing(&sandbox, &TWO);
}
