//! Rules that hold both for what a call creates and for what a world declares.

pub(crate) mod buckets;
pub(crate) mod ids;
pub(crate) mod images;
pub(crate) mod key_specs;
pub(crate) mod key_states;
pub(crate) mod parameters;
pub(crate) mod tags;
pub(crate) mod zones;
