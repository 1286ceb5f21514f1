//! The order in which strided operands are walked.

use super::Operand;
use smallvec::SmallVec;

/// The iteration space after dropping size-1 dimensions, merging and sorting by stride; innermost first.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) sizes: SmallVec<[usize; 5]>,
    /// For each operand (output first) its strides in the plan's dimensions.
    pub(crate) strides: SmallVec<[SmallVec<[isize; 5]>; 4]>,
}

impl Plan {
    pub(crate) fn new(sizes: &[i64], out: &Operand, inputs: &[Operand]) -> Plan {
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
