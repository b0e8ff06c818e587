//! The callers of the function: one that passes the `State` on, and the state machine.

use std::cell::Cell;
use std::time::Duration;

use amiferry_sandbox::Sandbox;
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{copying, leaked};
use crate::support::*;

/// The time after which an event tells of the end of a copy.
const EVENT_AFTER: Duration = Duration::from_secs(1);
/// The outputs in one object of the Map's ResultWriter.
const CHILDREN_OF_A_FILE: usize = 2500;
/// The places of the machine's Map.
const MACHINE_CONCURRENCY: usize = 10_000;

/// The driver of a run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A caller of the function that passes the `State` on, such as the command line.
    Direct,
    /// The state machine, with a child for each target.
    Machine,
}

impl Driver {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Machine => "machine",
        }
    }

    /// Distributes, and returns the last reply.
    pub async fn drive(self, sandbox: &Sandbox, job: &Value, meter: &Meter) -> Value {
        match self {
            Self::Direct => direct(sandbox, job, meter).await,
            Self::Machine => machine(sandbox, job, meter).await,
        }
    }
}

/// The costs of a run beside its calls to AWS.
#[derive(Default)]
pub struct Meter {
    /// Bytes of the largest state that a caller had to keep.
    pub largest: Cell<usize>,
    pub invocations: Cell<usize>,
    /// The time of all invocations.
    pub billed: Cell<Duration>,
    /// Transitions of the state machine.
    pub transitions: Cell<usize>,
}

impl Meter {
    fn see(&self, state: &Value) {
        self.largest
            .set(self.largest.get().max(state.to_string().len()));
    }

    /// Counts so many states that an execution enters.
    fn enter(&self, states: usize) {
        self.transitions.set(self.transitions.get() + states);
    }

    /// Calls the function.
    async fn call(&self, sandbox: &Sandbox, event: &Value) -> Value {
        let begun = tokio::time::Instant::now();
        let reply = call(sandbox, event).await.expect("a reply");
        self.billed.set(self.billed.get() + begun.elapsed());
        self.invocations.set(self.invocations.get() + 1);
        reply
    }
}

async fn wait(sandbox: &Sandbox, reply: &Value, wakes: Option<Place>) {
    let seconds = reply["WaitSeconds"].as_u64().expect("WaitSeconds");
    let Some((account, region)) = wakes else {
        return tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    // EventBridge tells of a copy's end a moment later.
    let snapshots = sandbox.snapshots(account, region);
    let pending = snapshots.iter().filter(|one| one.state == "pending");
    let ends = pending.map(|one| one.start_time + copying(one.volume_size) + EVENT_AFTER);
    let left = ends.filter_map(|end| end.duration_since(sandbox.now()).ok());
    let left = left.min().unwrap_or(Duration::MAX);
    tokio::time::sleep(left.min(Duration::from_secs(seconds))).await;
}

async fn direct(sandbox: &Sandbox, job: &Value, meter: &Meter) -> Value {
    let mut event = job.clone();
    loop {
        let reply = meter.call(sandbox, &event).await;
        if reply["Status"] != "Continue" {
            return reply;
        }
        meter.see(&reply["State"]);
        wait(sandbox, &reply, None).await;
        // Nobody else has this state, as with the command line.
        event = json!({"State": reply["State"], "Retries": 0});
    }
}

/// Leaves the outputs of the children in the bucket, as the Map's ResultWriter does.
fn written(sandbox: &Sandbox, outputs: &[Value]) -> Value {
    let put = |name: &str, content: &Value| {
        let key = format!("results/scale/{name}");
        let content = content.to_string();
        assert!(sandbox.edit(|aws| aws.put_object(BUCKET, &key, content)));
        key
    };
    let files = outputs
        .chunks(CHILDREN_OF_A_FILE)
        .enumerate()
        .map(|(n, children)| {
            let executions = children
                .iter()
                .map(|child| json!({"Output": child.to_string()}));
            let executions: Vec<Value> = executions.collect();
            json!({"Key": put(&format!("SUCCEEDED_{n}.json"), &json!(executions))})
        });
    let files: Vec<Value> = files.collect();
    let manifest = json!({"ResultFiles": {"SUCCEEDED": files, "FAILED": []}});
    let key = put("manifest.json", &manifest);
    json!({"ResultWriterDetails": {"Bucket": BUCKET, "Key": key}})
}

/// Returns data that a reply has, or has left in the bucket.
fn carried(sandbox: &Sandbox, reply: &Value, name: &str) -> Value {
    let at = &reply[format!("{name}At")];
    match at["Key"].as_str() {
        None => reply[name].clone(),
        Some(key) => {
            let objects = sandbox.objects(BUCKET);
            let body = objects.get(key).expect("an object");
            serde_json::from_slice(body).expect("JSON")
        }
    }
}

/// Plays an execution as statemachine/distribute.asl.json has it.
async fn machine(sandbox: &Sandbox, job: &Value, meter: &Meter) -> Value {
    let mut last = json!({});
    let opened = loop {
        let event = json!({"Open": job, "Execution": "scale", "Last": last});
        last = meter.call(sandbox, &event).await;
        meter.enter(2);
        if last["Status"] != "Continue" {
            break last;
        }
        meter.enter(1);
        wait(sandbox, &last, None).await;
    };
    let parts = carried(sandbox, &opened, "Parts");
    let places = Semaphore::new(MACHINE_CONCURRENCY);
    let children = parts.as_array().expect("parts").iter().map(async |part| {
        let _place = places.acquire().await.expect("open");
        let mut part = part.clone();
        let delay = part["Delay"].as_u64().expect("seconds");
        tokio::time::sleep(Duration::from_secs(delay)).await;
        meter.enter(1);
        loop {
            let event = json!({"State": part["State"], "Retries": 0});
            let reply = meter.call(sandbox, &event).await;
            meter.see(&reply["State"]);
            meter.enter(2);
            if reply["Status"] != "Continue" {
                // Forget, Failed? and Finished.
                meter.enter(3);
                return json!({"State": reply["State"]});
            }
            meter.enter(1);
            let target = &reply["State"]["Targets"][0];
            let word = |key: &str| leaked(target[key].as_str().expect("a word").to_owned());
            wait(sandbox, &reply, Some((word("AccountId"), word("Region")))).await;
            part = reply;
        }
    });
    let mut parts = written(sandbox, &join_all(children).await);
    let mut last = opened;
    loop {
        let event = json!({"Conclude": job, "Execution": "scale", "Last": last, "Parts": parts});
        let reply = meter.call(sandbox, &event).await;
        meter.enter(2);
        if reply["Status"] != "Continue" {
            // Wrap, Copy, Notify, Announce, Succeeded? and Succeeded.
            meter.enter(6);
            return reply;
        }
        meter.enter(2);
        wait(sandbox, &reply, None).await;
        (last, parts) = (reply, json!([]));
    }
}
