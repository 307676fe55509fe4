//! Protocol scripts: their language, read into steps. `README.md` beside this file shows it by examples.
//!
//! ```text
//! # comment                         the first line says what the scene shows
//! $ OPTION...                       options of the daemon; a long value may go on after a comma
//! file NAME SIZE                    a sparse file in {dir}, made before the daemon starts
//! fifo NAME                         a FIFO there
//! write NAME "TEXT"                 somebody writes these bytes to a file or FIFO there, once the daemon has opened that
//! [CLIENT:] -> JSON                 a QMP client sends this
//! [CLIENT:] <- PATTERN              this is the next message that it receives
//! [CLIENT:] <~ PATTERN              this comes, too, before, among or after the messages expected next
//! [CLIENT:] <? PATTERN              this comes next, if need be after the client has asked the same again and again
//! [CLIENT:] => "TEXT"               it sends these bytes, escaped as in Rust: \n \r \t \0 \\ \" \xNN
//! [CLIENT:] N times => "TEXT"       it sends them N times
//! [CLIENT:] skip to PATTERN         what comes before such a message is thrown away; it is received next
//! [CLIENT:] pass FILE [ro] [gone]   what it sends next comes with a descriptor of this file: for reading only if `ro`;
//!                                   the file has no name any more if `gone`
//! CLIENT: connect | open            a further client comes, and negotiates, or does not
//! CLIENT: connect to SOCKET         to another socket in {dir}
//! CLIENT: disconnect | closed       it leaves, or is left
//! guest GUEST on EXPORT             an NBD client comes
//! guest GUEST on virtio N           a driver takes the machine's Nth disk into service, counted from 0
//! GUEST: read OFFSET LENGTH         it starts a request
//! GUEST: write OFFSET LENGTH BYTE [fua]
//! GUEST: zero OFFSET LENGTH [fua] [unmap]
//! GUEST: trim OFFSET LENGTH
//! GUEST: flush
//! GUEST: ok [BYTE] | error NAME     its oldest request is answered: with nothing but BYTEs, with this error
//! GUEST: waits                      none of its requests has been answered yet
//! GUEST: disconnect | closed        it leaves, or is left; a driver resets its disk
//! qtest: LINE [= VALUE | ! REASON]  a line of the qtest protocol, answered by OK, with this value, or by FAIL
//! qtest: raise N | lower N          an intercepted interrupt changes
//! ```
//!
//! A line that starts with a blank belongs to the one before. `{dir}` is a directory of the script's own, where the
//! daemon runs. A client that has no name is `mgmt`, which is connected from the start, unless the script says when.
//! Sizes may end in `k` or `M`. With a `qtest:` line or a guest on virtio the daemon is a machine whose clock stands still.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use block::request::Operation;

use crate::machine::QtestAction;
use crate::pattern::Pattern;

/// A scene.
#[derive(Debug)]
pub struct Script {
    /// Options of the daemon.
    pub options: Vec<String>,
    /// Sparse files: name and size.
    pub files: Vec<(String, u64)>,
    /// FIFOs, by name.
    pub fifos: Vec<String>,
    /// What happens.
    pub steps: Vec<Step>,
    /// The daemon is a machine, driven over qtest.
    pub is_machine: bool,
    /// The exit status of the daemon.
    pub status: i32,
}

/// A step with its place, for messages.
#[derive(Debug)]
pub struct Step {
    /// The file.
    pub file: String,
    /// The line in it.
    pub line: usize,
    /// Who does, or undergoes, what.
    pub action: Action,
}

/// Who does, or undergoes, what.
#[derive(Debug, PartialEq)]
pub enum Action {
    /// A QMP client.
    Client(String, ClientAction),
    /// A guest.
    Guest(String, GuestAction),
    /// Somebody who opens a file of this name, unless he has, and then writes and closes it if there is a text.
    Writer(String, Option<Vec<u8>>),
    /// The hardware.
    Qtest(QtestAction),
}

/// What a QMP client does, or expects.
#[derive(Debug, PartialEq)]
pub enum ClientAction {
    /// Connects and negotiates.
    Connect,
    /// The same at another socket.
    ConnectTo(String),
    /// Connects.
    Open,
    /// Closes its connection.
    Disconnect,
    /// Expects its connection to be closed.
    Closed,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Opens a file whose descriptor goes with what is sent next.
    Pass {
        /// Its path.
        path: PathBuf,
        /// Not for writing.
        read_only: bool,
        /// And removes its name.
        gone: bool,
    },
    /// Expects the next message.
    Receive(Pattern),
    /// Expects a message among those that come.
    ReceiveAmong(Pattern),
    /// Throws away what comes before such a message.
    SkipTo(Pattern),
    /// Expects the next message, and sends the last request again as long as it gets another.
    ReceiveAtLast(Pattern),
}

