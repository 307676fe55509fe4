//! Requests of NBD: what is served lies within the export, and over a real connection each request gets exactly one reply.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::sync::{Arc, OnceLock};
use std::{process, thread};

use block::block::Block;
use block::export::Exports;
use block::nbd::protocol::{
    NBD_CMD_DISC, NBD_FLAG_C_FIXED_NEWSTYLE, NBD_FLAG_C_NO_ZEROES, NBD_MAX_PAYLOAD, NBD_OPT_EXPORT_NAME,
    NBD_OPTS_MAGIC, NBD_REQUEST_MAGIC,
};
use block::nbd::transmission::{Command, ReplyHeader, RequestHeader, Terms};
use qapi_schema::common::Timestamp;
use qapi_schema::{Event, EventSink, FromValue, Visitor, block_core::Commands as _, block_export::Commands as _};
use serde_json::{Value, json};
use vl::{SystemClock, Vm};

/// Small, so that requests which it bounds are answered at once.
const DISK: Terms = Terms { size: 64 << 10, read_only: false };

/// The greeting, and the answer to `NBD_OPT_EXPORT_NAME`.
const WELCOME: usize = 18 + 10;

/// The input as requests, each with its payload.
pub fn nbd_transmission(input: &[u8]) {
    if let Some(bytes) = input.first_chunk() {
        decode(bytes);
    }
    let requests = requests(input);
    if !requests.is_empty() {
        answered_once(&requests);
    }
    // As it stands, up to wherever the server gives up.
    converse(input);
}

/// A header says what it says, and nothing is served beyond the export.
fn decode(bytes: &[u8; RequestHeader::SIZE]) {
    let mut bytes = *bytes;
    bytes[..4].copy_from_slice(&NBD_REQUEST_MAGIC.to_be_bytes());
    let header = RequestHeader::decode(&bytes).expect("it has its magic number");
    assert_eq!(header.encode(), bytes);
    for terms in [DISK, Terms { read_only: true, ..DISK }, Terms { size: u64::MAX, read_only: false }] {
        let Ok(command) = header.check(&terms) else { continue };
        let (offset, length, writes) = match command {
            Command::Read { offset, length } => (offset, length as u64, false),
            Command::Write { offset, length, .. } => (offset, length as u64, true),
            Command::Trim { offset, length, .. } | Command::WriteZeroes { offset, length, .. } => {
                (offset, length, true)
            }
            Command::Flush => (0, 0, false),
        };
        assert!(offset.checked_add(length).is_some_and(|end| end <= terms.size), "{command:?} of {terms:?}");
        assert!(command.payload() <= NBD_MAX_PAYLOAD as usize, "{command:?}");
        assert!(!writes || !terms.read_only, "{command:?} of {terms:?}");
    }
}

/// The requests that `input` is complete of, up to the first that is none or that ends the connection.
fn requests(input: &[u8]) -> Vec<(RequestHeader, &[u8])> {
    let mut requests = Vec::new();
    let mut rest = input;
    while let Some((bytes, after)) = rest.split_first_chunk()
        && let Some(header) = RequestHeader::decode(bytes).filter(|header| !header.is_disconnect())
        && let Some((payload, after)) = after.split_at_checked(header.payload() as usize)
    {
        requests.push((header, payload));
        rest = after;
    }
    requests
}

/// Sends the requests, then the farewell, upon which the server answers what is outstanding.
fn answered_once(requests: &[(RequestHeader, &[u8])]) {
    let mut sent = Vec::new();
    for (cookie, (header, payload)) in (0..).zip(requests) {
        sent.extend(RequestHeader { cookie, ..*header }.encode());
        sent.extend(*payload);
    }
    let farewell = RequestHeader { flags: 0, command: NBD_CMD_DISC, cookie: 0, offset: 0, length: 0 };
    sent.extend(farewell.encode());
    let mut open: HashMap<u64, &RequestHeader> = (0..).zip(requests.iter().map(|(header, _)| header)).collect();
    let received = converse(&sent);
    let mut rest = received.as_slice();
    while let Some((bytes, after)) = rest.split_first_chunk() {
        let reply = ReplyHeader::decode(bytes).expect("a reply");
        let header = open.remove(&reply.cookie).expect("a request that was not answered yet");
        let command = header.check(&DISK);
        assert_eq!(reply.result, command.map(drop), "{header:?}");
        let length = if let Ok(Command::Read { length, .. }) = command { length } else { 0 };
        let (data, after) = after.split_at_checked(length).expect("as much as was asked for");
        assert!(data.iter().all(|&byte| byte == 0), "null-co holds zeroes");
        rest = after;
    }
    assert!(rest.is_empty(), "half a reply: {rest:?}");
    assert!(open.is_empty(), "never answered: {open:?}");
}

/// Says `input` to the server after a handshake, ends, and returns what the server says up to its own end.
fn converse(input: &[u8]) -> Vec<u8> {
    let mut stream = Larder::open().connect();
    let sender = stream.try_clone().expect("a descriptor");
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(move || {
            // The server closes when it has had enough.
            let _ = (&sender).write_all(input);
            let _ = sender.shutdown(Shutdown::Write);
        });
        // What the server has not read makes its end a reset.
        let _ = stream.read_to_end(&mut received);
    });
    received
}

/// The server of this process, with one disk, on a socket that leaves no file behind.
struct Larder {
    socket: String,
    _exports: Arc<Exports>,
}

/// Nobody listens.
struct Silence;

impl EventSink for Silence {
    fn emit(&self, _at: Timestamp, _event: &dyn Event) {}
}

impl Larder {
    fn open() -> &'static Self {
        static LARDER: OnceLock<Larder> = OnceLock::new();
        LARDER.get_or_init(|| Self::new(format!("whystop-fuzz-{}", process::id())))
    }

    fn new(socket: String) -> Self {
        let vm = Arc::new(Vm::new(Arc::new(Silence), SystemClock));
        let block = Arc::new(Block::new(Arc::clone(&vm)));
        let exports = Arc::new(Exports::new(Arc::clone(&block), Arc::default()));
        let disk = json!({"driver": "null-co", "node-name": "disk", "size": DISK.size, "read-zeroes": true});
        block.blockdev_add(options(disk)).expect("a disk");
        let server = json!({"addr": {"type": "unix", "path": socket, "abstract": true}, "max-connections": 0});
        exports.start_nbd_server(options(server)).expect("a server");
        let export = json!({"type": "nbd", "id": "disk", "node-name": "disk", "writable": true});
        exports.block_export_add(options(export)).expect("an export");
        vm.transaction(|tx| tx.vm_start()).expect("it was never stopped");
        Self { socket, _exports: exports }
    }

    /// A connection after its handshake.
    fn connect(&self) -> UnixStream {
        let address = SocketAddr::from_abstract_name(&self.socket).expect("a short name");
        let mut stream = UnixStream::connect_addr(&address).expect("a connection");
        let mut hello = (NBD_FLAG_C_FIXED_NEWSTYLE | NBD_FLAG_C_NO_ZEROES).to_be_bytes().to_vec();
        hello.extend(NBD_OPTS_MAGIC.to_be_bytes());
        hello.extend(NBD_OPT_EXPORT_NAME.to_be_bytes());
        hello.extend(4_u32.to_be_bytes());
        hello.extend(b"disk");
        stream.write_all(&hello).expect("it is taken");
        stream.read_exact(&mut [0; WELCOME]).expect("an export");
        stream
    }
}

fn options<T: FromValue>(value: Value) -> T {
    T::from_value(value, &Visitor::json()).expect("options")
}
