//! The Mersenne Twister and the generator around it.

use flambeau_core::{Error, Result};
use std::hash::{BuildHasher, Hasher};

/// The seed of a new generator: the largest prime factor of 2^64 + 1.
pub const DEFAULT_SEED: u64 = 67280421310721;
/// Bytes of [`Generator::get_state`].
pub const STATE_SIZE: usize = 5056;

const WORDS: usize = 624;
const SHIFT: usize = 397;
const SPLIT: usize = WORDS - SHIFT;

/// MT19937 of Matsumoto and Nishimura (ACM TOMACS 8(1), 1998), with the seeding of its 2002 revision.
#[derive(Clone)]
struct Mt19937 {
    state: [u32; WORDS],
    /// Draws until the state is renewed, counted as PyTorch does: 1 means at the next draw.
    left: u32,
    /// The next word to be tempered.
    next: u32,
}

#[inline(always)]
fn twist(high: u32, low: u32) -> u32 {
    ((high & 0x8000_0000 | low & 0x7fff_ffff) >> 1) ^ (low & 1).wrapping_neg() & 0x9908_b0df
}

#[inline(always)]
fn temper(mut y: u32) -> u32 {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c_5680;
    y ^= (y << 15) & 0xefc6_0000;
    y ^ (y >> 18)
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [0; WORDS];
        state[0] = seed;
        for i in 1..WORDS {
            let previous = state[i - 1];
            state[i] = 1812433253u32.wrapping_mul(previous ^ previous >> 30).wrapping_add(i as u32);
        }
        Mt19937 { state, left: 1, next: 0 }
    }

    fn renew(&mut self) {
        let s = &mut self.state;
        for i in 0..SPLIT {
            s[i] = s[i + SHIFT] ^ twist(s[i], s[i + 1]);
        }
        for i in SPLIT..WORDS - 1 {
            s[i] = s[i - SPLIT] ^ twist(s[i], s[i + 1]);
        }
        s[WORDS - 1] = s[SHIFT - 1] ^ twist(s[WORDS - 1], s[0]);
        self.left = WORDS as u32;
        self.next = 0;
    }

    /// Makes at least one word of the state ready. A restored state may have fewer words after `next` than `left`
    /// promises; it is renewed at the end of the array.
    #[inline(always)]
    fn advance(&mut self) {
        if self.left <= 1 || self.next as usize >= WORDS {
            self.renew();
        } else {
            self.left -= 1;
        }
    }

    #[inline(always)]
    fn word(&mut self) -> u32 {
        self.advance();
        let y = self.state[self.next as usize];
        self.next += 1;
        temper(y)
    }

    fn fill(&mut self, mut out: &mut [u32]) {
        while !out.is_empty() {
            self.advance();
            // The word made ready, and those that follow it before the next renewal.
            let start = self.next as usize;
            let n = (self.left as usize).min(WORDS - start).min(out.len());
            let (head, rest) = out.split_at_mut(n);
            for (o, &y) in head.iter_mut().zip(&self.state[start..start + n]) {
                *o = temper(y);
            }
            self.left -= n as u32 - 1;
            self.next += n as u32;
            out = rest;
        }
    }
}

/// PyTorch's generator for the CPU: an MT19937 engine and the second halves of normal pairs not yet handed out.
#[derive(Clone)]
pub struct Generator {
    seed: u64,
    engine: Mt19937,
    next_float_normal: Option<f32>,
    next_double_normal: Option<f64>,
}

impl Default for Generator {
    fn default() -> Self {
        Generator::new(DEFAULT_SEED)
    }
}

impl std::fmt::Debug for Generator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generator").field("initial_seed", &self.seed).finish_non_exhaustive()
    }
}

