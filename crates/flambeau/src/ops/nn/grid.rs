//! Sampling on grids: `grid_sampler` and `affine_grid_generator`.

use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::ops::dense::{Dense, computed, computed_pair};
use crate::ops::{common_device, matmul, shape};
use flambeau_core::{DType, Dims, Result, bail, show};
use flambeau_cpu::grid::{self, GridShape, Interpolation, Padding};
use smallvec::smallvec;

/// How a sampling goes about; its sizes follow from the tensors.
#[derive(Clone, Copy)]
struct Sampler {
    interpolation: Interpolation,
    padding: Padding,
    align_corners: bool,
}

fn two_or_three(dims: usize, two: &'static str, three: &'static str) -> &'static str {
    if dims == 2 { two } else { three }
}

impl Sampler {
    fn new(interpolation_mode: i64, padding_mode: i64, align_corners: bool) -> Sampler {
        let interpolation = match interpolation_mode {
            0 => Interpolation::Linear,
            1 => Interpolation::Nearest,
            _ => Interpolation::Cubic,
        };
        let padding = match padding_mode {
            0 => Padding::Zeros,
            1 => Padding::Border,
            _ => Padding::Reflection,
        };
        Sampler { interpolation, padding, align_corners }
    }

    fn shape(&self, input: &Tensor, grid: &Tensor) -> GridShape {
        let (sizes, points) = (input.sizes(), grid.sizes());
        let dims = sizes.len() - 2;
        let mut spatial = [1; 3];
        for (to, &size) in spatial[3 - dims..].iter_mut().zip(&sizes[2..]) {
            *to = size as usize;
        }
        GridShape {
            batch: sizes[0] as usize,
            channels: sizes[1] as usize,
            dims,
            input: spatial,
            points: flambeau_core::count(&points[1..=dims]) as usize,
            interpolation: self.interpolation,
            padding: self.padding,
            align_corners: self.align_corners,
        }
    }

