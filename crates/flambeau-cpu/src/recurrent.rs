//! Recurrent layers: all steps of one direction, given the input's share of the gates, and their gradients.

use crate::gemm::{Columns, GemmElement, gemm};
use crate::vector::{Elementary, Vector};
use crate::wide::{Body, wide};
use flambeau_core::{Result, Room, ensure};
use num_traits::Float;

/// What a layer computes in each step; H is the hidden size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Input, forget, cell and output gates (Hochreiter and Schmidhuber, 1997).
    Lstm,
    /// Reset, update and new gates (Cho et al., 2014).
    Gru,
    Tanh,
    Relu,
}

impl Cell {
    /// Gates, each of the hidden size.
    pub fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Tanh | Cell::Relu => 1,
        }
    }
    /// Numbers kept of each step for the gradients, in hidden sizes: the gates after their functions, and for a GRU also the
    /// state's share of the new gate.
    pub fn kept(self) -> usize {
        match self {
            Cell::Lstm | Cell::Gru => 4,
            Cell::Tanh | Cell::Relu => 1,
        }
    }
}

/// Elements of recurrent layers.
pub trait Real: Float + Vector + GemmElement {}
impl Real for f32 {}
impl Real for f64 {}

/// Sizes of a layer: gates are (steps, batch, gates * hidden), states (batch, hidden).
#[derive(Clone, Copy, Debug)]
pub struct Recurrence {
    pub cell: Cell,
    pub steps: usize,
    pub batch: usize,
    pub hidden: usize,
    /// Whether the last step comes first.
    pub reverse: bool,
}

/// The activations of one step, in place of the sums that they are functions of; `c` and `h` become the new states.
struct Step<'a, T> {
    cell: Cell,
    hidden: usize,
    /// (batch, kept * hidden): for a GRU the input's share, for others the sums.
    gates: &'a mut [T],
    /// A GRU's share of the state, (batch, 3 * hidden).
    share: &'a [T],
    c: &'a mut [T],
    h: &'a mut [T],
}

impl<T: Real> Body for Step<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let n = self.hidden;
        let kept = self.cell.kept() * n;
        let rows = self.gates.chunks_exact_mut(kept).zip(self.h.chunks_exact_mut(n));
        match self.cell {
            Cell::Tanh => {
                T::map_in_place(Elementary::Tanh, self.gates);
                self.h.copy_from_slice(self.gates);
            }
            Cell::Relu => self.gates.iter_mut().zip(self.h).for_each(|(x, h)| {
                *x = if *x < T::ZERO { T::ZERO } else { *x };
                *h = *x;
            }),
            Cell::Lstm => {
                for ((row, h), c) in rows.zip(self.c.chunks_exact_mut(n)) {
                    let (gates, rest) = row.split_at_mut(2 * n);
                    let (g, o) = rest.split_at_mut(n);
                    T::map_in_place(Elementary::Sigmoid, gates);
                    T::map_in_place(Elementary::Tanh, g);
                    T::map_in_place(Elementary::Sigmoid, o);
                    let (i, f) = gates.split_at(n);
                    let (f, g, o, h) = (&f[..n], &g[..n], &o[..n], &mut h[..n]);
                    for j in 0..n {
                        c[j] = f[j] * c[j] + i[j] * g[j];
                    }
                    T::map(Elementary::Tanh, c, h);
                    for j in 0..n {
                        h[j] = o[j] * h[j];
                    }
                }
            }
            Cell::Gru => {
                for ((row, h), share) in rows.zip(self.share.chunks_exact(3 * n)) {
                    let (r, rest) = row.split_at_mut(n);
                    let (z, rest) = rest.split_at_mut(n);
                    let (new, kept) = rest.split_at_mut(n);
                    let (new, kept, h) = (&mut new[..n], &mut kept[..n], &mut h[..n]);
                    let (share_r, rest) = share.split_at(n);
                    let (share_z, share_n) = rest.split_at(n);
                    r.iter_mut().zip(share_r).for_each(|(x, &y)| *x = *x + y);
                    T::map_in_place(Elementary::Sigmoid, r);
                    z.iter_mut().zip(share_z).for_each(|(x, &y)| *x = *x + y);
                    T::map_in_place(Elementary::Sigmoid, z);
                    kept.copy_from_slice(share_n);
                    for j in 0..n {
                        new[j] = new[j] + r[j] * share_n[j];
                    }
                    T::map_in_place(Elementary::Tanh, new);
                    for j in 0..n {
                        h[j] = (h[j] - new[j]) * z[j] + new[j];
                    }
                }
            }
        }
    }
}

