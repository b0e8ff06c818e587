//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::wish::{
    AnyMode, Call, CopyMode, Promoting, Retaining, RollingBack, Rule, ShareMode, UnshareMode, Wish,
};

mod examples;
mod values;

use examples::{
    COMPLETIONS, DISTRIBUTE, EXPLAIN, LIVE_CHECK, PLAN, POLICIES, PREFLIGHT, PROMOTE, RECEIPT,
    RESUME, RETAIN, ROLLBACK, RUNS, SANDBOX, SHARE, STATUS, SWEEP, UNSHARE, VERIFY, WATCH,
    examples,
};
use values::{duration, positive, price};

/// The heading of the options that every verb has.
const GLOBAL: &str = "Global options";

const EXIT_CODES: &str = "\
Exit codes:
  0    done, or nothing to do
  1    failed
  2    the plan has changes (plan --detailed-exitcode)
  3    some targets failed
  4    still running; amiferry resume goes on
  130  interrupted; the message says how to go on
  252  the command or the request is wrong
  253  no credentials, or AWS does not know them
  254  AWS refused, or gave no answer

Results go to standard output, all else to standard error.";

/// Carries KMS-encrypted AMIs from one AWS account into many, under their own keys.
#[derive(Debug, Parser)]
#[command(name = "amiferry", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// The options that every verb has.
    #[command(flatten)]
    pub globals: Globals,
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The options that every verb has.
#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// The profile of ~/.aws/config; else AWS_PROFILE
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    pub profile: Option<String>,
    /// The Region of the ledger, and of the AMI where the request names none; else AWS_REGION
    #[arg(long, global = true, value_name = "REGION", help_heading = GLOBAL)]
    pub region: Option<String>,
    /// The address of all AWS APIs, such as a sandbox; else AWS_ENDPOINT_URL
    #[arg(long, global = true, value_name = "URL", help_heading = GLOBAL)]
    pub endpoint_url: Option<String>,
    /// The form of results
    #[arg(
        long, global = true, value_enum, default_value_t, env = "AMIFERRY_OUTPUT",
        value_name = "FORM", help_heading = GLOBAL
    )]
    pub output: Output,
    /// Show no progress
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub no_progress: bool,
    /// When to use colors; NO_COLOR turns off those of auto
    #[arg(
        long, global = true, value_name = "WHEN", default_value = "auto", help_heading = GLOBAL
    )]
    pub color: Color,
    /// Ask for no confirmation
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub yes: bool,
    /// Follow a run no longer than this (90s, 15m, 2h); then exit with code 4
    #[arg(
        long, global = true, value_name = "TIME", value_parser = duration, help_heading = GLOBAL
    )]
    pub timeout: Option<Duration>,
    /// Log what is done to standard error; twice for details
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = GLOBAL)]
    pub verbose: u8,
    /// Show nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub quiet: bool,
}

/// The form of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Columns for people
    #[default]
    Table,
    /// One JSON document: the reply as the function gives it
    Json,
    /// A JSON object for each target, as it ends
    Jsonl,
    /// Columns with tabs between them, without headings
    Text,
}

