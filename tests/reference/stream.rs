//! Bytes: tokens, what can be none, and how the parser recovers.

use crate::conversation::{Mode, assert_agree};

/// What is no value, or one among others.
const INPUTS: &[&[u8]] = &[
    // Nothing, and space.
    b"",
    b" \t\r\n",
    // Values that are no objects.
    b"1 ",
    b"-0 ",
    b"1.5 ",
    b"true ",
    b"false{}",
    b"null[]",
    b"'x'",
    b"\"x\"",
    b"[]",
    b"[1, [2, {}], 'x']",
    // Several of them at once, with nothing between.
    b"{}{}[]''",
    b"{}1 {}true{}'x'",
    b"1 2 3 ",
    // Words.
    b"nonsense ",
    b"nul ",
    b"nulll ",
    b"True ",
    b"NaN ",
    b"Infinity ",
    b"-Infinity ",
    b"true1 ",
    b"true_ ",
    b"undefined\n{}",
    // Numbers that are none.
    b"01 ",
    b"-01 ",
    b"00 ",
    b"+1 ",
    b".5 ",
    b"1. ",
    b"1.e5 ",
    b"1e ",
    b"1e+ ",
    b"1E-x ",
    b"- ",
    b"--1 ",
    b"-a ",
    b"0x10 ",
    b"1_000 ",
    b"1a ",
    b"1e5x ",
    b"0e1 ",
    b"-0e1 ",
    b"0.0e1 ",
    b"1e400 ",
    b"-1e400 ",
    b"[1e400]",
    b"{'execute': 'query-version', 'arguments': {'x': 1e400}, 'id': 1}",
    b"{'execute': 'blockdev-add', 'arguments': {'driver': 'null-co', 'node-name': 'a', 'size': 1e400}}",
    // Strings that are none.
    b"'\\q'",
    b"'\\u'",
    b"'\\u1'",
    b"'\\u12'",
    b"'\\u123'",
    b"'\\u12g4'",
    b"'\\u+123'",
    b"'\\U0041'",
    b"'\\x41'",
    b"'\\0'",
    b"'\\\n'",
    b"'a\nb'",
    b"'a\tb'",
    b"'a\0b'",
    b"'unterminated",
    b"\"unterminated'",
    b"'it\\'s'",
    b"\"it's\"",
    b"'\"'",
    b"'\\",
    // UTF-8: overlong, surrogates, beyond Unicode, cut off, noncharacters, alone.
    b"'\xc0\x80'",
    b"'\xc0\xaf'",
    b"'\xc1\xbf'",
    b"'\xe0\x80\xaf'",
    b"'\xe0\x9f\xbf'",
    b"'\xf0\x80\x80\xaf'",
    b"'\xf0\x8f\xbf\xbf'",
    b"'\xf8\x88\x80\x80\x80'",
    b"'\xfc\x84\x80\x80\x80\x80'",
    b"'\xed\xa0\x80'",
    b"'\xed\xbf\xbf'",
    b"'\xed\xa0\x80\xed\xb0\x80'",
    b"'\xf4\x8f\xbf\xbd'",
    b"'\xf4\x8f\xbf\xbf'",
    b"'\xf4\x90\x80\x80'",
    b"'\xf7\xbf\xbf\xbf'",
    b"'\x80'",
    b"'\xbf'",
    b"'\xc3'",
    b"'\xc3 '",
    b"'\xe2\x82'",
    b"'\xe2\x82x'",
    b"'\xf0\x9f\xa7'",
    b"'\xef\xbf\xbd'",
    b"'\xef\xbf\xbe'",
    b"'\xef\xbf\xbf'",
    b"'\xef\xb7\x90'",
    b"'\xef\xb7\xaf'",
    b"'\xfe'",
    b"'\xff'",
    // Escaped surrogates and noncharacters.
    b"'\\ud800'",
    b"'\\udc00'",
    b"'\\ud800\\u0041'",
    b"'\\ud800\\ud800'",
    b"'\\udc00\\ud800'",
    b"'\\ud83e\\uddc0'",
    b"'\\ud83f\\udfff'",
    b"'\\uffff'",
    b"'\\ufffe'",
    b"'\\ufdd0'",
    b"'\\u0000'",
    // Tokens in the wrong order.
    b"}",
    b"]",
    b":",
    b",",
    b"}}",
    b"{]",
    b"[}",
    b"{[}]",
    b"[{]}",
    b"{,}",
    b"[,]",
    b"[1,]",
    b"[1 2]",
    b"[1:2]",
    b"[,1]",
    b"{'a'}",
    b"{'a':}",
    b"{'a':1,}",
    b"{'a':1 'b':2}",
    b"{'a' 1}",
    b"{'a'::1}",
    b"{'a':1:2}",
    b"{,'a':1}",
    b"{1:2}",
    b"{null:2}",
    b"{[]:2}",
    b"{{}:2}",
    b"{'a':1}}",
    b"[1]]",
    b"{'a':[}",
    b"{'a':[}]}",
    b"{'execute'}",
    // Duplicate keys.
    b"{'a':1,'a':1}",
    b"{'a':1,'\\u0061':2}",
    b"{'id':1,'id':2}",
    b"[{'a':1,'a':2}]",
    b"{'x':{'a':1,'a':2}}",
    b"{'a':1,'a':'\\q'}",
    b"{'a':1,'a' 1}",
    // Of two errors at one place, that in the order of the tokens.
    b"[1 nonsense]",
    b"[1 '\\q']",
    b"[1 [nonsense]]",
    b"{'a' nonsense}",
    b"{'a' '\xff'}",
    b"{'a' {nonsense}}",
    b"{'a':1 nonsense}",
    b"{nonsense 1}",
    b"{['\\q']:1}",
    // An error in the middle of an object is told once, at its end; of the lexer, at once.
    b"{'a' 'b' 'c' 'd'} 1 ",
    b"{'x': ['\\q'], 'y': [}]} {}",
    b"{'x': @, 'y': 1}",
    b"{'x': nonsense, 'y': 1}",
    b"{'execute': @@}",
    b"@{}",
    b"@@@@{}",
    b"@ x y {}",
    b"@\n{}",
    b"@\t{}",
    b"@\"{}\"",
    b"%}{}",
    b"%]{}",
    b"%:{}",
    b"%,{}",
    b"#!/bin/sh\n{}",
    b"<xml a='b'/>{}",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    // What resets the parser.
    b"{'a': [\xff{}",
    b"{'a': 'b\xff{}",
    b"{'a': [\xfe{}",
    b"{'a': [\x00{}",
    b"{'a': [\x1b{}",
    b"{'a': [\x7f{}",
    b"{'a': 12\xff{}",
    b"{'a': tru\xff{}",
    b"\xff\xff\xff",
    b"\xc3\xa4{}",
];

