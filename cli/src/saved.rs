//! The file from which a killed process goes on: the next event of a run.
//!
//! The event is the request until the first reply, and then the `State` of the last one. To send
//! either twice is harmless, so a file that is one step behind is as good.

use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::arguments::Globals;
use crate::failure::Failure;

/// The schema of the files.
const SCHEMA: u64 = 1;

/// A run that this process works on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Saved {
    schema: u64,
    /// The run's ID.
    pub run: String,
    /// The bucket of the ledger.
    pub bucket: Option<String>,
    /// The Region of the ledger.
    pub region: Option<String>,
    /// The profile that the run began with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The address of AWS's APIs, if it is not AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// The next event for the function.
    pub event: Value,
    #[serde(skip)]
    path: PathBuf,
}

impl Saved {
    /// Begins the file of a run, before its first call. A share has a file for each request,
    /// because all shares of an image are one run.
    pub fn begin(
        run: &str,
        share: bool,
        words: &Value,
        globals: &Globals,
        (bucket, region): (&str, &str),
    ) -> Result<Self, Failure> {
        let event = json!({"Distribute": words});
        let name = if share {
            let request = amiferry::digest::digest([event.to_string().as_str()]);
            format!("{run}-{}.json", &request[..8])
        } else {
            format!("{run}.json")
        };
        let saved = Self {
            schema: SCHEMA,
            run: run.to_owned(),
            bucket: Some(bucket.to_owned()),
            region: Some(region.to_owned()),
            profile: globals.profile.clone(),
            endpoint_url: globals.endpoint_url.clone(),
            event,
            path: folder()?.join(name),
        };
        saved.write()?;
        Ok(saved)
    }

    /// Begins the file of a run that the state machine works on, in this execution.
    pub fn begin_execution(
        run: &str,
        execution: &str,
        globals: &Globals,
        (bucket, region): (&str, &str),
    ) -> Result<Self, Failure> {
        let words = Value::Null;
        let mut saved = Self::begin(run, false, &words, globals, (bucket, region))?;
        saved.event = json!({"Execution": execution});
        saved.write()?;
        Ok(saved)
    }

    /// Returns the execution that works on the run; `None` if this process does.
    pub fn execution(&self) -> Option<&str> {
        self.event["Execution"].as_str()
    }

    /// Finds the file of a run that began here, or reads the named file. A file may also be a reply
    /// of the function, or an event with its `State`.
    pub fn find(name: &str) -> Result<Self, Failure> {
        let path = Path::new(name);
        if path.is_file() {
            return Self::read(path);
        }
        let folder = folder()?;
        let listed = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let of_run = |path: &PathBuf| {
            let stem = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .unwrap_or_default();
            let json = path
                .extension()
                .is_some_and(|extension| extension == "json");
            json && (stem == name || stem.split_once('-').is_some_and(|(run, _)| run == name))
        };
        let mut found: Vec<PathBuf> = listed.map(|entry| entry.path()).filter(of_run).collect();
        found.sort();
        match found.as_slice() {
            [path] => Self::read(path),
            [] => Err(Failure::Usage(format!(
                "{name}: {} has no state of such a run. Give the same request again: it goes on \
                 with the run that the ledger has",
                folder.display()
            ))),
            several => {
                let paths: Vec<String> = several.iter().map(|p| p.display().to_string()).collect();
                let paths = paths.join("\n  ");
                Err(Failure::Usage(format!(
                    "{name}: give one of its files:\n  {paths}"
                )))
            }
        }
    }

    fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |said: String| Failure::Usage(format!("{}: {said}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        let value: Value = serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))?;
        if let (Some(state), None) = (value.get("State"), value.get("Event")) {
            return Ok(Self {
                schema: SCHEMA,
                run: state["Run"].as_str().unwrap_or_default().to_owned(),
                bucket: None,
                region: None,
                profile: None,
                endpoint_url: None,
                event: json!({"State": state}),
                path: path.to_owned(),
            });
        }
        let saved: Self = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        if saved.schema != SCHEMA {
            let schema = saved.schema;
            return Err(wrong(format!(
                "has schema {schema}; this version reads {SCHEMA}"
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            ..saved
        })
    }

    /// Keeps the state of a reply, from which the run goes on.
    pub fn keep(&mut self, state: &Value) -> Result<(), Failure> {
        self.event = json!({"State": state});
        self.write()
    }

    /// Deletes the file, once the run has ended.
    pub fn end(&self) {
        // A file that stays is harmless: the ended run ends again.
        let _ = std::fs::remove_file(&self.path);
    }

    /// Returns the command that goes on with the run.
    pub fn resume(&self) -> String {
        let stem = self.path.file_stem().and_then(|stem| stem.to_str());
        if stem == Some(self.run.as_str()) {
            format!("amiferry resume {}", self.run)
        } else {
            format!("amiferry resume {}", self.path.display())
        }
    }

    /// Replaces the file as a whole; only its owner may read it.
    fn write(&self) -> Result<(), Failure> {
        let failed = |e: std::io::Error| {
            Failure::Failed(format!(
                "{}: the state was not saved: {e}",
                self.path.display()
            ))
        };
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        // A temporary file is made with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&self.path).map_err(|e| failed(e.error))?;
        Ok(())
    }
}

/// Returns the folder of the states, by the XDG Base Directory Specification.
fn folder() -> Result<PathBuf, Failure> {
    let absolute = |name: &str| {
        let path = std::env::var_os(name).map(PathBuf::from)?;
        path.is_absolute().then_some(path)
    };
    let state = absolute("XDG_STATE_HOME");
    let state = state.or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("amiferry")).ok_or_else(|| {
        Failure::Usage("neither XDG_STATE_HOME nor HOME says where to keep the state".to_owned())
    })
}
