//! What must hold for the manual of any schema.

use std::collections::HashSet;

use qapi_gen::{Manual, Schema};

/// Checks the manual of a schema in both formats.
pub fn check(schema: &Schema) {
    let manual = Manual::new(schema, "Manual");
    let (html, markdown) = (manual.html(), manual.markdown());
    links_lead_somewhere(&values(&html, " id=\""), &values(&html, " href=\"#"));
    let markdown_ids = links_lead_somewhere(&values(&markdown, "<a id=\""), &targets(&markdown));
    let articles: HashSet<_> = values(&html, "\n<article id=\"").into_iter().collect();
    let rows: HashSet<_> = values(&html, "\n<tr id=\"").into_iter().collect();
    let items: HashSet<_> = values(&markdown, "\n- <a id=\"").into_iter().collect();
    for definition in schema.definitions() {
        let id = format!("{}-{}", definition.kind.keyword(), definition.name);
        assert!(articles.contains(id.as_str()) && markdown_ids.contains(id.as_str()), "{definition} has no anchor");
        let members = schema.members(definition).into_iter().map(|listed| &listed.member.name);
        for name in members.chain(definition.values().iter().map(|value| &value.name)) {
            let id = format!("{id}.{name}");
            assert!(rows.contains(id.as_str()) && items.contains(id.as_str()), "{definition} lacks {name}");
        }
    }
    for fetched in [" src=", "@import", "url(", "rel=\"stylesheet\""] {
        assert!(!html.contains(fetched), "the page is not self-contained: {fetched}");
    }
}

/// The ids, each of which is there once.
fn links_lead_somewhere<'a>(ids: &[&'a str], links: &[&str]) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    for id in ids {
        assert!(found.insert(*id), "two have the id {id}");
        assert!(!id.is_empty() && !id.contains(char::is_whitespace), "{id:?} is no id");
    }
    for link in links {
        assert!(link.is_empty() || found.contains(link), "nothing has the id {link}");
    }
    assert!(!links.is_empty(), "the page has no links");
    found
}

/// What stands between `start` and the next quotation mark, wherever that is. Text has no quotation marks of its own.
fn values<'a>(page: &'a str, start: &str) -> Vec<&'a str> {
    page.split(start).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0)).collect()
}

fn targets(markdown: &str) -> Vec<&str> {
    markdown.split("](#").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}
