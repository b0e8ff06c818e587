//! The result of a child of the state machine. Ten thousand of them come at once, so each is read
//! from its text when its turn comes, and forgotten.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::state::State;

/// The outcome of a child.
#[derive(Debug)]
pub struct Part {
    /// The state of the child's target; `None` if it came back without one.
    pub state: Option<Result<State, Error>>,
    /// The error that ended the child.
    pub error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told<'a> {
    #[serde(borrow)]
    state: Option<&'a RawValue>,
    error: Option<Caught>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Caught {
    #[serde(default)]
    error: String,
    #[serde(default)]
    cause: String,
}

/// One child in an object of the Map's ResultWriter.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Execution<'a> {
    /// The output of the child as a string of JSON. A child that failed has none.
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

impl Part {
    /// Reads the output of a child.
    pub fn read(output: &str) -> Self {
        let told: Option<Told<'_>> = serde_json::from_str(output).ok();
        let Some(told) = told else {
            return Self {
                state: None,
                error: None,
            };
        };
        Self {
            state: told.state.map(|text| State::parse(text.get().as_bytes())),
            error: told
                .error
                .map(|caught| format!("{}: {}", caught.error, caught.cause)),
        }
    }

    /// Reads an object of the Map's ResultWriter, and hands on its children.
    pub fn each(object: &[u8], mut take: impl FnMut(Self)) -> Result<(), serde_json::Error> {
        let executions: Vec<Execution<'_>> = serde_json::from_slice(object)?;
        for execution in executions {
            let output = execution.output.map(RawValue::get);
            let output = output.map(serde_json::from_str::<Option<String>>);
            if let Some(Ok(Some(output))) = output {
                take(Self::read(&output));
            }
        }
        Ok(())
    }
}
