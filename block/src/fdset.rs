//! Sets of file descriptors that were handed over, and `fdset.json`, which fills them: `/dev/fdset/N` is opened by taking
//! a copy of a descriptor of set N that is open for what is wanted.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use qapi_schema::fdset::{AddfdInfo, Commands, FdsetFdInfo, FdsetInfo};
use qapi_schema::{Client, Error};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// The sets of a process.
#[derive(Debug, Default)]
pub struct FdSets(Mutex<BTreeMap<i64, Set>>);

/// Goes when it has neither descriptors nor users.
#[derive(Debug, Default)]
struct Set {
    members: Vec<Member>,
    users: usize,
}

#[derive(Debug)]
struct Member {
    fd: OwnedFd,
    opaque: Option<String>,
}

impl FdSets {
    /// Adds a descriptor to a set, which is made if there is none; without `id` to a new one with the lowest free number.
    ///
    /// # Errors
    /// The number is negative.
    pub fn add(&self, id: Option<i64>, fd: OwnedFd, opaque: Option<String>) -> Result<AddfdInfo, Error> {
        if id.is_some_and(|id| id < 0) {
            return Err(Error::generic("Parameter 'fdset-id' expects a non-negative value"));
        }
        let mut sets = self.0.lock();
        let lowest_free = || (0..).zip(sets.keys()).take_while(|(number, id)| number == *id).count() as i64;
        let fdset_id = id.unwrap_or_else(lowest_free);
        let info = AddfdInfo { fdset_id, fd: fd.as_raw_fd().into() };
        sets.entry(fdset_id).or_default().members.push(Member { fd, opaque });
        Ok(info)
    }

    /// Removes a descriptor from a set, or all of them.
    ///
    /// # Errors
    /// There is no such set, or no such descriptor in it.
    pub fn remove(&self, id: i64, fd: Option<i64>) -> Result<(), Error> {
        let mut sets = self.0.lock();
        let removed = match (sets.get_mut(&id), fd) {
            (None, _) => false,
            (Some(set), None) => {
                set.members.clear();
                true
            }
            (Some(set), Some(fd)) => {
                let before = set.members.len();
                set.members.retain(|member| i64::from(member.fd.as_raw_fd()) != fd);
                set.members.len() < before
            }
        };
        drop_if_idle(&mut sets, id);
        if removed {
            return Ok(());
        }
        let fd = fd.map_or_else(String::new, |fd| format!(", fd:{fd}"));
        Err(Error::generic(format!("File descriptor named 'fdset-id:{id}{fd}' not found")))
    }

    /// The sets, the highest number first, as QEMU lists them.
    pub fn list(&self) -> Vec<FdsetInfo> {
        let information = |(&fdset_id, set): (&i64, &Set)| {
            let fds = set.members.iter();
            let fds =
                fds.map(|Member { fd, opaque }| FdsetFdInfo { fd: fd.as_raw_fd().into(), opaque: opaque.clone() });
            FdsetInfo { fdset_id, fds: fds.collect() }
        };
        self.0.lock().iter().rev().map(information).collect()
    }
}

fn drop_if_idle(sets: &mut BTreeMap<i64, Set>, id: i64) {
    if sets.get(&id).is_some_and(|set| set.members.is_empty() && set.users == 0) {
        sets.remove(&id);
    }
}

/// A set by its name in the place of a path.
#[derive(Clone, Debug)]
pub struct FdSet {
    sets: Arc<FdSets>,
    id: i64,
}

impl PartialEq for FdSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.sets, &other.sets) && self.id == other.id
    }
}

impl Eq for FdSet {}

impl FdSet {
    /// The set that a filename stands for, if it is none in the file system.
    ///
    /// # Errors
    /// It is not well-formed.
    pub fn named(sets: &Arc<FdSets>, filename: &str) -> Result<Option<Self>, Error> {
        let Some(id) = filename.strip_prefix("/dev/fdset/") else {
            return Ok(None);
        };
        match id.parse() {
            Ok(id) if id >= 0 => Ok(Some(Self { sets: Arc::clone(sets), id })),
            Ok(_) | Err(_) => Err(Error::generic(format!("Could not parse fdset {filename}"))),
        }
    }

