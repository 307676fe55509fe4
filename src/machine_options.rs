//! What `-machine`, `-accel`, `-m`, `-smp`, `-cpu` and `-global` say of the machine to build.

use std::io;

use hw::board::microvm::MICROVM;
use hw::board::none::NONE;
use hw::virtio::mmio::Version;
use hw::{BoardKind, VirtualClock};
use qapi_schema::{Error, Members};

use crate::keyval::Argument;
use crate::qtest;

/// The machine to build.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// Which kind.
    pub kind: &'static BoardKind,
    /// How much RAM, in bytes; `None` for as much as such a machine has.
    pub ram_size: Option<u64>,
    /// How many processors.
    pub cpus: u32,
    /// The form of the slots for virtio devices.
    pub virtio_mmio: Version,
    /// What makes the guest's clock.
    pub clock: fn() -> io::Result<VirtualClock>,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            kind: BoardKind::preferred(),
            ram_size: None,
            cpus: 1,
            virtio_mmio: Version::Legacy,
            clock: VirtualClock::host,
        }
    }
}

impl MachineOptions {
    /// A machine without devices and memory.
    pub fn empty() -> Self {
        Self { kind: &NONE, ..Self::default() }
    }

    /// Reads what `-machine` takes: `microvm` or `type=microvm`, and the few properties that there are.
    ///
    /// # Errors
    /// There is no such machine, or it has no such property.
    pub fn machine(&mut self, text: &str) -> Result<(), Error> {
        // QEMU's own tests leave a comma behind.
        Argument::parse(text.trim_end_matches(','), Some("type"))?.read(|members| {
            if let Some(name) = members.optional::<String>("type")? {
                self.kind = BoardKind::find(&name)?;
            }
            if let Some(name) = members.optional::<String>("accel")? {
                self.accelerate(&name)?;
            }
            if self.kind.name == MICROVM.name
                && let Some(ioapic2) = members.optional::<String>("ioapic2")?
                && ioapic2 != "off"
            {
                let refusal = format!("Parameter 'ioapic2' does not accept value '{ioapic2}', only 'off'");
                return Err(Error::generic(format!("{refusal}: there is no second I/O APIC")));
            }
            let unknown = members.take_all().into_iter().next();
            unknown.map_or(Ok(()), |(name, _)| {
                Err(Error::generic(format!("Property '{}.{name}' not found", self.kind.type_name)))
            })
        })
    }

    /// Reads what `-accel` takes: `qtest`, which lets the client of qtest move the clock.
    ///
    /// # Errors
    /// It is another accelerator: there is no processor to run.
    pub fn accelerator(&mut self, text: &str) -> Result<(), Error> {
        Argument::parse(text, Some("accel"))?.read(|members| self.accelerate(&members.required::<String>("accel")?))
    }

    fn accelerate(&mut self, name: &str) -> Result<(), Error> {
        if !qtest::ACCELERATORS.contains(&name) {
            let refusal = format!("invalid accelerator {name}: there is no processor, only 'qtest' is known");
            return Err(Error::generic(refusal));
        }
        self.clock = VirtualClock::driven;
        Ok(())
    }

    /// Reads what `-m` takes: `256` or `size=1G`, in MiB if it has no unit.
    ///
    /// # Errors
    /// It is no size.
    pub fn memory(&mut self, text: &str) -> Result<(), Error> {
        Argument::parse(text, Some("size"))?.read(|members| {
            let size: String = members.required("size")?;
            let unit = if size.ends_with(|c: char| c.is_ascii_digit()) { "M" } else { "" };
            let number = Argument::parse(&format!("size={}{unit}", size.replace(',', ",,")), None);
            let number = number.and_then(|number| number.read(|one| one.required::<u64>("size")));
            let refusal =
                "it takes a whole number of MiB, or of what a suffix k, M, G, T, P or E stands for, below 16E";
            let refused = |_| Error::generic(format!("Parameter 'size' does not accept value '{size}': {refusal}"));
            let size = number.map_err(refused)?;
            // QEMU's way to ask for the default.
            self.ram_size = Some(size).filter(|&size| size > 0);
            Ok(())
        })
    }

    /// Reads what `-smp` takes: `2` or `cpus=2`.
    ///
    /// # Errors
    /// It is no number.
    pub fn processors(&mut self, text: &str) -> Result<(), Error> {
        self.cpus = Argument::parse(text, Some("cpus"))?.read(|members| members.required("cpus"))?;
        Ok(())
    }

