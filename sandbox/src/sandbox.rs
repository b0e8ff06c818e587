//! The handle tests and programs hold: a world, its clock, its ledger and its faults behind one cheap clone.
//!
//! What a call means is decided in `door`; this file only keeps the state together.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use bytes::Bytes;
use http::{Request, Response};
use tokio::sync::Semaphore;

use crate::aws::Aws;
use crate::clock::Clock;
use crate::door::{self, Reply};
use crate::ledger::{Answer, AnswerRefusal, Call, Fault, LambdaInvocation};
use crate::model::{Grant, Image, Instance, Snapshot};
use crate::server::Server;
use crate::wire::Incoming;
use crate::world::{World, WorldError};

/// An AWS of a few services, in this process.
#[derive(Clone)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

type FaultFn = Arc<dyn Fn(&Call) -> Fault + Send + Sync>;

struct Inner {
    clock: Clock,
    aws: Mutex<Aws>,
    calls: Mutex<Calls>,
    fault: Mutex<Option<FaultFn>>,
    hangs: Semaphore,
    answers: Mutex<Vec<Answer>>,
    refusing: Mutex<Option<AnswerRefusal>>,
}

#[derive(Default)]
struct Calls {
    arrived: u64,
    ledger: Vec<Call>,
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// # Panics
    /// If the world contradicts itself; [`Sandbox::try_new`] says so instead.
    pub fn new(world: World) -> Self {
        match Self::try_new(world) {
            Ok(sandbox) => sandbox,
            Err(error) => panic!("this world cannot be: {error}"),
        }
    }

    /// Needs a tokio runtime: the clock is tokio's.
    pub fn try_new(world: World) -> Result<Self, WorldError> {
        let clock = Clock::start();
        let aws = Aws::from_world(world, clock.now())?;
        Ok(Self {
            inner: Arc::new(Inner {
                clock,
                aws: Mutex::new(aws),
                calls: Mutex::default(),
                fault: Mutex::default(),
                hangs: Semaphore::new(0),
                answers: Mutex::default(),
                refusing: Mutex::default(),
            }),
        })
    }

    /// A connector for unmodified SDK clients of this process.
    pub fn http_client(&self) -> SharedHttpClient {
        crate::connector::http_client(self.clone())
    }

    /// HTTP/1.1, until the server is dropped.
    pub async fn serve(&self, addr: std::net::SocketAddr) -> io::Result<Server> {
        Server::start(self.clone(), addr).await
    }

    /// One request by hand, as it would go over the wire; an error is a connection that broke.
    pub async fn send(&self, request: Request<Bytes>) -> io::Result<Response<Bytes>> {
        let (head, body) = request.into_parts();
        match door::receive(self, Incoming::new(&head, body)).await {
            Reply::Answer(response) => Ok(response),
            Reply::Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        }
    }

    pub fn now(&self) -> SystemTime {
        self.inner.clock.now()
    }

    /// The same clock, for SDK configurations.
    pub fn time_source(&self) -> SharedTimeSource {
        SharedTimeSource::new(self.inner.clock)
    }

    pub fn ledger(&self) -> Vec<Call> {
        lock(&self.inner.calls).ledger.clone()
    }

    pub fn clear_ledger(&self) {
        lock(&self.inner.calls).ledger.clear();
    }

    /// Asked once at each call; replaces the former one.
    pub fn set_fault(&self, fault: impl Fn(&Call) -> Fault + Send + Sync + 'static) {
        *lock(&self.inner.fault) = Some(Arc::new(fault));
    }

    pub fn clear_fault(&self) {
        *lock(&self.inner.fault) = None;
    }

    /// Resolves when a call hangs, for `HangAfter` once its effect took place. Every hang resolves one of these, also a later one.
    pub async fn hung(&self) {
        if let Ok(permit) = self.inner.hangs.acquire().await {
            permit.forget();
        }
    }

    /// Images owned by this account.
    pub fn images(&self, account: &str, region: &str) -> Vec<Image> {
        self.look(|aws| aws.images_of(account, region))
    }

    /// Snapshots owned by this account, whatever their state.
    pub fn snapshots(&self, account: &str, region: &str) -> Vec<Snapshot> {
        self.look(|aws| aws.snapshots_of(account, region))
    }

    /// Instances of this account, whatever their state.
    pub fn instances(&self, account: &str, region: &str) -> Vec<Instance> {
        self.look(|aws| aws.instances_of(account, region))
    }

