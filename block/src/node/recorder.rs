//! A disk for tests, which tells what it was asked.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::Error;

use crate::driver::{BlockDriver, DriverOptions, Reopening};

/// A disk that tells what it was asked.
#[derive(Default)]
pub(crate) struct Recorder(Arc<Mutex<Vec<String>>>);

impl Recorder {
    /// What it was asked, up to now.
    pub(crate) fn record(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.0)
    }

    fn note(&self, text: impl Into<String>) -> io::Result<()> {
        self.0.lock().push(text.into());
        Ok(())
    }
}

impl BlockDriver for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }
    fn filename(&self) -> String {
        String::new()
    }
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.note(format!("read {offset} {}", buffer.len()))
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(format!("write {offset} {}", data.len()))
    }
    fn flush(&self) -> io::Result<()> {
        self.note("flush")
    }
    fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        self.note(format!("discard {offset} {length}"))
    }
    fn write_zeroes(&self, offset: u64, length: u64, unmap: bool) -> io::Result<()> {
        self.note(format!("zero {offset} {length} {unmap}"))
    }
    fn length(&self) -> io::Result<u64> {
        Ok(1000)
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn allocated(&self) -> io::Result<Option<u64>> {
        Ok(None)
    }
    fn next_data(&self, _: u64) -> io::Result<Option<Range<u64>>> {
        Ok(Some(100..900))
    }
    fn prepare_reopen(&self, _: &DriverOptions) -> Result<Reopening<'_>, Error> {
        Ok(Reopening::unchanged())
    }
}
