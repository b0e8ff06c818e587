//! The checksums S3 keeps with an object, each in base64.
//!
//! Source: S3 guide, checking object integrity. SHA-1 is not modelled.

use aws_smithy_types::base64;
use sha2::{Digest, Sha256};

/// The checksum that S3 computes if the client sends none.
pub(super) const DEFAULT: &str = "x-amz-checksum-crc64nvme";

/// The headers and trailers that carry a checksum.
pub(super) const HEADERS: [&str; 4] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    DEFAULT,
    "x-amz-checksum-sha256",
];

/// Returns the checksum that this header carries.
pub(super) fn of(header: &str, body: &[u8]) -> String {
    match header {
        "x-amz-checksum-crc32" => base64::encode(crc32(body, 0xEDB8_8320).to_be_bytes()),
        "x-amz-checksum-crc32c" => base64::encode(crc32(body, 0x82F6_3B78).to_be_bytes()),
        "x-amz-checksum-sha256" => base64::encode(Sha256::digest(body)),
        _ => base64::encode(crc64(body, 0x9A6C_9329_AC4B_C9B5).to_be_bytes()),
    }
}

/// Returns a reflected CRC, which starts with all ones and is inverted at the end.
fn crc32(body: &[u8], polynomial: u32) -> u32 {
    let bit = |crc: u32, _| (crc >> 1) ^ (polynomial & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), bit);
    !body.iter().fold(!0, byte)
}

fn crc64(body: &[u8], polynomial: u64) -> u64 {
    let bit = |crc: u64, _| (crc >> 1) ^ (polynomial & (crc & 1).wrapping_neg());
    let byte = |crc: u64, byte: &u8| (0..8).fold(crc ^ u64::from(*byte), bit);
    !body.iter().fold(!0, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crc_has_its_published_check_value() {
        let body = b"123456789";
        assert_eq!(crc32(body, 0xEDB8_8320), 0xCBF4_3926);
        assert_eq!(crc32(body, 0x82F6_3B78), 0xE306_9283);
        assert_eq!(crc64(body, 0x9A6C_9329_AC4B_C9B5), 0xAE8B_1486_0A79_9888);
    }
}