/// When to use colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Makes this the choice of all output.
    pub fn write_global(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Show target by target what a request would do; change nothing
    #[command(after_help = examples(PLAN))]
    Plan(Plan),
    /// Give each target an AMI of its own, and follow the run to its end
    #[command(after_help = examples(DISTRIBUTE))]
    Distribute(Distribute),
    /// Let the targets launch from the AMI until it is taken back (Mode: Share)
    #[command(after_help = examples(SHARE))]
    Share(Share<ShareMode>),
    /// Take a share back from the targets
    #[command(after_help = examples(UNSHARE))]
    Unshare(Share<UnshareMode>),
    /// Go on with a run that was interrupted here
    #[command(after_help = examples(RESUME))]
    Resume(Resume),
    /// Compare the copies with their source, and show who can use what now
    #[command(after_help = examples(VERIFY))]
    Verify(Verify),
    /// List everything that stands in the way of a request, with its remedy; change nothing
    #[command(after_help = examples(PREFLIGHT))]
    Preflight(Asked),
    /// Print the policies that a request needs, account by account; change nothing
    #[command(after_help = examples(POLICIES))]
    Policies(Asked),
    /// Say what an error means, or what a service lacks to launch from an AMI, and what to do
    #[command(after_help = examples(EXPLAIN))]
    Explain(Explain),
    /// List the runs of the ledger
    #[command(after_help = examples(RUNS))]
    Runs(Ledger),
    /// Show what is open now, to whom, since when and because of which run
    #[command(after_help = examples(STATUS))]
    Status(Status),
    /// Show each change of what is open and of the runs, until Ctrl-C or the end of the run
    #[command(after_help = examples(WATCH))]
    Watch(Watch),
    /// Print every opening of a run: when it was added, taken away and read back
    #[command(after_help = examples(RECEIPT))]
    Receipt(Receipt),
    /// List what outlived its run and is open still; --apply closes it
    #[command(after_help = examples(SWEEP))]
    Sweep(Sweep),
    /// List which copies a rule keeps in each target, and which are old; --apply removes these
    #[command(after_help = examples(RETAIN))]
    Retain(RetainArgs),
    /// Show which parameter would get the AMI of another, in all targets together; --apply does it
    #[command(after_help = examples(PROMOTE))]
    Promote(CallArgs<Promoting>),
    /// Show which AMI a parameter would go back to, in all targets together; --apply does it
    #[command(after_help = examples(ROLLBACK))]
    Rollback(CallArgs<RollingBack>),
    /// Try on two real accounts what no emulator can prove, and say what held
    #[command(after_help = examples(LIVE_CHECK))]
    LiveCheck(LiveCheck),
    /// Serve an AWS on this machine, to try everything without an account
    #[command(after_help = examples(SANDBOX))]
    Sandbox(Serve),
    /// Print the JSON Schema of a request
    Schema,
    /// Print the completions of a shell
    #[command(after_help = examples(COMPLETIONS))]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, of one verb if it is named
    Man {
        /// The verb
        verb: Option<String>,
    },
}

/// The bucket of the ledger.
#[derive(Debug, Clone, Args)]
pub struct Ledger {
    /// The bucket of the ledger; by default the output BucketName of the stack
    #[arg(long, value_name = "NAME", env = "AMIFERRY_BUCKET")]
    pub bucket: Option<String>,
    /// The stack whose outputs name the bucket and the state machine
    #[arg(
        long,
        value_name = "NAME",
        env = "AMIFERRY_STACK",
        default_value = "amiferry"
    )]
    pub stack: String,
}

/// A request that is only asked about.
#[derive(Debug, Args)]
pub struct Asked {
    /// The request.
    #[command(flatten)]
    pub wish: Wish<AnyMode>,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// The request, and the ledger.
    #[command(flatten)]
    pub asked: Asked,
    /// Exit with code 2 if the request would change anything
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// The assumptions of time and cost.
    #[command(flatten)]
    pub assumed: Assumptions,
}

/// The assumptions of an estimate.
#[derive(Debug, Clone, Copy, Args)]
pub struct Assumptions {
    /// Assume that a snapshot is copied at this rate, in MiB/s
    #[arg(long, value_name = "MIB", default_value_t = 60.0, value_parser = positive)]
    pub copy_rate: f64,
    /// Assume this price of a GiB between Regions, in USD
    #[arg(long, value_name = "USD", default_value_t = 0.02, value_parser = price)]
    pub transfer_price: f64,
    /// Assume this price of a GiB of snapshots in a month, in USD
    #[arg(long, value_name = "USD", default_value_t = 0.05, value_parser = price)]
    pub storage_price: f64,
}

/// The arguments of `distribute`.
#[derive(Debug, Args)]
pub struct Distribute {
    /// The request.
    #[command(flatten)]
    pub wish: Wish<CopyMode>,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
    /// Run the engine in this process instead of the stack's state machine, on the same ledger
    #[arg(long)]
    pub local: bool,
    /// Start the state machine and do not follow it
    #[arg(long, conflicts_with = "local")]
    pub no_wait: bool,
    /// Write the AMIs of the run into a JSON file
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    pub manifest: Option<PathBuf>,
}

