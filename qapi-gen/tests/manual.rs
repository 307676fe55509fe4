//! The reference manual: what it says of each construct, and that it can be relied on.
//!
//! `QAPI_GEN_REWRITE=1` writes the goldens instead of comparing them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by a panic")]

mod page;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use qapi_gen::{Manual, Schema, compile};

const EVERY_CONSTRUCT: &str = "tests/manual/every-construct.json";
const OURS: &str = "../qapi-schema/schema/qapi-schema.json";

fn schema(path: impl AsRef<Path>) -> Schema {
    compile(path).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The page without its style and its scripts, which are not made from the schema.
fn without_constants(page: &str) -> String {
    let mut kept = page.to_owned();
    for (start, end) in [("<style>", "</style>"), ("<script>", "</script>")] {
        let parts = kept.split(start).map(|part| part.split_once(end).map_or(part, |(_, after)| after));
        kept = parts.collect::<Vec<_>>().join(&format!("{start}{end}"));
    }
    kept
}

#[test]
fn every_construct_is_shown() {
    let schema = schema(EVERY_CONSTRUCT);
    let manual = Manual::new(&schema, "Every <construct>");
    for (kind, found) in [("html", without_constants(&manual.html())), ("md", manual.markdown())] {
        let golden = PathBuf::from(EVERY_CONSTRUCT).with_extension(kind);
        if env::var_os("QAPI_GEN_REWRITE").is_some() {
            fs::write(&golden, found).expect("written");
        } else {
            let expected = fs::read_to_string(&golden).expect("the golden");
            assert!(expected == found, "QAPI_GEN_REWRITE=1 writes {} anew:\n{found}", golden.display());
        }
    }
}

#[test]
fn everything_has_its_anchor_and_no_link_is_dead() {
    for path in [EVERY_CONSTRUCT, OURS, "tests/cases/parse-empty-file.json", "tests/cases/generate-union.json"] {
        page::check(&schema(path));
    }
}

/// A schema of this text.
fn written(text: &str) -> Schema {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.json");
    fs::write(&path, text).expect("written");
    schema(path)
}

#[test]
fn names_that_look_alike_have_different_anchors() {
    page::check(&written("##\n# = A\n##\n\n##\n# = A\n##\n\n##\n# = A 2\n##\n\n##\n# = &\n##\n\n##\n# =\n##\n"));
    let names = ["go", "go-name", "stop", "feature", "when", "index", "contents", "main", "query"];
    let commands = names.map(|name| {
        let members = "'name': 'str', 'feature': 'str', 'when': 'str', 'f': 'str'";
        format!("##\n# @{name}:\n#\n# @name: a\n#\n# @feature: a\n#\n# @when: a\n#\n# @f: a\n#\n# Features:\n#\n# @f: a\n##\n\
                 {{ 'command': '{name}', 'data': {{ {members} }}, 'features': [ 'f' ] }}\n")
    });
    page::check(&written(&format!("{}{{ 'event': 'STOP' }}\n", commands.concat())));
}

/// Every place of a schema that takes free text, filled with it.
fn filled(text: &str) -> Schema {
    written(&format!(
        "##\n# = {text}\n#\n# {text} *{text}* **{text}** `{text}` `{text} <x>`_ `x <{text}>`_\n#\n# .. {text}:: {text}\n##\n\n\
         ##\n# @go:\n#\n# {text}\n#\n# @a: {text}\n#\n# Features:\n#\n# @f: {text}\n#\n# Returns: {text}\n#\n\
         # Errors: {text}\n#\n# Since: {text}\n#\n# .. admonition:: {text}\n#\n#    - {text}\n#\n\
         # .. qmp-example::\n#    :title: {text}\n#\n#     {text}\n#     -> {text}\n##\n\
         {{ 'command': 'go', 'data': {{ 'a': 'str' }}, 'returns': 'Empty', 'features': [ 'f' ] }}\n\
         {{ 'struct': 'Empty', 'data': {{}} }}\n"
    ))
}

/// The tags of a page, each with the names of its attributes but not their values.
fn tags(page: &str) -> BTreeSet<String> {
    let tags = page.split('<').skip(1).map(|rest| rest.split_once('>').expect("a whole tag").0);
    tags.map(|tag| tag.split('"').step_by(2).collect()).collect()
}

#[test]
fn text_never_becomes_markup_of_html() {
    let known = tags(&without_constants(&Manual::new(&schema(EVERY_CONSTRUCT), "Manual").html()));
    for text in ["<script>x</script>", "\" onclick=\"x", "' onclick='x", "&lt;b>", "--><b>", "<b `<b>` @<b"] {
        let page = without_constants(&Manual::new(&filled(text), text).html());
        let unknown: Vec<_> = tags(&page).difference(&known).cloned().collect();
        assert!(unknown.is_empty(), "{text} becomes {unknown:?}");
        assert!(
            page.contains(&text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"))
        );
    }
    let page = Manual::new(&filled("javascript:x"), "Manual").html();
    assert!(page.contains("javascript:x") && !page.contains("href=\"javascript"));
}

#[test]
fn text_never_becomes_html_in_markdown() {
    let page = Manual::new(&filled("<script>x</script>"), "<script>x</script>").markdown();
    let mut fenced = false;
    for line in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        let outside_code: String = line.split('`').step_by(2).collect();
        let raw = outside_code.replace("\\<", "").contains("<script") && !fenced;
        assert!(!raw, "{line}");
    }
    assert!(page.contains("\\<script>"));
}

#[test]
fn deep_and_long_texts_are_shown() {
    for text in ["- ".repeat(20_000), "@a".repeat(20_000), "`a ".repeat(20_000), ".. note:: ".repeat(2_000)] {
        let page = Manual::new(&filled(&text), "Manual").html();
        assert!(page.len() > text.len());
    }
}

#[test]
fn the_manual_in_docs_is_fresh() {
    let fresh = Manual::new(&schema(OURS), "whystop QMP Reference Manual").html();
    let committed = fs::read_to_string("../docs/qmp-ref.html").expect("the manual");
    assert!(fresh == committed, "docs/qmp-ref.html is stale: CONTRIBUTING.md says how it is made");
}
