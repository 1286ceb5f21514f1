//! Layers, initialisers, losses and optimizers against PyTorch's, recorded by tests/fixtures/record_modules.py.

mod common;

use common::{Recorded, SEED, drawing};
use flambeau::io::{StateDict, safetensors::load_file};
use flambeau::nn::functional::Reduction;
use flambeau::nn::{self, Forward, Loss, Module, init};
use flambeau::optim::{self, Algorithm, Optimizer};
use flambeau::{DType, Result, Tensor, TensorOptions, manual_seed, rand, randn, tensor};

fn recorded() -> StateDict {
    Recorded::open("modules").tensors
}
#[track_caller]
fn assert_close(name: &str, ours: &Tensor, theirs: &Tensor) {
    common::assert_close(name, ours, theirs, 2e-6);
}

#[test]
fn layers_draw_print_and_compute_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("modules");
    fn layer<M: Forward>(files: &Recorded, name: &str, make: impl Fn() -> Result<M>, shape: &[i64]) {
        files.check(name, make, shape, |m, x| m.forward(x));
    }
    let double = TensorOptions { dtype: Some(DType::Float64), ..Default::default() };
    let no_bias = nn::LinearOptions { bias: false, ..Default::default() };
    layer(&files, "Linear", || nn::Linear::new(3, 5), &[2, 3]);
    layer(&files, "LinearWithoutBias", || nn::Linear::with(3, 5, no_bias), &[3]);
    let wide = nn::LinearOptions { tensors: double, ..Default::default() };
    files.made("LinearDouble", || nn::Linear::with(20, 7, wide));

    let options = nn::ConvOptions { padding: 1.into(), stride: 2.into(), ..Default::default() };
    layer(&files, "Conv1d", || nn::Conv1d::with(2, 4, 3, options), &[2, 2, 9]);
    layer(&files, "Conv2d", || nn::Conv2d::new(2, 4, 3), &[2, 2, 6, 5]);
    let options = nn::ConvOptions { padding: nn::Padding::Same, dilation: 2.into(), ..Default::default() };
    layer(&files, "Conv2dSame", || nn::Conv2d::with(2, 4, [3, 2], options), &[1, 2, 6, 5]);
    let options = nn::ConvOptions { groups: 2, bias: false, padding: [1, 2].into(), ..Default::default() };
    layer(&files, "Conv2dGroups", || nn::Conv2d::with(4, 6, 3, options), &[1, 4, 5, 5]);
    let options =
        nn::ConvOptions { padding: 1.into(), padding_mode: nn::PaddingMode::Reflect, ..Default::default() };
    layer(&files, "Conv2dReflect", || nn::Conv2d::with(1, 2, 3, options), &[1, 1, 4, 4]);

    layer(&files, "MaxPool2d", || Ok(nn::MaxPool2d::new(2)), &[1, 2, 5, 4]);
    let options = nn::MaxPoolOptions { stride: Some(2.into()), padding: 1.into(), ..Default::default() };
    layer(&files, "MaxPool1d", || Ok(nn::MaxPool1d::with(3, options)), &[1, 2, 7]);
    let options = nn::AvgPoolOptions { padding: [1, 0].into(), ..Default::default() };
    layer(&files, "AvgPool2d", || Ok(nn::AvgPool2d::with([2, 1], options)), &[1, 2, 4, 4]);
    layer(&files, "AvgPool1d", || Ok(nn::AvgPool1d::new(2)), &[1, 2, 6]);
    layer(&files, "AdaptiveAvgPool2d", || Ok(nn::AdaptiveAvgPool2d::new([2, 1])), &[1, 2, 5, 3]);
    layer(&files, "AdaptiveMaxPool1d", || Ok(nn::AdaptiveMaxPool1d::new(3)), &[1, 2, 7]);

    layer(&files, "LayerNorm", || nn::LayerNorm::new([4]), &[3, 4]);
    let options = nn::LayerNormOptions { elementwise_affine: false, ..Default::default() };
    layer(&files, "LayerNorm2", || nn::LayerNorm::with([3, 4], options), &[2, 3, 4]);
    layer(&files, "GroupNorm", || nn::GroupNorm::new(2, 4), &[2, 4, 3]);
    layer(&files, "Dropout", || nn::Dropout::new(0.3), &[4, 5]);
    layer(&files, "Flatten", || Ok(nn::Flatten::default()), &[2, 3, 4]);
    layer(&files, "PReLU", || nn::PReLU::new(1, 0.25), &[3, 4]);
    let options = nn::EmbeddingOptions { padding_idx: Some(2), ..Default::default() };
    files.made("Embedding", || nn::Embedding::with(6, 3, options));

    let nested = || {
        let first = nn::Linear::new(2, 3)?;
        let inner = nn::Sequential::new().append(nn::Linear::new(3, 1)?).append(nn::Sigmoid);
        Ok(nn::Sequential::new().append(first).append(nn::ReLU).append(inner))
    };
    layer(&files, "Nested", nested, &[4, 2]);
    let list =
        || Ok(nn::ModuleList::new([nn::Linear::new(2, 2)?, nn::Linear::new(2, 2)?, nn::Linear::new(2, 3)?]));
    files.made("ModuleList", list);
    let dict = || Ok(nn::ModuleDict::new([("a", nn::Linear::new(2, 2)?), ("b", nn::Linear::new(2, 3)?)]));
    files.made("ModuleDict", dict);

    macro_rules! activations { ($($name:ident)*) => { $(
        layer(&files, stringify!($name), || Ok(nn::$name::default()), &[3, 4]);
    )* } }
    activations!(ReLU ReLU6 Sigmoid Tanh SiLU Mish SELU Hardsigmoid Hardswish LogSigmoid Softsign Tanhshrink GELU
        LeakyReLU ELU CELU Softplus Hardtanh Hardshrink Softshrink);
    layer(&files, "Softmax", || Ok(nn::Softmax::new(1)), &[3, 4]);
    layer(&files, "LogSoftmax", || Ok(nn::LogSoftmax::new(0)), &[3, 4]);
}

