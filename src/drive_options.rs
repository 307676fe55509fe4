//! The value of `-drive`: QEMU's older way to name a disk, turned into the options of a block node and of the drive on it.
//!
//! What says how the drive is used (`if`, `id`, `werror`, ...) stays here, `file` and `format` are spelt out, and all
//! other keys are the node's.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::FileTypeExt;

use block::drive::{DriveOptions, OnError};
use qapi_schema::block_core::{BlockdevDriver, BlockdevOnError};
use qapi_schema::{Dialect, Error, FromValue, Visitor};
use serde_json::Value;

use crate::keyval::{Argument, pairs};

/// The keys that are the drive's own.
const OWN: &[&str] = &[
    "aio",
    "cache",
    "cache.writeback",
    "copy-on-read",
    "file",
    "format",
    "id",
    "if",
    "index",
    "media",
    "rerror",
    "snapshot",
    "werror",
];

/// The keys that a drive without medium may have.
const WITHOUT_MEDIUM: &[&str] =
    &["auto-read-only", "cache.direct", "cache.no-flush", "detect-zeroes", "discard", "read-only"];

/// Where a file name in a file name in ... ends to make sense.
const MOST_LEVELS: usize = 16;

/// Reads the value of `-drive`.
///
/// # Errors
/// What is wrong, or not supported, by its name.
pub fn parse(text: &str) -> Result<DriveOptions, Error> {
    let (mut own, mut node) = (Keys::default(), Keys::default());
    for (key, value) in pairs(text, None)? {
        let keys = if OWN.contains(&key.as_str()) { &mut own } else { &mut node };
        match (key.as_str(), value.as_str()) {
            ("readonly", _) => keys.set("read-only", value),
            ("discard", "on") => keys.set("discard", "unmap"),
            ("discard", "off") => keys.set("discard", "ignore"),
            _ => keys.set(&key, value),
        }
    }
    refuse_what_is_not_supported(&own)?;
    let write_cache = cache(&own, &mut node)?;
    let on_error = |key, direction, accepts: &[&str]| match own.get(key) {
        Some(value) if !accepts.contains(&value) => {
            Err(Error::generic(format!("'{value}' invalid {direction} error action")))
        }
        Some(_) | None => own.read::<BlockdevOnError>(key),
    };
    let on_error = OnError {
        werror: on_error("werror", "write", &["ignore", "stop", "report", "enospc"])?,
        rerror: on_error("rerror", "read", &["ignore", "stop", "report"])?,
    };
    let (id, index) = (own.read("id")?, own.read("index")?);
    Ok(DriveOptions { id, index, node: medium(&own, node)?, on_error, write_cache })
}

fn refuse_what_is_not_supported(own: &Keys) -> Result<(), Error> {
    match own.get("if") {
        Some("none") => {}
        Some(interface) => return Err(Error::generic(format!("unsupported bus type '{interface}': only if=none is"))),
        None => return Err(Error::generic("Parameter 'if' is missing: only if=none is supported")),
    }
    match own.get("media") {
        None | Some("disk") => {}
        Some("cdrom") => return Err(Error::generic("media=cdrom is not supported")),
        Some(media) => return Err(Error::generic(format!("'{media}' invalid media"))),
    }
    match own.get("aio") {
        None | Some("threads") => {}
        Some(aio) => return Err(Error::generic(format!("aio={aio} is not supported: only aio=threads is"))),
    }
    for key in ["snapshot", "copy-on-read"] {
        if own.read(key)? == Some(true) {
            return Err(Error::generic(format!("{key}=on is not supported")));
        }
    }
    Ok(())
}

/// Spells `cache` out for the node, as far as it does not say itself. Returns whether there is a write cache.
fn cache(own: &Keys, node: &mut Keys) -> Result<bool, Error> {
    let (write_cache, direct, no_flush) = match own.get("cache") {
        None | Some("writeback") => (true, "off", "off"),
        Some("none" | "off") => (true, "on", "off"),
        Some("directsync") => (false, "on", "off"),
        Some("writethrough") => (false, "off", "off"),
        Some("unsafe") => (true, "off", "on"),
        Some(mode) => return Err(Error::generic(format!("invalid cache option '{mode}'"))),
    };
    node.set_default("cache.direct", direct);
    node.set_default("cache.no-flush", no_flush);
    Ok(own.read("cache.writeback")?.unwrap_or(write_cache))
}

