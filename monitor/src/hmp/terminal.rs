//! A person at the place of a QMP client: what is typed becomes requests, what is answered becomes text.
//!
//! ```text
//!   Negotiating --(greeted, then accepted)--> Idle --(a line)--> Running --(answered)--> Idle
//!                                              +--(tab)------> Completing --(answered)---+
//!   any --(the process ends)--> Over
//! ```
//!
//! Without I/O, like the session behind it. What is typed ahead waits here until the line before is answered.

use std::collections::VecDeque;
use std::mem::{replace, take};

use serde_json::{Value, json};

use super::completion::{Candidates, candidates, common};
use super::editor::{Editor, Typed};
use super::table;
use crate::json::Parser;

/// Scripts wait for it.
const PROMPT: &str = "(qemu) ";

/// One person.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    editor: Editor,
    state: State,
    /// Typed and not looked at.
    input: VecDeque<u8>,
    replies: Parser,
    requests: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Negotiating,
    Idle,
    Running(Line),
    /// The word, and the names so far.
    Completing(String, Vec<String>),
    /// What comes next on the terminal is not ours.
    Over,
}

/// A line that is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// The end follows it, whether it is told of before or after the answer.
    Quit,
    Other,
}

impl Terminal {
    /// Whether more of what is typed can be taken.
    pub(crate) fn wants_input(&self) -> bool {
        self.input.is_empty() && matches!(self.state, State::Idle)
    }

    /// What is typed.
    pub(crate) fn handle_input(&mut self, input: &[u8]) {
        self.input.extend(input);
        self.go_on();
    }

    /// What the session sends: the greeting, replies, and events, of which people are not told, except of the end.
    pub(crate) fn handle_messages(&mut self, mut messages: &[u8]) {
        while let Some(message) = self.replies.next(&mut messages) {
            match message {
                Ok(message) if message.get("event").is_none() => self.handle_message(&message),
                Ok(message) if message["event"] == "SHUTDOWN" => self.shut_down(&message["data"]["reason"]),
                // The session sends nothing that is malformed.
                Ok(_) | Err(_) => {}
            }
        }
        self.go_on();
    }

    /// Requests for the session.
    pub(crate) fn take_requests(&mut self) -> Vec<u8> {
        take(&mut self.requests)
    }

    /// Bytes for the terminal.
    pub(crate) fn take_screen(&mut self) -> Vec<u8> {
        self.editor.take_screen()
    }

    /// Shutting down, which is the end unless it is the guest that does: it may be kept.
    fn shut_down(&mut self, reason: &Value) {
        // At the prompt the line has not ended yet.
        if !matches!(self.state, State::Running(_) | State::Over) {
            self.editor.print("\n");
        }
        if reason == "host-qmp-quit" || reason == "host-signal" {
            self.state = State::Over;
        }
    }

    fn request(&mut self, request: &Value) {
        self.requests.extend_from_slice(request.to_string().as_bytes());
    }

    fn handle_message(&mut self, message: &Value) {
        match replace(&mut self.state, State::Idle) {
            State::Negotiating => match message.get("QMP") {
                Some(greeting) => {
                    let version = greeting["version"]["package"].as_str().unwrap_or_default();
                    self.editor.print(&format!("{version} monitor - type 'help' for more information\n"));
                    self.state = State::Negotiating;
                    self.request(&json!({"execute": "qmp_capabilities"}));
                }
                None => self.editor.prompt(PROMPT),
            },
            State::Completing(word, mut names) => {
                let is_last = message["id"] == LAST;
                let listed = message["return"].as_array().into_iter().flatten();
                let named =
                    listed.flat_map(|disk| [&disk["device"], &disk["node-name"], &disk["inserted"]["node-name"]]);
                names.extend(named.filter_map(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned));
                if is_last {
                    self.complete(&word, names.iter().map(String::as_str));
                } else {
                    self.state = State::Completing(word, names);
                }
            }
            State::Running(Line::Quit) if message["return"] == "" => self.state = State::Over,
            State::Running(Line::Quit | Line::Other) | State::Idle => {
                match (&message["return"], &message["error"]["desc"]) {
                    (Value::String(text), _) => self.editor.print(&text.replace("\r\n", "\n")),
                    (_, Value::String(error)) => self.editor.print(&format!("Error: {error}\n")),
                    _ => {}
                }
                self.editor.prompt(PROMPT);
            }
            State::Over => self.state = State::Over,
        }
    }

