//! The options of a node that hold for every driver, readable by every request without a lock.

use std::sync::atomic::{AtomicU8, Ordering};

use qapi_schema::block_core::BlockdevDetectZeroesOptions;
pub use qapi_schema::block_core::BlockdevDiscardOptions as Discard;

/// The options of a node that hold for every driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Writes are refused, with EPERM as QEMU does.
    pub read_only: bool,
    /// What is done with discard requests.
    pub discard: Discard,
    /// What is done with writes of zeroes.
    pub detect_zeroes: BlockdevDetectZeroesOptions,
    /// Flushes are ignored.
    pub no_flush: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            read_only: false,
            discard: Discard::Ignore,
            detect_zeroes: BlockdevDetectZeroesOptions::Off,
            no_flush: false,
        }
    }
}

/// Settings that are read by requests while a reopen changes them.
#[derive(Debug)]
pub(super) struct SharedSettings(AtomicU8);

const READ_ONLY: u8 = 1;
const UNMAP: u8 = 2;
const DETECT_ZEROES: u8 = 4;
const UNMAP_ZEROES: u8 = 8;
const NO_FLUSH: u8 = 16;

impl SharedSettings {
    pub(super) fn new(settings: Settings) -> Self {
        Self(AtomicU8::new(encode(settings)))
    }

    pub(super) fn load(&self) -> Settings {
        decode(self.0.load(Ordering::Acquire))
    }

    pub(super) fn store(&self, settings: Settings) {
        self.0.store(encode(settings), Ordering::Release);
    }
}

fn encode(settings: Settings) -> u8 {
    let Settings { read_only, discard, detect_zeroes, no_flush } = settings;
    let discard = match discard {
        Discard::Ignore => 0,
        Discard::Unmap => UNMAP,
    };
    let detect_zeroes = match detect_zeroes {
        BlockdevDetectZeroesOptions::Off => 0,
        BlockdevDetectZeroesOptions::On => DETECT_ZEROES,
        BlockdevDetectZeroesOptions::Unmap => UNMAP_ZEROES,
    };
    let flag = |set, bit| if set { bit } else { 0 };
    flag(read_only, READ_ONLY) | discard | detect_zeroes | flag(no_flush, NO_FLUSH)
}

fn decode(bits: u8) -> Settings {
    let has = |bit| bits & bit != 0;
    Settings {
        read_only: has(READ_ONLY),
        discard: if has(UNMAP) { Discard::Unmap } else { Discard::Ignore },
        detect_zeroes: match (has(DETECT_ZEROES), has(UNMAP_ZEROES)) {
            (false, false) => BlockdevDetectZeroesOptions::Off,
            (true, _) => BlockdevDetectZeroesOptions::On,
            (false, true) => BlockdevDetectZeroesOptions::Unmap,
        },
        no_flush: has(NO_FLUSH),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let shared = SharedSettings::new(Settings::default());
        for discard in [Discard::Ignore, Discard::Unmap] {
            for &detect_zeroes in BlockdevDetectZeroesOptions::ALL {
                for flags in 0..4 {
                    let (read_only, no_flush) = (flags & 1 != 0, flags & 2 != 0);
                    let settings = Settings { read_only, discard, detect_zeroes, no_flush };
                    shared.store(settings);
                    assert_eq!(shared.load(), settings);
                }
            }
        }
    }
}
