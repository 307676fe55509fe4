//! Tests of the handshake: what a client sends, and what it gets, byte for byte.

use super::*;
use crate::nbd::protocol::{
    NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, NBD_INFO_EXPORT, NBD_INFO_NAME, NBD_MAX_STRING, NBD_OPT_ABORT,
    NBD_OPT_EXPORT_NAME, NBD_OPT_GO, NBD_OPT_INFO, NBD_OPT_LIST, NBD_OPT_STARTTLS, NBD_REP_INFO, NBD_REP_MAGIC,
    NBD_REP_SERVER,
};
use proptest::collection::vec;
use proptest::prelude::*;

const BOTH: u32 = NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES;

struct Shelf;

impl Directory for Shelf {
    type Export = &'static str;

    fn find(&self, name: &str) -> Result<Self::Export, String> {
        match name {
            "thin" => Ok("thin"),
            "" => Ok(""),
            _ => Err("no such export".into()),
        }
    }

    fn offer(&self, export: &Self::Export) -> Offer {
        let description = (*export == "thin").then(|| "a disk".into());
        Offer { name: (*export).into(), description, terms: Terms { size: 0x1234, read_only: true } }
    }

    fn list(&self) -> Vec<(String, Option<String>)> {
        vec![("".into(), None), ("thin".into(), Some("a disk".into()))]
    }
}

/// What came of a whole conversation: the output without the greeting, and the last step.
fn talk(input: &[u8]) -> (Vec<u8>, Step<&'static str>) {
    talk_with(Tls::Off, input)
}

fn talk_with(tls: Tls, input: &[u8]) -> (Vec<u8>, Step<&'static str>) {
    let mut output = Vec::new();
    let mut negotiation = Negotiation::start(tls, &mut output);
    output.clear();
    let mut left = input;
    loop {
        let (taken, step) = negotiation.handle_input(left, &Shelf, &mut output);
        left = &left[taken..];
        // What the peer sends next would come over TLS.
        if !matches!(step, Step::Continue | Step::StartTls) {
            return (output, step);
        }
    }
}

fn flags(flags: u32) -> Vec<u8> {
    flags.to_be_bytes().into()
}

fn option(option: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    [&NBD_OPTS_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &length, data].concat()
}

fn choice(name: &[u8], information: &[u16]) -> Vec<u8> {
    let mut data = (name.len() as u32).to_be_bytes().to_vec();
    data.extend(name);
    data.extend((information.len() as u16).to_be_bytes());
    data.extend(information.iter().flat_map(|item| item.to_be_bytes()));
    data
}

fn reply(option: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u32).to_be_bytes();
    [&NBD_REP_MAGIC.to_be_bytes()[..], &option.to_be_bytes(), &kind.to_be_bytes(), &length, data].concat()
}

/// Checks what one option is answered with, up to the end of the error message if it is one.
fn answers(option: u32, data: &[u8], expected: &[u8]) {
    let (output, step) = talk(&[flags(BOTH), self::option(option, data)].concat());
    assert_eq!(step, Step::NeedMore);
    assert_eq!(output, expected);
}

fn refuses(option: u32, data: &[u8], kind: u32) {
    let (output, step) = talk(&[flags(BOTH), self::option(option, data)].concat());
    assert_eq!(step, Step::NeedMore);
    let header = reply(option, kind, &[]);
    assert_eq!(output[..16], header[..16], "option {option}: {output:x?}");
    assert!(output.len() > 20, "there is a message");
}

fn size_and_flags() -> Vec<u8> {
    let terms = Shelf.offer(&"thin").terms;
    [&terms.size.to_be_bytes()[..], &terms.flags().to_be_bytes()].concat()
}

fn info_export() -> Vec<u8> {
    [&NBD_INFO_EXPORT.to_be_bytes()[..], &size_and_flags()].concat()
}

