//! Checks a crate against the list of modules in the documentation of its `lib.rs`.
//!
//! The list consists of bullets such as ``//! - [`event`], `source`: purpose``. A module may name
//! only itself and the modules listed before it. Comments may name any module. Only the standard
//! library is used, so the tests of another crate can include this file by `#[path]`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Returns a line for every use that points up, and for every module missing from the list.
pub fn faults(src: &Path, lib: &Path) -> Vec<String> {
    let lib = read(lib);
    let listed = listed(&lib);
    let declared = declared(&lib);
    let mut faults = Vec::new();
    for module in declared.iter().filter(|name| !listed.contains(name)) {
        faults.push(format!("lib.rs declares {module}, but does not list it"));
    }
    for module in listed.iter().filter(|name| !declared.contains(name)) {
        faults.push(format!("lib.rs lists {module}, but does not declare it"));
    }
    let exported = exported(&lib);
    let rank = |module: &str| listed.iter().position(|name| *name == module);
    for file in sources(src) {
        let inner = file.strip_prefix(src).unwrap_or(&file);
        let path = module_path(inner);
        let Some(own) = path.first().and_then(|name| rank(name)) else {
            continue;
        };
        for (line, name) in named(&read(&file), path.len()) {
            let module = exported.get(name.as_str()).copied().unwrap_or(&name);
            if rank(module).is_some_and(|other| other > own) {
                let file = inner.display();
                faults.push(format!("{file}:{line}: {} names {module}", listed[own]));
            }
        }
    }
    faults
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the modules of the bullets, in order.
fn listed(lib: &str) -> Vec<&str> {
    let bullets = lib.lines().filter_map(|line| line.strip_prefix("//! - "));
    let names = bullets.filter_map(|bullet| bullet.split_once(": "));
    let names = names.flat_map(|(names, _)| names.split(", "));
    names
        .map(|name| name.trim_matches(['[', '`', ']']))
        .collect()
}

fn declared(lib: &str) -> Vec<&str> {
    let items = lib
        .lines()
        .map(|line| line.strip_prefix("pub ").unwrap_or(line));
    let modules = items.filter_map(|item| item.strip_prefix("mod "));
    modules.filter_map(|item| item.strip_suffix(';')).collect()
}

/// Returns the module of each name that `lib.rs` exports under its own path.
fn exported(lib: &str) -> BTreeMap<&str, &str> {
    let mut modules = BTreeMap::new();
    for (at, word) in lib.match_indices("pub use ") {
        let item = &lib[at + word.len()..];
        let item = item.split(';').next().unwrap_or_default();
        if let Some((module, names)) = item.split_once("::") {
            modules.extend(heads(names).into_iter().map(|name| (name, module)));
        }
    }
    modules
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry of a directory").path()) {
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns the path of a file's module: `a/b.rs` and `a/b/mod.rs` are both `a::b`.
fn module_path(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let parts = file.iter().map(|part| part.to_string_lossy().into_owned());
    parts.filter(|part| part != "mod").collect()
}

/// Returns the line and the name of everything that the code takes from the crate's root.
/// `depth` is the length of the file's module path.
fn named(source: &str, depth: usize) -> Vec<(usize, String)> {
    let code: Vec<&str> = source.lines().map(without_comment).collect();
    let depths = depths(&code, depth);
    let code = code.join("\n");
    let mut found = Vec::new();
    for word in ["crate::", "super::"] {
        for (at, _) in code.match_indices(word) {
            let is_head = !code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
            let line = code[..at].matches('\n').count();
            let rest = code[at..].trim_start_matches(word);
            let steps = (code.len() - at - rest.len()) / word.len();
            if is_head && (word == "crate::" || steps == depths[line]) {
                let names = heads(rest).into_iter();
                found.extend(names.map(|name| (line + 1, name.to_owned())));
            }
        }
    }
    found
}

fn without_comment(line: &str) -> &str {
    let code = line.split(" // ").next().unwrap_or_default();
    if code.trim_start().starts_with("//") {
        return "";
    }
    code
}

/// Returns the length of the module path at each line, which inline modules make longer.
fn depths(code: &[&str], outermost: usize) -> Vec<usize> {
    let mut ends: Vec<String> = Vec::new();
    let mut depths = Vec::new();
    for line in code {
        if ends.last().is_some_and(|end| end == line) {
            ends.pop();
        }
        depths.push(outermost + ends.len());
        let item = line.trim_start();
        let indent = &line[..line.len() - item.len()];
        if item.starts_with("mod ") && item.ends_with('{') {
            ends.push(format!("{indent}}}"));
        }
    }
    depths
}

/// Returns the first name of a path, or of each path in a group: `a` and `b` of `{a::x, b}`.
fn heads(path: &str) -> Vec<&str> {
    let Some(group) = path.strip_prefix('{') else {
        return Vec::from([head(path)]);
    };
    let (mut heads, mut level, mut start) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => level += 1,
            '}' if level > 0 => level -= 1,
            ',' | '}' if level == 0 => {
                heads.push(head(group[start..at].trim_start()));
                start = at + 1;
            }
            _ => {}
        }
        if c == '}' && start == at + 1 {
            break;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn head(path: &str) -> &str {
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    &path[..end.unwrap_or(path.len())]
}
