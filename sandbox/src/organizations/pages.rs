//! `MaxResults` and `NextToken` of Organizations. A token belongs to the list that returned it.

use serde_json::{Map, Value, json};

use super::Ask;
use crate::aws::LiveOrganization;
use crate::refusals::{self, Refused};

/// The size of a page, and its default (model).
const LARGEST: usize = 20;

pub(super) struct Page {
    /// The operation and the subject of its list.
    list: String,
    /// The offset of the page; nothing for the first call.
    offset: Option<usize>,
    size: usize,
}

impl Page {
    /// Reads the page of a request. `of` is the subject of the list; `names` are the operation's
    /// other parameters.
    pub(super) fn read(ask: Ask<'_>, of: &str, names: &[&str]) -> Result<Self, Refused> {
        let all = [names, &["MaxResults", "NextToken"]].concat();
        ask.input.only(ask.operation, &all)?;
        let size = match ask.input.number("MaxResults")? {
            None => LARGEST,
            Some(n) if n < 1 => return Err(refusals::ORG_MIN_VALUE.with(&["MaxResults"])),
            Some(n) => usize::try_from(n)
                .ok()
                .filter(|n| *n <= LARGEST)
                .ok_or_else(|| refusals::ORG_MAX_VALUE.with(&["MaxResults"]))?,
        };
        let list = format!("{} {of}", ask.operation);
        let token = ask.input.text("NextToken")?;
        let offset = token.map(|token| {
            let offset = offset(&list, token);
            offset.ok_or_else(|| refusals::ORG_NEXT_TOKEN.with(&[]))
        });
        Ok(Self {
            offset: offset.transpose()?,
            list,
            size,
        })
    }

    /// Returns the answer: this page's items under `name`, and the token of the next page if there
    /// is one.
    pub(super) fn cut(
        &self,
        organization: &LiveOrganization,
        name: &str,
        items: Vec<Value>,
    ) -> Value {
        let total = items.len();
        let begins_empty = organization.empty_pages && self.offset.is_none();
        let offset = self.offset.unwrap_or(0);
        let size = if begins_empty { 0 } else { self.size };
        let page: Vec<Value> = items.into_iter().skip(offset).take(size).collect();
        let end = offset.saturating_add(size);
        let mut answer = Map::new();
        answer.insert(name.to_owned(), json!(page));
        if end < total {
            let token = hex::encode(format!("{}\n{end}", self.list));
            answer.insert("NextToken".to_owned(), json!(token));
        }
        Value::Object(answer)
    }
}

fn offset(list: &str, token: &str) -> Option<usize> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let (from, offset) = text.split_once('\n')?;
    (from == list).then(|| offset.parse().ok()).flatten()
}
