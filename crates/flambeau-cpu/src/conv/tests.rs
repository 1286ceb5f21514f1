use super::*;
use crate::gemm::GemmElement;
use crate::test_rng::Rng;
use flambeau_core::C64;

/// All index tuples of three sizes.
fn positions(size: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
    (0..size[0]).flat_map(move |a| (0..size[1]).flat_map(move |b| (0..size[2]).map(move |c| [a, b, c])))
}
fn flat(at: [usize; 3], size: [usize; 3]) -> usize {
    (at[0] * size[1] + at[1]) * size[2] + at[2]
}

/// Calls `visit(input index, weight index, output index)` for each multiplication of the definition.
fn each(s: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (ins, outs) = (s.c_in / s.groups, s.c_out / s.groups);
    for n in 0..s.batch {
        for o in 0..s.c_out {
            for c in 0..ins {
                for at in positions(s.output) {
                    for tap in positions(s.kernel) {
                        let from: Vec<isize> = (0..3)
                            .map(|d| {
                                (at[d] * s.stride[d] + tap[d] * s.dilation[d]) as isize
                                    - s.padding[d] as isize
                            })
                            .collect();
                        if (0..3).all(|d| from[d] >= 0 && (from[d] as usize) < s.input[d]) {
                            let from = [from[0] as usize, from[1] as usize, from[2] as usize];
                            visit(
                                (n * s.c_in + o / outs * ins + c) * s.input_plane() + flat(from, s.input),
                                (o * ins + c) * s.kernel_plane() + flat(tap, s.kernel),
                                (n * s.c_out + o) * s.output_plane() + flat(at, s.output),
                            );
                        }
                    }
                }
            }
        }
    }
}

fn check<T: GemmElement>(
    s: &ConvShape,
    rng: &mut Rng,
    make: impl Fn(&mut Rng) -> T,
    gap: impl Fn(T, T) -> f64,
) {
    let mut random = |n: usize| -> Vec<T> { (0..n).map(|_| make(rng)).collect() };
    let (input, weight, bias) = (random(s.input_len()), random(s.weight_len()), random(s.c_out));
    let grad = random(s.output_len());
    let compare = |have: &[T], want: &[T], what: &str| {
        for (&x, &y) in have.iter().zip(want) {
            assert!(gap(x, y) < 1e-9, "{what} {s:?}: {x:?} {y:?}");
        }
    };
    let mut want = vec![T::ZERO; s.output_len()];
    each(s, |i, w, o| want[o] = want[o].add(input[i].mul(weight[w])));
    let mut out = random(s.output_len());
    forward(s, &input, &weight, None, &mut out).unwrap();
    compare(&out, &want, "forward");
    forward(s, &input, &weight, Some(&bias), &mut out).unwrap();
    if s.c_out > 0 {
        add_bias(&bias, s.output_plane(), &mut want).unwrap();
    }
    compare(&out, &want, "bias");

    let mut want = vec![T::ZERO; s.input_len()];
    each(s, |i, w, o| want[i] = want[i].add(grad[o].mul(weight[w])));
    let mut out = random(s.input_len());
    grad_input(s, &grad, &weight, &mut out).unwrap();
    compare(&out, &want, "grad_input");

    let mut want = vec![T::ZERO; s.weight_len()];
    each(s, |i, w, o| want[w] = want[w].add(grad[o].mul(input[i])));
    let mut out = random(s.weight_len());
    grad_weight(s, &grad, &input, &mut out).unwrap();
    compare(&out, &want, "grad_weight");

    let mut want = vec![T::ZERO; s.c_out];
    grad.iter().enumerate().for_each(|(i, &x)| {
        let c = i / s.output_plane() % s.c_out;
        want[c] = want[c].add(x);
    });
    let mut out = random(s.c_out);
    grad_bias(s, &grad, &mut out).unwrap();
    compare(&out, &want, "grad_bias");
}

#[test]
fn agrees_with_the_definition() {
    let mut rng = Rng(1);
    let mut seen = 0;
    while seen < 150 {
        let dims = 1 + rng.below(3);
        let mut pick = |low: usize, high: usize| -> Vec<usize> {
            (0..dims).map(|_| low + rng.below(high - low + 1)).collect()
        };
        let (input, kernel) = (pick(1, 7), pick(1, 3));
        let (stride, padding, dilation) = (pick(1, 3), pick(0, 3), pick(1, 2));
        let groups = 1 + rng.below(3);
        let (ins, outs) = (1 + rng.below(3), 1 + rng.below(3));
        let shape = ConvShape::new(
            rng.below(3),
            groups * ins,
            groups * outs,
            groups,
            &input,
            &kernel,
            &stride,
            &padding,
            &dilation,
        );
        let Ok(shape) = shape else { continue };
        seen += 1;
        check(&shape, &mut rng, |r| r.unit(), |x, y| (x - y).abs());
        if seen % 5 == 0 {
            check(&shape, &mut rng, |r| C64::new(r.unit(), r.unit()), |x, y| (x - y).norm());
            check(&shape, &mut rng, |r| r.next() as i64, |x, y| (x != y) as u8 as f64);
        }
    }
    // Several blocks of columns.
    let big = ConvShape::new(1, 40, 3, 1, &[24, 25], &[5, 5], &[1, 1], &[2, 2], &[1, 1]).unwrap();
    check(&big, &mut rng, |r| r.unit(), |x, y| (x - y).abs());
}