/// What a guest does, or expects: an NBD client, or the driver of a disk.
#[derive(Debug, PartialEq)]
pub enum GuestAction {
    /// Connects to an export.
    Connect(String),
    /// Takes this disk of the machine into service.
    Drive(usize),
    /// Closes its connection.
    Disconnect,
    /// Expects its connection to be closed.
    Closed,
    /// Starts a request.
    Start(Operation),
    /// Expects its oldest request to succeed, and what was read to be nothing but this byte.
    Ok(Option<u8>),
    /// Expects its oldest request to fail with this errno.
    Error(i32),
    /// Expects that none of its requests was answered.
    Waits,
}

/// The QMP client that needs no name.
pub const MGMT: &str = "mgmt";

impl Script {
    /// Reads a script whose `{dir}` is `directory`. The error says where it is wrong.
    pub fn parse(file: &str, text: &str, directory: &Path) -> Result<Self, String> {
        let text = text.replace("{dir}", &directory.display().to_string());
        if !text.starts_with("# ") {
            return Err(format!("{file}:1: the first line does not say what the scene shows"));
        }
        let mut parser = Parser::default();
        for (line, text) in logical_lines(&text, 1) {
            parser.line(file, line, &text).map_err(|error| format!("{file}:{line}: {error}"))?;
        }
        Ok(parser.script)
    }

    /// Reads an example of the schema: `->` and `<-` only, in a file where it starts at `line`.
    pub fn parse_example(file: &str, line: usize, text: &str) -> Result<Self, String> {
        let mut parser = Parser::default();
        for (line, text) in logical_lines(text, line) {
            let step = parser.client(MGMT, &text).map_err(|error| format!("{file}:{line}: {error}"))?;
            parser.script.steps.push(Step { file: file.into(), line, action: step });
        }
        Ok(parser.script)
    }
}

/// Lines with their continuations, and their numbers, without those that say nothing.
fn logical_lines(text: &str, first: usize) -> Vec<(usize, String)> {
    let mut logical: Vec<(usize, String)> = Vec::new();
    for (line, text) in
        (first..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty() && !text.starts_with('#'))
    {
        match logical.last_mut() {
            Some((_, before)) if text.starts_with(' ') => *before += &format!("\n{text}"),
            Some(_) | None => logical.push((line, text.trim_end().to_owned())),
        }
    }
    logical
}

struct Parser {
    script: Script,
    guests: HashSet<String>,
}

impl Default for Parser {
    fn default() -> Self {
        let (options, files, fifos, steps) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let script = Script { options, files, fifos, steps, is_machine: false, status: 0 };
        Self { script, guests: HashSet::new() }
    }
}