    /// Makes the caller a user, for whom the set stays even without descriptors.
    ///
    /// # Errors
    /// There is no such set.
    pub fn join(&self) -> io::Result<FdSetUser> {
        let mut sets = self.sets.0.lock();
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("there is no fd set {}", self.id));
        sets.get_mut(&self.id).ok_or_else(none)?.users += 1;
        Ok(FdSetUser(self.clone()))
    }
}

/// Who has opened something from a set, and may open more.
#[derive(Debug)]
pub struct FdSetUser(FdSet);

impl FdSetUser {
    /// A copy of the first descriptor that is open for reading, or for reading and writing if `write`.
    ///
    /// Past the page cache if `direct`, through it if not. That is a property of the open file, which all copies share:
    /// a descriptor that has it already comes first, one that has it without need loses it, and if there is none for
    /// `direct` the file is opened anew, which must be permitted.
    ///
    /// # Errors
    /// There is none, or the operating system's.
    pub fn open(&self, write: bool, direct: bool) -> io::Result<OwnedFd> {
        let FdSet { sets, id } = &self.0;
        let (access, purpose) = if write { (OFlags::RDWR, "reading and writing") } else { (OFlags::RDONLY, "reading") };
        let sets = sets.0.lock();
        let members = sets.get(id).map_or_else(Vec::new, |set| set.members.iter().map(|member| &member.fd).collect());
        let flags = members.into_iter().map(|fd| Ok((fd, fcntl_getfl(fd)?))).collect::<io::Result<Vec<_>>>()?;
        let fitting = flags.into_iter().filter(|(_, flags)| flags.intersection(OFlags::RWMODE) == access);
        let Some((fd, flags)) = fitting.min_by_key(|(_, flags)| flags.contains(OFlags::DIRECT) != direct) else {
            let text = format!("fd set {id} has no descriptor that is open for {purpose}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
        };
        match (direct, flags.contains(OFlags::DIRECT)) {
            (true, false) => match reopen(fd, access | OFlags::DIRECT) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    let text = format!("fd set {id} has no descriptor that is open for {purpose} with O_DIRECT");
                    Err(io::Error::new(error.kind(), text))
                }
                outcome => outcome,
            },
            (false, true) => {
                fcntl_setfl(fd, flags - OFlags::DIRECT)?;
                fd.try_clone()
            }
            (true, true) | (false, false) => fd.try_clone(),
        }
    }
}

impl Drop for FdSetUser {
    fn drop(&mut self) {
        let mut sets = self.0.sets.0.lock();
        if let Some(set) = sets.get_mut(&self.0.id) {
            set.users -= 1;
        }
        drop_if_idle(&mut sets, self.0.id);
    }
}

/// Opens the file of a descriptor anew, wherever it is, and whether or not it still has a name.
pub(crate) fn reopen(fd: &impl AsRawFd, flags: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC, rustix::fs::Mode::empty())?)
}

/// The sets as a client fills them.
pub struct ClientFdSets {
    sets: Arc<FdSets>,
    client: Arc<Client>,
}

impl ClientFdSets {
    /// `sets`, as this client fills them.
    pub const fn new(sets: Arc<FdSets>, client: Arc<Client>) -> Self {
        Self { sets, client }
    }
}

impl Commands for ClientFdSets {
    fn add_fd(&self, fdset_id: Option<i64>, opaque: Option<String>) -> Result<AddfdInfo, Error> {
        self.sets.add(fdset_id, self.client.claim()?, opaque)
    }

    fn remove_fd(&self, fdset_id: i64, fd: Option<i64>) -> Result<(), Error> {
        self.sets.remove(fdset_id, fd)
    }

    fn query_fdsets(&self) -> Result<Vec<FdsetInfo>, Error> {
        Ok(self.sets.list())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Write};

    fn null(write: bool) -> OwnedFd {
        OpenOptions::new().read(true).write(write).open("/dev/null").expect("there").into()
    }

    fn ids(sets: &FdSets) -> Vec<i64> {
        sets.list().iter().map(|set| set.fdset_id).collect()
    }

    fn user(sets: &Arc<FdSets>, name: &str) -> FdSetUser {
        FdSet::named(sets, name).expect("well-formed").expect("a set").join().expect("there")
    }

