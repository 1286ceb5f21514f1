//! More layers and losses against PyTorch's, recorded by tests/fixtures/record_layers.py.

mod common;

use common::{Recorded, SEED, assert_close, drawing};
use flambeau::nn::functional::InterpolateOptions;
use flambeau::nn::{self, AttentionMasks, DecoderMasks, EncoderMasks, Forward, Loss, Module, Size};
use flambeau::{Result, Tensor, manual_seed, rand, randn, tensor};

fn layer<M: Forward>(files: &Recorded, name: &str, make: impl Fn() -> Result<M>, shape: &[i64]) {
    files.check(name, make, shape, |m, x| m.forward(x));
}

#[test]
fn layers_draw_print_and_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let options = nn::ConvTransposeOptions {
        stride: 2.into(),
        padding: 1.into(),
        output_padding: 1.into(),
        ..Default::default()
    };
    layer(&files, "ConvTranspose1d", || nn::ConvTranspose1d::with(2, 4, 3, options), &[2, 2, 5]);
    let options =
        nn::ConvTransposeOptions { groups: 2, bias: false, dilation: 2.into(), ..Default::default() };
    layer(&files, "ConvTranspose2d", || nn::ConvTranspose2d::with(4, 6, [3, 2], options), &[1, 4, 3, 4]);
    layer(&files, "InstanceNorm1d", || nn::InstanceNorm1d::new(3), &[2, 3, 5]);
    layer(&files, "InstanceNormUnbatched", || nn::InstanceNorm1d::new(3), &[3, 5]);
    let options = nn::BatchNormOptions::default();
    layer(&files, "InstanceNorm2d", || nn::InstanceNorm2d::with(3, options), &[2, 3, 2, 4]);
    layer(&files, "RMSNorm", || nn::RMSNorm::new([4]), &[3, 4]);
    let options = nn::GroupNormOptions { affine: false, eps: 1e-3, ..Default::default() };
    layer(&files, "GroupNormPlain", || nn::GroupNorm::with(2, 4, options), &[2, 4, 3]);
    layer(&files, "Dropout1d", || nn::Dropout1d::new(0.4), &[3, 4, 2]);
    layer(&files, "Dropout2d", || nn::Dropout2d::new(0.4), &[3, 4, 2, 2]);
    layer(&files, "Dropout3d", || Ok(nn::Dropout3d::default()), &[2, 4, 2, 2, 1]);
    layer(&files, "AlphaDropout", || nn::AlphaDropout::new(0.3), &[4, 5]);
    layer(&files, "FeatureAlphaDropout", || nn::FeatureAlphaDropout::new(0.3), &[4, 5, 2]);
    layer(&files, "ZeroPad2d", || nn::ZeroPad2d::new([1, 0, 2, 1]), &[1, 2, 2, 3]);
    layer(&files, "ConstantPad1d", || nn::ConstantPad1d::new(2, 3.5), &[1, 2, 3]);
    layer(&files, "ReflectionPad2d", || nn::ReflectionPad2d::new(1), &[1, 2, 3, 3]);
    layer(&files, "ReplicationPad3d", || nn::ReplicationPad3d::new(1), &[1, 1, 2, 2, 2]);
    layer(&files, "CircularPad1d", || nn::CircularPad1d::new([2, 1]), &[1, 2, 3]);
    assert!(nn::ZeroPad2d::new([1, 2]).is_err());
    let resize = |mode: &'static str, size: Option<&[i64]>, scale: Option<&[f64]>, align_corners: bool| {
        let (size, scale_factor) = (size.map(<[_]>::to_vec), scale.map(<[_]>::to_vec));
        let options = InterpolateOptions { size, scale_factor, mode, align_corners, antialias: false };
        move || Ok(nn::Upsample::with(options.clone()))
    };
    layer(&files, "UpsampleNearest", || Ok(nn::Upsample::scale(2.0)), &[1, 2, 2, 3]);
    layer(&files, "UpsampleBilinear", resize("bilinear", Some(&[4, 5]), None, true), &[1, 2, 2, 3]);
    layer(&files, "UpsampleBicubic", resize("bicubic", None, Some(&[1.5, 2.0]), false), &[1, 2, 4, 3]);
    layer(&files, "UpsampleArea", resize("area", None, Some(&[0.5]), false), &[1, 2, 4]);
    layer(&files, "UpsampleExact", resize("nearest-exact", Some(&[5]), None, false), &[1, 2, 3]);
    layer(&files, "PixelShuffle", || Ok(nn::PixelShuffle::new(2)), &[1, 8, 2, 3]);
    layer(&files, "PixelUnshuffle", || Ok(nn::PixelUnshuffle::new(2)), &[1, 2, 4, 6]);
    layer(&files, "ChannelShuffle", || Ok(nn::ChannelShuffle::new(2)), &[1, 4, 2, 2]);
    layer(&files, "Unfold", || Ok(nn::Unfold::new(2)), &[1, 2, 3, 4]);
    layer(&files, "Fold", || Ok(nn::Fold::new([3, 4], nn::Unfold::new(2))), &[1, 8, 6]);
    layer(&files, "MaxPool3d", || Ok(nn::MaxPool3d::new(2)), &[1, 2, 4, 3, 2]);
    layer(&files, "AvgPool3d", || Ok(nn::AvgPool3d::new(2)), &[1, 2, 4, 3, 2]);
    layer(&files, "AdaptiveAvgPool3d", || Ok(nn::AdaptiveAvgPool3d::new(1)), &[1, 2, 4, 3, 2]);
    layer(&files, "LPPool2d", || Ok(nn::LPPool2d::new(2.0, Size::All(2))), &[1, 2, 4, 5]);
    let norm = nn::LocalResponseNorm { alpha: 0.5, ..nn::LocalResponseNorm::new(3) };
    layer(&files, "LocalResponseNorm", || Ok(norm), &[2, 4, 2, 2]);
    let norm = nn::LocalResponseNorm { k: 2.0, ..nn::LocalResponseNorm::new(2) };
    layer(&files, "LocalResponseNorm3", || Ok(norm), &[2, 4, 3]);
    layer(&files, "GLU", || Ok(nn::GLU::default()), &[3, 4]);
    layer(&files, "Softmax2d", || Ok(nn::Softmax2d), &[1, 3, 2, 2]);
    layer(&files, "Softmin", || Ok(nn::Softmin { dim: 1 }), &[3, 4]);
    layer(&files, "RReLU", || Ok(nn::RReLU::default()), &[3, 4]);
    layer(&files, "Threshold", || Ok(nn::Threshold { threshold: 0.1, value: 20.0 }), &[3, 4]);
}