impl Parser {
    fn line(&mut self, file: &str, line: usize, text: &str) -> Result<(), String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let action = match (word, word.strip_suffix(':')) {
            ("$", _) => {
                // A long value goes on after a comma.
                let lines = rest.lines().map(|line| line.trim_start().to_owned());
                let text = lines.map(|line| if line.ends_with(',') { line } else { line + " " }).collect::<String>();
                self.script.options.extend(text.split_whitespace().map(str::to_owned));
                return Ok(());
            }
            ("file", _) => {
                let [name, size] = words(rest)?;
                self.script.files.push((name.into(), number(size)?));
                return Ok(());
            }
            ("fifo", _) => {
                let [name] = words(rest)?;
                self.script.fifos.push(name.into());
                return Ok(());
            }
            ("ends", _) => {
                let status = rest.strip_prefix("with ").ok_or("expected: ends with STATUS")?;
                self.script.status = status.parse().map_err(|error| format!("{status}: {error}"))?;
                return Ok(());
            }
            ("write", _) => {
                let (name, text) = rest.split_once(' ').ok_or("expected: write NAME \"TEXT\"")?;
                Action::Writer(name.into(), Some(unescape(text)?))
            }
            ("hold", _) => {
                let [name] = words(rest)?;
                Action::Writer(name.into(), None)
            }
            ("guest", _) => {
                let (name, action) = match rest.split_whitespace().collect::<Vec<_>>()[..] {
                    [name, "on", "virtio", disk] => (name, GuestAction::Drive(number(disk)? as usize)),
                    [name, "on", export] => (name, GuestAction::Connect(export.into())),
                    _ => return Err("expected: guest GUEST on EXPORT, or: guest GUEST on virtio N".into()),
                };
                self.script.is_machine |= matches!(action, GuestAction::Drive(_));
                self.guests.insert(name.into());
                Action::Guest(name.into(), action)
            }
            ("qtest:", _) => {
                self.script.is_machine = true;
                Action::Qtest(QtestAction::parse(rest)?)
            }
            (_, Some(name)) if self.guests.contains(name) => Action::Guest(name.into(), guest(rest)?),
            (_, Some(name)) => self.client(name, rest)?,
            (_, None) => self.client(MGMT, text)?,
        };
        self.script.steps.push(Step { file: file.into(), line, action });
        Ok(())
    }

    fn client(&self, name: &str, text: &str) -> Result<Action, String> {
        let (verb, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let action = match (verb, rest) {
            ("->", json) => ClientAction::Send(json.trim().as_bytes().to_vec()),
            ("=>", text) => ClientAction::Send(unescape(text)?),
            ("<-", pattern) => ClientAction::Receive(Pattern::parse(pattern)?),
            ("<~", pattern) => ClientAction::ReceiveAmong(Pattern::parse(pattern)?),
            ("<?", pattern) => ClientAction::ReceiveAtLast(Pattern::parse(pattern)?),
            ("skip", pattern) if pattern.starts_with("to ") => ClientAction::SkipTo(Pattern::parse(&pattern[3..])?),
            ("pass", file) => {
                let [path, flags @ ..] = &file.split_whitespace().collect::<Vec<_>>()[..] else {
                    return Err("expected: pass FILE [ro] [gone]".into());
                };
                let [read_only, gone] = these(["ro", "gone"], flags)?;
                ClientAction::Pass { path: path.into(), read_only, gone }
            }
            (count, text) if text.starts_with("times => ") => {
                ClientAction::Send(unescape(&text[9..])?.repeat(number(count)? as usize))
            }
            ("connect", "") => ClientAction::Connect,
            ("connect", socket) if socket.starts_with("to ") => ClientAction::ConnectTo(socket[3..].into()),
            ("open", "") => ClientAction::Open,
            ("disconnect", "") => ClientAction::Disconnect,
            ("closed", "") => ClientAction::Closed,
            _ => return Err(format!("no such step: {text}")),
        };
        Ok(Action::Client(name.into(), action))
    }
}

fn guest(text: &str) -> Result<GuestAction, String> {
    let words: Vec<_> = text.split_whitespace().collect();
    let operation = match words[..] {
        ["ok"] => return Ok(GuestAction::Ok(None)),
        ["ok", content] => return Ok(GuestAction::Ok(Some(byte(content)?))),
        ["error", name] => return errno(name).map(GuestAction::Error),
        ["waits"] => return Ok(GuestAction::Waits),
        ["disconnect"] => return Ok(GuestAction::Disconnect),
        ["closed"] => return Ok(GuestAction::Closed),
        ["flush"] => Operation::Flush,
        ["read", offset, length] => Operation::Read { offset: number(offset)?, length: number(length)? as usize },
        ["write", offset, length, content, ref flags @ ..] => {
            let [fua] = these(["fua"], flags)?;
            let data = vec![byte(content)?; number(length)? as usize];
            Operation::Write { offset: number(offset)?, data, fua }
        }
        ["zero", offset, length, ref flags @ ..] => {
            let [fua, unmap] = these(["fua", "unmap"], flags)?;
            Operation::WriteZeroes { offset: number(offset)?, length: number(length)?, fua, unmap }
        }
        ["trim", offset, length] => Operation::Discard { offset: number(offset)?, length: number(length)? },
        _ => return Err(format!("no such step of a guest: {text}")),
    };
    Ok(GuestAction::Start(operation))
}

fn words<const N: usize>(text: &str) -> Result<[&str; N], String> {
    let words: Vec<_> = text.split_whitespace().collect();
    words.try_into().map_err(|_| format!("expected {N} words: {text}"))
}

