//! The text of each element, and the width to which they are padded.

use super::number::{push_repeated, write_exponent, write_fixed};
use super::{Item, PrintOptions};
use flambeau_core::{Category, DType};
use std::fmt::Write;

/// The printed elements, in one string.
pub(super) struct Cells {
    text: String,
    /// The end of each element's text.
    ends: Vec<usize>,
    /// What an element takes in a line, without the separator, when the number of columns is decided.
    pub(super) width: usize,
    /// What an element is padded to. Complex numbers are not: only their real parts are.
    pub(super) pad: usize,
}

impl Cells {
    /// Prints the visible items, which alone decide the notation and the width.
    pub(super) fn new(items: &[Item], dtype: DType, options: &PrintOptions) -> Self {
        match dtype.category() {
            Category::Bool | Category::Integral => Self::integers(items),
            Category::Float => Self::floats(items.iter().map(|&item| parts(item).0), items.len(), options),
            Category::Complex => {
                let real = Self::floats(items.iter().map(|&item| parts(item).0), items.len(), options);
                let imag = Self::floats(items.iter().map(|&item| parts(item).1), items.len(), options);
                Self::complex(&real, &imag)
            }
        }
    }

    fn with_capacity(count: usize, characters: usize) -> Self {
        let text = String::with_capacity(count.saturating_mul(characters));
        Cells { text, ends: Vec::with_capacity(count), width: 0, pad: 0 }
    }

    /// The text of an element, not yet padded.
    pub(super) fn get(&self, i: usize) -> &str {
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        &self.text[start..self.ends[i]]
    }

    /// The text of an element, padded on the left.
    pub(super) fn write_padded(&self, out: &mut String, i: usize) {
        let text = self.get(i);
        push_repeated(out, ' ', self.pad.saturating_sub(text.len()));
        out.push_str(text);
    }

    fn integers(items: &[Item]) -> Self {
        let mut cells = Self::with_capacity(items.len(), 6);
        let mut start = 0;
        for item in items {
            // Writing to a String can't fail.
            let _ = match *item {
                Item::Bool(b) => cells.text.write_str(if b { "True" } else { "False" }),
                Item::Int(i) => write!(cells.text, "{i}"),
                Item::UInt(u) => write!(cells.text, "{u}"),
                Item::Float(x) | Item::Complex(x, _) => write!(cells.text, "{x}"),
            };
            cells.width = cells.width.max(cells.text.len() - start);
            start = cells.text.len();
            cells.ends.push(start);
        }
        cells.pad = cells.width;
        cells
    }

    fn floats(values: impl Iterator<Item = f64> + Clone, count: usize, options: &PrintOptions) -> Self {
        let notation = Notation::choose(values.clone().filter(|&x| counts(x)), options);
        let mut cells = Self::with_capacity(count, 10);
        cells.width = 1;
        let mut start = 0;
        for x in values {
            notation.write(&mut cells.text, x);
            if counts(x) {
                cells.width = cells.width.max(cells.text.len() - start);
            }
            start = cells.text.len();
            cells.ends.push(start);
        }
        cells.pad = cells.width;
        cells
    }

    fn complex(real: &Cells, imag: &Cells) -> Self {
        let count = real.ends.len();
        let mut cells = Self::with_capacity(count, real.width + imag.width + 2);
        for i in 0..count {
            real.write_padded(&mut cells.text, i);
            let imag = imag.get(i);
            if !imag.starts_with('-') {
                cells.text.push('+');
            }
            cells.text.push_str(imag);
            cells.text.push('j');
            cells.ends.push(cells.text.len());
        }
        cells.width = real.width + imag.width + 1;
        cells
    }
}

/// Whether a number takes part in the choice of notation and width: zeros, infinities and NaN don't.
fn counts(x: f64) -> bool {
    x.is_finite() && x != 0.0
}

/// The real and the imaginary part.
fn parts(item: Item) -> (f64, f64) {
    match item {
        Item::Bool(b) => (b as u8 as f64, 0.0),
        Item::Int(i) => (i as f64, 0.0),
        Item::UInt(u) => (u as f64, 0.0),
        Item::Float(x) => (x, 0.0),
        Item::Complex(re, im) => (re, im),
    }
}

/// How the floating point numbers of one tensor are printed.
enum Notation {
    /// All are whole: `1.`.
    Whole,
    /// `1.0000`, to the given number of digits.
    Fixed(usize),
    /// `1.0000e+00`, to the given number of digits.
    Scientific(usize),
}

impl Notation {
    fn choose(values: impl Iterator<Item = f64>, options: &PrintOptions) -> Self {
        let (mut whole, mut min, mut max) = (true, f64::INFINITY, 0.0f64);
        for x in values {
            whole &= x.fract() == 0.0;
            min = min.min(x.abs());
            max = max.max(x.abs());
        }
        if max == 0.0 {
            // Nothing to choose by; here `sci_mode` is not asked either.
            return Notation::Whole;
        }
        let wide = max / min > 1000.0 || max > 1.0e8 || (!whole && min < 1.0e-4);
        if options.sci_mode.unwrap_or(wide) {
            Notation::Scientific(options.precision)
        } else if whole {
            Notation::Whole
        } else {
            Notation::Fixed(options.precision)
        }
    }

    fn write(&self, out: &mut String, x: f64) {
        match *self {
            Notation::Scientific(precision) => write_exponent(out, x, precision),
            Notation::Fixed(precision) => write_fixed(out, x, precision),
            Notation::Whole => {
                write_fixed(out, x, 0);
                if x.is_finite() {
                    out.push('.');
                }
            }
        }
    }
}
