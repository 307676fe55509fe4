//! Machines and devices that there can't be: the command names the option and what is wrong with it.

use crate::command_line::{directory, each_is_refused};

#[test]
fn a_machine_that_can_t_be_built_is_refused() {
    each_is_refused(
        directory().path(),
        &[
            (&["-M", "pc"], "-M: unsupported machine type: \"pc\""),
            (&["-machine", "virt,secure=on"], "--machine: Property 'virt-machine.secure' not found"),
            (&["-m", "1X"], "-m: Parameter 'size' does not accept value '1X': ...suffix k, M, G, T, P or E..."),
            (&["-m", "-1"], "-m: Parameter 'size' does not accept value '-1': ..."),
            (&["-m", "64,slots=2"], "-m: Parameter 'slots' is unexpected"),
            (&["-M", "virt", "-m", "256G"], "machine 'virt' takes at most 261120 MiB of RAM"),
            (&["-m", "16E"], "-m: Parameter 'size' does not accept value '16E': ...below 16E"),
            (&["-m", "15E"], "machine 'microvm' takes at most 1051648 MiB of RAM"),
            (&["-smp", "0"], "Invalid CPU topology: there must be a CPU"),
            (&["-smp", "289"], "Invalid SMP CPUs 289. The max CPUs supported by machine 'microvm' is 288"),
            (&["-smp", "x"], "--smp: Invalid parameter type for 'cpus', expected: integer"),
            (&["-smp", "2,sockets=2"], "--smp: Parameter 'sockets' is unexpected"),
            (&["-cpu", ""], "--cpu: Parameter 'model' is missing"),
            (&["-global", "ib700.x=1"], "--global: only virtio-mmio.force-legacy can be set ..."),
            (&["-global", "virtio-mmio.force-legacy=2"], "--global: Parameter 'force-legacy' expects 'on' or 'off'"),
            (&["-display", "gtk"], "--display: Parameter 'type' does not accept value 'gtk': ..."),
            (&["-vga", "std"], "--vga: unknown vga type: std: there is no display"),
            (&["-audio", "alsa"], "--audio: Parameter 'driver' does not accept value 'alsa': ..."),
        ],
    );
}

#[test]
fn a_device_that_can_t_be_plugged_in_is_refused() {
    each_is_refused(
        directory().path(),
        &[
            (&["-device", "e1000"], "--device: 'e1000' is not a valid device model name"),
            (&["-device", "e1000,help"], "--device: 'e1000' is not a valid device model name"),
            (&["-device", "virtio-device"], "--device: Parameter 'driver' expects a non-abstract device type"),
            (&["-device", "virtio-mmio"], "--device: Parameter 'driver' expects a pluggable device type"),
            (&["-device", "id=x"], "--device: Parameter 'driver' is missing"),
            (&["-device", "{\"driver\": 3}"], "--device: Invalid parameter type for 'driver', expected: string"),
            (&["-device", "{\"driver\""], "--device: JSON parse error, ..."),
            (&["-device", "[]"], "--device: '[]' is not a valid device model name"),
        ],
    );
}

#[test]
fn which_of_several_options_is_wrong_is_told() {
    const NODE: &str = "null-co,node-name=a";
    const DISK: &str = "virtio-blk-device,drive=a";
    const PANIC: &str = "no device can be placed at port 0x505: ...";
    each_is_refused(
        directory().path(),
        &[
            (&["-device", "pvpanic", "-device", "pvpanic,id=b"], &format!("--device pvpanic,id=b: {PANIC}")),
            (&["-device", "ib700,id=a", "-device", "pvpanic,id=a"], "--device pvpanic,id=a: Duplicate device ID 'a'"),
            (&["-device", "virtio-blk-device"], "--device: drive property not set"),
            (&["-device", DISK], "--device: Cannot find drive or block node 'a'"),
            (
                &["-blockdev", NODE, "-device", DISK, "-device", "virtio-blk-device,drive=a,id=b"],
                "--device virtio-blk-device,drive=a,id=b: Block node 'a' is written to already, and a \
                 device's disk has one writer",
            ),
            (
                &["-blockdev", NODE, "-blockdev", NODE],
                "--blockdev null-co,node-name=a: Duplicate nodes with node-name='a'",
            ),
        ],
    );
}
