//! The decisions of publishing an image. Pure: AWS's answers come in as facts.

use crate::command::Rest;
use crate::digest::digest;
use crate::ids::{ImageId, TEST_PREFIX};
use crate::state::{PublishedParameter, RunRef, TargetState};

/// Seconds after its launch in which the instance of a launch test must pass its status checks.
/// Status checks of EC2 begin with the instance, and repeat each minute.
const LONGEST_TEST: i64 = 15 * 60;
/// Seconds between two looks at that instance.
const LOOK_AGAIN: i64 = 15;
/// The number of instances of one launch test. A process that died after it terminated the
/// instance, and before it said how the test ended, leaves the test to the next one.
const MOST_INSTANCES: usize = 3;
/// The state reason of an instance that somebody terminated by a call.
const BY_CALL: &str = "Client.UserInitiatedShutdown";

/// The step that a parameter needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterStep {
    /// The parameter holds the image.
    Done(PublishedParameter),
    /// The parameter held the image, and holds this value since.
    MovedOn(String),
    /// The parameter must be written, as text if it is of that data type.
    Write {
        /// Whether Systems Manager knows that the parameter holds an AMI.
        typed: bool,
    },
}

/// One version of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterVersion {
    /// The number.
    pub number: i64,
    /// The value.
    pub value: String,
    /// The data type: `aws:ec2:image` or `text`.
    pub data_type: String,
}

/// The data type by which Systems Manager and EC2 know an AMI.
pub const AMI_TYPE: &str = "aws:ec2:image";

/// Decides about a parameter by its history, the oldest version first.
///
/// An image is written to a parameter once. A parameter that was changed afterwards is somebody
/// else's decision, which an event that AWS delivers twice must not undo.
pub fn parameter_step(history: &[ParameterVersion], image: &ImageId) -> ParameterStep {
    let ours = |version: &&ParameterVersion| version.value == image.as_str();
    let Some(last) = history.last() else {
        return ParameterStep::Write { typed: true };
    };
    if !ours(&last) {
        // Systems Manager changes no data type of a parameter.
        let typed = last.data_type == AMI_TYPE;
        let had_it = history.iter().any(|version| ours(&version));
        return if had_it {
            ParameterStep::MovedOn(last.value.clone())
        } else {
            ParameterStep::Write { typed }
        };
    }
    let former = history.iter().rev().find(|version| !ours(version));
    ParameterStep::Done(PublishedParameter {
        version: last.number,
        former: former.and_then(|version| ImageId::parse(&version.value).ok()),
    })
}

/// An instance of a launch test, as EC2 shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestInstance {
    /// The ID.
    pub id: String,
    /// The client token that launched it.
    pub token: String,
    /// The Auto Scaling group that launched it.
    pub group: Option<String>,
    /// The state: `pending`, `running`, `shutting-down`, `terminated`, `stopping` or `stopped`.
    pub state: String,
    /// Code and message of the state's reason.
    pub reason: Option<(String, String)>,
    /// The time of the launch (Unix seconds).
    pub launched: i64,
    /// The statuses of the instance and of its system, once EC2 shows them.
    pub checks: Option<(String, String)>,
}

impl TestInstance {
    /// Returns whether the instance runs, or is about to.
    pub fn lives(&self) -> bool {
        !matches!(self.state.as_str(), "shutting-down" | "terminated")
    }
}

/// The Auto Scaling group of a launch test.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestGroup {
    /// Whether the group is being deleted.
    pub ends: bool,
    /// The time of its creation (Unix seconds).
    pub created: i64,
    /// The words of Auto Scaling about a launch that failed.
    pub failed: Option<String>,
}

/// The state of a launch test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestStep {
    /// Launch an instance with this client token, or by a group of this name.
    Launch(String),
    /// Look again later.
    Wait,
    /// The instance runs and has passed its checks.
    Passed,
    /// The test failed; the text says why.
    Failed(String),
}

/// Returns the client tokens of a launch test, in the order of their use.
pub fn test_tokens(run: RunRef<'_>, target: &TargetState, image: &ImageId) -> Vec<String> {
    let token = |number: usize| {
        let (attempt, number) = (run.attempt.to_string(), number.to_string());
        let place = [target.account_id.as_str(), target.region.as_str()];
        let parts = ["launch-test", run.id, &attempt, image.as_str(), &number];
        digest(parts.into_iter().chain(place))
    };
    (0..MOST_INSTANCES).map(token).collect()
}

