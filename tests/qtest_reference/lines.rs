//! The protocol: every command, well and badly formed, in RAM, at its borders, and where there is nothing.

use crate::compare::{Scene, assert_as_the_reference, assert_repeatable};

/// The machine's RAM ends here.
const END: u64 = 16 << 20;

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

/// Every width at every alignment, in RAM, across its end and where there is nothing, in every base.
fn accesses() -> Vec<String> {
    let mut lines = Vec::new();
    let values = ["0", "1", "0x7f", "0xff", "255", "0377", "0x1ff", "0x123456789abcdef0", "0xffffffffffffffff", "-1"];
    let places = [0x10_0000, 0x10_0fff, 0x20_0001, 0x20_0003, 0x30_0006, END - 8, END - 4, END - 1, END, END + 0x1000];
    for (at, place) in places.into_iter().enumerate() {
        for (width, value) in "bwlq".chars().zip(values.iter().cycle().skip(at)) {
            lines.push(format!("write{width} {place:#x} {value}"));
            lines.extend("bwlq".chars().map(|width| format!("read{width} {place}")));
        }
    }
    lines.extend(values.map(|value| format!("writeq 0x400000 {value}")));
    lines.extend(["readq 0x400000", "readq 0X400000", "readq 017777777", "readl 4194304"].map(str::to_owned));
    for place in ["0xe0000000", "0x100000000", "0xffffffffffffffff", "0x7fffffffffffffff", "0xfffffffffffffff9"] {
        lines.extend("bwlq".chars().map(|width| format!("read{width} {place}")));
        lines.push(format!("writeb {place} 1"));
    }
    lines
}

/// Buffers, short and long, with more and fewer bytes than told.
fn buffers() -> Vec<String> {
    let mut lines = owned(&[
        "write 0x100000 4 0x01020304",
        "read 0x100000 4",
        "read 0x100003 6",
        "write 0x100000 4 0xa1",
        "read 0x100000 4",
        "write 0x100000 2 0xb1b2b3b4",
        "read 0x100000 4",
        "write 0x100000 0 0xff",
        "write 0x100000 1 0xABCDEF",
        "read 0x100000 1",
        "write 0x100000 4 0xzz01--02",
        "write 0x100000 4 01020304",
        "write 0x100000 4 0x0",
        "write 0x100000 4 0xa1a2a3a4",
        "write 0x100000 4 0x",
        "write 0x100000 4 x",
        "write 0x100000 0x10 0x000102030405060708090a0b0c0d0e0f",
        "read 0x100000 0x10",
        "read 0x100008 1",
        "b64write 0x200000 4 AQIDBA==",
        "b64read 0x200000 4",
        "b64read 0x200000 1",
        "b64read 0x200000 2",
        "b64read 0x200000 3",
        "b64read 0x200000 0",
        "b64write 0x200000 3 ////",
        "b64read 0x200000 3",
        "b64write 0x200000 1 AA",
        "b64write 0x200000 2 A==",
        "memset 0x300000 16 0xa5",
        "read 0x300000 17",
        "memset 0x300000 0 0x11",
        "memset 0x300001 2 0x1ff",
        "read 0x300000 4",
        "memset 0x300001 2 256",
        "read 0x300000 4",
        "memset 0x300000 4 -1",
        "read 0x300000 4",
    ]);
    for (start, length) in [(END - 4, 8), (END, 4), (END - 4096, 8192)] {
        lines.push(format!("memset {start:#x} {length} 0x77"));
        lines.push(format!("read {start:#x} {length}"));
        lines.push(format!("b64read {start:#x} {length}"));
        lines.push(format!("write {start:#x} {length} 0x{}", "5a".repeat(length)));
        lines.push(format!("read {start:#x} {length}"));
    }
    let long = 1 << 20;
    lines.push(format!("memset 0x400000 {long} 0x3c"));
    lines.push(format!("b64read 0x400000 {long}"));
    lines.push("read 0x4ffff0 32".into());
    lines.push(format!("write 0x500000 65536 0x{}", "0123456789abcdef".repeat(8192)));
    lines.push("b64read 0x500000 65536".into());
    lines
}

