//! The hinge loss of several targets (`multilabel_margin_loss`).

use flambeau_core::{Element, Result, ensure};
use num_traits::Float;

/// Each sample's targets: those before the first negative one.
fn targets(labels: &[i64]) -> &[i64] {
    &labels[..labels.iter().position(|&c| c < 0).unwrap_or(labels.len())]
}

fn check(classes: usize, input: usize, labels: &[i64], samples: usize) -> Result<()> {
    let inside = labels.iter().all(|&c| c < 0 || (c as usize) < classes);
    let fits = classes > 0 && samples.checked_mul(classes) == Some(input) && labels.len() == input;
    ensure!(fits && inside, "multilabel_margin_loss: sizes don't match");
    Ok(())
}

/// For each sample the sum of `max(0, 1 - x[target] + x[other])` over targets and other classes, divided by the
/// number of classes.
pub fn multilabel<F: Float + Element>(
    classes: usize,
    input: &[F],
    labels: &[i64],
    losses: &mut [F],
) -> Result<()> {
    check(classes, input.len(), labels, losses.len())?;
    let mut taken = vec![false; classes.min(input.len())];
    let count = F::from(classes).unwrap_or_else(F::nan);
    let samples = input.chunks_exact(classes).zip(labels.chunks_exact(classes));
    for ((x, labels), loss) in samples.zip(losses) {
        let labels = targets(labels);
        labels.iter().for_each(|&c| taken[c as usize] = true);
        let mut sum = F::zero();
        for &label in labels {
            for (&other, _) in x.iter().zip(&taken).filter(|(_, taken)| !**taken) {
                let gap = F::one() - x[label as usize] + other;
                sum = sum + if gap > F::zero() || gap.is_nan() { gap } else { F::zero() };
            }
        }
        labels.iter().for_each(|&c| taken[c as usize] = false);
        *loss = sum / count;
    }
    Ok(())
}

/// The gradient of [`multilabel`]; `grad` is that of each sample's loss. Writes all of `out`.
pub fn multilabel_backward<F: Float + Element>(
    classes: usize,
    grad: &[F],
    input: &[F],
    labels: &[i64],
    out: &mut [F],
) -> Result<()> {
    check(classes, input.len(), labels, grad.len())?;
    ensure!(out.len() == input.len(), "multilabel_margin_loss: sizes don't match");
    out.fill(F::zero());
    let mut taken = vec![false; classes.min(input.len())];
    let count = F::from(classes).unwrap_or_else(F::nan);
    let samples = input.chunks_exact(classes).zip(labels.chunks_exact(classes));
    for (((x, labels), &grad), out) in samples.zip(grad).zip(out.chunks_exact_mut(classes)) {
        let labels = targets(labels);
        let share = grad / count;
        labels.iter().for_each(|&c| taken[c as usize] = true);
        for &label in labels {
            for other in (0..classes).filter(|&c| !taken[c]) {
                if F::one() - x[label as usize] + x[other] > F::zero() {
                    out[label as usize] = out[label as usize] - share;
                    out[other] = out[other] + share;
                }
            }
        }
        labels.iter().for_each(|&c| taken[c as usize] = false);
    }
    Ok(())
}