#[test]
fn several_parts() {
    let mut rng = Rng(2);
    for (batch, ins, outs, groups, input, stride) in [
        // several images and parts of the weights
        (3, 160, 50, 1, [9, 10], [1, 1]),
        // more positions than are added up at once, and a step along both dimensions
        (2, 9, 5, 1, [70, 71], [2, 2]),
        (2, 10, 15, 5, [40, 33], [1, 2]),
        (9, 2, 2, 2, [11, 40], [1, 1]),
    ] {
        let shape =
            ConvShape::new(batch, ins, outs, groups, &input, &[3, 3], &stride, &[1, 1], &[1, 1]).unwrap();
        check(&shape, &mut rng, |r| r.unit(), |x, y| (x - y).abs());
        check(&shape, &mut rng, |r| r.unit() as f32, |x, y| (x - y).abs() as f64 * 1e-6);
    }
}

/// Enough channels for the matrix unit, where there is one; numbers that it does not multiply take the usual way.
#[test]
fn pairs_of_channels_and_positions() {
    let mut rng = Rng(5);
    let unit = crate::gemm::PairRows::new(1, 1, &[0.0], 1, 1).unwrap().is_some();
    for (batch, ins, outs, groups, input, kernel, stride, padding, dilation) in [
        (2, 64, 50, 1, &[12, 13][..], &[3, 3][..], &[1, 1][..], &[1, 1][..], &[1, 1][..]),
        (2, 60, 90, 1, &[17, 31], &[3, 3], &[2, 2], &[1, 1], &[1, 1]),
        (1, 128, 128, 2, &[13, 21], &[2, 3], &[1, 2], &[0, 2], &[2, 1]),
        (2, 64, 64, 1, &[150], &[5], &[1], &[2], &[1]),
        (1, 32, 64, 1, &[1300], &[3], &[1], &[0], &[2]),
        (1, 64, 64, 1, &[5, 6, 7], &[3, 2, 3], &[1, 1, 1], &[1, 0, 1], &[1, 1, 1]),
        (2, 64, 96, 1, &[20, 20], &[4, 4], &[2, 2], &[1, 1], &[1, 1]),
    ] {
        let s = ConvShape::new(batch, ins, outs, groups, input, kernel, stride, padding, dilation).unwrap();
        check(&s, &mut rng, |r| r.unit() as f32, |x, y| (x - y).abs() as f64 * 1e-6);
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.unit() as f32).collect() };
        let (mut x, weight, grad) = (random(s.input_len()), random(s.weight_len()), random(s.output_len()));
        let mut out = vec![0.0; s.output_len()];
        let mut by_weight = vec![0.0; s.weight_len()];
        let windows = sliding::Windows::new(&s).unwrap();
        assert_eq!(pairs::forward(&s, &windows, &x, &weight, None, &mut out).unwrap(), unit, "{s:?}");
        assert_eq!(pairs::grad_weight(&s, &grad, &x, &mut by_weight).unwrap(), unit, "{s:?}");
        x[7] = f32::INFINITY;
        assert!(!pairs::forward(&s, &windows, &x, &weight, None, &mut out).unwrap());
        assert!(!pairs::grad_weight(&s, &grad, &x, &mut by_weight).unwrap());
        forward(&s, &x, &weight, None, &mut out).unwrap();
        assert!(out.iter().any(|x| !x.is_finite()) && out.iter().any(|x| x.is_finite()));
    }
}

/// Few channels in a group, in rows shorter and longer than what is summed up together.
#[test]
fn planes() {
    let mut rng = Rng(3);
    for (ins, outs, width, stride) in [
        (1, 1, 5, 1),
        (1, 1, 16, 1),
        (1, 2, 37, 1),
        (2, 1, 33, 1),
        (1, 1, 40, 2),
        (1, 1, 50, 3),
        (20, 1, 18, 1),
    ] {
        let shape = ConvShape::new(
            2,
            3 * ins,
            3 * outs,
            3,
            &[6, width],
            &[3, 3],
            &[stride, stride],
            &[1, 1],
            &[1, 1],
        );
        let shape = shape.unwrap();
        check(&shape, &mut rng, |r| r.unit(), |x, y| (x - y).abs());
        check(&shape, &mut rng, |r| r.unit() as f32, |x, y| (x - y).abs() as f64 * 1e-6);
    }
}

