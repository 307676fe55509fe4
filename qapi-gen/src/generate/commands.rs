//! The commands of a file: a trait with a method for each, and the table that calls them.
//!
//! The method of a command with `'gen': false` takes the arguments as they come, unchecked, and makes the reply itself.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use super::layout::{Layout, Place, Prelude};
use super::names::{Scope, snake};
use super::{rustdoc, types};
use crate::schema::{Command, Definition, DefinitionKind, Module};

/// Everything for the commands of a module, if it has any.
pub fn commands(layout: &Layout<'_>, module: &Module<'_>) -> TokenStream {
    let commands: Vec<_> = module.definitions.iter().filter_map(|definition| command(definition)).collect();
    if commands.is_empty() {
        return TokenStream::new();
    }
    let place = Place { file: module.file, event: false };
    let file = layout.schema.sources().path(module.file).file_name().unwrap_or_default().to_string_lossy();
    let docs = format!(" The commands of `{file}`, to be implemented next to the state that they act on.");
    let mut scope = Scope::default();
    let methods: Vec<_> = commands.iter().map(|(definition, _)| scope.claim(snake(&definition.name))).collect();
    let signatures = commands.iter().zip(&methods).map(|((definition, command), method)| {
        let docs = rustdoc::command(layout.schema, definition);
        let deprecated = types::deprecated(layout, &definition.features);
        let (parameters, returns) = if command.generated {
            let returns = command.returns.map_or_else(|| quote!(()), |ty| layout.ty(ty, place));
            (parameters(layout, definition, place), returns)
        } else {
            (quote!(, arguments: ::qapi_schema::Arguments), quote!(::qapi_schema::Reply))
        };
        let result = layout.prelude(Prelude::Result, place);
        let cfg = layout.cfg(definition.condition.as_ref());
        quote! {
            #docs
            #cfg
            #deprecated
            fn #method(&self #parameters) -> #result<#returns, ::qapi_schema::Error>;
        }
    });
    let entries = commands.iter().zip(&methods).map(|((definition, command), method)| {
        let (name, options) = (&definition.name, options(command));
        let (read, arguments) = if command.generated {
            arguments(layout, definition, place)
        } else {
            (TokenStream::new(), quote!(members.take_all()))
        };
        let reply = match (command.generated, command.returns) {
            (false, _) => quote!(target.#method(#arguments)),
            (true, Some(_)) => quote!(Ok(::std::boxed::Box::new(target.#method(#arguments)?))),
            (true, None) => quote! { target.#method(#arguments)?; Ok(::qapi_schema::Command::empty()) },
        };
        let cfg = layout.cfg(definition.condition.as_ref());
        quote! {
            #cfg
            ::qapi_schema::Command::new(#name, #options, {
                let target = ::std::sync::Arc::clone(target);
                move |members| { #read #reply }
            })
        }
    });
    let names = commands.iter().map(|(definition, _)| {
        let (cfg, name) = (layout.cfg(definition.condition.as_ref()), &definition.name);
        quote!(#cfg #name)
    });
    let [send, sync] = [Prelude::Send, Prelude::Sync].map(|name| layout.prelude(name, place));
    quote! {
        #[doc = #docs]
        pub trait Commands { #(#signatures)* }

        /// The commands of this module, each bound to `target`.
        pub fn commands<T: Commands + #send + #sync + 'static>(target: &::std::sync::Arc<T>) -> ::std::vec::Vec<::qapi_schema::Command> {
            ::std::vec::Vec::from([#(#entries),*])
        }

        /// The names of the commands of this module.
        pub const COMMANDS: &[&str] = &[#(#names),*];
    }
}

fn command(definition: &Definition) -> Option<(&Definition, &Command)> {
    match &definition.kind {
        DefinitionKind::Command(command) => Some((definition, command)),
        DefinitionKind::Enum(_)
        | DefinitionKind::Struct(_)
        | DefinitionKind::Union(_)
        | DefinitionKind::Alternate(_)
        | DefinitionKind::Event(_) => None,
    }
}

fn parameters(layout: &Layout<'_>, definition: &Definition, place: Place) -> TokenStream {
    if let Some(ty) = definition.boxed_data() {
        let ty = layout.ty(ty, place);
        return quote!(, arguments: #ty);
    }
    let members = layout.schema.members(definition);
    let names = types::fields(&members);
    let types = members.iter().map(|listed| layout.parameter(listed.member, place));
    quote!(#(, #names: #types)*)
}

/// How the arguments are read, and how they are passed on.
fn arguments(layout: &Layout<'_>, definition: &Definition, place: Place) -> (TokenStream, TokenStream) {
    if let Some(ty) = definition.boxed_data() {
        let ty = layout.ty(ty, place);
        let read = quote!(let arguments = ::qapi_schema::Command::arguments::<#ty>(members)?;);
        return (read, quote!(arguments));
    }
    let members = layout.schema.members(definition);
    let locals: Vec<_> = (0..members.len()).map(|index| format_ident!("argument_{index}")).collect();
    let reads = members.iter().map(|listed| {
        let (presence, name) = (types::presence(listed.member), &listed.member.name);
        quote!(members.#presence(#name)?)
    });
    (quote! { #(let #locals = #reads;)* members.finish()?; }, quote!(#(#locals),*))
}

fn options(command: &Command) -> TokenStream {
    let Command { allow_oob, allow_preconfig, coroutine, success_response, .. } = command;
    quote! {
        ::qapi_schema::CommandOptions {
            allow_oob: #allow_oob,
            allow_preconfig: #allow_preconfig,
            coroutine: #coroutine,
            success_response: #success_response,
        }
    }
}
