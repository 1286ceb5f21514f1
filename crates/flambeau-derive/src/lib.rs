//! `#[derive(Module)]`: registers the fields of a struct by their names, in the order in which they are written.
//!
//! Attributes: `#[module(skip)]` on a field leaves it out. On the struct, `#[module(name = …)]` is what it is called when printed
//! (an expression, by default the struct's name), and `#[module(extra_repr = …)]` an expression for what is printed beside the
//! submodules; both may use `self`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, Fields, GenericParam, Result, parse_macro_input, parse_quote};

/// Implements `flambeau::nn::Module` and `Display` for a struct with named fields, or without fields.
///
/// Every field must have a type that implements `Register`: parameters, tensors (which become buffers), modules, options of
/// these, and plain numbers, booleans and strings (which register nothing).
#[proc_macro_derive(Module, attributes(module))]
pub fn derive_module(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(input).unwrap_or_else(|error| error.to_compile_error()).into()
}

fn expand(mut input: DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(&input.ident, "Module can be derived for structs only"));
    };
    let mut registrations = Vec::new();
    match &data.fields {
        Fields::Named(fields) => {
            for field in &fields.named {
                if is_skipped(field)? {
                    continue;
                }
                let Some(ident) = &field.ident else { continue };
                let text = ident.to_string();
                let name = text.trim_start_matches("r#");
                registrations
                    .push(quote! { ::flambeau::nn::Register::register(&self.#ident, #name, visitor); });
            }
        }
        Fields::Unit => {}
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(
                fields,
                "Module needs named fields: their names are the keys of the state dict",
            ));
        }
    }

    let ident = input.ident.clone();
    let text = ident.to_string();
    let mut name: Expr = parse_quote!(#text);
    let mut extra: Option<Expr> = None;
    for attribute in input.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = meta.value()?.parse()?;
            } else if meta.path.is_ident("extra_repr") {
                extra = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("expected `name` or `extra_repr`"));
            }
            Ok(())
        })?;
    }
    let extra = extra.map(|expression| {
        quote! {
            fn extra_repr(&self) -> ::std::string::String {
                ::std::convert::Into::into(#expression)
            }
        }
    });

    for parameter in &mut input.generics.params {
        if let GenericParam::Type(parameter) = parameter {
            parameter.bounds.push(parse_quote!(::flambeau::nn::Register));
            parameter.bounds.push(parse_quote!(::std::marker::Send));
            parameter.bounds.push(parse_quote!(::std::marker::Sync));
        }
    }
    let (generics, arguments, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #generics ::flambeau::nn::Module for #ident #arguments #bounds {
            fn class_name(&self) -> ::std::string::String {
                ::std::convert::Into::into(#name)
            }
            fn visit<'visit>(
                &'visit self,
                visitor: &mut dyn ::std::ops::FnMut(&str, ::flambeau::nn::Member<'visit>),
            ) {
                let _ = &visitor;
                #(#registrations)*
            }
            #extra
        }
        impl #generics ::std::fmt::Display for #ident #arguments #bounds {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(&::flambeau::nn::Module::repr(self))
            }
        }
    })
}

fn is_skipped(field: &syn::Field) -> Result<bool> {
    let mut skipped = false;
    for attribute in field.attrs.iter().filter(|a| a.path().is_ident("module")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("skip") {
                skipped = true;
                return Ok(());
            }
            Err(meta.error("expected `skip`"))
        })?;
    }
    Ok(skipped)
}
