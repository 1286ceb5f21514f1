//! Pickles as the state dicts of a module and of an optimizer.

#![no_main]

use flambeau::nn::{BatchNorm1d, Linear, Module, Sequential};
use flambeau::optim::{Adam, AdamOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(value) = flambeau::io::from_bytes(&flambeau_fuzz::pickled(data)) else { return };
    let net = Sequential::new().append(Linear::new(2, 3).unwrap()).append(BatchNorm1d::new(3).unwrap());
    let mut optimizer = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
    for part in [Some(&value), value.get("model"), value.get("optimizer")].into_iter().flatten() {
        if let Ok(state) = part.to_state_dict() {
            let _ = net.load_state_dict(&state);
        }
        let _ = optimizer.load_state_dict(part);
    }
    flambeau_fuzz::look(&optimizer.state_dict());
});
