use super::*;
use crate::test_rng::Rng;
use flambeau_core::{bf16, f16};

#[test]
fn sorts_every_type_and_length() {
    fn check<T: SortElement>(make: impl Fn(&mut Rng) -> T) {
        let mut rng = Rng(7);
        for n in [1, 2, 5, 47, 48, 60, 300, 1499, 1501, 5000] {
            let input: Vec<T> = (0..2 * n).map(|_| make(&mut rng)).collect();
            for descending in [false, true] {
                let (mut values, mut indices) = (input.clone(), vec![0; 2 * n]);
                sort_rows(&input, n, descending, &mut values, &mut indices).unwrap();
                let mut only = vec![0; 2 * n];
                argsort_rows(&input, n, descending, &mut only).unwrap();
                assert_eq!(indices, only);
                for (r, row) in input.chunks_exact(n).enumerate() {
                    let mut expected: Vec<i64> = (0..n as i64).collect();
                    expected.sort_by(|&a, &b| {
                        let (a, b) = (row[a as usize], row[b as usize]);
                        let order = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
                        if descending { order.reverse() } else { order }
                    });
                    assert_eq!(indices[r * n..(r + 1) * n], expected);
                    for (i, &from) in expected.iter().enumerate() {
                        let (x, y) = (values[r * n + i], row[from as usize]);
                        assert!(x == y || (x.is_nan() && y.is_nan()));
                    }
                }
            }
        }
    }
    let special = [f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, -f64::NAN];
    let float = move |r: &mut Rng| if r.below(4) == 0 { special[r.below(6)] } else { r.unit() * 100.0 };
    check(move |r| float(r));
    check(move |r| float(r) as f32);
    check(move |r| f16::from_f64(float(r)));
    check(move |r| bf16::from_f64(float(r)));
    check(|r| (r.next() as i64).wrapping_mul(0x1234567890abcdef));
    check(|r| r.next() as i32);
    check(|r| r.next() as i16);
    check(|r| r.next() as i8);
    check(|r| r.next() as u8 & 1);
    check(|r| r.next() as u16);
    check(|r| (r.next() as u32) << 1);
    check(|r| u64::MAX - r.next());
}

/// Integers of a line, after the words before `|`.
fn numbers(text: &str) -> Vec<i64> {
    text.split_whitespace().map(|x| x.parse().unwrap()).collect()
}

#[test]
fn ties_are_chosen_as_recorded() {
    let text = include_str!("../../tests/fixtures/selection.txt");
    let mut seen = 0;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('|').collect();
        let (head, input) = (parts[0].split_whitespace().collect::<Vec<_>>(), numbers(parts[1]));
        let (n, expected) = (input.len(), (numbers(parts[2]), numbers(parts[3])));
        let k = head.get(1).map_or(1, |k| k.parse().unwrap());
        let (mut values, mut indices) = (vec![0; expected.0.len()], vec![0; expected.0.len()]);
        match head[0] {
            "topk" => topk(&input, n, k, head[2] == "1", head[3] == "1", &mut values, &mut indices).unwrap(),
            "kthvalue" => kthvalue(&input, n, k, &mut values, &mut indices).unwrap(),
            "median" => median(&input, n, false, &mut values, &mut indices).unwrap(),
            "mode" => mode(&input, n, &mut values, &mut indices).unwrap(),
            other => panic!("{other}"),
        }
        assert_eq!((values, indices), expected, "{line}");
        seen += 1;
    }
    assert!(seen > 100);
}

#[test]
fn nan_in_selection() {
    let nan = f32::NAN;
    let one = |f: &dyn Fn(&mut [f32], &mut [i64])| {
        let (mut v, mut i) = ([0.0f32], [0i64]);
        f(&mut v, &mut i);
        (v[0].to_bits(), i[0])
    };
    let bits = |x: f32, i: i64| (x.to_bits(), i);
    assert_eq!(one(&|v, i| median(&[1.0, nan, 3.0, nan], 4, false, v, i).unwrap()), bits(nan, 1));
    assert_eq!(one(&|v, i| median(&[1.0, nan, 3.0, nan], 4, true, v, i).unwrap()), bits(1.0, 0));
    assert_eq!(one(&|v, i| median(&[nan, nan], 2, true, v, i).unwrap()), bits(nan, 0));
    assert_eq!(one(&|v, i| mode(&[nan, 1.0, nan], 3, v, i).unwrap()), bits(nan, 0));
    assert_eq!(one(&|v, i| mode(&[nan, nan, 1.0, 1.0], 4, v, i).unwrap()), bits(1.0, 3));
    assert_eq!(one(&|v, i| kthvalue(&[nan, 1.0, nan, 0.0], 4, 3, v, i).unwrap()), bits(nan, 2));
    let (mut v, mut i) = ([0.0f32; 5], [0i64; 5]);
    topk(&[1.0, nan, 1.0, nan, -1.0, 2.0], 6, 5, false, true, &mut v, &mut i).unwrap();
    assert_eq!(i, [4, 2, 0, 5, 3]);
    topk(&[1.0, nan, 1.0, nan, -1.0, 2.0], 6, 3, true, true, &mut v[..3], &mut i[..3]).unwrap();
    assert_eq!(i[..3], [1, 3, 5]);
}

