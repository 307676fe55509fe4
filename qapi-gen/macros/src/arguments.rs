//! The arguments of `include_schema!`.

use std::collections::BTreeMap;

use proc_macro2::TokenStream;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, LitStr, Path, Token, braced, parenthesized};

/// What the macro is called with.
pub struct Arguments {
    /// The file that the schema starts with.
    pub path: LitStr,
    /// The symbols of `if` conditions, each with its `cfg` predicate.
    pub conditions: BTreeMap<String, TokenStream>,
    /// The modules in which other crates have included a part of the schema, each with the file that this starts with.
    pub externals: Vec<(Path, LitStr)>,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut arguments = Self { path: input.parse()?, conditions: BTreeMap::new(), externals: Vec::new() };
        let (mut seen_if, mut seen_extern) = (false, false);
        while !input.is_empty() {
            input.parse::<Token![,]>()?;
            if input.is_empty() {
                break;
            }
            let keyword = input.lookahead1();
            if keyword.peek(Token![if]) && !seen_if {
                input.parse::<Token![if]>()?;
                seen_if = true;
                for Symbol { name, predicate } in table(input)? {
                    if arguments.conditions.insert(name.to_string(), predicate).is_some() {
                        return Err(syn::Error::new(name.span(), "this symbol has a predicate already"));
                    }
                }
            } else if keyword.peek(Token![extern]) && !seen_extern {
                input.parse::<Token![extern]>()?;
                seen_extern = true;
                arguments.externals.extend(table(input)?.into_iter().map(|Extern { path, file }| (path, file)));
            } else {
                return Err(keyword.error());
            }
        }
        Ok(arguments)
    }
}

/// `= { ENTRY, ENTRY }`
fn table<T: Parse>(input: ParseStream<'_>) -> syn::Result<Punctuated<T, Token![,]>> {
    input.parse::<Token![=]>()?;
    let content;
    braced!(content in input);
    content.parse_terminated(T::parse, Token![,])
}

/// `CONFIG_LINUX = cfg(target_os = "linux")`
struct Symbol {
    name: Ident,
    predicate: TokenStream,
}

impl Parse for Symbol {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let name = input.parse()?;
        input.parse::<Token![=]>()?;
        let cfg: Ident = input.parse()?;
        if cfg != "cfg" {
            return Err(syn::Error::new(cfg.span(), "expected `cfg(...)`"));
        }
        let predicate;
        parenthesized!(predicate in input);
        Ok(Self { name, predicate: predicate.parse()? })
    }
}

/// `::qapi_schema = "schema/qapi-schema.json"`
struct Extern {
    path: Path,
    file: LitStr,
}

impl Parse for Extern {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let path = input.call(Path::parse_mod_style)?;
        input.parse::<Token![=]>()?;
        Ok(Self { path, file: input.parse()? })
    }
}
