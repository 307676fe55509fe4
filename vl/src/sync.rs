//! The locks of the VM and of what stops it: parking_lot's, or with `--cfg shuttle` those of a model checker that tries
//! schedules.

#[cfg(not(shuttle))]
pub use parking_lot::{Condvar, Mutex, MutexGuard};
#[cfg(not(shuttle))]
pub use std::thread;

#[cfg(shuttle)]
pub use checked::{Condvar, Mutex, MutexGuard};
#[cfg(shuttle)]
pub use shuttle::thread;

/// shuttle's locks behind parking_lot's interface.
#[cfg(shuttle)]
mod checked {
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;

    /// A mutex whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        /// A free mutex around `value`.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Waits for the mutex and takes it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            MutexGuard(Some(self.0.lock().unwrap_or_else(PoisonError::into_inner)))
        }
    }

    /// A taken mutex. Empty only inside [`Condvar::wait_while`].
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

    /// A condition variable whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl Condvar {
        /// A condition nobody waits for.
        pub fn new() -> Self {
            Self::default()
        }

        /// Wakes every waiter.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }

        /// Wakes one waiter.
        pub fn notify_one(&self) {
            self.0.notify_one();
        }

        /// Waits as long as `condition` holds.
        pub fn wait_while<T>(&self, guard: &mut MutexGuard<'_, T>, condition: impl FnMut(&mut T) -> bool) {
            guard.0 =
                guard.0.take().map(|taken| self.0.wait_while(taken, condition).unwrap_or_else(PoisonError::into_inner));
        }
    }
}
