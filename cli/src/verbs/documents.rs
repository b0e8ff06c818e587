//! `schema`, `completions` and `man`: documents about the program itself.

use clap::{Command, CommandFactory};

use crate::arguments::Cli;
use crate::failure::{DONE, Failure};
use crate::{print, schema};

/// Prints the JSON Schema of a request.
pub fn schema() -> Result<u8, Failure> {
    print::json(&schema::schema())?;
    Ok(DONE)
}

/// Prints the completions of a shell.
pub fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "amiferry", &mut text);
    written(&text)
}

/// Prints the manual page of the program, or of one verb.
pub fn man(verb: Option<&str>) -> Result<u8, Failure> {
    let mut program = Cli::command();
    // The verbs have the global options after that.
    program.build();
    let page = match verb {
        None => clap_mangen::Man::new(program),
        Some(verb) => {
            let found = program.find_subcommand(verb).cloned();
            let found = found.ok_or_else(|| Failure::Usage(unknown(verb, &program)))?;
            clap_mangen::Man::new(found.name(format!("amiferry-{verb}")))
        }
    };
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|e| Failure::Failed(format!("the manual page: {e}")))?;
    written(&text)
}

fn unknown(verb: &str, program: &Command) -> String {
    let verbs: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
    format!("{verb:?} is no verb; the verbs are {}", verbs.join(", "))
}

fn written(text: &[u8]) -> Result<u8, Failure> {
    let text = String::from_utf8_lossy(text);
    print::line(text.trim_end())?;
    Ok(DONE)
}
