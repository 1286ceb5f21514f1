//! More optimizers and the schedules against PyTorch's, recorded by tests/fixtures/record_layers.py.

mod common;

use common::{Recorded, SEED, assert_close, drawing};
use flambeau::io::{Value, from_bytes, to_bytes};
use flambeau::optim::lr_scheduler::*;
use flambeau::optim::*;
use flambeau::{Result, Tensor, manual_seed, ones, randn, tensor};

fn names(value: &Value) -> String {
    let mut names: Vec<&str> =
        value.entries().unwrap().iter().map(|(name, _)| name.as_str().unwrap()).collect();
    names.sort();
    names.join(" ")
}

/// What PyTorch's optimizers and schedules saved in the midst of training.
fn states() -> Value {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    flambeau::io::load(folder.join("states.pt")).unwrap()
}

/// Eight steps towards a target, the last of them after the optimizer was saved and loaded.
fn path<A: Algorithm>(files: &Recorded, name: &str, options: A, tolerance: f64) {
    manual_seed(SEED);
    let w = randn([3, 4], ()).unwrap().requires_grad_(true).unwrap();
    let target = randn([3, 4], ()).unwrap();
    let mut optimizer = Optimizer::new([&w], options).unwrap();
    let mut steps = Vec::new();
    for i in 0..8 {
        if i == 3 {
            let state = optimizer.state_dict();
            assert_eq!(names(&state["param_groups"][0]), files.texts[&format!("optim.{name}")]);
            assert_eq!(names(&state["state"][0]), files.texts[&format!("optim.{name}.state")]);
            let bytes = to_bytes(state).unwrap();
            optimizer = Optimizer::new([&w], A::default()).unwrap();
            optimizer.load_state_dict(&from_bytes(&bytes).unwrap()).unwrap();
        }
        optimizer.zero_grad();
        (&w - &target).square().unwrap().sum().unwrap().backward().unwrap();
        optimizer.step().unwrap();
        steps.push(&w.detach().unwrap() * 1.0);
    }
    let ours = flambeau::ops::join::stack(&steps, 0).unwrap();
    let theirs = files.get(&format!("optim.{name}"));
    assert_close(name, &ours, theirs, tolerance);

    // The same from PyTorch's state after three steps.
    let saved = &states()[name];
    w.data().copy_(saved["w"].as_tensor().unwrap(), false).unwrap();
    let mut optimizer = Optimizer::new([&w], A::default()).unwrap();
    optimizer.load_state_dict(&saved["optimizer"]).unwrap();
    for i in 3..8 {
        optimizer.zero_grad();
        (&w - &target).square().unwrap().sum().unwrap().backward().unwrap();
        optimizer.step().unwrap();
        let (ours, theirs) = (w.detach().unwrap(), theirs.select(0, i).unwrap());
        assert_close(name, &ours, &theirs, tolerance);
    }
}

#[test]
fn optimizers_step_as_pytorch() {
    let _guard = drawing();
    let files = Recorded::open("layers");
    let options = NAdamOptions { lr: 0.1, weight_decay: 0.1, ..Default::default() };
    path(&files, "NAdam", options, 2e-6);
    path(&files, "NAdamDecoupled", NAdamOptions { decoupled_weight_decay: true, ..options }, 2e-6);
    let options = RAdamOptions { lr: 0.1, weight_decay: 0.1, betas: (0.8, 0.9), ..Default::default() };
    path(&files, "RAdam", options, 2e-6);
    let options =
        RAdamOptions { lr: 0.1, weight_decay: 0.1, decoupled_weight_decay: true, ..Default::default() };
    path(&files, "RAdamDecoupled", options, 2e-6);
    let options = AdadeltaOptions { weight_decay: 0.1, rho: 0.8, ..Default::default() };
    path(&files, "Adadelta", options, 2e-6);
    path(&files, "Adamax", AdamaxOptions { lr: 0.1, weight_decay: 0.1, ..Default::default() }, 2e-6);
    let options = ASGDOptions { lr: 0.1, weight_decay: 0.1, t0: 2.0, ..Default::default() };
    path(&files, "ASGD", options, 2e-6);
    let options = RpropOptions { lr: 0.1, step_sizes: (1e-3, 0.2), ..Default::default() };
    path(&files, "Rprop", options, 2e-6);
    path(&files, "Adafactor", AdafactorOptions { lr: 0.1, weight_decay: 0.1, ..Default::default() }, 4e-6);
    // In bfloat16, which products of matrices round in different places.
    path(&files, "Muon", MuonOptions { lr: 0.1, ..Default::default() }, 1e-2);
    let adjust_lr_fn = MuonRate::MatchRmsAdamW;
    let options = MuonOptions { lr: 0.1, adjust_lr_fn, nesterov: false, ..Default::default() };
    path(&files, "MuonMatched", options, 1e-2);
}

