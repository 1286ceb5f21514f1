//! Unstable selection and sorting whose order of equal elements matches the usual C++ standard library.
//!
//! `topk` and `mode` return indices, and PyTorch's are those that introsort, introselect (Musser, 1997) and heap
//! selection leave in place; with the same pivots and thresholds the indices agree at ties too.

/// A key and the position it came from.
pub(super) type Pair = (u64, usize);

/// Below this length introsort leaves the work to one insertion sort.
const SHORT: usize = 16;

fn depth_limit(n: usize) -> u32 {
    2 * n.max(1).ilog2()
}

/// Puts `value` into the hole at `hole` of the heap `a`: down along the larger children, then up.
fn sift(a: &mut [Pair], mut hole: usize, value: Pair, less: &impl Fn(Pair, Pair) -> bool) {
    let (n, top) = (a.len(), hole);
    let mut child = hole;
    while child < (n - 1) / 2 {
        child = 2 * (child + 1);
        if less(a[child], a[child - 1]) {
            child -= 1;
        }
        a[hole] = a[child];
        hole = child;
    }
    if n.is_multiple_of(2) && child == (n - 2) / 2 {
        child = 2 * child + 1;
        a[hole] = a[child];
        hole = child;
    }
    while hole > top {
        let parent = (hole - 1) / 2;
        if !less(a[parent], value) {
            break;
        }
        a[hole] = a[parent];
        hole = parent;
    }
    a[hole] = value;
}

fn make_heap(a: &mut [Pair], less: &impl Fn(Pair, Pair) -> bool) {
    for parent in (0..a.len() / 2).rev() {
        let value = a[parent];
        sift(a, parent, value, less);
    }
}

fn sort_heap(a: &mut [Pair], less: &impl Fn(Pair, Pair) -> bool) {
    for last in (1..a.len()).rev() {
        let value = a[last];
        a[last] = a[0];
        sift(&mut a[..last], 0, value, less);
    }
}

/// The first `k` of `items` in order, sorted: a heap of the best `k` so far. `k` is at least 1.
pub(super) fn partial_sort(
    k: usize,
    mut items: impl Iterator<Item = Pair>,
    less: &impl Fn(Pair, Pair) -> bool,
) -> Vec<Pair> {
    let mut heap: Vec<Pair> = items.by_ref().take(k).collect();
    make_heap(&mut heap, less);
    for item in items {
        if less(item, heap[0]) {
            sift(&mut heap, 0, item, less);
        }
    }
    sort_heap(&mut heap, less);
    heap
}

/// Partitions `a` (longer than 3) around the median of its second, middle and last elements, which it moves to
/// the front; returns where the upper part starts.
fn partition(a: &mut [Pair], less: &impl Fn(Pair, Pair) -> bool) -> usize {
    let (x, y, z) = (1, a.len() / 2, a.len() - 1);
    let median = if less(a[x], a[y]) {
        if less(a[y], a[z]) {
            y
        } else if less(a[x], a[z]) {
            z
        } else {
            x
        }
    } else if less(a[x], a[z]) {
        x
    } else if less(a[y], a[z]) {
        z
    } else {
        y
    };
    a.swap(0, median);
    let (mut low, mut high) = (1, a.len());
    loop {
        while less(a[low], a[0]) {
            low += 1;
        }
        high -= 1;
        while less(a[0], a[high]) {
            high -= 1;
        }
        if low >= high {
            return low;
        }
        a.swap(low, high);
        low += 1;
    }
}

fn insertion_sort(a: &mut [Pair], less: &impl Fn(Pair, Pair) -> bool) {
    for i in 1..a.len() {
        let value = a[i];
        let mut at = i;
        if less(value, a[0]) {
            at = 0;
            a.copy_within(0..i, 1);
        } else {
            while less(value, a[at - 1]) {
                a[at] = a[at - 1];
                at -= 1;
            }
        }
        a[at] = value;
    }
}

/// Moves the element that a sort would put at `nth` there, smaller ones before it.
pub(super) fn nth_element(a: &mut [Pair], nth: usize, less: &impl Fn(Pair, Pair) -> bool) {
    let (mut first, mut last) = (0, a.len());
    let mut depth = depth_limit(a.len());
    while last - first > 3 {
        if depth == 0 {
            let (heap, rest) = a[first..last].split_at_mut(nth + 1 - first);
            make_heap(heap, less);
            for item in rest {
                if less(*item, heap[0]) {
                    let value = std::mem::replace(item, heap[0]);
                    sift(heap, 0, value, less);
                }
            }
            a.swap(first, nth);
            return;
        }
        depth -= 1;
        let cut = first + partition(&mut a[first..last], less);
        if cut <= nth {
            first = cut;
        } else {
            last = cut;
        }
    }
    insertion_sort(&mut a[first..last], less);
}

/// Introsort.
pub(super) fn sort(a: &mut [Pair], less: &impl Fn(Pair, Pair) -> bool) {
    fn rough(mut a: &mut [Pair], mut depth: u32, less: &impl Fn(Pair, Pair) -> bool) {
        while a.len() > SHORT {
            if depth == 0 {
                make_heap(a, less);
                sort_heap(a, less);
                return;
            }
            depth -= 1;
            let cut = partition(a, less);
            let (low, high) = a.split_at_mut(cut);
            rough(high, depth, less);
            a = low;
        }
    }
    rough(a, depth_limit(a.len()), less);
    insertion_sort(a, less);
}