#[test]
fn any_number_of_threads() {
    let mut rng = Rng(4);
    for (channels, outs, groups, stride) in [(16, 24, 1, 1), (18, 12, 2, 2), (64, 64, 1, 1), (64, 128, 1, 2)]
    {
        let shape = ConvShape::new(
            60,
            channels,
            outs,
            groups,
            &[40, 41],
            &[3, 3],
            &[stride, stride],
            &[1, 1],
            &[1, 1],
        );
        let shape = shape.unwrap();
        let mut random = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.unit() as f32).collect() };
        let (input, weight, bias) =
            (random(shape.input_len()), random(shape.weight_len()), random(shape.c_out));
        let grad = random(shape.output_len());
        let run = |threads: usize| {
            flambeau_core::parallel::set_num_threads(threads);
            let (mut out, mut by_input, mut by_weight) =
                (vec![f32::NAN; grad.len()], vec![f32::NAN; input.len()], vec![f32::NAN; weight.len()]);
            forward(&shape, &input, &weight, Some(&bias), &mut out).unwrap();
            grad_input(&shape, &grad, &weight, &mut by_input).unwrap();
            grad_weight(&shape, &grad, &input, &mut by_weight).unwrap();
            (out, by_input, by_weight)
        };
        let alone = run(1);
        for threads in [2, 3, 8] {
            assert!(run(threads) == alone, "{threads} threads");
        }
    }
    flambeau_core::parallel::set_num_threads(1);
}

#[test]
fn infinite_numbers_stay_where_they_are() {
    let shape = ConvShape::new(1, 1, 1, 1, &[4, 5], &[2, 2], &[1, 1], &[0, 0], &[1, 1]).unwrap();
    let mut input = vec![1.0f64; 20];
    // Only the taps on the right see the last column.
    input[9] = f64::INFINITY;
    let (grad, mut out) = (vec![1.0; 12], [0.0; 4]);
    grad_weight(&shape, &grad, &input, &mut out).unwrap();
    assert_eq!(out, [12.0, f64::INFINITY, 12.0, f64::INFINITY]);
}

#[test]
fn vast_padding() {
    let far = 1 << 40;
    let shape = ConvShape::new(1, 1, 1, 1, &[2], &[2], &[1], &[far / 2], &[far]).unwrap();
    let (input, grad) = ([1.0f32, 2.0], [1.0f32, 2.0]);
    let (mut out, mut by_input, mut by_weight) = ([9.0; 2], [9.0; 2], [9.0; 2]);
    forward(&shape, &input, &[1.0, 1.0], None, &mut out).unwrap();
    grad_input(&shape, &grad, &[1.0, 1.0], &mut by_input).unwrap();
    grad_weight(&shape, &grad, &input, &mut by_weight).unwrap();
    assert_eq!((out, by_input, by_weight), ([0.0; 2], [0.0; 2], [0.0; 2]));
}

#[test]
fn sizes() {
    let shape = ConvShape::new(2, 3, 4, 1, &[7, 8], &[3, 2], &[2, 1], &[1, 0], &[1, 2]).unwrap();
    assert_eq!(shape.output, [1, 4, 6]);
    let up = ConvShape::transposed(2, 4, 3, 1, &[4, 6], &[3, 2], &[2, 1], &[1, 0], &[0, 0], &[1, 2]).unwrap();
    assert_eq!((up.input, up.output, up.c_in, up.c_out), ([1, 7, 8], [1, 4, 6], 3, 4));
    let extra = ConvShape::transposed(1, 1, 1, 1, &[4], &[3], &[2], &[1], &[1], &[1]).unwrap();
    assert_eq!(extra.input[2], 8);
    let error = ConvShape::new(1, 1, 1, 1, &[2, 2], &[3, 3], &[1, 1], &[0, 0], &[1, 1]).unwrap_err();
    assert_eq!(
        error.message(),
        "Calculated padded input size per channel: (2 x 2). Kernel size: (3 x 3). Kernel size can't be greater than actual input size"
    );
    assert!(ConvShape::new(1, 1, 1, 1, &[2], &[1], &[0], &[0], &[1]).is_err());
    assert!(ConvShape::new(1, 1, 1, 1, &[2], &[0], &[1], &[0], &[1]).is_err());
    assert!(ConvShape::new(1, 3, 2, 2, &[2], &[1], &[1], &[0], &[1]).is_err());
    assert!(ConvShape::new(usize::MAX, 3, 3, 1, &[2], &[1], &[1], &[0], &[1]).is_err());
    assert!(ConvShape::new(1, 1, 1, 1, &[usize::MAX - 1], &[1], &[1], &[usize::MAX / 2], &[1]).is_err());
}