/// The gradients of one step: `dh` and `dc` of its states become those that go to the states before but for the product with
/// the weights.
struct BackStep<'a, T> {
    cell: Cell,
    hidden: usize,
    kept: &'a [T],
    /// The states before the step, and the cell's after it.
    h: &'a [T],
    c: &'a [T],
    after: &'a [T],
    dh: &'a mut [T],
    dc: &'a mut [T],
    /// By the input's share of the gates.
    by_gates: &'a mut [T],
    /// By the state's share, where it differs.
    by_share: &'a mut [T],
}

impl<T: Real> Body for BackStep<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (n, one) = (self.hidden, T::ONE);
        match self.cell {
            Cell::Tanh => {
                let rows = self.kept.iter().zip(self.dh).zip(self.by_gates);
                rows.for_each(|((&y, dh), d)| {
                    *d = *dh * (one - y * y);
                    *dh = T::ZERO;
                });
            }
            Cell::Relu => {
                let rows = self.kept.iter().zip(self.dh).zip(self.by_gates);
                rows.for_each(|((&y, dh), d)| {
                    *d = if y > T::ZERO { *dh } else { T::ZERO };
                    *dh = T::ZERO;
                });
            }
            Cell::Lstm => {
                let rows = self.kept.chunks_exact(4 * n).zip(self.by_gates.chunks_exact_mut(4 * n));
                let states = self.dh.chunks_exact_mut(n).zip(self.dc.chunks_exact_mut(n));
                let cells = self.c.chunks_exact(n).zip(self.after.chunks_exact(n));
                for (((x, d), (dh, dc)), (c, after)) in rows.zip(states).zip(cells) {
                    let (i, f, g, o) = (&x[..n], &x[n..2 * n], &x[2 * n..3 * n], &x[3 * n..4 * n]);
                    let (di, d) = d.split_at_mut(n);
                    let (df, d) = d.split_at_mut(n);
                    let (dg, d_o) = d.split_at_mut(n);
                    let (dg, d_o, dh, dc) = (&mut dg[..n], &mut d_o[..n], &mut dh[..n], &mut dc[..n]);
                    let (c, after) = (&c[..n], &after[..n]);
                    Vector::map(Elementary::Tanh, after, d_o);
                    for j in 0..n {
                        let t = d_o[j];
                        d_o[j] = dh[j] * t * (o[j] * (one - o[j]));
                        dc[j] = dc[j] + dh[j] * o[j] * (one - t * t);
                        dh[j] = T::ZERO;
                    }
                    for j in 0..n {
                        di[j] = dc[j] * g[j] * (i[j] * (one - i[j]));
                        df[j] = dc[j] * c[j] * (f[j] * (one - f[j]));
                        dg[j] = dc[j] * i[j] * (one - g[j] * g[j]);
                        dc[j] = dc[j] * f[j];
                    }
                }
            }
            Cell::Gru => {
                let rows = self.kept.chunks_exact(4 * n).zip(self.by_gates.chunks_exact_mut(3 * n));
                let states = self.dh.chunks_exact_mut(n).zip(self.h.chunks_exact(n));
                let shares = self.by_share.chunks_exact_mut(3 * n);
                for (((x, d), (dh, h)), share) in rows.zip(states).zip(shares) {
                    let (r, z, new, kept) = (&x[..n], &x[n..2 * n], &x[2 * n..3 * n], &x[3 * n..4 * n]);
                    let (dr, d) = d.split_at_mut(n);
                    let (dz, dn) = d.split_at_mut(n);
                    let (sr, share) = share.split_at_mut(n);
                    let (sz, sn) = share.split_at_mut(n);
                    let (dn, sn, dh, h) = (&mut dn[..n], &mut sn[..n], &mut dh[..n], &h[..n]);
                    for j in 0..n {
                        let by_new = dh[j] * (one - z[j]) * (one - new[j] * new[j]);
                        dn[j] = by_new;
                        sn[j] = by_new * r[j];
                        let by_r = by_new * kept[j] * (r[j] * (one - r[j]));
                        let by_z = dh[j] * (h[j] - new[j]) * (z[j] * (one - z[j]));
                        dr[j] = by_r;
                        sr[j] = by_r;
                        dz[j] = by_z;
                        sz[j] = by_z;
                        dh[j] = dh[j] * z[j];
                    }
                }
            }
        }
    }
}

