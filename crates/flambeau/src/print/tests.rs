//! Against texts that PyTorch printed, recorded by tests/fixtures/record_print.py.

use super::number::{write_exponent, write_fixed};
use super::*;
use flambeau_core::Category;

/// Elements in row-major order.
struct Array {
    shape: Vec<i64>,
    dtype: DType,
    items: Vec<Item>,
}

impl Values for Array {
    fn shape(&self) -> &[i64] {
        &self.shape
    }
    fn dtype(&self) -> DType {
        self.dtype
    }
    fn get(&self, index: &[i64]) -> Item {
        let at = index.iter().zip(&self.shape).fold(0, |at, (&i, &n)| {
            assert!((0..n).contains(&i));
            at * n + i
        });
        self.items[at as usize]
    }
}

fn array(shape: &[i64], dtype: DType, items: impl IntoIterator<Item = Item>) -> Array {
    Array { shape: shape.to_vec(), dtype, items: items.into_iter().collect() }
}

fn floats(values: &[f64]) -> Array {
    array(&[values.len() as i64], DType::Float32, values.iter().map(|&x| Item::Float(x)))
}

fn dtype(name: &str) -> DType {
    DType::ALL.into_iter().find(|d| d.name() == name).unwrap()
}

fn item(dtype: DType, text: &str) -> Item {
    let float = |t: &str| t.parse::<f64>().unwrap();
    match dtype.category() {
        Category::Bool => Item::Bool(text == "1"),
        Category::Integral if dtype.is_signed() => Item::Int(text.parse().unwrap()),
        Category::Integral => Item::UInt(text.parse().unwrap()),
        Category::Float => Item::Float(float(text)),
        Category::Complex => {
            let (re, im) = text.split_once(',').unwrap();
            Item::Complex(float(re), float(im))
        }
    }
}

fn items(dtype: DType, count: i64, text: &str) -> Vec<Item> {
    let Some((start, step)) = text.split_once(':') else {
        return text.split_ascii_whitespace().map(|t| item(dtype, t)).collect();
    };
    let (start, step): (f64, f64) = (start.parse().unwrap(), step.parse().unwrap());
    let at = |i| start + i as f64 * step;
    (0..count)
        .map(|i| if dtype == DType::Int64 { Item::Int(at(i) as i64) } else { Item::Float(at(i)) })
        .collect()
}

/// The text of one recorded case, and what PyTorch printed.
fn replay(line: &str) -> (String, String) {
    let fields: Vec<&str> = line.split('\t').collect();
    let [name, default, shape, opts, about, elements, text] = fields[..] else { panic!("{line}") };
    let shape: Vec<i64> = shape.split_ascii_whitespace().map(|n| n.parse().unwrap()).collect();
    let opts: Vec<&str> = opts.split(' ').collect();
    let options = PrintOptions {
        precision: opts[0].parse().unwrap(),
        threshold: opts[1].parse().unwrap(),
        edgeitems: opts[2].parse().unwrap(),
        linewidth: opts[3].parse().unwrap(),
        sci_mode: ["True", "False"].contains(&opts[4]).then_some(opts[4] == "True"),
    };
    let dtype_ = dtype(name);
    let meta = elements == "-";
    let info = Info {
        default_dtype: dtype(default),
        device: meta.then_some("meta"),
        requires_grad: about.starts_with("requires_grad"),
        grad_fn: about.split_once(' ').map(|(_, name)| name),
        ..Info::new(&shape, dtype_)
    };
    let text = text.replace("\\n", "\n");
    if meta {
        return (format_tensor_with(None, &info, &options), text);
    }
    let values = array(&shape, dtype_, items(dtype_, shape.iter().product(), elements));
    (format_tensor_with(Some(&values), &info, &options), text)
}

#[test]
fn same_text_as_pytorch() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/print.txt");
    let path = std::env::var("FLAMBEAU_PRINT_CASES").unwrap_or(recorded.into());
    let cases = std::fs::read_to_string(path).unwrap();
    let (mut count, mut failed) = (0, 0);
    for line in cases.lines() {
        let (printed, expected) = replay(line);
        count += 1;
        if printed != expected {
            failed += 1;
            if failed <= 5 {
                eprintln!("{line}\nprinted:\n{printed}\nexpected:\n{expected}\n");
            }
        }
    }
    assert!(failed == 0 && count > 100, "{failed} of {count} texts differ");
}

