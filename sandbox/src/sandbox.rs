//! The handle that tests and programs hold.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::{Request, Response};

use crate::aws::{self, Aws};
use crate::connector;
use crate::door;
use crate::ec2;
use crate::ledger::{Answer, AnswerRefusal, Call, Fault, LambdaInvocation};
use crate::model::{
    FastRestore, Grant, Image, Instance, LaunchTemplateVersions, ParameterVersion, Snapshot, Volume,
};
use crate::runtime::Runtime;
use crate::server::Server;
use crate::wire::{Incoming, Reply};
use crate::world::{World, WorldError};

/// An AWS of a few services, in this process. A clone is another handle to the same AWS.
#[derive(Clone)]
pub struct Sandbox {
    runtime: Runtime,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// Starts from a world that is known to fit together.
    ///
    /// # Panics
    /// If the world contradicts itself; [`Sandbox::try_new`] returns the error instead.
    pub fn new(world: World) -> Self {
        match Self::try_new(world) {
            Ok(sandbox) => sandbox,
            Err(error) => panic!("the world contradicts itself: {error}"),
        }
    }

    /// Starts from a world. Needs a tokio runtime: the clock is tokio's.
    pub fn try_new(world: World) -> Result<Self, WorldError> {
        let runtime = Runtime::start(world)?;
        Ok(Self { runtime })
    }

    /// Returns a connector for unmodified SDK clients of this process.
    pub fn http_client(&self) -> SharedHttpClient {
        connector::http_client(self.runtime.clone())
    }

    /// Serves HTTP/1.1 until the server is dropped.
    pub async fn serve(&self, addr: std::net::SocketAddr) -> io::Result<Server> {
        Server::start(self.runtime.clone(), addr).await
    }

    /// Sends one request, as it would go over the wire. An error is a connection that broke.
    pub async fn send(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        match door::receive(&self.runtime, Incoming::new(&head, body)).await {
            Reply::Answer(response) => Ok(response),
            Reply::Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        }
    }

    /// Returns the sandbox's time.
    pub fn now(&self) -> SystemTime {
        self.runtime.now()
    }

