//! A disk of the machine, with its driver, and a model of what it holds.

use std::ops::Range;
use std::sync::Arc;

use crate::dice::Dice;
use crate::support::virtio_blk::memory::GuestMemory;
use crate::support::virtio_blk::mmio::Transport;
use crate::support::virtio_blk::request::{Cut, IOERR, Layout, OK, Request, SECTOR, Segment};
use crate::support::virtio_blk::{EVENT_IDX, INDIRECT_DESC, KNOWN, Options, Ticket, VirtioBlk, Wait};

/// The longest request, in sectors.
pub const LONGEST: u64 = 64;

/// Unmap the zeroes.
const UNMAP: u32 = 1;

/// What becomes of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errors {
    /// The guest sees none: there are none, or the VM stops until they are gone.
    Hidden,
    /// Writes to a bad sector fail, and say so.
    Reported,
    /// They fail, and do not.
    Ignored,
}

/// What a request will have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Reads,
    Writes(u32),
    Discards,
    Zeroes,
    None,
}

/// A request that was not answered yet.
struct Flight {
    ticket: Ticket,
    sectors: Range<u64>,
    effect: Effect,
    /// It was made in this stop, in which it can't be answered.
    stop: Option<u64>,
}

/// A disk.
pub struct Disk {
    pub name: &'static str,
    errors: Errors,
    driver: Option<VirtioBlk>,
    transport: Transport,
    memory: Arc<GuestMemory>,
    /// What each sector may hold: a number, again and again.
    sectors: Vec<Vec<u32>>,
    flights: Vec<Flight>,
    /// The last number that was written.
    number: u32,
}

impl Disk {
    pub fn new(name: &'static str, errors: Errors, transport: Transport, memory: &Arc<GuestMemory>) -> Self {
        Self {
            name,
            errors,
            driver: None,
            transport,
            memory: memory.clone(),
            sectors: Vec::new(),
            flights: Vec::new(),
            number: 0,
        }
    }

    /// Takes it into service, for the first time or after the machine was reset. What was asked before is forgotten: it may
    /// have been done, or not.
    pub fn start(&mut self, dice: &mut Dice) -> Result<(), String> {
        self.flights.clear();
        self.driver = None;
        let without = dice.pick(&[0, EVENT_IDX, INDIRECT_DESC, EVENT_IDX | INDIRECT_DESC]);
        let options =
            Options { features: KNOWN & !without, queues: dice.number(1..3) as u16, queue_size: 32, wait: Wait::Look };
        let driver = VirtioBlk::start(self.transport.clone(), &self.memory, options).map_err(self.in_words())?;
        self.resized(driver.capacity()?);
        self.driver = Some(driver);
        Ok(())
    }

    /// The driver resets the device.
    pub fn reset(&mut self, dice: &mut Dice) -> Result<(), String> {
        self.transport.reset().map_err(self.in_words())?;
        self.start(dice)
    }

    /// The disk has this many sectors now; new ones hold zeroes.
    pub fn resized(&mut self, sectors: u64) {
        self.sectors.resize(sectors as usize, vec![0]);
    }

    /// Its size in sectors, as the device says.
    pub fn capacity(&self) -> Result<u64, String> {
        self.driver()?.capacity()
    }

    /// How many requests are under way.
    pub fn unanswered(&self) -> usize {
        self.flights.len()
    }

    /// Makes a request at random, in the stop of this id if there is one.
    pub fn ask(&mut self, dice: &mut Dice, stop: Option<u64>) -> Result<(), String> {
        let start = dice.number(0..self.sectors.len() as u64);
        let sectors = start..(start + dice.number(1..LONGEST)).min(self.sectors.len() as u64);
        // Two at the same place have no order.
        if self.flights.iter().any(|other| other.sectors.start < sectors.end && sectors.start < other.sectors.end) {
            return Ok(());
        }
        self.number += 1;
        let number = self.number;
        let effect = match dice.number(0..10) {
            0..=3 => Effect::Writes(number),
            4..=6 => Effect::Reads,
            7 => Effect::Discards,
            8 => Effect::Zeroes,
            _ => Effect::None,
        };
        self.submit(dice, sectors, effect, stop)
    }

