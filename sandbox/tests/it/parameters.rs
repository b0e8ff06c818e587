//! Parameter Store: parameters, their versions, and the validation of image IDs.

use std::time::Duration;

use amiferry_sandbox::Parameter;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::client::Answer;
use crate::policies::{allow, deny, document};
use crate::worlds::{Bench, CONSUMER, IMAGE, PRODUCER, WEST, world};

const NAME: &str = "/amis/golden";
const ADMIN: &str = "arn:aws:iam::111111111111:user/admin";

fn text(value: &str) -> Value {
    json!({"Name": NAME, "Type": "String", "Value": value, "Overwrite": true})
}

fn image(value: &str) -> Value {
    let mut body = text(value);
    body["DataType"] = json!("aws:ec2:image");
    body
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

async fn put(bench: &Bench, body: Value) -> Answer {
    bench.producer.ssm("PutParameter", body).await
}

fn kept(bench: &Bench) -> Vec<(u64, String)> {
    let versions = bench.sandbox.parameter(PRODUCER, WEST, NAME).into_iter();
    versions.map(|v| (v.version, v.value)).collect()
}

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    Some(match name {
        "SSM_VALIDATION" => put(&bench, with(text("x"), "Type", json!("Number"))).await,
        "SSM_NAME" => put(&bench, with(text("x"), "Name", json!("/aws/golden"))).await,
        "SSM_NAME_NOT_QUALIFIED" => {
            put(&bench, with(text("x"), "Name", json!("amis/golden"))).await
        }
        "SSM_LEVELS" => put(&bench, with(text("x"), "Name", json!("/a".repeat(16)))).await,
        "SSM_TYPE_MISSING" => put(&bench, with(text("x"), "Type", Value::Null)).await,
        "SSM_TAGS_AND_OVERWRITE" => {
            let tags = json!([{"Key": "a", "Value": "b"}]);
            put(&bench, with(text("x"), "Tags", tags)).await
        }
        "SSM_DATA_TYPE_CHANGE" => {
            put(&bench, text("x")).await.ok();
            put(&bench, image(IMAGE)).await
        }
        "SSM_PARAMETER_ALREADY_EXISTS" => {
            put(&bench, text("x")).await.ok();
            put(&bench, with(text("y"), "Overwrite", json!(false))).await
        }
        "SSM_PARAMETER_NOT_FOUND" => {
            let body = json!({"Name": NAME});
            bench.producer.ssm("GetParameterHistory", body).await
        }
        "SSM_INVALID_NEXT_TOKEN" => {
            put(&bench, text("x")).await.ok();
            let body = json!({"Name": NAME, "NextToken": "elsewhere"});
            bench.producer.ssm("GetParameterHistory", body).await
        }
        "SSM_ACCESS_DENIED" => bench.nobody.ssm("PutParameter", text("x")).await,
        _ => return None,
    })
}

#[tokio::test(start_paused = true)]
async fn a_parameter_keeps_its_last_hundred_versions() {
    let bench = Bench::new();
    for i in 1..=101 {
        let answer = put(&bench, text(&format!("value {i}"))).await.ok();
        assert_eq!(answer.json(), json!({"Version": i, "Tier": "Standard"}));
    }
    let history = async |more: Value| {
        let body = with(more, "Name", json!(NAME));
        let answer = bench.producer.ssm("GetParameterHistory", body).await;
        answer.ok().json()
    };
    let mut seen = Vec::new();
    let mut page = history(json!({"MaxResults": 30})).await;
    loop {
        let versions = page["Parameters"].as_array().expect("a page").clone();
        assert!(versions.len() <= 30);
        seen.extend(
            versions
                .iter()
                .map(|v| v["Version"].as_u64().expect("a number")),
        );
        let Some(token) = page["NextToken"].as_str() else {
            break;
        };
        page = history(json!({"MaxResults": 30, "NextToken": token})).await;
    }
    assert_eq!(seen, (2..=101).collect::<Vec<u64>>());
    let get = async |name: &str| {
        let body = json!({"Name": name});
        let answer = bench.producer.ssm("GetParameter", body).await.ok();
        answer.json()["Parameter"].clone()
    };
    let shown = get(NAME).await;
    assert_eq!(shown["Value"], "value 101");
    assert_eq!(shown["Version"], 101);
    assert_eq!(shown["DataType"], "text");
    let arn = "arn:aws:ssm:us-west-2:111111111111:parameter/amis/golden";
    assert_eq!(shown["ARN"], arn);
    assert_eq!(get(arn).await, shown);
    let east = bench.producer.in_region("us-east-1");
    let elsewhere = east.ssm("GetParameter", json!({"Name": NAME})).await;
    assert_eq!(
        elsewhere.refusal.as_deref(),
        Some("SSM_PARAMETER_NOT_FOUND")
    );
}

