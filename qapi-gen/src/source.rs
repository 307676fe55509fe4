//! The schema's source files and places in them, so that every later stage can say where something stands.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file among [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

impl FileId {
    /// Its number among the files.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A stretch of one line of a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// The line, counted from 1.
    pub line: u32,
    /// Offset in bytes of the first byte.
    pub start: u32,
    /// Offset in bytes after the last byte.
    pub end: u32,
}

/// One schema file.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: Arc<str>,
    included_at: Option<Span>,
}

/// Every file that was read, in the order in which they were first included.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// Why a file is no source.
#[derive(Debug)]
pub enum Unreadable {
    /// It cannot be read, or is nothing that has a content.
    Io(io::Error),
    /// It is longer than any schema.
    TooLong,
    /// It is not UTF-8; the file was added up to the offending byte, which is here.
    NotUtf8(Span),
}

/// Forty times QEMU's whole schema, and few enough for offsets of 32 bits.
pub const MAX_LENGTH: u64 = 32 << 20;

impl Sources {
    /// Reads a file, included at the given place.
    ///
    /// # Errors
    /// It cannot be read, or does not hold text.
    pub fn read(&mut self, path: &Path, included_at: Option<Span>) -> Result<FileId, Unreadable> {
        let bytes = contents(path)?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(self.add(path.to_owned(), &text, included_at)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes().get(..valid).unwrap_or_default());
                let file = self.add(path.to_owned(), &text, included_at);
                Err(Unreadable::NotUtf8(self.end(file)))
            }
        }
    }

    /// Adds a text as if it were read from `path`. However its lines end, they end with `\n` from here on.
    pub fn add(&mut self, path: PathBuf, text: &str, included_at: Option<Span>) -> FileId {
        let text = match text.contains('\r') {
            true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
            false => Cow::Borrowed(text),
        };
        let file = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path, text: text.into(), included_at });
        file
    }

    /// The files, in the order in which they were first included.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        (0..).map(FileId).zip(&self.files)
    }

    /// One file.
    pub fn file(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.index())
    }

    /// The name of a file, as it was given or as the including file's name makes it.
    pub fn path(&self, file: FileId) -> &Path {
        self.file(file).map_or(Path::new(""), Source::path)
    }

    /// The text of a file.
    pub fn text(&self, file: FileId) -> Arc<str> {
        self.file(file).map_or_else(|| "".into(), |source| Arc::clone(&source.text))
    }

    /// Where `file` was included, where that file was included, and so on up to the first file.
    pub fn include_chain(&self, file: FileId) -> impl Iterator<Item = Span> {
        let included_at = move |file| self.file(file).and_then(|source| source.included_at);
        std::iter::successors(included_at(file), move |at| included_at(at.file))
    }

    /// The whole line in which `span` stands, without its end.
    pub fn line(&self, span: Span) -> &str {
        let (start, end) = self.line_bounds(span);
        self.file(span.file).and_then(|source| source.text.get(start..end)).unwrap_or_default()
    }

    /// The column of the first character, counted from 1 in characters.
    pub fn column(&self, span: Span) -> usize {
        let (start, _) = self.line_bounds(span);
        let before = self.file(span.file).and_then(|source| source.text.get(start..span.start as usize));
        before.map_or(1, |before| before.chars().count() + 1)
    }

    /// How many characters it has.
    pub fn width(&self, span: Span) -> usize {
        let text = self.file(span.file).and_then(|source| source.text.get(span.start as usize..span.end as usize));
        text.map_or(0, |text| text.chars().count())
    }

    fn line_bounds(&self, span: Span) -> (usize, usize) {
        let Some(source) = self.file(span.file) else {
            return (0, 0);
        };
        let (text, at) = (source.text.as_bytes(), span.start as usize);
        let (before, after) = text.split_at_checked(at).unwrap_or((text, &[]));
        let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let end = after.iter().position(|&byte| byte == b'\n').map_or(text.len(), |newline| at + newline);
        (start, end)
    }

    fn end(&self, file: FileId) -> Span {
        let text = self.text(file);
        let line = text.bytes().filter(|&byte| byte == b'\n').count() + 1;
        let [line, end] = [line, text.len()].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Span { file, line, start: end, end }
    }
}

/// The bytes of a file.
fn contents(path: &Path) -> Result<Vec<u8>, Unreadable> {
    // Asked before opening, since opening a FIFO waits for its writer.
    let metadata = fs::metadata(path).map_err(Unreadable::Io)?;
    if metadata.is_dir() {
        return Err(Unreadable::Io(io::ErrorKind::IsADirectory.into()));
    }
    if !metadata.is_file() && !is_harmless(path) {
        return Err(Unreadable::Io(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Unreadable::Io)?;
    // Not every file knows its length.
    file.take(MAX_LENGTH + 1).read_to_end(&mut bytes).map_err(Unreadable::Io)?;
    if bytes.len() as u64 > MAX_LENGTH { Err(Unreadable::TooLong) } else { Ok(bytes) }
}

/// Whether what is no regular file can be read without waiting for somebody to come: it is empty, or open already, as
/// standard input is and what a shell makes of `<(command)`.
fn is_harmless(path: &Path) -> bool {
    ["/dev/null", "/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|prefix| path.starts_with(prefix))
}

impl Source {
    /// The name, as it was given or as the including file's name makes it.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_knows_its_line_and_column() {
        let mut sources = Sources::default();
        let file = sources.add("a.json".into(), "one\ntw\u{f6} three\n", None);
        let three = Span { file, line: 2, start: 9, end: 14 };
        assert_eq!(sources.line(three), "tw\u{f6} three");
        assert_eq!(sources.column(three), 5);
    }

    #[test]
    fn the_include_chain_starts_with_the_nearest_file() {
        let mut sources = Sources::default();
        let first = sources.add("a.json".into(), "a", None);
        let in_first = Span { file: first, line: 1, start: 0, end: 1 };
        let second = sources.add("b.json".into(), "b", Some(in_first));
        let in_second = Span { file: second, ..in_first };
        let third = sources.add("c.json".into(), "c", Some(in_second));
        assert_eq!(sources.include_chain(third).collect::<Vec<_>>(), [in_second, in_first]);
    }

    #[test]
    fn lines_end_in_one_way() {
        let mut sources = Sources::default();
        let file = sources.add("a.json".into(), "one\r\ntwo\rthree\n", None);
        assert_eq!(&*sources.text(file), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_directory_is_no_source() {
        let read = Sources::default().read(&std::env::temp_dir(), None);
        assert!(matches!(read, Err(Unreadable::Io(_))));
    }
}
