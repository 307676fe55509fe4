//! The manual as one page of HTML: style and script within, nothing to fetch.

mod entry;
mod prose;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::builtin::meaning;
use super::contents::{Content, Section};
use super::entry::Entry;
use super::{Manual, anchor};
use crate::schema::Builtin;
use prose::Writer;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/script.js");

/// The contents of a manual of as many entries can be shown with all of their parts open.
const OPEN: usize = 150;

/// Before the page is drawn: the theme that was chosen earlier.
const THEME: &str = "try{document.documentElement.dataset.theme=localStorage.getItem('theme')||''}catch{}";

/// The whole page.
pub fn page(manual: &Manual<'_>) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content="qapi-gen doc";
                title { (manual.title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
                script { (PreEscaped(THEME)) }
            }
            body {
                a.skip href="#main" { "Skip to the text" }
                (bar(manual))
                (contents(manual))
                main #main tabindex="-1" {
                    h1 { (manual.title) }
                    @for section in &manual.sections { (self::section(manual, section)) }
                    (builtins())
                    (index(manual))
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

/// What is always in sight. The search and the choice of a theme show up when the script runs.
fn bar(manual: &Manual<'_>) -> Markup {
    html! {
        "\n"
        header.bar {
            a.menu href={ "#" (anchor::CONTENTS) } aria-label="Contents" { span aria-hidden="true" { "\u{2630}" } }
            a.title href="#" { (manual.title) }
            search hidden {
                input #query type="search" name="q" placeholder="Search" aria-label="Search" autocomplete="off"
                    spellcheck="false" role="combobox" aria-autocomplete="list" aria-expanded="false"
                    aria-controls="results";
                ul #results role="listbox" aria-label="What was found" hidden {}
                span #found.unseen role="status" {}
            }
            button #theme type="button" hidden { span aria-hidden="true" { "\u{25d0} " } span.word {} }
        }
    }
}

fn contents(manual: &Manual<'_>) -> Markup {
    let open = manual.entries().count() <= OPEN;
    html! {
        "\n"
        nav #(anchor::CONTENTS) aria-label="Contents" {
            a.close href="#main" { "Close" }
            @for section in &manual.sections {
                "\n"
                div class=[(section.level > 1).then_some("sub")] { (part(section, open)) }
            }
            ul.appendix {
                li { a href={ "#" (anchor::BUILTINS) } { "Built-in types" } }
                li { a href={ "#" (anchor::INDEX) } { "Index" } }
            }
        }
    }
}

/// A section in the contents, with its entries if it has any.
fn part(section: &Section<'_>, open: bool) -> Markup {
    let heading = html! { a href={ "#" (section.id) } { (section.title) } };
    html! {
        @if section.entries().next().is_some() {
            details open[open] {
                summary { (heading) }
                ul {
                    @for entry in section.entries() { "\n" li { (link(entry)) } }
                }
            }
        } @else {
            p { (heading) }
        }
    }
}

/// A link to an entry that shows what it is.
fn link(entry: &Entry<'_>) -> Markup {
    html! {
        a class={ "to " (kind(entry)) } href={ "#" (entry.id) } { (broken(&entry.definition.name)) }
    }
}

/// A name that may go on in the next line after each of its words.
fn broken(name: &str) -> Markup {
    let starts = |(at, pair): (usize, &[u8])| match pair {
        [b'-' | b'_', next] if next.is_ascii_alphanumeric() => Some(at + 1),
        [b'a'..=b'z' | b'0'..=b'9', b'A'..=b'Z'] => Some(at + 1),
        _ => None,
    };
    let starts: Vec<_> = name.as_bytes().windows(2).enumerate().filter_map(starts).collect();
    let ends = starts.iter().copied().chain([name.len()]);
    html! {
        @for (start, end) in [0].into_iter().chain(starts.iter().copied()).zip(ends) {
            @if start > 0 { wbr; }
            (name.get(start..end).unwrap_or_default())
        }
    }
}

/// The class of an entry: commands, events and types each have a colour.
fn kind(entry: &Entry<'_>) -> &'static str {
    if entry.definition.kind.is_type() { "type" } else { entry.definition.kind.keyword() }
}

fn section(manual: &Manual<'_>, section: &Section<'_>) -> Markup {
    let writer = Writer { manual, entry: None };
    html! {
        "\n\n"
        section.chapter aria-labelledby=(section.id) {
            (heading(section.level, &section.id, section.title))
            @for content in &section.content {
                @match content {
                    Content::Text(text) => (writer.text(text)),
                    Content::Entry(entry) => (entry::entry(manual, entry, section.level)),
                }
            }
        }
    }
}

/// A heading of a section, which is a link to itself.
fn heading(level: usize, id: &str, title: &str) -> Markup {
    let title = html! { a.self href={ "#" (id) } { (title) } };
    html! {
        "\n"
        @match level {
            0 | 1 => h2 #(id) { (title) },
            2 => h3 #(id) { (title) },
            _ => h4 #(id) { (title) },
        }
    }
}

fn builtins() -> Markup {
    html! {
        "\n\n"
        section aria-labelledby=(anchor::BUILTINS) {
            (heading(1, anchor::BUILTINS, "Built-in types"))
            p { "The types that every schema has. " code { "[T]" } " is an array of " code { "T" } "." }
            table.members {
                thead { tr { th scope="col" { "Name" } th scope="col" { "On the wire" } } }
                tbody {
                    @for builtin in Builtin::all() {
                        "\n"
                        tr #(anchor::builtin(builtin)) {
                            th scope="row" { code { (builtin.name()) } }
                            td { (meaning(builtin)) }
                        }
                    }
                }
            }
        }
    }
}

fn index(manual: &Manual<'_>) -> Markup {
    html! {
        "\n\n"
        section aria-labelledby=(anchor::INDEX) {
            (heading(1, anchor::INDEX, "Index"))
            @for (title, entries) in manual.index() {
                @if !entries.is_empty() {
                    h3 { (title) }
                    ul.index {
                        @for entry in entries { "\n" li { (link(entry)) } }
                    }
                }
            }
        }
    }
}
