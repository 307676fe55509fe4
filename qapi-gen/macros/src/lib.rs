//! `include_schema!`: the compiler `qapi-gen` as a procedural macro.

mod arguments;

use std::env;
use std::path::Path;

use arguments::Arguments;
use proc_macro2::TokenStream;
use qapi_gen::Conditions;
use quote::quote;
use syn::parse_macro_input;

/// Expands to the Rust code of a QAPI schema: one module for each file that defines something.
///
/// The path is relative to the directory of the invoking crate's `Cargo.toml`. A change of any file of the schema
/// causes a rebuild; an error in the schema is a compile error.
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
/// assert!(!conditions::CONFIG_NEVER);
/// ```
///
/// One that has none is an error, which lists all that are missing:
///
/// ```compile_fail
/// qapi_gen_macros::include_schema!("tests/schema/conditions.json");
/// ```
///
/// And so is what is wrong with the schema:
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
    let Arguments { path: literal, conditions } = arguments;
    let directory = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&directory).join(literal.value());
    let error = |errors| syn::Error::new(literal.span(), errors);
    let schema = qapi_gen::compile(path).map_err(error)?;
    let code = qapi_gen::generate(&schema, &Conditions::Cfg(conditions)).map_err(error)?;
    let files = schema.sources().iter().map(|(_, source)| source.path().to_string_lossy());
    // Makes the files inputs of the crate.
    Ok(quote!(#code const _: &[&str] = &[#(include_str!(#files)),*];))
}