impl Recurrence {
    fn state(&self) -> usize {
        self.batch * self.hidden
    }
    /// Elements of the gates of one step.
    fn row(&self) -> usize {
        self.state() * self.cell.gates()
    }
    /// Elements kept of each step.
    pub fn kept_row(&self) -> usize {
        self.state() * self.cell.kept()
    }
    fn check(&self, lengths: &[(usize, usize)]) -> Result<()> {
        ensure!(lengths.iter().all(|(have, want)| have == want), "recurrence: buffers don't match the sizes");
        Ok(())
    }
    /// The steps in the order in which they are computed.
    fn order(&self) -> impl DoubleEndedIterator<Item = usize> + use<> {
        let (steps, reverse) = (self.steps, self.reverse);
        (0..steps).map(move |t| if reverse { steps - 1 - t } else { t })
    }
    /// The step before, in that order.
    fn before(&self, t: usize) -> Option<usize> {
        if self.reverse { Some(t + 1).filter(|&t| t < self.steps) } else { t.checked_sub(1) }
    }
}

/// Computes the states of all steps from the gates' share of the input, the first states, the weights (gates * hidden, hidden)
/// and, if there are any, biases of the state's share. Writes `out` (steps, batch, hidden) and the last cell state (LSTM), and
/// for [`backward`] the activations and cell states of all steps.
pub fn forward<T: Real>(
    s: &Recurrence,
    [gates, h, c, weight]: [&[T]; 4],
    bias: Option<&[T]>,
    [out, last]: [&mut [T]; 2],
    mut kept: Option<[&mut [T]; 2]>,
) -> Result<()> {
    let (n, state, row) = (s.hidden, s.state(), s.row());
    let (width, lstm) = (n * s.cell.gates(), s.cell == Cell::Lstm);
    let cell_state = if lstm { state } else { 0 };
    s.check(&[
        (gates.len(), s.steps * row),
        (h.len(), state),
        (c.len(), cell_state),
        (weight.len(), width * n),
        (bias.map_or(width, <[T]>::len), width),
        (out.len(), s.steps * state),
        (last.len(), cell_state),
    ])?;
    if let Some([all, cells]) = &kept {
        s.check(&[(all.len(), s.steps * s.kept_row()), (cells.len(), s.steps * cell_state)])?;
    }
    last.copy_from_slice(c);
    if state == 0 {
        return Ok(());
    }
    let product = Columns::new(s.batch, n, width, weight, 1, n)?;
    let mut own = Room::<T>::new(if kept.is_some() { 0 } else { s.kept_row() })?;
    let mut share = Room::<T>::new(if s.cell == Cell::Gru { row } else { 0 })?;
    let mut now = h.to_vec();
    for t in s.order() {
        let given = &gates[t * row..][..row];
        let held = match &mut kept {
            Some([all, _]) => &mut all[t * s.kept_row()..][..s.kept_row()],
            None => &mut own[..],
        };
        if s.cell == Cell::Gru {
            for (row, given) in held.chunks_exact_mut(4 * n).zip(given.chunks_exact(3 * n)) {
                row[..3 * n].copy_from_slice(given);
            }
            match bias {
                Some(bias) => share.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(bias)),
                None => share.fill(T::ZERO),
            }
            product.add_product(s.batch, &now, &mut share, width)?;
        } else {
            match bias {
                Some(bias) => wide(|| {
                    for (row, given) in held.chunks_exact_mut(width).zip(given.chunks_exact(width)) {
                        row.iter_mut().zip(given).zip(bias).for_each(|((x, &y), &b)| *x = y + b);
                    }
                }),
                None => held.copy_from_slice(given),
            }
            product.add_product(s.batch, &now, held, width)?;
        }
        wide(Step { cell: s.cell, hidden: n, gates: held, share: &share, c: last, h: &mut now });
        out[t * state..][..state].copy_from_slice(&now);
        if lstm && let Some([_, cells]) = &mut kept {
            cells[t * state..][..state].copy_from_slice(last);
        }
    }
    Ok(())
}

