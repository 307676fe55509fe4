//! Commands carried out on a machine, one after another.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hw::irq::{Controller, Interceptor};
use hw::{Board, Bus, VirtualClock};

use super::lines::{KEPT, Line};
use super::protocol::{Command, Encoding, Range, read_hex, write_hex, write_ok};
use super::refusal::Refusal;

/// Memory is filled, and read into an answer, in pieces of so many bytes, a multiple of 3 as Base64 has it.
const PIECE: usize = 3 << 10;

/// Base64 as QEMU writes it. It reads it with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The machine that the commands act on.
pub trait Target: Send + Sync {
    /// Its memory and ports.
    fn bus(&self) -> &Bus;

    /// Its clock, which commands move if it is a driven one.
    fn clock(&self) -> &VirtualClock;

    /// The interrupt controller of this name or QOM path.
    fn controller(&self, path: &str) -> Option<Arc<Controller>>;
}

impl Target for Board {
    fn bus(&self) -> &Bus {
        self.bus()
    }

    fn clock(&self) -> &VirtualClock {
        self.clock()
    }

    fn controller(&self, path: &str) -> Option<Arc<Controller>> {
        self.controller(path).cloned()
    }
}

/// What one client after another has said, as far as it matters to the next command.
pub struct Session {
    target: Arc<dyn Target>,
    /// Hears of the interrupts that a client asked for.
    interceptor: Arc<dyn Interceptor>,
    intercepted: Option<Arc<Controller>>,
    /// The data of the command that is carried out.
    data: Vec<u8>,
}

impl Session {
    /// Nothing was said yet. `interceptor` is told of the interrupts that a command asks for.
    pub fn new(target: Arc<dyn Target>, interceptor: Arc<dyn Interceptor>) -> Self {
        Self { target, interceptor, intercepted: None, data: Vec::new() }
    }

    /// Another client is about to come. As in QEMU what was intercepted still is, from low inputs on.
    pub fn begin(&self) {
        if let Some(controller) = &self.intercepted {
            controller.intercept(Arc::clone(&self.interceptor));
        }
    }

    /// Carries out the command in a line. Appends the answer, which is one line, to `out`.
    pub fn handle(&mut self, line: Line<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        let outcome = match line {
            Line::Whole(line) => Command::parse(line).and_then(|command| self.carry_out(command, out)),
            Line::TooLong => Err(Refusal::Line),
        };
        if let Err(refusal) = outcome {
            out.truncate(start);
            refusal.write(out);
        }
        if self.data.capacity() > KEPT {
            self.data = Vec::new();
        }
    }