#[test]
fn bags_and_pools_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let options =
        nn::EmbeddingBagOptions { mode: nn::BagMode::Sum, padding_idx: Some(2), ..Default::default() };
    let bag = files.made("EmbeddingBag", || nn::EmbeddingBag::with(6, 3, options));
    let input = tensor([[0i64, 2, 5], [4, 4, 1]]).unwrap();
    let weights = tensor([[1f32, 2., 3.], [4., 5., 6.]]).unwrap();
    let rows = bag.forward(&input, None, Some(&weights)).unwrap();
    assert_close("rows", &rows, files.get("EmbeddingBag.rows"), 2e-6);
    let (line, starts) = (tensor([0i64, 2, 5, 4]).unwrap(), tensor([0i64, 1, 3]).unwrap());
    let stretches = bag.forward(&line, Some(&starts), None).unwrap();
    assert_close("stretches", &stretches, files.get("EmbeddingBag.stretches"), 2e-6);
    assert!(bag.forward(&line, None, None).is_err() && bag.forward(&input, Some(&starts), None).is_err());

    let vectors = tensor([[1f32, 2.], [3., 4.]]).unwrap();
    let given = nn::Embedding::from_pretrained(&vectors, true).unwrap();
    assert!(!given.weight.requires_grad());
    assert_eq!(given.forward(&tensor([1i64]).unwrap()).unwrap().to_vec::<f32>().unwrap(), [3.0, 4.0]);

    manual_seed(SEED);
    let options = nn::MaxPoolOptions { stride: Some(1.into()), ..Default::default() };
    let x = randn([1, 2, 3, 4], ()).unwrap();
    let (largest, places) = nn::MaxPool2d::with(2, options).forward_with_indices(&x).unwrap();
    let unpool = nn::MaxUnpool2d { stride: Some(1.into()), ..nn::MaxUnpool2d::new(2) };
    assert_eq!(unpool.to_string(), files.texts["MaxUnpool2d"]);
    let back = unpool.forward(&largest, &places, None).unwrap();
    assert_close("MaxUnpool2d", &back, files.get("MaxUnpool2d.output"), 0.0);
    assert!(unpool.forward(&largest, &places, Some([9, 4])).is_err());
}

