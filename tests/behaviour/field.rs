//! Reports of people who do this job elsewhere, played on the function. `docs/field.md` lists each
//! report with its test.

mod before;
mod carried;
mod denied;
mod looked;
mod patient;
mod varied;
