//! The machine beside QEMU's: the same qtest lines to both, and the same answers.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "support/mod.rs"]
mod support;

use support::emulator::Reference;

#[test]
fn the_reference_understands_this_client() {
    let Some(reference) = Reference::find() else { return };
    let mut machine =
        reference.start(&["-M", "microvm", "-nodefaults", "-m", "16", "-device", "pvpanic"]).expect("QEMU");
    let qtest = &machine.qtest;
    qtest.writel(0x10_0000, 0x1234_5678).expect("RAM");
    assert_eq!(qtest.readw(0x10_0002), Ok(0x1234));
    let data: Vec<u8> = (0..=255).collect();
    qtest.write(0x10_0101, &data).expect("RAM");
    assert_eq!(qtest.b64read(0x10_0101, 256), Ok(data.clone()));
    qtest.b64write(0x10_1000, &data).expect("RAM");
    qtest.memset(0x10_1001, 2, 0xa5).expect("RAM");
    assert_eq!(qtest.read(0x10_1000, 4), Ok(vec![0, 0xa5, 0xa5, 3]));
    assert_eq!(qtest.inb(0x505), Ok(7));
    qtest.irq_intercept_in("ioapic").expect("an interrupt controller");
    qtest.set_irq_in("ioapic", None, 5, true).expect("an input");
    qtest.outb(0x505, 1).expect("pvpanic");
    assert_eq!(machine.qmp.event("GUEST_PANICKED").expect("an event")["action"], "pause");
    if reference.has_clock {
        let now = qtest.clock_step(100).expect("a clock");
        assert_eq!(qtest.clock_set(now + 900), Ok(now + 900));
        assert!(qtest.clock_set(0).is_err());
    }
    assert_eq!(qtest.ask("nonsense 1"), Err("nonsense 1: FAIL Unknown command 'nonsense'".into()));
    machine.end().expect("a clean end");
}
