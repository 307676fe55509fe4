//! `control.json` and `introspect.json`: what clients may ask of the monitor itself.

use qapi_schema::control::{CommandInfo, Commands, QMPCapability, VersionInfo, VersionTriple};
use qapi_schema::{Arguments, Error, ErrorClass, Introspection, Members, Reply, Visitor, introspect};

use crate::greeting::Version;

/// The monitor's own commands.
pub struct Control {
    version: Version,
    commands: Vec<&'static str>,
    schema: &'static Introspection,
    quit: Box<dyn Fn() + Send + Sync>,
}

impl Control {
    /// The commands of a monitor of this version, which serves `commands`, as `schema` describes them: the one that the
    /// program's own schema was compiled to. `quit` asks the program to end; it must not wait for that.
    pub fn new(
        version: Version,
        commands: Vec<&'static str>,
        schema: &'static Introspection,
        quit: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self { version, commands, schema, quit: Box::new(quit) }
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

impl introspect::Commands for Control {
    fn query_qmp_schema(&self, arguments: Arguments) -> Result<Reply, Error> {
        Members::new(arguments, &Visitor::json()).finish()?;
        Ok(Box::new(self.schema))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use introspect::Commands as _;
    use qapi_schema::introspection::{Entity, Kind, When};
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    static SCHEMA: Introspection = Introspection(&[When(true, Entity("STOP", &[], Kind::Event("0")))]);

    fn control(commands: Vec<&'static str>, quit: impl Fn() + Send + Sync + 'static) -> Control {
        Control::new(Version::of_package("test 1"), commands, &SCHEMA, quit)
    }

    #[test]
    fn the_monitor_says_what_it_is_and_what_it_serves() {
        let control = control(vec!["quit", "stop"], || ());
        let version = control.query_version().expect("a version");
        assert_eq!((version.qemu.major, version.package.as_str()), (10, "test 1"));
        let names: Vec<_> = control.query_commands().expect("commands").into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["quit", "stop"]);
    }

    #[test]
    fn the_schema_is_that_of_the_program() {
        let control = control(Vec::new(), || ());
        let schema = control.query_qmp_schema(Arguments::new()).expect("the schema");
        assert_eq!(schema.value(), json!([{ "name": "STOP", "meta-type": "event", "arg-type": "0" }]));
        let refused = control.query_qmp_schema(Arguments::from_iter([("x".into(), json!(1))])).err();
        assert_eq!(refused, Some(Error::generic("Parameter 'x' is unexpected")));
    }

    #[test]
    fn a_second_negotiation_comes_too_late() {
        let control = control(Vec::new(), || ());
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
        control(Vec::new(), quit).quit().expect("asked");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