    /// Reads what `-global` takes: `virtio-mmio.force-legacy=off`, or the same as `driver=`, `property=` and `value=`.
    ///
    /// # Errors
    /// It is not a property that can be set for all devices of a type.
    pub fn global(&mut self, text: &str) -> Result<(), Error> {
        let force_legacy = |members: &mut Members<'_>| members.required::<bool>("force-legacy");
        let legacy = match text.split_once('.').filter(|(driver, _)| !driver.contains(['=', ','])) {
            Some(("virtio-mmio", setting)) => Argument::parse(setting, None)?.read(force_legacy)?,
            Some(_) => return Err(no_such_global(text)),
            None => Argument::parse(text, None)?.read(|members| {
                let (driver, property): (String, String) = (members.required("driver")?, members.required("property")?);
                if (driver.as_str(), property.as_str()) != ("virtio-mmio", "force-legacy") {
                    return Err(no_such_global(&format!("{driver}.{property}")));
                }
                members.required("value")
            })?,
        };
        self.virtio_mmio = if legacy { Version::Legacy } else { Version::Modern };
        Ok(())
    }

    /// Reads what `-cpu` takes. Nothing is executed, so that any model will do.
    ///
    /// # Errors
    /// It names no model.
    pub fn cpu(&self, text: &str) -> Result<(), Error> {
        match text.split(',').next() {
            None | Some("") => Err(Error::generic("Parameter 'model' is missing")),
            Some(_) => Ok(()),
        }
    }
}

fn no_such_global(name: &str) -> Error {
    Error::generic(format!("only virtio-mmio.force-legacy can be set for all devices, not '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(read: impl FnOnce(&mut MachineOptions) -> Result<(), Error>) -> Result<MachineOptions, String> {
        let mut options = MachineOptions::default();
        read(&mut options).map(|()| options).map_err(|error| error.to_string())
    }

    fn ram(text: &str) -> Result<Option<u64>, String> {
        options(|options| options.memory(text)).map(|options| options.ram_size)
    }

    #[test]
    fn a_machine_is_named_with_its_key_or_without() {
        for text in ["virt", "type=virt", "virt,"] {
            assert_eq!(options(|options| options.machine(text)).expect(text).kind.name, "virt");
        }
        let refused = |text| options(|options| options.machine(text)).expect_err(text);
        assert_eq!(refused("pc"), "unsupported machine type: \"pc\"");
        assert_eq!(refused("none,usb=on"), "Property 'none-machine.usb' not found");
        assert_eq!(refused("usb"), "unsupported machine type: \"usb\"");
    }

    #[test]
    fn a_machine_may_be_told_what_it_is_like_and_what_runs_it() {
        let is_driven = |text: &str| {
            let MachineOptions { clock, .. } = options(|options| options.machine(text)).expect(text);
            clock().expect("a thread").is_driven()
        };
        assert!(is_driven("microvm,accel=qtest") && is_driven("none,accel=qtest"));
        assert!(!is_driven("microvm,ioapic2=off"));
        let refused = |text| options(|options| options.machine(text)).expect_err(text);
        assert!(refused("microvm,accel=tcg").starts_with("invalid accelerator tcg: "));
        let only = "Parameter 'ioapic2' does not accept value 'on', only 'off': there is no second I/O APIC";
        assert_eq!(refused("microvm,ioapic2=on"), only);
        assert_eq!(refused("virt,ioapic2=off"), "Property 'virt-machine.ioapic2' not found");
    }

    #[test]
    fn memory_is_in_mebibytes_unless_it_says_otherwise() {
        assert_eq!(
            (ram("64"), ram("size=64"), ram("64k")),
            (Ok(Some(64 << 20)), Ok(Some(64 << 20)), Ok(Some(64 << 10)))
        );
        assert_eq!((ram("2G"), ram("0")), (Ok(Some(2 << 30)), Ok(None)));
        for text in ["1X", "much", "-1", "16E", "99999999999999999999", "0.5G", "1,,k", "1,,size=2"] {
            let refused = format!("Parameter 'size' does not accept value '{}': it takes", text.replace(",,", ","));
            assert!(ram(text).expect_err(text).starts_with(&refused), "{text}");
        }
        assert!(ram("").is_err());
        assert_eq!(ram("64,slots=2"), Err("Parameter 'slots' is unexpected".into()));
    }

    #[test]
    fn processors_are_counted() {
        assert_eq!(options(|options| options.processors("4")).map(|options| options.cpus), Ok(4));
        assert!(options(|options| options.processors("cpus=2,cores=2")).is_err());
    }

    #[test]
    fn one_property_can_be_set_for_all_devices() {
        let version = |text| options(|options| options.global(text)).map(|options| options.virtio_mmio);
        assert_eq!(version("virtio-mmio.force-legacy=off"), Ok(Version::Modern));
        assert_eq!(version("driver=virtio-mmio,property=force-legacy,value=on"), Ok(Version::Legacy));
        for text in ["virtio-blk-device.x=1", "driver=ib700,property=x,value=1"] {
            assert!(version(text).expect_err(text).starts_with("only virtio-mmio.force-legacy can be set"));
        }
        assert!(version("virtio-mmio.ioeventfd=off").is_err());
        assert!(version("virtio-mmio.force-legacy=maybe").is_err());
    }
}