    #[test]
    fn the_lowest_free_number_is_given_and_the_highest_comes_first() {
        let sets = FdSets::default();
        for id in [Some(1), None, None, Some(9), None] {
            sets.add(id, null(true), None).expect("added");
        }
        assert_eq!(ids(&sets), [9, 3, 2, 1, 0]);
        sets.remove(2, None).expect("there");
        assert_eq!(sets.add(None, null(true), None).expect("added").fdset_id, 2);
        let refused = sets.add(Some(-1), null(true), None).expect_err("negative");
        assert_eq!(refused.desc(), "Parameter 'fdset-id' expects a non-negative value");
    }

    #[test]
    fn descriptors_are_removed_one_by_one_or_all_at_once() {
        let sets = FdSets::default();
        let first = sets.add(Some(5), null(true), Some("a".into())).expect("added");
        let second = sets.add(Some(5), null(false), None).expect("added");
        let listed: Vec<_> = sets.list()[0].fds.iter().map(|info| (info.fd, info.opaque.clone())).collect();
        assert_eq!(listed, [(first.fd, Some("a".into())), (second.fd, None)]);
        let error = |outcome: Result<(), Error>| outcome.expect_err("not there").desc().to_owned();
        assert_eq!(error(sets.remove(5, Some(-7))), "File descriptor named 'fdset-id:5, fd:-7' not found");
        assert_eq!(error(sets.remove(6, None)), "File descriptor named 'fdset-id:6' not found");
        sets.remove(5, Some(first.fd)).expect("there");
        assert_eq!(sets.list()[0].fds.len(), 1);
        sets.remove(5, None).expect("there");
        assert!(sets.list().is_empty());
    }

    #[test]
    fn only_a_descriptor_with_the_same_access_is_taken() {
        let sets = Arc::new(FdSets::default());
        sets.add(Some(0), null(false), None).expect("added");
        let user = user(&sets, "/dev/fdset/0");
        user.open(false, false).expect("for reading");
        let refused = user.open(true, false).expect_err("not for writing");
        assert_eq!(refused.to_string(), "fd set 0 has no descriptor that is open for reading and writing");
        sets.add(Some(0), null(true), None).expect("added");
        let flags = fcntl_getfl(user.open(true, false).expect("for both")).expect("open");
        assert_eq!(flags.intersection(OFlags::RWMODE), OFlags::RDWR);
        let flags = fcntl_getfl(user.open(false, false).expect("for reading")).expect("open");
        assert_eq!(flags.intersection(OFlags::RWMODE), OFlags::RDONLY);
    }

    #[test]
    fn a_set_in_use_stays_without_descriptors() {
        let sets = Arc::new(FdSets::default());
        sets.add(Some(0), null(true), None).expect("added");
        let user = user(&sets, "/dev/fdset/0");
        sets.remove(0, None).expect("there");
        assert_eq!((ids(&sets), sets.list()[0].fds.len()), (vec![0], 0));
        user.open(true, false).expect_err("removed");
        drop(user);
        assert!(sets.list().is_empty());
    }

    #[test]
    fn a_file_without_a_name_is_read_and_written() {
        let sets = Arc::new(FdSets::default());
        let file = tempfile::tempfile().expect("a file");
        sets.add(Some(7), file.into(), None).expect("added");
        let user = user(&sets, "/dev/fdset/7");
        File::from(user.open(true, false).expect("opened")).write_all(b"x").expect("written");
        let anew = reopen(&user.open(true, false).expect("opened"), OFlags::RDONLY).expect("as its owner");
        let mut text = String::new();
        File::from(anew).read_to_string(&mut text).expect("read");
        assert_eq!(text, "x");
    }

    #[test]
    fn a_name_is_that_of_a_set_or_not() {
        let sets = Arc::new(FdSets::default());
        assert!(FdSet::named(&sets, "/dev/null").expect("a path").is_none());
        for name in ["/dev/fdset/", "/dev/fdset/x", "/dev/fdset/-1", "/dev/fdset/1/", "/dev/fdset/99999999999999999999"]
        {
            let refused = FdSet::named(&sets, name).expect_err("malformed");
            assert_eq!(refused.desc(), format!("Could not parse fdset {name}"));
        }
        let none = FdSet::named(&sets, "/dev/fdset/3").expect("well-formed").expect("a set").join();
        assert_eq!(none.expect_err("no such set").to_string(), "there is no fd set 3");
        assert!(!fs::exists("/dev/fdset").unwrap_or(false));
    }
}