/// The node of a drive's medium, if it has one.
fn medium(own: &Keys, mut node: Keys) -> Result<Option<qapi_schema::block_core::BlockdevOptions>, Error> {
    let driver = match (own.get("format"), node.get("driver")) {
        (Some(_), Some(_)) => return Err(Error::generic("Cannot specify both 'driver' and 'format'")),
        (driver, None) | (None, driver) => driver.map(ToOwned::to_owned),
    };
    let file = own.get("file").filter(|file| !file.is_empty());
    let Some(driver) = driver else {
        if file.is_none() && node.0.keys().all(|key| WITHOUT_MEDIUM.contains(&key.as_str())) {
            return Ok(None);
        }
        return Err(Error::generic("Parameter 'format' is missing: the format of an image is not guessed"));
    };
    let kind: BlockdevDriver = driver.parse().map_err(|_| Error::generic(format!("Unknown driver '{driver}'")))?;
    if let Some(file) = file {
        let at = match kind {
            BlockdevDriver::Raw | BlockdevDriver::Quota => "file.",
            BlockdevDriver::Blkdebug => "image.",
            BlockdevDriver::File | BlockdevDriver::HostDevice | BlockdevDriver::NullCo | BlockdevDriver::NullAio => {
                node.set("driver", driver.as_str());
                ""
            }
        };
        name_file(file, at, &mut node)?;
    }
    node.set("driver", driver);
    node.set_default("read-only", "off");
    node.set_default("auto-read-only", "on");
    Argument::from_pairs(node.0)?.into().map(Some)
}

/// Spells a file name out as the options of a node, whose keys start with `at`.
fn name_file(file: &str, at: &str, node: &mut Keys) -> Result<(), Error> {
    let (mut name, mut at) = (file, at.to_owned());
    for _ in 0..MOST_LEVELS {
        let (driver, filename) = match name.split_once(':') {
            Some(("blkdebug", rest)) => {
                let (config, image) = rest
                    .split_once(':')
                    .ok_or_else(|| Error::generic("blkdebug requires both config file and image path"))?;
                node.put(&at, "driver", "blkdebug")?;
                if !config.is_empty() {
                    node.put(&at, "config", config)?;
                }
                at += "image.";
                name = image;
                continue;
            }
            Some((driver @ ("null-co" | "null-aio"), "//")) => (driver, None),
            Some((driver @ ("null-co" | "null-aio"), _)) => {
                let text = format!("The only allowed filename for this driver is '{driver}://'");
                return Err(Error::generic(text));
            }
            Some((driver @ ("file" | "host_device"), path)) => (driver, Some(path)),
            Some((protocol, _)) if !protocol.contains('/') => {
                return Err(Error::generic(format!("Unknown protocol '{protocol}'")));
            }
            Some(_) | None => (driver_of(name), Some(name)),
        };
        node.put(&at, "driver", driver)?;
        return filename.map_or(Ok(()), |filename| node.put(&at, "filename", filename));
    }
    Err(Error::generic(format!("File name '{file}' nests too deep")))
}

/// The driver for a path that says none.
fn driver_of(path: &str) -> &'static str {
    match fs::metadata(path) {
        Ok(metadata) if metadata.file_type().is_block_device() => "host_device",
        Ok(_) | Err(_) => "file",
    }
}

/// Keys with their values.
#[derive(Default)]
struct Keys(HashMap<String, String>);

impl Keys {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A value of a type of the schema.
    fn read<T: FromValue>(&self, key: &str) -> Result<Option<T>, Error> {
        let root = Visitor::root(Dialect::Keyval);
        self.get(key).map(|value| T::from_value(Value::String(value.to_owned()), &root.member(key))).transpose()
    }

    fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn set_default(&mut self, key: &str, value: &str) {
        self.0.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }

