//! What the targets share: archives around the bytes of the fuzzer, and what is done with a file that was read.

use flambeau::Tensor;
use flambeau::io::{Value, to_bytes};
use std::io::{Cursor, Write};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A well-formed archive.
pub fn archive(records: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in records {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// How many storages the archives around a pickle have.
const STORAGES: usize = 24;

/// An archive of `torch.save` with this pickle and storages of 64 bytes.
pub fn pickled(pickle: &[u8]) -> Vec<u8> {
    let names: Vec<String> = (0..STORAGES).map(|number| format!("a/data/{number}")).collect();
    let mut records: Vec<(&str, &[u8])> = vec![("a/data.pkl", pickle), ("a/version", b"3\n")];
    records.extend(names.iter().map(|name| (name.as_str(), &[1u8; 64][..])));
    archive(&records)
}

/// A file before PyTorch 1.6 with this object and storages of four elements; the first byte is their number.
pub fn before(data: &[u8]) -> Vec<u8> {
    let mut out = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    let count = data.first().map_or(0, |byte| byte % 4);
    out.extend(data.get(1..).unwrap_or_default());
    out.extend(b"\x80\x02](");
    for key in 0..count {
        out.extend([b'X', 1, 0, 0, 0, b'0' + key]);
    }
    out.extend(b"e.");
    for _ in 0..count {
        out.extend(4u64.to_le_bytes());
        out.extend([0; 16]);
    }
    out
}

/// Elements that a tensor claims are there.
pub fn touch(tensor: &Tensor) {
    if !tensor.is_meta() && tensor.numel() < 1 << 16 && tensor.dim() <= 64 {
        let _ = tensor.detach().and_then(|tensor| tensor.to_bytes()).unwrap();
    }
}

/// What was read can be printed, and written if it is small.
pub fn look(value: &Value) {
    let mut count = 0;
    tensors(value, &mut count);
    let _ = value.to_string();
    if count < 1 << 20 {
        let _ = to_bytes(value);
    }
}

fn tensors(value: &Value, count: &mut usize) {
    if let Value::Tensor(tensor) = value {
        *count += tensor.storage().nbytes();
        touch(tensor);
    }
    value.items().into_iter().flatten().for_each(|item| tensors(item, count));
    for (key, value) in value.entries().into_iter().flatten() {
        tensors(key, count);
        tensors(value, count);
    }
}
