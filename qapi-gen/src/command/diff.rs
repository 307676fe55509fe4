//! `qapi-gen diff`: says whether a schema is compatible on the wire with an earlier one.

use qapi_gen::diff::Verdict;

use super::{Failure, Output};

/// Lists the changes. Exit status 1 if one of them breaks clients, hence another one if there is nothing to compare.
pub fn run(parser: lexopt::Parser) -> Result<Output, Failure> {
    compared(parser).map_err(|failure| match failure {
        Failure::Help | Failure::Version => failure,
        Failure::Usage(_) | Failure::Work(_) | Failure::NoVerdict(_) => Failure::NoVerdict(Box::new(failure)),
    })
}

fn compared(parser: lexopt::Parser) -> Result<Output, Failure> {
    let files = super::files(parser)?;
    let [old, new] = files.as_slice() else {
        return Err(Failure::Usage("'diff' takes two files".to_owned()));
    };
    let changes = match (qapi_gen::compile(old), qapi_gen::compile(new)) {
        (Ok(old), Ok(new)) => qapi_gen::diff(&old, &new),
        (Err(errors), Ok(_)) | (Ok(_), Err(errors)) => return Err(Failure::from(errors)),
        (Err(old), Err(new)) => return Err(Failure::Work(format!("{old}{new}"))),
    };
    let breaking = changes.iter().filter(|change| change.verdict == Verdict::Breaking).count();
    let summary = match changes.len() {
        0 => "no changes on the wire\n".to_owned(),
        all => format!("{breaking} breaking, {} compatible\n", all - breaking),
    };
    let lines = changes.iter().map(|change| format!("{change}\n"));
    Ok(Output { text: lines.chain([summary]).collect(), status: u8::from(breaking > 0) })
}
