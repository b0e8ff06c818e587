//! The sandbox's modules depend only on those listed above them in `lib.rs`.

use std::fs;
use std::path::Path;

use crate::module_map;

#[test]
fn a_module_names_only_modules_listed_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let faults = module_map::faults(&src, &src.join("lib.rs"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_use_that_points_up_is_a_fault_in_every_form() {
    let src = Path::new(env!("CARGO_TARGET_TMPDIR")).join("module_order");
    let write = |file: &str, text: &str| {
        let path = src.join(file);
        fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
        fs::write(path, text).expect("a file");
    };
    write(
        "lib.rs",
        "//! - `low`, [`middle`]: first\n//! - `high`: last\n//! - `lost`: nowhere\n\
         mod high;\nmod low;\npub mod middle;\nmod extra;\npub use high::{High, other::Higher};\n",
    );
    write("high.rs", "use crate::{low, middle::Middle};\n");
    write(
        "middle.rs",
        "use super::low;\nfn f() { crate::High::new() }\n",
    );
    write(
        "low/mod.rs",
        "/// See crate::high.\nuse crate::{\n    high::{a, b}, low::own,\n};\nuse super::middle;\n\
         fn f() {} // crate::high\n\
         mod tests {\n    use super::middle;\n    use super::super::high;\n}\n",
    );
    write(
        "low/inner.rs",
        "use super::high;\nuse super::super::middle;\n",
    );
    assert_eq!(
        module_map::faults(&src, &src.join("lib.rs")),
        [
            "lib.rs declares extra, but does not list it",
            "lib.rs lists lost, but does not declare it",
            "low/inner.rs:2: low names middle",
            "low/mod.rs:2: low names high",
            "low/mod.rs:5: low names middle",
            "low/mod.rs:9: low names high",
            "middle.rs:2: middle names high",
        ]
    );
}