#[test]
fn python_number_format() {
    let fixed = |x, p| {
        let mut s = String::new();
        write_fixed(&mut s, x, p);
        s
    };
    let exponent = |x, p| {
        let mut s = String::new();
        write_exponent(&mut s, x, p);
        s
    };
    // Ties go to even digits, on the exact value.
    assert_eq!([0.5, 1.5, 2.5, -0.5].map(|x| fixed(x, 0)), ["0", "2", "2", "-0"]);
    assert_eq!([0.125, 0.375, 2.675, 1.005].map(|x| fixed(x, 2)), ["0.12", "0.38", "2.67", "1.00"]);
    assert_eq!([25.0, 35.0, 1.25e-7, 5e-324].map(|x| exponent(x, 0)), ["2e+01", "4e+01", "1e-07", "5e-324"]);
    assert_eq!(
        [0.0, -0.0, 1e100, 9.99999e9].map(|x| exponent(x, 2)),
        ["0.00e+00", "-0.00e+00", "1.00e+100", "1.00e+10"]
    );
    assert_eq!(
        [f64::NAN, -f64::NAN, f64::INFINITY, -f64::INFINITY].map(|x| fixed(x, 3)),
        ["nan", "nan", "inf", "-inf"]
    );
    // Beyond what Rust's formatter takes.
    assert_eq!(fixed(0.5, 70_000).len(), 70_002);
    let long = exponent(1.5, 70_000);
    assert!(long.starts_with("1.5000") && long.ends_with("000e+00") && long.len() == 70_006);
}

#[test]
fn fixed_point_shortcut_rounds_like_the_formatter() {
    // A fixed sequence (splitmix64) of bit patterns, of ties and of numbers at the limits.
    let mut state = 0u64;
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let check = |x: f64, precision: usize| {
        let mut text = String::new();
        write_fixed(&mut text, x, precision);
        assert_eq!(text, format!("{x:.precision$}"), "{x:e} {precision}");
    };
    for _ in 0..20_000 {
        let (bits, precision) = (random(), (random() % 20) as usize);
        let any = f64::from_bits(bits);
        if any.is_finite() {
            check(any, precision);
        }
        check(bits as i64 as f64 / 2f64.powi((random() % 80) as i32), precision);
        check((bits % 4096) as f64 / 2f64.powi((random() % 13) as i32), precision);
    }
    for precision in 0..20 {
        for x in
            [0.0, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324, 18446744073709551615.0, 18446744073709549568.0]
        {
            check(x, precision);
            check(-x, precision);
        }
    }
}

#[test]
fn suffixes() {
    let row = floats(&[1.0, 2.0]);
    let of = Info::of(&row);
    let text = |info: &Info| format_tensor_with(Some(&row), info, &PrintOptions::default());
    assert_eq!(text(&of), "tensor([1., 2.])");
    assert_eq!(text(&Info { device: Some("cuda:0"), ..of }), "tensor([1., 2.], device='cuda:0')");
    assert_eq!(
        text(&Info { grad_fn: Some("AddBackward0"), requires_grad: true, ..of }),
        "tensor([1., 2.], grad_fn=<AddBackward0>)"
    );
    let info =
        Info { prefix: "Sub", extra: &["layout=torch._mkldnn"], tangent: Some("tensor([3., 4.])"), ..of };
    assert_eq!(text(&info), "Sub([1., 2.], layout=torch._mkldnn, tangent=tensor([3., 4.]))");
    let meta = Info { device: Some("meta"), ..Info::new(&[2, 3], DType::Int64) };
    let text = format_tensor_with(None, &meta, &PrintOptions::default());
    assert_eq!(text, "tensor(..., device='meta', size=(2, 3), dtype=torch.int64)");
}

#[test]
fn changing_options() {
    let start = PrintOptions::default();
    let change = |from: PrintOptions, change| from.changed(&change).unwrap();
    let scientific = change(start, SetPrintOptions { sci_mode: Some(true), ..Default::default() });
    let row = floats(&[1.0]);
    assert_eq!(format_tensor_with(Some(&row), &Info::of(&row), &scientific), "tensor([1.0000e+00])");
    let two = change(scientific, SetPrintOptions { precision: Some(2), ..Default::default() });
    assert_eq!(two, PrintOptions { precision: 2, ..start });
    let profile = |name| SetPrintOptions { profile: Profile::from_name(name), ..Default::default() };
    let short = change(start, SetPrintOptions { edgeitems: Some(7), ..profile("short") });
    assert_eq!(short, PrintOptions { precision: 2, edgeitems: 7, ..start });
    assert_eq!(change(short, profile("bogus")), short);
    assert_eq!(change(short, profile("full")), PrintOptions { threshold: f64::INFINITY, ..start });
    assert_eq!(change(short, profile("default")), start);
    let huge = SetPrintOptions { precision: Some(usize::MAX), ..Default::default() };
    assert_eq!(start.changed(&huge).unwrap_err().message(), "precision too big");
}

#[test]
fn many_dimensions_and_huge_expansions() {
    let shape = vec![1; 20_000];
    let deep = array(&shape, DType::Int64, [Item::Int(7)]);
    let text = format_tensor_with(Some(&deep), &Info::of(&deep), &PrintOptions::default());
    assert_eq!(text.len(), "tensor(7)".len() + 2 * shape.len());

    struct Expanded;
    impl Values for Expanded {
        fn shape(&self) -> &[i64] {
            &[1 << 40, 1 << 40]
        }
        fn dtype(&self) -> DType {
            DType::Bool
        }
        fn get(&self, _: &[i64]) -> Item {
            Item::Bool(true)
        }
    }
    let text = format_tensor_with(Some(&Expanded), &Info::of(&Expanded), &PrintOptions::default());
    assert!(
        text.starts_with("tensor([[True, True, True,  ..., True, True, True],\n        [True,"),
        "{text}"
    );
}
