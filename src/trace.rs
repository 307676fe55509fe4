//! The log on standard error, filtered by `-T`.

use std::io;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::command_line::Given;

/// Starts the log, with the filter of the option if it was given: a level, or levels by module.
///
/// # Errors
/// The filter makes no sense.
pub fn to_stderr(option: Option<&Given>) -> Result<(), String> {
    let filter = match option {
        None => Targets::new().with_default(LevelFilter::WARN),
        Some(given) => given.value.parse().map_err(|error| format!("{}: '{}': {error}", given.name(), given.value))?,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    // A process that embeds this may have a log already, which then is the one.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    Ok(())
}