impl Generator {
    /// A generator seeded as by [`manual_seed`](Self::manual_seed).
    pub fn new(seed: u64) -> Self {
        Generator {
            seed,
            engine: Mt19937::new(seed as u32),
            next_float_normal: None,
            next_double_normal: None,
        }
    }
    /// Starts the stream of `seed`. The engine uses its low 32 bits; a negative Python seed arrives as its two's
    /// complement.
    pub fn manual_seed(&mut self, seed: u64) -> &mut Self {
        *self = Generator::new(seed);
        self
    }
    /// Seeds from the operating system and returns the seed.
    pub fn seed(&mut self) -> u64 {
        // The standard library keys its hash maps with randomness of the system.
        let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
        if let Ok(now) = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH) {
            hasher.write_u128(now.as_nanos());
        }
        hasher.write_u32(std::process::id());
        let seed = hasher.finish();
        self.manual_seed(seed);
        seed
    }
    /// The seed this stream began with.
    pub fn initial_seed(&self) -> u64 {
        self.seed
    }

    /// The next 32 random bits.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.engine.word()
    }
    /// The next 64 random bits: two words, the high one first.
    #[inline]
    pub fn random64(&mut self) -> u64 {
        let high = self.engine.word();
        (high as u64) << 32 | self.engine.word() as u64
    }
    /// Fills `out` with what as many calls of [`random`](Self::random) would return.
    pub fn random_words(&mut self, out: &mut [u32]) {
        self.engine.fill(out);
    }
    /// A `float64` in [0, 1) with 53 random bits.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        unit_f64(self.random64())
    }
    /// A standard normal by the polar form of Box and Muller (1958). Draws come in pairs, whose second half is kept.
    pub fn standard_normal(&mut self) -> f64 {
        if let Some(kept) = self.next_double_normal.take() {
            return kept;
        }
        let angle = self.uniform();
        let radius = (-2.0 * (-self.uniform()).ln_1p()).sqrt();
        let theta = 2.0 * std::f64::consts::PI * angle;
        self.next_double_normal = Some(radius * theta.sin());
        radius * theta.cos()
    }

    /// The state as the 5056 bytes of `torch.get_rng_state()`: little-endian fields seed `u64`, left `i32`,
    /// seeded `i32`, next `u64`, 624 words as `u64`, two unused `f64` around the kept `f64` normal (`x`, `y`, `rho`),
    /// its validity `i32`, padding, the kept `f32` normal, its validity `u8`, padding.
    pub fn get_state(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(STATE_SIZE);
        out.extend(self.seed.to_le_bytes());
        out.extend(self.engine.left.to_le_bytes());
        out.extend(1u32.to_le_bytes());
        out.extend((self.engine.next as u64).to_le_bytes());
        for &word in &self.engine.state {
            out.extend((word as u64).to_le_bytes());
        }
        out.extend(0f64.to_le_bytes());
        out.extend(self.next_double_normal.unwrap_or(0.0).to_le_bytes());
        out.extend(0f64.to_le_bytes());
        out.extend((self.next_double_normal.is_some() as u64).to_le_bytes());
        out.extend(self.next_float_normal.unwrap_or(0.0).to_le_bytes());
        out.extend((self.next_float_normal.is_some() as u32).to_le_bytes());
        debug_assert_eq!(out.len(), STATE_SIZE);
        out
    }

    /// Restores [`get_state`](Self::get_state). Errors, with the generator unchanged, if the length is wrong or the
    /// counters are out of range.
    pub fn set_state(&mut self, state: &[u8]) -> Result<()> {
        if state.len() != STATE_SIZE {
            return Err(Error::runtime(format!(
                "Expected a CPUGeneratorImplState of size {STATE_SIZE} but found the input RNG state size to be {}",
                state.len()
            )));
        }
        fn bytes<const N: usize>(state: &[u8], at: usize) -> [u8; N] {
            std::array::from_fn(|i| state[at + i])
        }
        let word = |at| u64::from_le_bytes(bytes(state, at));
        let (left, seeded) = (i32::from_le_bytes(bytes(state, 8)), i32::from_le_bytes(bytes(state, 12)));
        let next = word(16);
        if seeded == 0 || !(1..=WORDS as i32).contains(&left) || next > WORDS as u64 {
            return Err(Error::runtime("Invalid mt19937 state"));
        }
        let normals = 24 + 8 * WORDS;
        let double_kept = i32::from_le_bytes(bytes(state, normals + 24)) != 0;
        let float_kept = state[normals + 36] != 0;
        *self = Generator {
            seed: word(0),
            engine: Mt19937 {
                state: std::array::from_fn(|i| word(24 + 8 * i) as u32),
                left: left as u32,
                next: next as u32,
            },
            next_float_normal: float_kept.then(|| f32::from_le_bytes(bytes(state, normals + 32))),
            next_double_normal: double_kept.then(|| f64::from_le_bytes(bytes(state, normals + 8))),
        };
        Ok(())
    }
}

/// The low 24 bits as a fraction of 2^24.
#[inline(always)]
pub(super) fn unit_f32(word: u32) -> f32 {
    (word & 0xff_ffff) as i32 as f32 * (1.0 / (1u32 << 24) as f32)
}

/// The low 53 bits as a fraction of 2^53.
#[inline(always)]
pub(super) fn unit_f64(word: u64) -> f64 {
    // In two exact parts, for which there are vector conversions.
    let high = (word >> 32 & 0x1f_ffff) as i32 as f64;
    (high * (1u64 << 32) as f64 + word as u32 as f64) * (1.0 / (1u64 << 53) as f64)
}

/// Words drawn at a time by the loops below: a buffer that stays in the first-level cache.
const BATCH: usize = 512;
/// Fewer elements than this are drawn one by one.
const SMALL: usize = 12;

impl Generator {
    /// `out[i] = make(word)` with one word an element.
    pub(super) fn fill32<T>(&mut self, out: &mut [T], mut make: impl FnMut(u32) -> T) {
        if out.len() < SMALL {
            return out.iter_mut().for_each(|o| *o = make(self.random()));
        }
        let mut words = [0; BATCH];
        for chunk in out.chunks_mut(BATCH) {
            let words = &mut words[..chunk.len()];
            self.random_words(words);
            for (o, &w) in chunk.iter_mut().zip(&*words) {
                *o = make(w);
            }
        }
    }
    /// `out[i] = make(word)` with two words an element.
    pub(super) fn fill64<T>(&mut self, out: &mut [T], mut make: impl FnMut(u64) -> T) {
        if out.len() < SMALL {
            return out.iter_mut().for_each(|o| *o = make(self.random64()));
        }
        let mut words = [0; BATCH];
        for chunk in out.chunks_mut(BATCH / 2) {
            let words = &mut words[..2 * chunk.len()];
            self.random_words(words);
            for (o, w) in chunk.iter_mut().zip(words.chunks_exact(2)) {
                *o = make((w[0] as u64) << 32 | w[1] as u64);
            }
        }
    }
    /// `out[i] = make(u)` with `u` uniform in [0, 1), of 53 bits.
    pub(super) fn fill_uniform64<T>(&mut self, out: &mut [T], mut make: impl FnMut(f64) -> T) {
        self.fill64(out, |w| make(unit_f64(w)));
    }
}
