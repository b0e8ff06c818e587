//! XML for answers: elements and escaped text.

use std::fmt::Write as _;

#[derive(Debug, Default)]
pub(crate) struct Xml {
    text: String,
}

impl Xml {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Writes `<tag>…</tag>`.
    pub(crate) fn element(&mut self, tag: &str, content: impl FnOnce(&mut Self)) -> &mut Self {
        let _ = write!(self.text, "<{tag}>");
        content(self);
        let _ = write!(self.text, "</{tag}>");
        self
    }

    pub(crate) fn text(&mut self, tag: &str, value: impl AsRef<str>) -> &mut Self {
        self.element(tag, |xml| xml.push_escaped(value.as_ref()))
    }

    pub(crate) fn number(&mut self, tag: &str, value: impl Into<i64>) -> &mut Self {
        self.text(tag, value.into().to_string())
    }

    pub(crate) fn flag(&mut self, tag: &str, value: bool) -> &mut Self {
        self.text(tag, if value { "true" } else { "false" })
    }

    /// Writes an element, if there is a value.
    pub(crate) fn maybe(&mut self, tag: &str, value: Option<&str>) -> &mut Self {
        if let Some(value) = value {
            self.text(tag, value);
        }
        self
    }

    /// Writes `<tag><item>…</item>…</tag>`, even for an empty list.
    pub(crate) fn list<T>(
        &mut self,
        tag: &str,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.element(tag, |xml| {
            for item in items {
                xml.element("item", |xml| each(xml, item));
            }
        })
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn push_escaped(&mut self, value: &str) {
        for c in value.chars() {
            match c {
                '&' => self.text.push_str("&amp;"),
                '<' => self.text.push_str("&lt;"),
                '>' => self.text.push_str("&gt;"),
                '"' => self.text.push_str("&quot;"),
                '\r' => self.text.push_str("&#xD;"),
                // XML 1.0 cannot express other control characters.
                c if c.is_control() && !matches!(c, '\t' | '\n') => self.text.push('\u{fffd}'),
                '\u{fffe}' | '\u{ffff}' => self.text.push('\u{fffd}'),
                c => self.text.push(c),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_text_is_escaped() {
        let mut xml = Xml::new();
        xml.text("a", "</a>&\"\u{0}x");
        assert_eq!(xml.finish(), "<a>&lt;/a&gt;&amp;&quot;\u{fffd}x</a>");
    }
}
