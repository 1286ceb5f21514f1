use super::*;

#[test]
fn moments_of_extreme_elements() {
    let s = Groups { outer: 1, stats: 1, inner: 3 };
    let of = |x: [f32; 3]| {
        let (mean, variance) = moments(s, &x).unwrap();
        (mean[0], variance[0])
    };
    // A large offset takes nothing from the differences, and rounding leaves no negative variance.
    let (mean, variance) = of([1e7, 1e7 + 1.0, 1e7 + 2.0]);
    assert!((mean - 10_000_001.0).abs() < 1e-9 && (variance - 2.0 / 3.0).abs() < 1e-9);
    assert_eq!(of([0.1; 3]), (0.1f32 as f64, 0.0));
    let (mean, variance) = of([f32::INFINITY, 1.0, 2.0]);
    assert!(mean == f64::INFINITY && variance.is_nan());
    assert!(of([1.0, f32::NAN, 2.0]).0.is_nan());
    let (mean, variance) = of([f32::MAX, -f32::MAX, 0.0]);
    assert!(mean == 0.0 && variance.is_finite());
    let (mean, variance) = of([1e-30, -1e-30, 0.0]);
    assert!(mean.abs() < 1e-37 && (variance / (1e-60 * 2.0 / 3.0) - 1.0).abs() < 1e-6);
    let quick = |x: &[f32]| {
        let [mean, scale] =
            normalise_groups(x.len(), Affine::Elements, 0.0, x, [None; 2], &mut x.to_vec()).unwrap();
        (mean[0], scale[0].powi(-2))
    };
    let (mean, variance) = quick(&[f32::MAX, -f32::MAX, 0.0]);
    assert!(mean == 0.0 && variance.is_finite() && quick(&[f32::NAN, 1.0]).0.is_nan());
    let (_, variance) = quick(&[1e-30, -1e-30, 0.0]);
    assert!((variance / (1e-60 * 2.0 / 3.0) - 1.0).abs() < 1e-6);
    // Wherever the first elements lie, moments are those of the elements to single precision.
    for (offset, first) in [(0.0, 0.0), (3e5, 3e5), (0.0, 1e6), (-40.0, 7.0), (1e-3, -1e4)] {
        for n in [40, 512, 3000] {
            let other = |i: usize| (offset + (i * 7919 % 1009) as f64 / 500.0) as f32;
            let x: Vec<f32> = (0..n).map(|i| if i < 32 { first as f32 } else { other(i) }).collect();
            let (mean, variance) = quick(&x);
            let plain = x.iter().map(|&v| f64::from(v)).sum::<f64>() / n as f64;
            let square = x.iter().map(|&v| (f64::from(v) - plain).powi(2)).sum::<f64>() / n as f64;
            assert!((mean - plain).abs() < 2e-7 * square.sqrt(), "{offset} {first} {n}");
            assert!((variance / square - 1.0).abs() < 2e-6, "{offset} {first} {n}");
        }
    }
}