#[test]
fn lists_of_parameters_print_and_register_as_in_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let parameter = |value: f64, size: &[i64]| nn::Parameter::new(&flambeau::full(size, value, ())?);
    files.made("ParameterList", || {
        Ok(nn::ParameterList::new([parameter(1.0, &[2, 3])?, parameter(0.0, &[2])?]))
    });
    let dict = files.made("ParameterDict", || {
        Ok(nn::ParameterDict::new([("a", parameter(1.0, &[2, 3])?), ("b", parameter(0.0, &[])?)]))
    });
    assert_eq!(dict.get("b").unwrap().dim(), 0);
    assert!(dict.get("c").is_none());
}

#[test]
fn recurrent_layers_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let close = |name: &str, part: &str, ours: &Tensor| {
        assert_close(name, ours, files.get(&format!("{name}.{part}")), 2e-6);
    };
    let options =
        nn::RecurrentOptions { num_layers: 2, nonlinearity: nn::Nonlinearity::ReLU, ..Default::default() };
    let rnn = files.made("RNN", || nn::RNN::with(3, 4, options));
    let (output, h) = rnn.forward(&randn([5, 2, 3], ()).unwrap(), None).unwrap();
    close("RNN", "output", &output);
    close("RNN", "h", &h);
    let options =
        nn::RecurrentOptions { num_layers: 2, bidirectional: true, batch_first: true, ..Default::default() };
    let lstm = files.made("LSTM", || nn::LSTM::with(3, 4, options));
    let x = randn([2, 5, 3], ()).unwrap();
    let (output, (h, c)) = lstm.forward(&x, None).unwrap();
    close("LSTM", "output", &output);
    close("LSTM", "h", &h);
    close("LSTM", "c", &c);
    let zeros = flambeau::zeros([4, 2, 4], ()).unwrap();
    let (again, _) = lstm.forward(&x, Some(&(zeros.clone(), zeros))).unwrap();
    assert!(again.equal(&output).unwrap());
    let wrong = lstm.forward(&x, Some(&(h.select(0, 0).unwrap(), c))).unwrap_err();
    assert!(wrong.message().contains("Expected hidden size (4, 2, 4), got [2, 4]"), "{wrong}");
    let options = nn::RecurrentOptions { bias: false, ..Default::default() };
    let lstm = files.made("LSTMUnbatched", || nn::LSTM::with(3, 4, options));
    let (output, (h, c)) = lstm.forward(&randn([5, 3], ()).unwrap(), None).unwrap();
    close("LSTMUnbatched", "output", &output);
    close("LSTMUnbatched", "h", &h);
    close("LSTMUnbatched", "c", &c);
    let options = nn::RecurrentOptions { bidirectional: true, ..Default::default() };
    let gru = files.made("GRU", || nn::GRU::with(3, 4, options));
    let (output, h) = gru.forward(&randn([5, 2, 3], ()).unwrap(), None).unwrap();
    close("GRU", "output", &output);
    close("GRU", "h", &h);
    output.sum().unwrap().backward().unwrap();
    assert!(gru.parameters().iter().all(|p| p.grad().is_some()));

    let cell = files.made("RNNCell", || nn::RNNCell::new(3, 4));
    close("RNNCell", "output", &cell.forward(&randn([2, 3], ()).unwrap(), None).unwrap());
    let cell = files.made("LSTMCell", || nn::LSTMCell::new(3, 4));
    let (h, c) = cell.forward(&randn([2, 3], ()).unwrap(), None).unwrap();
    close("LSTMCell", "output", &h);
    close("LSTMCell", "h", &c);
    let options = nn::RecurrentCellOptions { bias: false, ..Default::default() };
    let cell = files.made("GRUCell", || nn::GRUCell::with(3, 4, options));
    close("GRUCell", "output", &cell.forward(&randn([3], ()).unwrap(), None).unwrap());
}

