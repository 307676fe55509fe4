//! The machine behind the session: every command there is, run by the monitor's own dispatcher, answered through its outbox.
//!
//! What would reach out to the host is refused by name ([`reaches_out`]). Descriptors are memory that cannot grow, and
//! clients are not told their numbers ([`Numberless`]).

use std::os::fd::OwnedFd;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use block::block::Block;
use block::export::Exports;
use block::fdset::ClientFdSets;
use hw::virtio::mmio::Version as MmioVersion;
use hw::{Board, BoardKind, BoardOptions, VirtualClock};
use monitor::control::Control;
use monitor::dispatcher::{Dispatcher, Progress};
use monitor::event::EventMessage;
use monitor::mailbox::{Mailbox, Notice};
use monitor::misc::Misc;
use monitor::outbox::{Outbox, SessionId};
use monitor::{Broadcaster, Options, Preconfig, Request, Response, Version};
use qapi_schema::common::Timestamp;
use qapi_schema::fdset::{AddfdInfo, FdsetInfo};
use qapi_schema::{
    Arguments, Client, Command, CommandTable, Error, FromValue, INTROSPECTION, Visitor, block_core, block_export,
    control, fdset, introspect, machine, misc, qdev, qom, run_state,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::retry_on_intr;
use serde_json::{Value, json};
use vl::{Clock, Vm};
use whystop::commands::MachineCommands;
use whystop::identity::Identity;
use whystop::objects::Objects;
use whystop::qom::Qom;

/// When everything happens, so that what is said is always the same.
const NOW: Timestamp = Timestamp { seconds: 1_308_000_000, microseconds: 0 };

/// When the client reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// At once.
    Eager,
    /// As late as it can: once the monitor does not hear it any more. The outbox is small.
    Lazy,
}

impl Reader {
    fn options(self) -> Options {
        match self {
            Self::Eager => Options::default(),
            Self::Lazy => Options { outbuf: 2_000, ..Options::default() },
        }
    }
}

/// A machine without a guest, and the client's end of its monitor.
pub(super) struct Machine {
    vm: Arc<Vm>,
    exports: Arc<Exports>,
    broadcaster: Arc<Broadcaster>,
    dispatcher: Dispatcher,
    mailbox: Arc<Mailbox>,
    outbox: Arc<Outbox>,
    reader: Reader,
    said: Vec<String>,
}

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        NOW
    }
}

impl Machine {
    /// A machine for a client that will say `input`.
    pub(super) fn new(input: &[u8], reader: Reader) -> Self {
        let mailbox = Arc::new(Mailbox::new().expect("an eventfd"));
        let broadcaster = Arc::new(Broadcaster::new(Arc::clone(&mailbox)));
        let outbox = Arc::new(Outbox::new(SessionId::new(1), reader.options(), Arc::clone(&mailbox)));
        let vm = Arc::new(Vm::new(broadcaster.clone(), Stopped));
        let block = Arc::new(Block::new(Arc::clone(&vm)));
        let exports = Arc::new(Exports::new(Arc::clone(&block), Arc::default()));
        // A server is dear, and of use only to those who export something.
        if contains(input, "export") {
            start_server(&exports);
        }
        let preconfig = Arc::<Preconfig>::default();
        if contains(input, "preconfig") {
            preconfig.begin();
        }
        let commands = commands(&vm, &block, &exports, &preconfig);
        let dispatcher = Dispatcher::new(commands, preconfig, Arc::clone(&mailbox));
        Self { vm, exports, broadcaster, dispatcher, mailbox, outbox, reader, said: Vec::new() }
    }

    pub(super) fn client(&self) -> Arc<Client> {
        Arc::clone(self.outbox.client())
    }

    /// Carries out and answers a request.
    pub(super) fn run(&mut self, request: Request) {
        if reaches_out(&request.execute, &request.arguments) {
            return self.answer(&Response::error(request.id, Error::generic("not here")));
        }
        match self.dispatcher.run(request, &self.outbox) {
            Progress::Answered => {}
            Progress::Running => self.await_worker(),
        }
        self.turn();
    }

    /// Answers.
    pub(super) fn answer(&mut self, response: &Response) {
        let mut text = Vec::new();
        response.write(&mut text);
        self.outbox.answer(&text);
        self.turn();
    }

    /// Answers, and tells of events from now on.
    pub(super) fn negotiated(&mut self, response: &Response) {
        self.broadcaster.subscribe(Arc::clone(&self.outbox));
        self.answer(response);
    }

    /// What is known of the run state, to be compared with what was said.
    pub(super) fn check(&self, running: bool) {
        let (status, reason) = (self.vm.status(), self.vm.stop_reason());
        assert_eq!(status.running, running, "the last event says otherwise");
        assert_eq!(status.running, reason.reason.is_none(), "{reason:?} while {status:?}");
        let open = reason.last_stop.is_some_and(|stop| stop.resumed_at.is_none());
        assert!(!(open && running), "it runs, and its last stop has not ended");
    }

    /// Reads the rest. Returns every line that was said.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.read();
        self.exports.stop();
        std::mem::take(&mut self.said)
    }

    fn turn(&mut self) {
        if self.reader == Reader::Eager || self.outbox.is_congested() {
            self.read();
        }
    }

    /// Reads all there is, and what is said once that is read.
    fn read(&mut self) {
        loop {
            let mut bytes = Vec::new();
            self.outbox.take(&mut bytes);
            if bytes.is_empty() {
                return;
            }
            let text = String::from_utf8(bytes).expect("ASCII");
            self.outbox.wrote(text.len(), |lost| EventMessage::new(NOW, &lost));
            let text = text.strip_suffix("\r\n").expect("whole lines");
            let longest = text.split("\r\n").map(str::len).max().unwrap_or_default();
            assert!(text.len() - longest <= self.reader.options().outbuf, "more is queued than the client may leave");
            self.said.extend(text.split("\r\n").map(str::to_owned));
        }
    }

    /// Until the worker has answered.
    fn await_worker(&self) {
        let mut notices = Vec::new();
        while !notices.iter().any(|notice| matches!(notice, Notice::Answered(_))) {
            if self.mailbox.may_sleep() {
                retry_on_intr(|| poll(&mut [PollFd::new(&self.mailbox, PollFlags::IN)], None)).expect("poll");
                self.mailbox.rearm();
            }
            notices.clear();
            self.mailbox.collect(&mut notices);
        }
    }
}

