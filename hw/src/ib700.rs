//! `ib700`: a watchdog. A guest that does not arm it again in time is taken for dead.

use std::sync::Arc;
use std::time::Duration;

use qapi_schema::Error;
use vl::Transaction;
use vm_device::DevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};

use crate::board::{Board, taken};
use crate::clock::{Timer, VirtualClock};
use crate::device::{BusKind, Device, Site};
use crate::types::Type;

/// Two ports that disarm the timer, then two that arm it.
const BASE: u16 = 0x441;
const ARM: usize = 2;
const PORTS: u16 = 4;

/// The device.
pub const TYPE: Type =
    Type { description: "watchdog iBASE 700", plug: Some((BusKind::Isa, plug)), ..Type::fixed("ib700", "isa-device") };

struct Ib700 {
    clock: Arc<VirtualClock>,
    timer: Timer,
}

fn plug(board: &Board, _: &Site<'_>) -> Result<Arc<dyn Device>, Error> {
    let timer = board.clock().guest_timer(board.vm().clone(), |tx| tx.watchdog_expired());
    let device = Arc::new(Ib700 { clock: board.clock().clone(), timer });
    let mapped = board.bus().map_ports(BASE, PORTS, device.clone());
    mapped.map_err(|error| taken(&format!("port {BASE:#x}"), error))?;
    Ok(device)
}

impl Ib700 {
    fn write(&self, port: usize, value: u8) {
        if port < ARM {
            return self.timer.disarm();
        }
        let timeout = Duration::from_secs(30 - 2 * u64::from(value & 0xf));
        let nanoseconds = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.timer.arm(self.clock.now().saturating_add(nanoseconds));
    }
}

impl Device for Ib700 {
    fn reset(&self, _: &mut Transaction<'_>) {
        self.timer.disarm();
    }
}

impl DevicePio for Ib700 {
    fn pio_read(&self, _: PioAddress, _: PioAddressOffset, data: &mut [u8]) {
        data.fill(0xff);
    }

    fn pio_write(&self, _: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        (offset.into()..).zip(data).for_each(|(port, value)| self.write(port, *value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::Receiver;
    use std::thread;

    use crate::Board;
    use crate::board::microvm::MICROVM;
    use crate::board::tests::{add, board, heard};
    use proptest::prelude::*;
    use qapi_schema::run_state::{Commands as _, RunState, ShutdownCause, WatchdogAction};
    use serde_json::json;
    use vl::Transaction;

    const SECOND: u64 = 1_000_000_000;

    fn watched() -> (Arc<Board>, Receiver<String>) {
        let (board, events) = board(&MICROVM, 0);
        board.vm().set_action(None, None, None, Some(WatchdogAction::None)).expect("set");
        add(&board, json!({"driver": "ib700"})).expect("plugged in");
        (board, events)
    }

    #[test]
    fn it_expires_once_when_its_time_is_over() {
        let (board, events) = watched();
        let at = |seconds: u64| {
            board.clock().advance_to(seconds * SECOND);
            heard(&events).len()
        };
        board.bus().port_write(0x443, &[13]);
        assert_eq!((at(3), at(4), at(100)), (0, 1, 0));
        board.bus().port_write(0x443, &[0xf0]);
        assert_eq!((at(129), at(130)), (0, 1));
        let mut data = [0; 4];
        board.bus().port_read(0x441, &mut data);
        assert_eq!(data, [0xff; 4]);
    }

    #[test]
    fn a_reset_disarms_it_and_a_stopped_vm_has_no_time() {
        let (board, events) = watched();
        board.bus().port_write(0x443, &[14]);
        board.vm().reset_request(ShutdownCause::GuestReset).expect("reset");
        board.clock().advance_to(100 * SECOND);
        assert_eq!(heard(&events), ["RESET"]);
    }

    /// What is heard if this happens after the clock has come to the deadline, and before the watchdog is heard.
    fn overtaken_by(what: impl FnOnce(&mut Transaction<'_>)) -> (Arc<Board>, Receiver<String>, Vec<String>) {
        let (board, events) = watched();
        board.bus().port_write(0x443, &[14]);
        thread::scope(|scope| {
            board.vm().transaction(|tx| {
                scope.spawn(|| board.clock().advance_to(2 * SECOND));
                while board.clock().now() < 2 * SECOND {
                    thread::yield_now();
                }
                what(tx);
            });
        });
        let heard = heard(&events);
        (board, events, heard)
    }

    #[test]
    fn a_guest_that_was_reset_is_not_taken_for_the_one_that_was_late() {
        let (.., heard) = overtaken_by(|tx| tx.reset(ShutdownCause::GuestReset).expect("reset"));
        assert_eq!(heard, ["RESET"]);
    }

    #[test]
    fn it_expires_when_the_vm_goes_on_if_a_stop_was_first() {
        let (board, events, heard) = overtaken_by(|tx| tx.vm_stop(RunState::Paused).expect("stopped"));
        assert_eq!(heard, ["STOP"]);
        board.vm().transaction(|tx| tx.vm_start()).expect("started");
        assert_eq!([events.recv(), events.recv()], [Ok("RESUME".into()), Ok("WATCHDOG".into())]);
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Arm(u8),
        Disarm,
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![any::<u8>().prop_map(Step::Arm), Just(Step::Disarm), (1..20u64).prop_map(Step::Pass)];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_expires_when_a_model_says(steps in steps()) {
            let (board, events) = watched();
            let (mut now, mut deadline) = (0, None);
            for step in steps {
                match step {
                    // At once would be the clock's thread's business.
                    Step::Arm(value) if value & 0xf == 0xf => {}
                    Step::Arm(value) => {
                        board.bus().port_write(0x443, &[value]);
                        deadline = Some(now + 30 - 2 * u64::from(value & 0xf));
                    }
                    Step::Disarm => {
                        board.bus().port_write(0x441, &[0]);
                        deadline = None;
                    }
                    Step::Pass(seconds) => {
                        now += seconds;
                        board.clock().advance_to(now * SECOND);
                        let expired = deadline.take_if(|deadline| *deadline <= now).is_some();
                        prop_assert_eq!(heard(&events).len(), usize::from(expired));
                    }
                }
            }
        }
    }
}