#[test]
fn the_greeting_offers_fixed_newstyle_without_zeroes() {
    let mut output = Vec::new();
    Negotiation::start(Tls::Off, &mut output);
    assert_eq!(output, b"NBDMAGICIHAVEOPT\0\x03");
}

#[test]
fn go_describes_the_export_and_ends_the_handshake() {
    let (output, step) = talk(&[flags(BOTH), option(NBD_OPT_GO, &choice(b"thin", &[]))].concat());
    assert_eq!(step, Step::Transmission("thin"));
    let expected = [reply(NBD_OPT_GO, NBD_REP_INFO, &info_export()), reply(NBD_OPT_GO, NBD_REP_ACK, &[])];
    assert_eq!(output, expected.concat());
}

#[test]
fn info_tells_what_is_asked_for_and_goes_on() {
    let wanted = [NBD_INFO_BLOCK_SIZE, NBD_INFO_DESCRIPTION, 77, NBD_INFO_NAME];
    let block_size = [1_u32, 4096, 32 << 20].map(u32::to_be_bytes).concat();
    let expected = [
        reply(NBD_OPT_INFO, NBD_REP_INFO, &info_export()),
        reply(NBD_OPT_INFO, NBD_REP_INFO, b"\0\x01thin"),
        reply(NBD_OPT_INFO, NBD_REP_INFO, b"\0\x02a disk"),
        reply(NBD_OPT_INFO, NBD_REP_INFO, &[&[0, 3][..], &block_size].concat()),
        reply(NBD_OPT_INFO, NBD_REP_ACK, &[]),
    ];
    answers(NBD_OPT_INFO, &choice(b"thin", &wanted), &expected.concat());
}

#[test]
fn the_export_without_a_name_has_no_description() {
    let expected = [reply(NBD_OPT_INFO, NBD_REP_INFO, &info_export()), reply(NBD_OPT_INFO, NBD_REP_ACK, &[])];
    answers(NBD_OPT_INFO, &choice(b"", &[NBD_INFO_DESCRIPTION]), &expected.concat());
}

#[test]
fn list_names_every_export() {
    let expected = [
        reply(NBD_OPT_LIST, NBD_REP_SERVER, b"\0\0\0\0"),
        reply(NBD_OPT_LIST, NBD_REP_SERVER, b"\0\0\0\x04thina disk"),
        reply(NBD_OPT_LIST, NBD_REP_ACK, &[]),
    ];
    answers(NBD_OPT_LIST, b"", &expected.concat());
}

#[test]
fn abort_is_acknowledged_whatever_its_data() {
    let (output, step) = talk(&[flags(BOTH), option(NBD_OPT_ABORT, b"bye")].concat());
    assert_eq!(output, reply(NBD_OPT_ABORT, NBD_REP_ACK, &[]));
    assert_eq!(step, Step::Close(Farewell::Aborted));
}

#[test]
fn export_name_is_answered_with_or_without_zeroes() {
    let chosen = option(NBD_OPT_EXPORT_NAME, b"thin");
    let (output, step) = talk(&[flags(BOTH), chosen.clone()].concat());
    assert_eq!((output, step), (size_and_flags(), Step::Transmission("thin")));
    for old in [0, NBD_FLAG_C_FIXED_NEWSTYLE] {
        let (output, step) = talk(&[flags(old), chosen.clone()].concat());
        assert_eq!(output, [size_and_flags(), vec![0; 124]].concat());
        assert_eq!(step, Step::Transmission("thin"));
    }
}

#[test]
fn an_unknown_export_is_an_error_or_the_end() {
    for option in [NBD_OPT_INFO, NBD_OPT_GO] {
        answers(option, &choice(b"thick", &[]), &reply(option, NBD_REP_ERR_UNKNOWN, b"no such export"));
    }
    for name in [&b"thick"[..], b"\xff", b"th\0in"] {
        let (output, step) = talk(&[flags(BOTH), option(NBD_OPT_EXPORT_NAME, name)].concat());
        assert_eq!((output, step), (Vec::new(), Step::Close(Farewell::UnknownExport)));
    }
}

