//! Whole runs of the engine, with the role under the documented policy, and what they leave.

use std::time::Duration;

use amiferry::error::{Error, Refusal};
use amiferry::handler::{Handler, Invocation};
use amiferry::setup::Settings;
use aws_sdk_ec2::types::{ImageAttributeName, OperationType, SnapshotAttributeName};
use serde_json::{Value, json};

use super::Course;
use super::copying::GRANTEE;
use crate::live_check::fact::{Fact, Held, Seen};
use crate::live_check::patience::Waiting;
use crate::live_check::scene::Scene;
use crate::local::invocation;

const RUN: Fact = Fact {
    name: "distribution",
    claim: "A distribution into both Regions succeeds, with the role under the policy that \
            amiferry policies prints",
    otherwise: "Do not distribute before the reason is mended",
};
const SHARE: Fact = Fact {
    name: "share",
    claim: "A share with the target account succeeds, and so does its end",
    otherwise: "Do not share before the reason is mended",
};
const CLOSED: Fact = Fact {
    name: "closed",
    claim: "After the runs nobody else can use the snapshot, the image or the key of the source",
    otherwise: "Something of the source was left open; the check's end removes it",
};

/// A step of a run returns when it would wait for longer, in seconds.
const PATIENCE: i64 = 4;

impl Course<'_> {
    /// Plays a distribution, a share and its end.
    pub(super) async fn runs(&mut self, told: &impl Fn(&str)) -> Result<(), Refusal> {
        told("distributing into both Regions, by the documented policy");
        let scene = self.scene;
        let policy = scene.key_policy().await?;
        // The runs shall find nothing open.
        scene
            .permit_snapshot(&scene.snapshot, OperationType::Remove)
            .await?;
        let seen = self
            .distributed()
            .await
            .unwrap_or_else(|e| Seen::no(e.to_string()));
        self.note(RUN, seen);
        told("sharing, and taking it back");
        let seen = self
            .shared()
            .await
            .unwrap_or_else(|e| Seen::no(e.to_string()));
        self.note(SHARE, seen);
        let seen = self.closed(&policy).await;
        self.note(CLOSED, seen);
        Ok(())
    }

    /// Returns the function, as a value in this process.
    fn handler(&self) -> Handler {
        let check = &self.scene.check;
        let settings = Settings {
            bucket: Some(check.name()),
            allowed_accounts: Some(check.target.account.clone()),
            allow_share: Some("true".to_owned()),
            ..Settings::default()
        };
        Handler::new(check.source.config().clone(), settings).with_patience(PATIENCE)
    }

    async fn distributed(&self) -> Result<Seen, Error> {
        let (scene, handler) = (self.scene, self.handler());
        let mut request = scene.request();
        if self.held(&GRANTEE) == Held::No {
            request["KeyAccess"] = json!("Policy");
        }
        let asked = json!({"Policies": request});
        let reply = handler.handle(&asked.to_string(), &invocation()).await?;
        let of_role = |document: &&Value| document["For"] == "copy role";
        let all = reply["Policies"].as_array().into_iter().flatten();
        let document = all.into_iter().find(of_role);
        let document = document.map_or(&Value::Null, |found| &found["Document"]);
        let put = scene.check.put_policy(document).await;
        put.map_err(Error::from_refusal)?;
        let mut waiting = Waiting::at_most(scene.check.patience);
        loop {
            let reply = played(&handler, json!({"Distribute": request})).await?;
            // IAM may not know the policy everywhere yet.
            if reply["Status"] != "Succeeded" && waiting.goes_on().await {
                continue;
            }
            let succeeded = reply["Status"] == "Succeeded";
            let mut words = told(&reply);
            if let Some(access) = request["KeyAccess"].as_str() {
                words = format!("KeyAccess: {access}: {words}");
            }
            return Ok(Seen::that(succeeded, words));
        }
    }

    async fn shared(&self) -> Result<Seen, Error> {
        let handler = self.handler();
        let mut request = json!({
            "SourceImageId": self.scene.image,
            "SourceRegion": self.scene.check.home,
            "Mode": "Share",
            "Targets": [{"AccountId": self.scene.check.target.account}],
        });
        let given = played(&handler, json!({"Distribute": request})).await?;
        request["Unshare"] = json!(true);
        let taken = played(&handler, json!({"Distribute": request})).await?;
        let both = [&given, &taken].iter().all(|r| r["Status"] == "Succeeded");
        let words = format!("shared: {}; taken back: {}", told(&given), told(&taken));
        Ok(Seen::that(both, words))
    }

    async fn closed(&self, policy: &str) -> Result<Seen, Refusal> {
        let (scene, source) = (self.scene, &self.scene.check.source);
        let region = scene.check.home.as_str();
        let ec2 = source.ec2(region);
        let mut waiting = Waiting::at_most(scene.check.patience);
        loop {
            let snapshot = ec2
                .describe_snapshot_attribute()
                .snapshot_id(&scene.snapshot)
                .attribute(SnapshotAttributeName::CreateVolumePermission)
                .send()
                .await
                .map_err(|e| {
                    source.refused("DescribeSnapshotAttribute", region, &scene.snapshot, &e)
                })?;
            let image = ec2
                .describe_image_attribute()
                .image_id(&scene.image)
                .attribute(ImageAttributeName::LaunchPermission)
                .send()
                .await
                .map_err(|e| source.refused("DescribeImageAttribute", region, &scene.image, &e))?;
            let open = [
                ("the snapshot", snapshot.create_volume_permissions().len()),
                ("the image", image.launch_permissions().len()),
                ("the key's grants", scene.grants().await?.len()),
                (
                    "the key's policy",
                    usize::from(scene.key_policy().await? != policy),
                ),
            ];
            let left: Vec<String> = open
                .iter()
                .filter(|(_, count)| *count > 0)
                .map(|(what, count)| format!("{what}: {count}"))
                .collect();
            if left.is_empty() {
                return Ok(Seen::yes("no permission, statement or grant is left"));
            }
            // Lists may show what is gone.
            if !waiting.goes_on().await {
                return Ok(Seen::no(format!("left open: {}", left.join(", "))));
            }
        }
    }
}

impl Scene {
    async fn key_policy(&self) -> Result<String, Refusal> {
        let (source, region) = (&self.check.source, self.check.home.as_str());
        let asked = source.kms(region).get_key_policy().key_id(&self.source_key);
        let read = asked.send().await;
        let read = read.map_err(|e| source.refused("GetKeyPolicy", region, &self.source_key, &e));
        Ok(read?.policy.unwrap_or_default())
    }
}

/// Follows a run to its end.
async fn played(handler: &Handler, event: Value) -> Result<Value, Error> {
    let mut event = event;
    loop {
        let facts: Invocation = invocation();
        let reply = handler.handle(&event.to_string(), &facts).await?;
        if reply["Status"] != "Continue" {
            return Ok(reply);
        }
        let wait = reply["WaitSeconds"].as_u64().unwrap_or(1);
        tokio::time::sleep(Duration::from_secs(wait)).await;
        event = json!({"State": reply["State"]});
    }
}

/// Returns the end of a run in words: its status, and the reason of the first target that failed.
fn told(reply: &Value) -> String {
    let status = reply["Status"].as_str().unwrap_or_default();
    let mut targets = reply["Result"]["Targets"].as_array().into_iter().flatten();
    let reason = targets.find_map(|target| target["Reason"].as_str());
    match reason {
        Some(reason) => format!("{status}: {reason}"),
        None => status.to_owned(),
    }
}
