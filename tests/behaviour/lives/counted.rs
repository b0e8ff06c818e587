//! Copies that more than one resource counts on.

use super::*;

/// Two resources of different logical IDs or stacks count on one AMI.
#[tokio::test(start_paused = true)]
async fn an_image_that_another_resource_counts_on_is_kept_until_the_last_delete() {
    let place = [TWO[0]];
    for first in ["GoldenImage", "Renamed"] {
        let stack = Stack::new(&place);
        let properties = deregistered(&place);
        let send = async |kind: &str, logical: &str, id: Option<&Value>| {
            let mut event = stack.event(kind, &properties);
            event["LogicalResourceId"] = json!(logical);
            event["RequestId"] = json!(format!("{kind}-{logical}"));
            if let Some(id) = id {
                event["PhysicalResourceId"] = id.clone();
            }
            let answer = stack.send(&event).await;
            assert_eq!(answer["Status"], "SUCCESS", "{answer}");
            answer
        };
        let one = send("Create", "GoldenImage", None).await;
        let other = send("Create", "Renamed", None).await;
        let image = assert_one_image(&stack.sandbox, place[0]);
        assert_eq!(one["Data"]["Images"], other["Data"]["Images"]);
        let (last, ids) = if first == "GoldenImage" {
            ("Renamed", [&one, &other])
        } else {
            ("GoldenImage", [&other, &one])
        };
        let deleted = send("Delete", first, Some(&ids[0]["PhysicalResourceId"])).await;
        assert_eq!(
            assert_one_image(&stack.sandbox, place[0]).image_id,
            image.image_id
        );
        if first == "GoldenImage" {
            let reason = deleted["Reason"].as_str().expect("a reason");
            let result = format!("{} stays: run ", image.image_id);
            assert!(
                reason.contains(&result) && reason.contains("Renamed"),
                "{reason}"
            );
        }
        send("Delete", last, Some(&ids[1]["PhysicalResourceId"])).await;
        assert_nothing(&stack.sandbox, &place);
        assert_closed(&stack.sandbox);
    }
}

/// A resource does not delete the AMI of a direct call, nor one that another resource has retained.
#[tokio::test(start_paused = true)]
async fn a_delete_keeps_images_of_direct_calls_and_retained_resources() {
    let place = [TWO[0]];
    for retained in [false, true] {
        let stack = Stack::new(&place);
        if retained {
            let mut event = stack.event("Create", &request(&place));
            event["LogicalResourceId"] = json!("Retained");
            event["RequestId"] = json!("create-retained");
            let created = stack.send(&event).await;
            event["RequestType"] = json!("Delete");
            event["RequestId"] = json!("delete-retained");
            event["PhysicalResourceId"] = created["PhysicalResourceId"].clone();
            stack.send(&event).await;
        } else {
            let reply = to_the_end(&stack.sandbox, &distribute(&place)).await;
            assert_eq!(reply["Status"], "Succeeded", "{reply}");
        }
        let image = assert_one_image(&stack.sandbox, place[0]);
        let created = stack
            .send(&stack.event("Create", &deregistered(&place)))
            .await;
        let id = created["PhysicalResourceId"].as_str().expect("an ID");
        let deleted = delete(&stack, id, &deregistered(&place)).await;
        assert_eq!(deleted["Status"], "SUCCESS", "{deleted}");
        assert_eq!(
            assert_one_image(&stack.sandbox, place[0]).image_id,
            image.image_id
        );
    }
}
