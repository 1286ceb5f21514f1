//! Archives of arrays, and an array in a well-formed archive.

#![no_main]

use flambeau::io::numpy;
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8]) {
    if let Ok(arrays) = numpy::from_npz(data) {
        arrays.iter().for_each(|(_, tensor)| flambeau_fuzz::touch(tensor));
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    if data.len() < 1 << 12 {
        read(&flambeau_fuzz::archive(&[("x.npy", data)]));
    }
});
