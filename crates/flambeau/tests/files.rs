//! Files of PyTorch's and NumPy's: those that they wrote are read (tests/fixtures/record_checkpoints.py, record_arrays.py),
//! ours come back as they were, and no file can do harm.

#[path = "../examples/checkpoint.rs"]
mod checkpoint_tree;

use flambeau::io::{self, StateDict, Value, from_bytes, numpy, to_bytes};
use flambeau::nn::{self, Forward, Module};
use flambeau::optim::{Adam, AdamOptions, AdamW, AdamWOptions};
use flambeau::{DType, Device, Tensor, arange, tensor, zeros};
use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}
fn checkpoint(name: &str) -> Value {
    io::load(fixture("checkpoints").join(name)).unwrap()
}
fn numbers(value: &Value) -> Vec<f64> {
    value.as_tensor().unwrap().to_vec::<f64>().unwrap()
}
fn again(value: &Value) -> Value {
    from_bytes(&to_bytes(value.clone()).unwrap()).unwrap()
}

#[test]
fn every_dtype_is_read_and_written() {
    let read = checkpoint("dtypes.pt");
    for value in [again(&read), read] {
        assert_eq!(value.entries().unwrap().len(), 15);
        for dtype in DType::ALL {
            let found = value[dtype.name()].as_tensor().unwrap();
            assert_eq!((found.dtype(), &found.sizes()[..]), (dtype, &[2, 3][..]));
            let expected = arange(0, 6, 1, ()).unwrap().view(&[2, 3]).unwrap();
            let expected = flambeau::ops::convert::to_dtype(&expected, dtype, false, false, None).unwrap();
            assert!(found.equal(&expected).unwrap(), "{dtype}: {found}");
        }
    }
}

#[test]
fn files_from_before_version_1_6_are_read() {
    for name in ["dtypes", "kinds", "training"] {
        let (old, new) = (checkpoint(&format!("legacy_{name}.pt")), checkpoint(&format!("{name}.pt")));
        assert!(same(&old, &new), "{name}");
    }
    let read = checkpoint("legacy.pt");
    let shared = |name: &str| read["sharing"][name].as_tensor().unwrap().clone();
    shared("base").i(4).unwrap().fill_scalar_(-1.).unwrap();
    assert_eq!(shared("row").to_vec::<f64>().unwrap(), [-1., 5., 6., 7.]);
    assert_eq!(shared("every_third").to_vec::<f64>().unwrap(), [1., -1., 7., 10.]);
    assert_eq!(numbers(&read["parameter"]), [1., 2.]);
    assert!(read["parameter"].as_tensor().unwrap().requires_grad());
}

/// A file of the old format: its facts, its object, the keys of its storages, and their bytes.
fn old(facts: &[u8], object: &[u8], keys: &[u8], storages: &[u8]) -> Vec<u8> {
    let start: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";
    [start, facts, object, keys, storages].concat()
}

