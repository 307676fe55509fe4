//! Image locking as QEMU does it, so that its programs and this one keep each other out.
//!
//! A user of an image needs some permissions and denies some to others. Both are announced by shared locks on single
//! bytes of the file, byte 100 + n for a permission that is needed and 200 + n for one that is denied. After announcing,
//! one looks whether somebody else denies what is needed, or needs what is denied. All locks being shared, announcing
//! always succeeds, and of two who come at the same time at least one sees the other.
//!
//! They are locks of an open file description (`F_OFD_SETLK`), not of the process, hence also keep two nodes of this
//! process apart, and aren't lost when some other descriptor is closed. The description is one of its own: reopening the
//! image doesn't touch it.

use std::fs;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use parking_lot::Mutex;
use qapi_schema::Error;
use qapi_schema::common::OnOffAuto;

use super::handle::Handle;
use super::{HostOptions, could_not_open};
use crate::driver::Usage;

/// First byte of the permissions that somebody needs.
const NEEDED: libc::off_t = 100;

/// First byte of the permissions that somebody denies to others.
const DENIED: libc::off_t = 200;

/// The permissions in the order of their bytes. QEMU's third, "write unchanged", is neither needed nor denied here.
const PERMISSIONS: [(libc::off_t, Permissions, &str); 3] = [
    (0, Permissions::CONSISTENT_READ, "consistent read"),
    (1, Permissions::WRITE, "write"),
    (3, Permissions::RESIZE, "resize"),
];

/// A set of permissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Permissions(u8);

impl Permissions {
    const NONE: Self = Self(0);
    const CONSISTENT_READ: Self = Self(1);
    const WRITE: Self = Self(2);
    const RESIZE: Self = Self(8);

    const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// What is announced: permissions needed, and denied to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Claim {
    needed: Permissions,
    denied: Permissions,
}

impl Claim {
    const fn union(self, other: Self) -> Self {
        Self { needed: self.needed.union(other.needed), denied: self.denied.union(other.denied) }
    }
}

/// The claim of all users of one node to its image.
#[derive(Debug)]
pub(super) struct ImageLock {
    file: fs::File,
    filename: String,
    force_share: bool,
    users: Mutex<Users>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Users {
    readers: usize,
    writers: usize,
    resizers: usize,
}

impl Users {
    const fn count(&mut self, usage: Usage) -> &mut usize {
        match usage {
            Usage::Read => &mut self.readers,
            Usage::Write | Usage::WriteAlone => &mut self.writers,
            Usage::Resize => &mut self.resizers,
        }
    }

    /// As a disk of QEMU's claims it, except that nobody else may resize it.
    fn claim(self, force_share: bool) -> Claim {
        let disk = Permissions::WRITE.union(Permissions::RESIZE);
        let denied = if force_share { Permissions::NONE } else { disk };
        let read = Claim { needed: Permissions::CONSISTENT_READ, denied };
        let write = read.union(Claim { needed: Permissions::WRITE, denied });
        let resize = Claim { needed: Permissions::RESIZE, denied: Permissions::NONE };
        let claims = [(self.readers, read), (self.writers, write), (self.resizers, resize)];
        let present = claims.into_iter().filter(|(users, _)| *users > 0);
        present.fold(Claim::default(), |sum, (_, claim)| sum.union(claim))
    }
}

impl ImageLock {
    /// Gets ready to lock an image; nothing if it shall not be locked, or need not and can't.
    pub(super) fn new(options: &HostOptions, image: &Handle) -> Result<Option<Self>, Error> {
        if options.locking == OnOffAuto::Off {
            return Ok(None);
        }
        let filename = options.filename.clone();
        let file = match image.another_description() {
            Ok(file) => file,
            // Who is handed an image may not be permitted to open it, and copies of a descriptor can't lock each other out.
            Err(_) if options.fdset.is_some() && options.locking == OnOffAuto::Auto => return Ok(None),
            Err(error) => return Err(could_not_open(&filename, &error)),
        };
        match (is_held_by_another(&file, NEEDED), options.locking) {
            (Ok(_), _) => {
                let users = Mutex::default();
                Ok(Some(Self { file, filename, force_share: options.force_share, users }))
            }
            (Err(errno), OnOffAuto::On) => {
                Err(Error::generic(format!("Could not lock '{filename}': {}", errno.desc())))
            }
            (Err(_), OnOffAuto::Auto | OnOffAuto::Off) => Ok(None),
        }
    }