/// Gradients against differences, by planes and by rows.
#[test]
fn gradients() {
    let x: Vec<f64> = (0..24).map(|i| ((i * 7919 % 101) as f64) / 50.0).collect();
    let g: Vec<f64> = (0..24).map(|i| ((i * 37 % 23) as f64) / 9.0 - 1.0).collect();
    let weight = [0.5, 2.0, -1.0];
    let planes = Planes { channels: 3, inner: 4, planes: 6, sharing: 1, stats: 3, count: Some(8) };
    let scale_of = |var: Vec<f64>| var.into_iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect::<Vec<_>>();
    let value = |x: &[f64], rows: bool| {
        let mut out = [0.0; 24];
        let s = if rows {
            Groups { outer: 1, stats: 8, inner: 3 }
        } else {
            Groups { outer: 2, stats: 3, inner: 4 }
        };
        let (mean, var) = moments(s, x).unwrap();
        let scale = scale_of(var);
        if rows {
            normalise_groups(3, Affine::Elements, 1e-3, x, [Some(&weight), None], &mut out).unwrap();
        } else {
            normalise_planes(&planes, x, [&mean, &scale], [Some(&weight), None], &mut out).unwrap();
        }
        (out.iter().zip(&g).map(|(y, g)| y * g).sum::<f64>(), mean, scale)
    };
    for rows in [false, true] {
        let (total, mean, scale) = value(&x, rows);
        let mut out = [0.0; 24];
        let [by_weight, _] = if rows {
            normalise_rows_backward(3, [&g, &x], [&mean, &scale], Some(&weight), &mut out).unwrap()
        } else {
            normalise_planes_backward(&planes, [&g, &x], [&mean, &scale], Some(&weight), &mut out).unwrap()
        };
        for (i, &have) in out.iter().enumerate() {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += 1e-6;
            down[i] -= 1e-6;
            let want = (value(&up, rows).0 - value(&down, rows).0) / 2e-6;
            assert!((have - want).abs() < 1e-6, "{rows} {i} {have} {want}");
        }
        // The value is linear in the weight.
        let dot: f64 = by_weight.iter().zip(&weight).map(|(a, b)| a * b).sum();
        assert!((dot - total).abs() < 1e-9);
    }
}

/// Rows by fours and by themselves, of any width, against plain sums.
#[test]
fn rows_as_defined() {
    for width in [1, 7, 32, 45, 100] {
        for rows in [1, 4, 7] {
            let n = rows * width;
            let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 101) as f32 / 50.0).collect();
            let g: Vec<f32> = (0..n).map(|i| (i * 37 % 23) as f32 / 9.0 - 1.0).collect();
            let weight: Vec<f32> = (0..width).map(|i| i as f32 / 9.0 - 1.0).collect();
            let (mean, var) = moments(Groups { outer: 1, stats: rows, inner: width }, &x).unwrap();
            for (k, row) in x.chunks(width).enumerate() {
                let plain: f64 = row.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64;
                let square: f64 = row.iter().map(|&v| (f64::from(v) - plain).powi(2)).sum();
                assert!((mean[k] - plain).abs() < 1e-12 && (var[k] - square / width as f64).abs() < 1e-12);
            }
            let scale: Vec<f64> = var.iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect();
            let moments = [&mean[..], &scale];
            for (w, b) in [(true, true), (true, false), (false, true), (false, false)] {
                let (weight, bias) = (w.then_some(&weight[..]), b.then_some(&weight[..]));
                let mut out = vec![0f32; n];
                let own = normalise_groups(width, Affine::Elements, 1e-3, &x, [weight, bias], &mut out);
                let own = own.unwrap().into_iter().flatten().zip(mean.iter().chain(&scale));
                own.for_each(|(own, &wanted)| assert!((own - wanted).abs() < 1e-6 * wanted.abs().max(1.0)));
                let mut back = vec![0f32; n];
                let [by_weight, by_bias] =
                    normalise_rows_backward(width, [&g, &x], moments, weight, &mut back).unwrap();
                let hat = |i: usize| (f64::from(x[i]) - mean[i / width]) * scale[i / width];
                let weighted = |i: usize| f64::from(g[i]) * weight.map_or(1.0, |w| f64::from(w[i % width]));
                for i in 0..n {
                    let shift = bias.map_or(0.0, |b| f64::from(b[i % width]));
                    let value = hat(i) * weight.map_or(1.0, |w| f64::from(w[i % width])) + shift;
                    assert!((f64::from(out[i]) - value).abs() < 1e-5, "{width} {rows} {i}");
                    let row = i / width * width..(i / width + 1) * width;
                    let plain: f64 = row.clone().map(weighted).sum::<f64>() / width as f64;
                    let moved: f64 = row.map(|i| weighted(i) * hat(i)).sum::<f64>() / width as f64;
                    let wanted = (weighted(i) - plain - hat(i) * moved) * scale[i / width];
                    assert!(
                        (f64::from(back[i]) - wanted).abs() < 2e-4,
                        "{width} {rows} {} {wanted}",
                        back[i]
                    );
                }
                for c in 0..width {
                    let column = || (0..rows).map(|r| r * width + c);
                    let sum: f64 = column().map(|i| f64::from(g[i])).sum();
                    let dot: f64 = column().map(|i| f64::from(g[i]) * hat(i)).sum();
                    assert!((f64::from(by_bias[c]) - sum).abs() < 1e-4);
                    assert!((f64::from(by_weight[c]) - dot).abs() < 1e-3);
                }
            }
        }
    }
}

