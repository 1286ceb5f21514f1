//! Files of safetensors, and headers of the length that stands before them.

#![no_main]

use flambeau::io::safetensors;
use libfuzzer_sys::fuzz_target;

fn read(data: &[u8]) {
    if let Ok(state) = safetensors::load(data) {
        state.iter().for_each(|(_, tensor)| flambeau_fuzz::touch(tensor));
        safetensors::save(&state, &[]).unwrap();
    }
}

fuzz_target!(|data: &[u8]| {
    read(data);
    // The end of a header, and elements after it.
    let end = data.iter().rposition(|&byte| byte == b'}').map_or(data.len(), |place| place + 1);
    let length = (end as u64).to_le_bytes();
    read(&[&length[..], data].concat());
});
