//! Interrupt lines, and the controllers they end at.
//!
//! There is no processor that a controller could interrupt: it keeps the levels of its inputs, and tells changes to
//! whoever has put himself in its place.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// Hears of a controller's inputs in place of the processor.
pub trait Interceptor: Send + Sync {
    /// An input changed its level. Called in the order of the changes, with a lock of the controller held: must not
    /// block, nor touch the controller.
    fn level(&self, input: u32, high: bool);
}

/// An interrupt controller: inputs, numbered from 0.
pub struct Controller {
    name: &'static str,
    state: Mutex<State>,
}

struct State {
    levels: Vec<bool>,
    interceptor: Option<Arc<dyn Interceptor>>,
}

impl Controller {
    /// A controller with all inputs low.
    pub fn new(name: &'static str, inputs: u32) -> Arc<Self> {
        let levels = vec![false; inputs as usize];
        Arc::new(Self { name, state: Mutex::new(State { levels, interceptor: None }) })
    }

    /// What it is called.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// How many inputs it has.
    pub fn inputs(&self) -> u32 {
        self.state.lock().levels.len() as u32
    }

    /// The line to an input. One to an input that there is not leads nowhere.
    pub fn line(self: &Arc<Self>, input: u32) -> Line {
        Line { controller: Arc::clone(self), input }
    }

    /// From now on tells `interceptor` of every change. For all that it knows every input is low, and so it is from here on
    /// until it is set again.
    pub fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        let mut state = self.state.lock();
        state.levels.fill(false);
        state.interceptor = Some(interceptor);
    }

    fn set(&self, input: u32, high: bool) {
        let mut state = self.state.lock();
        let Some(level) = state.levels.get_mut(input as usize) else { return };
        if std::mem::replace(level, high) != high
            && let Some(interceptor) = &state.interceptor
        {
            interceptor.level(input, high);
        }
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A device's end of an interrupt line.
#[derive(Clone, Debug)]
pub struct Line {
    controller: Arc<Controller>,
    input: u32,
}

impl Line {
    /// Sets the level. To the one it has: nothing happens.
    pub fn set(&self, high: bool) {
        self.controller.set(self.input, high);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(u32, bool)>>);

    impl Interceptor for Heard {
        fn level(&self, input: u32, high: bool) {
            self.0.lock().push((input, high));
        }
    }

    #[test]
    fn only_changes_are_told_and_only_of_inputs_that_there_are() {
        let controller = Controller::new("ioapic", 4);
        let heard = Arc::new(Heard::default());
        let line = controller.line(3);
        line.set(true);
        line.set(false);
        controller.intercept(heard.clone());
        line.set(false);
        line.set(true);
        line.set(true);
        controller.line(4).set(true);
        controller.line(0).set(true);
        line.set(false);
        assert_eq!(*heard.0.lock(), [(3, true), (0, true), (3, false)]);
    }

    #[test]
    fn whoever_intercepts_starts_with_low_inputs() {
        let controller = Controller::new("ioapic", 4);
        let [kept, lowered] = [0, 1].map(|input| controller.line(input));
        [&kept, &lowered].into_iter().for_each(|line| line.set(true));
        let heard = Arc::new(Heard::default());
        controller.intercept(heard.clone());
        lowered.set(false);
        kept.set(true);
        assert_eq!(*heard.0.lock(), [(0, true)]);
    }
}