#[test]
fn the_client_may_try_again_after_an_error() {
    let input = [
        flags(BOTH),
        option(8, b""),
        option(NBD_OPT_GO, &choice(b"thick", &[])),
        option(NBD_OPT_LIST, b"x"),
        option(NBD_OPT_GO, &choice(b"thin", &[])),
    ];
    assert_eq!(talk(&input.concat()).1, Step::Transmission("thin"));
}

#[test]
fn options_that_are_not_offered_are_unsupported() {
    // Among them NBD_OPT_STRUCTURED_REPLY.
    for option in [0, 4, 8, 9, 10, 11, u32::MAX] {
        refuses(option, b"", NBD_REP_ERR_UNSUP);
        refuses(option, b"data", NBD_REP_ERR_UNSUP);
    }
}

/// Section "TLS support", the modes NOTLS and FORCEDTLS.
#[test]
fn tls_comes_first_or_never() {
    refuses(NBD_OPT_STARTTLS, b"", NBD_REP_ERR_POLICY);
    let kinds = |input: &[Vec<u8>]| {
        let (output, step) = talk_with(Tls::Required, &[&[flags(BOTH)], input].concat().concat());
        let mut kinds = Vec::new();
        let mut left = &output[..];
        while let [_, _, _, _, _, _, _, _, _, _, _, _, k0, k1, k2, k3, l0, l1, l2, l3, ..] = *left {
            kinds.push(u32::from_be_bytes([k0, k1, k2, k3]));
            left = &left[20 + u32::from_be_bytes([l0, l1, l2, l3]) as usize..];
        }
        (kinds, step)
    };
    let go = option(NBD_OPT_GO, &choice(b"thin", &[]));
    let start = option(NBD_OPT_STARTTLS, b"");
    let list = option(NBD_OPT_LIST, b"");
    let refused = kinds(&[list, go.clone(), option(8, b"")]);
    assert_eq!(refused, (vec![NBD_REP_ERR_TLS_REQD; 3], Step::NeedMore));
    assert_eq!(kinds(&[option(NBD_OPT_STARTTLS, b"x")]), (vec![NBD_REP_ERR_INVALID], Step::NeedMore));
    let chosen = kinds(&[start.clone(), start, go]);
    let expected = vec![NBD_REP_ACK, NBD_REP_ERR_INVALID, NBD_REP_INFO, NBD_REP_ACK];
    assert_eq!(chosen, (expected, Step::Transmission("thin")));
    let (_, step) = kinds(&[option(NBD_OPT_EXPORT_NAME, b"thin")]);
    assert!(matches!(step, Step::Close(Farewell::Violation(_))), "{step:?}");
    assert_eq!(kinds(&[option(NBD_OPT_ABORT, b"")]), (vec![NBD_REP_ACK], Step::Close(Farewell::Aborted)));
}

#[test]
fn malformed_options_are_invalid() {
    refuses(NBD_OPT_LIST, b"x", NBD_REP_ERR_INVALID);
    for option in [NBD_OPT_INFO, NBD_OPT_GO] {
        let good = choice(b"thin", &[NBD_INFO_NAME]);
        for length in 0..good.len() {
            refuses(option, &good[..length], NBD_REP_ERR_INVALID);
        }
        refuses(option, &[&good[..], b"x"].concat(), NBD_REP_ERR_INVALID);
        refuses(option, &choice(b"th\0in", &[]), NBD_REP_ERR_INVALID);
        refuses(option, &choice(b"th\xffin", &[]), NBD_REP_ERR_INVALID);
        refuses(option, &choice(&[b'x'; NBD_MAX_STRING + 1], &[]), NBD_REP_ERR_INVALID);
        refuses(option, &choice(&[b'x'; NBD_MAX_STRING], &[]), NBD_REP_ERR_UNKNOWN);
        refuses(option, &u32::MAX.to_be_bytes(), NBD_REP_ERR_INVALID);
    }
}

