//! An entry as HTML: heading, text, tables, notes.

use maud::{Markup, html};

use super::super::entry::{Entry, Row, Table};
use super::super::{Manual, anchor};
use super::broken;
use super::prose::Writer;
use crate::schema::{Condition, DefinitionId, Type, TypeId};

/// As many users of a type are shown at once.
const SHOWN_USERS: usize = 12;

/// An entry in a section of this level.
pub fn entry(manual: &Manual<'_>, entry: &Entry<'_>, level: usize) -> Markup {
    let writer = Writer { manual, entry: Some(entry) };
    html! {
        "\n\n"
        article class={ "entry " (super::kind(entry)) } #(entry.id) aria-labelledby=(anchor::heading(&entry.id)) {
            @if level > 1 { h4 { (name(entry)) } } @else { h3 { (name(entry)) } }
            (about(entry))
            @for text in &entry.intro { (writer.text(text)) }
            @if !entry.is_documented() { p.none { "Not documented." } }
            @for table in &entry.tables { (self::table(writer, table)) }
            (features(writer, entry))
            @if let Some((ty, text)) = &entry.returns {
                (label("Returns"))
                div.block {
                    @if let Some(ty) = ty { p.returned { (type_of(manual, *ty)) } }
                    @if let Some(text) = text { (writer.text(text)) }
                }
            }
            @if let Some(errors) = entry.errors {
                (label("Errors"))
                div.block { (writer.text(errors)) }
            }
            @for text in &entry.rest { (writer.text(text)) }
            (users(manual, &entry.used_by))
        }
    }
}

fn label(label: &str) -> Markup {
    html! { "\n" p.label { (label) } }
}

fn name(entry: &Entry<'_>) -> Markup {
    html! {
        span.kind { (entry.definition.kind.keyword()) } " "
        a.self #(anchor::heading(&entry.id)) href={ "#" (entry.id) } { (broken(&entry.definition.name)) }
    }
}

/// What is said in a word: features, conditions, the release.
fn about(entry: &Entry<'_>) -> Markup {
    let condition = entry.definition.condition.as_ref();
    if entry.tags.is_empty() && condition.is_none() && entry.since.is_none() {
        return html! {};
    }
    html! {
        p.about {
            @for tag in &entry.tags { (self::tag(tag)) " " }
            (only_if(condition))
            @if let Some(since) = entry.since { span.since { "Since " (since) } }
        }
    }
}

/// A feature or a manner. Those that every schema may use have a colour.
fn tag(name: &str) -> Markup {
    html! { span class={ "tag " (if matches!(name, "deprecated" | "unstable") { name } else { "other" }) } { (name) } }
}

fn only_if(condition: Option<&Condition>) -> Markup {
    html! {
        @if let Some(condition) = condition { span.if { "If " code { (condition) } } " " }
    }
}

fn table(writer: Writer<'_>, table: &Table<'_>) -> Markup {
    let typed = table.rows.iter().any(|row| row.ty.is_some());
    html! {
        "\n"
        table.members {
            caption { (writer.inline(&table.title)) }
            thead {
                tr {
                    th scope="col" { (table.names) }
                    @if typed { th scope="col" { "Type" } }
                    th scope="col" { "Description" }
                }
            }
            tbody { @for row in &table.rows { (self::row(writer, row, typed)) } }
        }
    }
}

fn row(writer: Writer<'_>, row: &Row<'_>, typed: bool) -> Markup {
    html! {
        "\n"
        tr #(row.id) {
            th scope="row" {
                a.self href={ "#" (row.id) } { code { (broken(row.name)) } }
                @if row.optional { " " span.optional { "optional" } }
            }
            @if typed { td.of { @if let Some(ty) = row.ty { (type_of(writer.manual, ty)) } } }
            td {
                @if let Some(text) = row.text { (writer.text(text)) }
                @else if row.stands_for_members { p { "The members of this type." } }
                @else { p.none { "Not documented." } }
                (remarks(row))
            }
        }
    }
}

/// What else there is to say about a row.
fn remarks(row: &Row<'_>) -> Markup {
    if row.since.is_none() && row.condition.is_none() && row.features.is_empty() {
        return html! {};
    }
    html! {
        p.remarks {
            @for feature in row.features { (tag(&feature.name)) " " (only_if(feature.condition.as_ref())) }
            (only_if(row.condition))
            @if let Some(since) = row.since { span.since { "Since " (since) } }
        }
    }
}

fn features(writer: Writer<'_>, entry: &Entry<'_>) -> Markup {
    html! {
        @if !entry.features.is_empty() {
            (label("Features"))
            dl.block {
                @for feature in &entry.features {
                    "\n"
                    dt #(feature.id) { a.self href={ "#" (feature.id) } { (tag(feature.name)) } }
                    dd {
                        @if let Some(text) = feature.text { (writer.text(text)) }
                        (remarks(feature))
                    }
                }
            }
        }
    }
}

fn users(manual: &Manual<'_>, users: &[DefinitionId]) -> Markup {
    let links = |users: &[DefinitionId]| {
        html! {
            @for (index, user) in users.iter().enumerate() {
                @if index > 0 { ", " }
                (type_of(manual, Type { id: TypeId::Definition(*user), array: false }))
            }
        }
    };
    let (first, more) = users.split_at(users.len().min(SHOWN_USERS));
    html! {
        @if !first.is_empty() {
            "\n"
            div.users {
                p { "Used by " (links(first)) @if !more.is_empty() { ", and" } }
                @if !more.is_empty() { details { summary { (more.len()) " more" } p { (links(more)) } } }
            }
        }
    }
}

/// A type as the schema writes it, with a link.
fn type_of(manual: &Manual<'_>, ty: Type) -> Markup {
    let link = match ty.id {
        TypeId::Builtin(builtin) => Some((anchor::builtin(builtin), builtin.name())),
        TypeId::Definition(id) => {
            manual.schema.definition(id).map(|found| (anchor::definition(found), found.name.as_str()))
        }
    };
    html! {
        code {
            @if ty.array { "[" }
            @if let Some((id, name)) = link { a href={ "#" (id) } { (broken(name)) } }
            @if ty.array { "]" }
        }
    }
}
