//! The tile engine: runs a program of primitive steps over broadcast, strided operands of any dtype.
//! Kernels see contiguous slices of one compute type; loading, storing and strides are shared code around
//! them, through tiles that stay in the L1 cache. One of the modules with unsafe code.

use super::kernels::{Compute, Convert, Kernel};
use super::stream::{STREAM, settle, stream};
use super::{Prim, block};
use crate::wide::wide;
use flambeau_core::{DType, Result, Scalar, bail, dispatch};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The fewest and the most elements of a tile.
const TILE: (usize, usize) = (512, 4096);
/// Bytes of all tiles of a program together, where they are few: within the L1 cache.
const TILES: usize = 16384;
/// Tiles that a program may use beside its operands.
const MAX_REGISTERS: usize = 24;

/// Where a step finds an operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Input(u8),
    Const(u8),
    Register(u8),
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Prim(Prim),
    /// `args[0] != 0 ? args[1] : args[2]`
    Select,
    /// `args[0] * args[1] + args[2]`, of real numbers in one rounding
    MulAdd,
    /// `args[2] - args[0] * args[1]`
    MulSub,
}

/// One step: `register[to] = operation(args)`.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub operation: Operation,
    pub args: [Source; 3],
    pub to: u8,
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Program {
    pub steps: Vec<Step>,
    pub result: Source,
    pub registers: usize,
    pub consts: usize,
}

impl Program {
    /// The step that makes the result; none if the result is an operand as it stands.
    pub(super) fn result_step(&self) -> Option<usize> {
        match self.result {
            Source::Register(r) => self.steps.iter().rposition(|s| s.to == r),
            _ => None,
        }
    }
}

/// A strided operand, already broadcast: strides are in elements, 0 along broadcast dimensions.
#[derive(Clone, Debug)]
pub struct Operand {
    pub pointer: *mut u8,
    pub dtype: DType,
    pub strides: SmallVec<[i64; 5]>,
}

/// Runs `program` in the compute type `compute` for every index of `sizes`.
///
/// # Safety
/// Every operand must be valid for its dtype at every index of `sizes`, writable for `out`; `out` must not
/// overlap an input except by naming the same elements in the same order, and must not overlap itself.
pub unsafe fn run(
    program: &Program,
    compute: DType,
    sizes: &[i64],
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    if program.registers > MAX_REGISTERS {
        bail!("expression needs {} tiles, more than {MAX_REGISTERS}", program.registers);
    }
    let plan = Plan::new(sizes, out, inputs);
    // SAFETY: passed on from the caller.
    dispatch!(compute compute, T => unsafe { run_typed::<T>(program, &plan, out, inputs, consts) })
}

/// Whether every step of the program has a kernel for the compute type.
pub fn supports(program: &Program, compute: DType) -> bool {
    dispatch!(compute compute, T => program.steps.iter().all(|s| T::kernel(s.operation).is_some()))
}

/// The iteration space after dropping size-1 dimensions, merging and sorting by stride; innermost first.
struct Plan {
    sizes: SmallVec<[usize; 5]>,
    /// For each operand (output first) its strides in the plan's dimensions.
    strides: SmallVec<[SmallVec<[isize; 5]>; 4]>,
}