#[test]
fn batch_normalisation_keeps_running_statistics() {
    let _guard = drawing();
    let files = Recorded::open("modules");
    fn norm<const N: usize>(files: &Recorded, name: &str, options: nn::BatchNormOptions, shape: &[i64]) {
        let make = || nn::BatchNorm::<N>::with(3, options);
        let (module, input) = files.check(name, make, shape, |m, x| m.forward(x));
        let expected = |what: &str| files.get(&format!("{name}.{what}")).clone();
        assert_close(name, module.running_mean.as_ref().unwrap(), &expected("mean"));
        assert_close(name, module.running_var.as_ref().unwrap(), &expected("var"));
        assert_eq!(module.num_batches_tracked.as_ref().unwrap().item().unwrap().to_i64(), 1);
        module.eval();
        assert_close(name, &module.forward(&input).unwrap(), &expected("eval"));
    }
    norm::<1>(&files, "BatchNorm1d", Default::default(), &[6, 3]);
    let options = nn::BatchNormOptions { momentum: None, ..Default::default() };
    norm::<2>(&files, "BatchNorm2d", options, &[2, 3, 4, 4]);
    let wrong = nn::BatchNorm2d::new(3).unwrap().forward(&randn([2, 3], ()).unwrap()).unwrap_err();
    assert_eq!(wrong.message(), "expected 4D input (got 2D input)");
}

#[test]
fn initialisers_draw_as_pytorch() {
    let _guard = drawing();
    let recorded = recorded();
    let check = |name: &str, fill: &dyn Fn(&Tensor) -> Result<()>| {
        manual_seed(SEED);
        let weight = flambeau::zeros([6, 4], ()).unwrap();
        fill(&weight).unwrap();
        assert_close(name, &weight, &recorded[format!("init.{name}").as_str()]);
    };
    use init::{FanMode, Nonlinearity};
    check("uniform", &|t| init::uniform_(t, -2.0, 3.0));
    check("normal", &|t| init::normal_(t, 1.0, 2.0));
    check("constant", &|t| init::constant_(t, 0.5));
    check("eye", &|t| init::eye_(t));
    check("xavier_uniform", &|t| init::xavier_uniform_(t, 2.0));
    check("xavier_normal", &|t| init::xavier_normal_(t, 1.0));
    check("kaiming_uniform", &|t| init::kaiming_uniform_(t, FanMode::FanIn, Nonlinearity::ReLU));
    check("kaiming_normal", &|t| init::kaiming_normal_(t, FanMode::FanOut, Nonlinearity::LeakyReLU(0.0)));
    check("orthogonal", &|t| init::orthogonal_(t, 1.0));
    let vector = flambeau::zeros([3], ()).unwrap();
    let error = init::xavier_uniform_(&vector, 1.0).unwrap_err();
    assert_eq!(
        error.message(),
        "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"
    );
}

