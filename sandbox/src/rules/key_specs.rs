//! Specs and usages of keys, and the algorithms that DescribeKey shows of them. `SM2` and
//! `ML_DSA_…` are not modelled.
//!
//! Source: KMS guide, key spec reference; model, KeyMetadata.

use serde_json::{Map, Value, json};

pub(crate) const SYMMETRIC: &str = "SYMMETRIC_DEFAULT";
pub(crate) const ENCRYPT_DECRYPT: &str = "ENCRYPT_DECRYPT";
const SIGN_VERIFY: &str = "SIGN_VERIFY";
const MAC: &str = "GENERATE_VERIFY_MAC";
const KEY_AGREEMENT: &str = "KEY_AGREEMENT";

/// Returns the usages that a key of this spec can have, the default first; none for an unknown
/// spec.
pub(crate) fn usages(spec: &str) -> &'static [&'static str] {
    match spec {
        SYMMETRIC => &[ENCRYPT_DECRYPT],
        "RSA_2048" | "RSA_3072" | "RSA_4096" => &[ENCRYPT_DECRYPT, SIGN_VERIFY],
        "ECC_NIST_P256" | "ECC_NIST_P384" | "ECC_NIST_P521" => &[SIGN_VERIFY, KEY_AGREEMENT],
        "ECC_SECG_P256K1" => &[SIGN_VERIFY],
        "HMAC_224" | "HMAC_256" | "HMAC_384" | "HMAC_512" => &[MAC],
        _ => &[],
    }
}

/// Returns the member of KeyMetadata that lists the algorithms of a key, with its content.
pub(crate) fn algorithms(spec: &str, usage: &str) -> Map<String, Value> {
    let (member, algorithms): (&str, Vec<String>) = match usage {
        ENCRYPT_DECRYPT if spec == SYMMETRIC => {
            ("EncryptionAlgorithms", vec![SYMMETRIC.to_owned()])
        }
        ENCRYPT_DECRYPT => {
            let each = ["SHA_1", "SHA_256"].map(|hash| format!("RSAES_OAEP_{hash}"));
            ("EncryptionAlgorithms", each.to_vec())
        }
        MAC => ("MacAlgorithms", vec![spec.replace("HMAC_", "HMAC_SHA_")]),
        KEY_AGREEMENT => ("KeyAgreementAlgorithms", vec!["ECDH".to_owned()]),
        _ => ("SigningAlgorithms", signing(spec)),
    };
    Map::from_iter([(member.to_owned(), json!(algorithms))])
}

fn signing(spec: &str) -> Vec<String> {
    let hash = match spec {
        "ECC_NIST_P384" => "384",
        "ECC_NIST_P521" => "512",
        _ => "256",
    };
    if spec.starts_with("ECC_") {
        return vec![format!("ECDSA_SHA_{hash}")];
    }
    let kinds = ["RSASSA_PKCS1_V1_5", "RSASSA_PSS"];
    let each = kinds
        .iter()
        .flat_map(|kind| ["256", "384", "512"].map(|hash| format!("{kind}_SHA_{hash}")));
    each.collect()
}
