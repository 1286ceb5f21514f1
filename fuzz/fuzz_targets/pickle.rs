//! Pickles in a well-formed archive.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = flambeau::io::from_bytes(&flambeau_fuzz::pickled(data)) {
        flambeau_fuzz::look(&value);
    }
});
