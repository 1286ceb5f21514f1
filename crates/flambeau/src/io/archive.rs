//! PyTorch's file format: a zip archive of a pickle and a record of bytes for each storage. The records are stored as
//! they are and begin at multiples of 64 bytes.

use super::files::replace;
use super::value::file_fault;
use super::{Value, legacy, pickle::pickle, unpickle::unpickle};
use crate::{Array, DType, Error, Result, Tensor};
use flambeau_core::{Dims, Shared, Storage, bail};
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const ALIGNMENT: u16 = 64;
/// No stream of deflate's grows by more than this.
const DEFLATE: u64 = 1032;
/// How much of a storage is copied at once.
const PIECE: usize = 1 << 24;

pub(super) trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}
pub(super) trait Target: Write + Seek {}
impl<T: Write + Seek> Target for T {}

fn unreadable(why: impl fmt::Display) -> Error {
    Error::runtime(format!(
        "PytorchStreamReader failed reading zip archive: {why}. The file is corrupted, or was not written by torch.save."
    ))
}

/// The records of an archive, which together take no more bytes than the file has. Compressed ones may be larger then, by
/// what their method can do at most.
pub(super) struct Records<'a> {
    zip: ZipArchive<&'a mut dyn Source>,
}

impl<'a> Records<'a> {
    pub(super) fn open(source: &'a mut dyn Source) -> Result<Records<'a>> {
        let size = source.seek(SeekFrom::End(0)).map_err(broken)?;
        let mut zip = ZipArchive::new(source).map_err(broken)?;
        let mut total = 0u64;
        for i in 0..zip.len() {
            let entry = zip.by_index_raw(i).map_err(broken)?;
            let name = || entry.name().map(String::from).unwrap_or_default();
            let packed = entry.compressed_size();
            total = total.saturating_add(packed);
            let most = match entry.compression() {
                CompressionMethod::Stored => packed,
                CompressionMethod::Deflated => packed.saturating_mul(DEFLATE),
                other => {
                    bail!("its record {} is compressed by the method {other}, which is not read", name())
                }
            };
            if entry.encrypted() {
                bail!("its record {} is encrypted", name());
            }
            if entry.size() > most || total > size {
                bail!("its record {} is larger than the file", name());
            }
        }
        Ok(Records { zip })
    }
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|name| Some(name.ok()?.into())).collect()
    }
    /// The first `n` bytes of a record, or all of them. Whole records are compared with their checksums, if they have any.
    pub(super) fn read(&mut self, name: &str, n: Option<usize>) -> Result<Vec<u8>> {
        let Ok(mut entry) = self.zip.by_name(name) else {
            bail!("failed locating file {name}: file not found");
        };
        let size = usize::try_from(entry.size()).map_err(broken)?;
        let n = n.unwrap_or(size);
        if n > size {
            bail!("the file declares {n} bytes for {name}, but its record has {size}");
        }
        // Compressed ones grow as they are read, whatever size they declare.
        let packed = usize::try_from(entry.compressed_size()).map_err(broken)?;
        let mut out = Vec::with_capacity(n.min(packed));
        entry.by_ref().take(n as u64).read_to_end(&mut out).map_err(broken)?;
        if out.len() < n {
            bail!("its record {name} ends early");
        }
        if n == size && entry.crc32() != 0 {
            // Reading on to the end compares the checksum.
            entry.read(&mut [0]).map_err(broken)?;
        }
        Ok(out)
    }
}

fn broken(error: impl fmt::Display) -> Error {
    Error::runtime(error.to_string())
}

fn read(source: &mut dyn Source) -> Result<Value> {
    let mut head = Vec::new();
    (&mut *source).take(262).read_to_end(&mut head).map_err(broken)?;
    if head.get(257..) == Some(b"ustar") {
        bail!("the file is in the tar format of PyTorch before 0.1.10, which flambeau does not read");
    }
    if head.first() == Some(&0x80) {
        let mut bytes = Vec::new();
        source.rewind().and_then(|()| source.read_to_end(&mut bytes)).map_err(broken)?;
        return legacy::read(&bytes);
    }
    if !head.starts_with(b"PK\x03\x04") {
        return Err(unreadable("it is neither a zip archive nor of the older format of pickles"));
    }
    let mut records = Records::open(source).map_err(|error| unreadable(error.message()))?;
    let names = records.names();
    let Some((folder, _)) = names.first().and_then(|name| name.split_once('/')) else {
        return Err(unreadable("it has no records"));
    };
    let has = |name: &str| names.iter().any(|n| n.strip_prefix(folder) == Some(name));
    if has("/constants.pkl") {
        bail!("the file is a TorchScript archive, written by torch.jit.save");
    }
    if has("/byteorder") && records.read(&format!("{folder}/byteorder"), None)? != b"little" {
        bail!("the file was written on a machine with the other order of bytes");
    }
    let data = records.read(&format!("{folder}/data.pkl"), None)?;
    let mut loaded: HashMap<String, Tensor> = HashMap::new();
    unpickle(&data, &mut |key, nbytes, _| {
        if let Some(bytes) = loaded.get(key) {
            return Ok(Some(bytes.clone()));
        }
        let bytes = records.read(&format!("{folder}/data/{key}"), Some(nbytes))?;
        let bytes = Tensor::from_bytes(&bytes, DType::UInt8, &[nbytes as i64])?;
        loaded.insert(key.to_string(), bytes.clone());
        Ok(Some(bytes))
    })
}

