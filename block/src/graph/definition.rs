//! The options of `blockdev-add` and `blockdev-reopen`, checked and with all defaults filled in.
//!
//! A node that is defined inside another takes some of its options from there unless it says otherwise, as in QEMU:
//! `read-only`, `auto-read-only`, `force-share` and `cache` from the node above; `discard` is `unmap`, because the node above
//! has decided by then.

use std::sync::Arc;
use std::time::Duration;

use qapi_schema::Error;
use qapi_schema::block_core::{
    BlockdevAioOptions, BlockdevDetectZeroesOptions, BlockdevOptions, BlockdevOptionsFile, BlockdevOptionsKind,
    BlockdevOptionsNull, BlockdevOptionsQuota, BlockdevOptionsRaw, BlockdevRef,
};
use qapi_schema::common::OnOffAuto;

use crate::driver::DriverOptions;
use crate::driver::blkdebug::BlkdebugOptions;
use crate::driver::host_file::{Access, HostOptions};
use crate::driver::null_co::{NullDriver, NullOptions};
use crate::driver::quota::QuotaOptions;
use crate::driver::raw::RawOptions;
use crate::fdset::{FdSet, FdSets};
use crate::node::{Discard, Settings};

/// A node to be made, or as it shall become.
#[derive(Debug)]
pub(super) struct Definition {
    /// Its name, checked by whoever makes it.
    pub(super) name: Option<String>,
    pub(super) settings: Settings,
    pub(super) driver: DriverOptions<Child>,
}

/// The node beneath.
#[derive(Debug)]
pub(super) enum Child {
    /// An existing one.
    Reference(String),
    /// A new one.
    Definition(Box<Definition>),
}

/// What a node gets from the one that defines it.
#[derive(Clone, Copy, Debug)]
struct Inherited {
    read_only: bool,
    auto_read_only: bool,
    force_share: bool,
    direct: bool,
    no_flush: bool,
    discard: Discard,
}

impl Definition {
    /// The node of a command, whose images may be in `fdsets`.
    pub(super) fn top_level(options: BlockdevOptions, fdsets: &Arc<FdSets>) -> Result<Self, Error> {
        let nothing = Inherited {
            read_only: false,
            auto_read_only: false,
            force_share: false,
            direct: false,
            no_flush: false,
            discard: Discard::Ignore,
        };
        Self::new(options, nothing, fdsets)
    }

    fn new(options: BlockdevOptions, above: Inherited, fdsets: &Arc<FdSets>) -> Result<Self, Error> {
        let cache = options.cache.as_ref();
        let own = Inherited {
            read_only: options.read_only.unwrap_or(above.read_only),
            auto_read_only: options.auto_read_only.unwrap_or(above.auto_read_only),
            force_share: options.force_share.unwrap_or(above.force_share),
            direct: cache.and_then(|cache| cache.direct).unwrap_or(above.direct),
            no_flush: cache.and_then(|cache| cache.no_flush).unwrap_or(above.no_flush),
            discard: options.discard.unwrap_or(above.discard),
        };
        if options.active == Some(false) {
            return Err(Error::generic(
                "Parameter 'active' does not accept value 'false': there are no inactive nodes",
            ));
        }
        if own.force_share && !own.read_only {
            return Err(Error::generic("force-share=on can only be used with read-only images"));
        }
        let detect_zeroes = options.detect_zeroes.unwrap_or(BlockdevDetectZeroesOptions::Off);
        if detect_zeroes == BlockdevDetectZeroesOptions::Unmap && own.discard != Discard::Unmap {
            let text = "setting detect-zeroes to unmap is not allowed without setting discard operation to unmap";
            return Err(Error::generic(text));
        }
        let beneath = Inherited { discard: Discard::Unmap, ..own };
        let driver = match options.driver {
            BlockdevOptionsKind::File(file) => DriverOptions::File(host_options(file, own, fdsets)?),
            BlockdevOptionsKind::HostDevice(file) => DriverOptions::HostDevice(host_options(file, own, fdsets)?),
            BlockdevOptionsKind::NullCo(null) => DriverOptions::NullCo(null_options(NullDriver::Co, &null)?),
            BlockdevOptionsKind::NullAio(null) => DriverOptions::NullCo(null_options(NullDriver::Aio, &null)?),
            BlockdevOptionsKind::Raw(raw) => {
                let BlockdevOptionsRaw { file, offset, size } = raw;
                let offset = offset.map_or(Ok(0), |offset| not_negative("offset", offset))?;
                let size = size.map(|size| not_negative("size", size)).transpose()?;
                DriverOptions::Raw(RawOptions { offset, size }, Child::new(file, beneath, fdsets)?)
            }
            BlockdevOptionsKind::Quota(quota) => {
                let BlockdevOptionsQuota { file, limit } = quota;
                DriverOptions::Quota(QuotaOptions { limit }, Child::new(file, beneath, fdsets)?)
            }
            BlockdevOptionsKind::Blkdebug(blkdebug) => {
                let rules = BlkdebugOptions::new(&blkdebug)?;
                DriverOptions::Blkdebug(rules, Child::new(blkdebug.image, beneath, fdsets)?)
            }
        };
        let Inherited { read_only, discard, no_flush, .. } = own;
        let settings = Settings { read_only, discard, detect_zeroes, no_flush };
        Ok(Self { name: options.node_name, settings, driver })
    }

