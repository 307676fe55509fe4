//! What the demo shows: lines that come whole, with colours on a terminal only.

use std::env;
use std::io::{self, IsTerminal, Write};

const BOLD: &str = "1";
const DIM: &str = "2";
const BLUE: &str = "34";
const GREEN: &str = "32";
const CYAN: &str = "36";

/// Standard output.
pub struct Screen {
    colours: bool,
}

impl Screen {
    /// Colours on a terminal, unless `NO_COLOR` (no-color.org) asks for none.
    pub fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && io::stdout().is_terminal() }
    }

    /// A heading.
    pub fn scene(&self, text: &str) {
        self.line(&format!("\n{}", self.paint(BOLD, text)));
    }

    /// What a client said or heard.
    pub fn said(&self, who: &str, arrow: &str, text: &str) {
        let colour = if arrow == "->" { BLUE } else { GREEN };
        self.line(&format!("{} {} {text}", self.paint(DIM, &format!("{who:<5}")), self.paint(colour, arrow)));
    }

    /// What the guest did.
    pub fn guest(&self, text: &str) {
        self.line(&format!("{} {}", self.paint(DIM, "guest"), self.paint(CYAN, text)));
    }

    /// Anything else.
    pub fn line(&self, text: &str) {
        // A reader that went away (`| head`) ends the showing, not the demo.
        let _ = writeln!(io::stdout().lock(), "{text}");
    }

    fn paint(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Bytes as mebibytes with one decimal.
pub fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}
