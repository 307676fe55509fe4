//! Texts of the documentation as HTML.

use maud::{Markup, Render, html};

use super::super::Manual;
use super::super::entry::Entry;
use super::super::example::{Message, Speaker, Token, messages, tokens};
use crate::markup::inline::{Inline, inlines, is_url};
use crate::markup::{Block, blocks};

/// Writes the texts of an entry, or of none.
#[derive(Clone, Copy)]
pub struct Writer<'a> {
    /// The manual.
    pub manual: &'a Manual<'a>,
    /// The entry, whose members the text may name.
    pub entry: Option<&'a Entry<'a>>,
}

impl Writer<'_> {
    /// A text of blocks.
    pub fn text(self, text: &str) -> Markup {
        self.blocks(&blocks(text), false)
    }

    fn blocks(self, blocks: &[Block], on_the_wire: bool) -> Markup {
        html! { @for block in blocks { (self.block(block, on_the_wire)) } }
    }

    fn block(self, block: &Block, on_the_wire: bool) -> Markup {
        html! {
            "\n"
            @match block {
                Block::Paragraph(text) => p { (self.inline(text)) },
                Block::Heading(_, text) => p.label { (self.inline(text)) },
                Block::List { numbered: false, items } => ul { (self.items(items, on_the_wire)) },
                Block::List { numbered: true, items } => ol { (self.items(items, on_the_wire)) },
                Block::Literal(lines) if on_the_wire => (wire(lines)),
                Block::Literal(lines) => pre tabindex="0" { code { @for line in lines { (line) "\n" } } },
                Block::Example { title, body } => figure.example {
                    figcaption { "Example" @if let Some(title) = title { ": " (self.inline(title)) } }
                    (self.blocks(body, true))
                },
                Block::Admonition { title, body } => div class={ "note " (mood(title)) } role="note" {
                    p.label { (self.inline(title)) }
                    (self.blocks(body, on_the_wire))
                },
                Block::Table { header, rows } => table {
                    @if !header.is_empty() {
                        thead { tr { @for cell in header { th scope="col" { (self.inline(cell)) } } } }
                    }
                    tbody { @for row in rows { tr { @for cell in row { td { (self.inline(cell)) } } } } }
                },
            }
        }
    }

    fn items(self, items: &[Vec<Block>], on_the_wire: bool) -> Markup {
        html! {
            @for item in items {
                "\n"
                li {
                    // The text of a short item needs no paragraph.
                    @if let [Block::Paragraph(text)] = item.as_slice() { (self.inline(text)) }
                    @else { (self.blocks(item, on_the_wire)) }
                }
            }
        }
    }

    /// A text within a block.
    pub fn inline(self, text: &str) -> Markup {
        html! {
            @for inline in inlines(text) {
                @match inline {
                    Inline::Text(text) => (text),
                    Inline::Literal(text) => code { (text) },
                    Inline::Name(name) | Inline::Mention(name) => (self.link(name, html! { code { (name) } })),
                    Inline::Titled(title, url) if is_url(url) => a href=(url) { (title) },
                    Inline::Titled(title, target) => (self.link(target, title)),
                    Inline::Emphasis(text) => em { (text) },
                    Inline::Strong(text) => strong { (text) },
                    Inline::Url(url) => a href=(url) { (url) },
                }
            }
        }
    }

    fn link(self, name: &str, shown: impl Render) -> Markup {
        match self.manual.link(self.entry, name) {
            Some(id) => html! { a href={ "#" (id) } { (shown) } },
            None => html! { (shown) },
        }
    }
}

/// The class of an admonition.
fn mood(title: &str) -> &'static str {
    match title {
        "Attention" | "Caution" | "Danger" | "Error" | "Warning" => "warning",
        _ => "plain",
    }
}

/// What goes over the wire.
fn wire(lines: &[String]) -> Markup {
    html! {
        pre.wire tabindex="0" {
            @for Message { speaker, arrow, lines } in messages(lines.iter().map(String::as_str)) {
                span class=(class(speaker)) {
                    @if !arrow.is_empty() { b { (arrow) } }
                    @for line in lines { @for token in tokens(line) { (highlighted(token)) } "\n" }
                }
            }
        }
    }
}

const fn class(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::Client => "client",
        Speaker::Server => "server",
        Speaker::Nobody => "nobody",
    }
}

fn highlighted(token: Token<'_>) -> Markup {
    match token {
        Token::Key(text) => html! { i.k { (text) } },
        Token::String(text) => html! { i.s { (text) } },
        Token::Number(text) => html! { i.n { (text) } },
        Token::Word(text) => html! { i.w { (text) } },
        Token::Other(text) => html! { (text) },
    }
}
