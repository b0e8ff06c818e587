//! The rule of `retain`: read from a file, completed by flags, and checked by the library.

use amiferry::ids::Region;
use amiferry::request::Retain;
use amiferry::request::keys::{Key, retain_keys};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use serde_json::{Map, Value};

use super::{flags, parse, text_of, unwrapped};
use crate::failure::Failure;

/// The heading of the flags of a rule.
const HEADING: &str = "Rule (a flag has precedence over the file)";

/// A rule as the command line gives it.
#[derive(Debug)]
pub struct Rule {
    file: Option<String>,
    flags: Map<String, Value>,
}

/// Returns the keys that have a flag. `--apply` is the verb's own, as it is of `sweep`.
fn keys() -> impl Iterator<Item = &'static Key> {
    retain_keys().iter().filter(|key| key.name != "Apply")
}

impl Args for Rule {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("file").short('f').long("file").value_name("FILE");
        let help = "Read the rule from a JSON or YAML file; - is standard input";
        command
            .arg(file.help_heading(HEADING).help(help))
            .args(keys().map(|key| flags::flag(key).help_heading(HEADING)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Rule {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given = Map::new();
        for key in keys() {
            if let Some(value) = flags::value(key, matches)? {
                given.insert(key.name.to_owned(), value);
            }
        }
        Ok(Self {
            file: matches.get_one::<String>("file").cloned(),
            flags: given,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Rule {
    /// Returns the words of the rule, for the function.
    pub fn read(&self, region: &Region, apply: bool) -> Result<Value, Failure> {
        let mut words = match &self.file {
            Some(file) => unwrapped(parse(&text_of(file)?, file)?, file)?,
            None => Map::new(),
        };
        words.extend(self.flags.clone());
        // A file does not decide whether anything is changed: the person at the terminal does.
        words.insert("Apply".to_owned(), Value::Bool(apply));
        let words = Value::Object(words);
        Retain::parse(&words, region)?;
        Ok(words)
    }
}