#[test]
fn unique_elements() {
    let nan = f64::NAN;
    let u = unique(&[nan, 1.0, nan, 0.0, -0.0, 1.0]);
    assert_eq!(u.values[..2], [0.0, 1.0]);
    assert!(u.values.len() == 4 && u.values[2].is_nan());
    assert_eq!((u.inverse, u.counts), (vec![2, 1, 3, 0, 0, 1], vec![2, 2, 1, 1]));
    let u = unique_consecutive(&[nan, nan, 1.0, 1.0, 0.0, -0.0]);
    assert_eq!((u.inverse, u.counts), (vec![0, 1, 2, 2, 3, 3], vec![1, 1, 2, 2]));
    let u = unique_rows(&[2, 1, 0, 5, 2, 1, 0, 4], 4, 2).unwrap();
    assert_eq!((u.first, u.inverse, u.counts), (vec![3, 1, 0], vec![2, 1, 2, 0], vec![1, 1, 2]));
    let u = unique_consecutive_rows(&[2, 1, 2, 1, 0, 4, 2, 1], 4, 2).unwrap();
    assert_eq!((u.first, u.inverse, u.counts), (vec![0, 2, 3], vec![0, 0, 1, 2], vec![2, 1, 1]));
    assert_eq!(unique::<i64>(&[]).values, Vec::<i64>::new());
    assert_eq!(unique_rows::<i64>(&[], 3, 0).unwrap().counts, vec![3]);
}

#[test]
fn search() {
    let nan = f32::NAN;
    let find = |sequence: &[f32], values: &[f32], right| {
        let mut out = vec![0; values.len()];
        searchsorted(sequence, sequence.len(), None, values, values.len(), right, &mut out).unwrap();
        out
    };
    assert_eq!(find(&[1.0, 2.0, 2.0, 3.0, nan], &[nan, 2.0, 0.0, 5.0], false), [5, 1, 0, 5]);
    assert_eq!(find(&[1.0, 2.0, 2.0, 3.0], &[nan, 2.0, 0.0, 5.0], true), [4, 3, 0, 4]);
    // Values side by side and what is left of them.
    for n in [0, 1, 2, 7, 100] {
        let sequence: Vec<f32> = (0..n).map(|i| (i / 3) as f32).collect();
        let values: Vec<f32> = (0..45).map(|i| (i * 31 % 45) as f32 * 0.5 - 2.0).collect();
        let before = |v: f32| sequence.iter().filter(|&&x| x < v).count() as i64;
        let after = |v: f32| sequence.iter().filter(|&&x| x <= v).count() as i64;
        assert_eq!(find(&sequence, &values, false), values.iter().map(|&v| before(v)).collect::<Vec<_>>());
        assert_eq!(find(&sequence, &values, true), values.iter().map(|&v| after(v)).collect::<Vec<_>>());
    }
    let mut out = [0; 4];
    searchsorted(&[1, 3, 5, 2, 4, 6], 3, None, &[3, 6, 3, 6], 2, false, &mut out).unwrap();
    assert_eq!(out, [1, 3, 1, 2]);
    searchsorted(&[5, 1, 3], 3, Some(&[1, 2, 0]), &[3, 6, 0, 4], 4, true, &mut out).unwrap();
    assert_eq!(out, [2, 3, 0, 2]);
    assert!(searchsorted(&[5, 1, 3], 3, Some(&[1, 2, 3]), &[3], 1, true, &mut out[..1]).is_err());
    assert!(searchsorted(&[5, 1, 3, 4], 2, None, &[3], 1, true, &mut out[..1]).is_err());
}

#[test]
fn counting() {
    assert_eq!(bincount_size(&[1, 2, 2], 0).unwrap(), 3);
    assert_eq!(bincount_size(&[], 3).unwrap(), 3);
    assert!(bincount_size(&[-1], 3).is_err());
    let mut bins = [0; 4];
    bincount(&[1, 2, 2], &mut bins).unwrap();
    assert_eq!(bins, [0, 1, 2, 0]);
    assert!(bincount(&[4], &mut bins).is_err());
    let mut bins = [0.0; 3];
    bincount_weighted(&[1, 2, 2], &[1.0, 2.0, 3.0], &mut bins).unwrap();
    assert_eq!(bins, [0.0, 1.0, 5.0]);
    let mut counts = [0.0f32; 4];
    histc(&[1.0, f32::NAN, 2.0], 0.0, 3.0, &mut counts).unwrap();
    assert_eq!(counts, [0.0, 1.0, 1.0, 0.0]);
    histc(&[1.0, 1.0], 0.0, 0.0, &mut counts).unwrap();
    assert_eq!(counts, [0.0, 0.0, 2.0, 0.0]);
    histc(&[], 0.0, 0.0, &mut counts).unwrap();
    assert_eq!(counts, [0.0; 4]);
    let message = |r: Result<()>| r.unwrap_err().message().to_owned();
    assert_eq!(
        message(histc(&[1.0, f32::INFINITY], 0.0, 0.0, &mut counts)),
        "torch.histc: range of [1, inf] is not finite"
    );
    assert_eq!(message(histc(&[1.0], 3.0, 1.0, &mut counts)), "torch.histc: max must be larger than min");
    let mut bins = [0.0; 2];
    histogram(&[0.0, 1.0, 2.0, 3.0, 3.5], &[0.0, 1.0, 3.0], None, &mut bins).unwrap();
    assert_eq!(bins, [1.0, 3.0]);
}
