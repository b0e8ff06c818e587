//! Habits of AWS that AWS does not document.

use serde::Deserialize;

/// Habits of AWS that AWS does not document, `[facts]` in a world file. Each defaults to what the
/// sandbox takes for true; the other value is an AWS that a caller must get along with too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a habit, independent of the others"
)]
pub struct Facts {
    /// Whether EC2 may use a key for a role of another account by a grant that names the role.
    /// Otherwise only a grant that names the account's root lets EC2 use the key. Service-linked
    /// roles are not concerned.
    pub role_grantees: bool,
    /// Whether CopySnapshot accepts a source that the caller cannot see or whose key it cannot use,
    /// and the copy ends in `error`. Otherwise the call is refused.
    pub late_source_checks: bool,
    /// Whether CopySnapshot copies an encrypted snapshot without a PresignedUrl.
    pub presigned_url_optional: bool,
    /// Whether `kms:ViaService` of EC2's use of a source key names the key's own Region. Otherwise
    /// it names the destination Region of the copy.
    pub via_source_region: bool,
    /// Whether CopyImage copies another account's image with encrypted snapshots.
    pub image_copies_across_accounts: bool,
    /// Whether CopyImage copies another account's image whose instances are billed for more than
    /// Linux. Otherwise it refuses them, as it did until about 2020 (awsdocs,
    /// amazon-ec2-user-guide#133).
    pub billed_images_across_accounts: bool,
    /// Whether an image that RegisterImage makes from a copied snapshot has the platform details
    /// and the usage operation of the source.
    pub copies_keep_billing: bool,
    /// Whether a grant that a grantee created by virtue of another grant outlives that other grant.
    pub child_grants_outlive: bool,
    /// The packed size of a session policy, in percent of what the sandbox takes it for.
    pub session_token_percent: u16,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            role_grantees: true,
            late_source_checks: true,
            presigned_url_optional: true,
            via_source_region: true,
            image_copies_across_accounts: true,
            billed_images_across_accounts: true,
            copies_keep_billing: true,
            child_grants_outlive: true,
            session_token_percent: 100,
        }
    }
}
