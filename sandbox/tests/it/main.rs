//! The sandbox from outside: signed requests as clients send them, and their effect on the world.

/// Returns the first answer from a list of attempts to provoke a refusal.
macro_rules! first_of {
    ($($attempt:expr),+ $(,)?) => {{
        $(if let Some(answer) = $attempt.await {
            return Some(answer);
        })+
        None
    }};
}

mod answers;
mod autoscaling;
mod child_grants;
mod client;
mod closed_accounts;
mod condition_keys;
mod copying;
mod copying_under_keys;
mod describing;
mod facts;
mod fast_restores;
mod faults;
mod image_references;
mod image_states;
mod instance_status;
mod keys;
mod keys_between_regions;
mod keys_created;
mod late_policies;
mod late_reads;
mod late_reads_random;
mod launch_templates;
mod launching;
mod launching_as_service;
mod module_map;
mod module_order;
mod organizations;
mod over_http;
mod parameters;
mod partitions;
mod policies;
mod refused;
mod refused_copies;
mod refused_iam;
mod refused_images;
mod refused_instances;
mod refused_keys;
mod refused_organizations;
mod refused_s3;
mod refused_sessions;
mod refused_states;
mod registering;
mod roles;
mod roles_created;
mod s3;
mod s3_buckets;
mod s3_permissions;
mod service_control;
mod sessions;
mod settings;
mod sharing;
mod simulating;
mod snapshot_locks;
mod stacks;
mod volumes;
mod world_files;
mod worlds;
