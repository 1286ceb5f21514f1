//! Programs over operands that are dense or a single element and need no threads: the tile engine without its planning,
//! for most tensors of loops written in Python. One of the modules with unsafe code.

use super::engine::{GRAIN, LINE, Program, Source, numbers, run_steps, tile_width};
use super::kernels::{Compute, Kernel};
use super::own_width;
use super::transfer::{aligned, fill, load, store};
use flambeau_core::parallel::turns;
use flambeau_core::{DType, Result, Scalar, bail, dispatch};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The most elements that [`run_flat`] takes: fewer than those that are shared among threads.
pub const FLAT: usize = 2 * GRAIN - 1;
/// Elements that are computed as one tile whatever the program.
pub const SMALL: usize = 512;
/// Bytes of an operand that are computed at once where a step goes backwards over more than the first-level cache holds.
const PIECE: usize = 8192;
/// Elements that fit on the stack.
const STACK: usize = 96;

/// An operand: elements one after the other, or one that stands for all.
#[derive(Clone, Copy, Debug)]
pub struct Flat {
    pub pointer: *mut u8,
    pub dtype: DType,
    pub single: bool,
}

/// Runs `program` in the compute type `compute` over `n` elements, at most [`FLAT`].
///
/// # Safety
/// Every operand must be valid for its `n` elements (or its single one), `out` for writing; `out` must not overlap an
/// input except by naming the same elements in the same order, and not be single unless `n` is 1.
pub unsafe fn run_flat(
    program: &Program,
    compute: DType,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> Result<()> {
    if n > FLAT {
        bail!("{n} elements are not few");
    }
    // SAFETY: passed on from the caller.
    if unsafe { own_width::run_flat(program, compute, n, out, inputs, consts) } {
        return Ok(());
    }
    // SAFETY: as above.
    dispatch!(compute compute, T => unsafe { run_typed::<T>(program, n, out, inputs, consts) })
}

/// Which tiles there are, one after the other.
struct Tiles {
    /// Elements of a tile, and from one to the next.
    width: usize,
    apart: usize,
    /// The tile of each input, or [`MEMORY`] if it is read there.
    inputs: SmallVec<[u16; 8]>,
    /// The first of the tiles of constants, of registers, and that of the result.
    consts: usize,
    registers: usize,
    result: usize,
    /// Whether the step of the result writes to the output's memory.
    direct: bool,
}

/// No tile.
const MEMORY: u16 = u16::MAX;

unsafe fn run_typed<T: Compute>(
    program: &Program,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> Result<()> {
    // SAFETY: passed on from the caller.
    if unsafe { run_step::<T>(program, n, out, inputs, consts) } {
        return Ok(());
    }
    let mut kernels: SmallVec<[Kernel<T>; 4]> = SmallVec::new();
    for step in &program.steps {
        match T::kernel(step.operation) {
            Some(kernel) => kernels.push(kernel),
            None => bail!("{:?} has no kernel for {}", step.operation, T::DTYPE),
        }
    }
    let mut slots = 0;
    let mut take = |n: usize| {
        slots += n;
        slots - n
    };
    let own = |i: &Flat| i.dtype == T::DTYPE && (n == 1 || !i.single) && aligned::<T>(i.pointer);
    let mut inputs_at = SmallVec::new();
    for input in inputs {
        inputs_at.push(if own(input) { MEMORY } else { take(1) as u16 });
    }
    let consts_at = take(program.consts);
    let registers = take(if program.steps.len() > 1 { program.registers } else { 0 });
    let aliased = inputs.iter().any(|i| i.pointer == out.pointer);
    let direct = out.dtype == T::DTYPE && !aliased && aligned::<T>(out.pointer) && !program.steps.is_empty();
    let result = take(!direct as usize);
    let few = n <= SMALL;
    let width = if few || slots == 0 { n } else { tile_width::<T>(slots + inputs.len() + 1, n) };
    let fixed = |s: Source| match s {
        Source::Input(i) => inputs[i as usize].single,
        Source::Const(_) => true,
        Source::Register(_) => false,
    };
    let numbers = if few { SmallVec::new() } else { numbers(program, &kernels, inputs.len(), fixed) };
    // From the beginning of a cache line on: vectors that lie in two lines are twice as slow.
    let line = LINE / size_of::<T>();
    let apart = if slots * width <= STACK { width } else { width.next_multiple_of(line) };
    let tiles = Tiles { width, apart, inputs: inputs_at, consts: consts_at, registers, result, direct };
    let mut few = [const { MaybeUninit::<T>::uninit() }; STACK];
    let mut many: Vec<MaybeUninit<T>> = Vec::new();
    let scratch: *mut T = match slots * width <= STACK {
        true => few.as_mut_ptr().cast(),
        false => {
            many.reserve_exact(slots * apart + line);
            let first = many.as_ptr().align_offset(LINE).min(line);
            many.as_mut_ptr().wrapping_add(first).cast()
        }
    };
    // SAFETY: passed on from the caller; the scratch holds all tiles.
    unsafe { run_tiles(program, &kernels, n, out, inputs, consts, &tiles, &numbers, scratch) };
    Ok(())
}

/// Runs a program of one step on operands that its kernel can read and write in their memory. False where nothing was done.
///
/// # Safety
/// As for [`run_flat`].
#[inline(always)]
unsafe fn run_step<T: Compute>(
    program: &Program,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> bool {
    let ([step], Source::Register(_)) = (&program.steps[..], program.result) else { return false };
    let own = |x: &Flat| x.dtype == T::DTYPE && aligned::<T>(x.pointer);
    if !own(out) || !inputs.iter().all(|i| own(i) && i.pointer != out.pointer) || consts.len() > 2 {
        return false;
    }
    let number = |i: usize| consts.get(i).map_or_else(T::default, |&c| T::from_scalar(c));
    let numbers = [number(0), number(1)];
    let is_single = |s: Source| match s {
        Source::Input(i) => inputs[i as usize].single,
        _ => true,
    };
    let kernel = T::kernel(step.operation);
    let [a, b, c, d] = step.args;
    // Limits are numbers or no operand is one.
    let limits = is_single(b) == is_single(c);
    let whole = match kernel {
        Some(Kernel::Unary(_)) => !is_single(a),
        Some(Kernel::Binary(_)) => !is_single(a) && !is_single(b),
        Some(Kernel::Arithmetic(_)) => !(is_single(a) && is_single(b)),
        Some(Kernel::Ternary(_)) => ![a, b, c].iter().any(|&s| is_single(s)),
        Some(Kernel::Clamp(_)) => !is_single(a) && limits,
        Some(Kernel::Choose(_)) => !is_single(a) && !is_single(d) && limits,
        _ => return false,
    };
    if !whole && n > 1 {
        return false;
    }
    let part = |start: usize, n: usize| {
        let operand = |s: Source| match s {
            Source::Input(i) => {
                let Flat { pointer, single, .. } = inputs[i as usize];
                let (start, n) = if single { (0, 1) } else { (start, n) };
                // SAFETY: the caller vouches for so many elements.
                unsafe { std::slice::from_raw_parts(pointer.cast::<T>().add(start), n) }
            }
            Source::Const(i) => std::slice::from_ref(&numbers[i as usize]),
            Source::Register(_) => &numbers[..0],
        };
        // SAFETY: valid for so many writes, and no input.
        let to = unsafe { std::slice::from_raw_parts_mut(out.pointer.cast::<T>().add(start), n) };
        match kernel {
            Some(Kernel::Unary(f)) => f(operand(a), to),
            Some(Kernel::Binary(f) | Kernel::Arithmetic(f)) => f(operand(a), operand(b), to),
            Some(Kernel::Ternary(f) | Kernel::Clamp(f)) => f(operand(a), operand(b), operand(c), to),
            Some(Kernel::Choose(f)) => f(operand(a), operand(b), operand(c), operand(d), to),
            _ => {}
        }
    };
    let piece = PIECE / size_of::<T>();
    if n > 2 * piece && turns() {
        (0..n).step_by(piece).rev().for_each(|start| part(start, piece.min(n - start)));
    } else {
        part(0, n);
    }
    true
}

/// # Safety
/// As for [`run_flat`]; `scratch` has room for the tiles.
#[allow(clippy::too_many_arguments)]
#[inline(always)]
unsafe fn run_tiles<T: Compute>(
    program: &Program,
    kernels: &[Kernel<T>],
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
    tiles: &Tiles,
    numbers: &[Source],
    scratch: *mut T,
) {
    let width = tiles.width;
    // SAFETY: slots lie in the scratch.
    let tile = |slot: usize| unsafe { scratch.add(slot * tiles.apart) };
    let count = |s: Source, n: usize| if numbers.contains(&s) { 1 } else { n };
    for (i, value) in consts.iter().enumerate().take(program.consts) {
        let n = count(Source::Const(i as u8), width);
        // SAFETY: the constant's tile has `width` elements.
        unsafe { fill(tile(tiles.consts + i), n, T::from_scalar(*value)) };
    }
    for (i, input) in inputs.iter().enumerate() {
        let slot = tiles.inputs[i];
        if input.single && slot != MEMORY {
            let n = count(Source::Input(i as u8), width);
            // SAFETY: the caller vouches for the element; the tile has `width` of them.
            unsafe { load(input.pointer, input.dtype, 0, tile(slot as usize), n) };
        }
    }
    let result_step = program.result_step();
    let mut sources: SmallVec<[*const T; 4]> = SmallVec::from_elem(std::ptr::null(), inputs.len());
    let mut start = 0;
    while start < n {
        let m = (n - start).min(width);
        let at = |flat: &Flat| flat.pointer.wrapping_add(start * flat.dtype.size());
        for ((source, input), slot) in sources.iter_mut().zip(inputs).zip(&tiles.inputs) {
            *source = match *slot {
                MEMORY => at(input).cast_const().cast(),
                slot => {
                    if !input.single {
                        // SAFETY: the caller vouches for the operand; the tile has `width >= m` elements.
                        unsafe { load(at(input), input.dtype, 1, tile(slot as usize), m) };
                    }
                    tile(slot as usize)
                }
            };
        }
        let locate = |s: Source| match s {
            Source::Input(i) => sources[i as usize],
            Source::Const(i) => tile(tiles.consts + i as usize) as *const T,
            Source::Register(i) => tile(tiles.registers + i as usize) as *const T,
        };
        let register = |r: u8| tile(tiles.registers + r as usize);
        let result = if tiles.direct { at(out).cast::<T>() } else { tile(tiles.result) };
        // SAFETY: operands have m elements; the result's place is a tile of its own or the unaliased output.
        unsafe {
            run_steps(program, kernels, m, |s| count(s, m), locate, register, result_step, result);
            match result_step {
                Some(_) if tiles.direct => {}
                Some(_) => store(result, at(out), out.dtype, 1, m),
                None => store(locate(program.result), at(out), out.dtype, 1, m),
            }
        }
        start += m;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::{Operation, Prim, Step};

    fn sum() -> Program {
        let args = [Source::Input(0), Source::Input(1), Source::Input(1), Source::Input(1)];
        let steps = vec![Step { operation: Operation::Prim(Prim::Add), args, to: 0 }];
        Program { steps, result: Source::Register(0), registers: 1, consts: 0 }
    }

    fn flat<T: flambeau_core::Element>(data: &mut [T]) -> Flat {
        Flat { pointer: data.as_mut_ptr().cast(), dtype: T::DTYPE, single: data.len() == 1 }
    }

    #[test]
    fn dense_and_single_operands_of_other_dtypes() {
        let (mut a, mut b, mut out) = ([1i32, 2, 3], [0.5f32], [0f64; 3]);
        let (x, y, to) = (flat(&mut a), flat(&mut b), flat(&mut out));
        // SAFETY: three elements each, or a single one.
        unsafe { run_flat(&sum(), DType::Float32, 3, &to, &[x, y], &[]).unwrap() };
        assert_eq!(out, [1.5, 2.5, 3.5]);
    }

    #[test]
    fn tiles_of_steps_numbers_and_converted_operands() {
        // (x + y) * 3 + x, with x of another dtype and y a single element
        let args = |a, b| [a, b, b, b];
        let step = |p, args, to| Step { operation: Operation::Prim(p), args, to };
        let (x, y) = (Source::Input(0), Source::Input(1));
        let steps = vec![
            step(Prim::Add, args(x, y), 0),
            step(Prim::Mul, args(Source::Register(0), Source::Const(0)), 1),
            step(Prim::Add, args(Source::Register(1), x), 2),
        ];
        let program = Program { steps, result: Source::Register(2), registers: 3, consts: 1 };
        let mut a: Vec<i16> = (0..20_011).map(|i| (i % 1999) as i16).collect();
        let (mut b, mut out) = ([0.5f32], vec![0f64; a.len()]);
        let (x, y, to) = (flat(&mut a), flat(&mut b), flat(&mut out));
        let three = [Scalar::Float(3.0)];
        // SAFETY: as many elements each, or a single one.
        unsafe { run_flat(&program, DType::Float32, a.len(), &to, &[x, y], &three).unwrap() };
        assert!(out.iter().zip(&a).all(|(&o, &a)| o == (a as f64 + 0.5) * 3.0 + a as f64));
    }

    #[test]
    fn choices_by_numbers_and_by_elements() {
        let (x, y, z) = (Source::Input(0), Source::Input(1), Source::Input(2));
        let (low, high) = (Source::Const(0), Source::Const(1));
        let (clamp, choose) = (Operation::Clamp, Operation::Choose(Prim::Le));
        let limits = [Scalar::Float(-1.5), Scalar::Float(2.0)];
        for n in [1, 2, 600, 20_011] {
            let numbers = |by: usize| (0..n).map(|i| (i * by % 13) as f32 - 6.0).collect::<Vec<f32>>();
            let (mut a, mut b, mut c, mut out) = (numbers(1), numbers(5), [0.5f32], vec![0f32; n]);
            let inputs = [flat(&mut a), flat(&mut b), flat(&mut c)];
            for (operation, args) in [
                (clamp, [x, low, high, high]),
                (clamp, [x, y, high, high]),
                (clamp, [x, z, high, high]),
                (clamp, [x, low, y, y]),
                (clamp, [z, low, y, y]),
                (choose, [x, low, high, x]),
                (choose, [x, low, high, y]),
                (choose, [x, low, z, y]),
                (choose, [x, y, high, x]),
                (choose, [x, low, high, z]),
                (choose, [z, low, y, x]),
            ] {
                let steps = vec![Step { operation, args, to: 0 }];
                let program = Program { steps, result: Source::Register(0), registers: 1, consts: 2 };
                let to = flat(&mut out);
                // SAFETY: n elements each, or a single one.
                unsafe { run_flat(&program, DType::Float32, n, &to, &inputs, &limits).unwrap() };
                for i in 0..n {
                    let of = |s: Source| match s {
                        Source::Input(0) => a[i],
                        Source::Input(1) => b[i],
                        Source::Input(_) => c[0],
                        Source::Const(k) => [-1.5, 2.0][k as usize],
                        Source::Register(_) => f32::NAN,
                    };
                    let [p, q, r, s] = args.map(of);
                    let right = if operation == clamp {
                        p.max(q).min(r)
                    } else if p <= q {
                        r
                    } else {
                        s
                    };
                    assert_eq!(out[i], right, "{operation:?} {args:?} {i} of {n}");
                }
            }
        }
    }

    #[test]
    fn the_output_may_be_an_input() {
        let mut a: Vec<f32> = (0..400).map(|i| i as f32).collect();
        let x = flat(&mut a);
        // SAFETY: the same elements in the same order.
        unsafe { run_flat(&sum(), DType::Float32, 400, &x, &[x, x], &[]).unwrap() };
        assert!(a.iter().enumerate().all(|(i, &v)| v == 2.0 * i as f32));
    }
}
