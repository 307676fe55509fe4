//! Where an item begins and ends: the driver of the other stages.
//!
//! An item ends with the token that leaves no bracket open, or that closes one which was not. A token out of order does
//! not end it: the first such error is kept, and the tokens up to the end are only counted. An error of the lexer or a
//! limit does end it at once, and what follows starts anew.

use std::mem::take;
use std::sync::Arc;

use serde_json::Value;

use super::SyntaxError;
use super::budget::{Budget, Charge};
use super::lexer::{Lexer, Shape, Token};
use super::tree::Tree;

/// Memory that a parser may keep between items.
const KEPT: usize = 512;

/// What an item may take without asking the budget, and how much more it asks for at a time, in bytes.
const PORTION: usize = 64 << 10;

/// How much one item may hold. The default is QEMU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Brackets open at once.
    pub nesting: i32,
    /// Tokens.
    pub tokens: usize,
    /// Bytes of all tokens.
    pub size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { nesting: 1024, tokens: 2 << 20, size: 64 << 20 }
    }
}

/// Takes a stream of bytes apart into values.
#[derive(Debug)]
pub struct Parser {
    lexer: Lexer,
    limits: Limits,
    budget: Arc<Budget>,
    item: Item,
    /// Of the item that ended last.
    charge: Charge,
}

/// The item that has begun.
#[derive(Debug, Default)]
struct Item {
    tree: Tree,
    error: Option<SyntaxError>,
    braces: i32,
    brackets: i32,
    tokens: usize,
    size: usize,
    /// Bytes of memory that it may have taken and that the budget was not asked for.
    unpaid: usize,
    charge: Charge,
}

impl Default for Parser {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Parser {
    /// A parser with its own limits.
    pub fn new(limits: Limits) -> Self {
        Self::sharing(limits, Arc::default())
    }

    /// The same, with a budget that others share: what does not fit into it is beyond the limit of size, too.
    pub fn sharing(limits: Limits, budget: Arc<Budget>) -> Self {
        Self { lexer: Lexer::new(limits.size), limits, budget, item: Item::default(), charge: Charge::default() }
    }

    /// Takes bytes off the front of `input` until an item ends or the input does. An item that has not ended is gone
    /// on with at the next call.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Result<Value, SyntaxError>> {
        loop {
            let token = self.lexer.next(input)?;
            let ended = match token {
                Ok(token) => self.item.push(token, self.lexer.text(), &self.limits, &self.budget),
                Err(error) => Some(Err(error)),
            };
            if ended.is_some() {
                self.charge = take(&mut self.item.charge);
                self.item.clear(KEPT);
                self.lexer.release(KEPT);
                return ended;
            }
        }
    }

    /// What the value that [`Self::next`] returned last costs the budget: to be dropped together with it. Not asked for, it
    /// is dropped when the next one is returned.
    pub fn take_charge(&mut self) -> Charge {
        take(&mut self.charge)
    }

    /// Ends the input: a number or word at its end is complete, anything else that has begun is an error.
    pub(super) fn finish(&mut self) -> Option<Result<Value, SyntaxError>> {
        let last = self.next(&mut b"\n".as_slice());
        let is_complete = self.lexer.is_between_tokens() && self.item.tokens == 0;
        match last {
            Some(Err(SyntaxError::Stray(_))) => Some(Err(SyntaxError::Truncated)),
            None if !is_complete => Some(Err(SyntaxError::Truncated)),
            None | Some(_) => last,
        }
    }
}

impl Item {
    /// Forgets everything, for the next item, but keeps a little of the memory.
    fn clear(&mut self, keep: usize) {
        let mut tree = take(&mut self.tree);
        tree.clear(keep);
        *self = Self { tree, ..Self::default() };
    }