#[test]
fn an_option_that_is_too_long_is_skipped_and_refused() {
    refuses(NBD_OPT_GO, &vec![0; MAX_OPTION + 1], NBD_REP_ERR_TOO_BIG);
    let input = [flags(BOTH), option(9, &vec![0; 100_000]), option(NBD_OPT_GO, &choice(b"thin", &[]))];
    assert_eq!(talk(&input.concat()).1, Step::Transmission("thin"));
}

#[test]
fn what_breaks_the_protocol_ends_the_session() {
    let closes = |input: &[u8]| {
        let (output, step) = talk(input);
        assert!(matches!(step, Step::Close(Farewell::Violation(_))), "{step:?}");
        assert_eq!(output, b"");
    };
    closes(&flags(BOTH | 4));
    closes(&[flags(BOTH), vec![0; 16]].concat());
    closes(&[flags(0), option(NBD_OPT_LIST, b"")].concat());
}

#[test]
fn a_client_cannot_haggle_for_ever() {
    let list = option(NBD_OPT_LIST, b"");
    let (_, step) = talk(&[flags(BOTH), list.repeat(MAX_HANDSHAKE / list.len() + 1)].concat());
    assert_eq!(step, Step::Close(Farewell::Violation("too many options")));
    let (_, step) = talk(&[flags(BOTH), option(99, &vec![0; MAX_HANDSHAKE])].concat());
    assert_eq!(step, Step::Close(Farewell::Violation("too many options")));
}

#[test]
fn a_message_cut_short_anywhere_needs_more_and_then_goes_on() {
    let messages = [
        flags(BOTH),
        option(NBD_OPT_LIST, b""),
        option(NBD_OPT_INFO, &choice(b"thin", &[NBD_INFO_NAME])),
        option(5, b"data"),
        option(NBD_OPT_GO, &choice(b"thin", &[NBD_INFO_BLOCK_SIZE])),
    ];
    let mut output = Vec::new();
    let mut negotiation = Negotiation::start(Tls::Off, &mut output);
    for message in messages {
        for length in 0..message.len() {
            output.clear();
            let handled = negotiation.handle_input(&message[..length], &Shelf, &mut output);
            assert_eq!(handled, (0, Step::NeedMore));
            assert_eq!(output, b"");
        }
        let (taken, step) = negotiation.handle_input(&message, &Shelf, &mut output);
        assert_eq!(taken, message.len());
        assert!(matches!(step, Step::Continue | Step::Transmission("thin")));
    }
}

/// Pieces of a conversation, some of them damaged.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        (0..12_u32, vec(any::<u8>(), 0..40)).prop_map(|(kind, data)| option(kind, &data)),
        (6..8_u32, prop_oneof![Just("thin"), Just("thick")], vec(0..5_u16, 0..4))
            .prop_map(|(kind, name, wanted)| option(kind, &choice(name.as_bytes(), &wanted))),
    ];
    (vec(piece, 0..8), prop_oneof![Just(BOTH), any::<u32>()])
        .prop_map(|(pieces, client)| [flags(client), pieces.concat()].concat())
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_arrive(input in pieces(), chunk in 1..50_usize) {
        let at_once = talk(&input);

        let mut output = Vec::new();
        let mut negotiation = Negotiation::start(Tls::Off, &mut output);
        output.clear();
        let (mut held, mut last) = (Vec::new(), Step::NeedMore);
        for arrived in input.chunks(chunk) {
            held.extend(arrived);
            last = Step::Continue;
            while last == Step::Continue {
                let (taken, step) = negotiation.handle_input(&held, &Shelf, &mut output);
                held.drain(..taken);
                last = step;
            }
            if last != Step::NeedMore {
                break;
            }
        }
        prop_assert_eq!((output, last), at_once);
    }
}
