//! What happens to the machine: something of all it can meet, at random.

use serde_json::{Value, json};

use crate::disk::Disk;
use crate::machine::{DISK, Machine};

/// Ports and registers, and what is written there.
pub const PVPANIC: u16 = 0x505;
pub const WATCHDOG: u16 = 0x443;
const WATCHDOG_OFF: u16 = 0x441;
pub const SLEEP_CONTROL: u64 = 0xfea0_0200;
const RESET: u64 = 0xfea0_0202;
const RESET_VALUE: u8 = 0x42;
const S3: u8 = 0x20 | 3 << 2;
const S4: u8 = 0x20 | 4 << 2;
pub const S5: u8 = 0x20 | 5 << 2;

/// How many acts an error names.
const REMEMBERED: usize = 12;

impl Machine {
    /// Does something, and sees what comes of it.
    pub fn act(&mut self) -> Result<(), String> {
        let outcome = self.act_and_hear();
        outcome.map_err(|error| {
            let last = self.acts.len().saturating_sub(REMEMBERED);
            format!("after {:?}: {error}", &self.acts[last..])
        })
    }

    fn act_and_hear(&mut self) -> Result<(), String> {
        let stopped = self.witness.stopped;
        let expected = match self.dice.number(0..40) {
            0..=12 => self.ask(),
            13..=17 => self.let_time_pass(),
            18..=19 if !stopped => self.command("stop", Value::Null, None),
            18..=23 if stopped => self.named("go on", Self::go_on),
            24 => self.command("system_reset", Value::Null, Some("RESET")),
            25 => self.write(RESET, RESET_VALUE, Some("RESET")),
            26 => self.reset_a_disk(),
            27 => self.choose_actions(),
            28 => self.panic(),
            29 => self.write(SLEEP_CONTROL, S3, (!self.witness.asleep && !stopped).then_some("SUSPEND")),
            30 => self.named("wake up", Self::wake_up),
            31 => self.command("system_powerdown", Value::Null, Some("POWERDOWN")),
            32 => {
                let sleep = self.dice.pick(&[S4, S5]);
                self.write(SLEEP_CONTROL, sleep, Some("SHUTDOWN"))
            }
            33 => self.arm_the_watchdog(),
            34 => self.out(WATCHDOG_OFF, 0),
            35 => self.move_the_limit(),
            36 => self.resize(),
            37..=38 => self.named("ask why", Self::ask_why),
            _ => self.named("come to rest", Self::come_to_rest),
        }?;
        // Answers before events: a stop that is heard of now was not before the answers.
        self.look()?;
        let (_, events) = self.hear()?;
        if let Some(expected) = expected
            && !events.iter().any(|event| event["event"] == expected)
        {
            return Err(format!("no {expected} among {events:?}"));
        }
        Ok(())
    }

    fn named(
        &mut self,
        name: &str,
        act: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<Option<&'static str>, String> {
        self.acts.push(name.into());
        act(self).map(|()| None)
    }

    /// A command that is carried out, and the event it causes.
    fn command(
        &mut self,
        name: &str,
        arguments: Value,
        expected: Option<&'static str>,
    ) -> Result<Option<&'static str>, String> {
        self.acts.push(format!("{name} {arguments}"));
        self.execute(name, arguments)?;
        Ok(expected)
    }

    fn write(
        &mut self,
        address: u64,
        value: u8,
        expected: Option<&'static str>,
    ) -> Result<Option<&'static str>, String> {
        self.acts.push(format!("writeb {address:#x} {value:#x}"));
        self.qtest.writeb(address, value)?;
        Ok(expected)
    }

    fn out(&mut self, port: u16, value: u8) -> Result<Option<&'static str>, String> {
        self.acts.push(format!("outb {port:#x} {value}"));
        self.qtest.outb(port, value)?;
        Ok(None)
    }

    /// A guest asks a disk for something.
    fn ask(&mut self) -> Result<Option<&'static str>, String> {
        let stop = self.stop();
        let at = self.dice.number(0..self.disks.len() as u64) as usize;
        self.acts.push(format!("ask {}", self.disks[at].name));
        for _ in 0..self.dice.number(1..5) {
            self.disks[at].ask(&mut self.dice, stop)?;
        }
        Ok(None)
    }

    fn let_time_pass(&mut self) -> Result<Option<&'static str>, String> {
        let most = self.dice.pick(&[1_000, 2_000_000_000, 40_000_000_000, 120_000_000_000]);
        let step = self.dice.number(1..most);
        self.acts.push(format!("clock_step {step}"));
        self.pass(step).map(|()| None)
    }

    fn reset_a_disk(&mut self) -> Result<Option<&'static str>, String> {
        let at = self.dice.number(0..self.disks.len() as u64) as usize;
        self.acts.push(format!("reset {}", self.disks[at].name));
        self.disks[at].reset(&mut self.dice).map(|()| None)
    }

    fn choose_actions(&mut self) -> Result<Option<&'static str>, String> {
        let panic = self.dice.pick(&["none", "pause", "shutdown"]);
        let watchdog = self.dice.pick(&["reset", "shutdown", "pause", "pause", "debug", "none", "inject-nmi"]);
        self.command("set-action", json!({"panic": panic}), None)?;
        self.command("watchdog-set-action", json!({"action": watchdog}), None)
    }

    fn panic(&mut self) -> Result<Option<&'static str>, String> {
        let (value, event) =
            self.dice.pick(&[(1, "GUEST_PANICKED"), (2, "GUEST_CRASHLOADED"), (4, "GUEST_PVSHUTDOWN")]);
        self.out(PVPANIC, value).map(|_| Some(event))
    }

    fn arm_the_watchdog(&mut self) -> Result<Option<&'static str>, String> {
        let value = self.dice.number(0..256) as u8;
        self.out(WATCHDOG, value)
    }

    fn move_the_limit(&mut self) -> Result<Option<&'static str>, String> {
        let limit = self.dice.number(0..DISK * 5 / 4);
        self.acts.push(format!("limit {limit}"));
        self.set_quota(limit).map(|()| None)
    }

    /// The disk that is well grows: one in use can't become smaller.
    fn resize(&mut self) -> Result<Option<&'static str>, String> {
        let grown = self.dice.number(1..64);
        let Some(well) = self.disks.iter_mut().find(|disk| disk.name == "well") else { return Ok(None) };
        let sectors = well.capacity()? + grown;
        well.resized(sectors);
        self.command("block_resize", json!({"node-name": "well", "size": sectors * 512}), None)?;
        let well = self.disks.iter().find(|disk| disk.name == "well").map(Disk::capacity).transpose()?;
        if well == Some(sectors) { Ok(None) } else { Err(format!("{well:?} sectors instead of {sectors}")) }
    }
}
