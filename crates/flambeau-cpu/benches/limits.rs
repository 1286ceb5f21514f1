//! What this machine can do on one thread: memory bandwidth by size of the data, and the peak of fused multiplications
//! and additions. Kernels are measured against these figures.
//!
//! `cargo bench -p flambeau-cpu --bench limits`

use std::hint::black_box;
use std::time::{Duration, Instant};

/// How long each figure is measured; the best of several runs counts.
const TIME: Duration = Duration::from_millis(120);

/// The shortest time of one call.
fn best(mut call: impl FnMut()) -> f64 {
    call();
    let (begin, mut shortest) = (Instant::now(), f64::INFINITY);
    while begin.elapsed() < TIME {
        let start = Instant::now();
        call();
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    shortest
}

fn main() {
    println!("{}", instructions::name());
    println!("{:>10} {:>10} {:>10} {:>10} {:>10}   GB/s", "KiB", "read", "write", "streamed", "copy");
    for kib in [16usize, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10] {
        let n = kib << 10;
        // Small arrays are passed over many times, so that the clock does not count.
        let repeats = ((1 << 20) / n).max(1);
        let mut a = vec![1u64; n / 8];
        let mut b = vec![2u64; n / 8];
        let rate = |bytes: usize, seconds: f64| (bytes * repeats) as f64 / seconds * 1e-9;
        let again = |call: &mut dyn FnMut()| (0..repeats).for_each(|_| call());
        let read = best(|| {
            again(&mut || {
                black_box(instructions::sum(black_box(&a)));
            })
        });
        let write = best(|| again(&mut || black_box(&mut b).fill(3)));
        let streamed = best(|| again(&mut || instructions::stream(black_box(&mut b))));
        // Half of the data each, which together are as large as the others.
        let half = a.len() / 2;
        let copy = best(|| again(&mut || black_box(&mut a[..half]).copy_from_slice(black_box(&b[..half]))));
        println!(
            "{kib:>10} {:>10.1} {:>10.1} {:>10.1} {:>10.1}",
            rate(n, read),
            rate(n, write),
            rate(n, streamed),
            rate(n, copy)
        );
    }
    const ROUNDS: usize = 100_000;
    let peak = |work: &dyn Fn(usize) -> usize| {
        let operations = work(1);
        let seconds = best(|| {
            black_box(work(black_box(ROUNDS)));
        });
        (2 * operations * ROUNDS) as f64 / seconds * 1e-9
    };
    println!("{:>10} {:>10.1} GFLOP/s", "f32", peak(&instructions::multiply_f32));
    println!("{:>10} {:>10.1} GFLOP/s", "f64", peak(&instructions::multiply_f64));
}

/// Loops with the widest instructions of the processor.
#[cfg(target_arch = "x86_64")]
mod instructions {
    use std::arch::is_x86_feature_detected as has;
    use std::arch::x86_64::*;

    fn avx512() -> bool {
        has!("avx512f")
    }
    fn avx2() -> bool {
        has!("avx2") && has!("fma")
    }

    pub fn name() -> &'static str {
        if avx512() {
            "AVX-512"
        } else if avx2() {
            "AVX2 and FMA"
        } else {
            "SSE2"
        }
    }

    #[inline(always)]
    fn plain_sum(a: &[u64]) -> u64 {
        a.iter().fold(0, |sum, v| sum ^ v)
    }
    #[target_feature(enable = "avx2")]
    fn sum_avx2(a: &[u64]) -> u64 {
        plain_sum(a)
    }
    #[target_feature(enable = "avx512f")]
    fn sum_avx512(a: &[u64]) -> u64 {
        plain_sum(a)
    }
    pub fn sum(a: &[u64]) -> u64 {
        // SAFETY: the processor has the instructions.
        unsafe {
            if avx512() {
                sum_avx512(a)
            } else if avx2() {
                sum_avx2(a)
            } else {
                plain_sum(a)
            }
        }
    }

    /// Writes past the caches.
    pub fn stream(b: &mut [u64]) {
        // SAFETY: every processor of the architecture has SSE2; blocks are aligned and within the slice.
        unsafe {
            let (_, blocks, _) = b.align_to_mut::<__m128i>();
            let value = _mm_set1_epi64x(4);
            for block in blocks {
                _mm_stream_si128(block, value);
            }
            _mm_sfence();
        }
    }

    macro_rules! multiply {
        ($name:ident, $wide:ident, $narrow:ident, $t:ty, $set512:ident, $fma512:ident, $set256:ident, $fma256:ident) => {
            #[target_feature(enable = "avx512f")]
            fn $wide(rounds: usize) -> usize {
                let (x, y) = ($set512(0.5), $set512(1.0));
                let mut sums = [y; 16];
                for _ in 0..rounds {
                    for s in &mut sums {
                        *s = $fma512(*s, x, y);
                    }
                }
                std::hint::black_box(sums);
                16 * 64 / size_of::<$t>()
            }
            #[target_feature(enable = "avx2,fma")]
            fn $narrow(rounds: usize) -> usize {
                let (x, y) = ($set256(0.5), $set256(1.0));
                let mut sums = [y; 12];
                for _ in 0..rounds {
                    for s in &mut sums {
                        *s = $fma256(*s, x, y);
                    }
                }
                std::hint::black_box(sums);
                12 * 32 / size_of::<$t>()
            }
            /// Chains of fused operations; gives the number of operations of a round.
            pub fn $name(rounds: usize) -> usize {
                // SAFETY: the processor has the instructions.
                unsafe {
                    if avx512() {
                        return $wide(rounds);
                    }
                    if avx2() {
                        return $narrow(rounds);
                    }
                }
                super::plain::multiply::<$t>(rounds)
            }
        };
    }
    multiply!(
        multiply_f32,
        wide_f32,
        narrow_f32,
        f32,
        _mm512_set1_ps,
        _mm512_fmadd_ps,
        _mm256_set1_ps,
        _mm256_fmadd_ps
    );
    multiply!(
        multiply_f64,
        wide_f64,
        narrow_f64,
        f64,
        _mm512_set1_pd,
        _mm512_fmadd_pd,
        _mm256_set1_pd,
        _mm256_fmadd_pd
    );
}

/// Loops without instructions of their own.
#[cfg(not(target_arch = "x86_64"))]
mod instructions {
    pub fn name() -> &'static str {
        std::env::consts::ARCH
    }
    pub fn sum(a: &[u64]) -> u64 {
        a.iter().fold(0, |sum, v| sum ^ v)
    }
    pub fn stream(b: &mut [u64]) {
        b.fill(4);
    }
    pub fn multiply_f32(rounds: usize) -> usize {
        super::plain::multiply::<f32>(rounds)
    }
    pub fn multiply_f64(rounds: usize) -> usize {
        super::plain::multiply::<f64>(rounds)
    }
}

mod plain {
    use std::ops::{Add, Mul};

    /// Multiplications and additions in as many chains as registers hold.
    pub fn multiply<T: Copy + From<f32> + Add<Output = T> + Mul<Output = T>>(rounds: usize) -> usize {
        let (x, y) = (T::from(0.5), T::from(1.0));
        let mut sums = [y; 32];
        for _ in 0..rounds {
            for s in &mut sums {
                *s = *s * x + y;
            }
        }
        std::hint::black_box(sums);
        sums.len()
    }
}