#[test]
fn projected_layers_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let options =
        nn::RecurrentOptions { num_layers: 2, bidirectional: true, proj_size: 2, ..Default::default() };
    let lstm = files.made("LSTMProjected", || nn::LSTM::with(3, 4, options));
    let (output, (h, c)) = lstm.forward(&randn([5, 2, 3], ()).unwrap(), None).unwrap();
    for (part, ours) in [("output", &output), ("h", &h), ("c", &c)] {
        assert_close(part, ours, files.get(&format!("LSTMProjected.{part}")), 2e-6);
    }
    assert!(nn::GRU::with(3, 4, options).unwrap_err().message().contains("only supported for LSTM"));
    let wide = nn::RecurrentOptions { proj_size: 4, ..Default::default() };
    assert!(nn::LSTM::with(3, 4, wide).unwrap_err().message().contains("smaller than hidden_size"));
}

/// Runs a layer over packed sequences from given states, and compares everything with PyTorch.
fn packed<K: nn::Recurrence>(
    files: &Recorded,
    name: &str,
    options: nn::RecurrentOptions,
    start: impl Fn(&[i64]) -> K::State,
    parts: impl Fn(&K::State) -> Vec<(&'static str, Tensor)>,
) {
    let layer = files.made(name, || nn::Recurrent::<K>::with(3, 4, options));
    let (x, lengths) = (randn([5, 4, 3], ()).unwrap(), [3, 5, 1, 3]);
    let close = |part: &str, ours: &Tensor| {
        assert_close(name, ours, files.get(&format!("{name}.{part}")), 4e-6);
    };
    let layers = options.num_layers as i64 * (1 + options.bidirectional as i64);
    let width = if options.proj_size > 0 { options.proj_size } else { 4 };
    let state = start(&[layers, 4, width]);
    let input = nn::utils::pack_padded_sequence(&x, &lengths, false, false).unwrap();
    assert!(input.data().equal(files.get(&format!("{name}.data"))).unwrap());
    let (output, last) = layer.forward_packed(&input, Some(&state)).unwrap();
    let (padded, found) = nn::utils::pad_packed_sequence(&output, false, -1.0, Some(6)).unwrap();
    assert_eq!(found, lengths);
    close("output", &padded);
    let last = parts(&last);
    last.iter().for_each(|(part, ours)| close(part, ours));
    let loss = &(output.data() * output.data()).sum().unwrap() + &last[0].1.sum().unwrap();
    loss.backward().unwrap();
    for (key, parameter) in layer.named_parameters() {
        assert_close(&key, &parameter.grad().unwrap(), files.get(&format!("{name}.grad.{key}")), 1e-5);
    }
    // As each sequence alone.
    let from = |i: i64| {
        let only = |t: &Tensor| t.narrow(1, i, 1).unwrap();
        let (h, c) = K::parts(&state);
        K::state(only(h), c.map(only)).unwrap()
    };
    for (i, sequence) in nn::utils::unpack_sequence(&output).unwrap().iter().enumerate() {
        let alone = x.narrow(1, i as i64, 1).unwrap().narrow(0, 0, lengths[i]).unwrap();
        let (expected, _) = layer.forward(&alone, Some(&from(i as i64))).unwrap();
        let difference = &expected.select(1, 0).unwrap() - sequence;
        assert!(difference.abs().unwrap().max().unwrap().to_f64().unwrap() < 1e-6, "{name} {i}");
    }
    let short = start(&[layers, 3, width]);
    let wrong = layer.forward_packed(&input, Some(&short)).err().unwrap();
    assert!(wrong.message().contains("Expected hidden size"), "{wrong}");
    let narrow = input.map(|data| data.narrow(1, 0, 2)).unwrap();
    assert!(layer.forward_packed(&narrow, None).err().unwrap().message().contains("Expected 3, got 2"));
}

#[test]
fn packed_sequences_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let draw = |size: &[i64]| randn(size, ()).unwrap();
    let one = |h: &Tensor| vec![("h", h.clone())];
    let two = |(h, c): &(Tensor, Tensor)| vec![("h", h.clone()), ("c", c.clone())];
    let both = |size: &[i64]| (draw(size), draw(&[size[0], size[1], 4]));
    let plain = nn::RecurrentOptions::default();
    let deep = nn::RecurrentOptions { num_layers: 2, ..plain };
    let ways = nn::RecurrentOptions { bidirectional: true, ..plain };
    let all = nn::RecurrentOptions { num_layers: 2, bidirectional: true, ..plain };
    packed::<nn::Rnn>(&files, "PackedRNN", deep, draw, one);
    packed::<nn::Gru>(&files, "PackedGRU", ways, draw, one);
    packed::<nn::Lstm>(&files, "PackedLSTM", all, both, two);
    let projected = nn::RecurrentOptions { proj_size: 2, ..all };
    packed::<nn::Lstm>(&files, "PackedProjected", projected, both, two);
}

