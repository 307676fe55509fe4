//! What emitting threads and the event loop meet at: parking_lot's locks and atomic integers, or with `--cfg shuttle`
//! those of a model checker that tries schedules.

#[cfg(not(shuttle))]
pub(crate) use {parking_lot::Mutex, std::sync::atomic::AtomicU64};

#[cfg(shuttle)]
pub(crate) use {checked::Mutex, shuttle::sync::atomic::AtomicU64};

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
