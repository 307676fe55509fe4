//! Tokens to items: the objects and the documentation comments at the top level of one file.

use std::collections::HashMap;

use crate::diagnostic::{Diagnostic, Report};
use crate::doc::{self, Doc};
use crate::lexer::{Lexer, Token};
use crate::source::Span;
use crate::value::{Key, Object, Value, ValueKind};

/// What stands at the top level of a file.
#[derive(Debug)]
pub enum Item<'a> {
    /// An object: a definition or a directive.
    Expression(Expression),
    /// A documentation comment; `None` if it has been complained about.
    Doc(Option<Doc>),
    /// A stretch of text that is neither, and has been complained about.
    Broken(&'a str),
    /// The end of the file.
    End,
}

/// An object at the top level.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Its members.
    pub object: Object,
    /// Where it starts.
    pub span: Span,
}

/// Values may be nested this deep. Real definitions need four levels, and any thread has the stack for this many.
const MAX_DEPTH: usize = 128;

/// Reads one file item by item. The token after an item is looked at before the item is handed out, so that the
/// errors come in the order in which QEMU's compiler finds them.
#[derive(Debug)]
pub struct Parser<'a> {
    lexer: Lexer<'a>,
    /// The present token.
    token: Token<'a>,
    span: Span,
    /// What has been skipped before the present token.
    skipped: Option<&'a str>,
    /// No expression has been understood since the last error.
    recovering: bool,
}

impl<'a> Parser<'a> {
    /// At a place in a file's text.
    pub fn new(text: &'a str, at: Span, errors: &mut Report) -> Self {
        let mut parser =
            Self { lexer: Lexer::new(text, at), token: Token::End, span: at, skipped: None, recovering: false };
        parser.look_ahead(errors);
        parser
    }

    /// Where the next item starts.
    pub const fn here(&self) -> Span {
        self.span
    }

    /// Whether a documentation comment comes next.
    pub const fn at_comment(&self) -> bool {
        matches!(self.token, Token::Doc(_))
    }

