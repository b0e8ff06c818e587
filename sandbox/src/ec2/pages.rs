//! `MaxResults` and `NextToken`. A token is an offset into a list in stable order.

use super::Ask;
use crate::aws::Aws;
use crate::refusals::{self, Refused};

pub(super) struct Page {
    offset: usize,
    size: Option<usize>,
    /// Whether the page carries only a token, as AWS's pages may at any time.
    empty: bool,
}

impl Page {
    /// Reads the page of a request. `ids` names the operation's list of IDs, which excludes paging.
    pub(super) fn read(aws: &Aws, ask: Ask<'_>, ids: &str, least: usize) -> Result<Self, Refused> {
        let size = ask.query.number("MaxResults")?.map(|n| n as usize);
        if size.is_some() && !ask.query.list(ids).is_empty() {
            return Err(refusals::MAX_RESULTS_WITH_IDS.with(&[ids]));
        }
        if let Some(n) = size.filter(|n| !(least..=1000).contains(n)) {
            return Err(refusals::MAX_RESULTS_RANGE.with(&[&n.to_string(), &least.to_string()]));
        }
        let token = ask.query.get("NextToken").filter(|token| !token.is_empty());
        let offset = token.map(|token| {
            let offset = token.strip_prefix("page-").and_then(|n| n.parse().ok());
            offset.ok_or_else(|| refusals::INVALID_NEXT_TOKEN.with(&[token]))
        });
        let offset = offset.transpose()?;
        Ok(Self {
            offset: offset.unwrap_or(0),
            empty: aws.rules.limits.empty_pages && size.is_some() && offset.is_none(),
            size,
        })
    }

    /// Returns the page's items, and the token of the next page.
    pub(super) fn cut<T>(&self, items: Vec<T>) -> (Vec<T>, Option<String>) {
        if self.empty {
            return (Vec::new(), Some("page-0".to_owned()));
        }
        let total = items.len();
        let size = self.size.unwrap_or(total);
        let end = self.offset.saturating_add(size);
        let page = items.into_iter().skip(self.offset).take(size).collect();
        (page, (end < total).then(|| format!("page-{end}")))
    }
}
