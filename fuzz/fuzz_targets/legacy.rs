//! Pickles within the format before PyTorch 1.6.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = flambeau::io::from_bytes(&flambeau_fuzz::before(data)) {
        flambeau_fuzz::look(&value);
    }
});
