//! The locks that emitting threads and the event loop meet at: parking_lot's, or with `--cfg shuttle` those of a model
//! checker that tries schedules.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;

#[cfg(shuttle)]
pub(crate) use checked::Mutex;

/// shuttle's lock behind parking_lot's interface.
#[cfg(shuttle)]
mod checked {
    use std::sync::PoisonError;

    use shuttle::sync::MutexGuard;

    /// A mutex whose every operation is a point where the schedule may change.
    #[derive(Debug, Default)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }
}