    /// Grants on this key, also those that are not yet in force.
    pub fn grants(&self, key_arn: &str) -> Vec<Grant> {
        self.look(|aws| aws.grants_of(key_arn))
    }

    pub fn key_policy(&self, key_arn: &str) -> Option<serde_json::Value> {
        self.look(|aws| aws.key_policy_of(key_arn))
    }

    /// The objects of this bucket by key; none if there is no such bucket.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        self.look(|aws| aws.objects_of(bucket))
    }

    /// Takes the payloads of asynchronous invocations so far.
    pub fn lambda_invocations(&self) -> Vec<LambdaInvocation> {
        self.look(|aws| std::mem::take(&mut aws.invocations))
    }

    /// The input of an execution of a state machine, if there is one of this name.
    pub fn execution_input(&self, machine: &str, name: &str) -> Option<String> {
        let arn = crate::states::execution_arn(machine, name);
        self.look(|aws| aws.executions.get(&arn).map(|e| e.input.clone()))
    }

    /// Ends an execution of a state machine: `SUCCEEDED`, `FAILED`, `TIMED_OUT` or `ABORTED`. Tells whether it was running.
    pub fn end_execution(&self, machine: &str, name: &str, status: &str) -> bool {
        let arn = crate::states::execution_arn(machine, name);
        self.look(|aws| {
            let (now, found) = (aws.now, aws.executions.get_mut(&arn));
            let Some(execution) = found.filter(|execution| execution.ended.is_none()) else {
                return false;
            };
            status.clone_into(&mut execution.status);
            execution.ended = Some(now);
            true
        })
    }

    /// PUTs received under `/_sandbox/answers/`.
    pub fn answers(&self) -> Vec<Answer> {
        lock(&self.inner.answers).clone()
    }

    /// PUTs under `/_sandbox/answers/` fail from now on; replaces the former way.
    pub fn refuse_answers(&self, how: AnswerRefusal) {
        *lock(&self.inner.refusing) = Some(how);
    }

    /// PUTs under `/_sandbox/answers/` are taken again.
    pub fn accept_answers(&self) {
        *lock(&self.inner.refusing) = None;
    }

    /// Changes the live world, as another principal would.
    pub fn edit<R>(&self, change: impl FnOnce(&mut Aws) -> R) -> R {
        self.look(|aws| {
            let result = change(aws);
            aws.break_copies();
            result
        })
    }

    /// The world at this moment: copies that are due have ended.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&mut Aws) -> R) -> R {
        let mut aws = lock(&self.inner.aws);
        aws.settle(self.now());
        read(&mut aws)
    }

    /// What befalls the PUT that has just arrived.
    pub(crate) fn answer_refusal(&self) -> Option<AnswerRefusal> {
        let mut refusing = lock(&self.inner.refusing);
        if let Some(AnswerRefusal::Status {
            times: Some(left), ..
        }) = &mut *refusing
        {
            *left = left.checked_sub(1)?;
        }
        *refusing
    }

    pub(crate) fn keep_answer(&self, answer: Answer) {
        lock(&self.inner.answers).push(answer);
    }

    /// Enters a call into the ledger; `call` gets its number and request ID there.
    pub(crate) fn enter(&self, call: &mut Call) {
        let mut calls = lock(&self.inner.calls);
        calls.arrived += 1;
        call.seq = calls.arrived;
        call.request_id = crate::aws::request_id(call.seq);
        calls.ledger.push(call.clone());
    }

    pub(crate) fn decided(&self, seq: u64, outcome: Result<(), String>) {
        let mut calls = lock(&self.inner.calls);
        let position = calls.ledger.binary_search_by_key(&seq, |call| call.seq);
        if let Some(call) = position.ok().and_then(|i| calls.ledger.get_mut(i)) {
            call.outcome = Some(outcome);
        }
    }

    pub(crate) fn fault_for(&self, call: &Call) -> Fault {
        let fault = lock(&self.inner.fault).clone();
        fault.map_or(Fault::None, |ask| ask(call))
    }

    /// Never returns; the client gives up, or its process ends.
    pub(crate) async fn hang(&self) {
        self.inner.hangs.add_permits(1);
        std::future::pending::<()>().await;
    }
}

/// A panic elsewhere must not turn every later assertion into a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
