//! Sums of rows of a table by bags.

use crate::pool::PoolElement;
use flambeau_core::{Result, ensure};

/// Which rows of a table go into which bag.
#[derive(Clone, Debug, Default)]
pub struct Bags {
    pub rows: Vec<usize>,
    /// The bag of each row.
    pub bags: Vec<usize>,
    /// Rows in each bag.
    pub counts: Vec<i64>,
}

impl Bags {
    fn check(&self, table: usize, width: usize, out: usize) -> Result<()> {
        let height = table.checked_div(width).unwrap_or(usize::MAX);
        let inside =
            self.rows.iter().all(|&r| r < height) && self.bags.iter().all(|&b| b < self.counts.len());
        ensure!(
            inside && self.rows.len() == self.bags.len() && self.counts.len().checked_mul(width) == Some(out),
            "embedding_bag: sizes don't match"
        );
        Ok(())
    }
}

/// Adds up the rows of each bag, each times its factor if there are any; divides by their number for the mean.
/// Writes all of `out` (bags, width).
pub fn sum_rows<T: PoolElement + std::ops::Mul<Output = T>>(
    width: usize,
    table: &[T],
    bags: &Bags,
    factors: Option<&[T]>,
    mean: bool,
    out: &mut [T],
) -> Result<()> {
    bags.check(table.len(), width, out.len())?;
    ensure!(factors.is_none_or(|f| f.len() == bags.rows.len()), "embedding_bag: sizes don't match");
    out.fill(T::ZERO);
    for (k, (&row, &bag)) in bags.rows.iter().zip(&bags.bags).enumerate() {
        let row = &table[row * width..(row + 1) * width];
        let to = &mut out[bag * width..(bag + 1) * width];
        match factors {
            Some(f) => to.iter_mut().zip(row).for_each(|(y, &x)| *y = y.add(x * f[k])),
            None => to.iter_mut().zip(row).for_each(|(y, &x)| *y = y.add(x)),
        }
    }
    if mean {
        for (row, &count) in out.chunks_exact_mut(width.max(1)).zip(&bags.counts) {
            if count > 1 {
                row.iter_mut().for_each(|y| *y = y.divide(count));
            }
        }
    }
    Ok(())
}

/// For each bag and column the row of the table with the largest element, the first of equal ones; 0 for empty bags.
pub fn largest_rows<T: PoolElement>(width: usize, table: &[T], bags: &Bags, out: &mut [i64]) -> Result<()> {
    bags.check(table.len(), width, out.len())?;
    out.fill(-1);
    for (&row, &bag) in bags.rows.iter().zip(&bags.bags) {
        for (c, best) in out[bag * width..(bag + 1) * width].iter_mut().enumerate() {
            let x = table[row * width + c];
            if *best < 0 || x > table[*best as usize * width + c] {
                *best = row as i64;
            }
        }
    }
    out.iter_mut().for_each(|best| *best = (*best).max(0));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_means_and_maxima() {
        let bags = Bags { rows: vec![1, 2, 2], bags: vec![0, 0, 2], counts: vec![2, 0, 1] };
        let table = [0.0f32, 0.0, 1.0, 5.0, 3.0, 4.0];
        let mut out = [9.0; 6];
        sum_rows(2, &table, &bags, None, false, &mut out).unwrap();
        assert_eq!(out, [4.0, 9.0, 0.0, 0.0, 3.0, 4.0]);
        sum_rows(2, &table, &bags, Some(&[2.0, 1.0, 0.5]), false, &mut out).unwrap();
        assert_eq!(out, [5.0, 14.0, 0.0, 0.0, 1.5, 2.0]);
        sum_rows(2, &table, &bags, None, true, &mut out).unwrap();
        assert_eq!(out, [2.0, 4.5, 0.0, 0.0, 3.0, 4.0]);
        let mut best = [0; 6];
        largest_rows(2, &table, &bags, &mut best).unwrap();
        assert_eq!(best, [2, 1, 0, 0, 2, 2]);
        assert!(sum_rows(2, &table[..4], &bags, None, false, &mut out).is_err());
    }
}