#[test]
fn files_from_before_version_1_6_are_checked() {
    let object = tensor_pickle("ShortStorage", 2, 0, 2, 1);
    let (facts, keys): (&[u8], &[u8]) = (b"\x80\x02}.", b"\x80\x02]X\x01\0\0\x000a.");
    let elements: &[u8] = &[2, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
    let read = |object: &[u8], keys: &[u8], elements: &[u8]| from_bytes(&old(facts, object, keys, elements));
    assert_eq!(numbers(&read(&object, keys, elements).unwrap()), [513., 1027.]);
    // Numbers of a machine with the other order of bytes.
    let big = b"\x80\x02}X\x0d\0\0\0little_endian\x89s.";
    let swapped = from_bytes(&old(big, &object, keys, &[0, 0, 0, 0, 0, 0, 0, 2, 2, 1, 4, 3])).unwrap();
    assert_eq!(numbers(&swapped), [513., 1027.]);
    // A part of a storage: from its second element on.
    let part = |first: u8, n: u8| {
        let (at, mut out) = (object.windows(2).position(|w| w == b"tQ").unwrap(), object.clone());
        out.splice(at..at, [b'X', 1, 0, 0, 0, b'v', b'K', first, b'K', n, 0x87]);
        out
    };
    assert_eq!(numbers(&read(&part(0, 2), keys, elements).unwrap()), [513., 1027.]);
    let refused = |object: &[u8], keys: &[u8], elements: &[u8], why: &str| {
        let error = read(object, keys, elements).unwrap_err();
        assert!(error.message().contains(why), "{error}");
    };
    refused(&part(1, 1), keys, elements, "reaches beyond its storage");
    refused(&part(1, 2), keys, elements, "a view that reaches beyond");
    refused(&object, keys, &elements[..11], "unexpected EOF");
    refused(&object, keys, &elements[..7], "unexpected EOF");
    refused(&object, keys, &[&[3], &elements[1..]].concat(), "other sizes than it declares");
    refused(&object, b"\x80\x02].", &[], "does not hold the storages");
    refused(&object, b"\x80\x02]X\x01\0\0\x001a.", elements, "does not hold the storages");
    refused(&object, b"\x80\x02N.", elements, "does not hold the storages");
    refused(&tensor_pickle("ShortStorage", i32::MAX, 0, 2, 1), keys, elements, "other sizes");
    refused(&object, &object, elements, "the header of the file refers to a storage");
    let version = from_bytes(&old(b"", b"", b"", b"")[..18]).unwrap_err();
    assert!(version.message().contains("ends early"), "{version}");
    assert!(from_bytes(b"\x80\x02K\x01.").unwrap_err().message().contains("Invalid magic number"));
}

/// Whether two values are the same, the bits of their tensors included.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => {
            let bits =
                |t: &Tensor| if t.is_meta() { vec![] } else { t.detach().unwrap().to_bytes().unwrap() };
            (a.dtype(), a.sizes(), a.strides()) == (b.dtype(), b.sizes(), b.strides()) && bits(a) == bits(b)
        }
        (Value::Dict(a), Value::Dict(b)) | (Value::OrderedDict(a), Value::OrderedDict(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(&a.0, &b.0) && same(&a.1, &b.1))
        }
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.to_string() == b.to_string(),
    }
}

