//! The driver: proven with the disk of QEMU, then used to judge ours.

use std::fs::File;
use std::sync::Arc;

use tempfile::TempDir;

use crate::support::board::Board;
use crate::support::daemon::whystop;
use crate::support::emulator::{Emulator, Reference};
use crate::support::virtio_blk::memory::GuestMemory;
use crate::support::virtio_blk::mmio::Transport;
use crate::support::virtio_blk::request::{self, Cut, Layout, Request, SECTOR, Segment};
use crate::support::virtio_blk::{
    DISCARD, EVENT_IDX, FLUSH, INDIRECT_DESC, KNOWN, Options, VERSION_1, VirtioBlk, WRITE_ZEROES, Wait,
};

#[test]
fn the_reference_understands_this_client() {
    let Some(reference) = Reference::find() else { return };
    let options =
        ["-M", "microvm,ioapic2=off", "-nodefaults", "-m", "16", "-device", "pvpanic", "-action", "panic=pause"];
    let mut machine = reference.start(&options).expect("QEMU");
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

const SIZE: u64 = 1 << 20;

/// The disk works with these features, whatever way requests are laid out and waited for.
fn drive(transport: &Transport, memory: &Arc<GuestMemory>, options: Options) -> Result<(), String> {
    let mut disk = VirtioBlk::start(transport.clone(), memory, options)?;
    assert_eq!(disk.capacity()?, SIZE / SECTOR);
    let cuts = [Cut::Parts, Cut::Merged, Cut::Pieces(100), Cut::Pieces(4096)];
    let mut layouts: Vec<_> = cuts.map(|cut| Layout { cut, indirect: false }).into();
    if disk.features & INDIRECT_DESC != 0 {
        layouts.extend(cuts.map(|cut| Layout { cut, indirect: true }));
    }
    let mut byte = 0;
    for (queue, &layout) in (0..disk.queues.len() as u16).flat_map(|queue| layouts.iter().map(move |it| (queue, it))) {
        byte += 1;
        let data = vec![byte; 2048];
        let written = disk.execute(queue, Request::write(8, data.clone()), layout)?;
        assert_eq!((written.status, written.written), (request::OK, 1), "{layout:?}");
        // Several at once, answered in any order.
        let read = disk.submit(queue, Request::read(8, 2048), layout)?;
        let id = disk.submit(queue, Request::get_id(), layout)?;
        let beyond = disk.submit(queue, Request::read(SIZE / SECTOR, 512), layout)?;
        let read = disk.wait(read)?;
        assert_eq!((read.status, read.written), (request::OK, 2049), "{layout:?}");
        assert!(read.data == data, "{layout:?}");
        assert!(disk.wait(id)?.data.starts_with(b"serial"), "{layout:?}");
        assert_eq!(disk.wait(beyond)?.status, request::IOERR, "{layout:?}");
        assert_eq!(disk.unanswered()?, 0);
    }
    let layout = Layout::default();
    let range = Segment { sector: 8, sectors: 1, flags: 0 };
    assert_eq!(disk.execute(0, Request::flush(), layout)?.status, request::OK);
    if disk.features & WRITE_ZEROES != 0 {
        assert_eq!(disk.execute(0, Request::write_zeroes(&[range]), layout)?.status, request::OK);
        let zeroed = disk.execute(0, Request::read(8, 1024), layout)?.data;
        assert!(zeroed[..512] == [0; 512] && zeroed[512..] == [byte; 512]);
    }
    if disk.features & DISCARD != 0 {
        assert_eq!(disk.execute(0, Request::discard(&[range]), layout)?.status, request::OK);
    }
    let unknown = Request { kind: 99, ..Request::flush() };
    assert_eq!(disk.execute(0, unknown, layout)?.status, request::UNSUPP);
    disk.reset().map(drop)
}

/// Every combination of features, in every way.
fn drive_all(machine: &Emulator, board: &Board, waits: &[Wait]) {
    let memory = GuestMemory::new(board.ram.clone());
    machine.qtest.irq_intercept_in(board.interrupts.0).expect("intercepted");
    let disks = board.disks(&machine.qtest).expect("probed");
    let [transport] = &disks[..] else { panic!("{} disks", disks.len()) };
    let version = if transport.is_legacy() { 0 } else { VERSION_1 };
    for &wait in waits {
        for features in [FLUSH, KNOWN & !EVENT_IDX, KNOWN & !INDIRECT_DESC, KNOWN] {
            let options = Options { features: features | version, queues: 3, queue_size: 64, wait };
            drive(transport, &memory, options).unwrap_or_else(|error| panic!("{options:?}: {error}"));
        }
    }
}

const DISK: [&str; 8] = [
    "-nodefaults",
    "-m",
    "16",
    "-blockdev",
    "file,node-name=disk,filename=disk.img,discard=unmap",
    "-device",
    "virtio-blk-device,drive=disk,num-queues=2,serial=serial",
    "-S",
];

/// A directory with the image.
fn with_image() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    File::create(directory.path().join("disk.img")).and_then(|file| file.set_len(SIZE)).expect("an image");
    directory
}