fn commands(vm: &Arc<Vm>, block: &Arc<Block>, exports: &Arc<Exports>, preconfig: &Arc<Preconfig>) -> Arc<CommandTable> {
    let names = [control::COMMANDS, run_state::COMMANDS, block_core::COMMANDS, block_export::COMMANDS];
    // The end of the program is none of these commands' business.
    let control = Arc::new(Control::new(Version::of_package("fuzz"), names.concat(), &INTROSPECTION, || ()));
    let (vm, preconfig, phase) = (Arc::clone(vm), Arc::clone(preconfig), Arc::clone(preconfig));
    let clock = Arc::new(VirtualClock::driven().expect("a thread"));
    let options = BoardOptions {
        ram_size: 0,
        cpus: 1,
        virtio_mmio: MmioVersion::Legacy,
        clock,
        vm: Arc::clone(&vm),
        block: Arc::clone(block),
    };
    let board = Board::new(BoardKind::preferred(), options).expect("there can be such a machine");
    board.built();
    let objects = Arc::<Objects>::default();
    let machine = Arc::new(MachineCommands {
        identity: Identity::default(),
        preconfig,
        vm: vm.clone(),
        board: Arc::clone(&board),
        objects: Arc::clone(&objects),
        start_guest: true,
    });
    let tree = Arc::new(Qom { objects, board: Arc::clone(&board) });
    let (exports, sets) = (Arc::clone(exports), Arc::clone(block.fdsets()));
    Arc::new_cyclic(|table: &Weak<CommandTable>| {
        let table = Weak::clone(table);
        let mut commands = CommandTable::default();
        commands.extend(control::commands(&control));
        commands.extend(introspect::commands(&control));
        commands.extend(run_state::commands(&vm));
        commands.extend(machine::commands(&machine));
        commands.extend(block_core::commands(block));
        let exports = move |client: &Arc<Client>| exports.for_client(Arc::clone(client));
        commands.extend(Command::for_each_client(block_export::commands, exports));
        commands.extend(qom::commands(&tree));
        commands.extend(qdev::commands(&board));
        let sets = move |client: &Arc<Client>| Numberless(ClientFdSets::new(Arc::clone(&sets), Arc::clone(client)));
        commands.extend(Command::for_each_client(fdset::commands, sets));
        let misc = move |client: &Arc<Client>| Misc::new(Arc::clone(client), Weak::clone(&table), Arc::clone(&phase));
        commands.extend(Command::for_each_client(misc::commands, misc));
        commands
    })
}

/// Whether a command would reach out to the host: read or write its files, or open a socket of a name. A file may be one
/// that was handed over.
fn reaches_out(name: &str, arguments: &Arguments) -> bool {
    name == "nbd-server-start" || arguments.iter().any(|(name, value)| is_place(name, value))
}

fn is_place(name: &str, value: &Value) -> bool {
    match (name, value) {
        ("dir", _) => true,
        ("filename", value) => !value.as_str().is_some_and(|path| path.starts_with("/dev/fdset/")),
        (_, Value::Object(members)) => members.iter().any(|(name, value)| is_place(name, value)),
        (_, Value::Array(elements)) => elements.iter().any(|element| is_place("", element)),
        (_, Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => false,
    }
}

/// Sets of descriptors whose numbers, which differ from run to run, are nobody's business.
struct Numberless(ClientFdSets);

impl fdset::Commands for Numberless {
    fn add_fd(&self, fdset_id: Option<i64>, opaque: Option<String>) -> Result<AddfdInfo, Error> {
        Ok(AddfdInfo { fd: 0, ..self.0.add_fd(fdset_id, opaque)? })
    }

    fn remove_fd(&self, fdset_id: i64, fd: Option<i64>) -> Result<(), Error> {
        // None has a negative number.
        self.0.remove_fd(fdset_id, fd.map(|_| -1))
    }

    fn query_fdsets(&self) -> Result<Vec<FdsetInfo>, Error> {
        let mut sets = self.0.query_fdsets()?;
        sets.iter_mut().flat_map(|set| &mut set.fds).for_each(|info| info.fd = 0);
        Ok(sets)
    }
}

/// A server for exports, on a socket of its own that is no file. Nobody connects.
fn start_server(exports: &Exports) {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let socket = format!("whystop-fuzz-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let options = json!({"addr": {"type": "unix", "path": socket, "abstract": true}});
    let options = FromValue::from_value(options, &Visitor::json()).expect("options");
    exports.start_nbd_server(options).expect("a server");
}

/// What a client hands over: an image of 64 KiB in memory, which stays that long.
pub(super) fn descriptor() -> OwnedFd {
    let image = memfd_create("image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).expect("memory");
    ftruncate(&image, 64 << 10).expect("memory");
    fcntl_add_seals(&image, SealFlags::GROW | SealFlags::SHRINK).expect("sealing is allowed");
    image
}

pub(super) fn contains(input: &[u8], word: &str) -> bool {
    input.windows(word.len()).any(|window| window == word.as_bytes())
}