    fn carry_out<'a>(&mut self, command: Command<'a>, out: &mut Vec<u8>) -> Result<(), Refusal<'a>> {
        let bus = self.target.bus();
        match command {
            Command::ClockStep(step) => return self.step(step, out),
            Command::ClockSet(time) => return self.set(time, out),
            Command::In(width, port) => {
                let mut bytes = [0; 4];
                bus.port_read(port, &mut bytes[..width.bytes().min(4)]);
                write_ok(out, format_args!("{:#06x}", u32::from_le_bytes(bytes)));
                return Ok(());
            }
            Command::Load(width, address) => {
                let mut bytes = [0; 8];
                bus.memory_read(address, &mut bytes[..width.bytes()]);
                write_ok(out, format_args!("{:#018x}", u64::from_le_bytes(bytes)));
                return Ok(());
            }
            Command::Read(encoding, range) => {
                self.read(encoding, range, out);
                return Ok(());
            }
            Command::Endianness => {
                // All machines there are.
                out.extend_from_slice(b"OK little\n");
                return Ok(());
            }
            Command::Out(width, port, value) => bus.port_write(port, &value.to_le_bytes()[..width.bytes().min(4)]),
            Command::Store(width, address, value) => bus.memory_write(address, &value.to_le_bytes()[..width.bytes()]),
            Command::Write(encoding, range, data) => self.write(encoding, range, data)?,
            Command::Fill(range, value) => self.fill(range, value),
            Command::InterceptIn(path, name) => self.intercept(path, name)?,
            // Controllers have no outputs: there is nothing behind them.
            Command::InterceptOut(path, _) if self.interceptable(path)?.is_some() => return Err(Refusal::NoPins),
            Command::InterceptOut(..) => {}
            Command::SetInput { path, name, number, level } => self.set_input(path, name, number, level)?,
            Command::LoadModule => return Err(Refusal::NoModules),
        }
        out.extend_from_slice(b"OK\n");
        Ok(())
    }

    fn step<'a>(&self, step: Option<i64>, out: &mut Vec<u8>) -> Result<(), Refusal<'a>> {
        let clock = self.clock("clock_step")?;
        let now = clock.now();
        let end = match step {
            Some(step) => now.checked_add_signed(step),
            None => Some(clock.deadline().ok_or(Refusal::NoDeadline)?),
        };
        let end = end.filter(|&end| end > now && i64::try_from(end).is_ok()).ok_or(Refusal::NoAdvance)?;
        write_ok(out, format_args!("{}", clock.advance_to(end)));
        Ok(())
    }

    fn set<'a>(&self, time: i64, out: &mut Vec<u8>) -> Result<(), Refusal<'a>> {
        let clock = self.clock("clock_set")?;
        let now = clock.advance_to(time.try_into().unwrap_or(0));
        if i64::try_from(now) != Ok(time) {
            return Err(Refusal::Late(now));
        }
        write_ok(out, format_args!("{now}"));
        Ok(())
    }

    /// The clock, if commands may move it.
    fn clock<'a>(&self, command: &'static str) -> Result<&VirtualClock, Refusal<'a>> {
        Some(self.target.clock()).filter(|clock| clock.is_driven()).ok_or(Refusal::Clock(command))
    }

    fn read(&self, encoding: Encoding, range: Range, out: &mut Vec<u8>) {
        out.extend_from_slice(match encoding {
            Encoding::Hex => b"OK 0x",
            Encoding::Base64 => b"OK ",
        });
        let mut piece = [0; PIECE];
        let mut text = [0; PIECE / 3 * 4];
        for (address, length) in pieces(range) {
            self.target.bus().memory_read(address, &mut piece[..length]);
            match encoding {
                Encoding::Hex => write_hex(out, &piece[..length]),
                Encoding::Base64 => {
                    // There is room for it.
                    let length = BASE64.encode_slice(&piece[..length], &mut text).unwrap_or_default();
                    out.extend_from_slice(&text[..length]);
                }
            }
        }
        out.push(b'\n');
    }

    fn write<'a>(&mut self, encoding: Encoding, range: Range, word: &'a [u8]) -> Result<(), Refusal<'a>> {
        self.data.clear();
        match encoding {
            Encoding::Hex => read_hex(word, &mut self.data)?,
            Encoding::Base64 => BASE64.decode_vec(word, &mut self.data).map_err(|_| Refusal::Base64)?,
        }
        // No more than LONGEST_DATA.
        let given = self.data.len() as u64;
        self.data.truncate(range.length as usize);
        self.target.bus().memory_write(range.address, &self.data);
        if encoding == Encoding::Hex && given < range.length {
            let address = range.address.wrapping_add(given);
            self.fill(Range { address, length: range.length - given }, 0);
        }
        Ok(())
    }

    fn fill(&self, range: Range, value: u8) {
        let piece = [value; PIECE];
        for (address, length) in pieces(range) {
            self.target.bus().memory_write(address, &piece[..length]);
        }
    }

    /// The controller of this name; `None` if it is the one that is intercepted.
    fn interceptable<'a>(&self, path: &str) -> Result<Option<Arc<Controller>>, Refusal<'a>> {
        let controller = self.target.controller(path).ok_or(Refusal::NoDevice)?;
        match &self.intercepted {
            None => Ok(Some(controller)),
            Some(intercepted) if Arc::ptr_eq(intercepted, &controller) => Ok(None),
            Some(_) => Err(Refusal::Intercepted),
        }
    }

    fn intercept<'a>(&mut self, path: &str, name: Option<&str>) -> Result<(), Refusal<'a>> {
        if name.is_some() {
            return Err(self.target.controller(path).map_or(Refusal::NoDevice, |_| Refusal::NamedInputs));
        }
        if let Some(controller) = self.interceptable(path)? {
            controller.intercept(Arc::clone(&self.interceptor));
            self.intercepted = Some(controller);
        }
        Ok(())
    }

    fn set_input<'a>(&self, path: &str, name: Option<&'a str>, number: i32, level: i32) -> Result<(), Refusal<'a>> {
        let controller = self.target.controller(path).ok_or(Refusal::NoDevice)?;
        if let Some(name) = name {
            return Err(Refusal::NoGroup(name));
        }
        let input = u32::try_from(number).ok().filter(|&input| input < controller.inputs());
        controller.line(input.ok_or(Refusal::NoInput(number))?).set(level != 0);
        Ok(())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("intercepted", &self.intercepted).finish_non_exhaustive()
    }
}

