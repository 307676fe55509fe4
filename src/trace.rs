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
        Some(given) => parse(&given.value).map_err(|error| format!("{}: {error}", given.name()))?,
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    // A process that embeds this may have a log already, which then is the one.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
    Ok(())
}

/// A level, or levels by module. A word that is no level would be taken for a module, and every slip for a filter.
fn parse(filter: &str) -> Result<Targets, String> {
    for word in filter.split(',').filter(|part| !part.contains('=')) {
        word.parse::<LevelFilter>().map_err(|error| format!("'{word}': {error}"))?;
    }
    filter.parse().map_err(|error| format!("'{filter}': {error}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_word_that_is_no_level_is_refused_by_name() {
        assert!(parse("info").is_ok() && parse("off,block=debug").is_ok());
        assert!(parse("loud").expect_err("refused").starts_with("'loud': "));
        assert!(parse("block=loud").is_err());
    }
}
