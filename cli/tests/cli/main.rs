//! The program as a whole, against the sandbox over HTTP.

mod channel;
mod distribute;
mod help;
mod ledger;
mod live_check;
mod pages;
mod pipelines;
mod requests;
mod retain;
mod sandbox;
mod session;
mod stack;
mod stage;
/// The same file writes the tables of the library's tests.
#[path = "../../../tests/behaviour/tables.rs"]
#[expect(
    dead_code,
    reason = "the tables of this crate are code, which is not wrapped"
)]
mod tables;
mod terminal;
mod verify;
