//! Files: [`load`] and [`save`] for PyTorch's, [`safetensors`], and NumPy's in [`numpy`].
//!
//! ```
//! use flambeau::io::{self, Value};
//! use flambeau::nn::{Linear, Module};
//! let (net, path) = (Linear::new(2, 1)?, std::env::temp_dir().join("flambeau-doc-io.pt"));
//! io::save(&net.state_dict(), &path)?; // torch.load reads it, and load what torch.save wrote
//! net.load_state_dict(&io::load(&path)?.to_state_dict()?)?;
//! # std::fs::remove_file(path).unwrap();
//! # Ok::<(), flambeau::Error>(())
//! ```

mod archive;
mod files;
mod legacy;
pub mod numpy;
mod pickle;
mod rebuild;
pub mod safetensors;
mod state_dict;
mod unpickle;
mod value;

pub use archive::{from_bytes, load, save, to_bytes};
pub use state_dict::StateDict;
pub use value::Value;