    /// Returns the sandbox's clock, for SDK configurations.
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.runtime.clock())
    }

    /// Returns the calls so far, in order of arrival.
    pub fn ledger(&self) -> Vec<Call> {
        self.runtime.ledger()
    }

    /// Forgets the calls so far; [`Call::seq`] goes on counting.
    pub fn clear_ledger(&self) {
        self.runtime.clear_ledger();
    }

    /// Sets the function that is asked once at each call; replaces the former one.
    pub fn set_fault(&self, fault: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        self.runtime.set_fault(Some(Arc::new(fault)));
    }

    /// Lets every later call pass unharmed.
    pub fn clear_fault(&self) {
        self.runtime.set_fault(None);
    }

    /// Resolves when a call hangs, for `HangAfter` once its effect took place. Each hang resolves
    /// one wait, even a wait that begins after it.
    pub async fn hung(&self) {
        self.runtime.hung().await;
    }

    /// Returns the images that the account owns.
    pub fn images(&self, account: &str, region: &str) -> Vec<Image> {
        self.runtime.look(|aws| aws.images_of(account, region))
    }

    /// Returns the snapshots that the account owns, whatever their state.
    pub fn snapshots(&self, account: &str, region: &str) -> Vec<Snapshot> {
        self.runtime.look(|aws| aws.snapshots_of(account, region))
    }

    /// Returns the volumes that CreateVolume made in the account.
    pub fn volumes(&self, account: &str, region: &str) -> Vec<Volume> {
        self.runtime.look(|aws| aws.volumes_of(account, region))
    }

    /// Returns the account's instances, whatever their state.
    pub fn instances(&self, account: &str, region: &str) -> Vec<Instance> {
        self.runtime.look(|aws| aws.instances_of(account, region))
    }

    /// Returns the grants on a key, also grants that are not yet in force.
    pub fn grants(&self, key_arn: &str) -> Vec<Grant> {
        self.runtime.look(|aws| aws.grants_of(key_arn))
    }

    /// Returns the key policy as it was put.
    pub fn key_policy(&self, key_arn: &str) -> Option<serde_json::Value> {
        self.runtime.look(|aws| aws.key_policy_of(key_arn))
    }

    /// Returns the bucket's objects by key; none if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.runtime.look(|aws| aws.objects_of(bucket))
    }

    /// Takes the payloads of asynchronous invocations so far.
    pub fn lambda_invocations(&self) -> Vec<LambdaInvocation> {
        self.runtime.take_invocations()
    }

    /// Returns the input of an execution of a state machine, if there is one of this name.
    pub fn execution_input(&self, machine: &str, name: &str) -> Option<String> {
        let arn = aws::execution_arn(machine, name);
        let input = |aws: &mut Aws| aws.executions.get(&arn).map(|e| e.input.clone());
        self.runtime.look(input)
    }

    /// Returns the names of the account's Auto Scaling groups, also those that are being deleted.
    pub fn groups(&self, account: &str, region: &str) -> Vec<String> {
        self.runtime.look(|aws| {
            let all = aws.groups.keys();
            let here = all.filter(|(owner, place, _)| owner == account && place == region);
            here.map(|(_, _, name)| name.clone()).collect()
        })
    }

    /// Returns the names of the account's launch templates.
    pub fn launch_template_names(&self, account: &str, region: &str) -> Vec<String> {
        self.runtime.look(|aws| {
            let all = aws.templates_of(account, region);
            all.map(|live| live.name.clone()).collect()
        })
    }

    /// Returns the fast snapshot restores that the account enabled, by snapshot and zone.
    pub fn fast_restores(&self, account: &str, region: &str) -> Vec<FastRestore> {
        self.runtime
            .look(|aws| aws.fast_restores_of(account, region))
    }

    /// Returns the versions of the account's launch template.
    pub fn launch_template(
        &self,
        account: &str,
        region: &str,
        id: &str,
    ) -> Option<LaunchTemplateVersions> {
        self.runtime
            .look(|aws| aws.template_versions(account, region, id))
    }

    /// Returns the versions of a parameter that are kept, the oldest first; none if there is no
    /// such parameter.
    pub fn parameter(&self, account: &str, region: &str, name: &str) -> Vec<ParameterVersion> {
        let key = (account.to_owned(), region.to_owned(), name.to_owned());
        self.runtime.look(|aws| aws.parameter_versions(&key))
    }

    /// Ends an execution of a state machine: `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`.
    /// Returns whether it was running.
    pub fn end_execution(&self, machine: &str, name: &str, status: &str) -> bool {
        self.change_execution(machine, name, |execution| {
            status.clone_into(&mut execution.status);
        })
    }

    /// Ends an execution with this output. Returns whether it was running.
    pub fn succeed_execution(&self, machine: &str, name: &str, output: &str) -> bool {
        self.change_execution(machine, name, |execution| {
            "SUCCEEDED".clone_into(&mut execution.status);
            execution.output = Some(output.to_owned());
        })
    }

    /// Ends an execution with this error and cause. Returns whether it was running.
    pub fn fail_execution(&self, machine: &str, name: &str, error: &str, cause: &str) -> bool {
        self.change_execution(machine, name, |execution| {
            "FAILED".clone_into(&mut execution.status);
            execution.failure = Some((error.to_owned(), cause.to_owned()));
        })
    }

    fn change_execution(
        &self,
        machine: &str,
        name: &str,
        change: impl FnOnce(&mut aws::Execution),
    ) -> bool {
        let arn = aws::execution_arn(machine, name);
        self.runtime.look(|aws| {
            let (now, found) = (aws.now, aws.executions.get_mut(&arn));
            let Some(execution) = found.filter(|execution| execution.ended.is_none()) else {
                return false;
            };
            change(execution);
            execution.ended = Some(now);
            true
        })
    }

    /// Returns the PUTs received under `/_sandbox/answers/`.
    pub fn answers(&self) -> Vec<Answer> {
        self.runtime.answers()
    }

    /// Makes PUTs under `/_sandbox/answers/` fail from now on; replaces the former way.
    pub fn refuse_answers(&self, how: AnswerRefusal) {
        self.runtime.set_answer_refusal(Some(how));
    }

    /// Takes PUTs under `/_sandbox/answers/` again.
    pub fn accept_answers(&self) {
        self.runtime.set_answer_refusal(None);
    }

    /// Changes the live world, as another principal would.
    pub fn edit<R>(&self, change: impl FnOnce(&mut Aws) -> R) -> R {
        self.runtime.look(|aws| {
            let result = change(aws);
            ec2::break_copies(aws);
            result
        })
    }
}