#[test]
fn losses_compute_as_pytorch() {
    let _guard = drawing();
    let recorded = recorded();
    macro_rules! losses { ($($name:ident)*) => { $(
        manual_seed(SEED);
        let input = rand([3, 4], ()).unwrap().requires_grad_(true).unwrap();
        let target = rand([3, 4], ()).unwrap();
        for (text, reduction) in [("mean", Reduction::Mean), ("sum", Reduction::Sum)] {
            #[allow(clippy::needless_update)] // some have no other setting
            let loss = nn::$name { reduction, ..Default::default() };
            let value = loss.forward(&input, &target).unwrap();
            assert_close(stringify!($name), &value, &recorded[concat!(stringify!($name), ".mean").replace("mean", text).as_str()]);
            if reduction == Reduction::Sum {
                value.backward().unwrap();
                let grad = input.grad().unwrap();
                assert_close(stringify!($name), &grad, &recorded[concat!(stringify!($name), ".grad")]);
            }
        }
    )* } }
    losses!(MSELoss L1Loss SmoothL1Loss HuberLoss BCELoss BCEWithLogitsLoss KLDivLoss);

    manual_seed(SEED);
    let logits = randn([5, 3], ()).unwrap().requires_grad_(true).unwrap();
    let classes = tensor([0i64, 2, 1, -100, 2]).unwrap();
    let weight = Some(tensor([0.5f32, 1.0, 2.0]).unwrap());
    let cross = nn::CrossEntropyLoss { weight: weight.clone(), label_smoothing: 0.1, ..Default::default() };
    let likelihood = nn::NLLLoss { weight, ..Default::default() };
    for (name, loss) in [
        ("CrossEntropyLoss", cross.forward(&logits, &classes).unwrap()),
        ("NLLLoss", likelihood.forward(&logits.log_softmax(1, None).unwrap(), &classes).unwrap()),
    ] {
        assert_close(name, &loss, &recorded[format!("{name}.mean").as_str()]);
        logits.zero_grad();
        loss.backward().unwrap();
        assert_close(name, &logits.grad().unwrap(), &recorded[format!("{name}.grad").as_str()]);
    }
}

/// Six steps towards a target, stacked; half of them after the optimizer was saved and loaded.
fn path<A: Algorithm>(options: A) -> Tensor {
    manual_seed(SEED);
    let w = randn([3, 4], ()).unwrap().requires_grad_(true).unwrap();
    let target = randn([3, 4], ()).unwrap();
    let mut optimizer = Optimizer::new([&w], options).unwrap();
    let mut steps = Vec::new();
    for i in 0..6 {
        if i == 3 {
            let bytes = flambeau::io::to_bytes(optimizer.state_dict()).unwrap();
            optimizer = Optimizer::new([&w], A::default()).unwrap();
            optimizer.load_state_dict(&flambeau::io::from_bytes(&bytes).unwrap()).unwrap();
        }
        optimizer.zero_grad();
        (&w - &target).square().unwrap().sum().unwrap().backward().unwrap();
        optimizer.step().unwrap();
        steps.push(&w.detach().unwrap() * 1.0);
    }
    flambeau::ops::join::stack(&steps, 0).unwrap()
}

