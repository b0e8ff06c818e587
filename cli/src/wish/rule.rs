//! The calls that are about copies which stand: `retain`, `promote` and `rollback`. Each is read
//! from a file, completed by flags, and checked by the library.

use std::fmt;
use std::marker::PhantomData;

use amiferry::error::Error;
use amiferry::ids::Region;
use amiferry::request::keys::{Key, promote_keys, retain_keys, rollback_keys};
use amiferry::request::{Channel, Retain};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use super::{flags, parse, text_of, unwrapped};
use crate::failure::Failure;

/// The heading of the flags.
const HEADING: &str = "Call (a flag has precedence over the file)";

/// A call of the function that has a verb of its own.
pub trait Call: fmt::Debug + Send + Sync + 'static {
    /// The name of the function's event.
    const EVENT: &'static str;

    /// Returns all keys of the call.
    fn keys() -> &'static [Key];

    /// Checks the words of the call.
    fn check(words: &Value, region: &Region) -> Result<(), Error>;
}

/// The call of `retain`.
#[derive(Debug)]
pub struct Retaining;
/// The call of `promote`.
#[derive(Debug)]
pub struct Promoting;
/// The call of `rollback`.
#[derive(Debug)]
pub struct RollingBack;

impl Call for Retaining {
    const EVENT: &'static str = "Retain";

    fn keys() -> &'static [Key] {
        retain_keys()
    }

    fn check(words: &Value, region: &Region) -> Result<(), Error> {
        Retain::parse(words, region).map(drop)
    }
}

impl Call for Promoting {
    const EVENT: &'static str = "Promote";

    fn keys() -> &'static [Key] {
        promote_keys()
    }

    fn check(words: &Value, region: &Region) -> Result<(), Error> {
        Channel::promote(words, region).map(drop)
    }
}

impl Call for RollingBack {
    const EVENT: &'static str = "Rollback";

    fn keys() -> &'static [Key] {
        rollback_keys()
    }

    fn check(words: &Value, region: &Region) -> Result<(), Error> {
        Channel::rollback(words, region).map(drop)
    }
}

/// A call as the command line gives it.
#[derive(Debug)]
pub struct Rule<C> {
    file: Option<String>,
    flags: Map<String, Value>,
    call: PhantomData<C>,
}

/// Returns the keys that have a flag. `--apply` is the verb's own, as it is of `sweep`.
fn keys<C: Call>() -> impl Iterator<Item = &'static Key> {
    C::keys().iter().filter(|key| key.name != "Apply")
}

impl<C: Call> Args for Rule<C> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("file").short('f').long("file").value_name("FILE");
        let help = "Read the call from a JSON or YAML file; - is standard input";
        command
            .arg(file.help_heading(HEADING).help(help))
            .args(keys::<C>().map(|key| flags::flag(key).help_heading(HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<C: Call> FromArgMatches for Rule<C> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Map::new();
        for key in keys::<C>() {
            if let Some(value) = flags::value(key, matches)? {
                given.insert(key.name.to_owned(), value);
            }
        }
        Ok(Self {
            file: matches.get_one::<String>("file").cloned(),
            flags: given,
            call: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<C: Call> Rule<C> {
    /// Returns the function's event.
    pub fn read(&self, region: &Region, apply: bool) -> Result<Value, Failure> {
        let mut words = match &self.file {
            Some(file) => unwrapped(parse(&text_of(file)?, file)?, file)?,
            None => Map::new(),
        };
        words.extend(self.flags.clone());
        // A file does not decide whether anything is changed: the person at the terminal does.
        words.insert("Apply".to_owned(), Value::Bool(apply));
        let words = Value::Object(words);
        C::check(&words, region)?;
        Ok([(C::EVENT.to_owned(), words)].into_iter().collect())
    }
}
