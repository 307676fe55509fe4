//! The handshake of NBD: it ends or waits for more, says no more than an option is worth, and does not care how its
//! input is cut.

use block::nbd::negotiation::{Directory, Negotiation, Offer, Step, Tls};
use block::nbd::transmission::Terms;

/// The longest message that has to be complete before it is answered.
const LONGEST_MESSAGE: usize = 16 + (8 << 10);

/// Enough for what one option is answered by [`Shelf`].
const LONGEST_ANSWER: usize = 400;

/// Two exports, one of them without a name.
struct Shelf;

impl Directory for Shelf {
    type Export = &'static str;

    fn find(&self, name: &str) -> Result<Self::Export, String> {
        ["", "thin"].into_iter().find(|known| *known == name).ok_or_else(|| "no such export".into())
    }

    fn offer(&self, export: &Self::Export) -> Offer {
        let description = (*export == "thin").then(|| "a disk".into());
        Offer { name: (*export).into(), description, terms: Terms { size: 1 << 20, read_only: export.is_empty() } }
    }

    fn list(&self) -> Vec<(String, Option<String>)> {
        vec![(String::new(), None), ("thin".into(), Some("a disk".into()))]
    }
}

/// A client that says `input`.
pub fn nbd_handshake(input: &[u8]) {
    for tls in [Tls::Off, Tls::Required, Tls::On] {
        let whole = talk(tls, input, usize::MAX);
        for chunk in [1, 7] {
            assert_eq!(whole, talk(tls, input, chunk), "in reads of {chunk}");
        }
    }
}

/// What such a client is told, how much of it was taken, and how it ended, if it did.
fn talk(tls: Tls, input: &[u8], chunk: usize) -> (Vec<u8>, usize, Option<Step<&'static str>>) {
    let mut output = Vec::new();
    let mut negotiation = Negotiation::start(tls, &mut output);
    let greeting = output.len();
    let mut taken = 0;
    let mut received = 0;
    loop {
        let (length, step) = negotiation.handle_input(&input[taken..received], &Shelf, &mut output);
        taken += length;
        assert!(output.len() <= greeting + (taken / 16 + 1) * LONGEST_ANSWER, "too much is said");
        match step {
            Step::Continue => assert!(length > 0, "it goes on and on"),
            Step::NeedMore => {
                assert_eq!(length, 0, "part of a message was taken");
                assert!(received - taken < LONGEST_MESSAGE, "it waits for more than it looks at");
                if received == input.len() {
                    return (output, taken, None);
                }
                received = input.len().min(received.saturating_add(chunk));
            }
            Step::StartTls | Step::Transmission(_) | Step::Close(_) => return (output, taken, Some(step)),
        }
    }
}
