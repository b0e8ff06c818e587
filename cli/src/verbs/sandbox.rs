//! `sandbox`: the local AWS, for a first try without an account.

use std::net::{Ipv4Addr, SocketAddr};

use amiferry_sandbox::{Sandbox, World};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Globals, Output, Serve};
use crate::failure::{DONE, Failure};
use crate::print::{self, note};

/// The world of the demo.
const WORLD: &str = include_str!("../../../sandbox/worlds/demo.toml");

/// Serves a world on 127.0.0.1 until Ctrl-C.
pub async fn sandbox(globals: &Globals, args: &Serve) -> Result<u8, Failure> {
    let (name, text) = match &args.world {
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file);
            let text = text.map_err(|e| Failure::Usage(format!("{name}: {e}")))?;
            (name, text)
        }
        None => ("the world of the demo".to_owned(), WORLD.to_owned()),
    };
    let wrong = |e: String| Failure::Usage(format!("{name}: {e}"));
    let mut world = World::from_toml(&text).map_err(|e| wrong(e.to_string()))?;
    if let Some(speed) = args.speed {
        world = world.speed(speed);
    }
    let first = world.accounts.first().cloned();
    let sandbox = Sandbox::try_new(world).map_err(|e| wrong(e.to_string()))?;
    let failed = |e: std::io::Error| Failure::Failed(format!("127.0.0.1:{}: {e}", args.port));
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let server = sandbox.serve(address).await.map_err(failed)?;
    let mut told = json!({"AWS_ENDPOINT_URL": format!("http://{}", server.addr())});
    if let Some(account) = first {
        if let Some(key) = account.access_keys.first() {
            told["AWS_ACCESS_KEY_ID"] = json!(key.id);
            told["AWS_SECRET_ACCESS_KEY"] = json!(key.secret);
            if let Some(token) = &key.session_token {
                told["AWS_SESSION_TOKEN"] = json!(token);
            }
        }
        if let Some(bucket) = account.buckets.first() {
            told["AMIFERRY_BUCKET"] = json!(bucket.name);
            told["AWS_REGION"] = json!(bucket.region);
        }
    }
    show(globals.output, &told)?;
    note(
        globals,
        "the sandbox serves until Ctrl-C; set these variables in another terminal",
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(DONE)
}

/// Prints the variables of the environment by which programs reach the sandbox.
fn show(output: Output, told: &Value) -> Result<(), Failure> {
    match output {
        Output::Json => print::json(told),
        Output::Jsonl => print::json_line(told),
        Output::Table | Output::Text => {
            let variables = told.as_object().into_iter().flatten();
            let mut lines = variables.map(|(name, value)| {
                format!("export {name}={}", value.as_str().unwrap_or_default())
            });
            lines.try_for_each(print::line)
        }
    }
}
