//! Tokens to expressions: the objects at the top level of one file, each with the documentation before it.

use std::collections::HashSet;

use crate::diagnostic::Diagnostic;
use crate::doc::{self, Doc};
use crate::lexer::{Lexer, Token};
use crate::source::{FileId, Span};
use crate::value::{Key, Object, Value, ValueKind};

/// What stands at the top level of a file.
#[derive(Clone, Debug)]
pub enum Item {
    /// An object: a definition or a directive.
    Expression(Expression),
    /// A documentation comment.
    Doc(Doc),
}

/// An object at the top level.
#[derive(Clone, Debug)]
pub struct Expression {
    /// Its members.
    pub object: Object,
    /// Where it starts.
    pub span: Span,
}

/// Values may be nested this deep. No definition needs more than a few levels.
const MAX_DEPTH: usize = 64;

/// Reads one file item by item.
#[derive(Debug)]
pub struct Parser<'a> {
    lexer: Lexer<'a>,
    token: Token<'a>,
    span: Span,
}

impl<'a> Parser<'a> {
    /// At the start of a file.
    pub const fn new(file: FileId, text: &'a str) -> Self {
        let span = Span { file, line: 1, start: 0, end: 0 };
        Self { lexer: Lexer::new(file, text), token: Token::End, span }
    }

    /// The next item, or `None` at the end of the file. After an error the next item is the next line that looks
    /// like a definition.
    ///
    /// # Errors
    /// What stands next is no item.
    pub fn item(&mut self) -> Result<Option<Item>, Diagnostic> {
        if let Err(error) = self.advance() {
            self.lexer.resynchronise(self.lexer.here());
            return Err(error);
        }
        let start = self.span;
        match self.token {
            Token::End => Ok(None),
            Token::Doc(first) => doc::parse(first, start, &mut self.lexer).map(Item::Doc).map(Some),
            Token::OpenBrace
            | Token::CloseBrace
            | Token::OpenBracket
            | Token::CloseBracket
            | Token::Colon
            | Token::Comma
            | Token::String(_)
            | Token::Boolean(_) => {
                let expression = self.expression().inspect_err(|_| self.lexer.resynchronise(start));
                expression.map(Item::Expression).map(Some)
            }
        }
    }

    fn advance(&mut self) -> Result<(), Diagnostic> {
        (self.token, self.span) = self.lexer.token()?;
        Ok(())
    }

    fn expected(&self, what: &str) -> Diagnostic {
        Diagnostic::new(self.span, format!("expected {what}"))
    }

    fn expression(&mut self) -> Result<Expression, Diagnostic> {
        let value = self.value(0)?;
        let Value { kind: ValueKind::Object(object), span } = value else {
            return Err(Diagnostic::new(value.span, "top-level expression must be an object"));
        };
        Ok(Expression { object, span })
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
        let mut seen = HashSet::new();
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
            if !seen.insert(name.clone()) {
                return Err(Diagnostic::new(span, format!("duplicate key '{name}'")));
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