/// What [`forward`] was given and what it kept.
pub struct Kept<'a, T> {
    pub h: &'a [T],
    pub c: &'a [T],
    pub weight: &'a [T],
    pub out: &'a [T],
    pub all: &'a [T],
    pub cells: &'a [T],
}

/// The gradients of [`forward`], given those of `out` and of the last cell state: by the gates, the first states, the weights
/// and the biases. All of them are written.
pub fn backward<T: Real>(
    s: &Recurrence,
    from: &Kept<T>,
    [grad, grad_last]: [&[T]; 2],
    [by_gates, by_h, by_c, by_weight, by_bias]: [&mut [T]; 5],
) -> Result<()> {
    let (n, state, row) = (s.hidden, s.state(), s.row());
    let (width, lstm, gru) = (n * s.cell.gates(), s.cell == Cell::Lstm, s.cell == Cell::Gru);
    let cell_state = if lstm { state } else { 0 };
    s.check(&[
        (from.h.len(), state),
        (from.c.len(), cell_state),
        (from.weight.len(), width * n),
        (from.out.len(), s.steps * state),
        (from.all.len(), s.steps * s.kept_row()),
        (from.cells.len(), s.steps * cell_state),
        (grad.len(), s.steps * state),
        (grad_last.len(), cell_state),
        (by_gates.len(), s.steps * row),
        (by_h.len(), state),
        (by_c.len(), cell_state),
        (by_weight.len(), width * n),
        (by_bias.len(), width),
    ])?;
    by_h.fill(T::ZERO);
    by_c.copy_from_slice(grad_last);
    by_weight.fill(T::ZERO);
    by_bias.fill(T::ZERO);
    if state == 0 {
        return Ok(());
    }
    let product = Columns::new(s.batch, width, n, from.weight, n, 1)?;
    let mut shares = Room::<T>::new(if gru { s.steps * row } else { 0 })?;
    for t in s.order().rev() {
        let before = s.before(t);
        let kept = &from.all[t * s.kept_row()..][..s.kept_row()];
        let h = before.map_or(from.h, |b| &from.out[b * state..][..state]);
        let (mut c, mut after) = (from.c, from.c);
        if lstm {
            c = before.map_or(from.c, |b| &from.cells[b * state..][..state]);
            after = &from.cells[t * state..][..state];
        }
        let grad = &grad[t * state..][..state];
        wide(|| by_h.iter_mut().zip(grad).for_each(|(x, &g)| *x = *x + g));
        let by_gates = &mut by_gates[t * row..][..row];
        let by_share = if gru { &mut shares[t * row..][..row] } else { &mut [] };
        wide(BackStep {
            cell: s.cell,
            hidden: n,
            kept,
            h,
            c,
            after,
            dh: &mut *by_h,
            dc: &mut *by_c,
            by_gates: &mut *by_gates,
            by_share,
        });
        let share = if gru { &shares[t * row..][..row] } else { &by_gates[..] };
        product.add_product(s.batch, share, by_h, n)?;
    }
    let shares = if gru { &shares[..] } else { &by_gates[..] };
    wide(|| {
        for row in shares.chunks_exact(width) {
            by_bias.iter_mut().zip(row).for_each(|(x, &g)| *x = *x + g);
        }
    });
    // All steps but the first meet the outputs of the ones before them.
    let (first, rest) = match s.reverse {
        true => (s.steps.saturating_sub(1), 0),
        false => (0, 1),
    };
    let many = s.steps.saturating_sub(1) * s.batch;
    if s.steps > 0 {
        let by = &shares[first * row..][..row];
        gemm(width, n, s.batch, T::ONE, by, 1, width, from.h, n, 1, T::ZERO, by_weight, n, 1)?;
    }
    if many > 0 {
        let by = &shares[rest * row..][..many * width];
        let before = &from.out[(1 - rest) * state..][..many * n];
        gemm(width, n, many, T::ONE, by, 1, width, before, n, 1, T::ONE, by_weight, n, 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, step: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * step + 3) % 97) as f64 / 60.0 - 0.8).collect()
    }

    /// One step of the definition.
    fn step(cell: Cell, gates: &[f64], share: &[f64], h: &mut [f64], c: &mut [f64]) {
        let n = h.len();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        for j in 0..n {
            let sum = |gate: usize| gates[gate * n + j] + share[gate * n + j];
            match cell {
                Cell::Tanh => h[j] = sum(0).tanh(),
                Cell::Relu => h[j] = sum(0).max(0.0),
                Cell::Lstm => {
                    c[j] = sigmoid(sum(1)) * c[j] + sigmoid(sum(0)) * sum(2).tanh();
                    h[j] = sigmoid(sum(3)) * c[j].tanh();
                }
                Cell::Gru => {
                    let (r, z) = (sigmoid(sum(0)), sigmoid(sum(1)));
                    let new = (gates[2 * n + j] + r * share[2 * n + j]).tanh();
                    h[j] = (h[j] - new) * z + new;
                }
            }
        }
    }

    #[test]
    fn agrees_with_the_definition_and_differences() {
        for (cell, reverse) in
            [Cell::Lstm, Cell::Gru, Cell::Tanh, Cell::Relu].into_iter().flat_map(|c| [(c, false), (c, true)])
        {
            let s = Recurrence { cell, steps: 3, batch: 2, hidden: 5, reverse };
            let (g, cells) = (5 * cell.gates(), if cell == Cell::Lstm { 10 } else { 0 });
            let given =
                [numbers(6 * g, 31), numbers(10, 17), numbers(cells, 7), numbers(g * 5, 13), numbers(g, 5)];
            let (grad, grad_last) = (numbers(30, 11), numbers(cells, 19));
            let run = |x: &[Vec<f64>; 5], kept: Option<[&mut [f64]; 2]>| {
                let (mut out, mut last) = (vec![9.0; 30], vec![9.0; cells]);
                let bias = Some(&x[4][..]);
                forward(&s, [&x[0], &x[1], &x[2], &x[3]], bias, [&mut out, &mut last], kept).unwrap();
                (out, last)
            };
            let (mut all, mut states) = (vec![9.0; 3 * s.kept_row()], vec![9.0; 3 * cells]);
            let (out, last) = run(&given, Some([&mut all, &mut states]));
            assert_eq!((out.clone(), last.clone()), run(&given, None));
            let (mut h, mut c) = (given[1].clone(), given[2].clone());
            for t in s.order() {
                for b in 0..2 {
                    let share: Vec<f64> = (0..g)
                        .map(|i| {
                            given[4][i] + (0..5).map(|j| given[3][i * 5 + j] * h[b * 5 + j]).sum::<f64>()
                        })
                        .collect();
                    let gates = &given[0][(t * 2 + b) * g..][..g];
                    let c = if cells > 0 { &mut c[b * 5..][..5] } else { &mut [][..] };
                    step(cell, gates, &share, &mut h[b * 5..][..5], c);
                }
                let close = out[t * 10..][..10].iter().zip(&h).all(|(x, y)| (x - y).abs() < 1e-12);
                assert!(close, "{cell:?} {reverse} {t}");
            }
            assert!(last.iter().zip(&c).all(|(x, y)| (x - y).abs() < 1e-12));
            let mut by = [0, 1, 2, 3, 4].map(|i: usize| vec![9.0; given[i].len()]);
            let [a, b, c, d, e] = &mut by;
            let from =
                Kept { h: &given[1], c: &given[2], weight: &given[3], out: &out, all: &all, cells: &states };
            backward(&s, &from, [&grad, &grad_last], [a, b, c, d, e]).unwrap();
            for (which, i) in
                (0..5).flat_map(|which| (0..given[which].len()).step_by(3).map(move |i| (which, i)))
            {
                let total = |by: f64| {
                    let mut x = given.clone();
                    x[which][i] += by;
                    let (out, last) = run(&x, None);
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
                    dot(&out, &grad) + dot(&last, &grad_last)
                };
                let slope = (total(1e-5) - total(-1e-5)) / 2e-5;
                assert!((slope - by[which][i]).abs() < 1e-7, "{cell:?} {reverse} {which} {i}");
            }
        }
    }
}
