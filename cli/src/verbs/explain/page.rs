//! The page of errors, as data: each of its sections quotes the words by which it is found.

const PAGE: &str = include_str!("../../../../docs/troubleshooting.md");
/// Words that are quoted in a section and are no sign of its error.
const SHORTEST: usize = 6;
/// More sections than a person wants to read.
const MOST: usize = 3;

/// A section of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// The heading, without Markdown.
    pub title: String,
    /// The link to the heading.
    pub anchor: String,
    /// The text, without Markdown.
    pub body: String,
    /// The quoted words of the heading and of what AWS says.
    signs: Vec<String>,
}

/// Returns the sections whose quoted words are in the text, those with the longest ones first.
pub fn fitting(said: &str) -> Vec<Section> {
    let said = one_line(said).to_lowercase();
    let longest = |section: &Section| {
        let signs = section
            .signs
            .iter()
            .filter(|sign| said.contains(&sign.to_lowercase()));
        signs.map(String::len).max().unwrap_or_default()
    };
    let sections = sections(PAGE).into_iter();
    let mut found: Vec<(usize, Section)> = sections
        .map(|section| (longest(&section), section))
        .filter(|(length, _)| *length > 0)
        .collect();
    found.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    found
        .into_iter()
        .map(|(_, section)| section)
        .take(MOST)
        .collect()
}

fn sections(page: &str) -> Vec<Section> {
    let told = page
        .split("\n## Cases that were played")
        .next()
        .unwrap_or_default();
    let marked = format!("\n{told}")
        .replace("\n### ", "\n\u{1}")
        .replace("\n## ", "\n\u{1}");
    marked
        .split("\n\u{1}")
        .skip(1)
        .filter_map(section)
        .collect()
}

fn section(text: &str) -> Option<Section> {
    let (heading, body) = text.split_once('\n')?;
    let body = body.trim();
    let says = body
        .split("\n\n")
        .find(|paragraph| paragraph.starts_with("AWS says:"));
    let signs: Vec<String> = quoted(heading)
        .into_iter()
        .chain(says.map(quoted).unwrap_or_default())
        .map(|sign| one_line(sign.trim_end_matches(['…', ' '])))
        .filter(|sign| sign.len() >= SHORTEST)
        .collect();
    if signs.is_empty() {
        return None;
    }
    Some(Section {
        title: crate::wish::plain(heading),
        anchor: anchor(heading),
        body: crate::wish::plain(body),
        signs,
    })
}

/// Returns the texts between backquotes.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the link that the book and GitHub give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(said: &str) -> Vec<String> {
        fitting(said)
            .into_iter()
            .map(|section| section.title)
            .collect()
    }

    #[test]
    fn a_cause_and_what_aws_says_lead_to_their_section() {
        assert_eq!(
            titles("\"Cause\": \"SnapshotNotVisible\"")[0],
            "SnapshotNotVisible"
        );
        assert_eq!(
            titles("copy failed: Given key ID is\n not accessible.")[0],
            "KeyNotAccessible"
        );
        assert_eq!(
            titles("Client.InternalError: Client error on launch")[0],
            "Instances end at once"
        );
        assert_eq!(titles("all is well"), Vec::<String>::new());
    }

    #[test]
    fn every_cause_of_the_page_is_found_by_its_own_word() {
        let all = sections(PAGE);
        assert!(all.len() > 40, "{}", all.len());
        for section in all {
            for sign in &section.signs {
                let found = fitting(sign);
                assert!(found.len() <= MOST);
                assert!(!found.is_empty(), "{sign}");
            }
        }
    }
}