/// Writes records that begin at multiples of [`ALIGNMENT`].
pub(super) struct Writer<'a>(ZipWriter<&'a mut dyn Target>);

impl<'a> Writer<'a> {
    pub(super) fn new(target: &'a mut dyn Target) -> Writer<'a> {
        Writer(ZipWriter::new(target))
    }
    pub(super) fn begin(&mut self, name: &str, size: usize) -> Result<()> {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(ALIGNMENT)
            .large_file(size as u64 > u32::MAX as u64 / 2);
        self.0.start_file(name, options).map_err(unwritable)
    }
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).map_err(unwritable)
    }
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.begin(name, bytes.len())?;
        self.write(bytes)
    }
    pub(super) fn finish(self) -> Result<()> {
        self.0.finish().map(drop).map_err(unwritable)
    }
}

fn unwritable(error: impl fmt::Display) -> Error {
    Error::runtime(format!("writing the file failed: {error}"))
}

/// The bytes of a storage, a piece at a time.
fn pieces(storage: &Shared<Storage>, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let size = storage.nbytes();
    for start in (0..size).step_by(PIECE) {
        let array = Array {
            storage: storage.clone(),
            dtype: DType::UInt8,
            sizes: Dims::from_slice(&[PIECE.min(size - start) as i64]),
            strides: Dims::from_slice(&[1]),
            offset: start as i64,
        };
        each(&Tensor::from_array(array).to_bytes()?)?;
    }
    Ok(())
}

fn write(value: &Value, target: &mut dyn Target, folder: &str) -> Result<()> {
    let (data, storages) = pickle(value)?;
    let mut writer = Writer::new(target);
    writer.put(&format!("{folder}/data.pkl"), &data)?;
    writer.put(&format!("{folder}/.format_version"), b"1")?;
    writer.put(&format!("{folder}/.storage_alignment"), ALIGNMENT.to_string().as_bytes())?;
    writer.put(&format!("{folder}/byteorder"), b"little")?;
    for (number, (storage, _)) in storages.iter().enumerate() {
        writer.begin(&format!("{folder}/data/{number}"), storage.nbytes())?;
        pieces(storage, |bytes| writer.write(bytes))?;
    }
    writer.put(&format!("{folder}/version"), b"3\n")?;
    writer.finish()
}

/// Writes a file that `torch.save` could have written: a state dict, or tensors in lists and dictionaries. Tensors that
/// share memory share it in the file, and the whole storage of each is written. The file takes its name once it is complete.
///
/// ```
/// use flambeau::io::{self, Value};
/// use flambeau::nn::{Linear, Module};
/// let path = std::env::temp_dir().join("flambeau-doc-save.pt");
/// let net = Linear::new(2, 1)?;
/// let checkpoint = Value::dict([("model", net.state_dict().into()), ("epoch", 3.into())]);
/// io::save(&checkpoint, &path)?;
/// let back = io::load(&path)?;
/// net.load_state_dict(&back["model"].to_state_dict()?)?;
/// assert_eq!(back["epoch"].as_i64()?, 3);
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn save(value: impl Into<Value>, path: impl AsRef<Path>) -> Result<()> {
    let (value, path) = (value.into(), path.as_ref());
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or("archive");
    replace(path, |file| write(&value, file, name)).map_err(|e| e.map_message(|text| at(path, text)))
}

fn at(path: &Path, text: &str) -> String {
    let name = path.display().to_string();
    if text.contains(&name) { text.to_string() } else { format!("{name}: {text}") }
}

/// The value in a file that `torch.save` wrote, or [`save`]; files from before PyTorch 1.6 are read too. Its tensors come to
/// the CPU. Nothing that a file says is run: it may hold state dicts and values of plain types, not whole modules.
pub fn load(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    let mut file = File::open(path).map_err(|error| file_fault(path, error))?;
    read(&mut file).map_err(|e| e.map_message(|text| at(path, text)))
}

/// What [`save`] writes.
///
/// ```
/// use flambeau::io;
/// let bytes = io::to_bytes(vec![flambeau::ones([2], ())?])?;
/// assert_eq!(io::from_bytes(&bytes)?[0].as_tensor()?.to_string(), "tensor([1., 1.])");
/// assert!(io::from_bytes(&bytes[..40]).is_err());
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn to_bytes(value: impl Into<Value>) -> Result<Vec<u8>> {
    let mut out = Cursor::new(Vec::new());
    write(&value.into(), &mut out, "archive")?;
    Ok(out.into_inner())
}

/// What [`load`] reads.
pub fn from_bytes(bytes: &[u8]) -> Result<Value> {
    read(&mut Cursor::new(bytes))
}