#[test]
fn optimizers_step_as_pytorch() {
    let _guard = drawing();
    use optim::*;
    let recorded = recorded();
    let check =
        |name: &str, ours: Tensor| assert_close(name, &ours, &recorded[format!("optim.{name}").as_str()]);
    check("SGD", path(SGDOptions { lr: 0.1, ..Default::default() }));
    let options =
        SGDOptions { lr: 0.1, momentum: 0.9, dampening: 0.2, weight_decay: 0.1, ..Default::default() };
    check("SGDMomentum", path(options));
    check("SGDNesterov", path(SGDOptions { lr: 0.1, momentum: 0.9, nesterov: true, ..Default::default() }));
    check("Adam", path(AdamOptions { lr: 0.1, ..Default::default() }));
    let options =
        AdamOptions { lr: 0.1, amsgrad: true, weight_decay: 0.1, betas: (0.8, 0.9), ..Default::default() };
    check("AdamAmsgrad", path(options));
    check("AdamMaximize", path(AdamOptions { lr: 0.1, maximize: true, ..Default::default() }));
    check("AdamW", path(AdamWOptions { lr: 0.1, ..Default::default() }));
    let options =
        AdagradOptions { lr: 0.1, lr_decay: 0.1, initial_accumulator_value: 0.5, ..Default::default() };
    check("Adagrad", path(options));
    check("RMSprop", path(RMSpropOptions { lr: 0.01, ..Default::default() }));
    let options =
        RMSpropOptions { lr: 0.01, momentum: 0.9, centered: true, weight_decay: 0.1, ..Default::default() };
    check("RMSpropCentered", path(options));
}

#[test]
fn optimizers_refuse_what_pytorch_refuses() {
    use optim::*;
    let w = tensor([1f32]).unwrap().requires_grad_(true).unwrap();
    let message = |result: Result<SGD>| result.unwrap_err().message().to_string();
    let lr = |lr| SGDOptions { lr, ..Default::default() };
    assert_eq!(message(SGD::new(Vec::<Tensor>::new(), lr(0.1))), "optimizer got an empty parameter list");
    assert_eq!(message(SGD::new([&w], lr(-1.0))), "Invalid learning rate: -1.0");
    assert_eq!(message(SGD::new([&(&w * 2.0)], lr(0.1))), "can't optimize a non-leaf Tensor");
    let nesterov = SGDOptions { nesterov: true, ..Default::default() };
    assert_eq!(message(SGD::new([&w], nesterov)), "Nesterov momentum requires a momentum and zero dampening");
    let mut optimizer = SGD::new([&w], lr(0.1)).unwrap();
    let error = optimizer.add_param_group([&w], lr(0.1)).unwrap_err();
    assert_eq!(error.message(), "some parameters appear in more than one parameter group");
    let two = SGD::new([&w, &tensor([2f32]).unwrap()], lr(0.1)).unwrap();
    let error = optimizer.load_state_dict(&two.state_dict()).unwrap_err();
    assert!(error.message().contains("doesn't match the size of optimizer's group"));
    assert_eq!(
        SGD::new([&w], lr(0.1)).unwrap().to_string(),
        "SGD (\nParameter Group 0\n    dampening: 0.0\n    lr: 0.1\n    maximize: False\n    momentum: 0.0\n    nesterov: False\n    weight_decay: 0.0\n)"
    );
}

#[test]
fn groups_have_settings_of_their_own() {
    use optim::*;
    let a = tensor([1f32]).unwrap().requires_grad_(true).unwrap();
    let b = tensor([1f32]).unwrap().requires_grad_(true).unwrap();
    let mut optimizer = SGD::new([&a], SGDOptions { lr: 0.5, ..Default::default() }).unwrap();
    optimizer.add_param_group([&b], SGDOptions { lr: 0.25, ..Default::default() }).unwrap();
    (&a + &b).backward().unwrap();
    optimizer.step().unwrap();
    assert_eq!((a.to_f64().unwrap(), b.to_f64().unwrap()), (0.5, 0.75));
}

#[derive(Module)]
struct Tied<M> {
    first: nn::Linear,
    again: nn::Linear,
    inner: M,
    scale: Tensor,
    extra: Option<nn::Parameter>,
    drop: nn::Dropout,
    depth: usize,
    #[module(skip)]
    names: Vec<String>,
}

