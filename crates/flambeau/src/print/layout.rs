//! Brackets, line breaks and suffixes around the printed elements.

use super::cells::Cells;
use super::number::push_repeated;
use super::{Item, Values};
use std::fmt;

/// The positions of a tensor that are printed, dimension by dimension.
pub(super) struct Visible {
    dims: Vec<Dim>,
}

/// Which positions of one dimension are printed.
struct Dim {
    size: usize,
    /// Items at each end, with an ellipsis between; `None` shows all.
    edge: Option<usize>,
}

impl Dim {
    fn count(&self) -> usize {
        self.edge.map_or(self.size, |edge| 2 * edge)
    }
    /// The position of the `i`-th visible item.
    fn position(&self, i: usize) -> i64 {
        match self.edge {
            Some(edge) if i >= edge => (self.size - 2 * edge + i) as i64,
            _ => i as i64,
        }
    }
    /// Whether the ellipsis stands before the `i`-th visible item.
    fn ellipsis_before(&self, i: usize) -> bool {
        self.edge == Some(i)
    }
}

impl Visible {
    /// `edgeitems` is given where the tensor is summarised.
    pub(super) fn new(shape: &[i64], edgeitems: Option<usize>) -> Self {
        let dim = |&size: &i64| {
            let size = size.max(0) as usize;
            Dim { size, edge: edgeitems.filter(|&edge| size / 2 > edge || size / 2 == edge && size % 2 == 1) }
        };
        Visible { dims: shape.iter().map(dim).collect() }
    }

    /// The visible items, the last dimension fastest.
    pub(super) fn read(&self, values: &dyn Values) -> Vec<Item> {
        let mut items = Vec::with_capacity(self.dims.iter().map(Dim::count).product());
        let mut at = vec![0; self.dims.len()];
        let mut index: Vec<i64> = vec![0; self.dims.len()];
        loop {
            items.push(values.get(&index));
            let Some(turned) = self.advance(&mut at, self.dims.len()) else { return items };
            for d in turned..self.dims.len() {
                index[d] = self.dims[d].position(at[d]);
            }
        }
    }

    /// Moves to the next visible place over the first `n` dimensions; the dimension that moved, or None at the end.
    fn advance(&self, at: &mut [usize], n: usize) -> Option<usize> {
        for d in (0..n).rev() {
            at[d] += 1;
            if at[d] < self.dims[d].count() {
                return Some(d);
            }
            at[d] = 0;
        }
        None
    }
}

/// Writes the nested brackets. Iterative, so that any number of dimensions is safe.
pub(super) fn write_nested(
    out: &mut String,
    visible: &Visible,
    cells: &Cells,
    indent: usize,
    linewidth: usize,
) {
    let Some((last, outer)) = visible.dims.split_last() else {
        return cells.write_padded(out, 0);
    };
    let depth = outer.len();
    let row = Row { dim: last, indent: indent + depth, linewidth };
    let mut at = vec![0; depth];
    let mut first = 0;
    push_repeated(out, '[', depth);
    row.write(out, cells, first);
    while let Some(turned) = visible.advance(&mut at, depth) {
        first += last.count();
        let opened = depth - 1 - turned;
        let separate = |out: &mut String| {
            out.push(',');
            push_repeated(out, '\n', depth - turned);
            push_repeated(out, ' ', indent + turned + 1);
        };
        push_repeated(out, ']', opened);
        separate(out);
        if outer[turned].ellipsis_before(at[turned]) {
            out.push_str("...");
            separate(out);
        }
        push_repeated(out, '[', opened);
        row.write(out, cells, first);
    }
    push_repeated(out, ']', depth);
}

/// One innermost dimension.
struct Row<'a> {
    dim: &'a Dim,
    /// Characters before its bracket.
    indent: usize,
    linewidth: usize,
}

impl Row<'_> {
    /// Writes the cells from `first` on, as many to a line as fit; the ellipsis counts as one.
    fn write(&self, out: &mut String, cells: &Cells, first: usize) {
        let per_line = (self.linewidth.saturating_sub(self.indent) / (cells.width + 2)).max(1);
        let mut column = 0;
        let mut separate = |out: &mut String| {
            if column == per_line {
                out.push_str(",\n");
                push_repeated(out, ' ', self.indent + 1);
                column = 0;
            } else if column > 0 {
                out.push_str(", ");
            }
            column += 1;
        };
        out.push('[');
        for i in 0..self.dim.count() {
            if self.dim.ellipsis_before(i) {
                separate(out);
                out.push_str(" ...");
            }
            separate(out);
            cells.write_padded(out, first + i);
        }
        out.push(']');
    }
}

/// Appends `, device=…` and the like, on a new line where one would pass the line's end.
pub(super) struct Suffixes<'a> {
    out: &'a mut String,
    column: usize,
    indent: usize,
    linewidth: usize,
}

impl<'a> Suffixes<'a> {
    pub(super) fn new(out: &'a mut String, indent: usize, linewidth: usize) -> Self {
        let line = out.rfind('\n').map_or(&out[..], |i| &out[i + 1..]);
        // PyTorch leaves room for two more characters beside the first suffix.
        let column = line.chars().count() + 2;
        Suffixes { out, column, indent, linewidth }
    }

    pub(super) fn push(&mut self, write: impl FnOnce(&mut String) -> fmt::Result) {
        self.out.push_str(", ");
        let start = self.out.len();
        // Writing to a String can't fail.
        let _ = write(self.out);
        let length = self.out[start..].chars().count();
        if self.column + length + 2 > self.linewidth {
            self.out.replace_range(start - 1..start, "\n");
            self.out.insert_str(start, &" ".repeat(self.indent));
            self.column = self.indent + length;
        } else {
            self.column += length + 2;
        }
    }
}
