//! Whole `.pt` files, in both formats.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = flambeau::io::from_bytes(data) {
        flambeau_fuzz::look(&value);
    }
});
