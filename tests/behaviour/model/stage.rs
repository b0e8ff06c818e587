//! Where a scenario is played: our callers, each with what it would send next, and others who act
//! between and during their calls.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use amiferry::error::Error;
use amiferry_sandbox::{Call, Fault, Sandbox};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::acts::{Act, Scenario, Theirs, Wish};
use super::others::{self, Others};
use super::reference::Reference;
use crate::chaos::schedule::Random;
use crate::support::*;

/// The number of calls after which a scenario counts as endless.
const MOST_CALLS: usize = 3000;
/// A time later than any run.
const LATER: Duration = Duration::from_hours(52);

/// A caller of the function, and the event it sends next.
struct Caller {
    first: Value,
    next: Value,
    /// The states of the caller, each with the number of hindrances at its return.
    states: Vec<(Value, usize)>,
    wish: Wish,
    wait: u64,
    ended: bool,
}

/// The script of one call of the function: faults at its AWS calls, and acts of others.
#[derive(Default)]
struct Script {
    calls: u64,
    kill: Option<(u64, Fault)>,
    meanwhile: Vec<(u64, Theirs)>,
    mixed: Option<Random>,
    /// The act that others perform at this moment.
    acting: Option<Theirs>,
}

pub struct Stage {
    pub sandbox: Sandbox,
    others: Others,
    reference: Arc<Mutex<Reference>>,
    script: Arc<Mutex<Script>>,
    waiting: mpsc::UnboundedReceiver<Theirs>,
    callers: Vec<Caller>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Stage {
    pub async fn of(scenario: &Scenario) -> Self {
        let rate = f64::from(u32::try_from(scenario.rate).unwrap_or(1024));
        let world = world(&super::acts::PLACES).copy_mib_per_second(rate);
        let world = others::move_in(world).tag_delay(Duration::from_secs(scenario.tags_late));
        let sandbox = Sandbox::new(world);
        let (calls, waiting) = mpsc::unbounded_channel();
        let stage = Self {
            others: Others::of(&sandbox).await,
            reference: Arc::new(Mutex::new(Reference::of(&sandbox))),
            script: Arc::default(),
            waiting,
            callers: Vec::new(),
            sandbox,
        };
        let (sandbox, reference, script) = (
            stage.sandbox.clone(),
            stage.reference.clone(),
            stage.script.clone(),
        );
        stage
            .sandbox
            .set_fault(move |call| befalls(call, &sandbox, &reference, &script, &calls));
        stage
    }

    /// Plays a scenario to its end. `Err` says what was wrong, and after which act.
    pub async fn play(mut self, scenario: &Scenario) -> Result<(), String> {
        for (n, act) in scenario.acts.iter().enumerate() {
            Box::pin(self.perform(act)).await?;
            self.check(|| format!("after act {n}, {act:?}"))?;
        }
        Box::pin(self.finish()).await?;
        self.check(|| "when all had ended".to_owned())?;
        lock(&self.reference).check_the_end(&self.sandbox);
        self.check(|| "at the end".to_owned())?;
        tokio::time::sleep(LATER).await;
        let swept = call(&self.sandbox, &json!({"Sweep": {}}))
            .await
            .map_err(|e| e.to_string())?;
        if (&swept["Closed"], &swept["Alive"]) != (&json!([]), &json!([])) {
            return Err(format!("all had ended, and yet {swept}"));
        }
        lock(&self.reference).check_the_end(&self.sandbox);
        lock(&self.reference).check_receipts(&self.sandbox);
        self.check(|| "after the sweep".to_owned())?;
        self.sandbox.clear_fault();
        Ok(())
    }

    fn check(&self, when: impl Fn() -> String) -> Result<(), String> {
        let mut reference = lock(&self.reference);
        reference.check(&self.sandbox);
        match reference.wrong.first() {
            Some(wrong) => Err(format!("{wrong}, {}", when())),
            None => Ok(()),
        }
    }

    /// Returns the living process for a number.
    fn process(&self, number: usize) -> Option<usize> {
        let alive: Vec<usize> = (0..self.callers.len())
            .filter(|i| !self.callers[*i].ended)
            .collect();
        alive.get(number % alive.len().max(1)).copied()
    }

    async fn perform(&mut self, act: &Act) -> Result<(), String> {
        match act {
            Act::Begin(wish) => {
                self.begin(wish, wish.event(), wish.event());
                Ok(())
            }
            Act::Go { process, meanwhile } => {
                let Some(process) = self.process(*process) else {
                    return Ok(());
                };
                lock(&self.script).meanwhile.clone_from(meanwhile);
                Box::pin(self.go(process)).await
            }
            Act::Kill {
                process,
                call,
                after,
                forgets,
            } => {
                let fault = if *after {
                    Fault::HangAfter
                } else {
                    Fault::HangBefore
                };
                self.kill(*process, (*call, fault), *forgets).await
            }
            Act::Together { one, other, seed } => {
                let (Some(one), Some(other)) = (self.process(*one), self.process(*other)) else {
                    return Ok(());
                };
                if one == other || self.both_share(one, other) {
                    return Box::pin(self.go(one)).await;
                }
                Box::pin(self.together(one, other, *seed)).await
            }
            Act::Again { process, state } => {
                self.again(*process, *state);
                Ok(())
            }
            Act::Wait(seconds) => {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                Ok(())
            }
            Act::Sweep => {
                let swept = call(&self.sandbox, &json!({"Sweep": {}}))
                    .await
                    .map_err(|e| e.to_string())?;
                lock(&self.reference).observe(&self.sandbox);
                match swept["Closed"].as_array().map(Vec::len) {
                    Some(0) => Ok(()),
                    _ => Err(format!("swept what is young: {swept}")),
                }
            }
            Act::Others(theirs) => {
                self.others_act(theirs).await;
                Ok(())
            }
        }
    }

    /// Kills a process at one of its AWS calls. A forgetful caller sends its first event again.
    async fn kill(&mut self, number: usize, at: (u64, Fault), forgets: bool) -> Result<(), String> {
        let Some(process) = self.process(number) else {
            return Ok(());
        };
        lock(&self.script).kill = Some(at);
        Box::pin(self.go(process)).await?;
        if forgets {
            let caller = &mut self.callers[process];
            caller.next = caller.first.clone();
        }
        Ok(())
    }

    /// Begins a process with an old state of another.
    fn again(&mut self, process: usize, state: usize) {
        let process = process % self.callers.len().max(1);
        let Some(caller) = self.callers.get(process) else {
            return;
        };
        let Some((old, known)) = caller.states.get(state % caller.states.len().max(1)) else {
            return;
        };
        let (wish, old, known) = (caller.wish.clone(), old.clone(), *known);
        self.begin(&wish, wish.event(), old);
        // This process already reports failures, or knows nothing of permissions that
        // others have removed since.
        let mut reference = lock(&self.reference);
        let since = reference.hindrances > known || reference.processes[process].hindered;
        if let Some(process) = reference.processes.last_mut() {
            process.hindered |= since;
        }
    }

    /// Two lasting shares of one image write one list: see docs/reliability.md.
    fn both_share(&self, one: usize, other: usize) -> bool {
        [one, other]
            .iter()
            .all(|i| !matches!(self.callers[*i].wish, Wish::Copy { .. }))
    }

    async fn others_act(&self, theirs: &Theirs) {
        lock(&self.reference).observe(&self.sandbox);
        lock(&self.script).acting = Some(theirs.clone());
        self.others
            .act(&self.sandbox, theirs, &self.reference)
            .await;
        lock(&self.script).acting = None;
    }

    fn begin(&mut self, wish: &Wish, first: Value, next: Value) {
        lock(&self.reference).begins(wish);
        self.callers.push(Caller {
            first,
            next,
            states: Vec::new(),
            wish: wish.clone(),
            wait: 0,
            ended: false,
        });
    }

    /// Makes one call of the function, with its script.
    async fn go(&mut self, process: usize) -> Result<(), String> {
        lock(&self.script).calls = 0;
        self.set_out(process);
        let event = self.callers[process].next.clone();
        let called = {
            let (sandbox, others, reference, script) =
                (&self.sandbox, &self.others, &self.reference, &self.script);
            let waiting = &mut self.waiting;
            let meddling = async {
                while let Some(theirs) = waiting.recv().await {
                    lock(script).acting = Some(theirs.clone());
                    others.act(sandbox, &theirs, reference).await;
                    lock(script).acting = None;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                () = sandbox.hung() => None,
                () = meddling => None,
                reply = call(sandbox, &event) => Some(reply),
            }
        };
        let mut script = lock(&self.script);
        *script = Script::default();
        drop(script);
        self.came_back(process, called)
    }

    async fn together(&mut self, one: usize, other: usize, seed: u64) -> Result<(), String> {
        lock(&self.script).mixed = Some(Random::of(seed));
        self.set_out(one);
        self.set_out(other);
        let (first, second) = (
            self.callers[one].next.clone(),
            self.callers[other].next.clone(),
        );
        let (first, second) =
            tokio::join!(call(&self.sandbox, &first), call(&self.sandbox, &second));
        *lock(&self.script) = Script::default();
        self.came_back(one, Some(first))?;
        self.came_back(other, Some(second))
    }

    fn set_out(&self, process: usize) {
        lock(&self.reference).processes[process].under_way = true;
    }

    fn came_back(
        &mut self,
        process: usize,
        reply: Option<Result<Value, Error>>,
    ) -> Result<(), String> {
        let mut reference = lock(&self.reference);
        reference.observe(&self.sandbox);
        reference.processes[process].under_way = false;
        reference.processes[process].cut |= reply.is_none();
        let caller = &mut self.callers[process];
        let reply = match reply {
            Some(Ok(reply)) => reply,
            // The call was killed, or must be retried.
            None | Some(Err(Error::Throttled(_) | Error::Internal(_))) => return Ok(()),
            Some(Err(error)) => return Err(format!("{:?} was refused: {error}", caller.wish)),
        };
        if reply["Status"] == "Continue" {
            caller.wait = reply["WaitSeconds"].as_u64().unwrap_or(1);
            caller.next = json!({"State": reply["State"]});
            caller
                .states
                .push((caller.next.clone(), reference.hindrances));
        } else {
            caller.ended = true;
            reference.ends(process, &reply);
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), String> {
        for _ in 0..MOST_CALLS {
            let Some(process) = (0..self.callers.len())
                .filter(|i| !self.callers[*i].ended)
                .min_by_key(|i| self.callers[*i].wait)
            else {
                return Ok(());
            };
            let wait = self.callers[process].wait;
            tokio::time::sleep(Duration::from_secs(wait)).await;
            for caller in &mut self.callers {
                caller.wait = caller.wait.saturating_sub(wait);
            }
            self.callers[process].wait = 1;
            Box::pin(self.go(process)).await?;
            self.check(|| format!("after a call of process {process}"))?;
        }
        Err("a run does not end".to_owned())
    }
}

/// Runs before each call to AWS: the reference looks, and others may act.
fn befalls(
    call: &Call,
    sandbox: &Sandbox,
    reference: &Mutex<Reference>,
    script: &Mutex<Script>,
    meanwhile: &mpsc::UnboundedSender<Theirs>,
) -> Fault {
    let mut reference = lock(reference);
    reference.observe(sandbox);
    let mut script = lock(script);
    if call.principal.ends_with(super::others::NAME) {
        if let Some(act) = script.acting.take() {
            reference.they_change(&act);
        }
        return Fault::None;
    }
    if call
        .params
        .iter()
        .any(|(key, value)| key.contains("Group") || value == "all")
    {
        reference
            .wrong
            .push(format!("{} names a group", call.operation));
    }
    let n = script.calls;
    script.calls += 1;
    if let Some((_, fault)) = script.kill.take_if(|(at, _)| *at == n) {
        return fault;
    }
    let due: Vec<Theirs> = script
        .meanwhile
        .iter()
        .filter(|(at, _)| *at == n)
        .map(|(_, act)| act.clone())
        .collect();
    if !due.is_empty() {
        for act in due {
            drop(meanwhile.send(act));
        }
        return Fault::Delay(Duration::from_secs(1));
    }
    match &mut script.mixed {
        Some(random) => Fault::Delay(Duration::from_millis(random.below(2500))),
        None => Fault::None,
    }
}