/// Ports where nothing is, and lines that are none.
fn refusals() -> Vec<String> {
    let mut lines = owned(&[
        "nonsense",
        "nonsense 1 2 3",
        "READB 0",
        "readb:",
        " readb 0",
        "\treadb 0",
        "ok",
        "OK",
        "quit",
        "readb 0x100000 ",
        "readb 0x100000 1 2 3",
        "writeb 0x100000 1 2 3",
        "writeb 0x100000 1 ",
        "endianness",
        "endianness 1",
        "endianness ",
        "module_load a b",
        "module_load block- nonsense",
        "clock_step",
        "clock_step 0",
        "clock_step -1",
        "clock_step 1",
        "clock_step 0x10",
        "clock_step 010",
        "clock_set 1",
        "clock_set 25",
        "clock_set 26",
        "clock_set 100",
        "clock_set 0x100",
        "clock_set -1",
        "clock_step 1000000000",
        "clock_step 9223372036854775807",
        "clock_step 1 2",
        "clock_set 2000000000 1",
    ]);
    for port in [0, 0x80, 0x1234, 0xfffc, 0xffff] {
        lines.push(format!("outb {port:#x} 0x5a"));
        lines.extend("bwl".chars().map(|width| format!("in{width} {port:#x}")));
    }
    // Where the reference aborts.
    for line in [
        "",
        "readb",
        "readb ",
        "readb  0x100000",
        "readb x",
        "readb 0x",
        "readb 0x10g",
        "readb 08",
        "readb 1.5",
        "readb 0x10000000000000000",
        "readb 0x100000\r",
        "writeb 0x100000",
        "writeb 0x100000 x",
        "writeb 0x100000 ",
        "writeq 0x100000 0x10000000000000000",
        "read 0x100000",
        "read 0x100000 0",
        "read 0x100000 x",
        "read 0x100000 0xffffffffffffffff",
        "read 0xffffffffffffffff -1",
        "b64read 0x100000",
        "b64read 0x100000 0xffffffffffffffff",
        "write 0x100000 4",
        "write 0x100000 0xffffffffffffffff 0x0102",
        "write x 4 0x01",
        "b64write 0x100000 4",
        "memset 0x100000 4",
        "memset 0x100000 4 x",
        "memset 0x100000 0xffffffffffffffff 0",
        "inb",
        "inb 0x10000",
        "inb x",
        "outb 0x80",
        "outb 0x10000 1",
        "outb 0x80 x",
        "inl -1",
        "clock_step x",
        "clock_step ",
        "clock_set",
        "clock_set x",
        "clock_step 9223372036854775808",
        "module_load",
        "module_load a",
        "irq_intercept_in",
        "irq_intercept_out",
        "set_irq_in",
        "set_irq_in ioapic unnamed-gpio-in 1",
        "set_irq_in ioapic unnamed-gpio-in x 1",
        "set_irq_in ioapic unnamed-gpio-in 1 x",
        "set_irq_in ioapic nonsense 1 1",
        "set_irq_in ioapic unnamed-gpio-in 99999 1",
        "irq_intercept_in /machine",
    ] {
        lines.push(line.into());
        // Both start afresh, and are asked something.
        lines.push("readb 0x100000".into());
    }
    lines
}

fn interrupts() -> Vec<String> {
    owned(&[
        "irq_intercept_in nonsense",
        "irq_intercept_in /machine/nonsense",
        "irq_intercept_out nonsense",
        "irq_intercept_in ioapic named",
        "set_irq_in nonsense unnamed-gpio-in 1 1",
        "set_irq_in ioapic unnamed-gpio-in 5 1",
        "set_irq_in ioapic unnamed-gpio-in 5 0",
        "set_irq_in ioapic unnamed-gpio-in 7 1",
        "set_irq_in ioapic unnamed-gpio-in 8 1",
        "irq_intercept_in ioapic",
        "set_irq_in ioapic unnamed-gpio-in 7 0",
        "set_irq_in ioapic unnamed-gpio-in 8 1",
        "irq_intercept_in ioapic",
        "irq_intercept_in /machine/ioapic",
        "set_irq_in ioapic unnamed-gpio-in 5 1",
        "set_irq_in ioapic unnamed-gpio-in 5 1",
        "set_irq_in ioapic unnamed-gpio-in 5 0",
        "set_irq_in ioapic unnamed-gpio-in 5 0",
        "set_irq_in ioapic unnamed-gpio-in 0x6 7",
        "set_irq_in ioapic unnamed-gpio-in 6 -1",
        "set_irq_in /machine/ioapic unnamed-gpio-in 6 0",
        "set_irq_in ioapic unnamed-gpio-in 23 1 more",
        "irq_intercept_in nonsense",
    ])
}

fn microvm(lines: Vec<String>) -> Scene {
    Scene { machine: "microvm", options: &["-m", "16"], lines }
}

/// Every scene of the protocol.
pub fn scenes() -> Vec<Scene> {
    let nothing = owned(&[
        "endianness",
        "inb 0x80",
        "outb 0x80 1",
        "inl 0x80",
        "clock_step",
        "clock_step 5",
        "clock_set 7",
        "irq_intercept_in ioapic",
        "nonsense",
    ]);
    let nothing = Scene { machine: "none", options: &[], lines: nothing };
    vec![microvm(accesses()), microvm(buffers()), microvm(refusals()), microvm(interrupts()), nothing]
}

#[test]
fn the_reference_says_the_same_of_each_line_again() {
    for scene in scenes() {
        assert_repeatable(&scene);
    }
}

#[test]
fn ours_says_the_same_of_each_line() {
    for scene in scenes() {
        assert_as_the_reference(&scene);
    }
}
