//! Power control, as ACPI has it without ports (ACPI 6.5 sections 4.8.3 and 5.6.9): the guest goes to sleep, shuts down or
//! resets itself by registers, and hears of the power button by an event.
//!
//! | register        | at             | access     |                                                                    |
//! |-----------------|----------------|------------|--------------------------------------------------------------------|
//! | event           | `events`       | read 4     | what happened since it was last read: 2 for the power button       |
//! | sleep control   | `registers`    | write 1    | with bit 5 set, bits 2 to 4 say where to: 3 S3, 4 S4, 5 S5         |
//! | sleep status    | `registers + 1`| write 1    | nothing                                                            |
//! | reset           | `registers + 2`| write 1    | 0x42 resets the machine                                            |
//!
//! A guest that asks for another sleep type expects to be halted by a machine that does not know how: neither may it run
//! on, nor can it be put to sleep. That is an internal error, as an instruction that a processor cannot emulate is one:
//! the VM stops until a reset.

use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::run_state::ShutdownCause;
use vl::{Transaction, Vm};
use vm_device::DeviceMmio;
use vm_device::bus::{MmioAddress, MmioAddressOffset};

use crate::device::Device;
use crate::irq::Line;
use crate::types::Type;

/// The type of such a device.
pub const TYPE: Type = Type::fixed("acpi-ged", "sys-bus-device");

/// How long the event register is.
pub(crate) const EVENTS_SIZE: u64 = 4;

/// How long the other registers are together.
pub(crate) const REGISTERS_SIZE: u64 = 3;

const POWER_BUTTON: u32 = 1 << 1;

const SLEEP_CONTROL: u64 = 0;
const RESET: u64 = 2;

const SLEEP_ENABLE: u8 = 1 << 5;
const S3: u8 = 3;
const S4: u8 = 4;
const S5: u8 = 5;
const RESET_VALUE: u8 = 0x42;

/// Where the registers are, and which input of the interrupt controller hears of events.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The event register.
    pub events: u64,
    /// The others.
    pub registers: u64,
    /// The input.
    pub input: u32,
}

/// The device.
pub struct Power {
    vm: Arc<Vm>,
    place: Place,
    line: Line,
    happened: Mutex<u32>,
}

impl Power {
    /// A device that nothing has happened to.
    pub(crate) fn new(vm: Arc<Vm>, place: Place, line: Line) -> Arc<Self> {
        Arc::new(Self { vm, place, line, happened: Mutex::default() })
    }

    fn write(&self, register: u64, value: u8) {
        match register {
            SLEEP_CONTROL if value & SLEEP_ENABLE != 0 => match value >> 2 & 7 {
                S3 => self.vm.suspend_request(),
                S4 => self.vm.suspend_disk_request(),
                S5 => self.vm.shutdown_request(ShutdownCause::GuestShutdown),
                other => {
                    self.vm.internal_error(&format!("the guest asks for sleep type {other}, which the machine lacks"));
                }
            },
            RESET if value == RESET_VALUE => {
                // A VM that can't be reset now is on its way to the end.
                let _ = self.vm.reset_request(ShutdownCause::GuestReset);
            }
            _ => {}
        }
    }
}

impl Device for Power {
    fn reset(&self, _: &mut Transaction<'_>) {
        *self.happened.lock() = 0;
    }

    fn powerdown(&self) {
        *self.happened.lock() |= POWER_BUTTON;
        self.line.set(true);
        self.line.set(false);
    }
}

impl DeviceMmio for Power {
    fn mmio_read(&self, base: MmioAddress, _: MmioAddressOffset, data: &mut [u8]) {
        match <&mut [u8; EVENTS_SIZE as usize]>::try_from(&mut *data) {
            Ok(whole) if base.0 == self.place.events => {
                *whole = std::mem::take(&mut *self.happened.lock()).to_le_bytes();
            }
            Ok(_) | Err(_) => data.fill(0),
        }
    }

    fn mmio_write(&self, base: MmioAddress, offset: MmioAddressOffset, data: &[u8]) {
        if base.0 == self.place.registers {
            (offset..).zip(data).for_each(|(register, value)| self.write(register, *value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Board;
    use crate::board::microvm::MICROVM;
    use crate::board::tests::{board, heard};
    use crate::board::virt::VIRT;
    use crate::irq::Interceptor;
    use std::sync::mpsc::Receiver;
    use vl::RunState;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u32, bool)>>);

    impl Interceptor for Heard {
        fn level(&self, input: u32, high: bool) {
            self.0.lock().push((input, high));
        }
    }

    fn read(board: &Board, address: u64) -> u32 {
        let mut data = [0xaa; 4];
        board.bus().memory_read(address, &mut data);
        u32::from_le_bytes(data)
    }

    /// What follows when a fresh guest writes this.
    fn written(offset: u64, value: u8) -> (Arc<Board>, Vec<String>) {
        let (board, events): (_, Receiver<_>) = board(&MICROVM, 0);
        board.bus().memory_write(0xfea0_0200 + offset, &[value]);
        let heard = heard(&events);
        (board, heard)
    }

    #[test]
    fn the_power_button_is_an_event_until_it_is_read() {
        for (kind, controller, events) in [(&MICROVM, "ioapic", 0xfea0_0000), (&VIRT, "gic", 0x0908_0000)] {
            let (board, _) = board(kind, 0);
            let interrupts = Arc::new(Heard::default());
            board.controller(controller).expect("there").intercept(interrupts.clone());
            board.vm().powerdown_request();
            assert_eq!(*interrupts.0.lock(), [(9, true), (9, false)]);
            assert_eq!((read(&board, events), read(&board, events)), (POWER_BUTTON, 0));
            board.vm().powerdown_request();
            board.vm().reset_request(ShutdownCause::GuestReset).expect("reset");
            assert_eq!(read(&board, events), 0);
        }
    }

    #[test]
    fn the_guest_sleeps_shuts_down_and_resets_itself() {
        assert_eq!(written(0, 0x20 | S5 << 2).1, ["SHUTDOWN"]);
        assert_eq!(written(0, 0x20 | S4 << 2).1, ["SUSPEND_DISK", "SHUTDOWN"]);
        assert_eq!(written(0, 0x20 | S3 << 2).1, ["SUSPEND"]);
        assert_eq!(written(2, 0x42).1, ["RESET"]);
        for (offset, value) in [(0, S5 << 2), (1, 0xff), (2, 0x43)] {
            assert_eq!(written(offset, value).1, [""; 0], "{offset} {value:#x}");
        }
    }

    #[test]
    fn a_sleep_type_that_there_is_not_is_an_internal_error() {
        for kind in [0, 1, 2, 6, 7] {
            let (board, heard) = written(0, SLEEP_ENABLE | kind << 2);
            assert_eq!(
                (heard, board.vm().transaction(|tx| tx.run_state())),
                (vec!["STOP".to_owned()], RunState::InternalError),
                "{kind}"
            );
        }
    }

    #[test]
    fn registers_that_are_written_read_as_zero() {
        let (board, _) = written(1, 0xff);
        assert_eq!(read(&board, 0xfea0_0200), 0);
        let mut byte = [0xaa];
        board.vm().powerdown_request();
        board.bus().memory_read(0xfea0_0000, &mut byte);
        assert_eq!((byte, read(&board, 0xfea0_0000)), ([0], POWER_BUTTON), "a byte tells nothing and takes nothing");
    }
}