#[test]
fn optimizers_refuse_settings_out_of_range() {
    let w = ones([2], ()).unwrap().requires_grad_(true).unwrap();
    let refused = |error: Result<()>| error.unwrap_err().message().to_string();
    let rprop = RpropOptions { etas: (1.5, 1.2), ..Default::default() };
    assert_eq!(refused(Rprop::new([&w], rprop).map(drop)), "Invalid eta values: 1.5, 1.2");
    let nadam = NAdamOptions { momentum_decay: -1.0, ..Default::default() };
    assert_eq!(refused(NAdam::new([&w], nadam).map(drop)), "Invalid momentum_decay value: -1.0");
    let rho = AdadeltaOptions { rho: 2.0, ..Default::default() };
    assert_eq!(refused(Adadelta::new([&w], rho).map(drop)), "Invalid rho value: 2.0");
    let d = AdafactorOptions { d: 0.5, ..Default::default() };
    assert_eq!(refused(Adafactor::new([&w], d).map(drop)), "Clipping threshold d should be >= 1 but is: 0.5");
    let muon = refused(Muon::new([&w], MuonOptions::default()).map(drop));
    assert!(muon.contains("Muon only supports 2D parameters"), "{muon}");
}

#[test]
fn lbfgs_steps_as_pytorch() {
    let files = Recorded::open("layers");
    for (name, strong_wolfe, lr) in [("LBFGS", false, 0.1), ("LBFGSWolfe", true, 1.0)] {
        let w = tensor([-1.5f64, 2.0]).unwrap().requires_grad_(true).unwrap();
        let options = LBFGSOptions { lr, max_iter: 5, history_size: 3, strong_wolfe, ..Default::default() };
        let mut optimizer = LBFGS::new([&w], options).unwrap();
        let mut steps = Vec::new();
        for _ in 0..4 {
            optimizer
                .step(|| {
                    let (x, y) = (w.select(0, 0)?, w.select(0, 1)?);
                    let loss = (1.0 - &x).square()? + (y - x.square()?).square()? * 100.0;
                    loss.backward()?;
                    Ok(loss)
                })
                .unwrap();
            steps.push(&w.detach().unwrap() * 1.0);
        }
        let ours = flambeau::ops::join::stack(&steps, 0).unwrap();
        assert_close(name, &ours, files.get(&format!("optim.{name}")), 1e-9);
    }
}

fn optimizer() -> SGD {
    let w = || ones([1], ()).unwrap().requires_grad_(true).unwrap();
    let mut out = SGD::new([w()], SGDOptions { lr: 0.5, momentum: 0.9, ..Default::default() }).unwrap();
    out.add_param_group([w()], SGDOptions { lr: 0.2, momentum: 0.9, ..Default::default() }).unwrap();
    out
}

