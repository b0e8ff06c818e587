//! Provoking the refusals of instances.

use crate::client::Answer;
use crate::instance_status::launch_again;
use crate::launching::{launch, launched, reason_of, show_only};
use crate::worlds::{Bench, IMAGE, PRODUCER, SOURCE_KEY};

pub async fn provoke(name: &str) -> Option<Answer> {
    let bench = Bench::new();
    let describe = async |id: &str| {
        let params = [("InstanceId.1", id)];
        bench.producer.ec2("DescribeInstances", &params).await
    };
    let run = async |kind: &str| launch(&bench.producer, IMAGE, &[("InstanceType", kind)]).await;
    Some(match name {
        "INSTANCE_MALFORMED" => describe("i-?").await,
        "INSTANCE_NOT_FOUND" => describe("i-0000000000000dead").await,
        "IDEMPOTENT_INSTANCE_TERMINATED" => launch_again(&bench).await,
        "SUBNET_NOT_FOUND" => launch(&bench.producer, IMAGE, &[("SubnetId", "default")]).await,
        "INSTANCE_PROFILE_NOT_FOUND" => {
            let profile = [("IamInstanceProfile.Name", "nobody")];
            launch(&bench.producer, IMAGE, &profile).await
        }
        "LAUNCH_ARCHITECTURE" => run("t4g.micro").await,
        "LAUNCH_VIRTUALIZATION" => run("m1.small").await,
        "LAUNCH_NEEDS_ENA" => run("t3.micro").await,
        "LAUNCH_CLIENT_ERROR" => {
            show_only(&bench, SOURCE_KEY, PRODUCER);
            failed(&bench).await
        }
        "LAUNCH_KEY_STATE" => {
            bench.sandbox.edit(|aws| aws.disable_key(SOURCE_KEY));
            failed(&bench).await
        }
        _ => return None,
    })
}

async fn failed(bench: &Bench) -> Answer {
    let id = launched(&bench.producer, IMAGE).await;
    let (code, message) = reason_of(&bench.producer, &id).await.expect("a reason");
    Answer {
        status: 200,
        refusal: None,
        code: Some(code),
        body: message,
    }
}
