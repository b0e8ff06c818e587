//! `resume`: goes on with a run that was interrupted here.

use super::distribute::{follow_execution, follow_here};
use crate::arguments::{Globals, Resume};
use crate::failure::Failure;
use crate::manifest;
use crate::saved::Saved;
use crate::session::Session;

/// Goes on with a run. Flags have precedence over what the run began with.
pub async fn resume(globals: &Globals, args: &Resume) -> Result<u8, Failure> {
    let manifest = args.manifest.as_deref();
    manifest::check(manifest)?;
    let mut saved = Saved::find(&args.run)?;
    let mut as_before = globals.clone();
    as_before.profile = as_before.profile.or_else(|| saved.profile.clone());
    as_before.region = as_before.region.or_else(|| saved.region.clone());
    as_before.endpoint_url = as_before
        .endpoint_url
        .or_else(|| saved.endpoint_url.clone());
    let session = Session::open(&as_before, saved.bucket.as_deref()).await?;
    if saved.execution().is_some() {
        return follow_execution(globals, &session, &saved, manifest).await;
    }
    follow_here(globals, &session, &mut saved, manifest).await
}