/// Planes of all sizes, whose moments are those of channels, groups or their own, against the definition.
#[test]
fn planes_as_defined() {
    let (samples, channels) = (70, 6);
    let planes = samples * channels;
    for inner in [1, 3, 31, 35] {
        for (sharing, stats) in [(1, channels), (2, planes / 2), (1, planes)] {
            let size = planes * inner;
            let x: Vec<f64> = (0..size).map(|i| (i * 7919 % 1013) as f64 / 50.0).collect();
            let g: Vec<f64> = (0..size).map(|i| (i * 37 % 231) as f64 / 90.0 - 1.0).collect();
            let weight: Vec<f64> = (0..channels).map(|i| i as f64 / 3.0 - 0.7).collect();
            let bias: Vec<f64> = (0..channels).map(|i| 1.0 - i as f64).collect();
            let stat = |i: usize| i / inner / sharing % stats;
            let channel = |i: usize| i / inner % channels;
            let total = |of: &dyn Fn(usize) -> f64, place: &dyn Fn(usize) -> usize, n: usize| {
                let mut sums = vec![0.0; n];
                (0..size).for_each(|i| sums[place(i)] += of(i));
                sums
            };
            let count = size / stats;
            let mean: Vec<f64> =
                total(&|i| x[i], &stat, stats).iter().map(|sum| sum / count as f64).collect();
            let var = total(&|i| (x[i] - mean[stat(i)]).powi(2), &stat, stats);
            let scale: Vec<f64> = var.iter().map(|v| 1.0 / (v / count as f64 + 1e-3).sqrt()).collect();
            let s = Planes { channels, inner, planes, sharing, stats, count: Some(count) };
            let close = |a: &[f64], b: &dyn Fn(usize) -> f64| {
                a.iter().enumerate().all(|(i, a)| (a - b(i)).abs() < 1e-9 * a.abs().max(1.0))
            };
            let normal = |i: usize| (x[i] - mean[stat(i)]) * scale[stat(i)];
            let mut out = vec![f64::NAN; size];
            let affine = [Some(&weight[..]), Some(&bias[..])];
            normalise_planes(&s, &x, [&mean, &scale], affine, &mut out).unwrap();
            assert!(close(&out, &|i| normal(i) * weight[channel(i)] + bias[channel(i)]), "{s:?}");
            let by =
                normalise_planes_backward(&s, [&g, &x], [&mean, &scale], Some(&weight), &mut out).unwrap();
            let first = total(&|i| g[i] * weight[channel(i)], &stat, stats);
            let second = total(&|i| g[i] * weight[channel(i)] * normal(i), &stat, stats);
            let expected = |i: usize| {
                let own = first[stat(i)] + normal(i) * second[stat(i)];
                (g[i] * weight[channel(i)] - own / count as f64) * scale[stat(i)]
            };
            assert!(close(&out, &expected), "{s:?}");
            let sums = total(&|i| g[i] * normal(i), &channel, channels);
            assert!(close(&by[0], &|c| sums[c]), "{s:?}");
            let sums = total(&|i| g[i], &channel, channels);
            assert!(close(&by[1], &|c| sums[c]), "{s:?}");
        }
    }
}
