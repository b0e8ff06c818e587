//! `{"Promote": …}` and `{"Rollback": …}`: parameters that move in all targets together.

use serde_json::Value;

use super::fields::Fields;
use super::keys::{promote_keys, rollback_keys};
use super::{ParameterName, Places};
use crate::error::Error;
use crate::ids::{ImageId, Region};

/// Which parameter moves, and to which value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// To the value of another parameter.
    Promote {
        /// The parameter with the value.
        from: ParameterName,
        /// The parameter that moves.
        to: ParameterName,
    },
    /// To the value before the copies of one source image.
    Rollback {
        /// The parameter that moves.
        parameter: ParameterName,
        /// The source image whose copies are left.
        off: ImageId,
    },
}

/// A checked call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// The move.
    pub wanted: Move,
    /// Whether anything is changed.
    pub apply: bool,
    /// The targets.
    pub places: Places,
}

impl Channel {
    /// Checks `{"Promote": value}`. `region` is the Region of targets without one.
    pub fn promote(value: &Value, region: &Region) -> Result<Self, Error> {
        let mut fields = call_fields("Promote", promote_keys(), value)?;
        let from = name(&mut fields, "From")?;
        let to = name(&mut fields, "To")?;
        if from == to {
            let problem = "is the same parameter as From; name the one that moves";
            return Err(Error::invalid(fields.key("To"), problem));
        }
        Self::finish(fields, Move::Promote { from, to }, region)
    }

    /// Checks `{"Rollback": value}`. `region` is the Region of targets without one.
    pub fn rollback(value: &Value, region: &Region) -> Result<Self, Error> {
        let mut fields = call_fields("Rollback", rollback_keys(), value)?;
        let parameter = name(&mut fields, "Parameter")?;
        let off = fields.checked(&["SourceImageId"], ImageId::parse)?;
        let missing = || {
            let form = "is required: the source image whose copies the parameter is to leave";
            Error::invalid("Rollback.SourceImageId", form)
        };
        let off = off.ok_or_else(missing)?;
        Self::finish(fields, Move::Rollback { parameter, off }, region)
    }

    fn finish(mut fields: Fields, wanted: Move, region: &Region) -> Result<Self, Error> {
        let apply = fields.flag("Apply")?.unwrap_or(false);
        let places = Places::read(&mut fields, region)?;
        fields.finish()?;
        Ok(Self {
            wanted,
            apply,
            places,
        })
    }
}

/// Returns the keys of a call.
pub(super) fn call_fields(
    call: &str,
    keys: &'static [super::keys::Key],
    value: &Value,
) -> Result<Fields, Error> {
    let Value::Object(object) = value else {
        return Err(Error::invalid(call, "must be an object with its keys"));
    };
    Ok(Fields::new(format!("{call}."), keys, object))
}

/// Checks the name of a parameter, which differs by account and Region at most.
pub(super) fn channel_name(text: &str) -> Result<ParameterName, String> {
    let name = ParameterName::parse(text)?;
    let mut of_image = ["{name}", "{image}", "{source_account}"].into_iter();
    match of_image.find(|placeholder| text.contains(placeholder)) {
        None => Ok(name),
        Some(placeholder) => Err(format!(
            "has {placeholder}, but a channel has no image of its own; {{account}} and {{region}} \
             are accepted"
        )),
    }
}

fn name(fields: &mut Fields, key: &str) -> Result<ParameterName, Error> {
    let named = fields.checked(&[key], channel_name)?;
    let form = "is required: the name of a parameter, such as /golden/prod";
    named.ok_or_else(|| Error::invalid(fields.key(key), form))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wrong_move_is_refused_by_name() {
        let region = Region::parse("us-west-2").unwrap();
        let accounts = json!(["222222222222"]);
        let promote = |more: Value| {
            let mut call = json!({"From": "/golden/dev", "To": "/golden/prod",
                "TargetAccountIds": accounts});
            for (key, value) in more.as_object().unwrap() {
                call[key] = value.clone();
            }
            Channel::promote(&call, &region).map_err(|e| e.to_string())
        };
        assert!(!promote(json!({})).unwrap().apply);
        for (wrong, words) in [
            (json!({"From": null}), "Promote.From: is required"),
            (
                json!({"To": "/golden/dev"}),
                "Promote.To: is the same parameter",
            ),
            (
                json!({"To": "/golden/{name}"}),
                "Promote.To: has {name}, but a channel",
            ),
            (json!({"TargetAccountIds": null}), "Targets: is required"),
            (json!({"Color": "red"}), "Promote.Color: unknown key"),
        ] {
            let said = promote(wrong.clone()).unwrap_err();
            assert!(said.starts_with(words), "{wrong}: {said}");
        }
        let call = json!({"Parameter": "/golden/prod", "TargetAccountIds": accounts});
        let said = Channel::rollback(&call, &region).unwrap_err().to_string();
        assert!(
            said.starts_with("Rollback.SourceImageId: is required"),
            "{said}"
        );
    }
}
