//! Schemas of other crates that this one includes: their modules are named, not generated again.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::{fs, iter};

use proc_macro2::{Ident, TokenStream};
use quote::quote;

use super::layout;
use crate::diagnostic::{Diagnostic, Errors};
use crate::schema::Schema;
use crate::source::FileId;

/// A schema that another crate has included.
#[derive(Clone, Debug)]
pub struct External {
    /// The module in which it did so, such as `::qapi_schema`.
    pub path: TokenStream,
    /// The schema.
    pub schema: Schema,
}

/// A module of another crate.
#[derive(Clone, Debug)]
pub struct Foreign<'a> {
    /// Where that crate has included its schema.
    pub path: &'a TokenStream,
    /// The module's name there.
    pub module: Ident,
}

/// For the files of `schema` that belong to another crate, that crate's modules.
///
/// # Errors
/// A schema of another crate is not included.
pub fn modules<'a>(schema: &Schema, externals: &'a [External]) -> Result<HashMap<FileId, Foreign<'a>>, Errors> {
    let ours: HashMap<_, _> = files(schema).into_iter().map(|(file, path)| (path, file)).collect();
    let mut modules = HashMap::new();
    for External { path, schema: external } in externals {
        let theirs = files(external);
        if let Some((_, missing)) = theirs.iter().find(|&(_, file)| !ours.contains_key(file)) {
            let message = format!("'{}', which is another crate's, is not included", missing.display());
            return Err(Errors::new(schema.sources().clone(), vec![Diagnostic::global(message)]));
        }
        let same = |file| theirs.get(&file).and_then(|file| ours.get(file)).copied();
        let named = layout::modules(external).into_iter();
        modules.extend(named.filter_map(|(file, module)| Some((same(file)?, Foreign { path, module }))));
    }
    Ok(modules)
}

/// The files, each with the name that it has however it was included.
fn files(schema: &Schema) -> BTreeMap<FileId, PathBuf> {
    let canonical = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    schema.sources().iter().map(|(file, source)| (file, canonical(source.path()))).collect()
}

impl Foreign<'_> {
    /// Makes the module one of this crate's, under the given name.
    pub fn reexport(&self, name: &Ident) -> TokenStream {
        let Self { path, module } = self;
        let renamed = (module != name).then(|| quote!(as #name));
        quote!(pub use #path::#module #renamed;)
    }
}

impl Schema {
    /// A number that differs, as far as 64 bits allow, between schemas of different text. (FNV-1a.)
    pub fn fingerprint(&self) -> u64 {
        let bytes = self.sources().iter().flat_map(|(file, _)| {
            // No file has this byte, so that it tells where one ends.
            self.sources().text(file).bytes().chain(iter::once(0xff)).collect::<Vec<_>>()
        });
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile;

    fn external(file: &str) -> Vec<External> {
        vec![External { path: quote!(theirs), schema: compile(file).expect("a valid schema") }]
    }

    #[test]
    fn what_is_not_included_cannot_be_external() {
        let schema = compile("tests/cases/generate-modules.json").expect("a valid schema");
        let error = modules(&schema, &external("tests/cases/generate-struct.json")).expect_err("refused").to_string();
        assert!(error.contains("generate-struct.json', which is another crate's, is not included"), "{error}");
    }

    #[test]
    fn fingerprints_tell_schemas_apart() {
        let fingerprint = |file| compile(file).expect("a valid schema").fingerprint();
        let [modules, again, structs] =
            ["modules", "modules", "struct"].map(|name| fingerprint(format!("tests/cases/generate-{name}.json")));
        assert_eq!(modules, again);
        assert_ne!(modules, structs);
    }
}
