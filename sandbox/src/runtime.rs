//! A live world with its clock, ledger and faults, behind one lock each.
//!
//! The module keeps the state together. `door` decides what a call means.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::Semaphore;

use crate::aws::{self, Aws};
use crate::clock::Clock;
use crate::ledger::{Answer, AnswerRefusal, Call, Fault, LambdaInvocation};
use crate::world::{World, WorldError};
use crate::{autoscaling, ssm};

/// The state of a sandbox. A clone shares it.
#[derive(Clone)]
pub(crate) struct Runtime {
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

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts the clock and builds the live world. Needs a tokio runtime: the clock is tokio's.
    pub(crate) fn start(world: World) -> Result<Self, WorldError> {
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

    pub(crate) fn clock(&self) -> Clock {
        self.inner.clock
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.inner.clock.now()
    }

    /// Reads or changes the world at this moment, when copies and validations that are due have
    /// ended.
    pub(crate) fn look<R>(&self, read: impl FnOnce(&mut Aws) -> R) -> R {
        let mut aws = lock(&self.inner.aws);
        ssm::settle(&mut aws, self.now());
        autoscaling::keep_capacity(&mut aws);
        read(&mut aws)
    }

    pub(crate) fn ledger(&self) -> Vec<Call> {
        lock(&self.inner.calls).ledger.clone()
    }

    pub(crate) fn clear_ledger(&self) {
        lock(&self.inner.calls).ledger.clear();
    }

    /// Enters a call into the ledger; `call` gets its number and request ID there.
    pub(crate) fn enter(&self, call: &mut Call) {
        let mut calls = lock(&self.inner.calls);
        calls.arrived += 1;
        call.seq = calls.arrived;
        call.request_id = aws::request_id(call.seq);
        calls.ledger.push(call.clone());
    }

    /// Notes in the ledger what the service decided.
    pub(crate) fn decided(&self, seq: u64, outcome: Result<(), String>) {
        let mut calls = lock(&self.inner.calls);
        let position = calls.ledger.binary_search_by_key(&seq, |call| call.seq);
        if let Some(call) = position.ok().and_then(|i| calls.ledger.get_mut(i)) {
            call.outcome = Some(outcome);
        }
    }

    pub(crate) fn set_fault(&self, fault: Option<FaultFn>) {
        *lock(&self.inner.fault) = fault;
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

    /// Resolves once for every hang, even for a hang that came before.
    pub(crate) async fn hung(&self) {
        if let Ok(permit) = self.inner.hangs.acquire().await {
            permit.forget();
        }
    }

    /// Takes the payloads of asynchronous invocations so far.
    pub(crate) fn take_invocations(&self) -> Vec<LambdaInvocation> {
        self.look(|aws| std::mem::take(&mut aws.invocations))
    }

    pub(crate) fn answers(&self) -> Vec<Answer> {
        lock(&self.inner.answers).clone()
    }

    pub(crate) fn keep_answer(&self, answer: Answer) {
        lock(&self.inner.answers).push(answer);
    }

    /// Sets how PUTs of answers fail from now on, if they do.
    pub(crate) fn set_answer_refusal(&self, how: Option<AnswerRefusal>) {
        *lock(&self.inner.refusing) = how;
    }

    /// Returns how the PUT that has just arrived fails, if it does, and counts it.
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
}

/// Locks the mutex even after a panic, so that later assertions do not report a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