impl Plan {
    fn new(sizes: &[i64], out: &Operand, inputs: &[Operand]) -> Plan {
        let operands: SmallVec<[&Operand; 4]> = std::iter::once(out).chain(inputs).collect();
        let mut dims: SmallVec<[usize; 5]> = (0..sizes.len()).filter(|&d| sizes[d] != 1).collect();
        // The output's smallest stride goes innermost; ties keep the later dimension inside.
        let out_order = |d: usize| {
            let s = out.strides[d].unsigned_abs();
            if s == 0 { inputs.iter().map(|i| i.strides[d].unsigned_abs()).max().unwrap_or(0) } else { s }
        };
        let sorted = dims.windows(2).all(|w| out_order(w[0]) >= out_order(w[1]));
        dims.reverse();
        if !sorted {
            dims.sort_by_key(|&d| out_order(d));
        }
        let mut plan =
            Plan { sizes: SmallVec::new(), strides: operands.iter().map(|_| SmallVec::new()).collect() };
        for d in dims {
            let size = sizes[d] as usize;
            let merges = match plan.sizes.last() {
                None => false,
                Some(&inner) => operands
                    .iter()
                    .zip(&plan.strides)
                    .all(|(o, s)| s[s.len() - 1].wrapping_mul(inner as isize) == o.strides[d] as isize),
            };
            if merges {
                let last = plan.sizes.len() - 1;
                plan.sizes[last] *= size;
            } else {
                plan.sizes.push(size);
                for (o, s) in operands.iter().zip(plan.strides.iter_mut()) {
                    s.push(o.strides[d] as isize);
                }
            }
        }
        if plan.sizes.is_empty() {
            plan.sizes.push(1);
            plan.strides.iter_mut().for_each(|s| s.push(0));
        }
        plan
    }
}

unsafe fn run_typed<T: Compute>(
    program: &Program,
    plan: &Plan,
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
) -> Result<()> {
    let mut kernels: SmallVec<[Kernel<T>; 4]> = SmallVec::new();
    for step in &program.steps {
        match T::kernel(step.operation) {
            Some(kernel) => kernels.push(kernel),
            None => bail!("{:?} has no kernel for {}", step.operation, T::DTYPE),
        }
    }
    let inner = plan.sizes[0];
    let (n_in, n_const) = (inputs.len(), program.consts);
    let slots = n_in + n_const + program.registers + 1;
    let width = inner.min((TILES / (slots * size_of::<T>())).clamp(TILE.0, TILE.1));
    if width <= 16 && slots * width <= 96 {
        let mut scratch = [const { MaybeUninit::<T>::uninit() }; 96];
        // SAFETY: passed on from the caller; the scratch holds `slots` tiles of `width`.
        unsafe {
            run_tiles(program, plan, out, inputs, consts, &kernels, scratch.as_mut_ptr().cast(), width)
        };
        return Ok(());
    }
    let mut scratch: Vec<MaybeUninit<T>> = Vec::with_capacity(slots * width);
    // SAFETY: as above, with room reserved for all tiles.
    unsafe { run_tiles(program, plan, out, inputs, consts, &kernels, scratch.as_mut_ptr().cast(), width) };
    Ok(())
}