/// A range in pieces: where each starts, and how long it is. Addresses wrap around.
fn pieces(range: Range) -> impl Iterator<Item = (u64, usize)> {
    (0..range.length).step_by(PIECE).map(move |at| {
        let length = (range.length - at).min(PIECE as u64);
        (range.address.wrapping_add(at), length as usize)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::qtest::protocol::LONGEST_DATA;
    use hw::Timer;
    use parking_lot::Mutex;
    use proptest::prelude::*;
    use vl::Observer;
    use vm_memory::{GuestAddress, GuestMemoryMmap};

    const RAM: usize = 64 << 10;

    struct Machine {
        bus: Bus,
        clock: VirtualClock,
        controllers: Vec<Arc<Controller>>,
    }

    impl Target for Machine {
        fn bus(&self) -> &Bus {
            &self.bus
        }

        fn clock(&self) -> &VirtualClock {
            &self.clock
        }

        fn controller(&self, path: &str) -> Option<Arc<Controller>> {
            self.controllers.iter().find(|controller| controller.name() == path).cloned()
        }
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u32, bool)>>);

    impl Interceptor for Heard {
        fn level(&self, input: u32, high: bool) {
            self.0.lock().push((input, high));
        }
    }

    struct Bench {
        machine: Arc<Machine>,
        heard: Arc<Heard>,
        session: Session,
    }

    impl Bench {
        fn new(clock: VirtualClock) -> Self {
            let ram = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), RAM)]).expect("mapped");
            let controllers = ["ioapic", "other"].map(|name| Controller::new(name, 24)).to_vec();
            let machine = Arc::new(Machine { bus: Bus::new(ram), clock, controllers });
            let heard = Arc::<Heard>::default();
            let session = Session::new(machine.clone(), heard.clone());
            Self { machine, heard, session }
        }

        fn driven() -> Self {
            Self::new(VirtualClock::driven().expect("a thread"))
        }

        fn say(&mut self, line: impl AsRef<[u8]>) -> String {
            let mut out = b"before\n".to_vec();
            self.session.handle(Line::Whole(line.as_ref()), &mut out);
            let answer = String::from_utf8(out).expect("ASCII");
            let answer = answer.strip_prefix("before\n").expect("appended");
            answer.strip_suffix('\n').expect("a line").to_owned()
        }

        #[track_caller]
        fn plays(&mut self, lines: &[(&str, &str)]) {
            for (line, answer) in lines {
                assert_eq!(self.say(line), *answer, "{line}");
            }
        }
    }

    #[test]
    fn memory_is_read_as_it_was_written() {
        Bench::driven().plays(&[
            ("endianness", "OK little"),
            ("writeq 8 0x1122334455667788", "OK"),
            ("readq 8", "OK 0x1122334455667788"),
            ("readl 8", "OK 0x0000000055667788"),
            ("readw 9", "OK 0x0000000000006677"),
            ("readb 15", "OK 0x0000000000000011"),
            ("writeb 8 0x1ff", "OK"),
            ("read 8 3", "OK 0xff7766"),
            ("b64read 8 4", "OK /3dmVQ=="),
            ("b64read 8 0", "OK "),
            ("readq 0x100000", "OK 0x0000000000000000"),
            ("readq -4", "OK 0x0000000000000000"),
        ]);
    }

    #[test]
    fn data_is_cut_to_the_size_and_hexadecimal_data_filled_up_to_it() {
        Bench::driven().plays(&[
            ("memset 0 16 0xaa", "OK"),
            ("write 0 2 0x01020304", "OK"),
            ("write 4 4 0x05", "OK"),
            ("b64write 8 2 AQID", "OK"),
            ("b64write 12 4 AQI", "OK"),
            ("read 0 16", "OK 0x0102aaaa050000000102aaaa0102aaaa"),
            ("write 0 2 0x0g", "FAIL DATA must be 0x and an even number of hexadecimal digits"),
            ("write 0 2 1234", "FAIL DATA must be 0x and an even number of hexadecimal digits"),
            ("b64write 0 3 !!!!", "FAIL DATA is not valid Base64"),
            ("b64write 0 3 QUI", "OK"),
            ("memset 0 0 1", "OK"),
            ("readw 0", "OK 0x0000000000004241"),
        ]);
    }

    #[test]
    fn ports_have_at_least_four_digits() {
        Bench::driven().plays(&[
            ("inb 0x505", "OK 0x00ff"),
            ("inw 0x505", "OK 0xffff"),
            ("inl 0x505", "OK 0xffffffff"),
            ("outl 0x505 0", "OK"),
        ]);
    }

    #[test]
    fn the_clock_goes_forward_and_says_where_it_stands() {
        let mut bench = Bench::driven();
        bench.machine.clock.will_start();
        bench.plays(&[
            ("clock_step", "FAIL cannot advance clock to the next deadline because there is no pending deadline"),
            ("clock_step 0", "FAIL could not advance time"),
            ("clock_step 15", "OK 15"),
            ("clock_set 15", "OK 15"),
            ("clock_set 3", "FAIL 15"),
            ("clock_step -5", "FAIL could not advance time"),
            ("clock_set -5", "FAIL 15"),
            ("clock_step 9223372036854775807", "FAIL could not advance time"),
            ("clock_set 20", "OK 20"),
        ]);
    }

    #[test]
    fn timers_have_fired_before_the_answer_and_a_step_without_a_length_ends_at_the_next() {
        let mut bench = Bench::driven();
        bench.machine.clock.will_start();
        let line = bench.machine.controllers[0].line(3);
        let timers: Vec<Timer> = [100, 200]
            .map(|at| {
                let line = line.clone();
                let timer = bench.machine.clock.timer(move || line.set(at == 100));
                timer.arm(at);
                timer
            })
            .into();
        bench.plays(&[("irq_intercept_in ioapic", "OK"), ("clock_step", "OK 100")]);
        assert_eq!(*bench.heard.0.lock(), [(3, true)]);
        bench.plays(&[("clock_step", "OK 200")]);
        assert_eq!(*bench.heard.0.lock(), [(3, true), (3, false)]);
        timers[0].arm(300);
        bench.machine.clock.stopped();
        assert!(bench.say("clock_step").starts_with("FAIL cannot advance clock"), "nothing fires while it is stopped");
    }

    #[test]
    fn the_host_s_clock_is_nobody_s_to_move() {
        Bench::new(VirtualClock::host().expect("a thread")).plays(&[
            ("clock_step 1", "FAIL Unknown command 'clock_step'"),
            ("clock_set 1", "FAIL Unknown command 'clock_set'"),
        ]);
    }

    #[test]
    fn one_controller_is_intercepted() {
        let mut bench = Bench::driven();
        bench.plays(&[
            ("irq_intercept_in nothing", "FAIL Unknown device"),
            ("irq_intercept_in nothing a", "FAIL Unknown device"),
            ("irq_intercept_in ioapic a", "FAIL Interception of named in-GPIOs not yet supported"),
            ("irq_intercept_out ioapic", "FAIL No intercepts installed"),
            ("irq_intercept_in ioapic", "OK"),
            ("irq_intercept_in ioapic", "OK"),
            ("irq_intercept_out ioapic", "OK"),
            ("irq_intercept_in other", "FAIL IRQ intercept already enabled"),
            ("set_irq_in ioapic unnamed-gpio-in 5 1", "OK"),
            ("set_irq_in ioapic unnamed-gpio-in 5 2", "OK"),
            ("set_irq_in ioapic unnamed-gpio-in 5 0", "OK"),
            ("set_irq_in ioapic unnamed-gpio-in 24 1", "FAIL the device has no input 24"),
            ("set_irq_in ioapic unnamed-gpio-in -1 1", "FAIL the device has no input -1"),
            ("set_irq_in ioapic a 5 1", "FAIL the device has no inputs 'a'"),
            ("set_irq_in nothing a 5 1", "FAIL Unknown device"),
        ]);
        assert_eq!(*bench.heard.0.lock(), [(5, true), (5, false)]);
    }

    #[test]
    fn another_client_starts_with_low_inputs() {
        let mut bench = Bench::driven();
        let raise = ("set_irq_in ioapic unnamed-gpio-in 5 1", "OK");
        bench.session.begin();
        bench.plays(&[("irq_intercept_in ioapic", "OK"), raise, raise]);
        assert_eq!(*bench.heard.0.lock(), [(5, true)]);
        bench.session.begin();
        bench.plays(&[("set_irq_in ioapic unnamed-gpio-in 6 0", "OK"), raise]);
        assert_eq!(*bench.heard.0.lock(), [(5, true), (5, true)]);
    }

    #[test]
    fn a_refused_command_leaves_only_its_refusal() {
        let mut out = b"OK\n".to_vec();
        Bench::driven().session.handle(Line::TooLong, &mut out);
        assert_eq!(out, b"OK\nFAIL the line is longer than 134217984 bytes\n");
    }

    #[test]
    fn the_most_data_there_can_be_fits_into_a_line() {
        let line = format!("write 0xffffffffffffffff {LONGEST_DATA} 0x");
        assert!(line.len() + 2 * LONGEST_DATA as usize <= crate::qtest::protocol::LONGEST_LINE);
    }

    proptest! {
        #[test]
        fn whatever_a_line_says_it_has_one_answer(
            words in prop::collection::vec(prop_oneof![
                prop::sample::select(&[
                    "clock_step", "clock_set", "outb", "inl", "writeb", "writeq", "readl", "read", "write", "b64read",
                    "b64write", "memset", "irq_intercept_in", "irq_intercept_out", "set_irq_in", "endianness", "module_load",
                    "ioapic", "unnamed-gpio-in", "0x00", "QUI=", "-1", "0xfffffffffffffffe", "7", "", "0x1000",
                ][..]).prop_map(|word| word.as_bytes().to_vec()),
                any::<u16>().prop_map(|number| number.to_string().into_bytes()),
                prop::collection::vec(any::<u8>().prop_filter("no line's end", |byte| *byte != b'\n'), 0..8),
            ], 0..6),
        ) {
            let answer = Bench::driven().say(words.join(&b' '));
            prop_assert!(!answer.contains('\n'));
            prop_assert!(["OK", "FAIL ", "ERR "].iter().any(|start| answer.starts_with(start)), "{answer}");
        }

        #[test]
        fn data_comes_back_in_either_encoding(data in prop::collection::vec(any::<u8>(), 1..10_000), address in 0..2000_u64) {
            let mut bench = Bench::driven();
            let (mut hex, size) = (b"0x".to_vec(), data.len());
            write_hex(&mut hex, &data);
            let base64 = BASE64.encode(&data);
            let (hex, base64) = (String::from_utf8(hex).expect("ASCII"), base64);
            for write in [format!("write {address} {size} {hex}"), format!("b64write {address} {size} {base64}")] {
                prop_assert_eq!(bench.say(write), "OK");
                prop_assert_eq!(bench.say(format!("read {address} {size}")), format!("OK {hex}"));
                prop_assert_eq!(bench.say(format!("b64read {address} {size}")), format!("OK {base64}"));
                prop_assert_eq!(bench.say(format!("memset 0 {RAM} 0")), "OK");
            }
        }
    }
}