    fn go_on(&mut self) {
        while matches!(self.state, State::Idle) {
            let Some(byte) = self.input.pop_front() else { return self.editor.draw() };
            match self.editor.handle(byte) {
                None => {}
                Some(Typed::Cleared) => self.editor.prompt(PROMPT),
                Some(Typed::Line(line)) if line.trim().is_empty() => self.editor.prompt(PROMPT),
                Some(Typed::Line(line)) => {
                    self.request(&json!({"execute": "human-monitor-command", "arguments": {"command-line": line}}));
                    self.state = State::Running(if is_quit(&line) { Line::Quit } else { Line::Other });
                }
                Some(Typed::TooLong) => {
                    self.editor.print("the line is too long\n");
                    self.editor.prompt(PROMPT);
                }
                Some(Typed::Tab(before)) => match candidates(&before) {
                    None => {}
                    Some((word, Candidates::Names(names))) => self.complete(&word, names),
                    Some((word, Candidates::Devices)) => {
                        self.request(&json!({"execute": "query-block", "id": "first"}));
                        self.request(&json!({"execute": "query-named-block-nodes", "id": LAST}));
                        self.state = State::Completing(word, Vec::new());
                    }
                },
            }
        }
    }

    /// Inserts what all names have in common, and lists them if there are several.
    fn complete<'a>(&mut self, word: &str, names: impl IntoIterator<Item = &'a str>) {
        let (text, names) = common(word, names);
        if let [_, _, ..] = names.as_slice() {
            self.editor.draw();
            self.editor.print(&format!("\n{}", in_columns(&names)));
            self.editor.complete(&text);
            self.editor.prompt(PROMPT);
        } else {
            self.editor.complete(&text);
        }
    }
}

fn is_quit(line: &str) -> bool {
    table::find(table::COMMANDS, line.trim()).is_some_and(|command| command.names.contains(&"quit"))
}

/// Lines of at most 80 characters, unless a name alone is longer.
fn in_columns(names: &[&str]) -> String {
    let width = names.iter().map(|name| name.chars().count() + 2).max().unwrap_or_default().clamp(10, 80);
    let line = |names: &[&str]| names.iter().map(|name| format!("{name:<width$}")).collect::<String>() + "\n";
    names.chunks(80 / width).map(line).collect()
}

/// The id of the last request of a completion.
const LAST: &str = "last";

#[cfg(test)]
mod tests {
    use super::*;