#[allow(clippy::too_many_arguments)]
unsafe fn run_tiles<T: Compute>(
    program: &Program,
    plan: &Plan,
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
    kernels: &[Kernel<T>],
    scratch: *mut T,
    width: usize,
) {
    let n_in = inputs.len();
    let n_const = program.consts;
    // SAFETY: the scratch holds a tile for each slot.
    let tile = |slot: usize| unsafe { scratch.add(slot * width) };
    let (const_base, reg_base, out_slot) = (n_in, n_in + n_const, n_in + n_const + program.registers);
    for (i, value) in consts.iter().enumerate().take(n_const) {
        let v = T::from_scalar(*value);
        // SAFETY: constant tiles lie in the scratch.
        unsafe { std::slice::from_raw_parts_mut(tile(const_base + i).cast::<MaybeUninit<T>>(), width) }
            .fill(MaybeUninit::new(v));
    }
    let inner = plan.sizes[0];
    let out_stride = plan.strides[0][0];
    // The last step may write to the output itself, unless the output is also read: then through a tile, so
    // that slices never alias.
    let aliased = inputs.iter().any(|i| i.pointer == out.pointer);
    let direct_out =
        out.dtype == T::DTYPE && (out_stride == 1 || inner == 1) && !aliased && aligned::<T>(out.pointer);
    let result_step = program.result_step();
    let streamed = direct_out
        && result_step.is_some()
        && plan.sizes.iter().product::<usize>().saturating_mul(size_of::<T>()) >= STREAM;
    let mut blocks: SmallVec<[Option<Vec<T>>; 4]> = SmallVec::new();
    for (input, strides) in inputs.iter().zip(&plan.strides[1..]) {
        let rows = plan.sizes.get(1).map_or(0, |&rows| rows.min(block::ROWS));
        let pays = rows > 1 && block::pays(input.dtype, strides, inner);
        blocks.push(pays.then(|| vec![T::default(); rows * inner]));
    }
    // Inputs that do not move along the inner dimension are loaded once for each row.
    let mut index: SmallVec<[usize; 5]> = SmallVec::from_elem(0, plan.sizes.len());
    loop {
        let offset = |operand: usize| -> isize {
            index.iter().zip(&plan.strides[operand]).skip(1).map(|(&i, &s)| i as isize * s).sum()
        };
        let mut row: SmallVec<[*mut u8; 4]> = SmallVec::new();
        for (i, o) in std::iter::once(out).chain(inputs).enumerate() {
            row.push(o.pointer.wrapping_offset(offset(i) * o.dtype.size() as isize));
        }
        let in_block = index.get(1).map_or(0, |&i| i % block::ROWS);
        if in_block == 0 {
            for (i, buffer) in blocks.iter_mut().enumerate() {
                if let Some(buffer) = buffer {
                    let rows = (plan.sizes[1] - index[1]).min(block::ROWS);
                    // SAFETY: the caller vouches for these rows; the buffer holds as many.
                    unsafe {
                        block::read(
                            row[i + 1],
                            inputs[i].dtype,
                            plan.strides[i + 1][0],
                            buffer.as_mut_ptr(),
                            rows,
                            inner,
                        )
                    };
                }
            }
        }
        let mut start = 0;
        while start < inner {
            let n = (inner - start).min(width);
            let at = |i: usize, o: &Operand| {
                row[i].wrapping_offset(start as isize * plan.strides[i][0] * o.dtype.size() as isize)
            };
            let mut source: SmallVec<[*const T; 4]> = SmallVec::new();
            for (i, input) in inputs.iter().enumerate() {
                if let Some(buffer) = &blocks[i] {
                    source.push(buffer[in_block * inner + start..].as_ptr());
                    continue;
                }
                let stride = plan.strides[i + 1][0];
                let pointer = at(i + 1, input);
                if input.dtype == T::DTYPE && (stride == 1 || n == 1) && aligned::<T>(pointer) {
                    source.push(pointer.cast());
                } else {
                    if stride != 0 || start == 0 {
                        // SAFETY: the caller vouches for the operand; the tile has `width >= n` elements.
                        unsafe { load(pointer, input.dtype, stride, tile(i), n) };
                    }
                    source.push(tile(i));
                }
            }
            let out_pointer = at(0, out);
            let locate = |s: Source| match s {
                Source::Input(i) => source[i as usize],
                Source::Const(i) => tile(const_base + i as usize) as *const T,
                Source::Register(i) => tile(reg_base + i as usize) as *const T,
            };
            let result = if direct_out && !streamed { out_pointer.cast::<T>() } else { tile(out_slot) };
            let register = |r: u8| tile(reg_base + r as usize);
            // SAFETY: operands are valid for n elements; the result's place is a tile of its own or the unaliased
            // output.
            unsafe { run_steps(program, kernels, n, locate, register, result_step, result) };
            // SAFETY: the output is writable for this row; the tile holds n results.
            unsafe {
                match result_step {
                    Some(_) if streamed => stream(result.cast(), out_pointer, n * size_of::<T>()),
                    Some(_) if direct_out => {}
                    Some(_) => store(tile(out_slot), out_pointer, out.dtype, out_stride, n),
                    None => store(locate(program.result), out_pointer, out.dtype, out_stride, n),
                }
            }
            start += n;
        }
        // Next row.
        let mut d = 1;
        loop {
            if d == index.len() {
                if streamed {
                    settle();
                }
                return;
            }
            index[d] += 1;
            if index[d] < plan.sizes[d] {
                break;
            }
            index[d] = 0;
            d += 1;
        }
    }
}

