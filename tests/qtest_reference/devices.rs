//! Registers of devices: every one in every width, in and out of order.

use crate::compare::{Scene, assert_as_the_reference, assert_repeatable};

/// A transport with a disk of 1 MiB, and one with nothing.
const DISK: u64 = 0xfeb0_0e00;
const EMPTY: u64 = 0xfeb0_0c00;

fn virtio_mmio() -> Vec<String> {
    let mut lines = Vec::new();
    let write = |offset: u64, value: u64| format!("writel {:#x} {value:#x}", DISK + offset);
    let read = |offset: u64| format!("readl {:#x}", DISK + offset);
    for base in [EMPTY, DISK] {
        lines.extend((0..0x100).step_by(4).map(|offset| format!("readl {:#x}", base + offset)));
        // Not the width of a register.
        for offset in [0, 1, 2, 4, 8, 0x34, 0x60, 0x70] {
            lines.extend("bwq".chars().map(|width| format!("read{width} {:#x}", base + offset)));
        }
        // What is only read.
        for offset in [0x0, 0x4, 0x8, 0xc, 0x10, 0x34, 0x60, 0xfc] {
            lines.push(format!("writel {:#x} 0xffffffff", base + offset));
            lines.push(format!("readl {:#x}", base + offset));
        }
    }
    // Features, and those that must not be taken.
    for selector in [0, 1, 2, 0xffff_ffff] {
        lines.push(write(0x14, selector));
        lines.push(read(0x10));
    }
    // The status comes back as it was written; zero resets.
    for status in [0, 1, 3, 7, 3, 0, 0xff, 0x100, 0] {
        lines.push(write(0x70, status));
        lines.push(read(0x70));
    }
    // Queues: one there is, and those there are not.
    for queue in [0, 1, 2, 1023, 1024, 0xffff_ffff] {
        lines.push(write(0x30, queue));
        lines.push(read(0x34));
        lines.push(read(0x40));
    }
    lines.extend([write(0x30, 0), write(0x28, 0x1000), write(0x3c, 0x1000), write(0x38, 8), write(0x40, 0x200)]);
    lines.extend([read(0x40), write(0x28, 0x200), read(0x40), write(0x28, 0), read(0x40), write(0x70, 0), read(0x40)]);
    // Kicks of queues that are not set up, and of those that are not there.
    lines.extend([0, 1, 1024, 0xffff_ffff].map(|queue| write(0x50, queue)));
    lines.extend([read(0x60), write(0x64, 3), read(0x60), read(0x70)]);
    // What only a modern transport has.
    for offset in [0x44, 0x80, 0x84, 0x90, 0x94, 0xa0, 0xa4] {
        lines.extend([write(offset, 1), read(offset)]);
    }
    // The configuration: capacity, segments, block size, queues, limits; beyond its end.
    for offset in (0..0x3c).chain(0xf0..0x100) {
        lines.push(format!("readb {:#x}", DISK + 0x100 + offset));
    }
    for offset in [0, 4, 8, 12, 20, 24, 36, 40, 48, 52, 0xf8] {
        lines.extend("wlq".chars().map(|width| format!("read{width} {:#x}", DISK + 0x100 + offset)));
    }
    for (offset, value) in [(0, 0xff), (32, 0), (32, 1), (34, 7)] {
        lines.push(format!("writeb {:#x} {value}", DISK + 0x100 + offset));
        lines.push(format!("readb {:#x}", DISK + 0x100 + offset));
    }
    // Across transports, and all of one at once.
    lines.extend([DISK - 2, DISK + 0x1fe, DISK + 0x1ff].map(|address| format!("readl {address:#x}")));
    lines.push(format!("read {DISK:#x} 0x100"));
    lines.push(format!("read {DISK:#x} 0x13c"));
    lines
}

fn io_ports() -> Vec<String> {
    let mut lines = Vec::new();
    // pvpanic: what it knows can be read in any width; what it does not know is ignored.
    lines.extend("bwl".chars().map(|width| format!("in{width} 0x505")));
    lines.extend(
        ["inw 0x504", "inb 0x504", "inb 0x506", "outb 0x505 0", "outb 0x505 8", "outb 0x505 0xf8"].map(str::to_owned),
    );
    lines.extend(["outb 0x505 1", "outb 0x505 2", "outb 0x505 3", "outw 0x505 0x100", "inb 0x505"].map(str::to_owned));
    // ib700: writing arms and disarms, and the clock finds its timer.
    for port in [0x441, 0x442, 0x443, 0x444] {
        lines.extend("bwl".chars().map(|width| format!("in{width} {port:#x}")));
    }
    lines.push("clock_step".into());
    for port in ["0x443", "0x444"] {
        for value in (0..16).chain([0x1e, 0xfe]) {
            lines.push(format!("outb {port} {value:#x}"));
            // After WATCHDOG QEMU has a timer that limits it, also when there is none to come.
            lines.extend((value & 15 != 15).then(|| "clock_step".into()));
            lines.push("clock_step 2000000000".into());
            lines.push("clock_step".into());
        }
    }
    for port in ["0x441", "0x442"] {
        lines.extend([
            "outb 0x443 0xe".to_owned(),
            format!("outb {port} 1"),
            "clock_step".into(),
            "clock_step 3000000000".into(),
        ]);
    }
    // Armed again, it starts again.
    let again = ["outb 0x443 0xe", "clock_step 1000000000", "outb 0x443 0xd", "clock_step 3999999999", "clock_step"];
    lines.extend(again.map(str::to_owned));
    // ACPI's generic event device: nothing has happened; a sleep that is none, a reset that is none.
    for address in [0xfea0_0000_u64, 0xfea0_0004, 0xfea0_0200, 0xfea0_0201, 0xfea0_0202, 0xfea0_0203] {
        lines.extend("bwl".chars().map(|width| format!("read{width} {address:#x}")));
    }
    for line in ["writeb 0xfea00200 0x14", "writeb 0xfea00202 0x41", "writel 0xfea00000 1", "writeb 0xfea00202 0x42"] {
        lines.push(line.into());
        lines.push("readl 0xfea00000".into());
    }
    lines
}

/// Every scene of the devices.
pub fn scenes() -> Vec<Scene> {
    let disk = &[
        "-m",
        "16",
        "-blockdev",
        "null-co,node-name=disk,size=1048576",
        "-device",
        "virtio-blk-device,drive=disk,num-queues=2",
    ];
    let isa =
        &["-m", "16", "-device", "pvpanic", "-device", "ib700", "-action", "panic=none", "-watchdog-action", "none"];
    vec![
        Scene { machine: "microvm", options: disk, lines: virtio_mmio() },
        Scene { machine: "microvm", options: isa, lines: io_ports() },
    ]
}

#[test]
fn the_reference_says_the_same_of_each_register_again() {
    for scene in scenes() {
        assert_repeatable(&scene);
    }
}

#[test]
fn ours_says_the_same_of_each_register() {
    for scene in scenes() {
        assert_as_the_reference(&scene);
    }
}
