//! Who listens to the events of a machine, and knows what they must say.

use std::collections::HashMap;
use std::ops::Range;

use serde_json::Value;

/// How often the same report may come, in nanoseconds.
const PERIOD: u64 = 1_000_000_000;

/// What the events have said.
#[derive(Default)]
pub struct Witness {
    pub history: Vec<Value>,
    /// Between STOP and RESUME.
    pub stopped: bool,
    /// Between SUSPEND and WAKEUP, which stops do not end.
    pub asleep: bool,
    /// The latest stop: its id and reason.
    pub stop: Option<(u64, String)>,
    /// The disk has said that the VM stops: STOP is next.
    stopping: bool,
    /// When an event that is limited came last, at the earliest.
    limited: HashMap<[String; 3], u64>,
}

impl Witness {
    /// Takes an event that came within this time.
    pub fn hear(&mut self, event: &Value, time: &Range<u64>) -> Result<(), String> {
        let before = self.history.last().cloned().unwrap_or_default();
        let name = event["event"].as_str().unwrap_or_default();
        self.history.push(event.clone());
        let told = || format!("{event} after {before}");
        if std::mem::take(&mut self.stopping) && (name != "STOP" || event["data"]["reason"] != "ioerror") {
            return Err(format!("a stop for an I/O error without its STOP: {}", told()));
        }
        match name {
            "STOP" => self.hear_stop(event, &before).map_err(|what| format!("{what}: {}", told()))?,
            "RESUME" if !std::mem::take(&mut self.stopped) => return Err(format!("it was not stopped: {}", told())),
            "RESUME" => {}
            "SUSPEND" if std::mem::replace(&mut self.asleep, true) => return Err(format!("it sleeps: {}", told())),
            "WAKEUP" if self.stopped || !self.asleep => return Err(format!("it does not sleep: {}", told())),
            "WAKEUP" | "RESET" => self.asleep = false,
            "BLOCK_IO_ERROR" if event["data"]["action"] == "stop" => self.stopping = !self.stopped,
            "BLOCK_IO_ERROR" => self.limit(event, ["qom-path", "reason"], time)?,
            "WATCHDOG" if event["data"]["action"] == "pause" => {}
            "WATCHDOG" => self.limit(event, ["", ""], time)?,
            _ => {}
        }
        Ok(())
    }

    fn hear_stop(&mut self, event: &Value, before: &Value) -> Result<(), String> {
        if std::mem::replace(&mut self.stopped, true) {
            return Err("it was stopped".into());
        }
        let id = event["data"]["stop-id"].as_u64().ok_or("no id")?;
        let reason = event["data"]["reason"].as_str().ok_or("no reason")?;
        if id != self.stop.as_ref().map_or(0, |(id, _)| *id) + 1 {
            return Err("an id out of turn".into());
        }
        let cause = match reason {
            "ioerror" => Some(("BLOCK_IO_ERROR", &[Some("stop")][..])),
            "watchdog" => Some(("WATCHDOG", &[Some("pause")][..])),
            "panic" => Some(("GUEST_PANICKED", &[Some("pause"), Some("poweroff")][..])),
            "shutdown" => Some(("SHUTDOWN", &[None][..])),
            // By a client, or by the reset that RESET tells of next.
            "user" | "prelaunch" => None,
            _ => return Err("nothing here causes that".into()),
        };
        if let Some((name, actions)) = cause
            && (before["event"] != name || !actions.contains(&before["data"]["action"].as_str()))
        {
            return Err("the cause does not stand before".into());
        }
        self.stop = Some((id, reason.into()));
        Ok(())
    }

    fn limit(&mut self, event: &Value, key: [&str; 2], time: &Range<u64>) -> Result<(), String> {
        let [a, b] = key.map(|member| event["data"][member].to_string());
        let last = self.limited.insert([event["event"].to_string(), a, b], time.start);
        match last {
            Some(last) if time.end < last + PERIOD => Err(format!("too soon, {last} and {time:?}: {event}")),
            _ => Ok(()),
        }
    }

    /// Checks an answer to query-status, before which nothing came that was not heard.
    pub fn agrees(&self, status: &Value) -> Result<(), String> {
        let awake = !self.stopped && !self.asleep;
        let sleeps = !self.stopped && self.asleep;
        if status["running"] == awake
            && (status["status"] == "running") == awake
            && (status["status"] == "suspended") == sleeps
        {
            return Ok(());
        }
        let last = self.history.last();
        Err(format!("{status}, but stopped: {}, asleep: {}, last {last:?}", self.stopped, self.asleep))
    }

    /// Checks an answer to query-stop-reason against the status at that moment.
    pub fn agrees_why(&self, why: &Value, status: &Value) -> Result<(), String> {
        let reason = match status["status"].as_str().unwrap_or_default() {
            "running" => None,
            "paused" => Some("user"),
            "io-error" => Some("ioerror"),
            "guest-panicked" => Some("panic"),
            // They are called the same.
            other => Some(other),
        };
        let last = &why["last-stop"];
        let told = last["id"].as_u64().map(|id| (id, last["reason"].as_str().unwrap_or_default().to_owned()));
        let ended = !last["resumed-at"].is_null();
        if why["reason"].as_str() == reason && told == self.stop && (told.is_none() || ended != self.stopped) {
            return Ok(());
        }
        Err(format!("{why} while {status}, the last stop heard of is {:?}", self.stop))
    }
}
