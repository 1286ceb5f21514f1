//! Connectionist temporal classification (Graves et al., 2006) by the forward and backward recursions.
//!
//! Log-probabilities are (time, batch, classes). The states of a target are its labels with a blank before, between
//! and behind them.

use crate::gemm::size_product;
use flambeau_core::{Element, Result, ensure};
use num_traits::Float;

/// The targets of a batch: where each one's labels start in `labels`, and how many there are.
#[derive(Clone, Debug)]
pub struct CtcTargets {
    pub labels: Vec<i64>,
    pub starts: Vec<usize>,
    pub lengths: Vec<usize>,
    /// Time steps that each entry has.
    pub times: Vec<usize>,
    pub blank: usize,
}

impl CtcTargets {
    /// States of the longest target.
    pub fn states(&self) -> usize {
        2 * self.lengths.iter().copied().max().unwrap_or(0) + 1
    }
    /// The class of a state.
    fn class(&self, b: usize, state: usize) -> usize {
        if state.is_multiple_of(2) { self.blank } else { self.labels[self.starts[b] + state / 2] as usize }
    }
    /// Whether a state can be entered from two states before (or left to two behind, seen from the other side):
    /// two labels that differ.
    fn jumps(&self, b: usize, state: usize) -> bool {
        state >= 2 && state % 2 == 1 && self.class(b, state) != self.class(b, state - 2)
    }
    /// Fails where a label or a length lies outside.
    fn check(&self, time: usize, batch: usize, classes: usize) -> Result<()> {
        let each = [self.starts.len(), self.lengths.len(), self.times.len()];
        ensure!(each.iter().all(|&n| n == batch) && self.blank < classes, "ctc: sizes don't match");
        ensure!(self.times.iter().all(|&t| t <= time), "ctc: an input is longer than the time");
        for (&start, &length) in self.starts.iter().zip(&self.lengths) {
            let labels = start.checked_add(length).and_then(|end| self.labels.get(start..end));
            let inside =
                labels.is_some_and(|labels| labels.iter().all(|&l| l >= 0 && (l as usize) < classes));
            ensure!(inside, "ctc: a label lies outside of the classes");
        }
        Ok(())
    }
}

/// The logarithm of a sum of exponentials.
fn log_sum<F: Float>(terms: &[F]) -> F {
    let top = terms.iter().fold(F::neg_infinity(), |m, &x| m.max(x));
    if top == F::neg_infinity() {
        return top;
    }
    terms.iter().fold(F::zero(), |sum, &x| sum + (x - top).exp()).ln() + top
}

/// Writes the negative log-likelihood of each entry and the logarithms of the forward variables
/// (batch, time, states).
pub fn forward<F: Float + Element>(
    time: usize,
    batch: usize,
    classes: usize,
    targets: &CtcTargets,
    log_probs: &[F],
    loss: &mut [F],
    alpha: &mut [F],
) -> Result<()> {
    let states = targets.states();
    targets.check(time, batch, classes)?;
    ensure!(
        log_probs.len() == size_product(&[time, batch, classes])?
            && loss.len() == batch
            && alpha.len() == size_product(&[batch, time, states])?,
        "ctc: buffers don't match the sizes"
    );
    alpha.fill(F::neg_infinity());
    for b in 0..batch {
        let (length, steps) = (targets.lengths[b], targets.times[b]);
        let alpha = &mut alpha[b * time * states..(b + 1) * time * states];
        if steps == 0 {
            loss[b] = if length == 0 { F::zero() } else { F::infinity() };
            continue;
        }
        let count = 2 * length + 1;
        let at = |t: usize, state: usize| log_probs[(t * batch + b) * classes + targets.class(b, state)];
        for (state, a) in alpha.iter_mut().enumerate().take(count.min(2)) {
            *a = at(0, state);
        }
        for t in 1..steps {
            let (before, now) = alpha.split_at_mut(t * states);
            let before = &before[(t - 1) * states..];
            for state in 0..count {
                let one = if state > 0 { before[state - 1] } else { F::neg_infinity() };
                let two = if targets.jumps(b, state) { before[state - 2] } else { F::neg_infinity() };
                now[state] = log_sum(&[before[state], one, two]) + at(t, state);
            }
        }
        let last = &alpha[(steps - 1) * states..];
        let end = if length > 0 { last[count - 2] } else { F::neg_infinity() };
        loss[b] = -log_sum(&[last[count - 1], end]);
    }
    Ok(())
}