    /// Sets what a file name says, unless something else is said already.
    fn put(&mut self, at: &str, key: &str, value: &str) -> Result<(), Error> {
        let key = format!("{at}{key}");
        if self.get(&key).is_some_and(|other| other != value) {
            return Err(Error::generic(format!("Can't specify 'file' and '{key}' options at the same time")));
        }
        self.set(&key, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parsed(text: &str) -> Result<Value, String> {
        let options = parse(text).map_err(|error| error.desc().to_owned())?;
        Ok(options.node.map_or(Value::Null, |node| serde_json::to_value(node).expect("a value")))
    }

    /// What a drive's node has that says nothing else.
    fn node(more: Value) -> Value {
        let mut node =
            json!({"auto-read-only": true, "cache": {"direct": false, "no-flush": false}, "read-only": false});
        for (key, value) in more.as_object().expect("members") {
            node[key] = value.clone();
        }
        node
    }

    #[test]
    fn a_file_name_becomes_a_node_beneath_the_format_or_is_the_node() {
        let file = json!({"driver": "file", "filename": "disk.img"});
        let raw = |file| Ok(node(json!({"driver": "raw", "file": file})));
        assert_eq!(parsed("if=none,id=d,file=disk.img,format=raw"), raw(file.clone()));
        assert_eq!(parsed("if=none,id=d,file=file:disk.img,driver=raw"), raw(file.clone()));
        assert_eq!(parsed("if=none,id=d,file.filename=disk.img,file.driver=file,format=raw"), raw(file));
        let zeroes = json!({"driver": "null-co", "read-zeroes": true});
        assert_eq!(parsed("if=none,id=d,file=null-co://,file.read-zeroes=on,format=raw"), raw(zeroes.clone()));
        assert_eq!(parsed("driver=null-co,read-zeroes=on,if=none,id=d"), Ok(node(zeroes)));
        assert_eq!(parsed("if=none,file=/a:b,format=file"), Ok(node(json!({"driver": "file", "filename": "/a:b"}))));
        let image = json!({"driver": "null-co", "read-zeroes": true});
        assert_eq!(
            parsed("file=blkdebug::null-co://,id=dr1,if=none,format=raw,file.image.read-zeroes=on"),
            raw(json!({"driver": "blkdebug", "image": image}))
        );
        let image = json!({"driver": "file", "filename": "disk.img"});
        let debug = json!({"driver": "blkdebug", "config": "rules", "image": image});
        assert_eq!(parsed("file=blkdebug:rules:disk.img,if=none,format=raw"), raw(debug));
        assert_eq!(parsed("if=none,id=d,cache=none,media=disk"), Ok(Value::Null));
    }

    #[test]
    fn cache_is_spelt_out_as_in_qemu() {
        let caching = |options: &str| {
            let options = parse(&format!("if=none,file=null-co://,format=raw,{options}")).expect("valid");
            let cache = options.node.and_then(|node| node.cache).expect("spelt out");
            (options.write_cache, cache.direct == Some(true), cache.no_flush == Some(true))
        };
        assert_eq!(caching("cache=writeback"), (true, false, false));
        assert_eq!(caching("cache=none"), (true, true, false));
        assert_eq!(caching("cache=writethrough"), (false, false, false));
        assert_eq!(caching("cache=directsync"), (false, true, false));
        assert_eq!(caching("cache=unsafe"), (true, false, true));
        assert_eq!(caching("cache=none,cache.direct=off,cache.writeback=off"), (false, false, false));
    }

    #[test]
    fn what_is_wrong_or_not_supported_is_named() {
        let nested = format!("if=none,format=raw,file={}", "blkdebug::".repeat(20));
        for (text, error) in [
            ("file=a,format=raw", "Parameter 'if' is missing: only if=none is supported"),
            ("if=virtio,file=a,format=raw", "unsupported bus type 'virtio': only if=none is"),
            ("if=none,file=a", "Parameter 'format' is missing: the format of an image is not guessed"),
            ("if=none,file=a,format=qcow2", "Unknown driver 'qcow2'"),
            ("if=none,file=a,format=raw,driver=raw", "Cannot specify both 'driver' and 'format'"),
            ("if=none,file=a,format=raw,bps=5", "Parameter 'bps' is unexpected"),
            ("if=none,file=a,format=raw,file.bogus=5", "Parameter 'file.bogus' is unexpected"),
            ("if=none,format=raw", "Parameter 'file' is missing"),
            ("if=none,media=cdrom", "media=cdrom is not supported"),
            ("if=none,media=tape", "'tape' invalid media"),
            ("if=none,snapshot=on", "snapshot=on is not supported"),
            ("if=none,copy-on-read=on", "copy-on-read=on is not supported"),
            ("if=none,aio=io_uring", "aio=io_uring is not supported: only aio=threads is"),
            ("if=none,cache=cold", "invalid cache option 'cold'"),
            ("if=none,werror=halt", "'halt' invalid write error action"),
            ("if=none,rerror=enospc", "'enospc' invalid read error action"),
            ("if=none,file=nbd:x,format=raw", "Unknown protocol 'nbd'"),
            ("if=none,file=null-co://x,format=raw", "The only allowed filename for this driver is 'null-co://'"),
            ("if=none,file=blkdebug:x,format=raw", "blkdebug requires both config file and image path"),
            (
                "if=none,file=a,file.filename=b,format=raw",
                "Can't specify 'file' and 'file.filename' options at the same time",
            ),
            ("if=none,file=null-co://,format=file", "Can't specify 'file' and 'driver' options at the same time"),
            ("if=none,file=a,format=raw,readonly=maybe", "Parameter 'read-only' expects 'on' or 'off'"),
            ("if=none,drive", "Expected '=' after parameter 'drive'"),
        ] {
            assert_eq!(parsed(text), Err(error.to_owned()), "{text}");
        }
        assert!(parsed(&nested).is_err_and(|error| error.ends_with("nests too deep")));
    }
}