#[test]
fn sequences_are_packed_and_padded() {
    use nn::utils::{
        pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence, unpack_sequence,
    };
    let sequences = [tensor([1i64, 2, 3]).unwrap(), tensor([4i64]).unwrap(), tensor([5i64, 6]).unwrap()];
    let packed = pack_sequence(&sequences, false).unwrap();
    assert_eq!(packed.data().to_vec::<i64>().unwrap(), [1, 5, 4, 2, 6, 3]);
    assert_eq!((packed.batch_sizes(), packed.sorted_indices()), (&[3, 2, 1][..], Some(&[0, 2, 1][..])));
    assert_eq!(packed.unsorted_indices(), Some(vec![0, 2, 1]));
    let (padded, lengths) = pad_packed_sequence(&packed, true, 9.0, None).unwrap();
    assert_eq!(padded.to_vec::<i64>().unwrap(), [1, 2, 3, 4, 9, 9, 5, 6, 9]);
    assert_eq!(lengths, [3, 1, 2]);
    for (ours, given) in unpack_sequence(&packed).unwrap().iter().zip(&sequences) {
        assert!(ours.equal(given).unwrap());
    }
    let failure = |lengths: &[i64], sorted: bool| {
        pack_padded_sequence(&padded, lengths, true, sorted).unwrap_err().message().to_string()
    };
    assert!(failure(&[3, 1, 2], true).contains("must be sorted in decreasing order"));
    assert!(failure(&[3, 1], false).contains("Expected `len(lengths)` to be equal to batch_size"));
    assert!(failure(&[3, 0, 1], false).contains("greater than 0"));
    assert!(pack_padded_sequence(&padded, &[4, 2, 1], true, true).is_err());
    assert!(pad_packed_sequence(&packed, true, 0.0, Some(2)).is_err());
    assert!(packed.map(|data| data.narrow(0, 0, 2)).is_err());
    assert!(pad_sequence(&[], true, 0.0).is_err() && pack_sequence(&[], true).is_err());
}

