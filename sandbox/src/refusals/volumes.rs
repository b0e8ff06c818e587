//! EC2: volumes.

super::table! {
    VOLUME_MALFORMED = 400, "InvalidVolumeID.Malformed",
        "Invalid id: \"{}\" (expecting \"vol-...\")",
        "EC2 errors (wording unproved)";
    VOLUME_NOT_FOUND = 400, "InvalidVolume.NotFound",
        "The volume '{}' does not exist.",
        "EC2 errors";
    VOLUME_ZONE = 400, "InvalidZone.NotFound",
        "The zone '{}' does not exist.",
        "EC2 errors (wording unproved)";
    VOLUME_SIZE = 400, "InvalidParameterValue",
        "Volume of {}GiB is out of range for type {}: 1 to {}GiB",
        "model: Size of CreateVolume (code and wording unproved)";
    VOLUME_KEY_NEEDS_ENCRYPTED = 400, "InvalidParameterDependency",
        "The parameter KmsKeyId requires the parameter Encrypted to be set.",
        "model: KmsKeyId of CreateVolume (code and wording unproved)";
    VOLUME_NOT_AVAILABLE = 400, "IncorrectState",
        "Volume {} is not in state available: {}",
        "EC2 errors (wording unproved)";
}