#[test]
fn checkpoints_of_the_programs_come_back_with_the_same_bits() {
    let mut count = 0;
    for entry in std::fs::read_dir(fixture("programs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "pt") {
            let read = io::load(&path).unwrap();
            assert!(same(&read, &again(&read)), "{}", path.display());
            let tree = checkpoint_tree::tree(&read).unwrap();
            assert!(!tree.ends_with("\n0 numbers in tensors\n"), "{}: {tree}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 7);
    let changed = |x: f32| Value::dict([("x", Value::from(tensor([x]).unwrap()))]);
    assert!(!same(&changed(0.0), &changed(-0.0)));
}

#[test]
fn tensors_that_share_memory_share_it_again() {
    let read = checkpoint("sharing.pt");
    for value in [again(&read), read] {
        let get = |name: &str| value[name].as_tensor().unwrap().clone();
        let (base, row, columns, third) = (get("base"), get("row"), get("columns"), get("every_third"));
        assert_eq!(row.to_vec::<f64>().unwrap(), [4., 5., 6., 7.]);
        assert_eq!((&columns.sizes()[..], &columns.strides()[..]), (&[4, 3][..], &[1, 4][..]));
        assert_eq!(third.to_vec::<f64>().unwrap(), [1., 4., 7., 10.]);
        base.i(4).unwrap().fill_scalar_(-1.).unwrap();
        assert_eq!(row.to_vec::<f64>().unwrap()[0], -1.0);
        assert_eq!(third.to_vec::<f64>().unwrap()[1], -1.0);
        assert_eq!(columns.to_vec::<f64>().unwrap()[1], -1.0);
    }
    let x = tensor([1f32]).unwrap();
    let twice = again(&Value::List(vec![(&x).into(), (&x).into()]));
    assert!(twice[0].as_tensor().unwrap().is_same(twice[1].as_tensor().unwrap()));
}

#[test]
fn values_of_all_kinds_are_read_and_written() {
    let read = checkpoint("kinds.pt");
    for value in [again(&read), read] {
        let get = |name: &str| value[name].as_tensor().unwrap().clone();
        assert!(!get("parameter").requires_grad() && get("tagged").requires_grad());
        assert!(get("requires_grad").requires_grad() && get("requires_grad").is_leaf());
        assert_eq!(numbers(&value["noted"]), [5.0]);
        assert_eq!(get("conj").to_string(), "tensor([1.-2.j])");
        assert!(get("meta").is_meta() && get("meta").sizes()[..] == [2, 3]);
        assert_eq!(get("empty").sizes()[..], [0, 3]);
        assert_eq!((get("scalar").dim(), get("scalar").to_f64().unwrap()), (0, 7.5));
        assert!(matches!(&value["size"], Value::Size(sizes) if sizes == &[1, 2]));
        assert!(matches!(value["dtype"], Value::DType(DType::Float16)));
        assert!(matches!(value["device"], Value::Device(d) if d == Device::parse("cuda:1").unwrap()));
        assert!(matches!(value["layout"], Value::Layout(flambeau::Layout::Strided)));
        assert_eq!(
            value["plain"].to_string(),
            "[None, True, 3, -70000, int.from_bytes([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 'little', signed=True), \
             0.5, (1+2j), 'text é', b'bytes', b'array', (1,), {2}]"
        );
        assert_eq!(value["counter"].to_string(), "{'a': 2, 'b': 1}");
        assert!(matches!(&value["ordered"], Value::OrderedDict(_)));
        assert_eq!(value["ordered"]["x"].as_i64().unwrap(), 1);
    }
    // A text that reads like the name of a class is a text.
    let texts = vec![read_device(), Value::Str("ctorch\ndevice\n".into()), Value::Str("cpu".into())];
    let back = again(&Value::List(texts));
    assert!(matches!(&back[1], Value::Str(text) if text == "ctorch\ndevice\n"));
    assert!(matches!((&back[0], &back[2]), (Value::Device(_), Value::Str(_))));
    let numbers = [0, 255, 256, -1, 70000, i32::MIN as i64, 1 << 31, i64::MAX, i64::MIN];
    let back = again(&Value::from(numbers.to_vec()));
    let back: Vec<i64> = back.items().unwrap().iter().map(|n| n.as_i64().unwrap()).collect();
    assert_eq!(back, numbers);
}

fn read_device() -> Value {
    Value::Device(Device::parse("cpu").unwrap())
}

fn model() -> nn::Sequential {
    nn::Sequential::new()
        .append(nn::Linear::new(2, 3).unwrap())
        .append(nn::BatchNorm1d::new(3).unwrap())
        .append(nn::Linear::new(3, 1).unwrap())
}

#[test]
fn training_goes_on_from_a_checkpoint() {
    let read = checkpoint("training.pt");
    let net = model();
    net.load_state_dict(&read["model"].to_state_dict().unwrap()).unwrap();
    net.eval();
    let out = net.forward(read["x"].as_tensor().unwrap()).unwrap();
    assert!(out.allclose(read["out"].as_tensor().unwrap(), 1e-6, 1e-7, false).unwrap());

    let mut optimizer = Adam::new(net.parameters(), AdamOptions::default()).unwrap();
    optimizer.load_state_dict(&read["optimizer"]).unwrap();
    assert_eq!(optimizer.param_groups[0].options.lr, 0.01);
    let state = optimizer.state(&net.parameters()[0]).unwrap();
    assert_eq!(state.step, Some(1));
    // What goes out is what came in, names and order of the settings included.
    let out = optimizer.state_dict();
    let names = |value: &Value| {
        let mut names: Vec<String> =
            value.entries().unwrap().iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        names
    };
    let (ours, theirs) = (&out["param_groups"][0], &read["optimizer"]["param_groups"][0]);
    assert_eq!(names(ours), names(theirs));
    for (name, value) in theirs.entries().unwrap() {
        let ours = &ours[name.as_str().unwrap()];
        match value.as_f64() {
            Ok(x) => assert_eq!(ours.as_f64().unwrap(), x, "{name}"),
            Err(_) => assert_eq!(ours.to_string(), value.to_string(), "{name}"),
        }
    }
    for i in 0..6 {
        assert_eq!(names(&out["state"][i]), names(&read["optimizer"]["state"][i]));
        for (name, value) in read["optimizer"]["state"][i].entries().unwrap() {
            let ours = out["state"][i][name.as_str().unwrap()].as_tensor().unwrap();
            assert!(ours.equal(value.as_tensor().unwrap()).unwrap(), "{i} {name}");
        }
    }
}

#[test]
fn state_dicts_of_optimizers_load_only_if_they_fit() {
    let w = tensor([1f32, 2.]).unwrap().requires_grad_(true).unwrap();
    let mut optimizer = AdamW::new([&w], AdamWOptions::default()).unwrap();
    w.sum().unwrap().backward().unwrap();
    optimizer.step().unwrap();
    let state = optimizer.state_dict();
    assert!(state["param_groups"][0]["decoupled_weight_decay"].as_bool().unwrap());
    let other = tensor([1f32]).unwrap().requires_grad_(true).unwrap();
    let mut small = AdamW::new([&other], AdamWOptions { lr: 0.5, ..Default::default() }).unwrap();
    let error = small.load_state_dict(&state).unwrap_err();
    assert!(error.message().contains("exp_avg has sizes [2], its parameter [1]"), "{error}");
    assert_eq!(small.param_groups[0].options.lr, 0.5);
    assert!(small.load_state_dict(&Value::None).is_err());
    let mut bad = state.clone();
    let mut group = state["param_groups"][0].clone();
    group.insert("lr", -1.0).unwrap();
    bad.insert("param_groups", Value::List(vec![group])).unwrap();
    assert_eq!(optimizer.load_state_dict(&bad).unwrap_err().message(), "Invalid learning rate: -1.0");
}

#[test]
fn records_begin_at_multiples_of_64_bytes() {
    let state: Vec<Tensor> = (1..5).map(|n| flambeau::full([n * 7], 1.5, ()).unwrap()).collect();
    let bytes = to_bytes(state).unwrap();
    let pattern = [1.5f32, 1.5].map(f32::to_le_bytes).concat();
    let found = bytes.windows(8).position(|w| w == pattern).unwrap();
    assert_eq!(found % 64, 0);
}

#[test]
fn saving_leaves_the_old_file_where_it_fails() {
    let folder = std::env::temp_dir().join(format!("flambeau-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("state.pt");
    io::save(vec![1, 2], &path).unwrap();
    let x = tensor([1f32]).unwrap();
    let mut bits = x.array();
    bits.dtype = DType::Int32;
    let bits = x.alias_as(bits);
    let both = Value::List(vec![x.into(), bits.into()]);
    let error = io::save(both, &path).unwrap_err();
    assert!(error.message().contains("view the same data as different types"), "{error}");
    assert_eq!(io::load(&path).unwrap()[1].as_i64().unwrap(), 2);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let missing = io::load(folder.join("missing.pt")).unwrap_err();
    assert!(missing.message().contains("missing.pt"), "{missing}");
    std::fs::remove_dir_all(folder).unwrap();
}

// files that are not what they seem

/// An archive of a pickle and one storage of 8 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", &[0, 1, 2, 3, 4, 5, 6, 7])] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
#[track_caller]
fn refused(pickle: &[u8], why: &str) {
    let error = from_bytes(&archive(pickle)).unwrap_err();
    assert!(error.message().contains(why), "{error}");
}
/// A tensor over the storage: class, number of elements, offset, size, stride.
fn tensor_pickle(class: &str, count: i32, offset: i32, size: i32, stride: i32) -> Vec<u8> {
    let mut out = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n".to_vec();
    out.extend(class.as_bytes());
    out.extend(b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuJ");
    out.extend(count.to_le_bytes());
    out.extend(b"tQJ");
    out.extend(offset.to_le_bytes());
    for list in [size, stride] {
        out.push(b'J');
        out.extend(list.to_le_bytes());
        out.push(0x85);
    }
    out.extend(b"\x89NtR.");
    out
}

#[test]
fn files_name_nothing_but_what_tensors_need() {
    refused(b"\x80\x02cos\nsystem\n(X\x04\x00\x00\x00truetR.", "the file names os.system");
    refused(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "the file names builtins.eval");
    refused(b"\x80\x02ctorch\nTensor\n)\x81.", "of a class that files of tensors do not need");
    refused(b"\x80\x02ctorch\nTensor\n)R.", "the pickle calls Class");
    refused(b"\x80\x02ctorch\nTensor\n.", "where a value must be");
    refused(b"\x80\x02]}b.", "attributes to something that cannot have any");
    refused(b"\x80\x02K\x01K\x02R.", "calls something that is not a function");
    let whole = io::load(fixture("checkpoints").join("module.pt")).unwrap_err();
    assert!(whole.message().contains("torch.nn.modules.linear.Linear"), "{whole}");
    let other = from_bytes(b"GIF89a").unwrap_err();
    assert!(other.message().contains("neither a zip archive"), "{other}");
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(from_bytes(&tar).unwrap_err().message().contains("tar format"));
}

#[test]
fn tensors_lie_within_their_storages() {
    let good = from_bytes(&archive(&tensor_pickle("ByteStorage", 8, 1, 3, 2))).unwrap();
    assert_eq!(good.as_tensor().unwrap().to_vec::<i64>().unwrap(), [1, 3, 5]);
    refused(&tensor_pickle("ByteStorage", 8, 1, 3, 4), "reaches beyond its storage");
    refused(&tensor_pickle("ByteStorage", 9, 0, 3, 1), "declares 9 bytes");
    refused(&tensor_pickle("FloatStorage", i32::MAX, 0, 3, 1), "its record has 8");
    refused(&tensor_pickle("ByteStorage", -1, 0, 3, 1), "impossible size");
    refused(&tensor_pickle("ByteStorage", 8, -1, 3, 1), "impossible place");
    refused(&tensor_pickle("ByteStorage", 8, 7, 3, -1), "impossible place");
    refused(&tensor_pickle("ByteStorage", 8, 0, -3, 1), "-3");
    refused(&tensor_pickle("BoolStorage", 8, 0, 2, 1), "bools that are neither 0 nor 1");
}

#[test]
fn pickles_cannot_grow_beyond_their_size() {
    // Lists of two of the list before: 2^60 at the end.
    let mut doubling = b"\x80\x02]".to_vec();
    for _ in 0..60 {
        doubling.extend(b"2\x86");
    }
    doubling.push(b'.');
    refused(&doubling, "more often than its size allows");
    // A text of 64 KiB named ten thousand times.
    let mut text = b"\x80\x02(X\x00\x00\x01\x00".to_vec();
    text.resize(text.len() + 65536, b'x');
    text.extend(b"q\x00");
    text.extend(b"h\x00".repeat(10000));
    text.extend(b"l.");
    refused(&text, "more often than its size allows");
    refused(b"\x80\x02]q\x00h\x00a.", "nests containers");
    let mut deep = b"\x80\x02".to_vec();
    deep.extend(b"]".repeat(100_000));
    deep.extend(b"a".repeat(99_999));
    deep.push(b'.');
    refused(&deep, "nests containers");
    let list = (0..1000).fold(Value::None, |value, _| Value::List(vec![value]));
    assert!(to_bytes(list).unwrap_err().message().contains("deep"));
    refused(b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends early");
    refused(b"\x80\x02X\xff\xff\xff\x7f.", "ends early");
    refused(b"\x80\x02(]t0.", "takes from an empty stack");
    refused(b"\x80\x02K\x01(.", "takes from an empty stack");
    refused(b"\x80\x02h\x07.", "does not have");
}

#[test]
fn calls_cannot_copy_beyond_the_size_of_a_pickle() {
    let repeated = |opening: &[u8], call: &[u8]| {
        [b"\x80\x02", opening, b"q\x010(", &call.repeat(5000)[..], b"t."].concat()
    };
    let list = [&b"]("[..], &b"K\x01".repeat(50_000), b"e"].concat();
    refused(&repeated(&list, b"c__builtin__\nset\nh\x01\x85R"), "more copies of its parts");
    let bytes = [&b"B\0\0\x10\0"[..], &[0; 1 << 20]].concat();
    refused(&repeated(&bytes, b"cbuiltins\nbytearray\nh\x01\x85R"), "more copies of its parts");
    let sizes = [&b"("[..], &b"K\x01".repeat(50_000), b"t"].concat();
    refused(&repeated(&sizes, b"ctorch\nSize\nh\x01\x85R"), "more copies of its parts");
    let meta = b"ctorch._utils\n_rebuild_meta_tensor_no_storage\n(ctorch\nint8\nh\x01h\x01\x89tR";
    refused(&repeated(&sizes, meta), "more copies of its parts");
    // One key given again and again, in a dictionary that is named again and again.
    let same = [&b"}("[..], &b"K\x01N".repeat(20_000), b"u"].concat();
    refused(&repeated(&same, b"h\x01"), "more often than its size allows");
}

#[test]
fn noted_storages_are_rewritten_once() {
    // A conjugated view of a storage by stride 0, many times: all of them show the same memory.
    let mut one = tensor_pickle("ComplexFloatStorage", 1, 0, 1, 0);
    let end = one.len() - 4;
    one.splice(end.., *b"N}X\x04\0\0\0conj\x88stR");
    let many = [b"\x80\x02(", &one[2..].repeat(3)[..], b"t."].concat();
    let read = from_bytes(&archive(&many)).unwrap();
    let places: Vec<usize> =
        (0..3).map(|i| flambeau::Shared::as_ptr(&read[i].as_tensor().unwrap().storage()) as usize).collect();
    assert_eq!(read[0].as_tensor().unwrap().sizes()[..], [1]);
    assert!(places.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn damaged_files_are_errors_or_numbers() {
    let state: StateDict = [("x".to_string(), tensor([1f32, 2.]).unwrap())].into_iter().collect();
    let good = to_bytes(&state).unwrap();
    for length in 0..good.len() {
        assert!(from_bytes(&good[..length]).is_err(), "cut at {length}");
    }
    for place in 0..good.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[place] = value;
            let _ = from_bytes(&bad); // must return, be it a value or an error
        }
    }
    let place = good.windows(8).position(|w| w == [1f32, 2.].map(f32::to_le_bytes).concat()).unwrap();
    let mut bad = good.clone();
    bad[place] ^= 1;
    assert!(from_bytes(&bad).unwrap_err().message().contains("checksum"), "a flipped bit of a tensor");
}

#[test]
fn damaged_pickles_are_errors_or_values() {
    for name in ["dtypes.pt", "kinds.pt", "sharing.pt", "training.pt"] {
        let file = std::fs::read(fixture("checkpoints").join(name)).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(&file[..])).unwrap();
        let mut records = Vec::new();
        for i in 0..zip.len() {
            let mut entry = zip.by_index(i).unwrap();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            records.push((entry.name().unwrap().into_owned(), bytes));
        }
        let pickle = records.iter().position(|(name, _)| name.ends_with("/data.pkl")).unwrap();
        let good = records[pickle].1.clone();
        // Numbers that are the same in every run.
        let mut state = 1444u64;
        let mut draw = |n: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % n
        };
        let mut read = 0;
        for _ in 0..600 {
            let mut bad = good.clone();
            for _ in 0..1 + draw(3) {
                let (place, other) = (draw(bad.len()), draw(bad.len()));
                match draw(4) {
                    0 => bad[place] = draw(256) as u8,
                    1 => bad[place] ^= 1 << draw(8),
                    2 => bad[place] = good[other],
                    _ => drop(bad.splice(place..place, [good[other]])),
                }
            }
            records[pickle].1 = bad;
            let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
            for (name, bytes) in &records {
                zip.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).unwrap();
                zip.write_all(bytes).unwrap();
            }
            // Must return; what is read must print and be written again.
            if let Ok(value) = from_bytes(&zip.finish().unwrap().into_inner()) {
                read += 1;
                let _ = value.to_string();
                let _ = to_bytes(value);
            }
        }
        assert!(read > 10, "{name}: {read}"); // the damage is not always noticed, or this would test little
    }
}

#[test]
fn arrays_of_numpy_are_read_and_written() {
    let read = numpy::loadz(fixture("arrays.npz")).unwrap();
    let written = numpy::from_npz(&numpy::to_npz(&read).unwrap()).unwrap();
    for arrays in [read, written] {
        for name in ["plain", "fortran", "big", "halves"] {
            assert_eq!(arrays[name].sizes()[..], [2, 3], "{name}");
            assert_eq!(arrays[name].to_vec::<f64>().unwrap(), [0., 0.25, 0.5, 0.75, 1., 1.25], "{name}");
        }
        assert_eq!(arrays["halves"].dtype(), DType::Float16);
        assert_eq!(arrays["bools"].to_string(), "tensor([ True, False])");
        assert_eq!(arrays["complex"].to_string(), "tensor([1.+2.j, 3.-4.j], dtype=torch.complex128)");
        assert_eq!(arrays["big_complex"].to_string(), "tensor([1.+2.j])");
        assert_eq!((arrays["scalar"].dim(), arrays["scalar"].to_f64().unwrap()), (0, 2.5));
        assert_eq!((&arrays["empty"].sizes()[..], arrays["empty"].dtype()), (&[0, 3][..], DType::Int16));
    }
    let compressed = std::fs::read(fixture("arrays_compressed.npz")).unwrap();
    let arrays = numpy::from_npz(&compressed).unwrap();
    assert_eq!(arrays.len(), 10);
    let plain = numpy::loadz(fixture("arrays.npz")).unwrap();
    for (name, array) in plain.iter() {
        assert!(same(&array.into(), &(&arrays[name]).into()), "{name}");
    }
    assert!(arrays["zeros"].equal(&zeros([300, 40], ()).unwrap()).unwrap());
    for length in 0..compressed.len() {
        assert!(numpy::from_npz(&compressed[..length]).is_err(), "cut at {length}");
    }
    let bytes = numpy::to_bytes(&zeros([2, 2], DType::Int8).unwrap()).unwrap();
    assert_eq!(
        bytes[..80].iter().map(|&b| b as char).collect::<String>().split('}').next().unwrap(),
        "\u{93}NUMPY\u{1}\0v\0{'descr': '|i1', 'fortran_order': False, 'shape': (2, 2), "
    );
    assert_eq!(bytes.len() % 64, 4);
    for length in 0..bytes.len() {
        assert!(numpy::from_bytes(&bytes[..length]).is_err(), "cut at {length}");
    }
    let with = |shape: &str| {
        let text = String::from_utf8_lossy(&bytes[10..]).replace("(2, 2)", shape);
        [&bytes[..10], text.as_bytes()].concat()
    };
    for shape in ["(-1, 4)", "(9999999, 9999999999999, 9999999999)", "(2, 2", "(a,)", "(2, 3)"] {
        assert!(numpy::from_bytes(&with(shape)).is_err(), "{shape}");
    }
    let bytes = numpy::to_bytes(&zeros([1; 64], DType::Int8).unwrap()).unwrap();
    assert_eq!(numpy::from_bytes(&bytes).unwrap().dim(), 64);
    // Transposing a hundred thousand dimensions took minutes.
    let header =
        format!("{{'descr': '|i1', 'fortran_order': True, 'shape': ({}), }}\n", "1,".repeat(100_000));
    let many =
        [b"\x93NUMPY\x02\0", &(header.len() as u32).to_le_bytes()[..], header.as_bytes(), b"\0"].concat();
    assert!(numpy::from_bytes(&many).unwrap_err().message().contains("100000 dimensions"));
    let error = numpy::to_bytes(&zeros([1], DType::BFloat16).unwrap()).unwrap_err();
    assert_eq!(error.message(), "NumPy has no dtype for torch.bfloat16");
}
