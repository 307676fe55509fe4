//! A driver for virtio-blk over virtio-mmio, as a guest would have one, that talks to the hardware over qtest.
//!
//! It never sleeps: it waits for an interrupt, or looks again and again while it drives the virtual time. It checks that
//! each request is answered once, and that nothing is answered that was not asked.

pub mod memory;
pub mod mmio;
pub mod queue;
pub mod request;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use block::request::Operation;

use memory::{Allocation, GuestMemory};
use mmio::Transport;
use queue::{Descriptor, Virtqueue};
use request::{Completion, Layout, Request};

use super::DEADLINE;

/// Features (virtio 1.2, sections 5.2.3 and 6).
pub const FLUSH: u64 = 1 << 9;
pub const CONFIG_WCE: u64 = 1 << 11;
pub const MQ: u64 = 1 << 12;
pub const DISCARD: u64 = 1 << 13;
pub const WRITE_ZEROES: u64 = 1 << 14;
pub const ANY_LAYOUT: u64 = 1 << 27;
pub const INDIRECT_DESC: u64 = 1 << 28;
pub const EVENT_IDX: u64 = 1 << 29;
pub const VERSION_1: u64 = 1 << 32;

/// What this driver can use.
pub const KNOWN: u64 =
    FLUSH | CONFIG_WCE | MQ | DISCARD | WRITE_ZEROES | ANY_LAYOUT | INDIRECT_DESC | EVENT_IDX | VERSION_1;

/// Virtual time between two looks.
const STEP_NS: u64 = 100;

/// How the driver waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// It looks, and steps the clock.
    #[default]
    Clock,
    /// For the interrupt, which has to be intercepted.
    Interrupt,
    /// It only looks.
    Look,
}

/// How the device is driven.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Features to use, if the device has them.
    pub features: u64,
    /// Queues to use; all that there are, if there are fewer.
    pub queues: u16,
    /// Entries of each queue.
    pub queue_size: u16,
    pub wait: Wait,
}

impl Default for Options {
    fn default() -> Self {
        Self { features: KNOWN, queues: 1, queue_size: 64, wait: Wait::default() }
    }
}

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

struct Pending {
    ticket: Ticket,
    request: Request,
    buffer: Allocation,
    /// Descriptors outside of the queue.
    _table: Option<Allocation>,
}

/// A disk under the driver's control.
pub struct VirtioBlk {
    /// Its registers.
    pub transport: Transport,
    /// Its queues.
    pub queues: Vec<Virtqueue>,
    /// What was agreed on.
    pub features: u64,
    memory: Arc<GuestMemory>,
    wait: Wait,
    /// By queue and head.
    pending: HashMap<(u16, u16), Pending>,
    completed: HashMap<Ticket, Completion>,
    /// Those of a guest that keeps no tickets, oldest first.
    in_order: VecDeque<Ticket>,
    tickets: u64,
}

impl VirtioBlk {
    /// Resets the device, and takes it into service.
    pub fn start(transport: Transport, memory: &Arc<GuestMemory>, options: Options) -> Result<Self, String> {
        let features = transport.features()? & options.features;
        transport.negotiate(features)?;
        let available = if features & MQ == 0 { 1 } else { u16::from_le_bytes(transport.config(34)?) };
        let mut queues = Vec::new();
        for index in 0..options.queues.min(available) {
            let max = transport.max_queue_size(index)?;
            if max < options.queue_size.into() {
                return Err(format!("queue {index} has {max} entries at most"));
            }
            let event_idx = features & EVENT_IDX != 0;
            let queue = Virtqueue::new(transport.qtest(), memory, index, options.queue_size, event_idx)?;
            transport.set_queue(index, queue.size, queue.rings())?;
            queue.want_interrupt(options.wait == Wait::Interrupt)?;
            queues.push(queue);
        }
        transport.go()?;
        Ok(Self {
            transport,
            queues,
            features,
            memory: memory.clone(),
            wait: options.wait,
            pending: HashMap::new(),
            completed: HashMap::new(),
            in_order: VecDeque::new(),
            tickets: 0,
        })
    }

    /// Its size in sectors.
    pub fn capacity(&self) -> Result<u64, String> {
        self.transport.config(0).map(u64::from_le_bytes)
    }

    /// Guest memory.
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// Puts a request into a queue, and notifies the device if it wants that.
    pub fn submit(&mut self, queue: u16, request: Request, layout: Layout) -> Result<Ticket, String> {
        let ticket = self.add(queue, request, layout)?;
        self.kick(queue)?;
        Ok(ticket)
    }