#[test]
fn attention_computes_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let close = |name: &str, part: &str, ours: &Tensor| {
        assert_close(name, ours, files.get(&format!("{name}.{part}")), 4e-6);
    };
    let causal = nn::generate_square_subsequent_mask(3, ()).unwrap();
    let padding = tensor([[false, false, true], [false, false, false]]).unwrap();
    let attention = files.made("Attention", || nn::MultiheadAttention::new(4, 2));
    let x = randn([3, 2, 4], ()).unwrap();
    let (output, weights) = attention.forward(&x, &x, &x, AttentionMasks::default()).unwrap();
    close("Attention", "output", &output);
    close("Attention", "weights", &weights.unwrap());
    // Three tensors of the same values take the longer way.
    let copies = [x.deep_clone().unwrap(), x.deep_clone().unwrap()];
    let plain = AttentionMasks { need_weights: false, ..Default::default() };
    let (output, weights) = attention.forward(&x, &copies[0], &copies[1], plain).unwrap();
    close("Attention", "output", &output);
    assert!(weights.is_none());

    let options = nn::MultiheadAttentionOptions {
        batch_first: true,
        add_bias_kv: true,
        add_zero_attn: true,
        ..Default::default()
    };
    let attention = files.made("AttentionMasked", || nn::MultiheadAttention::with(4, 2, options));
    let x = randn([2, 3, 4], ()).unwrap();
    let masks = AttentionMasks {
        key_padding_mask: Some(&padding),
        attn_mask: Some(&causal),
        average_attn_weights: false,
        ..Default::default()
    };
    let (output, weights) = attention.forward(&x, &x, &x, masks).unwrap();
    close("AttentionMasked", "output", &output);
    close("AttentionMasked", "weights", &weights.unwrap());
    let short = tensor([[0f32, 1.]]).unwrap();
    let wrong = AttentionMasks { attn_mask: Some(&short), ..Default::default() };
    let error = attention.forward(&x, &x, &x, wrong).unwrap_err();
    assert_eq!(error.message(), "The shape of the 2D attn_mask is torch.Size([1, 2]), but should be (3, 3).");

    let options =
        nn::MultiheadAttentionOptions { kdim: Some(3), vdim: Some(5), bias: false, ..Default::default() };
    let attention = files.made("AttentionSeparate", || nn::MultiheadAttention::with(4, 2, options));
    let [q, k, v] = [[3, 4], [2, 3], [2, 5]].map(|shape| randn(shape, ()).unwrap());
    close("AttentionSeparate", "output", &attention.forward(&q, &k, &v, plain).unwrap().0);
}

#[test]
fn transformers_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let close = |name: &str, ours: Tensor| {
        assert_close(name, &ours, files.get(&format!("{name}.output")), 4e-6);
    };
    let causal = nn::generate_square_subsequent_mask(3, ()).unwrap();
    let padding = tensor([[0f32, 0., -1e9], [0., 0., 0.]]).unwrap();
    let base = nn::TransformerLayerOptions { dim_feedforward: 6, dropout: 0.0, ..Default::default() };
    for (suffix, norm_first) in [("", false), ("First", true)] {
        let name = format!("EncoderLayer{suffix}");
        let options = nn::TransformerLayerOptions { norm_first, batch_first: true, ..base };
        let layer = files.made(&name, || nn::TransformerEncoderLayer::with(4, 2, options));
        let masks =
            EncoderMasks { mask: Some(&causal), src_key_padding_mask: Some(&padding), ..Default::default() };
        close(&name, layer.forward(&randn([2, 3, 4], ()).unwrap(), masks).unwrap());

        let name = format!("DecoderLayer{suffix}");
        let activation = nn::TransformerActivation::GELU;
        let options = nn::TransformerLayerOptions { norm_first, activation, ..base };
        let layer = files.made(&name, || nn::TransformerDecoderLayer::with(4, 2, options));
        let masks = DecoderMasks { tgt_mask: Some(&causal), tgt_is_causal: true, ..Default::default() };
        let (tgt, memory) = (randn([3, 2, 4], ()).unwrap(), randn([5, 2, 4], ()).unwrap());
        close(&name, layer.forward(&tgt, &memory, masks).unwrap());
    }
    let make = || {
        let layer = nn::TransformerEncoderLayer::with(4, 2, base)?;
        nn::TransformerEncoder::new(&layer, 2, Some(nn::LayerNorm::new([4])?))
    };
    let encoder = files.made("Encoder", make);
    assert!(!encoder.layers[0].linear1.weight.is_same(&encoder.layers[1].linear1.weight));
    let masks = EncoderMasks { mask: Some(&causal), is_causal: true, ..Default::default() };
    close("Encoder", encoder.forward(&randn([3, 2, 4], ()).unwrap(), masks).unwrap());

    let whole = files.made("Transformer", || nn::Transformer::with(4, 2, 1, 2, base));
    let (src, tgt) = (randn([3, 2, 4], ()).unwrap(), randn([3, 2, 4], ()).unwrap());
    let masks = DecoderMasks { tgt_mask: Some(&causal), ..Default::default() };
    close("Transformer", whole.forward(&src, &tgt, EncoderMasks::default(), masks).unwrap());
}

