//! Identifiers in AWS's shapes, from one counter, so that equal runs get equal names. An identifier
//! that the world has already is skipped.

use sha2::{Digest, Sha256};

use super::Aws;

impl Aws {
    /// Returns a new ID: `snap-0` or `ami-0` and 16 hexadecimal digits.
    pub(crate) fn new_resource_id(&mut self, prefix: &str) -> String {
        loop {
            let id = format!("{prefix}-0{}", &self.draw(prefix)[..16]);
            if !self.has_resource(&id) {
                return id;
            }
        }
    }

    /// Returns the ID of a new grant: 64 hexadecimal digits.
    pub(crate) fn new_grant_id(&mut self) -> String {
        self.draw("grant")
    }

    /// Returns the ID of a new key, a UUID.
    pub(crate) fn new_key_id(&mut self) -> String {
        loop {
            let id = uuid_of(&self.draw("key"));
            if !self.keys.values().any(|key| key.id == id) {
                return id;
            }
        }
    }

    pub(crate) fn new_token(&mut self, purpose: &str) -> String {
        let (first, second) = (self.draw(purpose), self.draw(purpose));
        first + &second
    }

    /// Returns a new access key ID: `ASIA` and 16 capitals or digits.
    pub(crate) fn new_access_key_id(&mut self) -> String {
        loop {
            let digits = self.draw("access key").to_ascii_uppercase();
            let id = format!("ASIA{}", &digits[..16]);
            if !self.credentials.contains_key(&id) {
                return id;
            }
        }
    }

    /// Returns whether the ID is taken, even if only by an image that names a deleted snapshot.
    fn has_resource(&self, id: &str) -> bool {
        let mut images = self.images.values();
        self.snapshots.contains_key(id)
            || images.any(|image| image.view.snapshot_ids().iter().any(|named| named == id))
            || self.images.contains_key(id)
            || self.instances.contains_key(id)
            || self.volumes.contains_key(id)
    }

    fn draw(&mut self, purpose: &str) -> String {
        self.serial += 1;
        hex::encode(Sha256::digest(format!("{purpose} {}", self.serial)))
    }
}

/// Returns the UUID of this text; equal texts have equal UUIDs.
pub(crate) fn uuid_of(text: &str) -> String {
    let d = hex::encode(Sha256::digest(text));
    format!(
        "{}-{}-4{}-8{}-{}",
        &d[..8],
        &d[8..12],
        &d[13..16],
        &d[17..20],
        &d[20..32]
    )
}

pub(crate) fn request_id(call: u64) -> String {
    uuid_of(&format!("request {call}"))
}