    fn forward(self, input: &Tensor, grid: &Tensor) -> Result<Tensor> {
        let (sizes, dtype) = (input.sizes(), input.dtype());
        let dims = sizes.len() - 2;
        let to: Dims = sizes[..2].iter().chain(&grid.sizes()[1..=dims]).copied().collect();
        let out = if input.is_meta() || grid.is_meta() {
            Tensor::empty_raw(&to, dtype, input.device())?
        } else {
            let _guard = GradMode::no_grad();
            let s = self.shape(input, grid);
            macro_rules! run {
                ($T:ty) => {{
                    let (x, g) = (Dense::<$T>::of(input)?, Dense::<$T>::of(grid)?);
                    computed::<$T>(&to, dtype, |out| grid::sample(&s, &x, &g, out))?
                }};
            }
            if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
        };
        let name = two_or_three(dims, "GridSampler2DBackward0", "GridSampler3DBackward0");
        record(&[&out], name, &[input, grid], &[Save::Input(input), Save::Input(grid)], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
            let (by_input, by_grid) = self.backward(grad, &ctx.saved(0)?, &ctx.saved(1)?)?;
            Ok(smallvec![Some(by_input).filter(|_| ctx.needs(0)), Some(by_grid).filter(|_| ctx.needs(1))])
        })?;
        Ok(out)
    }

    /// The gradients by the input and by the grid.
    fn backward(self, grad: &Tensor, input: &Tensor, grid: &Tensor) -> Result<(Tensor, Tensor)> {
        let (sizes, places, dtype) = (input.sizes(), grid.sizes(), input.dtype());
        let dims = sizes.len() - 2;
        let (by_input, by_grid) = if grad.is_meta() {
            (
                Tensor::empty_raw(&sizes, dtype, grad.device())?,
                Tensor::empty_raw(&places, dtype, grad.device())?,
            )
        } else {
            let _guard = GradMode::no_grad();
            let s = self.shape(input, grid);
            macro_rules! run {
                ($T:ty) => {{
                    let (x, p) = (Dense::<$T>::of(input)?, Dense::<$T>::of(grid)?);
                    let g = Dense::<$T>::of(grad)?;
                    let run = |a: &mut [$T], b: &mut [$T]| grid::sample_backward(&s, &g, &x, &p, a, b);
                    let (a, b) = computed_pair::<$T, $T>([&sizes, &places], dtype, run)?;
                    (a, shape::to_dtype(&b, dtype)?)
                }};
            }
            if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
        };
        let saves = [Save::Input(grad), Save::Input(input), Save::Input(grid)];
        let name = two_or_three(dims, "GridSampler2DBackwardBackward0", "GridSampler3DBackwardBackward0");
        record(&[&by_input, &by_grid], name, &[grad, input, grid], &saves, move |ctx| {
            let (grad, input, grid) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?);
            let given = |i: usize, like: &Tensor| match ctx.grad(i) {
                Some(t) => Ok(t.clone()),
                None => shape::zeros_of(like),
            };
            let along = [given(0, &input)?, given(1, &grid)?];
            let three = self.twice(&along, [&grad, &input, &grid])?;
            Ok(three.into_iter().enumerate().map(|(i, t)| Some(t).filter(|_| ctx.needs(i))).collect())
        })?;
        Ok((by_input, by_grid))
    }

    /// The gradients of `backward`, which are not differentiable any further.
    fn twice(self, along: &[Tensor; 2], given: [&Tensor; 3]) -> Result<[Tensor; 3]> {
        let [grad, input, grid] = given;
        let (dtype, sizes) = (input.dtype(), [grad.sizes(), input.sizes(), grid.sizes()]);
        let three = if grad.is_meta() {
            let empty = |i: usize| Tensor::empty_raw(&sizes[i], dtype, grad.device());
            [empty(0)?, empty(1)?, empty(2)?]
        } else {
            let _guard = GradMode::no_grad();
            let s = self.shape(input, grid);
            macro_rules! run {
                ($T:ty) => {{
                    let dense = |t: &Tensor| Dense::<$T>::of(t);
                    let (a, b) = (dense(&along[0])?, dense(&along[1])?);
                    let (g, x, p) = (dense(grad)?, dense(input)?, dense(grid)?);
                    let mut third = None;
                    let two = [&sizes[0][..], &sizes[1]];
                    let (first, second) = computed_pair::<$T, $T>(two, dtype, |to_grad, to_input| {
                        third = Some(computed::<$T>(&sizes[2], dtype, |to_grid| {
                            let to = [to_grad, to_input, to_grid];
                            grid::sample_backward_backward(&s, [&a, &b], [&g, &x, &p], to)
                        })?);
                        Ok(())
                    })?;
                    let Some(third) = third else { bail!("grid_sampler: nothing was computed") };
                    [first, shape::to_dtype(&second, dtype)?, third]
                }};
            }
            if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
        };
        let inputs = [&along[0], &along[1], grad, input, grid];
        let outputs: Vec<&Tensor> = three.iter().collect();
        record(&outputs, "NotImplemented", &inputs, &[], |_| {
            bail!("derivative for aten::grid_sampler_backward_backward is not implemented")
        })?;
        Ok(three)
    }
}

fn check(input: &Tensor, grid: &Tensor) -> Result<()> {
    let (sizes, places) = (input.sizes(), grid.sizes());
    common_device(&[input, grid])?;
    if places.is_empty() || sizes.first() != places.first() {
        bail!(
            "grid_sampler(): expected grid and input to have same batch size, but got input with sizes {} and grid with sizes {}",
            show(&sizes),
            show(&places)
        );
    }
    let dims = sizes.len() as i64 - 2;
    if places[places.len() - 1] != dims {
        bail!(
            "grid_sampler(): expected grid to have size {dims} in last dimension, but got grid with sizes {}",
            show(&places)
        );
    }
    if let Some(empty) = (2..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes {} with dimension {empty} being empty",
            show(&sizes)
        );
    }
    if !(4..=5).contains(&sizes.len()) || sizes.len() != places.len() {
        bail!(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got input with sizes {} and grid with sizes {}",
            show(&sizes),
            show(&places)
        );
    }
    let kernel = two_or_three(dims as usize, "grid_sampler_2d_cpu_kernel_impl", "grid_sampler3d_cpu");
    if !input.is_floating_point() {
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", input.dtype().cpp_name());
    }
    if input.dtype() != grid.dtype() {
        bail!("expected scalar type {} but found {}", input.dtype().cpp_name(), grid.dtype().cpp_name());
    }
    Ok(())
}