/// Runs the steps of a program on slices of `n` elements; the result of step `result_step` goes to `result`.
///
/// # Safety
/// `locate` and `register` must give valid places for n elements of each operand and register that the steps name;
/// `result` must be valid for n writes and overlap none of them (the compiler of programs never reuses an operand's
/// register for the result).
#[inline]
pub(super) unsafe fn run_steps<T: Compute>(
    program: &Program,
    kernels: &[Kernel<T>],
    n: usize,
    locate: impl Fn(Source) -> *const T,
    register: impl Fn(u8) -> *mut T,
    result_step: Option<usize>,
    result: *mut T,
) {
    for (i, (step, kernel)) in program.steps.iter().zip(kernels).enumerate() {
        let to = if Some(i) == result_step { result } else { register(step.to) };
        // SAFETY: as promised by the caller.
        unsafe {
            let slice = |s: Source| std::slice::from_raw_parts(locate(s), n);
            let to = std::slice::from_raw_parts_mut(to, n);
            match *kernel {
                Kernel::Unary(f) => f(slice(step.args[0]), to),
                Kernel::Binary(f) => f(slice(step.args[0]), slice(step.args[1]), to),
                Kernel::Ternary(f) => f(slice(step.args[0]), slice(step.args[1]), slice(step.args[2]), to),
            }
        }
    }
}

/// Whether the address is one of a `T`; memory of other libraries may be anywhere.
#[inline]
pub(super) fn aligned<T>(pointer: *const u8) -> bool {
    (pointer as usize).is_multiple_of(align_of::<T>())
}

/// Reads `n` elements of any dtype as compute type `T`.
///
/// # Safety
/// `from` must be valid for `n` elements at the stride, `to` for `n` writes.
pub unsafe fn load<T: Compute>(from: *const u8, dtype: DType, stride: isize, to: *mut T, n: usize) {
    if dtype == DType::Bool {
        // Memory of others may have any byte for true.
        // SAFETY: as promised by the caller.
        let byte = |i: usize| unsafe { (from.wrapping_offset(i as isize * stride).read() != 0) as u8 };
        // SAFETY: as promised by the caller.
        let put = |i: usize, v: u8| unsafe { to.add(i).write(<T as Convert<u8>>::from_storage(v)) };
        if stride == 1 {
            // SAFETY: as promised by the caller.
            wide(move || (0..n).for_each(|i| put(i, unsafe { (from.add(i).read() != 0) as u8 })));
        } else {
            (0..n).for_each(|i| put(i, byte(i)));
        }
        return;
    }
    dispatch!(storage dtype, S => {
        let from = from.cast::<S>();
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 0 {
                let value = <T as Convert<S>>::from_storage(from.read_unaligned());
                for i in 0..n { to.add(i).write(value) }
            } else if stride == 1 {
                wide(move || for i in 0..n { to.add(i).write(<T as Convert<S>>::from_storage(from.add(i).read_unaligned())) })
            } else {
                for i in 0..n { to.add(i).write(<T as Convert<S>>::from_storage(from.wrapping_offset(i as isize * stride).read_unaligned())) }
            }
        }
    })
}

/// Writes `n` results of compute type `T` as any dtype (`bool` as `x != 0`).
///
/// # Safety
/// `to` must be valid for `n` writes at the stride, `from` for `n` reads.
pub unsafe fn store<T: Compute>(from: *const T, to: *mut u8, dtype: DType, stride: isize, n: usize) {
    if dtype == DType::Bool {
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 1 {
                wide(move || (0..n).for_each(|i| to.add(i).write(T::is_true(from.add(i).read()) as u8)));
            } else {
                for i in 0..n {
                    to.wrapping_offset(i as isize * stride).write(T::is_true(from.add(i).read()) as u8)
                }
            }
        }
        return;
    }
    dispatch!(storage dtype, S => {
        let to = to.cast::<S>();
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 1 {
                wide(move || for i in 0..n { to.add(i).write_unaligned(<T as Convert<S>>::into_storage(from.add(i).read())) })
            } else {
                for i in 0..n { to.wrapping_offset(i as isize * stride).write_unaligned(<T as Convert<S>>::into_storage(from.add(i).read())) }
            }
        }
    })
}
