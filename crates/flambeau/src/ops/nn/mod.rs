//! Layers as operators: losses, normalisation, embedding.

pub mod embedding;
pub mod loss;
pub mod norm;
