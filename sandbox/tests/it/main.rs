//! The sandbox from outside: signed requests as clients send them, and the world they leave behind.

mod answers;
mod client;
mod closed_accounts;
mod copying;
mod describing;
mod faults;
mod keys;
mod launching;
mod launching_as_service;
mod organizations;
mod over_http;
mod refused;
mod refused_copies;
mod refused_images;
mod refused_instances;
mod refused_keys;
mod refused_organizations;
mod refused_sessions;
mod registering;
mod service_control;
mod sessions;
mod sharing;
mod world_files;
mod worlds;