/// Which of the `known` flags are there.
fn these<const N: usize>(known: [&str; N], flags: &[&str]) -> Result<[bool; N], String> {
    match flags.iter().find(|flag| !known.contains(flag)) {
        Some(unknown) => Err(format!("no such flag: {unknown}")),
        None => Ok(known.map(|flag| flags.contains(&flag))),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.split_at(text.len().saturating_sub(1)) {
        (digits, "k") => (digits, 1 << 10),
        (digits, "M") => (digits, 1 << 20),
        (_, _) => (text, 1),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{text}: {error}"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text}: too large"))
}

fn byte(text: &str) -> Result<u8, String> {
    let hex = text.strip_prefix("0x").ok_or_else(|| format!("a byte is written as 0xNN: {text}"))?;
    u8::from_str_radix(hex, 16).map_err(|error| format!("{text}: {error}"))
}

/// The errors that NBD knows.
fn errno(name: &str) -> Result<i32, String> {
    use rustix::io::Errno;
    let errno = match name {
        "EPERM" => Errno::PERM,
        "EIO" => Errno::IO,
        "ENOMEM" => Errno::NOMEM,
        "EINVAL" => Errno::INVAL,
        "ENOSPC" => Errno::NOSPC,
        "EOVERFLOW" => Errno::OVERFLOW,
        "ENOTSUP" => Errno::NOTSUP,
        "ESHUTDOWN" => Errno::SHUTDOWN,
        _ => return Err(format!("no such error in NBD: {name}")),
    };
    Ok(errno.raw_os_error())
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let mut rest = quoted.ok_or_else(|| format!("expected a text in double quotes: {text}"))?;
    let mut bytes = Vec::new();
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = match escape.as_bytes() {
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'0', ..] => (0, 1),
            [b'\\', ..] => (b'\\', 1),
            [b'"', ..] => (b'"', 1),
            [b'x', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => {
                (byte(&format!("0x{}", &escape[1..3]))?, 3)
            }
            _ => return Err(format!("no such escape: \\{escape}")),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<(usize, Action)> {
        let script = Script::parse("f", &format!("# Scene.\n{text}"), Path::new("/dir")).expect(text);
        script.steps.into_iter().map(|step| (step.line, step.action)).collect()
    }

    fn only_step(text: &str) -> Action {
        let [(_, action)] = steps(text).try_into().expect("one step");
        action
    }

    fn client(name: &str, action: ClientAction) -> Action {
        Action::Client(name.into(), action)
    }

    fn guest(text: &str) -> GuestAction {
        match steps(&format!("guest g on e\ng: {text}")).pop() {
            Some((3, Action::Guest(name, action))) if name == "g" => action,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_and_files_come_before_the_steps_wherever_they_stand() {
        let script = Script::parse(
            "f",
            "# Scene.\n$ -S --export\n    nbd,\n    id=a\nfile a 8M\n$ --pidfile {dir}/p\n",
            Path::new("/dir"),
        );
        let script = script.expect("valid");
        assert_eq!(script.options, ["-S", "--export", "nbd,id=a", "--pidfile", "/dir/p"]);
        assert_eq!(script.files, [("a".into(), 8 << 20)]);
        assert!(script.steps.is_empty());
    }

    #[test]
    fn a_client_without_a_name_is_mgmt() {
        let send = || ClientAction::Send(b"{ \"execute\":\n     \"stop\" }".to_vec());
        assert_eq!(only_step("-> { \"execute\":\n     \"stop\" }\n"), client("mgmt", send()));
        assert_eq!(only_step("late: -> { \"execute\":\n     \"stop\" }\n"), client("late", send()));
        assert_eq!(only_step("<- ..."), client("mgmt", ClientAction::Receive(Pattern::Anything)));
        assert_eq!(only_step("late: <~ ..."), client("late", ClientAction::ReceiveAmong(Pattern::Anything)));
        assert_eq!(only_step("late: connect"), client("late", ClientAction::Connect));
        assert_eq!(only_step("late: connect to q"), client("late", ClientAction::ConnectTo("q".into())));
        assert_eq!(only_step("skip to ..."), client("mgmt", ClientAction::SkipTo(Pattern::Anything)));
    }

    #[test]
    fn a_descriptor_is_passed_as_told() {
        let pass = |read_only, gone| client("mgmt", ClientAction::Pass { path: "/d/a".into(), read_only, gone });
        assert_eq!(only_step("pass /d/a"), pass(false, false));
        assert_eq!(only_step("pass /d/a ro gone"), pass(true, true));
    }

    #[test]
    fn a_fifo_comes_before_the_steps_and_is_written_to_in_its_turn() {
        let script = Script::parse("f", "# Scene.\nends with 3\nwrite f \"a\\n\"\nhold f\nfifo f\n", Path::new("/dir"))
            .expect("valid");
        assert_eq!((script.fifos, script.status), (vec!["f".to_owned()], 3));
        assert_eq!(script.steps[0].action, Action::Writer("f".into(), Some(b"a\n".to_vec())));
        assert_eq!(script.steps[1].action, Action::Writer("f".into(), None));
    }

    #[test]
    fn steps_keep_their_line() {
        let lines: Vec<_> =
            steps("\n-> {}\n# comment\n<- {\n   }\na: open").into_iter().map(|(line, _)| line).collect();
        assert_eq!(lines, [3, 5, 7]);
    }

    #[test]
    fn raw_bytes_are_escaped() {
        let send = ClientAction::Send(b"{\"a\"}\r\n\xff\0\\".to_vec());
        assert_eq!(only_step(r#"=> "{\"a\"}\r\n\xff\0\\""#), client("mgmt", send));
        assert_eq!(only_step(r#"late: 3 times => "a""#), client("late", ClientAction::Send(b"aaa".to_vec())));
    }

    #[test]
    fn a_guest_starts_requests_and_expects_answers() {
        let data = vec![0x5a; 8192];
        assert_eq!(
            guest("write 1M 8k 0x5a fua"),
            GuestAction::Start(Operation::Write { offset: 1 << 20, data, fua: true })
        );
        assert_eq!(guest("read 0 512"), GuestAction::Start(Operation::Read { offset: 0, length: 512 }));
        let zero = Operation::WriteZeroes { offset: 0, length: 1, fua: false, unmap: true };
        assert_eq!(guest("zero 0 1 unmap"), GuestAction::Start(zero));
        assert_eq!(guest("trim 0 1"), GuestAction::Start(Operation::Discard { offset: 0, length: 1 }));
        assert_eq!(guest("flush"), GuestAction::Start(Operation::Flush));
        assert_eq!(guest("ok"), GuestAction::Ok(None));
        assert_eq!(guest("ok 0x00"), GuestAction::Ok(Some(0)));
        assert_eq!(guest("error ENOSPC"), GuestAction::Error(28));
    }

    #[test]
    fn a_machine_is_what_qtest_or_a_guest_on_virtio_need() {
        let is_machine = |text: &str| Script::parse("f", text, Path::new("/dir")).expect(text).is_machine;
        assert!(is_machine("# Scene.\nqtest: outb 0x505 1"));
        assert!(is_machine("# Scene.\nguest g on virtio 1"));
        assert!(!is_machine("# Scene.\nguest g on virtio"));
        assert_eq!(only_step("guest g on virtio 1"), Action::Guest("g".into(), GuestAction::Drive(1)));
    }

    #[test]
    fn an_example_is_nothing_but_messages() {
        let script =
            Script::parse_example("f", 7, "-> { \"execute\": \"stop\" }\n<- { \"return\": {} }").expect("valid");
        assert_eq!(script.steps.iter().map(|step| step.line).collect::<Vec<_>>(), [7, 8]);
        assert!(Script::parse_example("f", 1, "$ -S").is_err());
    }

    #[test]
    fn what_is_no_step_is_refused_with_its_place() {
        for text in [
            "-> {}",
            "# Scene.\nsleep 1",
            "# Scene.\n<- {",
            "# Scene.\nguest g in e",
            "# Scene.\nguest g on e\ng: write 0 1 7",
            "# Scene.\nguest g on e\ng: write 0 1 0x07 now",
            "# Scene.\nguest g on e\ng: error ENOENT",
            "# Scene.\nh: waits",
            "# Scene.\n=> \"\\q\"",
            "# Scene.\nfile a",
            "# Scene.\nfile a 1G",
            "# Scene.\nfifo",
            "# Scene.\nends",
            "# Scene.\nends with x",
            "# Scene.\nwrite a",
            "# Scene.\nwrite a b",
        ] {
            let error = Script::parse("f", text, Path::new("/dir")).expect_err(text);
            assert!(error.starts_with(&format!("f:{}: ", text.lines().count())), "{error}");
        }
    }
}