    /// Adds a token. Returns the item if that ends it.
    fn push(
        &mut self,
        token: Token,
        text: &[u8],
        limits: &Limits,
        budget: &Arc<Budget>,
    ) -> Option<Result<Value, SyntaxError>> {
        match token {
            Token::Open(Shape::Object) => self.braces += 1,
            Token::Close(Shape::Object) => self.braces -= 1,
            Token::Open(Shape::Array) => self.brackets += 1,
            Token::Close(Shape::Array) => self.brackets -= 1,
            Token::Colon | Token::Comma | Token::String | Token::Number | Token::Keyword => {}
        }
        self.tokens += 1;
        self.size += text.len();
        if let Err(error) = self.check(limits) {
            return Some(Err(error));
        }
        if !self.pay(token.cost() + text.len(), budget) {
            return Some(Err(SyntaxError::SizeLimit));
        }
        let value = match self.error {
            Some(_) => None,
            None => self.add(token, text),
        };
        let is_open = self.braces >= 0 && self.brackets >= 0 && self.braces + self.brackets > 0;
        if is_open {
            return None;
        }
        Some(value.ok_or_else(|| self.error.take().unwrap_or(SyntaxError::NotAValue)))
    }

    fn check(&self, limits: &Limits) -> Result<(), SyntaxError> {
        if self.size >= limits.size {
            Err(SyntaxError::SizeLimit)
        } else if self.tokens > limits.tokens {
            Err(SyntaxError::TokenLimit)
        } else if self.braces + self.brackets > limits.nesting {
            Err(SyntaxError::NestingLimit)
        } else {
            Ok(())
        }
    }

    /// Asks the budget for memory, now and then. Returns whether there was enough.
    fn pay(&mut self, cost: usize, budget: &Arc<Budget>) -> bool {
        self.unpaid += cost;
        if self.unpaid <= PORTION {
            return true;
        }
        self.charge.grow(budget, take(&mut self.unpaid))
    }

