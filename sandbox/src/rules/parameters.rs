//! Names, data types and versions of parameters.
//!
//! Source: model, PutParameter; Systems Manager guide, parameter names and data types.

use crate::refusals::{self, Refused};

pub(crate) const IMAGE: &str = "aws:ec2:image";
pub(crate) const TEXT: &str = "text";
/// The number of versions that Parameter Store keeps.
pub(crate) const MOST_VERSIONS: usize = 100;
const MOST_LEVELS: usize = 15;
/// The longest ARN of a parameter.
const LONGEST: usize = 1011;

/// Refuses a name that a parameter cannot have. `arn` is its ARN.
pub(crate) fn check_name(name: &str, arn: &str) -> Result<(), Refused> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-/".contains(&b);
    let bare = name.trim_start_matches('/').to_ascii_lowercase();
    let reserved = bare.starts_with("aws") || bare.starts_with("ssm");
    let levels: Vec<&str> = name.split('/').collect();
    let levels = levels.strip_prefix(&[""]).unwrap_or(&levels);
    if reserved
        || levels.is_empty()
        || !name.bytes().all(allowed)
        || levels.iter().any(|level| level.is_empty())
    {
        return Err(refusals::SSM_NAME.with(&[]));
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(refusals::SSM_NAME_NOT_QUALIFIED.with(&[]));
    }
    if levels.len() > MOST_LEVELS {
        return Err(refusals::SSM_LEVELS.with(&[]));
    }
    if arn.len() > LONGEST {
        let why = format!("Member must have length less than or equal to {LONGEST}");
        return Err(refusals::SSM_VALIDATION.with(&[name, "name", &why]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn a_parameter_name_has_the_models_form() {
        let deep = |levels| "/x".repeat(levels);
        for good in ["golden", "/amis/golden_1.2-x", &deep(15)] {
            assert!(check_name(good, good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/",
            "/aws/x",
            "SSMx",
            "a b",
            "a:1",
            "/a//b",
            "/a/",
            "a/b",
            &deep(16),
        ] {
            assert!(check_name(bad, bad).is_err(), "{bad}");
        }
        assert!(check_name("golden", &"x".repeat(1012)).is_err());
    }
}
