//! Schedules, each drawn from a seed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use amiferry_sandbox::world::LateReads;
use amiferry_sandbox::{Fault, Limits, Sandbox, World};
use serde_json::{Value, json};

use super::hands::{HANDS, Hand};
use super::late::late_reads;
use super::report::Report;
use crate::launch_grants::target_account;
use crate::staging::regions::{AWAY, reads_away, with_staging};
use crate::staging::{SHARED_KEY, under_aws_ebs};
use crate::support::*;

/// Pseudo-random numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn of(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, most: u64) -> u64 {
        self.next() % most.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        let i = usize::try_from(self.below(among.len() as u64)).unwrap_or(0);
        among[i].clone()
    }
}

/// The way of driving a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Direct calls, with the state of the last reply.
    Calls,
    /// Direct calls whose caller loses its state when the function is killed: it sends the event
    /// again.
    Forgetful,
    /// Direct calls, each made twice at once: two processes advance the same state.
    Doubled,
    /// The state machine's calls.
    Machine,
}

/// An event, and the way of driving it.
#[derive(Debug, Clone)]
pub struct Run {
    pub way: Way,
    pub event: Value,
    pub places: Vec<Place>,
    /// Seconds before the run begins.
    pub begins: u64,
    /// Seconds after which each invocation in turn is killed; later invocations live.
    pub killed: Vec<u64>,
    /// The function's time-out in seconds.
    pub timeout: u64,
    /// Seconds by which the function's clock is ahead of AWS's; negative if it is behind.
    pub skew: i64,
    /// Attempts that the SDK makes of a call.
    pub attempts: u32,
}

/// The properties that all requests of a schedule share, beside their targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the requests"
)]
pub struct Wants {
    /// The request is `Mode: Share`, and is closed in the end.
    pub share: bool,
    pub access: &'static str,
    /// The number of snapshots under `aws/ebs`.
    pub staged: usize,
    /// The request makes service-linked roles, and lets them launch.
    pub roles: bool,
    /// The request copies the image as a whole.
    pub image: bool,
    /// The request copies the image once into another Region for the targets there.
    pub away: bool,
}

impl Wants {
    /// A generator of its own leaves the rest of the schedule as it was.
    fn of(seed: u64) -> Self {
        let mut random = Random::of(seed ^ 0x3A27);
        let share = random.chance(20);
        let access = random.pick(&["Grant", "Grant", "Grant", "Policy", "Policy", "None"]);
        let staged = if share {
            0
        } else {
            random.pick(&[0, 0, 0, 1, 2])
        };
        let roles = random.chance(25);
        let image = random.chance(30) && !share && staged == 0;
        let away = Random::of(seed ^ 0xA3A1).chance(30) && !share && !image && access != "Policy";
        Self {
            share,
            access,
            staged,
            roles,
            image,
            away,
        }
    }

    /// Describes the request in a few words.
    pub fn described(self) -> String {
        let mut words = vec![if self.share { "Share" } else { "Copy" }, self.access];
        if self.staged > 0 {
            words.push("re-encrypted");
        }
        if self.image {
            words.push("as a whole");
        }
        if self.away {
            words.push("staged elsewhere");
        }
        if self.roles {
            words.push("service-linked roles");
        }
        words.join("/")
    }

    fn put_into(self, request: &mut Value) {
        request["KeyAccess"] = json!(self.access);
        if self.share {
            let mut accounts: Vec<Value> = Vec::new();
            for target in request["Targets"].as_array().into_iter().flatten() {
                if !accounts.contains(&target["AccountId"]) {
                    accounts.push(target["AccountId"].clone());
                }
            }
            let image = request["SourceImageId"].clone();
            *request = json!({"SourceImageId": image, "Mode": "Share", "KeyAccess": self.access,
                "TargetAccountIds": accounts, "ShareSnapshots": true});
        }
        if self.image {
            request["Strategy"] = json!("Image");
        }
        if self.staged > 0 {
            request["ReencryptKmsKeyId"] = json!(SHARED_KEY);
        }
        if self.away {
            request["StagingKmsKeyIds"] = json!({AWAY: SHARED_KEY});
        }
        if self.roles {
            request["ServiceLinkedRoles"] =
                json!(["autoscaling.amazonaws.com", "spot.amazonaws.com"]);
            request["CreateServiceLinkedRoles"] = json!(true);
        }
    }
}

/// A key policy that a person wrote: it admits every account.
const ADMITS_ALL: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::111111111111:root"}, "Action": "kms:*",
     "Resource": "*"},
    {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam::222222222222:root",
     "arn:aws:iam::333333333333:root", "arn:aws:iam::444444444444:root"]},
     "Action": ["kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:ReEncrypt*",
     "kms:GenerateDataKey*", "kms:Encrypt"], "Resource": "*"}]}"#;