#[test]
fn derived_modules_register_their_fields() {
    let first = nn::Linear::new(2, 2).unwrap();
    let net = Tied {
        again: first.clone(),
        first,
        inner: nn::Sequential::new().append(nn::Linear::new(2, 1).unwrap()),
        scale: tensor([2f32]).unwrap(),
        extra: Some(nn::Parameter::new(&tensor([1f32]).unwrap()).unwrap()),
        drop: nn::Dropout::default(),
        depth: 3,
        names: vec!["x".into()],
    };
    assert_eq!((net.depth, net.names.len()), (3, 1));
    let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["extra", "first.weight", "first.bias", "inner.0.weight", "inner.0.bias"]);
    assert_eq!(net.named_buffers()[0].0, "scale");
    let keys = [
        "extra",
        "scale",
        "first.weight",
        "first.bias",
        "again.weight",
        "again.bias",
        "inner.0.weight",
        "inner.0.bias",
    ];
    assert_eq!(net.state_dict().names().collect::<Vec<_>>(), keys);
    let modules: Vec<String> = net.named_modules().into_iter().map(|(name, _)| name).collect();
    assert_eq!(modules, ["first", "again", "inner", "inner.0", "drop"]);
    assert!(net.drop.training.get());
    net.eval();
    assert!(!net.drop.training.get());
    assert_eq!(net.to_string().lines().next().unwrap(), "Tied(");

    net.to_dtype(DType::Float64).unwrap();
    assert!(net.parameters().iter().all(|p| p.dtype() == DType::Float64 && p.requires_grad()));
    assert!(net.first.weight.is_same(&net.again.weight));
    assert!(net.to_dtype(DType::Int64).is_err());
}

#[test]
fn state_dicts_load_only_if_they_fit() {
    let (a, b) = (nn::Linear::new(2, 3).unwrap(), nn::Linear::new(2, 3).unwrap());
    b.load_state_dict(&a.state_dict()).unwrap();
    assert!(a.weight.equal(&b.weight).unwrap());
    let before = b.bias.as_ref().unwrap().to_vec::<f32>().unwrap();
    let mut wrong = a.state_dict().below("w");
    wrong.insert("bias", flambeau::zeros([4], ()).unwrap());
    let error = b.load_state_dict(&wrong).unwrap_err();
    assert_eq!(
        error.message(),
        "Error(s) in loading state_dict for Linear:\n\tUnexpected key(s) in state_dict: \"eight\". \n\tMissing key(s) in state_dict: \"weight\". \n\tsize mismatch for bias: copying a param with shape torch.Size([4]) from checkpoint, the shape in current model is torch.Size([3])."
    );
    assert_eq!(b.bias.as_ref().unwrap().to_vec::<f32>().unwrap(), before);
    wrong.insert("bias", flambeau::zeros([3], ()).unwrap());
    assert_eq!(b.load_state_dict_partly(&wrong, false).unwrap(), ["weight", "eight"]);
    assert_eq!(b.bias.as_ref().unwrap().to_vec::<f32>().unwrap(), [0.0; 3]);
}

#[test]
fn bad_files_are_errors() {
    use flambeau::io::safetensors::{load, save};
    let state: StateDict = [("x".to_string(), tensor([1f32, 2.]).unwrap())].into_iter().collect();
    let good = save(&state, &[("format", "pt")]).unwrap();
    assert_eq!(load(&good).unwrap()["x"].to_vec::<f32>().unwrap(), [1.0, 2.0]);
    for length in 0..good.len() {
        assert!(load(&good[..length]).is_err(), "cut at {length}");
    }
    for place in 0..good.len() {
        for value in [0, 0x7f, 0xff, b'9', b'"'] {
            let mut bad = good.clone();
            bad[place] = value;
            let _ = load(&bad); // must return, be it numbers or an error
        }
    }
    let complex: StateDict =
        [("z".to_string(), flambeau::zeros([1], DType::Complex128).unwrap())].into_iter().collect();
    assert!(save(&complex, &[]).unwrap_err().message().contains("complex128"));
    assert!(
        load_file("no/such/file.safetensors").unwrap_err().message().contains("no/such/file.safetensors")
    );
}