/// The arguments of `share` and `unshare`.
#[derive(Debug, Args)]
pub struct Share<M: crate::wish::Scope> {
    /// The request.
    #[command(flatten)]
    pub wish: Wish<M>,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// The ID of a run that began here, or a file with its state
    #[arg(value_name = "RUN|FILE")]
    pub run: String,
    /// Write the AMIs of the run into a JSON file
    #[arg(long, value_name = "FILE")]
    pub manifest: Option<PathBuf>,
}

/// The arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The request, and the ledger.
    #[command(flatten)]
    pub asked: Asked,
    /// Show the attributes that are equal, too
    #[arg(long)]
    pub all: bool,
}

/// The arguments of `explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The error, of amiferry, AWS or Packer; - is standard input
    #[arg(value_name = "TEXT", conflicts_with = "image")]
    pub text: Vec<String>,
    /// An AMI in the account of the credentials: explain what a launch from it lacks
    #[arg(long, value_name = "AMI")]
    pub image: Option<String>,
    /// The service whose role launches, as in ServiceLinkedRoles
    #[arg(
        long,
        value_name = "SERVICE",
        default_value = "autoscaling.amazonaws.com"
    )]
    pub role: String,
}

/// The arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Show this run only
    pub run: Option<String>,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `watch`.
#[derive(Debug, Args)]
pub struct Watch {
    /// Watch this run only, to its end
    pub run: Option<String>,
    /// The time between two looks
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pub every: Duration,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `live-check`. `--profile` and `--region` are those of the source.
#[derive(Debug, Args)]
pub struct LiveCheck {
    /// The profile of the target account; --profile is that of the source account
    #[arg(long, value_name = "NAME")]
    pub target_profile: String,
    /// A second Region of the target, beside --region
    #[arg(long, value_name = "REGION")]
    pub other_region: String,
    /// Copy this AMI with billing data, too, such as one of Windows (costs its storage for an hour)
    #[arg(long, value_name = "AMI", conflicts_with = "clean_up")]
    pub billed_image: Option<String>,
    /// Wait no longer than this until a permission has spread
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    pub patience: Duration,
    /// Write the report here; by default amiferry-live-check-ID.md
    #[arg(long, value_name = "FILE", conflicts_with = "clean_up")]
    pub report: Option<PathBuf>,
    /// Remove what a check made that could not remove it itself
    #[arg(long, value_name = "ID")]
    pub clean_up: Option<String>,
}

/// The arguments of `sandbox`.
#[derive(Debug, Args)]
pub struct Serve {
    /// A world file (TOML); by default the world of the demo
    #[arg(long, value_name = "FILE")]
    pub world: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 takes a free one
    #[arg(long, default_value_t = 4566)]
    pub port: u16,
    /// How many times as fast as AWS its time runs; by default as the world says
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    pub speed: Option<f64>,
}

/// The arguments of `receipt`.
#[derive(Debug, Args)]
pub struct Receipt {
    /// The ID of the run
    pub run: String,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `sweep`.
#[derive(Debug, Args)]
pub struct Sweep {
    /// Do it: close, finish closings and verify them
    #[arg(long)]
    pub apply: bool,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

/// The arguments of `promote` and `rollback`.
#[derive(Debug, Args)]
pub struct CallArgs<C: Call> {
    /// Do it: move the parameter in all targets
    #[arg(long)]
    pub apply: bool,
    /// The call.
    #[command(flatten)]
    pub rule: Rule<C>,
}

/// The arguments of `retain`.
#[derive(Debug, Args)]
pub struct RetainArgs {
    /// Do it: deprecate, disable and deregister what is due
    #[arg(long)]
    pub apply: bool,
    /// The rule.
    #[command(flatten)]
    pub rule: Rule<Retaining>,
    /// The ledger.
    #[command(flatten)]
    pub ledger: Ledger,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