    /// Adds a user.
    pub(super) fn acquire(&self, usage: Usage) -> Result<(), Error> {
        let mut users = self.users.lock();
        let old = users.claim(self.force_share);
        *users.count(usage) += 1;
        let new = users.claim(self.force_share);
        if new == old {
            return Ok(());
        }
        let result = self.announce(new).and_then(|()| self.look_around(new));
        if result.is_err() {
            *users.count(usage) -= 1;
            self.withdraw(old);
        }
        result
    }

    /// Removes a user.
    pub(super) fn release(&self, usage: Usage) {
        let mut users = self.users.lock();
        let count = users.count(usage);
        debug_assert!(*count > 0, "released what was never acquired");
        *count = count.saturating_sub(1);
        self.withdraw(users.claim(self.force_share));
    }

    /// Locks the bytes of a claim. Those already locked stay so.
    fn announce(&self, claim: Claim) -> Result<(), Error> {
        for byte in bytes(claim) {
            set(&self.file, byte, libc::F_RDLCK)
                .map_err(|errno| Error::generic(format!("Failed to lock byte {byte}: {}", errno.desc())))?;
        }
        Ok(())
    }

    /// Unlocks the bytes that are no part of `claim`.
    fn withdraw(&self, claim: Claim) {
        let everything = PERMISSIONS.iter().fold(Permissions::NONE, |sum, (_, permission, _)| sum.union(*permission));
        let kept: Vec<_> = bytes(claim).collect();
        for byte in bytes(Claim { needed: everything, denied: everything }).filter(|byte| !kept.contains(byte)) {
            if let Err(errno) = set(&self.file, byte, libc::F_UNLCK) {
                tracing::warn!("{}: failed to unlock byte {byte}: {}", self.filename, errno.desc());
            }
        }
    }

    /// Fails if somebody's claim excludes this one.
    fn look_around(&self, claim: Claim) -> Result<(), Error> {
        for (bit, permission, name) in PERMISSIONS {
            if claim.needed.contains(permission) {
                self.check(DENIED + bit, &format!("\"{name}\""))?;
            }
            if claim.denied.contains(permission) {
                self.check(NEEDED + bit, &format!("shared \"{name}\""))?;
            }
        }
        Ok(())
    }

    fn check(&self, byte: libc::off_t, what: &str) -> Result<(), Error> {
        match is_held_by_another(&self.file, byte) {
            Ok(false) => Ok(()),
            Ok(true) => {
                let question = format!("Is another process using the image [{}]?", self.filename);
                Err(Error::generic(format!("Failed to get {what} lock. {question}")))
            }
            Err(errno) => Err(Error::generic(format!("Failed to get {what} lock: {}", errno.desc()))),
        }
    }
}

fn bytes(claim: Claim) -> impl Iterator<Item = libc::off_t> {
    let needed = PERMISSIONS.iter().filter(move |(_, permission, _)| claim.needed.contains(*permission));
    let denied = PERMISSIONS.iter().filter(move |(_, permission, _)| claim.denied.contains(*permission));
    needed.map(|(bit, _, _)| NEEDED + bit).chain(denied.map(|(bit, _, _)| DENIED + bit))
}

fn one_byte(at: libc::off_t, kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: at,
        l_len: 1,
        l_pid: 0,
    }
}

fn set(file: &fs::File, at: libc::off_t, kind: libc::c_int) -> Result<(), Errno> {
    loop {
        match fcntl(file, FcntlArg::F_OFD_SETLK(&one_byte(at, kind))) {
            Err(Errno::EINTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

/// Whether another description has any lock on this byte.
fn is_held_by_another(file: &fs::File, at: libc::off_t) -> Result<bool, Errno> {
    let mut found = one_byte(at, libc::F_WRLCK);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    Ok(libc::c_int::from(found.l_type) != libc::F_UNLCK)
}
