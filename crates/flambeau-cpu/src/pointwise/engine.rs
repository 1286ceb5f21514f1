//! The tile engine: runs a program of primitive steps over broadcast, strided operands of any dtype.
//! Kernels see contiguous slices of one compute type; loading, storing and strides are shared code around
//! them, through tiles that stay in the L1 cache. One of the modules with unsafe code.

use super::kernels::{Compute, Kernel};
use super::plan::Plan;
use super::short::Short;
use super::transfer::{aligned, fill, load, store};
use super::update::{Update, others};
use super::{Prim, block, own_width};
use flambeau_core::parallel::sweep;
use flambeau_core::{DType, Result, Scalar, bail, dispatch};
use smallvec::SmallVec;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

/// The fewest and the most elements of a tile.
const TILE: (usize, usize) = (512, 4096);
/// Bytes of all tiles of a program and of what it reads and writes meanwhile, where these are few: within the L1 cache.
const TILES: usize = 24576;
/// Elements of tiles that find room on the stack.
const FEW: usize = 96;
/// Bytes of a cache line.
pub(super) const LINE: usize = 64;
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
    /// `args[0] < args[1] ? args[2] : args[3]`, or with `<=` or `==`
    Choose(Prim),
    /// `min(max(args[0], args[1]), args[2])`
    Clamp,
}

impl Operation {
    /// The number of operands.
    pub(super) const fn arity(self) -> usize {
        match self {
            Operation::Prim(p) => p.arity(),
            Operation::Select | Operation::MulAdd | Operation::MulSub | Operation::Clamp => 3,
            Operation::Choose(_) => 4,
        }
    }
}

