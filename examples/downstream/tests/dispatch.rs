//! One table serves whystop's commands and the VMM's own, and both speak of the same types.
#![allow(clippy::expect_used, reason = "a test fails by a panic")]

use std::sync::{Arc, Mutex};

use downstream::{Thermal, commands};
use qapi_schema::common::Timestamp;
use qapi_schema::run_state::Commands as _;
use qapi_schema::{CommandTable, Event, EventSink};
use serde_json::{Value, json};
use vl::{SystemClock, Vm};

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl EventSink for Recorder {
    fn emit(&self, _at: Timestamp, event: &dyn Event) {
        self.0.lock().expect("no panic").push(event.name().to_owned());
    }
}

struct Vmm {
    commands: CommandTable,
    events: Arc<Recorder>,
}

impl Vmm {
    fn running() -> Self {
        let events = Arc::new(Recorder::default());
        let vm = Arc::new(Vm::new(events.clone(), SystemClock));
        vm.cont().expect("runs");
        let thermal = Arc::new(Thermal::new(Arc::clone(&vm), 90_000));
        Self { commands: commands(&vm, &thermal).into_iter().collect(), events }
    }

    fn call(&self, name: &str, arguments: Value) -> Result<Value, String> {
        let command = self.commands.find(name).expect("a command");
        let arguments = arguments.as_object().expect("an object").clone();
        command.call(arguments).map(|reply| reply.value()).map_err(|error| error.to_string())
    }

    fn report(&self, millicelsius: i64) {
        let temperature = json!({ "millicelsius": millicelsius, "at": { "seconds": 1, "microseconds": 2 } });
        let reply = self.call("__com.example_report-temperature", json!({ "temperature": temperature }));
        assert_eq!(reply, Ok(json!({})));
    }
}

#[test]
fn heat_stops_the_vm_once_after_its_event() {
    let vmm = Vmm::running();
    vmm.report(90_000);
    assert_eq!(vmm.call("query-status", json!({})).expect("a status")["status"], "running");
    vmm.report(90_001);
    vmm.report(95_000);
    assert_eq!(vmm.call("query-stop-reason", json!({})).expect("a reason")["reason"], "user");
    let events = vmm.events.0.lock().expect("no panic").clone();
    assert_eq!(events, ["RESUME", "__com.example_TOO_HOT", "STOP", "__com.example_TOO_HOT"]);
}

#[test]
fn included_types_are_the_same_types() {
    let at: Timestamp = downstream::common::Timestamp { seconds: 1, microseconds: 2 };
    let temperature = downstream::thermal_vmm::ComExampleTemperature { millicelsius: 1, at };
    assert_eq!(serde_json::to_value(temperature).expect("serialisable")["at"]["seconds"], 1);
}

#[test]
fn arguments_are_checked_by_both_schemas() {
    let vmm = Vmm::running();
    let refused = vmm.call("__com.example_report-temperature", json!({ "temperature": { "millicelsius": 1 } }));
    assert_eq!(refused, Err("Parameter 'temperature.at' is missing".to_owned()));
    assert_eq!(vmm.call("stop", json!({ "x": 1 })), Err("Parameter 'x' is unexpected".to_owned()));
}

#[test]
fn clients_are_told_of_both_schemas() {
    let told = serde_json::to_string(&downstream::INTROSPECTION).expect("serialisable");
    for name in ["query-stop-reason", "STOP", "__com.example_query-thermal", "__com.example_TOO_HOT"] {
        assert!(told.contains(&format!(r#"{{"name":"{name}","#)), "{name}");
    }
}
