//! Products of tiles of `bfloat16` by the matrix unit of x86 processors (Intel AMX; Intel 64 and IA-32 Architectures Software
//! Developer's Manual, volume 1, chapter 18), in assembly: the intrinsics are not in stable Rust. One of the modules with
//! unsafe code.

/// Rows of a tile, and its columns of 32 bits.
pub(super) const SIDE: usize = 16;
/// Bytes of a tile's row, and of a tile.
pub(super) const ROW: usize = 64;
pub(super) const TILE: usize = SIDE * ROW;

/// Bytes of a step of [`add_thirds`] in packed rows: 32 rows of 32 elements in three parts, the largest first.
pub(super) const THIRDS: usize = 6 * TILE;

/// Where operands of [`add_thirds`] lie.
pub(super) struct Thirds<'a> {
    /// [`THIRDS`] bytes for each step, one after the other.
    pub a: *const u8,
    /// 32 columns of pairs of elements: bytes between rows of 16 pairs, to the second 16 of them, and between parts.
    pub b: *const u8,
    pub b_row: usize,
    pub b_right: usize,
    pub b_part: usize,
    /// Bytes from `b` to its rows in each step.
    pub steps: &'a [usize],
    /// What the products are added to, and the bytes between its rows; zeros where it is null.
    pub base: *const f32,
    pub base_row: usize,
    /// Where 32 by 32 sums are written, and the bytes between rows.
    pub sums: *mut f32,
    pub sums_row: usize,
    /// [`TILE`] bytes that are written over.
    pub spare: *mut f32,
    /// What is asked for meanwhile: two lines of 64 bytes in each of two rows for each step.
    pub soon: *const f32,
}

