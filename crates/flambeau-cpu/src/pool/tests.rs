use super::*;

fn parse<T: std::str::FromStr>(text: &str, by: char) -> Vec<T> {
    text.split(by).filter(|x| !x.is_empty()).map(|x| x.parse().ok().unwrap()).collect()
}
fn close(have: &[f64], want: &[f64], line: &str) {
    assert_eq!(have.len(), want.len());
    for (x, y) in have.iter().zip(want) {
        assert!((x - y).abs() < 1e-8 * (1.0 + y.abs()), "{x} {y} {line}");
    }
}

#[test]
fn as_recorded() {
    let mut seen = 0;
    for line in include_str!("../../tests/fixtures/pool.txt").lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('|').collect();
        let head: Vec<&str> = parts[0].split(' ').collect();
        let (input, output): (Vec<usize>, Vec<usize>) = (parse(parts[1], ' '), parse(parts[3], ' '));
        let (x, want): (Vec<f64>, Vec<f64>) = (parse(parts[2], ' '), parse(parts[4], ' '));
        let (places, want_grad): (Vec<i64>, Vec<f64>) = (parse(parts[5], ' '), parse(parts[6], ' '));
        let grad: Vec<f64> = (1..=want.len()).map(|i| i as f64).collect();
        let (in_plane, out_plane) = (x.len() / 2, want.len() / 2);
        let (mut out, mut back, mut indices) =
            (vec![9.0; want.len()], vec![9.0; x.len()], vec![9; want.len()]);
        let numbers = |i: usize| parse::<usize>(head[i], ',');
        match head[0] {
            "max" => {
                let s = PoolShape::new(
                    2,
                    &input,
                    &numbers(1),
                    &numbers(2),
                    &numbers(3),
                    &numbers(4),
                    head[5] == "1",
                )
                .unwrap();
                assert_eq!(s.output[3 - input.len()..], output);
                max_pool(&s, &x, &mut out, Some(&mut indices)).unwrap();
                assert_eq!(indices, places);
                max_pool_backward(2, in_plane, out_plane, &grad, &indices, &mut back).unwrap();
            }
            "avg" => {
                let last: Vec<i64> = parse(head[4], ',');
                let ones = vec![1; input.len()];
                let s = PoolShape::new(2, &input, &numbers(1), &numbers(2), &numbers(3), &ones, last[0] == 1)
                    .unwrap();
                let (include, divisor) = (last[1] == 1, Some(last[2]).filter(|&d| d != 0));
                avg_pool(&s, &x, include, divisor, &mut out).unwrap();
                avg_pool_backward(&s, &grad, include, divisor, &mut back).unwrap();
            }
            "adaptive_avg" => {
                adaptive_avg_pool(2, &input, &output, &x, &mut out).unwrap();
                adaptive_avg_pool_backward(2, &input, &output, &grad, &mut back).unwrap();
            }
            "adaptive_max" => {
                adaptive_max_pool(2, &input, &output, &x, &mut out, &mut indices).unwrap();
                assert_eq!(indices, places);
                adaptive_max_pool_backward(2, in_plane, out_plane, &grad, &indices, &mut back).unwrap();
            }
            mode => {
                let mode = match mode {
                    "nearest" => Resample::Nearest,
                    "nearest-exact" => Resample::NearestExact,
                    "linear" => Resample::Linear,
                    "cubic" => Resample::Cubic,
                    "aalinear" => Resample::LinearAntialias,
                    "aacubic" => Resample::CubicAntialias,
                    other => panic!("{other}"),
                };
                let scales: Vec<Option<f64>> =
                    parse::<f64>(head[2], ',').into_iter().map(|s| Some(s).filter(|&s| s != 0.0)).collect();
                let corners = head[1] == "1";
                upsample(2, &input, &output, mode, corners, &scales, &x, &mut out).unwrap();
                upsample_backward(2, &input, &output, mode, corners, &scales, &grad, &mut back).unwrap();
                if let Resample::Nearest | Resample::NearestExact = mode {
                    let mut again = vec![0.0; out.len()];
                    let exact = mode == Resample::NearestExact;
                    upsample_nearest(2, &input, &output, exact, &scales, &x, &mut again).unwrap();
                    assert_eq!(out, again);
                }
            }
        }
        close(&out, &want, line);
        close(&back, &want_grad, line);
        seen += 1;
    }
    assert!(seen > 100);
}

#[test]
fn nan_and_ties() {
    let s = PoolShape::new(1, &[4], &[4], &[1], &[0], &[1], false).unwrap();
    let (mut v, mut i) = ([0.0], [0]);
    max_pool(&s, &[1.0, f64::NAN, f64::NAN, 2.0], &mut v, Some(&mut i)).unwrap();
    assert!(v[0].is_nan() && i[0] == 2);
    max_pool(&s, &[f64::NEG_INFINITY; 4], &mut v, Some(&mut i)).unwrap();
    assert_eq!((v[0], i[0]), (f64::NEG_INFINITY, 0));
    let (mut v, mut i) = ([0], [0]);
    max_pool(&s, &[3i64, 5, 5, 1], &mut v, Some(&mut i)).unwrap();
    assert_eq!((v[0], i[0]), (5, 1));
}

#[test]
fn refusals() {
    let message = |kernel: usize, stride, padding, dilation| {
        PoolShape::new(1, &[4, 4], &[kernel; 2], &[stride; 2], &[padding; 2], &[dilation; 2], false)
            .unwrap_err()
            .message()
            .to_owned()
    };
    assert_eq!(message(2, 0, 0, 1), "stride should not be zero");
    assert_eq!(
        message(2, 1, 2, 1),
        "pad should be at most half of effective kernel size, but got pad=2, kernel_size=2 and dilation=1"
    );
    assert_eq!(
        message(5, 5, 0, 1),
        "Given input size: (1x4x4). Calculated output size: (1x0x0). Output size is too small"
    );
    assert!(output_size(usize::MAX, 2, 1, 1, 1, false).is_err());
    assert!(PoolShape::new(1, &[4], &[usize::MAX], &[1], &[0], &[usize::MAX], false).is_err());
    let error = max_unpool(1, 4, &[2, 2], &[1.0f32; 4], &[0, 1, 2, 99], &mut [0.0; 4]).unwrap_err();
    assert_eq!(error.message(), "Found an invalid max index: 99 (output volumes are of size 2x2)");
    assert!(max_pool_backward(1, 4, 1, &[1.0], &[4], &mut [0.0; 4]).is_err());
    let s = PoolShape::new(1, &[4], &[2], &[1], &[0], &[1], false).unwrap();
    assert!(avg_pool(&s, &[1.0; 4], true, Some(0), &mut [0.0; 3]).is_err());
}

#[test]
fn unpool() {
    let mut out = [9.0f32; 8];
    max_unpool(2, 2, &[4], &[1.0, 2.0, 3.0, 4.0], &[3, 0, 1, 1], &mut out).unwrap();
    assert_eq!(out, [2.0, 0.0, 0.0, 1.0, 0.0, 4.0, 0.0, 0.0]);
    let mut back = [0.0f32; 4];
    max_unpool_backward(2, 2, &[4], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[3, 0, 1, 1], &mut back)
        .unwrap();
    assert_eq!(back, [4.0, 1.0, 6.0, 6.0]);
}
