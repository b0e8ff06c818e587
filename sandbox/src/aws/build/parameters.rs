//! Parameters of Parameter Store.

use super::{fault, known_region};
use crate::aws::Aws;
use crate::aws::parameters::{LiveParameterVersion, parameter_arn};
use crate::model::ParameterVersion;
use crate::rules::parameters::{IMAGE, TEXT, check_name};
use crate::world::{Parameter, WorldError};

pub(super) fn add_parameter(
    aws: &mut Aws,
    account: &str,
    parameter: &Parameter,
    at: &str,
) -> Result<(), WorldError> {
    known_region(aws.partition_of(account), &parameter.region, at)?;
    let (region, name) = (parameter.region.clone(), parameter.name.clone());
    let key = (account.to_owned(), region, name);
    if let Err(refused) = check_name(&parameter.name, &parameter_arn(&key)) {
        return fault(at, "name", refused.message);
    }
    if aws.parameters.contains_key(&key) {
        let why = format!("parameter {} is declared twice", parameter.name);
        return fault(at, "name", why);
    }
    let data_type = parameter.data_type.as_deref().unwrap_or(TEXT);
    if ![IMAGE, TEXT].contains(&data_type) {
        let why = format!("{data_type:?} is not {TEXT} or {IMAGE}");
        return fault(at, "data_type", why);
    }
    let version = LiveParameterVersion {
        view: ParameterVersion {
            version: 1,
            value: parameter.value.clone(),
            data_type: data_type.to_owned(),
        },
        description: None,
        modified: aws.now,
        by: aws.iam_arn(account, "root"),
    };
    aws.put_parameter(key, version, std::collections::BTreeMap::new());
    Ok(())
}
