//! The `qmp-example` blocks of a documentation comment.

use super::comment::{Line, indentation, without};
use crate::source::Span;

/// A `qmp-example` block: what goes over the wire when the command or event is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its `:title:`.
    pub title: Option<String>,
    /// The block without its indentation. Lines that are sent start with `-> `, lines that are received with `<- `.
    pub text: String,
    /// Where the text starts.
    pub span: Span,
}

/// The `qmp-example` blocks among the lines.
pub(super) fn examples(lines: &[Line<'_>]) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        rest = after;
        if line.text.trim_start() != ".. qmp-example::" {
            continue;
        }
        let indent = indentation(line.text);
        let inside = |line: &Line<'_>| line.text.is_empty() || indentation(line.text) > indent;
        let (block, after) = after.split_at(after.iter().position(|line| !inside(line)).unwrap_or(after.len()));
        rest = after;
        examples.extend(example(block));
    }
    examples
}

fn example(block: &[Line<'_>]) -> Option<Example> {
    let is_option = |line: &Line<'_>| line.text.trim_start().starts_with(':');
    let (options, text) = block.split_at(block.iter().position(|line| !is_option(line)).unwrap_or(block.len()));
    let title = options.iter().find_map(|line| line.text.trim_start().strip_prefix(":title:"));
    let start = text.iter().position(|line| !line.text.is_empty())?;
    let text = text.get(start..).unwrap_or_default();
    let filled = text.iter().filter(|line| !line.text.is_empty());
    let indent = filled.map(|line| indentation(line.text)).min().unwrap_or(0);
    let mut joined = String::new();
    for line in text {
        joined.push_str(without(indent, line.text));
        joined.push('\n');
    }
    joined.truncate(joined.trim_end().len() + 1);
    Some(Example { title: title.map(|title| title.trim().to_owned()), text: joined, span: text.first()?.span })
}

#[cfg(test)]
mod tests {
    use crate::doc::comment::tests::doc;

    #[test]
    fn examples_know_their_text_and_line() {
        let text = "\
##
# @go:
#
# .. qmp-example::
#    :title: Going
#    :annotated:
#
#    First::
#
#      -> { }
#
# Since: 1
#
# .. qmp-example::
#
#     -> { \"a\":
#          1 }
#     <- { }
##
";
        let examples = doc(text).examples;
        let found: Vec<_> = examples
            .iter()
            .map(|example| (example.title.as_deref(), example.span.line, example.text.as_str()))
            .collect();
        let second = "-> { \"a\":\n     1 }\n<- { }\n";
        assert_eq!(found, [(Some("Going"), 8, "First::\n\n  -> { }\n"), (None, 16, second)]);
    }
}