/// Fourteen epochs; in the midst of them schedule and optimizer are saved and loaded.
fn schedule<S: LRScheduler>(files: &Recorded, name: &str, make: impl Fn(&mut SGD) -> Result<S>) {
    let mut made = optimizer();
    let mut scheduler = make(&mut made).unwrap();
    let mut rates = Vec::new();
    for epoch in 0..15 {
        if epoch > 0 {
            made.step().unwrap();
            scheduler.step(&mut made).unwrap();
        }
        if epoch == 6 {
            let state = scheduler.state_dict();
            let expected = &files.texts[&format!("schedule.{name}")];
            assert_eq!(&names(&state), expected, "{name}");
            let saved = Value::dict([("schedule", state), ("optimizer", made.state_dict())]);
            let saved = from_bytes(&to_bytes(saved).unwrap()).unwrap();
            made = optimizer();
            scheduler = make(&mut made).unwrap();
            made.load_state_dict(&saved["optimizer"]).unwrap();
            scheduler.load_state_dict(&saved["schedule"]).unwrap();
        }
        let now: Vec<f64> = made.param_groups.iter().map(|group| group.options.lr).collect();
        assert_eq!(scheduler.get_last_lr(), now, "{name}");
        rates.extend(now);
        rates.push(made.param_groups[0].options.momentum);
    }
    let ours = Tensor::from_slice(&rates, &[15, 3]).unwrap();
    let theirs = files.get(&format!("schedule.{name}"));
    assert_close(name, &ours, theirs, 1e-14);

    // The same from PyTorch's state after six epochs.
    let saved = &states()[name];
    let mut made = optimizer();
    let mut scheduler = make(&mut made).unwrap();
    made.load_state_dict(&saved["optimizer"]).unwrap();
    scheduler.load_state_dict(&saved["schedule"]).unwrap();
    for epoch in 7..15 {
        scheduler.step(&mut made).unwrap();
        let expected = theirs.select(0, epoch).unwrap().to_vec::<f64>().unwrap();
        for (group, rate) in made.param_groups.iter().zip(expected) {
            assert!((group.options.lr - rate).abs() < 1e-14, "{name}, epoch {epoch}");
        }
    }
}

#[test]
fn schedules_step_as_pytorch() {
    let files = Recorded::open("layers");
    let f = &files;
    schedule(f, "StepLR", |o| StepLR::new(o, 3, 0.5));
    schedule(f, "MultiStepLR", |o| MultiStepLR::new(o, &[2, 5, 5], 0.5));
    schedule(f, "ExponentialLR", |o| ExponentialLR::new(o, 0.9));
    schedule(f, "CosineAnnealingLR", |o| CosineAnnealingLR::new(o, 5, 0.01));
    schedule(f, "CosineAnnealingWarmRestarts", |o| CosineAnnealingWarmRestarts::new(o, 3, 2, 0.01));
    schedule(f, "LinearLR", |o| LinearLR::new(o, 0.25, 0.9, 4));
    schedule(f, "ConstantLR", |o| ConstantLR::new(o, 0.5, 4));
    schedule(f, "PolynomialLR", |o| PolynomialLR::new(o, 6, 2.0));
    schedule(f, "LambdaLR", |o| LambdaLR::new(o, |epoch| 0.95f64.powf(epoch as f64)));
    schedule(f, "MultiplicativeLR", |o| MultiplicativeLR::new(o, |epoch| 0.5 + epoch as f64 / 20.0));
    schedule(f, "OneCycleLR", |o| OneCycleLR::new(o, 1.0, 15, OneCycleOptions::default()));
    let options = OneCycleOptions {
        anneal_strategy: Anneal::Linear,
        three_phase: true,
        base_momentum: 0.7,
        ..Default::default()
    };
    schedule(f, "OneCycleLinear", |o| OneCycleLR::new(o, 1.0, 15, options));
    let options = CyclicOptions { step_size_up: 3.0, step_size_down: Some(2.0), ..Default::default() };
    schedule(f, "CyclicLR", |o| CyclicLR::new(o, 0.1, 1.0, options));
    let options = CyclicOptions { step_size_up: 2.0, mode: CycleMode::Triangular2, ..Default::default() };
    schedule(f, "CyclicTriangular2", |o| CyclicLR::new(o, 0.1, 1.0, options));
    let options =
        CyclicOptions { step_size_up: 2.0, mode: CycleMode::ExpRange, gamma: 0.9, ..Default::default() };
    schedule(f, "CyclicExpRange", |o| CyclicLR::new(o, 0.1, 1.0, options));
    schedule(f, "SequentialLR", |o| {
        let parts: Vec<Box<dyn LRScheduler>> =
            vec![Box::new(ConstantLR::new(o, 0.1, 3)?), Box::new(ExponentialLR::new(o, 0.9)?)];
        SequentialLR::new(o, parts, vec![3])
    });
    schedule(f, "ChainedScheduler", |o| {
        let parts: Vec<Box<dyn LRScheduler>> =
            vec![Box::new(ConstantLR::new(o, 0.1, 4)?), Box::new(ExponentialLR::new(o, 0.9)?)];
        ChainedScheduler::new(o, parts)
    });
}

