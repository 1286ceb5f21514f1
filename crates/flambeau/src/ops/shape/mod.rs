//! Views and copies: other geometries of the same elements.

mod axes;
mod copies;
mod copy;
mod inplace;
mod raw;
mod slice;
mod split;
mod strided;
mod view;
mod window;

pub use axes::*;
pub use copies::*;
pub use copy::*;
pub use inplace::*;
pub use raw::*;
pub use slice::*;
pub use split::*;
pub use strided::*;
pub use view::*;
pub use window::*;
