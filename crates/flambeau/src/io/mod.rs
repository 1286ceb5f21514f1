//! State dicts and the files that hold them.

mod safetensors;
mod state_dict;

pub use safetensors::{load, load_file, save, save_file};
pub use state_dict::StateDict;
