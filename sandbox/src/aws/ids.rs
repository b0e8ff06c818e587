//! Identifiers in AWS's shapes, from one counter: the same run gives the same names. None is given that the world
//! has already.

use sha2::{Digest, Sha256};

use super::Aws;

impl Aws {
    /// `snap-0` or `ami-0` and 16 hexadecimal digits.
    pub(crate) fn new_resource_id(&mut self, prefix: &str) -> String {
        loop {
            let id = format!("{prefix}-0{}", &self.draw(prefix)[..16]);
            if !self.has_resource(&id) {
                return id;
            }
        }
    }

    /// 64 hexadecimal digits, as grants have them.
    pub(crate) fn new_grant_id(&mut self) -> String {
        self.draw("grant")
    }

    pub(crate) fn new_token(&mut self, purpose: &str) -> String {
        let (first, second) = (self.draw(purpose), self.draw(purpose));
        first + &second
    }

    /// `ASIA` and 16 capitals or digits.
    pub(crate) fn new_access_key_id(&mut self) -> String {
        loop {
            let digits = self.draw("access key").to_ascii_uppercase();
            let id = format!("ASIA{}", &digits[..16]);
            if !self.credentials.contains_key(&id) {
                return id;
            }
        }
    }

    /// Also a snapshot that an image names and that is gone.
    fn has_resource(&self, id: &str) -> bool {
        let mut images = self.images.values();
        self.snapshots.contains_key(id)
            || images.any(|image| image.view.snapshot_ids().iter().any(|named| named == id))
            || self.images.contains_key(id)
            || self.instances.contains_key(id)
    }

    fn draw(&mut self, purpose: &str) -> String {
        self.serial += 1;
        hex::encode(Sha256::digest(format!("{purpose} {}", self.serial)))
    }
}

/// A UUID that belongs to this text.
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