fn cont_and_drive(machine: Emulator, board: &Board, waits: &[Wait]) {
    let machine = running(machine);
    drive_all(&machine, board, waits);
    machine.end().expect("a clean end");
}

fn on_the_reference(machine: &[&str]) {
    let Some(reference) = Reference::find() else { return };
    let emulator = reference.start_in(with_image(), &[machine, &DISK].concat()).expect("QEMU");
    let waits = if reference.has_clock { &[Wait::Clock, Wait::Interrupt, Wait::Look][..] } else { &[Wait::Interrupt] };
    cont_and_drive(emulator, &Board::microvm(), waits);
}

fn on_ours(machine: &[&str], board: &Board) {
    let emulator = Emulator::start_with(whystop(), with_image(), &[machine, &DISK].concat(), "qtest").expect("whystop");
    cont_and_drive(emulator, board, &[Wait::Clock, Wait::Interrupt, Wait::Look]);
}

fn running(mut machine: Emulator) -> Emulator {
    machine.qmp.execute("cont", serde_json::Value::Null).expect("running");
    machine
}

/// A machine with a modern disk that runs.
pub fn modern_disk_of_the_reference() -> Option<Emulator> {
    let options = [&["-M", "microvm,ioapic2=off"][..], &MODERN, &DISK].concat();
    Some(running(Reference::find()?.start_in(with_image(), &options).expect("QEMU")))
}

/// The same of ours.
pub fn modern_disk_of_ours() -> Emulator {
    let options = [&["-M", "microvm"][..], &MODERN, &DISK].concat();
    running(Emulator::start_with(whystop(), with_image(), &options, "qtest").expect("whystop"))
}

const MODERN: [&str; 2] = ["-global", "virtio-mmio.force-legacy=off"];

#[test]
fn the_driver_drives_a_legacy_disk_of_the_reference() {
    on_the_reference(&["-M", "microvm,ioapic2=off"]);
}

#[test]
fn the_driver_drives_a_modern_disk_of_the_reference() {
    on_the_reference(&[&["-M", "microvm,ioapic2=off"][..], &MODERN].concat());
}

#[test]
fn it_drives_a_legacy_disk_of_ours() {
    on_ours(&["-M", "microvm"], &Board::microvm());
    on_ours(&["-M", "virt"], &Board::virt());
}

#[test]
fn it_drives_a_modern_disk_of_ours() {
    on_ours(&[&["-M", "microvm"][..], &MODERN].concat(), &Board::microvm());
    on_ours(&[&["-M", "virt"][..], &MODERN].concat(), &Board::virt());
}

#[test]
fn guest_memory_that_is_given_back_is_whole_again() {
    let memory = GuestMemory::new(0x1001..0x3000);
    let [first, second, third] = [1, 16, 0x800].map(|size| memory.allocate(size, 16).expect("free"));
    assert_eq!([first.address(), second.address(), third.address()], [0x1010, 0x1020, 0x1030]);
    drop(second);
    assert_eq!(memory.allocate(8, 8).expect("free").address(), 0x1008);
    assert!(memory.allocate(0x1fff, 1).is_err());
    drop((third, first));
    assert_eq!(memory.allocate(0x1fff, 1).expect("all of it").address(), 0x1001);
}
