//! Every stream against what PyTorch drew (`tests/fixtures/random.txt`, recorded by `record_random.py` beside it).

use super::*;
use flambeau_core::{DType, Error, ErrorKind, Result, bf16, dispatch, f16};

/// Elements as bytes, and the generator's count of words left.
type Drawn = Result<Vec<u8>>;

fn dtype(name: &str) -> DType {
    *DType::ALL.iter().find(|d| d.name() == name).unwrap()
}

fn bytes<T: Sample>(out: &[T]) -> Vec<u8> {
    // SAFETY: the elements are plain numbers without padding.
    unsafe { std::slice::from_raw_parts(out.as_ptr().cast::<u8>(), std::mem::size_of_val(out)) }.to_vec()
}

fn series<T: Sample>(n: usize, period: usize, scale: f64, shift: usize) -> Vec<T> {
    (0..n).map(|i| T::from_f64((i % period + shift) as f64 * scale)).collect()
}

fn parameters<T: Sample>(n: usize, period: usize, scale: f64, shift: usize) -> Vec<f64> {
    series::<T>(n, period, scale, shift).iter().map(|x| x.to_f64()).collect()
}

fn filled<T: Sample>(n: usize, fill: impl FnOnce(&mut [T]) -> Result<()>) -> Drawn {
    let mut out = vec![T::default(); n];
    fill(&mut out).map(|()| bytes(&out))
}

fn draw<T: Sample>(g: &mut Generator, op: &str, d: DType, n: usize, p: &[&str]) -> Drawn {
    let f = |i: usize| p[i].parse::<f64>().unwrap();
    let fill = |run: &mut dyn FnMut(&mut [T]) -> Result<()>| filled(n, run);
    match op {
        "uniform" => fill(&mut |out| uniform_(g, d, &mut { out }, f(0), f(1))),
        "normal" => fill(&mut |out| normal_(g, d, &mut { out }, f(0), f(1))),
        "normal_serial" => fill(&mut |out| normal_serial_(g, d, &mut { out }, f(0), f(1))),
        "state" => {
            filled(n, |out: &mut [T]| normal_(g, d, &mut { out }, 0.0, 1.0))?;
            Ok(g.get_state())
        }
        "sequence" => {
            let mut parts = vec![filled(n, |out: &mut [T]| normal_(g, d, &mut { out }, 0.0, 1.0))?];
            parts.push(filled(3, |out: &mut [T]| log_normal_(g, d, &mut { out }, 1.0, 2.0))?);
            parts.push(filled(20, |out: &mut [T]| normal_(g, d, &mut { out }, 0.0, 1.0))?);
            parts.push(filled(2, |out: &mut [T]| uniform_(g, d, &mut { out }, 0.0, 1.0))?);
            parts.push(filled(3, |out: &mut [T]| {
                standard_gamma(g, d, &parameters::<T>(3, 1, 1.0, 2), &mut { out })
            })?);
            parts.push(filled(1, |out: &mut [T]| normal_(g, d, &mut { out }, 1.0, 3.0))?);
            parts.push(filled(17, |out: &mut [T]| normal_serial_(g, d, &mut { out }, 0.0, 1.0))?);
            parts.push(filled(5, |out: &mut [T]| cauchy_(g, d, &mut { out }, 0.0, 1.0))?);
            Ok(parts.concat())
        }
        "random" => fill(&mut |out| random_(g, d, &mut { out })),
        "random_from_to" => {
            let bounds = random_bounds(d, p[0].parse().unwrap(), p[1].parse().ok())?;
            fill(&mut |out| {
                random_from_to(g, &mut { out }, &bounds);
                Ok(())
            })
        }
        "randperm" => fill(&mut |mut out| {
            let mut places = vec![0; n];
            randperm(g, d, &mut places)?;
            out.set_integers(0, &places);
            Ok(())
        }),
        "bernoulli" => fill(&mut |out| bernoulli_(g, d, &mut { out }, f(0))),
        "bernoulli_tensor" => {
            let q = dtype(p[0]);
            dispatch!(storage q, P => {
                let p = series::<P>(n, 17, 1.0 / 16.0, 0);
                fill(&mut |out| bernoulli_tensor_(g, d, &mut {out}, q, &p.as_slice()))
            })
        }
        "exponential" => fill(&mut |out| exponential_(g, d, &mut { out }, f(0))),
        "cauchy" => fill(&mut |out| cauchy_(g, d, &mut { out }, f(0), f(1))),
        "geometric" => fill(&mut |out| geometric_(g, d, &mut { out }, f(0))),
        "log_normal" => fill(&mut |out| log_normal_(g, d, &mut { out }, f(0), f(1))),
        "poisson" => fill(&mut |out| poisson(g, d, &parameters::<T>(n, 61, 0.75, 0), &mut { out })),
        "binomial" => fill(&mut |out| {
            binomial(g, d, &parameters::<T>(n, 200, 1.0, 1), &parameters::<T>(n, 33, 1.0 / 32.0, 0), &mut {
                out
            })
        }),
        "standard_gamma" => {
            fill(&mut |out| standard_gamma(g, d, &parameters::<T>(n, 80, 1.0 / 16.0, 1), &mut { out }))
        }
        "dirichlet" => fill(&mut |out| {
            dirichlet(g, d, &parameters::<T>(n, 80, 1.0 / 16.0, 1), p[0].parse().unwrap(), &mut { out })
        }),
        "multinomial" => {
            let (categories, samples) = (p[0].parse().unwrap(), p[1].parse::<i64>().unwrap());
            let weights = parameters::<T>(n, 13, 1.0 / 8.0, 1);
            let rows = n / categories;
            filled(rows * samples as usize, |out: &mut [i64]| {
                multinomial(g, d, &weights, rows, categories, samples, p[2] == "True", out)
            })
        }
        _ => panic!("unknown operation {op}"),
    }
}