/// The gradient by log-probabilities that are normalised (the form of Graves' equation 16): `grad` is that of each
/// entry's loss. Writes all of `out`. With `zero_infinity` entries of infinite loss get none.
pub fn backward<F: Float + Element>(
    time: usize,
    batch: usize,
    classes: usize,
    targets: &CtcTargets,
    zero_infinity: bool,
    [grad, log_probs, loss, alpha]: [&[F]; 4],
    out: &mut [F],
) -> Result<()> {
    let states = targets.states();
    targets.check(time, batch, classes)?;
    let total = size_product(&[time, batch, classes])?;
    ensure!(
        log_probs.len() == total
            && out.len() == total
            && loss.len() == batch
            && grad.len() == batch
            && alpha.len() == size_product(&[batch, time, states])?,
        "ctc: buffers don't match the sizes"
    );
    out.fill(F::zero());
    let none = F::neg_infinity();
    for b in 0..batch {
        let (length, steps) = (targets.lengths[b], targets.times[b]);
        if steps == 0 || (zero_infinity && loss[b] == F::infinity()) {
            continue;
        }
        let count = 2 * length + 1;
        let at = |t: usize, state: usize| log_probs[(t * batch + b) * classes + targets.class(b, state)];
        let mut beta = vec![none; count];
        let mut next = vec![none; count];
        let mut sums = vec![none; classes];
        for t in (0..steps).rev() {
            for state in 0..count {
                next[state] = if t + 1 == steps {
                    if state + 2 >= count { at(t, state) } else { none }
                } else {
                    let one = if state + 1 < count { beta[state + 1] } else { none };
                    let jump = state + 2 < count && targets.jumps(b, state + 2);
                    let two = if jump { beta[state + 2] } else { none };
                    log_sum(&[beta[state], one, two]) + at(t, state)
                };
            }
            std::mem::swap(&mut beta, &mut next);
            sums.fill(none);
            let alpha = &alpha[(b * time + t) * states..][..count];
            for (state, (&a, &z)) in alpha.iter().zip(&beta).enumerate() {
                let sum = &mut sums[targets.class(b, state)];
                *sum = log_sum(&[*sum, a + z]);
            }
            let row = (t * batch + b) * classes;
            for (c, &sum) in sums.iter().enumerate() {
                let lp = log_probs[row + c];
                out[row + c] = (lp.exp() - (sum + loss[b] - lp).exp()) * grad[b];
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the sum over all paths.
    #[test]
    fn likelihood_of_all_paths() {
        let (time, classes) = (4usize, 3usize);
        let raw: Vec<f64> = (0..time * classes).map(|i| ((i * 37 % 11) as f64) / 5.0).collect();
        let log_probs: Vec<f64> = raw
            .chunks(classes)
            .flat_map(|row| {
                let sum = log_sum(row);
                row.iter().map(|x| x - sum).collect::<Vec<_>>()
            })
            .collect();
        for labels in [vec![], vec![1i64], vec![1, 1], vec![2, 1], vec![1, 2, 1, 2], vec![1, 1, 1]] {
            let mut sum = 0.0f64;
            for path in 0..classes.pow(time as u32) {
                let steps: Vec<usize> = (0..time).map(|t| path / classes.pow(t as u32) % classes).collect();
                let mut told: Vec<i64> = Vec::new();
                let mut last = usize::MAX;
                for &c in &steps {
                    if c != last && c != 0 {
                        told.push(c as i64);
                    }
                    last = c;
                }
                if told == labels {
                    sum += (0..time).map(|t| log_probs[t * classes + steps[t]]).sum::<f64>().exp();
                }
            }
            let targets = CtcTargets {
                lengths: vec![labels.len()],
                labels,
                starts: vec![0],
                times: vec![time],
                blank: 0,
            };
            let (mut loss, mut alpha) = ([0.0], vec![0.0; time * targets.states()]);
            forward(time, 1, classes, &targets, &log_probs, &mut loss, &mut alpha).unwrap();
            assert!(loss[0] == -sum.ln() || (loss[0] + sum.ln()).abs() < 1e-12, "{loss:?} {sum}");
            let mut out = vec![0.0; time * classes];
            let given: [&[f64]; 4] = [&[1.0], &log_probs, &loss, &alpha];
            backward(time, 1, classes, &targets, true, given, &mut out).unwrap();
            // Gradients by normalised log-probabilities sum to nothing in every step.
            for row in out.chunks(classes) {
                assert!(row.iter().sum::<f64>().abs() < 1e-12);
            }
        }
    }
}
