//! The drivers `null-co` and `null-aio`, which differ in QEMU's depths only: they forget what is written, and take as long
//! as they are told to.

use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use qapi_schema::Error;

use super::{BlockDriver, DriverOptions, Reopening, unchangeable};

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullDriver {
    /// `null-co`
    Co,
    /// `null-aio`
    Aio,
}

/// The options of `null-co` and `null-aio`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NullOptions {
    /// Which of the two it is.
    pub driver: NullDriver,
    /// Size in bytes.
    pub size: u64,
    /// Time that each request takes.
    pub latency: Duration,
    /// Whether reads must return zeroes.
    pub read_zeroes: bool,
}

impl NullOptions {
    /// The size where none is given.
    pub const DEFAULT_SIZE: u64 = 1 << 30;
}

/// The driver `null-co`, or `null-aio`.
#[derive(Debug)]
pub struct NullCo {
    options: NullOptions,
}

impl NullCo {
    /// A disk without memory.
    pub const fn new(options: NullOptions) -> Self {
        Self { options }
    }

    /// Takes the time that each request takes: that is the purpose of the option.
    fn delay(&self) {
        if !self.options.latency.is_zero() {
            thread::sleep(self.options.latency);
        }
    }
}

impl BlockDriver for NullCo {
    fn name(&self) -> &'static str {
        match self.options.driver {
            NullDriver::Co => "null-co",
            NullDriver::Aio => "null-aio",
        }
    }

    fn filename(&self) -> String {
        format!("{}://", self.name())
    }

    /// Zeroes, also without `read-zeroes`: the buffer may hold what another client has read.
    fn read(&self, _offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.delay();
        buffer.fill(0);
        Ok(())
    }

    fn write(&self, _offset: u64, _data: &[u8]) -> io::Result<()> {
        self.delay();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.delay();
        Ok(())
    }

    fn discard(&self, _offset: u64, _length: u64) -> io::Result<()> {
        self.delay();
        Ok(())
    }

    fn write_zeroes(&self, _offset: u64, _length: u64, _unmap: bool) -> io::Result<()> {
        self.delay();
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.options.size)
    }

    fn truncate(&self, _length: u64) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "Image format driver does not support resize"))
    }

    fn allocated(&self) -> io::Result<Option<u64>> {
        Ok(Some(0))
    }

    fn next_data(&self, _from: u64) -> io::Result<Option<Range<u64>>> {
        Ok(None)
    }

    fn prepare_reopen(&self, options: &DriverOptions) -> Result<Reopening<'_>, Error> {
        let DriverOptions::NullCo(NullOptions { driver, size, latency, read_zeroes }) = options else {
            return Err(unchangeable("driver"));
        };
        if *driver != self.options.driver {
            return Err(unchangeable("driver"));
        }
        if *size != self.options.size {
            return Err(unchangeable("size"));
        }
        if *latency != self.options.latency {
            return Err(unchangeable("latency-ns"));
        }
        if *read_zeroes != self.options.read_zeroes {
            return Err(unchangeable("read-zeroes"));
        }
        Ok(Reopening::unchanged())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn reads_are_zeroes_and_take_their_time() {
        let driver = NullDriver::Co;
        let options = NullOptions { driver, size: 100, latency: Duration::from_millis(20), read_zeroes: false };
        let disk = NullCo::new(options);
        let mut buffer = [1; 10];
        let start = Instant::now();
        disk.read(0, &mut buffer).expect("read");
        assert!(start.elapsed() >= Duration::from_millis(20));
        assert_eq!(buffer, [0; 10]);
    }
}
