//! Acts that many tests share: a call with little time, a call killed on its way, copies deleted.

use std::sync::Arc;
use std::time::Duration;

use amiferry_sandbox::{Call, Fault, Sandbox};
use serde_json::Value;
use tokio::sync::Notify;

use super::{Place, call, function, invocation};

/// Calls the function with so little time that it returns before its copies are made.
pub async fn short_call(sandbox: &Sandbox, event: &Value) -> Value {
    let mut short = invocation(sandbox);
    short.deadline = Some(sandbox.now() + Duration::from_secs(16));
    let function = function(sandbox).await;
    let reply = function.handle(&event.to_string(), &short).await;
    reply.expect("a good call has a reply")
}

/// Kills the function ten seconds after its first call to AWS for which `at` holds. Such calls
/// hang before they take effect, while all others end.
pub async fn killed_at(
    sandbox: &Sandbox,
    event: &Value,
    at: impl Fn(&Call) -> bool + Send + Sync + 'static,
) {
    let hanging = Arc::new(Notify::new());
    let hangs = hanging.clone();
    sandbox.set_fault(move |call| {
        if at(call) {
            hangs.notify_one();
            Fault::HangBefore
        } else {
            Fault::None
        }
    });
    let killed = async {
        hanging.notified().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    };
    tokio::select! {
        reply = call(sandbox, event) => panic!("it ends before it is killed: {reply:?}"),
        () = killed => {}
    }
    sandbox.clear_fault();
}

/// Returns whether a call takes a permission away.
pub fn removes(call: &Call) -> bool {
    let operation = call.params.get("OperationType");
    operation.is_some_and(|operation| operation == "remove")
}

/// Deletes every image and snapshot of a target.
pub fn delete_copies(sandbox: &Sandbox, (account, region): Place) {
    for image in sandbox.images(account, region) {
        sandbox.edit(|aws| assert!(aws.delete_image(&image.image_id)));
    }
    for snapshot in sandbox.snapshots(account, region) {
        sandbox.edit(|aws| assert!(aws.delete_snapshot(&snapshot.snapshot_id)));
    }
}
