//! Layers as operators: convolutions, pooling, losses, normalisation, embedding.

pub mod conv;
pub mod embedding;
pub mod loss;
pub mod norm;
pub mod pool;