fn fnv(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf29ce484222325, |h, &b| (h ^ b as u64).wrapping_mul(0x100000001b3))
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|b| format!("{b:02x}")).collect()
}

fn class(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Value => "ValueError",
        ErrorKind::NotImplemented => "NotImplementedError",
        _ => "RuntimeError",
    }
}

/// Whether the result depends on the C library's logarithms and sines, which differ between platforms.
fn needs_same_libm(op: &str, d: DType, n: usize) -> bool {
    match op {
        "uniform" | "random" | "random_from_to" | "randperm" | "bernoulli" | "bernoulli_tensor" => false,
        "normal" => n < 16 || d.to_real() == DType::Float64,
        _ => true,
    }
}

#[test]
fn draws_are_those_of_pytorch() {
    let glibc = cfg!(all(target_os = "linux", target_env = "gnu"));
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/random.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let mut failures = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [seed, op, name, n, parameters, kind, value, left] = fields[..] else { panic!("{line}") };
        let (d, n) = (dtype(name), n.parse().unwrap());
        if !glibc && needs_same_libm(op, d, n) {
            continue;
        }
        let mut g = Generator::new(seed.parse().unwrap());
        let parameters: Vec<&str> = parameters.split_whitespace().collect();
        let drawn = dispatch!(storage d, T => draw::<T>(&mut g, op, d, n, &parameters));
        let found = match (&drawn, kind) {
            (Ok(data), "fnv") => format!("{:016x}", fnv(data)),
            (Ok(data), _) => hex(data),
            (Err(error), _) => format!("{}: {error}", class(error)),
        };
        let engine_left = u32::from_le_bytes(g.get_state()[8..12].try_into().unwrap());
        if found != value || engine_left.to_string() != left {
            failures.push(format!("{line}\n    drew {found}, left {engine_left}"));
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), text.lines().count(), failures.join("\n"));
}