    fn submit(
        &mut self,
        dice: &mut Dice,
        sectors: Range<u64>,
        effect: Effect,
        stop: Option<u64>,
    ) -> Result<(), String> {
        let length = ((sectors.end - sectors.start) * SECTOR) as usize;
        let segment = |flags| [Segment { sector: sectors.start, sectors: (sectors.end - sectors.start) as u32, flags }];
        let request = match effect {
            Effect::Reads => Request::read(sectors.start, length),
            Effect::Writes(number) => Request::write(sectors.start, number.to_le_bytes().repeat(length / 4)),
            Effect::Discards => Request::discard(&segment(0)),
            Effect::Zeroes => Request::write_zeroes(&segment(if dice.flip() { UNMAP } else { 0 })),
            Effect::None => Request::flush(),
        };
        let driver = self.driver.as_mut().ok_or("not in service")?;
        let queue = dice.number(0..driver.queues.len() as u64) as u16;
        let indirect = driver.features & INDIRECT_DESC != 0 && dice.flip();
        let cut = dice.pick(&[Cut::Parts, Cut::Merged, Cut::Pieces(8192)]);
        if driver.queues[usize::from(queue)].room() < 16 {
            return Ok(());
        }
        let ticket = driver.submit(queue, request, Layout { cut, indirect })?;
        let may_become = match effect {
            Effect::Reads | Effect::None => None,
            Effect::Writes(number) => Some(number),
            Effect::Discards | Effect::Zeroes => Some(0),
        };
        let span = sectors.start as usize..sectors.end as usize;
        self.sectors[span].iter_mut().for_each(|may_be| may_be.extend(may_become));
        self.flights.push(Flight { ticket, sectors, effect, stop });
        Ok(())
    }

    /// Looks for answers, in the stop of this id if there is one, and checks them.
    pub fn look(&mut self, stop: Option<u64>) -> Result<(), String> {
        let in_words = self.in_words();
        let driver = self.driver.as_mut().ok_or("not in service")?;
        for flight in std::mem::take(&mut self.flights) {
            if !driver.is_answered(flight.ticket)? {
                self.flights.push(flight);
                continue;
            }
            if stop.is_some() && flight.stop == stop {
                return Err(in_words("a request was answered in the stop that it was made in".into()));
            }
            let answer = driver.wait(flight.ticket)?;
            let Flight { sectors, effect, .. } = flight;
            let writes = !matches!(effect, Effect::Reads | Effect::None | Effect::Discards);
            let fails = self.errors == Errors::Reported && writes && sectors.clone().any(is_bad);
            if answer.status != if fails { IOERR } else { OK } {
                return Err(in_words(format!("{effect:?} {sectors:?} has status {}", answer.status)));
            }
            let certain = self.errors == Errors::Hidden || !sectors.clone().any(is_bad);
            for (at, sector) in (0..).zip(sectors) {
                let may_be = &mut self.sectors[sector as usize];
                match effect {
                    Effect::Reads => {
                        let bytes = &answer.data[at * SECTOR as usize..][..SECTOR as usize];
                        *may_be = vec![holds(bytes, may_be).map_err(|what| in_words(format!("{sector}: {what}")))?];
                    }
                    Effect::Writes(number) if certain => *may_be = vec![number],
                    Effect::Zeroes if certain => *may_be = vec![0],
                    Effect::Writes(_) | Effect::Zeroes | Effect::Discards | Effect::None => {}
                }
            }
        }
        Ok(())
    }

    /// Asks for a part that begins here, if there is one, and for all to be kept.
    pub fn ask_for(&mut self, dice: &mut Dice, start: u64) -> Result<(), String> {
        let end = (start + LONGEST).min(self.sectors.len() as u64);
        if start < end {
            self.submit(dice, start..end, Effect::Reads, None)?;
        }
        self.submit(dice, 0..1, Effect::None, None)
    }

    /// Whether its image is what it should be.
    pub fn is_kept_in(&self, image: &[u8]) -> Result<(), String> {
        if image.len() as u64 != self.sectors.len() as u64 * SECTOR {
            return Err((self.in_words())(format!("an image of {} bytes", image.len())));
        }
        for (sector, (bytes, may_be)) in image.chunks(SECTOR as usize).zip(&self.sectors).enumerate() {
            holds(bytes, may_be).map_err(|what| (self.in_words())(format!("{sector} of the image: {what}")))?;
        }
        Ok(())
    }

    fn driver(&self) -> Result<&VirtioBlk, String> {
        self.driver.as_ref().ok_or_else(|| "not in service".into())
    }

    fn in_words(&self) -> impl Fn(String) -> String + use<> {
        let name = self.name;
        move |what| format!("disk {name}: {what}")
    }
}

/// Sectors that blkdebug lets no write through to.
pub fn is_bad(sector: u64) -> bool {
    sector.is_multiple_of(BAD)
}

/// Every so many sectors there is a bad one.
pub const BAD: u64 = 256;

/// What a sector holds, of what it may hold.
fn holds(bytes: &[u8], may_be: &[u32]) -> Result<u32, String> {
    let words: Vec<u32> = bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    match may_be.iter().find(|number| words.iter().all(|word| word == *number)) {
        Some(number) => Ok(*number),
        None => Err(format!("holds {:?} and may hold {may_be:?}", &words[..4])),
    }
}
