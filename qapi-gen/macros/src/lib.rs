//! `include_schema!`: the compiler `qapi-gen` as a procedural macro.

mod arguments;

use std::env;
use std::path::Path;

use arguments::Arguments;
use proc_macro2::TokenStream;
use qapi_gen::{Conditions, External, Options, Schema};
use quote::{ToTokens, quote};
use syn::{LitStr, parse_macro_input};

/// Expands to the Rust code of a QAPI schema: one module for each file that defines something, and `INTROSPECTION`, what
/// `query-qmp-schema` tells clients of it all.
///
/// The path is relative to the directory of the invoking crate's `Cargo.toml`. A change of any file of the schema
/// causes a rebuild; an error in the schema is a compile error. It is for the top level of a crate or of a module: modules
/// within a function cannot refer to each other.
///
/// For `doc.json` with a command and an event,
///
/// ```json
#[doc = include_str!("../tests/schema/doc.json")]
/// ```
///
/// the module `doc` has a trait whose implementation may look like this:
///
/// ```
/// use qapi_schema::Error;
///
/// qapi_gen_macros::include_schema!("tests/schema/doc.json");
///
/// struct Machine;
///
/// impl doc::Commands for Machine {
///     fn set_speed(&self, value: i64) -> Result<(), Error> {
///         let event = doc::event::SpeedChanged { value };
///         # let _ = event;
///         Ok(())
///     }
/// }
///
/// let commands = doc::commands(&std::sync::Arc::new(Machine));
/// assert_eq!(commands[0].name(), "set-speed");
/// ```
///
/// A command without a handler is a compile error that names it:
///
/// ```compile_fail,E0046
/// qapi_gen_macros::include_schema!("tests/schema/doc.json");
///
/// struct Machine;
///
/// impl doc::Commands for Machine {}
/// ```
///
/// Each symbol of the schema's `if` conditions must be given a `cfg` predicate of the invoking crate:
///
/// ```
/// qapi_gen_macros::include_schema!(
///     "tests/schema/conditions.json",
///     if = {
///         CONFIG_LINUX = cfg(target_os = "linux"),
///         CONFIG_NEVER = cfg(false),
///         CONFIG_DEBUG = cfg(debug_assertions),
///     },
/// );
///
/// const _: () = assert!(!conditions::CONFIG_NEVER);
/// # fn main() {}
/// ```
///
/// One that has none is an error, which lists all that are missing:
///
/// ```compile_fail
/// qapi_gen_macros::include_schema!("tests/schema/conditions.json");
/// ```
///
/// A schema may include one that another crate has compiled. `extern` names the module in which that crate did so, and
/// the file: types of that part are the other crate's, and are re-exported, so that paths look as if they were here.
/// That the file is still what the other crate was compiled from is checked. (This crate's own conditions still need
/// their symbols, and so do those on members that it inherits from there.)
///
/// ```
/// mod theirs {
///     qapi_gen_macros::include_schema!("tests/schema/sub/common.json");
/// }
///
/// mod ours {
///     qapi_gen_macros::include_schema!(
///         "tests/schema/main.json",
///         extern = { crate::theirs = "tests/schema/sub/common.json" },
///     );
/// }
///
/// fn same(id: theirs::common::Id) -> ours::common::Id {
///     id
/// }
/// # fn main() {}
/// ```
///
/// Another text than the other crate's does not compile:
///
/// ```compile_fail,E0080
/// mod theirs {
///     qapi_gen_macros::include_schema!("tests/schema/main.json");
/// }
///
/// mod ours {
///     qapi_gen_macros::include_schema!(
///         "tests/schema/main.json",
///         extern = { crate::theirs = "tests/schema/sub/common.json" },
///     );
/// }
/// # fn main() {}
/// ```
///
/// Nor does another meaning of a symbol on which something depends that is inherited from there:
///
/// ```compile_fail,E0080
/// mod theirs {
///     qapi_gen_macros::include_schema!("tests/schema/inherited.json", if = { CONFIG_LINUX = cfg(false) });
/// }
///
/// mod ours {
///     qapi_gen_macros::include_schema!(
///         "tests/schema/inheriting.json",
///         if = { CONFIG_LINUX = cfg(true) },
///         extern = { crate::theirs = "tests/schema/inherited.json" },
///     );
/// }
/// # fn main() {}
/// ```
///
/// And so is what is wrong with the schema an error:
///
/// ```compile_fail
/// qapi_gen_macros::include_schema!("tests/schema/broken.json");
/// ```
#[proc_macro]
pub fn include_schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let arguments = parse_macro_input!(input as Arguments);
    expand(arguments).unwrap_or_else(|error| error.into_compile_error()).into()
}

fn expand(arguments: Arguments) -> syn::Result<TokenStream> {
    let Arguments { path, conditions, externals } = arguments;
    let schema = compile(&path)?;
    let mut unchanged = TokenStream::new();
    let externals = externals.into_iter().map(|(path, file)| {
        let schema = compile(&file)?;
        let fingerprint = schema.fingerprint();
        let differs = format!("`{}` is not what the other crate was compiled from", file.value());
        unchanged.extend(quote!(
            const _: () = assert!(#path::SCHEMA_FINGERPRINT == #fingerprint, #differs);
        ));
        Ok(External { path: path.into_token_stream(), schema })
    });
    let options =
        Options { externals: externals.collect::<syn::Result<_>>()?, conditions: Conditions::Cfg(conditions) };
    let code = qapi_gen::generate(&schema, &options).map_err(|errors| syn::Error::new(path.span(), errors))?;
    let fingerprint = schema.fingerprint();
    let files = schema.sources().iter().map(|(_, source)| source.path().to_string_lossy());
    Ok(quote! {
        #code
        #unchanged
        #[doc(hidden)]
        pub const SCHEMA_FINGERPRINT: u64 = #fingerprint;
        // Makes the files inputs of the crate.
        const _: &[&str] = &[#(include_str!(#files)),*];
    })
}

fn compile(file: &LitStr) -> syn::Result<Schema> {
    let directory = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    qapi_gen::compile(Path::new(&directory).join(file.value())).map_err(|errors| syn::Error::new(file.span(), errors))
}