#[tokio::test(start_paused = true)]
async fn an_image_id_becomes_a_version_once_it_is_validated() {
    let bench = Bench::new();
    put(&bench, image(IMAGE)).await.ok();
    assert_eq!(kept(&bench), []);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(kept(&bench), [(1, IMAGE.to_owned())]);
    let value = "ami-0000000000000dead";
    for wrong in [value, "golden", "ami-XYZ"] {
        let answer = put(&bench, image(wrong)).await.ok();
        assert_eq!(answer.json()["Version"], 2, "{wrong}");
        sleep(Duration::from_mins(1)).await;
        assert_eq!(kept(&bench), [(1, IMAGE.to_owned())], "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_image_that_the_account_cannot_use_is_no_version() {
    let bench = Bench::new();
    let body = image(IMAGE);
    bench.consumer.ssm("PutParameter", body.clone()).await.ok();
    let east = bench.producer.in_region("us-east-1");
    east.ssm("PutParameter", body.clone()).await.ok();
    sleep(Duration::from_mins(1)).await;
    assert!(bench.sandbox.parameter(CONSUMER, WEST, NAME).is_empty());
    assert!(
        bench
            .sandbox
            .parameter(PRODUCER, "us-east-1", NAME)
            .is_empty()
    );
    // The image must be there when its ID is validated, not when it is put.
    put(&bench, body).await.ok();
    sleep(Duration::from_secs(2)).await;
    let image = [("ImageId", IMAGE)];
    bench.producer.ec2("DeregisterImage", &image).await.ok();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(kept(&bench), []);
}

#[tokio::test(start_paused = true)]
async fn an_image_id_needs_permission_to_describe_images() {
    let bench = Bench::new();
    let refused = async |body: Value| put(&bench, body).await.refusal;
    let policy = document(&[allow("ssm:*", "*"), allow("ec2:*", "*"), {
        deny("ec2:DescribeImages")
    }]);
    bench.set_policies(ADMIN, &[&policy.to_string()]);
    assert_eq!(refused(text("x")).await, None);
    let body = with(image(IMAGE), "Name", json!("/amis/other"));
    let denied = Some("SSM_ACCESS_DENIED".to_owned());
    assert_eq!(refused(body).await, denied);
    let arn = "arn:aws:ssm:us-west-2:111111111111:parameter/amis/*";
    let policy = document(&[allow("ssm:PutParameter", arn)]);
    bench.set_policies(ADMIN, &[&policy.to_string()]);
    assert_eq!(refused(text("y")).await, None);
    let body = with(text("y"), "Name", json!("/other/golden"));
    assert_eq!(refused(body).await, denied);
}

#[tokio::test(start_paused = true)]
async fn a_declared_parameter_has_one_version() {
    let mut world = world();
    let parameter = Parameter::new(WEST, NAME, "ami-0000000000000c001").data_type("aws:ec2:image");
    world.accounts[0].parameters.push(parameter);
    let bench = Bench::of(world);
    let [version] = &bench.sandbox.parameter(PRODUCER, WEST, NAME)[..] else {
        panic!("one version")
    };
    assert_eq!(version.data_type, "aws:ec2:image");
    let body = json!({"Name": NAME, "Value": IMAGE, "Overwrite": true});
    put(&bench, body).await.ok();
    sleep(Duration::from_mins(1)).await;
    assert_eq!(kept(&bench).last(), Some(&(2, IMAGE.to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_call_of_parameter_store_that_is_not_modelled_is_refused() {
    let bench = Bench::new();
    for (operation, body) in [
        ("DeleteParameter", json!({"Name": NAME})),
        (
            "PutParameter",
            with(text("x"), "Type", json!("SecureString")),
        ),
        ("PutParameter", with(text("x"), "Tier", json!("Advanced"))),
        ("PutParameter", with(text("x"), "KeyId", json!("alias/x"))),
        ("GetParameter", json!({"Name": "/amis/golden:1"})),
    ] {
        let answer = bench.producer.ssm(operation, body).await;
        let refusal = answer.refusal.as_deref();
        assert_eq!(refusal, Some("NOT_IMPLEMENTED"), "{operation}");
    }
}
