//! The request: read from a file or standard input, completed by flags, and checked by the
//! library's own parser, so that a wrong request has the same message everywhere.
//!
//! Each key of the library's table has a flag, so that a new key needs no change here.

use std::fmt;
use std::io::Read;
use std::marker::PhantomData;
use std::path::Path;

use amiferry::ids::Region;
use amiferry::request::keys::{KEYS, Key};
use amiferry::request::{Defaults, Mode, Request};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value, json};

use crate::failure::Failure;

mod flags;
mod packer;
mod rule;

pub use flags::plain;
pub use rule::{Call, Promoting, Retaining, RollingBack, Rule};
#[cfg(test)]
mod tests;

/// The heading of the flags of a request.
const HEADING: &str = "Request (a flag has precedence over the file)";
/// The events that hold a request: a file may be one of them.
const EVENTS: [&str; 6] = [
    "Distribute",
    "Preflight",
    "Policies",
    "Retain",
    "Promote",
    "Rollback",
];
/// Keys of custom resources, which change nothing in a direct call.
const OF_RESOURCES: [&str; 2] = ["OnDelete", "Wait"];

/// The keys that a verb accepts, and those that it sets itself.
pub trait Scope: fmt::Debug + Send + Sync + 'static {
    /// The verb's mode; `None` if the request says it.
    const MODE: Option<Mode>;
    /// Whether the verb takes a share back.
    const UNSHARE: bool = false;
}

/// Any request.
#[derive(Debug)]
pub struct AnyMode;
/// Requests of `distribute`.
#[derive(Debug)]
pub struct CopyMode;
/// Requests of `share`.
#[derive(Debug)]
pub struct ShareMode;
/// Requests of `unshare`.
#[derive(Debug)]
pub struct UnshareMode;

impl Scope for AnyMode {
    const MODE: Option<Mode> = None;
}
impl Scope for CopyMode {
    const MODE: Option<Mode> = Some(Mode::Copy);
}
impl Scope for ShareMode {
    const MODE: Option<Mode> = Some(Mode::Share);
}
impl Scope for UnshareMode {
    const MODE: Option<Mode> = Some(Mode::Share);
    const UNSHARE: bool = true;
}

/// A request as the command line gives it.
#[derive(Debug)]
pub struct Wish<S> {
    file: Option<String>,
    packer_manifest: Option<String>,
    flags: Map<String, Value>,
    /// Whether only a skeleton of a request is printed.
    pub skeleton: bool,
    scope: PhantomData<S>,
}

/// Returns the keys that have a flag in a mode.
fn keys(mode: Option<Mode>) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| {
        let said_by_the_verb = mode.is_some() && matches!(key.name, "Mode" | "Unshare");
        let of_other_mode = mode.is_some() && key.mode.is_some() && key.mode != mode;
        !(said_by_the_verb || of_other_mode || OF_RESOURCES.contains(&key.name))
    })
}

