//! Files of one array, and headers of the length that stands before them.

#![no_main]

use flambeau::io::numpy;
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8]) {
    if let Ok(tensor) = numpy::from_bytes(data) {
        flambeau_fuzz::touch(&tensor);
        let _ = numpy::to_bytes(&tensor);
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    let end = data.iter().position(|&byte| byte == b'\n').map_or(data.len(), |place| place + 1);
    let length = (end as u32).to_le_bytes();
    read(&[b"\x93NUMPY\x02\0", &length[..], data].concat());
});
