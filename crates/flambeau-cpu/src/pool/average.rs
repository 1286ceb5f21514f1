//! Average pooling.

use super::{PoolElement, PoolShape, check};
use flambeau_core::{Result, ensure};

/// Calls `visit(plane, output position, [(first, count); 3], divisor)` for each window.
fn windows(
    s: &PoolShape,
    count_include_pad: bool,
    divisor_override: Option<i64>,
    mut visit: impl FnMut(usize, usize, [(usize, usize); 3], i64),
) {
    let out_plane = s.output_plane();
    // Along each dimension: the clipped window, and its length with the padding that it covers.
    let along = |d: usize, o: usize| {
        let start = o * s.stride[d];
        let end = (start + s.kernel[d]).min(s.input[d] + 2 * s.padding[d]);
        let low = start.max(s.padding[d]).min(s.input[d] + s.padding[d]);
        let high = end.min(s.input[d] + s.padding[d]).max(low);
        ((low - s.padding[d], high - low), end - start.min(end))
    };
    for p in 0..s.planes {
        let mut at = p * out_plane;
        for od in 0..s.output[0] {
            let (d, full_d) = along(0, od);
            for oh in 0..s.output[1] {
                let (h, full_h) = along(1, oh);
                for ow in 0..s.output[2] {
                    let (w, full_w) = along(2, ow);
                    let divisor = divisor_override.unwrap_or(if count_include_pad {
                        (full_d * full_h * full_w) as i64
                    } else {
                        (d.1 * h.1 * w.1) as i64
                    });
                    visit(p, at, [d, h, w], divisor);
                    at += 1;
                }
            }
        }
    }
}

/// The mean of each window: its sum divided by `divisor_override`, else by the number of elements it covers, padding
/// included (but not what `ceil_mode` adds beyond it) when `count_include_pad`. Dilation must be 1.
pub fn avg_pool<T: PoolElement>(
    s: &PoolShape,
    input: &[T],
    count_include_pad: bool,
    divisor_override: Option<i64>,
    out: &mut [T],
) -> Result<()> {
    check_average(s, divisor_override, input.len(), out.len())?;
    let plane = s.input_plane();
    windows(s, count_include_pad, divisor_override, |p, at, [d, h, w], divisor| {
        if d.1 == 0 || h.1 == 0 || w.1 == 0 {
            out[at] = T::ZERO;
            return;
        }
        let mut sum = T::ZERO;
        for z in d.0..d.0 + d.1 {
            for y in h.0..h.0 + h.1 {
                let row = p * plane + (z * s.input[1] + y) * s.input[2] + w.0;
                for &x in &input[row..row + w.1] {
                    sum = sum.add(x);
                }
            }
        }
        out[at] = sum.divide(divisor);
    });
    Ok(())
}

/// The gradient of [`avg_pool`]; all of `out` is written.
pub fn avg_pool_backward<T: PoolElement>(
    s: &PoolShape,
    grad: &[T],
    count_include_pad: bool,
    divisor_override: Option<i64>,
    out: &mut [T],
) -> Result<()> {
    check_average(s, divisor_override, out.len(), grad.len())?;
    out.fill(T::ZERO);
    let plane = s.input_plane();
    windows(s, count_include_pad, divisor_override, |p, at, [d, h, w], divisor| {
        if d.1 == 0 || h.1 == 0 || w.1 == 0 {
            return;
        }
        let share = grad[at].divide(divisor);
        for z in d.0..d.0 + d.1 {
            for y in h.0..h.0 + h.1 {
                let row = p * plane + (z * s.input[1] + y) * s.input[2] + w.0;
                for x in &mut out[row..row + w.1] {
                    *x = x.add(share);
                }
            }
        }
    });
    Ok(())
}

fn check_average(s: &PoolShape, divisor: Option<i64>, input: usize, output: usize) -> Result<()> {
    ensure!(divisor != Some(0), "divisor must be not zero");
    ensure!(s.dilation == [1; 3], "avg_pool: dilation is not supported");
    check("avg_pool", &[(input, s.planes * s.input_plane()), (output, s.planes * s.output_plane())])
}
