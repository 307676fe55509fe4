//! `include_schema!`: the compiler `qapi-gen` as a procedural macro.

use std::env;
use std::path::Path;

use proc_macro2::TokenStream;
use quote::quote;
use syn::{LitStr, parse_macro_input};

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
/// And so is what is wrong with the schema:
///
/// ```compile_fail
/// qapi_gen_macros::include_schema!("tests/schema/broken.json");
/// ```
#[proc_macro]
pub fn include_schema(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let path = parse_macro_input!(input as LitStr);
    expand(&path).unwrap_or_else(|error| error.into_compile_error()).into()
}

fn expand(literal: &LitStr) -> syn::Result<TokenStream> {
    let directory = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    let path = Path::new(&directory).join(literal.value());
    let schema = qapi_gen::compile(path).map_err(|errors| syn::Error::new(literal.span(), errors))?;
    let code = qapi_gen::generate(&schema, qapi_gen::Conditions::Refuse);
    let code = code.map_err(|errors| syn::Error::new(literal.span(), errors))?;
    let files = schema.sources().iter().map(|(_, source)| source.path().to_string_lossy());
    // Makes the files inputs of the crate.
    Ok(quote!(#code const _: &[&str] = &[#(include_str!(#files)),*];))
}