/// `torch.grid_sampler`: (N, C, spatial…) at the positions `grid` (N, places…, 2 or 3) in [-1, 1].
pub fn grid_sampler(
    input: &Tensor,
    grid: &Tensor,
    interpolation_mode: i64,
    padding_mode: i64,
    align_corners: bool,
) -> Result<Tensor> {
    check(input, grid)?;
    Sampler::new(interpolation_mode, padding_mode, align_corners).forward(input, grid)
}

macro_rules! of_rank {
    ($($rank:literal $name:ident;)*) => { $(
        #[doc = concat!("`torch.", stringify!($name), "`")]
        pub fn $name(
            input: &Tensor,
            grid: &Tensor,
            interpolation_mode: i64,
            padding_mode: i64,
            align_corners: bool,
        ) -> Result<Tensor> {
            if input.dim() != $rank || grid.dim() != $rank {
                bail!(
                    "grid_sampler(): expected {}D input and grid, but got input with sizes {} and grid with sizes {}",
                    $rank,
                    show(&input.sizes()),
                    show(&grid.sizes())
                );
            }
            grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)
        }
    )* };
}
of_rank! {
    4 grid_sampler_2d;
    5 grid_sampler_3d;
}

/// The normalised coordinates of `n` elements along a dimension.
fn steps(n: i64, align_corners: bool) -> Vec<f64> {
    let n = n.max(0);
    let last = if align_corners { 1.0 } else { (n - 1) as f64 / n as f64 };
    // From both ends, so that the coordinates are symmetric.
    let step = 2.0 * last / (n - 1).max(1) as f64;
    let at = |i: i64| if i < n / 2 { -last + step * i as f64 } else { last - step * (n - 1 - i) as f64 };
    if n == 1 { vec![if align_corners { -1.0 } else { 0.0 }] } else { (0..n).map(at).collect() }
}

/// `torch.affine_grid_generator`: where the maps `theta` (N, 2, 3) or (N, 3, 4) take the elements of a tensor of
/// `size`, as (N, places…, 2 or 3).
pub fn affine_grid_generator(theta: &Tensor, size: &[i64], align_corners: bool) -> Result<Tensor> {
    if size.len() != 4 && size.len() != 5 {
        bail!("AffineGridGenerator needs 4d (spatial) or 5d (volumetric) inputs.");
    }
    let (spatial, dims) = (&size[2..], size.len() - 2);
    if let Some(bad) = spatial.iter().chain(&size[..1]).find(|&&n| n < 0) {
        let shown: Dims = size[..1].iter().chain(spatial).copied().chain([dims as i64 + 1]).collect();
        bail!("Trying to create tensor with negative dimension {bad}: {}", show(&shown));
    }
    let wanted = [size[0], dims as i64, dims as i64 + 1];
    let have = theta.sizes();
    if have.len() != 3 || have[0] != wanted[0] || have[2] != wanted[2] {
        let got: Dims = if have.len() == 3 { smallvec![have[0], have[2]] } else { have };
        bail!(
            "Expected size for first two dimensions of batch2 tensor to be: [{}, {}] but got: {}.",
            wanted[0],
            wanted[2],
            show(&got)
        );
    }
    if have[1] != wanted[1] {
        bail!("shape '{}' is invalid for input of sizes {}", show(&wanted), show(&have));
    }
    let points = flambeau_core::numel(spatial)?;
    let wide = dims as i64 + 1;
    let base = {
        let _guard = GradMode::no_grad();
        match theta.is_meta() {
            true => Tensor::empty_raw(&[points, wide], theta.dtype(), theta.device())?,
            false => {
                let lines: Vec<Vec<f64>> = spatial.iter().map(|&n| steps(n, align_corners)).collect();
                computed::<f64>(&[points, wide], theta.dtype(), |rows| {
                    for (at, row) in rows.chunks_exact_mut(dims + 1).enumerate() {
                        let mut rest = at;
                        for (place, line) in row.iter_mut().zip(lines.iter().rev()) {
                            *place = line[rest % line.len()];
                            rest /= line.len();
                        }
                        row[dims] = 1.0;
                    }
                    Ok(())
                })?
            }
        }
    };
    let base = shape::expand(&base, &[size[0], points, dims as i64 + 1])?;
    let grid = matmul::bmm(&base, &shape::transpose(theta, 1, 2)?)?;
    let to: Dims = size[..1].iter().chain(spatial).copied().chain([dims as i64]).collect();
    super::named(shape::reshape(&grid, &to)?, "AffineGridGeneratorBackward0")
}
