//! Changes of a text: of a byte, or of a token as a hasty author would.

use proptest::prelude::*;
use proptest::sample::Index;

/// A change.
#[derive(Clone, Debug)]
pub enum Mutation {
    ReplaceByte(Index, u8),
    RemoveByte(Index),
    InsertByte(Index, u8),
    RemoveToken(Index),
    RepeatToken(Index),
    SwapTokens(Index, Index),
    /// The first becomes the second.
    ReplaceToken(Index, Index),
    /// The text ends here.
    Cut(Index),
}

/// Any change.
pub fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::ReplaceByte(at, byte)),
        at().prop_map(Mutation::RemoveByte),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::InsertByte(at, byte)),
        at().prop_map(Mutation::RemoveToken),
        at().prop_map(Mutation::RepeatToken),
        (at(), at()).prop_map(|(one, other)| Mutation::SwapTokens(one, other)),
        (at(), at()).prop_map(|(one, other)| Mutation::ReplaceToken(one, other)),
        at().prop_map(Mutation::Cut),
    ]
}

impl Mutation {
    /// The changed text.
    pub fn apply(&self, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        let mut tokens = tokens(text);
        if tokens.is_empty() {
            return bytes;
        }
        let (length, count) = (bytes.len(), tokens.len());
        match self {
            Self::ReplaceByte(at, byte) => bytes[at.index(length)] = *byte,
            Self::RemoveByte(at) => {
                bytes.remove(at.index(length));
            }
            Self::InsertByte(at, byte) => bytes.insert(at.index(length + 1), *byte),
            Self::Cut(at) => bytes.truncate(at.index(length)),
            Self::RemoveToken(at) => {
                tokens.remove(at.index(count));
                return tokens.concat();
            }
            Self::RepeatToken(at) => {
                let token = tokens[at.index(count)];
                tokens.insert(at.index(count), token);
                return tokens.concat();
            }
            Self::SwapTokens(one, other) => {
                tokens.swap(one.index(count), other.index(count));
                return tokens.concat();
            }
            Self::ReplaceToken(one, other) => {
                tokens[one.index(count)] = tokens[other.index(count)];
                return tokens.concat();
            }
        }
        bytes
    }
}

/// The tokens with the blanks between them: strings, comments up to the end of the line, single characters.
fn tokens(mut text: &[u8]) -> Vec<&[u8]> {
    let mut tokens = Vec::new();
    while let Some(&first) = text.first() {
        let rest = &text[1..];
        let length = match first {
            b'\'' => rest.iter().position(|&byte| byte == b'\'').map_or(text.len(), |end| end + 2),
            b'#' => rest.iter().position(|&byte| byte == b'\n').map_or(text.len(), |end| end + 2),
            _ if first.is_ascii_alphabetic() => {
                rest.iter().position(|byte| !byte.is_ascii_alphabetic()).map_or(text.len(), |end| end + 1)
            }
            _ => 1,
        };
        let (token, after) = text.split_at(length);
        tokens.push(token);
        text = after;
    }
    tokens
}