    /// Puts a request into a queue; the device is not told yet.
    pub fn add(&mut self, queue: u16, request: Request, layout: Layout) -> Result<Ticket, String> {
        let readable = request.readable();
        let length = (readable.len() + request.writable()) as u64;
        let buffer = self.memory.allocate(length, 16)?;
        let qtest = self.transport.qtest();
        qtest.b64write(buffer.address(), &readable)?;
        // Neither what is read nor the status may be there before the device has written it.
        qtest.memset(buffer.address() + readable.len() as u64, request.writable() as u64, 0xff)?;
        let descriptors = request.descriptors(buffer.address(), layout.cut);
        let ring = self.queues.get_mut(usize::from(queue)).ok_or_else(|| format!("there is no queue {queue}"))?;
        let (head, table) = if layout.indirect {
            let table = self.memory.allocate(size_of::<Descriptor>() as u64 * descriptors.len() as u64, 16)?;
            (ring.add_indirect(&descriptors, &table)?, Some(table))
        } else {
            (ring.add(&descriptors)?, None)
        };
        let ticket = Ticket(self.tickets);
        self.tickets += 1;
        self.pending.insert((queue, head), Pending { ticket, request, buffer, _table: table });
        Ok(ticket)
    }

    /// Shows the device what was added to a queue, and notifies it if it wants that.
    pub fn kick(&mut self, queue: u16) -> Result<(), String> {
        let ring = self.queues.get_mut(usize::from(queue)).ok_or_else(|| format!("there is no queue {queue}"))?;
        if ring.publish()? { self.transport.notify(queue) } else { Ok(()) }
    }

    /// Looks for answers.
    pub fn look(&mut self) -> Result<(), String> {
        for ring in &mut self.queues {
            loop {
                let before = self.completed.len();
                while let Some(used) = ring.take_used()? {
                    let key = (ring.index, used.head);
                    let pending = self.pending.remove(&key).ok_or_else(|| format!("{key:?} was not asked"))?;
                    let input = pending.buffer.address() + pending.request.readable().len() as u64;
                    let mut data = self.transport.qtest().b64read(input, pending.request.writable())?;
                    let status = data.pop().unwrap_or(u8::MAX);
                    self.completed.insert(pending.ticket, Completion { written: used.written, status, data });
                }
                // What came before the interrupt was wanted causes none.
                if self.wait != Wait::Interrupt || self.completed.len() == before {
                    break;
                }
                ring.want_interrupt(true)?;
            }
        }
        Ok(())
    }

    /// Waits for the answer to a request.
    pub fn wait(&mut self, ticket: Ticket) -> Result<Completion, String> {
        let start = Instant::now();
        loop {
            self.look()?;
            if let Some(completion) = self.completed.remove(&ticket) {
                return Ok(completion);
            }
            if start.elapsed() > DEADLINE {
                return Err("no answer came".into());
            }
            let qtest = self.transport.qtest();
            match self.wait {
                Wait::Clock => drop(qtest.clock_step(STEP_NS)?),
                Wait::Look => {}
                Wait::Interrupt => {
                    qtest.await_high(self.transport.irq)?;
                    self.transport.acknowledge()?;
                }
            }
        }
    }

    /// Does a request and waits for its answer.
    pub fn execute(&mut self, queue: u16, request: Request, layout: Layout) -> Result<Completion, String> {
        let ticket = self.submit(queue, request, layout)?;
        self.wait(ticket)
    }

    /// Whether a request was answered.
    pub fn is_answered(&mut self, ticket: Ticket) -> Result<bool, String> {
        self.look()?;
        Ok(self.completed.contains_key(&ticket))
    }

    /// How many requests were not answered yet.
    pub fn unanswered(&mut self) -> Result<usize, String> {
        self.look()?;
        Ok(self.pending.len())
    }

    /// Resets the device. Nothing that it was asked is answered any more, and its memory is given back.
    pub fn reset(self) -> Result<Transport, String> {
        self.transport.reset()?;
        Ok(self.transport)
    }

    /// Starts a request of a guest that wants the answers in the order of its requests.
    pub fn start_next(&mut self, operation: &Operation) -> Result<(), String> {
        let ticket = self.submit(0, operation.try_into()?, Layout::default())?;
        self.in_order.push_back(ticket);
        Ok(())
    }

    /// Waits for the answer to its oldest request.
    pub fn answer(&mut self) -> Result<io::Result<Vec<u8>>, String> {
        let oldest = self.in_order.pop_front().ok_or("nothing was asked")?;
        self.wait(oldest).map(Completion::result)
    }

    /// How many of its requests have been answered and not been asked for.
    pub fn answered(&mut self) -> Result<usize, String> {
        self.look()?;
        Ok(self.completed.len())
    }
}