/// Where operands of [`add`] lie. A step multiplies 32 or 16 rows of 32 elements of `a` with as many elements of 32 columns.
pub(super) struct Operands {
    /// The first 16 rows and the next ones, the bytes between rows and those from one step to the next.
    pub a: [*const u8; 2],
    pub a_row: usize,
    pub a_step: usize,
    /// Tiles of 16 columns, in pairs of elements, for the first columns and the next ones: each step's follow the last one's.
    pub b: [*const u8; 2],
    pub steps: usize,
    /// 32 by 32 sums, of which the first 16 or all 32 rows are used.
    pub sums: *mut f32,
    /// [`TILE`] bytes that are written over.
    pub spare: *mut f32,
    /// Whether sums go on with what is there.
    pub more: bool,
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod instructions {
    use super::{Operands, ROW, SIDE, THIRDS, TILE, Thirds};
    use std::arch::asm;
    use std::sync::OnceLock;

    /// Whether the processor has the unit and the kernel lets this process use it.
    pub(in super::super) fn available() -> bool {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        *AVAILABLE.get_or_init(|| {
            const FEATURES: u32 = 1 << 22 | 1 << 24;
            const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
            const XFEATURE_XTILEDATA: libc::c_long = 18;
            let leaf = std::arch::x86_64::__cpuid_count(7, 0);
            leaf.edx & FEATURES == FEATURES
                // SAFETY: asks for leave to use the registers, for all threads; reads and writes no memory.
                && unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) } == 0
        })
    }

    /// Eight tiles of 16 rows of 64 bytes.
    #[repr(align(64))]
    struct Configuration {
        _bytes: [u8; 64],
    }
    static CONFIGURATION: Configuration = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut i = 0;
        while i < 8 {
            bytes[16 + 2 * i] = ROW as u8;
            bytes[48 + i] = SIDE as u8;
            i += 1;
        }
        Configuration { _bytes: bytes }
    };

    /// Calls `work` with the registers set up as tiles.
    ///
    /// # Safety
    /// [`available`] was true.
    pub(in super::super) unsafe fn with_tiles<R>(work: impl FnOnce() -> R) -> R {
        struct Release;
        impl Drop for Release {
            fn drop(&mut self) {
                // SAFETY: there are tile registers, which nothing else uses.
                unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
            }
        }
        // SAFETY: the configuration is a valid one of 64 bytes.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly, preserves_flags))
        };
        let _release = Release;
        work()
    }

    /// Adds the products of 32 rows with 32 columns of numbers in three parts; those of which both are small are left out.
    ///
    /// # Safety
    /// Within [`with_tiles`]; all addresses are valid.
    pub(in super::super) unsafe fn add_thirds(o: &Thirds) {
        if o.steps.is_empty() {
            return;
        }
        // SAFETY: the caller vouches for the addresses; the compiler itself uses no tile registers.
        unsafe {
            if o.base.is_null() {
                asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem, preserves_flags)
                );
            } else {
                asm!(
                    "tileloadd tmm0, [{c} + {s}]",
                    "tileloadd tmm1, [{c} + {s} + 64]",
                    "tileloadd tmm2, [{d} + {s}]",
                    "tileloadd tmm3, [{d} + {s} + 64]",
                    c = in(reg) o.base, d = in(reg) o.base.wrapping_byte_add(SIDE * o.base_row), s = in(reg) o.base_row,
                    options(nostack, readonly, preserves_flags)
                );
            }
            // a: 4, 5; b: 6, 7. Small parts first. A tile is stored with each step, as the first store after about half a
            // microsecond of products takes a quarter more (measured on Sapphire Rapids).
            asm!(
                "2:",
                "mov {b}, [{offsets}]",
                "tileloadd tmm4, [{a} + {row} + 4096]",
                "add {b}, {from}",
                "lea {next}, [{b} + {right}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tileloadd tmm7, [{next} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a} + {row} + 5120]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {b}, {part}",
                "add {next}, {part}",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm4, [{a} + {row} + 2048]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{a} + {row} + 3072]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm7, [{next} + {line}]",
                "prefetcht0 [{soon}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "prefetcht0 [{soon} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm4, [{a} + {row}]",
                "prefetcht0 [{soon} + {apart}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "prefetcht0 [{soon} + {apart} + 64]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm5, [{a} + {row} + 1024]",
                "lea {soon}, [{soon} + 2 * {apart}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tilestored [{spare} + {row}], tmm4",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {b}, {part}",
                "add {next}, {part}",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm7, [{next} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "mov {b}, [{offsets}]",
                "add {b}, {from}",
                "lea {next}, [{b} + {right}]",
                "tileloadd tmm6, [{b} + {line}]",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tileloadd tmm7, [{next} + {line}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "add {a}, {step}",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "add {offsets}, 8",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "dec {steps}",
                "jnz 2b",
                a = inout(reg) o.a => _, from = in(reg) o.b, b = out(reg) _, next = out(reg) _,
                offsets = inout(reg) o.steps.as_ptr() => _, steps = inout(reg) o.steps.len() => _,
                line = in(reg) o.b_row, part = in(reg) o.b_part, right = in(reg) o.b_right,
                soon = inout(reg) o.soon => _, apart = in(reg) o.sums_row,
                row = in(reg) ROW, step = const THIRDS, spare = in(reg) o.spare,
                options(nostack)
            );
            asm!(
                "tilestored [{c} + {s}], tmm0",
                "tilestored [{c} + {s} + 64], tmm1",
                "tilestored [{d} + {s}], tmm2",
                "tilestored [{d} + {s} + 64], tmm3",
                c = in(reg) o.sums, d = in(reg) o.sums.wrapping_byte_add(SIDE * o.sums_row), s = in(reg) o.sums_row,
                options(nostack, preserves_flags)
            );
        }
    }

    /// Adds the products of 32 rows (16 if not `both`) with 32 columns to the sums.
    ///
    /// # Safety
    /// Within [`with_tiles`]; all addresses are valid.
    pub(in super::super) unsafe fn add(o: &Operands, both: bool) {
        if o.steps == 0 {
            return;
        }
        // SAFETY: the caller vouches for the addresses; the compiler itself uses no tile registers.
        unsafe {
            let (first, second) = (o.sums, o.sums.wrapping_add(SIDE * 2 * SIDE));
            match o.more {
                true => asm!(
                    "tileloadd tmm0, [{c} + {s}]",
                    "tileloadd tmm1, [{c} + {s} + 64]",
                    "tileloadd tmm2, [{d} + {s}]",
                    "tileloadd tmm3, [{d} + {s} + 64]",
                    c = in(reg) first, d = in(reg) second, s = in(reg) 2 * ROW,
                    options(nostack, readonly, preserves_flags)
                ),
                false => asm!(
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    options(nostack, nomem, preserves_flags)
                ),
            }
            match both {
                true => asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloadd tmm6, [{x} + {line}]",
                    "tileloadd tmm7, [{y} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{b} + {row}]",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "add {a}, {step}",
                    "add {b}, {step}",
                    "tilestored [{spare} + {line}], tmm4",
                    "tdpbf16ps tmm2, tmm5, tmm6",
                    "add {x}, {tile}",
                    "add {y}, {tile}",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) o.a[0] => _, b = inout(reg) o.a[1] => _,
                    x = inout(reg) o.b[0] => _, y = inout(reg) o.b[1] => _,
                    row = in(reg) o.a_row, step = in(reg) o.a_step, line = in(reg) ROW, tile = const TILE,
                    steps = inout(reg) o.steps => _, spare = in(reg) o.spare,
                    options(nostack)
                ),
                false => asm!(
                    "2:",
                    "tileloadd tmm4, [{a} + {row}]",
                    "tileloadd tmm6, [{x} + {line}]",
                    "tileloadd tmm7, [{y} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    "add {a}, {step}",
                    "add {x}, {tile}",
                    "add {y}, {tile}",
                    "tdpbf16ps tmm1, tmm4, tmm7",
                    "dec {steps}",
                    "jnz 2b",
                    a = inout(reg) o.a[0] => _,
                    x = inout(reg) o.b[0] => _, y = inout(reg) o.b[1] => _,
                    row = in(reg) o.a_row, step = in(reg) o.a_step, line = in(reg) ROW, tile = const TILE,
                    steps = inout(reg) o.steps => _,
                    options(nostack, readonly)
                ),
            }
            asm!(
                "tilestored [{c} + {s}], tmm0",
                "tilestored [{c} + {s} + 64], tmm1",
                "tilestored [{d} + {s}], tmm2",
                "tilestored [{d} + {s} + 64], tmm3",
                c = in(reg) first, d = in(reg) second, s = in(reg) 2 * ROW,
                options(nostack, preserves_flags)
            );
        }
    }
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod instructions {
    use super::{Operands, Thirds};

    pub(in super::super) fn available() -> bool {
        false
    }
    pub(in super::super) unsafe fn with_tiles<R>(work: impl FnOnce() -> R) -> R {
        work()
    }
    pub(in super::super) unsafe fn add(_: &Operands, _: bool) {}
    pub(in super::super) unsafe fn add_thirds(_: &Thirds) {}
}

pub(super) use instructions::{add, add_thirds, available, with_tiles};