impl<S: Scope> Args for Wish<S> {
    fn augment_args(command: Command) -> Command {
        command
            .arg(
                Arg::new("file")
                    .short('f')
                    .long("file")
                    .value_name("FILE")
                    .help_heading(HEADING)
                    .help("Read the request from a JSON or YAML file; - is standard input"),
            )
            .arg(
                Arg::new("packer-manifest")
                    .long("packer-manifest")
                    .value_name("FILE")
                    .help_heading(HEADING)
                    .help("Take the AMI that Packer built last from its manifest"),
            )
            .arg(
                Arg::new("generate-skeleton")
                    .long("generate-skeleton")
                    .action(ArgAction::SetTrue)
                    .help_heading(HEADING)
                    .help("Print a request to fill in, and do nothing"),
            )
            .args(keys(S::MODE).map(|key| flags::flag(key).help_heading(HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Scope> FromArgMatches for Wish<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Map::new();
        for key in keys(S::MODE) {
            if let Some(value) = flags::value(key, matches)? {
                given.insert(key.name.to_owned(), value);
            }
        }
        Ok(Self {
            file: matches.get_one::<String>("file").cloned(),
            packer_manifest: matches.get_one::<String>("packer-manifest").cloned(),
            flags: given,
            skeleton: matches.get_flag("generate-skeleton"),
            scope: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<S: Scope> Wish<S> {
    /// Returns the keys that the verb has a flag for.
    #[expect(clippy::unused_self, reason = "the wish names the scope")]
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<S> {
        keys(S::MODE)
    }

    /// Returns the words of the request, for the function, and the checked request. `region` is
    /// that of a request without one.
    pub fn read(&self, region: &Region) -> Result<(Value, Request), Failure> {
        if self.file.is_none() && self.flags.is_empty() && self.packer_manifest.is_none() {
            let how = "no request: give it by -f FILE or by flags, such as --image and --target; \
                       --generate-skeleton prints one to fill in";
            return Err(Failure::Usage(how.to_owned()));
        }
        let mut words = match &self.file {
            Some(file) => unwrapped(parse(&text_of(file)?, file)?, file)?,
            None => Map::new(),
        };
        for (name, value) in &self.flags {
            let also = KEYS
                .iter()
                .find(|key| key.name == name)
                .and_then(|key| key.also);
            also.map(|also| words.remove(also));
            words.insert(name.clone(), value.clone());
        }
        if let Some(file) = &self.packer_manifest {
            let given = |key: &str| words.get(key).and_then(Value::as_str);
            let (image, region) = packer::source(
                &text_of(file)?,
                file,
                given("SourceImageId"),
                given("SourceRegion"),
            )?;
            words.insert("SourceImageId".to_owned(), json!(image));
            words.insert("SourceRegion".to_owned(), json!(region));
        }
        Self::set_mode(&mut words)?;
        let words = Value::Object(words);
        let defaults = Defaults {
            region: region.clone(),
            account: None,
        };
        let request = Request::parse(&words, &defaults)?;
        Ok((words, request))
    }

    /// Writes the verb's mode into the request, and refuses a file that says another one.
    fn set_mode(words: &mut Map<String, Value>) -> Result<(), Failure> {
        let given = words.get("Mode").and_then(Value::as_str);
        let (mode, verb, other) = match S::MODE {
            None => return Ok(()),
            Some(Mode::Copy) => ("Copy", "distribute", "share"),
            Some(Mode::Share) => (
                "Share",
                if S::UNSHARE { "unshare" } else { "share" },
                "distribute",
            ),
        };
        if let Some(given) = given.filter(|given| *given != mode) {
            let said = format!("Mode: is {given}, but {verb} means {mode}; use amiferry {other}");
            return Err(Failure::Usage(said));
        }
        if S::MODE == Some(Mode::Share) {
            words.insert("Mode".to_owned(), json!(mode));
            let unshares = |value: &Value| value == true || value == "true";
            if S::UNSHARE {
                words.insert("Unshare".to_owned(), json!(true));
            } else if words.get("Unshare").is_some_and(unshares) {
                let said = "Unshare: is true; use amiferry unshare";
                return Err(Failure::Usage(said.to_owned()));
            }
        }
        Ok(())
    }
}

fn text_of(file: &str) -> Result<String, Failure> {
    if file == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|e| Failure::Usage(format!("standard input: {e}")))?;
        return Ok(text);
    }
    std::fs::read_to_string(Path::new(file)).map_err(|e| Failure::Usage(format!("{file}: {e}")))
}

/// Reads JSON or YAML. JSON has its own parser, because its errors are about JSON.
fn parse(text: &str, file: &str) -> Result<Value, Failure> {
    let parsed = if text.trim_start().starts_with('{') && !file.ends_with("ml") {
        serde_json::from_str(text).map_err(|e| e.to_string())
    } else {
        serde_saphyr::from_str(text).map_err(|e| e.to_string())
    };
    parsed.map_err(|said| Failure::Usage(format!("{file}: {said}")))
}

/// Returns the keys of a request, also of one in an event of the function.
fn unwrapped(value: Value, file: &str) -> Result<Map<String, Value>, Failure> {
    let Value::Object(mut words) = value else {
        let said = format!("{file}: must be an object with the request's keys");
        return Err(Failure::Usage(said));
    };
    if words.len() == 1 {
        for event in EVENTS {
            match words.remove(event) {
                Some(Value::Object(request)) => return Ok(request),
                Some(other) => words.extend([(event.to_owned(), other)]),
                None => {}
            }
        }
    }
    Ok(words)
}
