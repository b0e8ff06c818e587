//! The parameter of Systems Manager.

use std::time::Duration;

use super::*;

/// Writes a parameter as a person does.
async fn put(sandbox: &Sandbox, value: &str) {
    let ssm = aws_sdk_ssm::Client::new(&administrator(sandbox).await);
    let asked = ssm.put_parameter().name(NAME).value(value);
    let asked = asked.r#type(aws_sdk_ssm::types::ParameterType::String);
    let answer = asked.overwrite(true).send().await;
    answer.expect("an administrator may");
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn a_parameter_holds_the_verified_copy_and_the_result_names_the_former_one() {
    let world = with_parameter(publishing_world(&TWO), "aws:ec2:image");
    let sandbox = Sandbox::new(world);
    let event = publishing(&TWO, &json!({"Parameter": NAME}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for place in TWO {
        let told = target(&reply, place);
        let image = told["ImageId"].as_str().unwrap();
        let published = &told["Published"]["Parameter"];
        assert_eq!(published["Name"], NAME);
        let there = sandbox.parameter(place.0, place.1, NAME);
        let last = there.last().expect("a version");
        assert_eq!(
            (last.value.as_str(), last.data_type.as_str()),
            (image, "aws:ec2:image")
        );
        assert_eq!(published["Version"], last.version);
        let former = (place == PLACE).then_some(OLD);
        assert_eq!(published["FormerImageId"].as_str(), former);
    }
    assert_closed(&sandbox);
    // The same request again writes nothing, and tells the same.
    sandbox.clear_ledger();
    let again = to_the_end(&sandbox, &event).await;
    assert_eq!(again["Result"]["Targets"], reply["Result"]["Targets"]);
    assert_eq!(calls(&sandbox, "PutParameter"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_parameters_name_is_filled_in_and_made_of_characters_that_names_may_have() {
    let mut source = producer();
    source.images[0].name = "golden image (v1)".to_owned();
    let sandbox = Sandbox::new(permitted(world_with(source, &TWO)));
    let event = publishing(&TWO, &json!({"Parameter": "/golden/{name}/{region}"}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    for place in TWO {
        let name = format!("/golden/golden-image--v1-/{}", place.1);
        assert_eq!(
            target(&reply, place)["Published"]["Parameter"]["Name"],
            name
        );
        assert_eq!(values(&sandbox, place, &name).len(), 1);
    }
}

/// EventBridge may deliver the event of an old image again, days later.
#[tokio::test(start_paused = true)]
async fn a_parameter_that_was_changed_since_stays_when_the_request_comes_again() {
    let world = with_parameter(publishing_world(&[PLACE]), "aws:ec2:image");
    let sandbox = Sandbox::new(with_administrator(world));
    let event = publishing(&[PLACE], &json!({"Parameter": NAME}));
    let first = to_the_end(&sandbox, &event).await;
    assert_eq!(first["Status"], "Succeeded", "{first}");
    put(&sandbox, OLD).await;
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(values(&sandbox, PLACE, NAME).last().unwrap(), OLD);
    let told = target(&reply, PLACE);
    let notes = told["Notes"].to_string();
    assert!(notes.contains(NAME) && notes.contains(OLD), "{notes}");
    assert!(told["Published"].is_null(), "{told}");
}

/// Systems Manager changes no data type of a parameter.
#[tokio::test(start_paused = true)]
async fn a_parameter_of_type_text_stays_one() {
    let sandbox = Sandbox::new(with_parameter(publishing_world(&[PLACE]), "text"));
    let event = publishing(&[PLACE], &json!({"Parameter": NAME}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    let there = sandbox.parameter(PLACE.0, PLACE.1, NAME);
    assert_eq!(there.len(), 2);
    assert_eq!(there[1].value, copy(&sandbox).image_id);
    assert_eq!(there[1].data_type, "text");
}

#[tokio::test(start_paused = true)]
async fn a_denied_parameter_fails_its_target_and_keeps_the_copy() {
    let mut world = publishing_world(&TWO);
    world.accounts[1].roles[0].policies.truncate(1);
    let sandbox = Sandbox::new(world);
    let event = publishing(&TWO, &json!({"Parameter": NAME}));
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "PartiallySucceeded", "{reply}");
    let told = target(&reply, TWO[0]);
    assert_eq!(
        (&told["Status"], &told["Cause"]),
        (&json!("Failed"), &json!("NotPublished"))
    );
    let (reason, remedy) = (told["Reason"].to_string(), told["Remedy"].to_string());
    assert!(
        reason.contains("GetParameterHistory") && reason.contains("request ID"),
        "{reason}"
    );
    assert!(
        remedy.contains("222222222222") && remedy.contains("publishes the rest"),
        "{remedy}"
    );
    assert_whole(&sandbox, &TWO);
    assert_eq!(told["ImageId"], assert_one_image(&sandbox, TWO[0]).image_id);
    assert_closed(&sandbox);
    // Once it is allowed, the same request publishes the rest and copies nothing.
    sandbox.edit(|aws| {
        let role = &copy_role(PLACE.0, &[HOME]).policies;
        let policies = [role[0].as_str(), &documented("PublishImage")];
        let arn = "arn:aws:iam::222222222222:role/AmiCopyRole";
        assert!(aws.set_policies(arn, &policies).expect("good policies"));
    });
    sandbox.clear_ledger();
    let reply = to_the_end(&sandbox, &event).await;
    assert_eq!(reply["Status"], "Succeeded", "{reply}");
    assert_eq!(
        (
            calls(&sandbox, "CopySnapshot"),
            calls(&sandbox, "RegisterImage")
        ),
        (0, 0)
    );
}