/// The time for which the quota is full.
const FULL: Duration = Duration::from_hours(1);
#[derive(Debug, Clone)]
pub struct Schedule {
    pub seed: u64,
    pub hard: bool,
    pub runs: Vec<Run>,
    pub hands: Vec<(u64, Hand)>,
    /// The number of faults, and the chance of one at each call, in percent.
    pub faults: (u64, u64),
    rate: u64,
    latency: u64,
    late: [u64; 6],
    late_reads: LateReads,
    limits: Limits,
    shared_before: bool,
    pub wants: Wants,
}

impl Run {
    /// Draws the way of driving the `n`-th request.
    fn drawn(
        random: &mut Random,
        n: u64,
        request: &Value,
        places: Vec<Place>,
        wants: Wants,
    ) -> Self {
        let killed = (0..random.pick(&[0, 0, 1, 2, 4]))
            .map(|_| random.below(200))
            .collect();
        Self {
            way: match random.pick(&[
                Way::Calls,
                Way::Forgetful,
                Way::Doubled,
                Way::Machine,
                Way::Machine,
            ]) {
                // The state machine copies only.
                Way::Machine if wants.share => Way::Calls,
                way => way,
            },
            event: json!({ "Distribute": request }),
            places,
            begins: if n == 0 {
                0
            } else {
                random.pick(&[0, 0, 7, 90, 500])
            },
            killed,
            timeout: random.pick(&[900, 900, 900, 60, 30]),
            // EC2 accepts a clock that is wrong by five minutes.
            skew: random.pick(&[0, 0, 0, 0, -200, -20, 20, 200]),
            attempts: 3,
        }
    }
}

