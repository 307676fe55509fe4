//! What was said over qtest, with the time since the client came: `-qtest-log`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

use parking_lot::Mutex;
use rustix::fs::{FileType, fstat, major, minor};

/// The device number of `/dev/null`.
const NULL: (u32, u32) = (1, 3);

/// Where the log goes, if anywhere.
#[derive(Debug)]
pub struct Log(Option<Mutex<Journal>>);

#[derive(Debug)]
struct Journal {
    sink: Sink,
    /// When the client came.
    start: Instant,
    /// One entry is written at once.
    entry: Vec<u8>,
}

#[derive(Debug)]
enum Sink {
    File(File),
    /// Whatever that is at the time: a daemon leaves that of the command behind.
    Stderr,
}

impl Log {
    /// No log.
    pub const fn none() -> Self {
        Self(None)
    }

    /// A log on standard error.
    pub fn stderr() -> Self {
        Self::to(Sink::Stderr)
    }

    /// A log in a new file; none for `none`.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn create(path: &str) -> io::Result<Self> {
        if path == "none" {
            return Ok(Self::none());
        }
        let file = File::create(Path::new(path))?;
        let state = fstat(file.as_fd())?;
        let is_null = FileType::from_raw_mode(state.st_mode) == FileType::CharacterDevice
            && (major(state.st_rdev), minor(state.st_rdev)) == NULL;
        Ok(if is_null { Self::none() } else { Self::to(Sink::File(file)) })
    }

    fn to(sink: Sink) -> Self {
        Self(Some(Mutex::new(Journal { sink, start: Instant::now(), entry: Vec::new() })))
    }

    /// Whether anything is written.
    pub const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A client came.
    pub fn opened(&self) {
        if let Some(journal) = &self.0 {
            let mut journal = journal.lock();
            journal.start = Instant::now();
            journal.enter("I ", &[b"OPENED"]);
        }
    }

    /// The client left.
    pub fn closed(&self) {
        self.enter("I +", b"CLOSED");
    }

    /// The client said this, without the line's end.
    pub fn received(&self, line: &[u8]) {
        self.enter("R +", line);
    }

    /// The client was told these lines.
    pub fn sent(&self, lines: &[u8]) {
        self.enter("S +", lines);
    }

    fn enter(&self, kind: &str, lines: &[u8]) {
        if let Some(journal) = &self.0 {
            let lines: Vec<_> = lines.strip_suffix(b"\n").unwrap_or(lines).split(|byte| *byte == b'\n').collect();
            journal.lock().enter(kind, &lines);
        }
    }
}

impl Journal {
    fn enter(&mut self, kind: &str, lines: &[&[u8]]) {
        let time = self.start.elapsed().as_secs_f64();
        self.entry.clear();
        for line in lines {
            // Writing to memory cannot fail.
            let _ = write!(self.entry, "[{kind}{time:.6}] ");
            self.entry.extend_from_slice(line);
            self.entry.push(b'\n');
        }
        // A log that cannot be written is no reason to leave the client.
        let _ = match &mut self.sink {
            Sink::File(file) => file.write_all(&self.entry),
            Sink::Stderr => io::stderr().write_all(&self.entry),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_log_has_each_line_with_its_direction_and_time() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("log");
        let log = Log::create(path.to_str().expect("UTF-8")).expect("created");
        log.opened();
        log.received(b"endianness");
        log.sent(b"IRQ raise 1\nOK little\n");
        log.closed();
        let text = fs::read_to_string(path).expect("written");
        let kinds: Vec<_> = text
            .lines()
            .map(|line| {
                let (time, rest) = line.split_once("] ").expect("a time");
                assert_eq!(time.split_once('.').map(|(_, digits)| digits.len()), Some(6), "{line}");
                (time.trim_end_matches(|digit: char| digit.is_ascii_digit() || digit == '.'), rest)
            })
            .collect();
        let (sent, received) = ("[S +", "[R +");
        let expected = [
            ("[I ", "OPENED"),
            (received, "endianness"),
            (sent, "IRQ raise 1"),
            (sent, "OK little"),
            ("[I +", "CLOSED"),
        ];
        assert_eq!(kinds, expected);
    }

    #[test]
    fn what_nobody_reads_is_not_written() {
        assert!(!Log::create("none").expect("none").is_on());
        assert!(!Log::create("/dev/null").expect("a device").is_on());
        assert!(Log::create("/dev/null/log").is_err());
    }
}
