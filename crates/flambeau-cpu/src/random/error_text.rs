//! Wording shared by the argument checks.

use flambeau_core::{DType, Error};

/// `"kernel" not implemented for 'Int'`.
#[cold]
pub(super) fn not_implemented(kernel: &str, dtype: DType) -> Error {
    Error::not_implemented(format!("\"{kernel}\" not implemented for '{}'", dtype.cpp_name()))
}

/// A number as a C++ stream prints it: six significant digits (`%g`).
pub(super) fn general(x: f64) -> String {
    if x.is_nan() {
        return if x.is_sign_negative() { "-nan" } else { "nan" }.into();
    }
    if x.is_infinite() {
        return if x < 0.0 { "-inf" } else { "inf" }.into();
    }
    if x == 0.0 {
        return if x.is_sign_negative() { "-0" } else { "0" }.into();
    }
    let scientific = format!("{x:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        } else {
            text.into()
        }
    };
    if (-4..6).contains(&exponent) {
        trim(&format!("{x:.*}", (5 - exponent).max(0) as usize))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_print_as_in_cpp() {
        for (x, text) in [
            (1.0, "1"),
            (-1234567.8, "-1.23457e+06"),
            (1.0 / 3.0, "0.333333"),
            (-1e-7, "-1e-07"),
            (3e38, "3e+38"),
            (1.2345678, "1.23457"),
            (999999.5, "1e+06"),
            (0.0001, "0.0001"),
            (0.0, "0"),
            (65504.0, "65504"),
        ] {
            assert_eq!(super::general(x), text);
        }
    }
}
