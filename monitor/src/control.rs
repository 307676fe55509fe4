//! `control.json`: what clients may ask of the monitor itself.

use qapi_schema::control::{CommandInfo, Commands, QMPCapability, VersionInfo, VersionTriple};
use qapi_schema::{Error, ErrorClass};

use crate::greeting::Version;

/// The monitor's own commands.
pub struct Control {
    version: Version,
    commands: Vec<&'static str>,
    quit: Box<dyn Fn() + Send + Sync>,
}

impl Control {
    /// The commands of a monitor of this version, which serves `commands`. `quit` asks the program to end; it must not
    /// wait for that.
    pub fn new(version: Version, commands: Vec<&'static str>, quit: impl Fn() + Send + Sync + 'static) -> Self {
        Self { version, commands, quit: Box::new(quit) }
    }
}

impl Commands for Control {
    /// The session answers the first one: any other comes too late.
    fn qmp_capabilities(&self, _enable: Option<Vec<QMPCapability>>) -> Result<(), Error> {
        let late = "Capabilities negotiation is already complete, command ignored";
        Err(Error::new(ErrorClass::CommandNotFound, late))
    }

    fn query_version(&self) -> Result<VersionInfo, Error> {
        let Version { major, minor, micro, ref package } = self.version;
        let qemu = VersionTriple { major: major.into(), minor: minor.into(), micro: micro.into() };
        Ok(VersionInfo { qemu, package: package.clone() })
    }

    fn query_commands(&self) -> Result<Vec<CommandInfo>, Error> {
        Ok(self.commands.iter().map(|&name| CommandInfo { name: name.to_owned() }).collect())
    }

    fn quit(&self) -> Result<(), Error> {
        (self.quit)();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_monitor_says_what_it_is_and_what_it_serves() {
        let control = Control::new(Version::of_package("test 1"), vec!["quit", "stop"], || ());
        let version = control.query_version().expect("a version");
        assert_eq!((version.qemu.major, version.package.as_str()), (10, "test 1"));
        let names: Vec<_> = control.query_commands().expect("commands").into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["quit", "stop"]);
    }

    #[test]
    fn a_second_negotiation_comes_too_late() {
        let control = Control::new(Version::of_package("test 1"), Vec::new(), || ());
        let refused = control.qmp_capabilities(None).expect_err("refused");
        assert_eq!(refused.class(), ErrorClass::CommandNotFound);
    }

    #[test]
    fn quit_asks_the_program_to_end() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let quit = move || {
            counted.fetch_add(1, Ordering::Relaxed);
        };
        Control::new(Version::of_package("test 1"), Vec::new(), quit).quit().expect("asked");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
