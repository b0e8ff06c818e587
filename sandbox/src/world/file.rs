//! A world as TOML, with the names of the builders and durations in seconds. An unknown key is
//! refused.

use std::time::Duration;

use serde::Deserialize;

use super::{Account, Facts, Limits, Organization, World, late_reads};

/// The reason why a world contradicts itself, with the key at fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct WorldError {
    /// A path such as `account[0].role[1].name`; `world` where no single key is at fault.
    pub key: String,
    /// The fault.
    pub reason: String,
}

impl WorldError {
    pub(crate) fn new(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            reason: reason.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    account: Vec<Account>,
    #[serde(default)]
    organization: Option<Organization>,
    #[serde(default)]
    speed: Option<f64>,
    #[serde(default)]
    copy_mib_per_second: Option<f64>,
    #[serde(default)]
    copy_start_seconds: Option<f64>,
    #[serde(default)]
    latency_seconds: Option<f64>,
    #[serde(default)]
    grant_delay_seconds: Option<f64>,
    #[serde(default)]
    permission_delay_seconds: Option<f64>,
    #[serde(default)]
    tag_delay_seconds: Option<f64>,
    #[serde(default)]
    read_delay_seconds: Option<f64>,
    #[serde(default)]
    gone_delay_seconds: Option<f64>,
    #[serde(default)]
    registration_delay_seconds: Option<f64>,
    #[serde(default)]
    name_delay_seconds: Option<f64>,
    #[serde(default)]
    policy_delay_seconds: Option<f64>,
    #[serde(default)]
    principal_delay_seconds: Option<f64>,
    #[serde(default)]
    late_reads: late_reads::Table,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    facts: Facts,
}

pub(crate) fn read(text: &str) -> Result<World, WorldError> {
    let file = parse(text)?;
    let mut world = World::new().limits(file.limits).facts(file.facts);
    world.accounts = file.account;
    world.organization = file.organization;
    number("speed", file.speed, &mut world.speed)?;
    number(
        "copy_mib_per_second",
        file.copy_mib_per_second,
        &mut world.copy_mib_per_second,
    )?;
    for (key, given, place) in [
        ("copy_start", file.copy_start_seconds, &mut world.copy_start),
        ("latency", file.latency_seconds, &mut world.latency),
        (
            "grant_delay",
            file.grant_delay_seconds,
            &mut world.grant_delay,
        ),
        (
            "permission_delay",
            file.permission_delay_seconds,
            &mut world.permission_delay,
        ),
        ("tag_delay", file.tag_delay_seconds, &mut world.tag_delay),
        ("read_delay", file.read_delay_seconds, &mut world.read_delay),
        ("gone_delay", file.gone_delay_seconds, &mut world.gone_delay),
        (
            "registration_delay",
            file.registration_delay_seconds,
            &mut world.registration_delay,
        ),
        ("name_delay", file.name_delay_seconds, &mut world.name_delay),
        (
            "principal_delay",
            file.principal_delay_seconds,
            &mut world.principal_delay,
        ),
        (
            "policy_delay",
            file.policy_delay_seconds,
            &mut world.policy_delay,
        ),
    ] {
        seconds(&format!("{key}_seconds"), given, place)?;
    }
    world.late_reads = late_reads::read(&file.late_reads)?;
    Ok(world)
}

fn parse(text: &str) -> Result<File, WorldError> {
    let deserializer = toml::Deserializer::parse(text)
        .map_err(|error| WorldError::new("world", error.to_string()))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        let key = if path == "." {
            "world".to_owned()
        } else {
            path
        };
        WorldError::new(key, error.inner().message())
    })
}

fn number(key: &str, given: Option<f64>, place: &mut f64) -> Result<(), WorldError> {
    match given {
        Some(value) if value.is_finite() && value > 0.0 => *place = value,
        Some(value) => {
            return Err(WorldError::new(
                key,
                format!("{value} is not a positive number"),
            ));
        }
        None => {}
    }
    Ok(())
}

pub(super) fn seconds(
    key: &str,
    given: Option<f64>,
    place: &mut Duration,
) -> Result<(), WorldError> {
    if let Some(value) = given {
        *place = Duration::try_from_secs_f64(value)
            .map_err(|_| WorldError::new(key, format!("{value} is not a number of seconds")))?;
    }
    Ok(())
}
