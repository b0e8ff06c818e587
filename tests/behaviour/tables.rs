//! Tables of the documentation that tests make: what is shown is what was seen. `make tables`
//! writes them anew.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// Serializes the writes: tests run at the same time, and may write parts of the same document.
static WRITING: Mutex<()> = Mutex::new(());

/// Checks that the document has this text between its marks of this name, or writes it there.
pub fn shown(document: &str, name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let (begin, end) = (
        format!("<!-- seen by tests: {name} -->\n"),
        "<!-- end -->\n",
    );
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let whole = fs::read_to_string(&path).expect("a document");
    let (head, rest) = whole
        .split_once(&begin)
        .unwrap_or_else(|| panic!("{document} has no mark {begin}"));
    let (there, tail) = rest.split_once(end).expect("the mark's end");
    if std::env::var_os("AMIFERRY_TABLES").is_some() {
        fs::write(&path, format!("{head}{begin}{text}{end}{tail}")).expect("written");
        return;
    }
    assert!(
        there == text,
        "{document} is not what was seen ({name}); make tables writes it anew:\n{text}"
    );
}

/// Returns the lines of `text`, of at most 100 columns where its words allow it. The first begins
/// with `first`, the others with `rest`.
pub fn wrapped(text: &str, first: &str, rest: &str) -> String {
    let mut lines = vec![first.to_owned()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("a line");
        let begins = *line == first || *line == rest;
        let room = line.chars().count() + word.chars().count() < 100;
        match (begins, room) {
            (true, _) => line.push_str(word),
            (false, true) => {
                line.push(' ');
                line.push_str(word);
            }
            (false, false) => lines.push(format!("{rest}{word}")),
        }
    }
    lines.join("\n") + "\n"
}
