//! EC2: images, snapshots, their permissions, copies, locks and fast restores, volumes, launch
//! templates, and the launch of instances.
//!
//! Every operation checks in the same order: parameters, permissions, `DryRun`, the state of
//! resources. Then it makes its change.

mod copies;
mod copy_image;
mod copy_snapshot;
mod create_snapshot;
mod deregister;
mod describe_images;
mod describe_snapshots;
mod fast_restores;
mod filters;
mod image_attributes;
mod image_references;
mod image_states;
mod instance_status;
mod instance_types;
mod instances;
mod launch_templates;
mod locks;
mod mapping;
mod pages;
mod parameters;
mod permit;
mod presigned;
mod regions;
mod register;
mod run_instances;
mod settings;
mod snapshot_attributes;
mod tags;
mod visibility;
mod volumes;
mod zones;

pub(crate) use copies::{break_copies, settle};
pub(crate) use visibility::may_launch;

use crate::aws::Aws;
use crate::identity::Admitted;
use crate::refusals::{self, Refused};
use crate::wire::query::Query;

/// A call, as the operations read it.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub call: &'a Admitted,
    pub operation: &'a str,
    pub query: &'a Query,
}

impl<'a> Ask<'a> {
    pub(crate) fn account(self) -> &'a str {
        self.call.caller.account()
    }

    pub(crate) fn region(self) -> &'a str {
        &self.call.region
    }

    /// Returns the IAM action of the call, such as `ec2:CopySnapshot`.
    pub(crate) fn action(self) -> String {
        format!("ec2:{}", self.operation)
    }

    /// Ends a dry run. All checks that do not depend on the state of resources come before.
    pub(crate) fn dry_run(self) -> Result<(), Refused> {
        if self.query.flag("DryRun")? == Some(true) {
            return Err(refusals::DRY_RUN_OPERATION.with(&[]));
        }
        Ok(())
    }
}

/// Performs a call and returns the inner elements of its answer.
pub(crate) fn perform(
    aws: &mut Aws,
    call: &Admitted,
    operation: &str,
    query: &Query,
) -> Result<String, Refused> {
    parameters::check(operation, query)?;
    let ask = Ask {
        call,
        operation,
        query,
    };
    match operation {
        "DescribeImages" => describe_images::perform(aws, ask),
        "DescribeImageAttribute" => image_attributes::describe(aws, ask),
        "DescribeImageReferences" => image_references::describe(aws, ask),
        "ModifyImageAttribute" => image_attributes::modify(aws, ask),
        "DescribeSnapshots" => describe_snapshots::perform(aws, ask),
        "DescribeSnapshotAttribute" => snapshot_attributes::describe(aws, ask),
        "ModifySnapshotAttribute" => snapshot_attributes::modify(aws, ask),
        "CreateSnapshot" => create_snapshot::perform(aws, ask),
        "CreateVolume" => volumes::create(aws, ask),
        "DescribeVolumes" => volumes::describe(aws, ask),
        "DeleteVolume" => volumes::delete(aws, ask),
        "DescribeAvailabilityZones" => zones::describe(aws, ask),
        "CopySnapshot" => copy_snapshot::perform(aws, ask),
        "CopyImage" => copy_image::perform(aws, ask),
        "RegisterImage" => register::perform(aws, ask),
        "DeregisterImage" => deregister::image(aws, ask),
        "DisableImage"
        | "EnableImage"
        | "EnableImageDeprecation"
        | "DisableImageDeprecation"
        | "EnableImageDeregistrationProtection"
        | "DisableImageDeregistrationProtection" => image_states::perform(aws, ask),
        "DeleteSnapshot" => deregister::snapshot(aws, ask),
        "LockSnapshot" => locks::lock(aws, ask),
        "UnlockSnapshot" => locks::unlock(aws, ask),
        "DescribeLockedSnapshots" => locks::describe(aws, ask),
        "CreateTags" => tags::create(aws, ask),
        "DeleteTags" => tags::delete(aws, ask),
        "RunInstances" => run_instances::perform(aws, ask),
        "DescribeInstances" => instances::describe(aws, ask),
        "DescribeInstanceStatus" => instance_status::describe(aws, ask),
        "TerminateInstances" => instances::terminate(aws, ask),
        "DescribeLaunchTemplates" => launch_templates::describe(aws, ask),
        "DescribeLaunchTemplateVersions" => launch_templates::describe_versions(aws, ask),
        "CreateLaunchTemplate" => launch_templates::create(aws, ask),
        "DeleteLaunchTemplate" => launch_templates::delete(aws, ask),
        "CreateLaunchTemplateVersion" => launch_templates::create_version(aws, ask),
        "ModifyLaunchTemplate" => launch_templates::modify(aws, ask),
        "EnableFastSnapshotRestores" => fast_restores::enable(aws, ask),
        "DisableFastSnapshotRestores" => fast_restores::disable(aws, ask),
        "DescribeFastSnapshotRestores" => fast_restores::describe(aws, ask),
        "DescribeRegions" => regions::describe(aws, ask),
        "GetAllowedImagesSettings" => settings::allowed_images(aws, ask),
        "GetImageBlockPublicAccessState" => settings::image_block_public_access(aws, ask),
        "GetSnapshotBlockPublicAccessState" => settings::snapshot_block_public_access(aws, ask),
        "GetEbsDefaultKmsKeyId" => regions::ebs_default_key(aws, ask),
        _ => Err(refusals::NOT_IMPLEMENTED.with(&[&format!("operation {operation} of EC2")])),
    }
}

/// Launches an instance for a service, with these parameters of RunInstances. Returns its ID.
pub(crate) fn launch(aws: &mut Aws, call: &Admitted, query: &Query) -> Result<String, Refused> {
    run_instances::launch(aws, launching(call, query))
}

/// Checks whether a caller may launch an instance with these parameters.
pub(crate) fn may_run(aws: &Aws, call: &Admitted, query: &Query) -> Result<(), Refused> {
    run_instances::permitted(aws, launching(call, query))
}

fn launching<'a>(call: &'a Admitted, query: &'a Query) -> Ask<'a> {
    Ask {
        call,
        operation: "RunInstances",
        query,
    }
}

const RETURN_TRUE: &str = "<return>true</return>";