#[test]
fn losses_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let draw = || {
        manual_seed(SEED);
        let x = randn([3, 4], ()).unwrap().requires_grad_(true).unwrap();
        let signs = randn([3, 4], ()).unwrap().sign().unwrap();
        (x, signs, rand([3, 4], ()).unwrap())
    };
    let check = |name: &str, loss: &dyn Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>| {
        let (x, signs, positive) = draw();
        let value = loss(&x, &signs, &positive).unwrap();
        assert_close(name, &value.detach().unwrap(), files.get(&format!("{name}.value")), 2e-6);
        value.backward().unwrap();
        assert_close(name, &x.grad().unwrap(), files.get(&format!("{name}.grad")), 4e-6);
    };
    check("SoftMarginLoss", &|x, s, _| nn::SoftMarginLoss::default().forward(x, s));
    let hinge = nn::HingeEmbeddingLoss { margin: 0.7, ..Default::default() };
    check("HingeEmbeddingLoss", &|x, s, _| hinge.forward(x, s));
    let poisson = nn::PoissonNLLLoss { full: true, ..Default::default() };
    check("PoissonNLLLoss", &|x, _, p| poisson.forward(x, &(p * 5.0)));
    check("MultiLabelSoftMarginLoss", &|x, _, p| {
        nn::MultiLabelSoftMarginLoss::default().forward(x, &p.gt_scalar(0.5)?.float()?)
    });
    let margin = nn::MultiMarginLoss { p: 2, ..Default::default() };
    check("MultiMarginLoss", &|x, _, _| margin.forward(x, &tensor([0i64, 3, 1])?));
    check("MultiLabelMarginLoss", &|x, _, _| {
        let classes = tensor([[0i64, 2, -1, 1], [3, -1, 0, 0], [1, 2, 3, -1]])?;
        nn::MultiLabelMarginLoss::default().forward(x, &classes)
    });
    let ranking = nn::MarginRankingLoss { margin: 0.2, ..Default::default() };
    check("MarginRankingLoss", &|x, s, p| ranking.forward(x, p, s));
    check("CosineEmbeddingLoss", &|x, s, p| {
        nn::CosineEmbeddingLoss::default().forward(x, p, &s.select(1, 0)?)
    });
    let triplet = nn::TripletMarginLoss { swap: true, ..Default::default() };
    check("TripletMarginLoss", &|x, s, p| triplet.forward(x, p, s));
    let gaussian = nn::GaussianNLLLoss { full: true, ..Default::default() };
    check("GaussianNLLLoss", &|x, s, p| gaussian.forward(x, s, p));
    check("CTCLoss", &|x, _, p| {
        let log_probs = flambeau::ops::join::stack(&[x.clone(), p.clone()], 0)?.log_softmax(-1, None)?;
        let targets = tensor([[1i64, 2], [3, 3], [2, 1]])?;
        nn::CTCLoss::default().forward(&log_probs, &targets, &[2, 2, 2], &[2, 1, 1])
    });
}

#[test]
fn parameters_become_vectors_and_gradients_are_clipped() {
    use nn::utils::*;
    let net = nn::Linear::new(2, 3).unwrap();
    let vector = parameters_to_vector(net.parameters()).unwrap();
    assert_eq!(vector.sizes()[..], [9]);
    vector_to_parameters(&(&vector.detach().unwrap() * 2.0), net.parameters()).unwrap();
    let twice = parameters_to_vector(net.parameters()).unwrap();
    assert!(twice.equal(&(&vector * 2.0)).unwrap());
    assert!(vector_to_parameters(&tensor([1f32]).unwrap(), net.parameters()).is_err());
    (twice.pow_scalar(2).unwrap() * 50.0).sum().unwrap().backward().unwrap();
    clip_grad_value_(net.parameters(), 0.25).unwrap();
    let largest = |p: &Tensor| p.grad().unwrap().abs().unwrap().max().unwrap().to_f64().unwrap();
    assert!(net.parameters().iter().all(|p| largest(p) <= 0.25));
    let before = clip_grad_norm_(net.parameters(), 0.1, 2.0).unwrap().to_f64().unwrap();
    assert!(before > 0.1);
    let after = clip_grad_norm_(net.parameters(), 10.0, 2.0).unwrap().to_f64().unwrap();
    assert!((after - 0.1).abs() < 1e-4, "{after}");
}