#[test]
fn plateaus_are_noticed_as_by_pytorch() {
    let files = Recorded::open("layers");
    let metrics = [5.0, 4.0, 4.0, 4.0, 3.99999, 4.1, 2.0, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5, 2.5];
    let options = PlateauOptions { patience: 1, factor: 0.5, ..Default::default() };
    let largest = PlateauOptions {
        patience: 1,
        maximize: true,
        absolute: true,
        cooldown: 2,
        min_lr: 0.05,
        ..Default::default()
    };
    for (name, options) in [("ReduceLROnPlateau", options), ("ReduceLROnPlateauMax", largest)] {
        let mut made = optimizer();
        let mut scheduler = ReduceLROnPlateau::new(&mut made, options).unwrap();
        let mut rates = Vec::new();
        for (i, &metric) in metrics.iter().enumerate() {
            if i == 5 {
                let state = scheduler.state_dict();
                assert_eq!(names(&state), files.texts[&format!("schedule.{name}")]);
                scheduler = ReduceLROnPlateau::new(&mut made, PlateauOptions::default()).unwrap();
                scheduler.load_state_dict(&state).unwrap();
            }
            scheduler.step(metric, &mut made).unwrap();
            rates.extend(made.param_groups.iter().map(|group| group.options.lr));
        }
        let ours = Tensor::from_slice(&rates, &[14, 2]).unwrap();
        assert_close(name, &ours, files.get(&format!("schedule.{name}")), 1e-14);

        let saved = &states()[name];
        let (mut made, start) = (optimizer(), PlateauOptions::default());
        let mut scheduler = ReduceLROnPlateau::new(&mut made, start).unwrap();
        made.load_state_dict(&saved["optimizer"]).unwrap();
        scheduler.load_state_dict(&saved["schedule"]).unwrap();
        metrics[5..].iter().for_each(|&metric| scheduler.step(metric, &mut made).unwrap());
        assert_eq!(scheduler.get_last_lr(), &rates[26..], "{name}");
    }
}

#[test]
fn schedules_refuse_what_they_cannot_do() {
    let mut o = optimizer();
    assert!(StepLR::new(&mut o, 0, 0.5).is_err());
    assert!(LinearLR::new(&mut o, 0.0, 1.0, 3).is_err());
    assert!(OneCycleLR::new(&mut o, 1.0, 0, OneCycleOptions::default()).is_err());
    let mut short = OneCycleLR::new(&mut o, 1.0, 2, OneCycleOptions::default()).unwrap();
    short.step(&mut o).unwrap();
    short.step(&mut o).unwrap();
    let error = short.step(&mut o).unwrap_err();
    assert_eq!(error.message(), "Tried to step 3 times. The specified number of total steps is 2");
    assert!(SequentialLR::new(&mut o, Vec::new(), Vec::new()).is_err());
    assert!(short.load_state_dict(&Value::None).is_err());
    let w = ones([1], ()).unwrap().requires_grad_(true).unwrap();
    let mut adagrad = Adagrad::new([&w], AdagradOptions::default()).unwrap();
    let error = CyclicLR::new(&mut adagrad, 0.1, 1.0, CyclicOptions::default()).unwrap_err();
    assert!(error.message().contains("must support momentum"), "{error}");
}
