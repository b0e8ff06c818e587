//! The program `amiferry-sandbox`: `serve` serves a world file over HTTP on 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use amiferry_sandbox::{Sandbox, World};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a world until SIGTERM or SIGINT.
    Serve {
        /// The world file (TOML).
        #[arg(long)]
        world: PathBuf,
        /// Port on 127.0.0.1; 0 takes a free one.
        #[arg(long, default_value_t = 0)]
        port: u16,
        /// Speed of the world's time, in place of the file's own.
        #[arg(long)]
        speed: Option<f64>,
    },
    /// Print every refusal with its source, as a Markdown table.
    Refusals,
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { world, port, speed } => serve(world, port, speed).await,
        Command::Refusals => {
            print_refusals();
            Ok(())
        }
    };
    if let Err(message) = result {
        eprintln!("amiferry-sandbox: {message}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn serve(path: PathBuf, port: u16, speed: Option<f64>) -> Result<(), String> {
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut world = World::from_toml(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if let Some(speed) = speed {
        if !(speed.is_finite() && speed > 0.0) {
            return Err(format!("--speed: {speed} is not a positive number"));
        }
        world = world.speed(speed);
    }
    let sandbox = Sandbox::try_new(world).map_err(|e| e.to_string())?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = sandbox
        .serve(address)
        .await
        .map_err(|e| format!("{address}: {e}"))?;
    println!("amiferry-sandbox listening on http://{}", server.addr());
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

fn print_refusals() {
    println!("| code | status | message | source |\n|---|---|---|---|");
    for refusal in amiferry_sandbox::refusals::all() {
        let message = refusal.message.replace('|', "\\|");
        println!(
            "| `{}` | {} | {message} | {} |",
            refusal.code, refusal.status, refusal.source
        );
    }
}
