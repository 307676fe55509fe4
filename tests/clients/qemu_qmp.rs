//! The Python library as the management: it connects, negotiates, runs commands and receives the events of a disk that
//! fills up. `qemu_qmp.py` beside this file is its side.

#[test]
fn the_python_library_sees_a_vm_stop_and_resumes_it() {
    let Some(mut management) = crate::python("qemu.qmp") else { return };
    management.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/qemu_qmp.py"));
    crate::fill_a_disk(management, true);
}