#[test]
fn state_round_trip() {
    let mut g = Generator::default();
    assert_eq!(g.initial_seed(), 67280421310721);
    let mut out = [0f32; 7];
    normal_(&mut g, DType::Float32, &mut out.as_mut_slice(), 0.0, 1.0).unwrap();
    let state = g.get_state();
    assert_eq!(state.len(), STATE_SIZE);
    let mut h = Generator::new(1);
    h.set_state(&state).unwrap();
    assert_eq!(h.get_state(), state);
    let (mut a, mut b) = ([0f64; 700], [0f64; 700]);
    normal_serial_(&mut g, DType::Float64, &mut a.as_mut_slice(), 0.0, 1.0).unwrap();
    normal_serial_(&mut h, DType::Float64, &mut b.as_mut_slice(), 0.0, 1.0).unwrap();
    assert_eq!(a, b);
    assert_eq!(g.clone().random64(), h.random64());
}

#[test]
fn bad_states_are_refused() {
    let mut g = Generator::new(5);
    let good = g.get_state();
    let message = g.set_state(&good[..5048]).unwrap_err();
    assert_eq!(
        message.message(),
        "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be 5048"
    );
    for (at, word) in [(8, 0u32), (8, 625), (8, u32::MAX), (12, 0), (16, 625), (20, 1)] {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&word.to_le_bytes());
        assert_eq!(g.set_state(&bad).unwrap_err().message(), "Invalid mt19937 state");
        assert_eq!(g.get_state(), good);
    }
    // Counters that are in range but promise more words than there are.
    let mut odd = good.clone();
    odd[8..12].copy_from_slice(&624u32.to_le_bytes());
    odd[16..20].copy_from_slice(&624u32.to_le_bytes());
    g.set_state(&odd).unwrap();
    let mut words = [0; 2000];
    g.random_words(&mut words);
    g.set_state(&odd).unwrap();
    assert!(words.iter().all(|&w| w == g.random()));
}

#[test]
fn bulk_and_single_draws_agree() {
    let (mut g, mut h) = (Generator::new(3), Generator::new(3));
    for n in [1, 2, 623, 624, 625, 1, 1300, 7] {
        let mut words = vec![0; n];
        g.random_words(&mut words);
        assert!(words.iter().all(|&w| w == h.random()));
        assert_eq!(g.get_state(), h.get_state());
    }
}

#[test]
fn seeds() {
    let mut g = Generator::new(0);
    assert_ne!(g.seed(), g.seed());
    assert_eq!(g.manual_seed(u64::MAX - 2).initial_seed(), u64::MAX - 2);
    // Words of MT19937 as published for this seed.
    assert_eq!(Generator::new(5489).random(), 3499211612);
}

#[test]
fn halves_round_into_the_interval() {
    let mut g = Generator::new(0);
    let mut out = vec![bf16::ZERO; 100_000];
    uniform_(&mut g, DType::BFloat16, &mut out.as_mut_slice(), 0.0, 1.0).unwrap();
    assert!(out.iter().all(|x| *x < bf16::ONE));
    let mut out = vec![f16::ZERO; 100_000];
    uniform_(&mut g, DType::Float16, &mut out.as_mut_slice(), 10.0, 11.0).unwrap();
    assert!(out.iter().all(|x| (10.0..11.0).contains(&x.to_f32())));
}

#[test]
fn extreme_parameters_end() {
    let mut g = Generator::new(0);
    let mut out = [0f64; 4];
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    poisson(&mut g, DType::Float64, &[inf, 1e30, 1e300, 0.0], &mut out.as_mut_slice()).unwrap();
    assert!(out[0] == inf && (out[1] / 1e30 - 1.0).abs() < 1e-10 && (out[2] / 1e300 - 1.0).abs() < 1e-10);
    assert_eq!(out[3], 0.0);
    assert!(poisson(&mut g, DType::Float64, &[1.0, -1.0, nan, 0.0], &mut out.as_mut_slice()).is_err());
    binomial(
        &mut g,
        DType::Float64,
        &[inf, nan, 1e30, 3.0],
        &[0.5, 0.5, 1e-30, nan],
        &mut out.as_mut_slice(),
    )
    .unwrap();
    assert!(out[0] == inf && out[1].is_nan() && out[2] < 100.0 && out[3].is_nan());
    standard_gamma(&mut g, DType::Float64, &[inf, nan, -1.0, 0.0], &mut out.as_mut_slice()).unwrap();
    assert!(out[0] == inf && out[1..].iter().all(|&x| x == f64::MIN_POSITIVE));
}