    /// Fetches what is not in the options themselves, for this node and those defined in it. It may take for ever.
    pub(super) fn load(&mut self) -> Result<(), Error> {
        self.driver.load()?;
        match self.driver.child_mut() {
            Some(Child::Definition(child)) => child.load(),
            Some(Child::Reference(_)) | None => Ok(()),
        }
    }
}

impl Child {
    fn new(node: BlockdevRef, above: Inherited, fdsets: &Arc<FdSets>) -> Result<Self, Error> {
        match node {
            BlockdevRef::Reference(name) => Ok(Self::Reference(name)),
            BlockdevRef::Definition(options) => {
                Ok(Self::Definition(Box::new(Definition::new(*options, above, fdsets)?)))
            }
        }
    }
}

fn host_options(options: BlockdevOptionsFile, node: Inherited, fdsets: &Arc<FdSets>) -> Result<HostOptions, Error> {
    let BlockdevOptionsFile { filename, locking, aio, aio_max_batch: _, drop_cache: _ } = options;
    let (Some(BlockdevAioOptions::Threads) | None) = aio;
    let access = match (node.read_only, node.auto_read_only) {
        (true, _) => Access::ReadOnly,
        (false, true) => Access::ReadWriteIfPermitted,
        (false, false) => Access::ReadWrite,
    };
    let locking = locking.unwrap_or(OnOffAuto::Auto);
    let fdset = FdSet::named(fdsets, &filename)?;
    Ok(HostOptions { filename, fdset, access, direct: node.direct, locking, force_share: node.force_share })
}

fn null_options(driver: NullDriver, options: &BlockdevOptionsNull) -> Result<NullOptions, Error> {
    let BlockdevOptionsNull { size, latency_ns, read_zeroes } = *options;
    let latency = latency_ns.unwrap_or(0);
    if i64::try_from(latency).is_err() {
        return Err(Error::generic("latency-ns is invalid"));
    }
    Ok(NullOptions {
        driver,
        size: size.map_or(Ok(NullOptions::DEFAULT_SIZE), |size| not_negative("size", size))?,
        latency: Duration::from_nanos(latency),
        read_zeroes: read_zeroes.unwrap_or(false),
    })
}

fn not_negative(option: &str, value: i64) -> Result<u64, Error> {
    u64::try_from(value)
        .map_err(|_| Error::generic(format!("Value '{value}' is out of range for parameter '{option}'")))
}