/// Decides about a launch test by its instances.
pub fn test_step(tokens: &[String], instances: &[TestInstance], now: i64) -> TestStep {
    for token in tokens {
        let Some(instance) = instances.iter().find(|one| one.token == *token) else {
            return TestStep::Launch(token.clone());
        };
        let code = instance.reason.as_ref().map(|(code, _)| code.as_str());
        if !instance.lives() && code == Some(BY_CALL) {
            continue;
        }
        return step_of(instance, now);
    }
    TestStep::Failed(format!(
        "somebody terminated each of its {} instances before it had passed its status checks",
        tokens.len()
    ))
}

/// Returns the name of the group and of the launch template that test an image. Another attempt of
/// the run finds them by it.
pub fn test_group(run: RunRef<'_>, target: &TargetState, image: &ImageId) -> String {
    let place = [target.account_id.as_str(), target.region.as_str()];
    let parts = ["launch-test-group", run.id, image.as_str()];
    format!("{TEST_PREFIX}{}", digest(parts.into_iter().chain(place)))
}

/// Decides about a launch test by its group and the instances that the group launched.
pub fn group_step(
    name: &str,
    group: Option<&TestGroup>,
    instances: &[TestInstance],
    now: i64,
) -> TestStep {
    let by_itself = |one: &&TestInstance| {
        let code = one.reason.as_ref().map(|(code, _)| code.as_str());
        !one.lives() && code != Some(BY_CALL)
    };
    // A group launches again and again: the first instance that failed decides.
    if let Some(failed) = instances.iter().find(by_itself) {
        return step_of(failed, now);
    }
    if let Some(living) = instances.iter().find(|one| one.lives()) {
        return step_of(living, now);
    }
    match group {
        None if instances.len() >= MOST_INSTANCES => TestStep::Failed(format!(
            "somebody deleted group {name} {MOST_INSTANCES} times before its instance had passed \
             its status checks"
        )),
        None => TestStep::Launch(name.to_owned()),
        Some(TestGroup { ends: true, .. }) => TestStep::Wait,
        Some(TestGroup {
            failed: Some(said), ..
        }) => TestStep::Failed(format!("Auto Scaling did not launch an instance: {said}")),
        Some(group) if now - group.created > LONGEST_TEST => {
            let minutes = LONGEST_TEST / 60;
            TestStep::Failed(format!(
                "group {name} has launched no instance in {minutes} minutes"
            ))
        }
        Some(_) => TestStep::Wait,
    }
}

fn step_of(instance: &TestInstance, now: i64) -> TestStep {
    let (id, state) = (&instance.id, instance.state.as_str());
    if matches!(
        state,
        "shutting-down" | "terminated" | "stopping" | "stopped"
    ) {
        let (code, message) = instance.reason.clone().unwrap_or_default();
        let said = format!("instance {id} is {state} by itself: {code}: {message}");
        return TestStep::Failed(said);
    }
    let (of_instance, of_system) = match &instance.checks {
        Some((instance, system)) => (instance.as_str(), system.as_str()),
        None => ("unknown", "unknown"),
    };
    if state == "running" && of_instance == "ok" && of_system == "ok" {
        return TestStep::Passed;
    }
    let checks = format!("instance status {of_instance}, system status {of_system}");
    if of_instance == "impaired" || of_system == "impaired" {
        return TestStep::Failed(format!("instance {id} does not pass its checks: {checks}"));
    }
    if now - instance.launched > LONGEST_TEST {
        let minutes = LONGEST_TEST / 60;
        return TestStep::Failed(format!(
            "instance {id} is {state} and has not passed its checks in {minutes} minutes: {checks}"
        ));
    }
    TestStep::Wait
}

impl TestStep {
    /// Returns the rest of a publication whose launch test is at this step; `None` if it passed.
    pub fn rest(self) -> Option<Rest> {
        match self {
            Self::Passed => None,
            Self::Launch(_) | Self::Wait => Some(Rest::Launching {
                seconds: LOOK_AGAIN,
            }),
            Self::Failed(why) => Some(Rest::NotLaunched(why)),
        }
    }
}

/// Returns the instance type of a launch test that names none: the smallest that the image can run
/// on. Types of the Nitro system need ENA (EC2 user guide, enhanced networking).
pub fn smallest_type(architecture: Option<&str>, ena: bool) -> &'static str {
    match architecture {
        Some(architecture) if architecture.starts_with("arm64") => "t4g.micro",
        _ if ena => "t3.micro",
        _ => "t2.micro",
    }
}

/// Returns the words by which a version of a launch template tells which version was the default
/// before it.
pub fn version_words(run: &str, default: i64) -> String {
    format!("amiferry {run}, made from version {default}")
}

/// Reads the number back from [`version_words`].
pub fn default_before(words: &str) -> Option<i64> {
    words
        .strip_prefix("amiferry ")?
        .rsplit(' ')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