    /// Adds a token to the tree. The first error frees what was built.
    fn add(&mut self, token: Token, text: &[u8]) -> Option<Value> {
        match self.tree.push(token, text) {
            Ok(value) => value,
            Err(error) => {
                self.error = Some(error);
                self.tree = Tree::default();
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    type Items = Vec<Result<Value, SyntaxError>>;

    fn items(mut parser: Parser, input: &[u8], chunk: usize) -> Items {
        let mut items = Vec::new();
        for mut read in input.chunks(chunk.max(1)) {
            while let Some(item) = parser.next(&mut read) {
                items.push(item);
            }
            assert!(read.is_empty());
        }
        items
    }

    fn all(input: &[u8]) -> Items {
        items(Parser::default(), input, usize::MAX)
    }

    fn limited(input: &[u8]) -> Items {
        items(Parser::new(Limits { nesting: 3, tokens: 10, size: 20 }), input, usize::MAX)
    }

    #[test]
    fn what_several_have_begun_is_bounded_and_what_is_over_is_free_again() {
        let budget = Arc::new(Budget::new(5 * PORTION));
        let parser = || Parser::sharing(Limits::default(), Arc::clone(&budget));
        let begin = |parser: &mut Parser, input: &str| parser.next(&mut input.as_bytes());
        // Small in the input, large in memory.
        let objects = "{'a':1},".repeat(200);
        let [mut first, mut second, mut third] = [(); 3].map(|()| parser());
        assert_eq!(begin(&mut first, &format!("[{objects}")), None);
        assert_eq!(begin(&mut second, &format!("[{objects}")), None);
        assert_eq!(begin(&mut third, &format!("[{objects}")), Some(Err(SyntaxError::SizeLimit)));
        assert_eq!(begin(&mut third, "\n{'small': 'has room'}"), Some(Ok(json!({"small": "has room"}))));

        assert!(matches!(begin(&mut first, "1]"), Some(Ok(Value::Array(_)))));
        let charge = first.take_charge();
        assert_eq!(begin(&mut third, &format!("[{objects}")), Some(Err(SyntaxError::SizeLimit)));
        drop((charge, second));
        assert_eq!(begin(&mut third, &format!("\n[{objects}")), None);
    }

    #[test]
    fn values_need_nothing_between_them() {
        assert_eq!(all(b"{'a':1}{} [1]'x'"), [Ok(json!({"a": 1})), Ok(json!({})), Ok(json!([1])), Ok(json!("x"))]);
    }

    #[test]
    fn a_number_or_word_ends_with_what_follows_it() {
        assert_eq!(all(b"1"), []);
        assert_eq!(all(b"1\n"), [Ok(json!(1))]);
        assert_eq!(all(b"true{}"), [Ok(json!(true)), Ok(json!({}))]);
    }

    #[test]
    fn an_error_between_brackets_is_reported_once_when_they_close() {
        assert_eq!(all(b"{'a' 1 {'b' 2}"), []);
        assert_eq!(all(b"{'a' 1 {'b' 2}} 1 "), [Err(SyntaxError::NoColon), Ok(json!(1))]);
        assert_eq!(all(b"{'x': ['\\q'], 'y': \xFF"), [Err(SyntaxError::Stray("\u{fffd}".into()))]);
    }

    #[test]
    fn a_bracket_that_closes_none_ends_the_item() {
        assert_eq!(all(b"}]"), [Err(SyntaxError::NotAValue), Err(SyntaxError::NotAValue)]);
        assert_eq!(all(b"{]"), [Err(SyntaxError::NotAValue)]);
        assert_eq!(all(b"{[}"), []);
        assert_eq!(all(b"{[}]"), [Err(SyntaxError::NotAValue)]);
    }

    #[test]
    fn after_0xff_a_half_sent_item_is_forgotten() {
        assert_eq!(all(b"{'a': [\xFF{}"), [Err(SyntaxError::Stray("\u{fffd}".into())), Ok(json!({}))]);
        assert_eq!(all(b"{'a': 'b\xFF{}"), [Err(SyntaxError::Stray("'b\u{fffd}".into())), Ok(json!({}))]);
    }

    #[test]
    fn each_limit_has_an_error_and_the_next_item_is_read() {
        assert_eq!(limited(b"[[[]]]"), [Ok(json!([[[]]]))]);
        assert_eq!(limited(b"[[[[ 1 "), [Err(SyntaxError::NestingLimit), Ok(json!(1))]);
        assert_eq!(limited(b"[1,1,1,1,1,{}"), [Err(SyntaxError::TokenLimit), Ok(json!({}))]);
        assert_eq!(limited(b"['45678901234567890' {}"), [Err(SyntaxError::SizeLimit), Ok(json!({}))]);
        assert_eq!(
            limited(b"'-23456789-123456789-@,{}"),
            [
                Err(SyntaxError::SizeLimit),
                Err(SyntaxError::Stray("@".into())),
                Err(SyntaxError::NotAValue),
                Ok(json!({}))
            ]
        );
    }

    #[test]
    fn nesting_up_to_the_limit_is_read_and_beyond_it_is_refused_once() {
        let nested = |depth| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(matches!(all(&nested(1024)).as_slice(), [Ok(Value::Array(_))]));
        let beyond = all(&nested(1100));
        assert_eq!(beyond.len(), 1 + 1 + (1100 - 75));
        assert_eq!(beyond.first(), Some(&Err(SyntaxError::NestingLimit)));
        assert!(matches!(beyond.get(1), Some(Ok(Value::Array(_)))));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e300..1e300).prop_map(Value::from),
            "[a-z'\"\\\\\u{e4}\u{20ac}\u{1f9c0}\u{1}]{0,8}".prop_map(Value::from),
        ];
        scalar.prop_recursive(4, 32, 4, |value| {
            prop_oneof![
                prop::collection::vec(value.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{0,3}", value, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_back(values in prop::collection::vec(any_value(), 0..5), chunk in 1..40_usize) {
            let texts = values.iter().map(|value| format!("{value}\n"));
            let text: String = texts.collect();
            let read = items(Parser::default(), text.as_bytes(), chunk);
            prop_assert_eq!(read, values.into_iter().map(Ok).collect::<Vec<_>>());
        }

        #[test]
        fn where_the_reads_end_makes_no_difference(input in "[{}\\[\\]:,'\"\\\\a1.e \n@-]{0,60}", chunk in 1..10_usize) {
            prop_assert_eq!(items(Parser::default(), input.as_bytes(), chunk), all(input.as_bytes()));
        }

        #[test]
        fn any_bytes_are_survived(input in prop::collection::vec(any::<u8>(), 0..200), chunk in 1..50_usize) {
            let small = Limits { nesting: 3, tokens: 10, size: 20 };
            prop_assert_eq!(items(Parser::new(small), &input, chunk), items(Parser::new(small), &input, usize::MAX));
        }
    }
}
