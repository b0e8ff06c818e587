//! The sandbox over HTTP, and the program with the credentials of the source account.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use amiferry_sandbox::{Account, Sandbox, Server, Stack, World};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The image of the world of the demo.
pub const IMAGE: &str = "ami-0a1b2c3d4e5f60718";
/// The bucket of that world.
pub const BUCKET: &str = "amiferry-bucket";
/// The targets with a key of their own, as flags.
pub const TARGETS: [&str; 4] = [
    "--target",
    "222222222222=alias/amis",
    "--target",
    "444444444444/us-east-1=alias/amis",
];

/// The state machine of the stack.
pub const MACHINE: &str = "arn:aws:states:us-west-2:111111111111:stateMachine:amiferry";

const WORLD: &str = include_str!("../../../sandbox/worlds/demo.toml");

/// A world, and a folder for the program's state.
pub struct Stage {
    pub sandbox: Sandbox,
    server: Server,
    pub home: TempDir,
}

/// Returns the source account with a deployed stack, which its role may look at and start.
fn with_stack(mut source: Account) -> Account {
    let stack = Stack::new("us-west-2", "amiferry")
        .output("BucketName", BUCKET)
        .output("StateMachineArn", MACHINE);
    let allowed = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Resource": "*", "Action": [
            "cloudformation:DescribeStacks", "states:StartExecution",
            "states:DescribeExecution"]}]});
    source.roles[0].policies.push(allowed.to_string());
    source.stack(stack)
}

/// The end of a program.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Stage {
    /// Serves the world of the demo, whose time runs at this speed.
    pub async fn at_speed(speed: f64) -> Self {
        let mut world = World::from_toml(WORLD).expect("a world").speed(speed);
        let source = &mut world.accounts[0];
        *source = with_stack(std::mem::take(source));
        let sandbox = Sandbox::new(world);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = sandbox.serve(address).await.expect("a server");
        let home = tempfile::tempdir().expect("a folder");
        Self {
            sandbox,
            server,
            home,
        }
    }

    /// Returns the program with the credentials and settings of the source account.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.home.path(), arguments);
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAPRODUCER00000001")
            .env(
                "AWS_SECRET_ACCESS_KEY",
                "producer/secret/of/the/sandbox/only/0001",
            )
            .env("AWS_REGION", "us-west-2")
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.server.addr()))
            .env("AMIFERRY_BUCKET", BUCKET)
            .env(
                "AMIFERRY_ALLOWED_ACCOUNTS",
                "222222222222,333333333333,444444444444",
            )
            .env("AMIFERRY_ALLOW_SHARE", "true");
        command
    }

    /// Returns the program where only the stack says which bucket has the ledger.
    pub fn without_bucket(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(arguments);
        command.env_remove("AMIFERRY_BUCKET");
        command
    }

    /// Runs the program to its end.
    pub async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.program(arguments)).await
    }

    /// Returns the number of the calls of an operation so far.
    pub fn calls(&self, operation: &str) -> usize {
        let calls = self.sandbox.ledger();
        calls
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    }

    /// Returns the images of an account that stem from the source image.
    pub fn copies(&self, account: &str, region: &str) -> usize {
        self.sandbox.images(account, region).len()
    }
}

/// Returns a shell in the stage's folder with the program's environment, which finds the program in
/// this folder.
pub fn shell(stage: &Stage, programs: &Path, script: &str) -> Command {
    let own = stage.program(&[]);
    let variables = own.get_envs();
    let mut shell = Command::new("bash");
    shell
        .args(["-eu", "-o", "pipefail", "-c", script])
        .current_dir(stage.home.path())
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .env(
            "PATH",
            format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()),
        );
    shell
}

/// Waits until a file with the state of a run has an event with this key, and returns it.
pub async fn saved_with(stage: &Stage, key: &str) -> (PathBuf, Value) {
    for _ in 0..600 {
        for path in saved(stage) {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let value: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(found) = value["Event"].get(key) {
                return (path, found.clone());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no state with {key} was saved");
}

/// Returns the files with the states of runs.
pub fn saved(stage: &Stage) -> Vec<PathBuf> {
    let folder = stage.home.path().join("state/amiferry");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = files.map(|file| file.path());
    // A file that is being written has another name.
    paths
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect()
}

/// Starts the program, with pipes to what it prints.
pub fn begun(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

/// Waits for the end of a program.
pub async fn end_of(child: Child) -> Ended {
    let output = tokio::task::spawn_blocking(move || child.wait_with_output());
    let output = output.await.expect("a thread");
    output.expect("the program ends").into()
}

/// Presses Ctrl-C.
pub fn interrupt(child: &Child) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status();
    assert!(sent.expect("kill runs").success());
}

/// Returns the program in an environment without anything.
pub fn program(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_amiferry"));
    command
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// Runs a program while the sandbox, which is in this process, goes on.
pub async fn ended(mut command: Command) -> Ended {
    let output = tokio::task::spawn_blocking(move || command.output());
    output
        .await
        .expect("a thread")
        .expect("the program runs")
        .into()
}