    /// The next item. What is wrong with it is added to the errors.
    pub fn item(&mut self, errors: &mut Report) -> Item<'a> {
        if let Some(skipped) = self.skipped.take() {
            return Item::Broken(skipped);
        }
        match self.token {
            Token::End => Item::End,
            Token::Doc(first) => {
                let comment = doc::parse(first, self.span, &mut self.lexer);
                let whole = comment.errors.count() + comment.late.count() == 0;
                errors.append(comment.errors);
                self.look_ahead(errors);
                errors.append(comment.late);
                Item::Doc(whole.then_some(comment.doc))
            }
            Token::OpenBrace
            | Token::CloseBrace
            | Token::OpenBracket
            | Token::CloseBracket
            | Token::Colon
            | Token::Comma
            | Token::String(_)
            | Token::Boolean(_) => {
                let (lexer, start) = (self.lexer.clone(), self.span);
                if self.recovering && self.token != Token::OpenBrace {
                    // This belongs to what was wrong.
                    self.lexer.resynchronise(start);
                    self.look_ahead(errors);
                    return Item::Broken("");
                }
                let value = self.value(0);
                self.recovering = value.is_err();
                if let Err(error) = &value {
                    self.lexer.resynchronise(error.at().unwrap_or(start));
                }
                let read = self.lexer.since(start);
                let value = value.map_err(|error| errors.push(error.in_definition_if(named(lexer))));
                self.look_ahead(errors);
                match value {
                    Ok(Value { kind: ValueKind::Object(object), span }) => {
                        Item::Expression(Expression { object, span })
                    }
                    Ok(Value { kind: ValueKind::Array(_) | ValueKind::String(_) | ValueKind::Boolean(_), span }) => {
                        errors.push(Diagnostic::new(span, "top-level expression must be an object"));
                        Item::Broken(read)
                    }
                    Err(()) => Item::Broken(read),
                }
            }
        }
    }

    /// Makes the next token at the top level the present one. What is no token is skipped with what follows it.
    fn look_ahead(&mut self, errors: &mut Report) {
        let mut start = None;
        while let Err(error) = self.advance() {
            let at = error.at().unwrap_or(self.span);
            self.lexer.resynchronise(at);
            errors.push(error);
            self.skipped = Some(self.lexer.since(*start.get_or_insert(at)));
        }
    }

    fn advance(&mut self) -> Result<(), Diagnostic> {
        (self.token, self.span) = self.lexer.token()?;
        Ok(())
    }

    fn expected(&self, what: &str) -> Diagnostic {
        Diagnostic::new(self.span, format!("expected {what}"))
    }

    /// The value that starts with the current token. Its last token becomes the current one.
    fn value(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let span = self.span;
        if depth > MAX_DEPTH {
            return Err(Diagnostic::new(span, format!("nested more than {MAX_DEPTH} levels deep")));
        }
        let kind = match &mut self.token {
            Token::OpenBrace => ValueKind::Object(self.members(depth)?),
            Token::OpenBracket => ValueKind::Array(self.elements(depth)?),
            Token::String(text) => ValueKind::String(std::mem::take(text).into_owned()),
            Token::Boolean(boolean) => ValueKind::Boolean(*boolean),
            Token::CloseBrace | Token::CloseBracket | Token::Colon | Token::Comma | Token::Doc(_) | Token::End => {
                return Err(self.expected("'{', '[', string, or boolean"));
            }
        };
        Ok(Value { kind, span })
    }

    fn members(&mut self, depth: usize) -> Result<Object, Diagnostic> {
        let mut object = Object::default();
        let mut seen = HashMap::new();
        self.advance()?;
        if self.token == Token::CloseBrace {
            return Ok(object);
        }
        let mut key_expected = "string or '}'";
        loop {
            let span = self.span;
            let Token::String(name) = std::mem::replace(&mut self.token, Token::End) else {
                return Err(self.expected(key_expected));
            };
            self.advance()?;
            if self.token != Token::Colon {
                return Err(self.expected("':'"));
            }
            self.advance()?;
            if let Some(first) = seen.insert(name.clone(), span) {
                let error = Diagnostic::within(self.span, span, format!("duplicate key '{name}'"));
                return Err(error.after(first));
            }
            let key = Key { name: name.into_owned(), span };
            object.members.push((key, self.value(depth + 1)?));
            self.advance()?;
            match self.token {
                Token::CloseBrace => return Ok(object),
                Token::Comma => {}
                Token::OpenBrace
                | Token::OpenBracket
                | Token::CloseBracket
                | Token::Colon
                | Token::String(_)
                | Token::Boolean(_)
                | Token::Doc(_)
                | Token::End => return Err(self.expected("',' or '}'")),
            }
            self.advance()?;
            key_expected = "string";
        }
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, Diagnostic> {
        let mut elements = Vec::new();
        self.advance()?;
        if self.token == Token::CloseBracket {
            return Ok(elements);
        }
        loop {
            elements.push(self.value(depth + 1)?);
            self.advance()?;
            match self.token {
                Token::CloseBracket => return Ok(elements),
                Token::Comma => {}
                Token::OpenBrace
                | Token::CloseBrace
                | Token::OpenBracket
                | Token::Colon
                | Token::String(_)
                | Token::Boolean(_)
                | Token::Doc(_)
                | Token::End => return Err(self.expected("',' or ']'")),
            }
            self.advance()?;
        }
    }
}

/// What an expression defines, if its first member says so: `struct 'Foo'`. The lexer stands after the `{`.
fn named(mut lexer: Lexer<'_>) -> Option<String> {
    let mut token = || lexer.token().ok().map(|(token, _)| token);
    let (Token::String(keyword), Token::Colon, Token::String(name)) = (token()?, token()?, token()?) else {
        return None;
    };
    matches!(&*keyword, "enum" | "struct" | "union" | "alternate" | "command" | "event")
        .then(|| format!("{keyword} '{name}'"))
}
