//! What a VM tells whom, written down in its order.

use std::sync::{Arc, Mutex};

use qapi_schema::common::Timestamp;
use qapi_schema::run_state::Commands;
use qapi_schema::{Event, EventSink};
use vl::{Clock, End, Observer, Vm, WakeupReason};

/// Notes everything that happens, as text.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    fn note(&self, text: String) {
        self.0.lock().expect("no panic").push(text);
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().expect("no panic"))
    }
}

impl EventSink for Journal {
    fn emit(&self, at: Timestamp, event: &dyn Event) {
        let data = event.data().map_or(String::new(), |data| format!(" {}", data.value()));
        self.note(format!("{} {}{data}", at.seconds, event.name()));
    }
}

/// An observer that notes what it is told.
pub struct Named(pub &'static str, pub Journal);

impl Named {
    fn note(&self, what: &str) {
        self.1.note(format!("{}: {what}", self.0));
    }
}

impl Observer for Named {
    fn will_start(&self) {
        self.note("will start");
    }

    fn started(&self) {
        self.note("started");
    }

    fn stopped(&self) {
        self.note("stopped");
    }

    fn reset(&self, _: &mut vl::Transaction<'_>) {
        self.note("reset");
    }

    fn suspended(&self) {
        self.note("suspended");
    }

    fn woken(&self, reason: WakeupReason) {
        self.note(&format!("woken {reason:?}"));
    }

    fn powerdown(&self) {
        self.note("powerdown");
    }

    fn ended(&self, end: End) {
        self.note(&format!("ended {} {}", end.cause, end.status));
    }

    fn drain(&self) {
        self.note("drain");
    }
}

pub struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp { seconds: 12, microseconds: 0 }
    }
}

pub fn running_vm() -> (Vm, Journal) {
    let journal = Journal::default();
    let vm = Vm::new(Arc::new(journal.clone()), Noon);
    vm.cont().expect("started");
    journal.take();
    (vm, journal)
}
