//! What a file of `torch.save` holds, as a tree; with a second path, the same again in a file of our own.
//!
//! `cargo run -p flambeau --example checkpoint -- digits_cnn.pt [copy.pt]`

use flambeau::Result;
use flambeau::io::{self, Value};

#[allow(dead_code)]
fn main() -> Result<()> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let (from, to) = match &paths[..] {
        [from] => (from, None),
        [from, to] => (from, Some(to)),
        _ => {
            eprintln!("usage: checkpoint FILE [COPY]");
            std::process::exit(2);
        }
    };
    let value = io::load(from)?;
    print!("{}", tree(&value)?);
    if let Some(to) = to {
        io::save(&value, to)?;
        println!("written to {to}");
    }
    Ok(())
}

/// A line for each value, after the line of what holds it, and at the end how many numbers there are in tensors.
pub fn tree(value: &Value) -> Result<String> {
    let (mut text, mut numbers) = (String::new(), 0);
    lines(value, 0, &mut text, &mut numbers)?;
    text += &format!("{numbers} numbers in tensors\n");
    Ok(text)
}

fn lines(value: &Value, depth: usize, text: &mut String, numbers: &mut usize) -> Result<()> {
    let indent = "  ".repeat(depth);
    let mut part = |name: String, value: &Value| {
        let holds_more = match value {
            Value::Dict(entries) | Value::OrderedDict(entries) => !entries.is_empty(),
            Value::List(items) | Value::Tuple(items) => items.iter().any(|item| item.as_tensor().is_ok()),
            _ => false,
        };
        if holds_more {
            *text += &format!("{indent}{name}\n");
            return lines(value, depth + 1, text, numbers);
        }
        let shown = match value {
            Value::Tensor(t) => {
                *numbers += t.numel();
                format!("{} {:?}", t.dtype(), &t.sizes()[..])
            }
            other => {
                let mut shown = other.to_string();
                if shown.chars().count() > 60 {
                    shown = shown.chars().take(57).chain("...".chars()).collect();
                }
                shown
            }
        };
        *text += &format!("{indent}{name}: {shown}\n");
        Ok(())
    };
    match value {
        Value::Dict(entries) | Value::OrderedDict(entries) => entries.iter().try_for_each(|(key, value)| {
            part(key.as_str().map_or_else(|_| key.to_string(), String::from), value)
        }),
        Value::List(items) | Value::Tuple(items) => {
            items.iter().enumerate().try_for_each(|(i, value)| part(i.to_string(), value))
        }
        other => part("value".to_string(), other),
    }
}
