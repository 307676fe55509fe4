//! The locks of the VM and of what stops it: parking_lot's, or with `--cfg shuttle` those of a model checker that tries
//! schedules.

#[cfg(not(shuttle))]
pub use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(not(shuttle))]
pub use std::{sync::atomic, thread};

#[cfg(shuttle)]
pub use checked::{Condvar, Mutex, MutexGuard, RwLock};
#[cfg(shuttle)]
pub use shuttle::{sync::atomic, thread};

/// shuttle's locks behind parking_lot's interface.
#[cfg(shuttle)]
mod checked {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    /// A mutex whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A free mutex around `value`.
        pub const fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Waits for the mutex and takes it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    /// A taken mutex. Empty only inside the waits of [`Condvar`].
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().unwrap_or_else(|| unreachable!())
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().unwrap_or_else(|| unreachable!())
        }
    }

    /// A readers-writer lock whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        /// A free lock around `value`.
        pub const fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        /// Waits until nobody writes, and reads.
        pub fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(PoisonError::into_inner)
        }

        /// Waits until there is nobody, and writes.
        pub fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// A condition variable whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        /// A condition nobody waits for.
        pub const fn new() -> Self {
            Self(shuttle::sync::Condvar::new())
        }

        /// Wakes every waiter.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Wakes one waiter.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Waits until it is woken.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            guard.0 = guard.0.take().map(|taken| self.0.wait(taken).unwrap_or_else(PoisonError::into_inner));
        }

        /// Waits as long as `condition` holds.
        pub fn wait_while<T>(&self, guard: &mut MutexGuard<'_, T>, condition: impl FnMut(&mut T) -> bool) {
            guard.0 =
                guard.0.take().map(|taken| self.0.wait_while(taken, condition).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