/// One step: `register[to] = operation(args)`.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub operation: Operation,
    pub args: [Source; 4],
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
    let outermost = plan.sizes.len() - 1;
    let each = plan.sizes[..outermost].iter().product::<usize>().max(1);
    if each.saturating_mul(plan.sizes[outermost]) < 2 * GRAIN || plan.strides[0][outermost] == 0 {
        // SAFETY: passed on from the caller.
        return unsafe { run_plan(program, compute, &plan, out, inputs, consts) };
    }
    let work = Work { program, compute, plan: &plan, out, inputs, consts };
    let failed = OnceLock::new();
    sweep(plan.sizes[outermost], GRAIN.div_ceil(each), |range| {
        // SAFETY: passed on from the caller: pieces write to different elements of the output.
        if let Err(error) = unsafe { work.piece(range) } {
            let _ = failed.set(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Elements that are worth a thread.
pub(super) const GRAIN: usize = 1 << 15;

/// What [`run`] was given.
struct Work<'a> {
    program: &'a Program,
    compute: DType,
    plan: &'a Plan,
    out: &'a Operand,
    inputs: &'a [Operand],
    consts: &'a [Scalar],
}

// SAFETY: pieces of the work read the same operands, and each writes to elements of its own.
unsafe impl Sync for Work<'_> {}

impl Work<'_> {
    /// A stretch of the outermost dimension.
    ///
    /// # Safety
    /// As for [`run`].
    unsafe fn piece(&self, range: Range<usize>) -> Result<()> {
        let outermost = self.plan.sizes.len() - 1;
        let mut plan = self.plan.clone();
        plan.sizes[outermost] = range.len();
        let moved = |i: usize, o: &Operand| {
            let by = range.start as isize * plan.strides[i][outermost] * o.dtype.size() as isize;
            Operand { pointer: o.pointer.wrapping_offset(by), ..o.clone() }
        };
        let inputs: SmallVec<[Operand; 4]> =
            self.inputs.iter().enumerate().map(|(i, o)| moved(i + 1, o)).collect();
        // SAFETY: a part of what the caller vouches for.
        unsafe { run_plan(self.program, self.compute, &plan, &moved(0, self.out), &inputs, self.consts) }
    }
}

/// # Safety
/// As for [`run`].
unsafe fn run_plan(
    program: &Program,
    compute: DType,
    plan: &Plan,
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
) -> Result<()> {
    // SAFETY: passed on from the caller.
    if unsafe { own_width::run(program, compute, plan, out, inputs, consts) } {
        return Ok(());
    }
    let together = Short::new(plan);
    let (plan, short) = together.as_ref().map_or((plan, None), |(plan, short)| (plan, Some(short)));
    // SAFETY: passed on from the caller.
    dispatch!(compute compute, T => unsafe { run_typed::<T>(program, plan, short, out, inputs, consts) })
}

/// Whether every step of the program has a kernel for the compute type.
pub fn supports(program: &Program, compute: DType) -> bool {
    dispatch!(compute compute, T => program.steps.iter().all(|s| T::kernel(s.operation).is_some()))
}

unsafe fn run_typed<T: Compute>(
    program: &Program,
    plan: &Plan,
    short: Option<&Short>,
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
    let layout = Layout::<T>::new(program, plan, short, out, inputs, &kernels);
    let room = layout.slots * layout.apart;
    if room <= FEW {
        let mut scratch = [const { MaybeUninit::<T>::uninit() }; FEW];
        // SAFETY: passed on from the caller; the scratch holds all tiles.
        unsafe {
            let scratch = scratch.as_mut_ptr().cast();
            run_tiles(program, plan, short, &layout, out, inputs, consts, &kernels, scratch)
        };
        return Ok(());
    }
    // From the beginning of a cache line on: vectors that lie in two lines are twice as slow.
    let mut scratch: Vec<MaybeUninit<T>> = Vec::with_capacity(room + LINE / size_of::<T>());
    let first = scratch.as_ptr().align_offset(LINE).min(LINE / size_of::<T>());
    // SAFETY: as above, with room reserved for all tiles.
    unsafe {
        let scratch = scratch.as_mut_ptr().add(first).cast();
        run_tiles(program, plan, short, &layout, out, inputs, consts, &kernels, scratch)
    };
    Ok(())
}

/// What goes through tiles, and where these lie.
struct Layout<T> {
    /// Elements of a tile, and from one to the next: tiles begin with cache lines unless they are tiny.
    width: usize,
    apart: usize,
    /// The number of tiles.
    slots: usize,
    /// Whether kernels read an input's memory itself, and else its tile.
    inputs: SmallVec<[(Direct, usize); 4]>,
    /// The first of the tiles of constants, of registers, and that of the result.
    consts: usize,
    registers: usize,
    result: usize,
    /// Whether the last step writes to the output's memory.
    direct_out: bool,
    /// The last step as one that replaces an operand in the output's memory, and its other operands.
    update: Option<(Update<T>, [Source; 2])>,
    /// Operands of which kernels read a single number.
    numbers: SmallVec<[Source; 4]>,
}

/// How kernels get at an input.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direct {
    /// In its memory.
    Memory,
    /// In a tile.
    Tile,
    /// In a buffer of several rows.
    Block,
}

impl<T: Compute> Layout<T> {
    fn new(
        program: &Program,
        plan: &Plan,
        short: Option<&Short>,
        out: &Operand,
        inputs: &[Operand],
        kernels: &[Kernel<T>],
    ) -> Layout<T> {
        let inner = plan.sizes[0];
        let dense = |o: &Operand, strides: &[isize]| {
            o.dtype == T::DTYPE && (strides[0] == 1 || inner == 1) && aligned::<T>(o.pointer)
        };
        // The last step may write to the output itself, unless the output is also read: then through a tile, so
        // that slices never alias.
        let aliased = !program.steps.is_empty() && inputs.iter().any(|i| i.pointer == out.pointer);
        let dense_out = dense(out, &plan.strides[0]);
        let update = if aliased && dense_out { replacing(program, plan, out, inputs) } else { None };
        let direct_out = dense_out && (!aliased || update.is_some());
        let plain = kernels.len() - update.is_some() as usize;
        let fixed = |s: Source| match s {
            Source::Input(i) => {
                plan.strides[i as usize + 1][0] == 0 && Short::between(short, i as usize).is_none()
            }
            Source::Const(_) => true,
            Source::Register(_) => false,
        };
        let numbers = match inner {
            1 => SmallVec::new(),
            _ => numbers(program, &kernels[..plain], inputs.len(), fixed),
        };
        let mut slots = 0;
        let mut take = |n: usize| {
            slots += n;
            slots - n
        };
        let rows = plan.sizes.get(1).copied().unwrap_or(1);
        let inputs_at = inputs
            .iter()
            .zip(&plan.strides[1..])
            .enumerate()
            .map(|(i, (input, strides))| {
                let whole = input.dtype == T::DTYPE && aligned::<T>(input.pointer);
                let direct = if dense(input, strides) || whole && numbers.contains(&Source::Input(i as u8)) {
                    Direct::Memory
                } else if rows > 1 && block::pays(input.dtype, strides, inner) {
                    Direct::Block
                } else {
                    Direct::Tile
                };
                (direct, take((direct == Direct::Tile) as usize))
            })
            .collect();
        let consts = take(program.consts);
        let registers = take(if program.steps.len() > 1 { program.registers } else { 0 });
        let result = take(!direct_out as usize);
        let width = match slots {
            0 => inner,
            _ => tile_width::<T>(slots + inputs.len() + 1, inner),
        };
        let width = short.map_or(width, |short| width / short.inner * short.inner);
        let apart = if slots * width <= FEW { width } else { width.next_multiple_of(LINE / size_of::<T>()) };
        Layout {
            width,
            apart,
            slots,
            inputs: inputs_at,
            consts,
            registers,
            result,
            direct_out,
            update,
            numbers,
        }
    }
}

/// The operands of which kernels read a single number: those that are `fixed` and named only together with an operand
/// that is not, by steps whose kernels take numbers.
pub(super) fn numbers<T>(
    program: &Program,
    kernels: &[Kernel<T>],
    inputs: usize,
    fixed: impl Fn(Source) -> bool,
) -> SmallVec<[Source; 4]> {
    let is_number = |s: Source| {
        let fits = |(step, kernel): (&Step, Option<&Kernel<T>>)| match (kernel, step.args) {
            (Some(Kernel::Arithmetic(_)), [a, b, ..]) => !(fixed(a) && fixed(b)),
            (Some(Kernel::Clamp(_)), [a, b, c, _]) => !fixed(a) && fixed(b) && fixed(c),
            (Some(Kernel::Choose(_)), [a, b, c, d]) => !fixed(a) && fixed(b) && fixed(c) && !fixed(d),
            _ => false,
        };
        let uses = |step: &Step| step.args[..step.operation.arity()].contains(&s);
        let kernels = kernels.iter().map(Some).chain(std::iter::repeat(None));
        let mut named = program.steps.iter().zip(kernels).filter(|(step, _)| uses(step)).peekable();
        fixed(s) && s != program.result && named.peek().is_some() && named.all(fits)
    };
    (0..inputs)
        .map(|i| Source::Input(i as u8))
        .chain((0..program.consts).map(|i| Source::Const(i as u8)))
        .filter(|&s| is_number(s))
        .collect()
}

/// Elements of a tile of a row of `inner` elements, where `operands` tiles and rows lie in the cache together.
pub(super) fn tile_width<T>(operands: usize, inner: usize) -> usize {
    let fits = TILES / (operands * size_of::<T>()) / LINE * LINE;
    inner.min(fits.clamp(TILE.0, TILE.1))
}

/// The last step as one that replaces the only input in the output's place.
fn replacing<T: Compute>(
    program: &Program,
    plan: &Plan,
    out: &Operand,
    inputs: &[Operand],
) -> Option<(Update<T>, [Source; 2])> {
    let mut same = (0..inputs.len()).filter(|&i| inputs[i].pointer == out.pointer);
    let (own, None) = (same.next()?, same.next()) else { return None };
    let last = program.steps.last()?;
    let fits = program.result_step() == Some(program.steps.len() - 1)
        && inputs[own].dtype == T::DTYPE
        && plan.strides[own + 1] == plan.strides[0];
    let others = others(last, Source::Input(own as u8))?;
    T::update(last.operation).filter(|_| fits).map(|kernel| (kernel, others))
}

#[allow(clippy::too_many_arguments)]
unsafe fn run_tiles<T: Compute>(
    program: &Program,
    plan: &Plan,
    short: Option<&Short>,
    layout: &Layout<T>,
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
    kernels: &[Kernel<T>],
    scratch: *mut T,
) {
    let width = layout.width;
    // SAFETY: the scratch holds a tile for each slot.
    let tile = |slot: usize| unsafe { scratch.add(slot * layout.apart) };
    let count = |s: Source, n: usize| if layout.numbers.contains(&s) { 1 } else { n };
    for (i, value) in consts.iter().enumerate().take(program.consts) {
        // SAFETY: constant tiles lie in the scratch.
        unsafe {
            fill(tile(layout.consts + i), count(Source::Const(i as u8), width), T::from_scalar(*value))
        };
    }
    let inner = plan.sizes[0];
    let out_stride = plan.strides[0][0];
    let result_step = program.result_step();
    let mut blocks: SmallVec<[Vec<T>; 4]> = SmallVec::new();
    for (direct, _) in &layout.inputs {
        let rows = if *direct == Direct::Block { plan.sizes[1].min(block::ROWS) } else { 0 };
        blocks.push(vec![T::default(); rows * inner]);
    }
    // Where the tile of an input that does not move along the inner dimension was loaded from.
    let mut loaded: SmallVec<[*mut u8; 4]> = SmallVec::from_elem(std::ptr::null_mut(), inputs.len());
    let mut index: SmallVec<[usize; 5]> = SmallVec::from_elem(0, plan.sizes.len());
    let sizes: SmallVec<[isize; 5]> =
        std::iter::once(out).chain(inputs).map(|o| o.dtype.size() as isize).collect();
    let mut row: SmallVec<[*mut u8; 5]> = std::iter::once(out).chain(inputs).map(|o| o.pointer).collect();
    let mut source: SmallVec<[*const T; 4]> = SmallVec::from_elem(std::ptr::null(), inputs.len());
    loop {
        let in_block = index.get(1).map_or(0, |&i| i % block::ROWS);
        if in_block == 0 {
            for (i, buffer) in blocks.iter_mut().enumerate().filter(|(_, b)| !b.is_empty()) {
                let rows = (plan.sizes[1] - index[1]).min(block::ROWS);
                let stride = plan.strides[i + 1][0];
                // SAFETY: the caller vouches for these rows; the buffer holds as many.
                unsafe { block::read(row[i + 1], inputs[i].dtype, stride, buffer.as_mut_ptr(), rows, inner) };
            }
        }
        let mut start = 0;
        while start < inner {
            let n = (inner - start).min(width);
            let at = |i: usize| row[i].wrapping_offset(start as isize * plan.strides[i][0] * sizes[i]);
            let out_pointer = at(0);
            // Where an input's elements are read from.
            let from = |i: usize| match (short, Short::between(short, i)) {
                (Some(short), Some(between)) => {
                    at(i + 1).wrapping_offset((start / short.inner) as isize * between * sizes[i + 1])
                }
                _ => at(i + 1),
            };
            let read = |i: usize, to: *mut T, n: usize| {
                // SAFETY: the caller vouches for the operands; there are `n` places.
                unsafe {
                    match short {
                        Some(short) if Short::between(Some(short), i).is_some() => {
                            short.read(i, from(i), inputs[i].dtype, to, n);
                        }
                        _ => load(from(i), inputs[i].dtype, plan.strides[i + 1][0], to, n),
                    }
                }
            };
            for (i, &(direct, slot)) in layout.inputs.iter().enumerate() {
                source[i] = match direct {
                    Direct::Memory => at(i + 1).cast_const().cast(),
                    Direct::Block => blocks[i][in_block * inner + start..].as_ptr(),
                    // A plain conversion is loaded to its place.
                    Direct::Tile if program.steps.is_empty() && layout.direct_out => {
                        read(i, out_pointer.cast::<T>(), n);
                        continue;
                    }
                    Direct::Tile => {
                        let pointer = from(i);
                        let moves = Short::between(short, i).unwrap_or(plan.strides[i + 1][0]) != 0;
                        // The first tile of a row is its longest.
                        if moves || loaded[i] != pointer {
                            read(i, tile(slot), count(Source::Input(i as u8), n));
                            loaded[i] = pointer;
                        }
                        tile(slot)
                    }
                };
            }
            let locate = |s: Source| match s {
                Source::Input(i) => source[i as usize],
                Source::Const(i) => tile(layout.consts + i as usize) as *const T,
                Source::Register(i) => tile(layout.registers + i as usize) as *const T,
            };
            let result = if layout.direct_out { out_pointer.cast::<T>() } else { tile(layout.result) };
            let register = |r: u8| tile(layout.registers + r as usize);
            let plain = if layout.update.is_some() { &kernels[..kernels.len() - 1] } else { kernels };
            // SAFETY: operands are valid for n elements; the result's place is a tile of its own or the unaliased
            // output.
            unsafe { run_steps(program, plain, n, |s| count(s, n), locate, register, result_step, result) };
            if let Some((kernel, others)) = layout.update {
                // An operation of one operand has no others.
                let apart = |s: &Source| locate(*s) != result.cast_const();
                // SAFETY: as above; the output is apart from the other operands.
                unsafe {
                    let [a, b] = others.map(|s| {
                        let n = if apart(&s) { n } else { 0 };
                        std::slice::from_raw_parts(locate(s), n)
                    });
                    kernel(std::slice::from_raw_parts_mut(result, n), [a, b]);
                }
            }
            // SAFETY: the output is writable for this row; the tile holds n results.
            unsafe {
                match (result_step, program.result) {
                    (Some(_), _) if layout.direct_out => {}
                    (Some(_), _) => store(result, out_pointer, out.dtype, out_stride, n),
                    (None, Source::Input(i))
                        if layout.direct_out && layout.inputs[i as usize].0 == Direct::Tile => {}
                    (None, result) => store(locate(result), out_pointer, out.dtype, out_stride, n),
                }
            }
            start += n;
        }
        // Next row.
        let mut d = 1;
        loop {
            if d == index.len() {
                return;
            }
            index[d] += 1;
            let steps = if index[d] < plan.sizes[d] { 1 } else { 1 - index[d] as isize };
            for (i, pointer) in row.iter_mut().enumerate() {
                *pointer = pointer.wrapping_offset(steps * plan.strides[i][d] * sizes[i]);
            }
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
/// `locate` and `register` must give valid places for n elements of each operand and register that the steps name, or for
/// `count` ones of operands of which kernels read a single number;
/// `result` must be valid for n writes and overlap none of them (the compiler of programs never reuses an operand's
/// register for the result).
#[inline]
pub(super) unsafe fn run_steps<T: Compute>(
    program: &Program,
    kernels: &[Kernel<T>],
    n: usize,
    count: impl Fn(Source) -> usize,
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
            let some = |s: Source| std::slice::from_raw_parts(locate(s), count(s));
            let to = std::slice::from_raw_parts_mut(to, n);
            match *kernel {
                Kernel::Unary(f) => f(slice(step.args[0]), to),
                Kernel::Binary(f) => f(slice(step.args[0]), slice(step.args[1]), to),
                Kernel::Arithmetic(f) => {
                    let [a, b, ..] = step.args;
                    let some = |s: Source, n: usize| std::slice::from_raw_parts(locate(s), n);
                    // A constant is a number here, though other steps need its tile.
                    let (n_a, n_b) = match (a, b, count(a), count(b)) {
                        (_, Source::Const(_), own, _) if own == n => (n, 1),
                        (Source::Const(_), _, _, own) if own == n => (1, n),
                        (_, _, n_a, n_b) => (n_a, n_b),
                    };
                    f(some(a, n_a), some(b, n_b), to)
                }
                Kernel::Ternary(f) => f(slice(step.args[0]), slice(step.args[1]), slice(step.args[2]), to),
                Kernel::Clamp(f) => f(slice(step.args[0]), some(step.args[1]), some(step.args[2]), to),
                Kernel::Choose(f) => {
                    let [a, b, c, d] = step.args;
                    f(slice(a), some(b), some(c), slice(d), to)
                }
            }
        }
    }
}