#[test]
fn tokens_and_what_is_none() {
    let inputs: Vec<_> = INPUTS.iter().map(|input| input.to_vec()).collect();
    assert_agree(&[Mode::Plain, Mode::Negotiation, Mode::Oob], &inputs);
}

/// Every byte in every state of the lexer.
#[test]
fn every_byte_everywhere() {
    let before: [&[u8]; 14] =
        [b"", b"'", b"\"a", b"'\\", b"t", b"true", b"-", b"0", b"12", b"1.", b"1.5", b"1e", b"1e+", b"1e5"];
    let after: [&[u8]; 2] = [b" {'id': 1}", b"x'\" {'id': 2}"];
    let inputs = before.iter().flat_map(|before| {
        after.iter().flat_map(move |after| (0..=255).map(move |byte| [before, [byte].as_slice(), after].concat()))
    });
    assert_agree(&[Mode::Plain], &inputs.collect::<Vec<_>>());
}

/// The limits: brackets open at once, and tokens in one item.
#[test]
fn nesting_and_tokens_are_limited() {
    let nested = |open: &str, depth, close: &str| [open.repeat(depth), close.repeat(depth)].concat().into_bytes();
    let mut inputs: Vec<_> = [1, 512, 1023, 1024, 1025, 1026, 1100, 3000].map(|depth| nested("[", depth, "]")).into();
    inputs.extend(
        [512, 1023, 1024].map(|depth| [nested("{'a':", depth, ""), b"1".to_vec(), b"}".repeat(depth)].concat()),
    );
    inputs.extend([1024, 1025, 1100].map(|depth| nested("{'a':", depth, "}")));
    inputs.push(b"[".repeat(5000));
    inputs.push(nested("[{'a':", 512, "}]"));
    let within = [b"[".to_vec(), b"1,".repeat((1 << 20) - 2), b"1]".to_vec()].concat();
    let beyond = [b"[".to_vec(), b"1,".repeat(1 << 20), b"1] {'id': 1}".to_vec()].concat();
    inputs.extend([within, beyond]);
    assert_agree(&[Mode::Plain], &inputs);
}