fn some_places(random: &mut Random) -> Vec<Place> {
    let mut places: Vec<Place> = FOUR.into_iter().filter(|_| random.chance(55)).collect();
    if places.is_empty() {
        places.push(random.pick(&FOUR));
    }
    places
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed);
        let wants = Wants::of(seed);
        let places = some_places(&mut random);
        let count = random.pick(&[1, 1, 1, 2, 2, 3]);
        // Direct calls for a lasting share add to each other, so all runs ask for one list.
        let alike = random.chance(60) || wants.share;
        let mut runs = Vec::new();
        for n in 0..count {
            let its = if n == 0 || alike {
                places.clone()
            } else {
                some_places(&mut random)
            };
            let mut request = request(&its);
            if !alike {
                request["Tags"] = json!({"stage": format!("run-{n}")});
            }
            wants.put_into(&mut request);
            runs.push(Run::drawn(&mut random, n, &request, its, wants));
        }
        let hands = (0..random.pick(&[0, 0, 0, 1, 1, 2]))
            .map(|_| (random.below(600), random.pick(&HANDS)))
            .collect();
        let budget = random.pick(&[0, 3, 3, 8, 30, 120, 100_000]);
        // Faults without end are rarer: otherwise hardly anything would happen.
        let percent = if budget > 1000 {
            random.pick(&[2, 8, 60])
        } else {
            random.pick(&[2, 10, 30])
        };
        // Drawn from numbers of its own, which leave the others as they were. Where most calls fail
        // for ever, no run would begin without retries.
        if percent < 60 && Random::of(seed ^ 0xA77E).chance(25) {
            for run in &mut runs {
                run.attempts = 1;
            }
        }
        let late = [0, 0, 0, 2, 6, 40];
        Self {
            seed,
            hard: false,
            runs,
            hands,
            faults: (budget, percent),
            rate: random.pick(&[100, 250, 1024, 4096]),
            latency: random.pick(&[0, 30, 400]),
            late: std::array::from_fn(|_| random.pick(&late)),
            late_reads: late_reads(seed),
            limits: Limits {
                concurrent_copies: random.pick(&[1, 2, 20, 20]),
                throttling: random.chance(25),
                empty_pages: random.chance(30),
                ..Limits::default()
            },
            shared_before: random.chance(30),
            wants,
        }
    }

    /// Returns a schedule in which nearly all fails for ever: two processes on each state, six
    /// calls of ten failing, each tried twice.
    pub fn hard(seed: u64) -> Self {
        let mut schedule = Self {
            hard: true,
            ..Self::of(seed)
        };
        for run in &mut schedule.runs {
            run.attempts = 2;
            if run.way != Way::Machine {
                run.way = Way::Doubled;
            }
        }
        schedule.faults = (100_000, 60);
        schedule
    }

    /// Returns whether reads lag behind changes for longer than the calls that made them.
    pub fn shows_late(&self) -> bool {
        self.late_reads != LateReads::default()
    }

    pub fn world(&self) -> World {
        // A process that died may have left copies. A second look, 15 seconds after the closing,
        // finds them if they show by then.
        let doubled = self.runs.iter().any(|run| run.way == Way::Doubled);
        let longest = Duration::from_secs(if doubled { 6 } else { 40 });
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let rate = self.rate as f64;
        let seconds = |n: usize| Duration::from_secs(self.late[n]);
        let mut producer = if self.wants.staged > 0 {
            under_aws_ebs(self.wants.staged)
        } else {
            producer()
        };
        producer.roles[0].policies.push(documented("KeyPolicies"));
        if self.wants.away {
            producer = with_staging(producer);
        }
        if self.wants.access == "None" {
            for key in &mut producer.keys {
                key.policy = Some(ADMITS_ALL.to_owned());
            }
        }
        if self.shared_before {
            // A snapshot under `aws/ebs` can be shared with nobody.
            for snapshot in &mut producer.snapshots[self.wants.staged..] {
                snapshot
                    .create_volume_permissions
                    .extend(["222222222222", "999999999999"].map(str::to_owned));
            }
        }
        let mut world = World::new().account(producer);
        for account in ["222222222222", "333333333333", "444444444444"] {
            let regions: Vec<&str> = FOUR
                .iter()
                .filter(|p| p.0 == account)
                .map(|p| p.1)
                .collect();
            let mut target = target_account(account, &regions, &[]);
            if self.wants.away {
                reads_away(&mut target);
            }
            world = world.account(target);
        }
        let mut world = world
            .copy_mib_per_second(rate)
            .latency(Duration::from_millis(self.latency))
            .grant_delay(seconds(0))
            // EC2's tags take no longer than this.
            .tag_delay(seconds(1).min(Duration::from_secs(6)))
            .read_delay(seconds(2).min(longest))
            // Longer, and what a run deleted itself would be found by its next look.
            .gone_delay(seconds(5).min(Duration::from_secs(6)))
            .registration_delay(seconds(3))
            .name_delay(seconds(4))
            .late_reads(self.late_reads);
        world.limits = self.limits;
        // Service control policies bind members only.
        for account in &mut world.accounts {
            account.organization = Some("o-abcdefghij".to_owned());
        }
        world
    }

    /// Whether somebody did this.
    pub fn has(&self, wanted: Hand) -> bool {
        self.hands.iter().any(|(_, hand)| *hand == wanted)
    }

    /// Whether only what passes befalls it, and so little that every target must succeed.
    pub fn must_succeed(&self) -> bool {
        let passes = |hand: &Hand| {
            matches!(
                hand,
                Hand::QuotaFull | Hand::AccountPermitted | Hand::SourceTagged | Hand::ForeignImage
            )
        };
        self.hands.iter().all(|(_, hand)| passes(hand)) && self.faults.0 <= 3
    }

    /// Lays the faults on the calls. The report counts them.
    pub fn befall(&self, sandbox: &Sandbox) -> Arc<Mutex<Report>> {
        let report = Arc::new(Mutex::new(Report::default()));
        let counted = report.clone();
        let random = Mutex::new(Random::of(self.seed ^ 0xFA17));
        let (budget, percent) = self.faults;
        let left = Mutex::new(budget);
        sandbox.set_fault(move |call| {
            let mut random = random.lock().expect("a number");
            let mut left = left.lock().expect("a number");
            if *left == 0 || !random.chance(percent) {
                return Fault::None;
            }
            *left -= 1;
            let (kind, fault) = fault(&mut random, &call.service);
            counted
                .lock()
                .expect("a report")
                .fault(kind, &call.operation);
            fault
        });
        report
    }

    /// Lets other people do what they do.
    pub async fn meddle(&self, sandbox: &Sandbox) {
        let mut hands = self.hands.clone();
        hands.sort_by_key(|(at, _)| *at);
        let mut now = 0;
        for (at, hand) in hands {
            tokio::time::sleep(Duration::from_secs(at.saturating_sub(now))).await;
            now = now.max(at);
            hand.meddle(sandbox, &self.runs[0].places);
            if hand == Hand::QuotaFull {
                tokio::time::sleep(FULL).await;
                now += FULL.as_secs();
                sandbox.edit(|aws| aws.set_limits(self.limits));
            }
        }
    }
}

/// A fault of some kind, as the service would word it.
fn fault(random: &mut Random, service: &str) -> (&'static str, Fault) {
    let refuse = |status, code: &str| Fault::Refuse {
        status,
        code: code.to_owned(),
        message: "by chance".to_owned(),
    };
    // In every flavour in which AWS says it.
    let throttled = match service {
        "ec2" => random.pick(&[
            "RequestLimitExceeded",
            "Throttling",
            "EC2ThrottledException",
            "ThrottledException",
        ]),
        "kms" => random.pick(&["ThrottlingException", "TooManyRequestsException"]),
        _ => random.pick(&["Throttling", "ThrottlingException", "SlowDown"]),
    };
    match random.below(9) {
        0 | 1 => (
            "throttled",
            refuse(if service == "ec2" { 503 } else { 400 }, throttled),
        ),
        2 => ("500", refuse(500, "InternalError")),
        3 => ("503", refuse(503, "ServiceUnavailable")),
        4 => ("reset before", Fault::ResetBefore),
        5 => ("reset after", Fault::ResetAfter),
        6 => ("no answer, before", Fault::HangBefore),
        7 => ("no answer, after", Fault::HangAfter),
        _ => ("slow", Fault::Delay(Duration::from_secs(random.below(45)))),
    }
}
