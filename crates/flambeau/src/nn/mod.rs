//! Layers, losses and the modules that hold them.
//!
//! ```
//! use flambeau::nn::{CrossEntropyLoss, Forward, Linear, Loss, Module, ReLU, Sequential};
//!
//! flambeau::manual_seed(0);
//! let net = Sequential::new().append(Linear::new(4, 8)?).append(ReLU).append(Linear::new(8, 3)?);
//! println!("{net}");
//! let x = flambeau::randn([5, 4], ())?;
//! let loss = CrossEntropyLoss::default().forward(&net.forward(&x)?, &flambeau::tensor([0i64, 2, 1, 1, 0])?)?;
//! loss.backward()?;
//! assert!(net.parameters().iter().all(|p| p.grad().is_some()));
//! # Ok::<(), flambeau::Error>(())
//! ```
//!
//! Layers with many settings have `new` for what must be given and `with` for all of it. Weights are drawn as
//! PyTorch draws them: after the same [`manual_seed`](crate::manual_seed) they are the same.

mod activation;
mod attention;
mod bag;
mod cells;
mod container;
mod conv;
mod dropout;
pub mod functional;
pub mod init;
mod linear;
mod loss;
mod module;
mod norm;
mod packed;
mod padding;
mod pooling;
mod recurrent;
mod repr;
mod resize;
mod size;
mod transformer;
pub mod utils;

pub use activation::*;
pub use attention::{
    AttentionMasks, MultiheadAttention, MultiheadAttentionOptions, NonDynamicallyQuantizableLinear,
};
pub use bag::{BagMode, EmbeddingBag, EmbeddingBagOptions};
pub use cells::{GRUCell, LSTMCell, RNNCell, RecurrentCell, RecurrentCellOptions};
pub use container::{ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential};
pub use conv::{
    Conv, Conv1d, Conv2d, Conv3d, ConvOptions, ConvTranspose, ConvTranspose1d, ConvTranspose2d,
    ConvTranspose3d, ConvTransposeOptions, Padding, PaddingMode,
};
pub use dropout::{
    AlphaDropout, ChannelDropout, Dropout, Dropout1d, Dropout2d, Dropout3d, FeatureAlphaDropout,
};
pub use linear::{
    Bilinear, Embedding, EmbeddingOptions, Flatten, Identity, Linear, LinearOptions, Unflatten,
};
pub use loss::*;
pub use module::{Forward, Member, Module, Parameter, Register, Training};
pub use norm::*;
pub use padding::*;
pub use pooling::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, AdaptiveMaxPool,
    AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d, AvgPool, AvgPool1d, AvgPool2d, AvgPool3d,
    AvgPoolOptions, LPPool, LPPool1d, LPPool2d, LPPool3d, MaxPool, MaxPool1d, MaxPool2d, MaxPool3d,
    MaxPoolOptions, MaxUnpool, MaxUnpool1d, MaxUnpool2d, MaxUnpool3d,
};
pub use recurrent::{GRU, Gru, LSTM, Lstm, Nonlinearity, RNN, Recurrence, Recurrent, RecurrentOptions, Rnn};
pub use resize::*;
pub use size::Size;
pub use transformer::{
    DecoderMasks, EncoderMasks, Transformer, TransformerActivation, TransformerDecoder,
    TransformerDecoderLayer, TransformerEncoder, TransformerEncoderLayer, TransformerLayerOptions,
    generate_square_subsequent_mask,
};