    /// A terminal, and a session that answers each line with itself.
    fn typed(keys: &str) -> String {
        let mut terminal = Terminal::default();
        let mut screen = String::new();
        terminal.handle_messages(br#"{"QMP": {"version": {"package": "test 1"}, "capabilities": []}}"#);
        terminal.handle_input(keys.as_bytes());
        let mut requests = Parser::default();
        loop {
            screen += str::from_utf8(&terminal.take_screen()).expect("UTF-8");
            let sent = terminal.take_requests();
            if sent.is_empty() {
                assert!(terminal.wants_input());
                return screen;
            }
            let mut rest = sent.as_slice();
            while let Some(request) = requests.next(&mut rest) {
                let request = request.expect("JSON");
                let answer = match request["execute"].as_str().expect("a command") {
                    "qmp_capabilities" => json!({}),
                    "human-monitor-command" => json!(format!("{}\r\n", request["arguments"]["command-line"])),
                    "query-block" => json!([{"device": "disk0", "inserted": {"node-name": "#block1"}}]),
                    "query-named-block-nodes" => json!([{"node-name": "disk1"}]),
                    other => panic!("{other}"),
                };
                let reply = json!({"return": answer, "id": request["id"]}).to_string();
                terminal.handle_messages(br#"{"event": "STOP", "data": {"reason": "user"}}"#);
                terminal.handle_messages(reply.as_bytes());
            }
        }
    }

    /// Without what moves the cursor, and what is drawn to be overwritten.
    fn lines(keys: &str) -> Vec<String> {
        let screen = typed(keys);
        let line = |line: &str| match line.strip_prefix(PROMPT) {
            Some(drawn) => {
                let drawn = drawn.trim_end_matches("\x1b[K");
                format!("{PROMPT}{}", drawn.rsplit("\x1b[D").next().unwrap_or_default())
            }
            None => line.to_owned(),
        };
        screen.split("\r\n").map(line).collect()
    }

    const BANNER: &str = "test 1 monitor - type 'help' for more information";

    #[test]
    fn a_line_is_carried_out_and_answered_before_the_next_one() {
        let expected = [BANNER, "(qemu) a b", "\"a b\"", "(qemu) ", "(qemu) c", "\"c\"", "(qemu) "];
        assert_eq!(lines("a b\r\rc\r"), expected);
    }

    #[test]
    fn after_the_end_there_is_no_prompt_whenever_it_is_told() {
        let greeting = br#"{"QMP": {"version": {"package": "test 1"}, "capabilities": []}} {"return": {}}"#;
        let end = r#"{"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}}"#;
        let answer = r#"{"return": ""}"#;
        for messages in [[answer, end], [end, answer]] {
            let mut terminal = Terminal::default();
            terminal.handle_messages(greeting);
            terminal.handle_input(b" q \r");
            terminal.take_screen();
            terminal.handle_messages(messages.concat().as_bytes());
            terminal.handle_input(b"stop\r");
            assert_eq!(terminal.take_screen(), b"");
        }
        let mut idle = Terminal::default();
        idle.handle_messages(greeting);
        idle.take_screen();
        idle.handle_messages(end.as_bytes());
        assert_eq!(idle.take_screen(), b"\r\n", "the prompt has a line of its own");
    }

    #[test]
    fn words_are_completed_and_candidates_listed() {
        assert_eq!(lines("info stat\t\r")[1..3], ["(qemu) info status ", "\"info status \""]);
        assert_eq!(
            lines("info block \tz\r")[1..],
            [
                "(qemu) info block ",
                "#block1   disk0     disk1     ",
                "(qemu) info block z",
                "\"info block z\"",
                "(qemu) "
            ]
        );
        assert_eq!(
            lines("block_resize d\t\r")[1..4],
            ["(qemu) block_resize d", "disk0     disk1     ", "(qemu) block_resize disk"]
        );
    }

    #[test]
    fn many_candidates_fill_lines_of_80_characters() {
        let names = ["a"; 9];
        assert_eq!(in_columns(&names), format!("{}\n{}\n", "a         ".repeat(8), "a         "));
        let long = "x".repeat(90);
        assert_eq!(in_columns(&[&long, "b"]), format!("{long}\nb{}\n", " ".repeat(79)));
    }

    #[test]
    fn the_screen_is_cleared_and_shows_the_line_again() {
        let cleared = "(qemu) stop\x1b[K\x1b[D\x1b[2J\x1b[1;1H(qemu) stop\x1b[K\x1b[D\r\n";
        let screen = typed("stop\x1b[D\x0c\r");
        assert!(screen.contains(cleared), "{screen:?}");
    }

    #[test]
    fn a_line_too_long_is_said_to_be() {
        assert!(lines(&format!("{}\r", "x".repeat(5000))).contains(&"the line is too long".to_owned()));
    }
}
