//! The hot loops of the decoders with the vector instructions of x86-64-v3 (AVX2), where the machine that
//! runs the program has them; the build assumes none. The scalar loops in [`deltas`](super::deltas) and
//! [`indexes`](super::indexes) do the same elsewhere, and are what tests hold these against.

#[cfg(target_arch = "x86_64")]
pub(super) use x86::Vectors;

#[cfg(not(target_arch = "x86_64"))]
pub(super) use other::Vectors;

/// Values of a unit of differences, which are unpacked in one go.
pub(super) const UNIT: usize = 32;
/// Bytes that unpacking a unit may read: the widest one, and some behind it.
pub(super) const WINDOW: usize = UNIT * 4 + 16;
/// Entries of a table of values that indexes are looked up in.
pub(super) const TABLE: usize = 128;

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{__m128i, __m256i};

    use pulp::cast;
    use pulp::x86::V3;

    use super::{TABLE, UNIT, WINDOW};

    /// A proof that the instructions are there.
    #[derive(Clone, Copy)]
    pub(in crate::container) struct Vectors(V3);

    /// How eight packed numbers of some bits are moved apart: the bytes that each begins in, and by how many
    /// bits it lies further up there.
    #[derive(Clone, Copy)]
    struct Spread {
        bytes: [u8; 32],
        bits: [u32; 8],
    }

    /// Widest numbers of which any lies in four bytes.
    const WIDEST: usize = 25;
    const DIFFERENCES: [Spread; WIDEST + 1] = {
        let mut spreads = [Spread { bytes: [0; 32], bits: [0; 8] }; WIDEST + 1];
        let mut width = 0;
        while width <= WIDEST {
            let mut idx = 0;
            while idx < 8 {
                // The upper four are loaded from the byte that the first of them begins in.
                let bit = idx * width - idx / 4 * (width / 2 * 8);
                let mut byte = 0;
                while byte < 4 {
                    spreads[width].bytes[idx * 4 + byte] = (bit / 8 + byte) as u8;
                    byte += 1;
                }
                spreads[width].bits[idx] = (bit % 8) as u32;
                idx += 1;
            }
            width += 1;
        }
        spreads
    };

    /// The same for eight numbers in each half, two bytes each, where a product moves the bits up.
    #[derive(Clone, Copy)]
    struct NarrowSpread {
        bytes: [u8; 16],
        factors: [u16; 8],
    }

    const NARROWEST: usize = TABLE.ilog2() as usize;
    const INDEXES: [NarrowSpread; NARROWEST + 1] = {
        let mut spreads = [NarrowSpread { bytes: [0; 16], factors: [0; 8] }; NARROWEST + 1];
        let mut width = 1;
        while width <= NARROWEST {
            let mut idx = 0;
            while idx < 8 {
                let bit = idx * width;
                spreads[width].bytes[idx * 2] = (bit / 8) as u8;
                spreads[width].bytes[idx * 2 + 1] = (bit / 8 + 1) as u8;
                spreads[width].factors[idx] = 1 << (16 - width - bit % 8);
                idx += 1;
            }
            width += 1;
        }
        spreads
    };

    impl Vectors {
        pub(in crate::container) fn find() -> Option<Self> {
            V3::try_new().map(Self)
        }

        /// Runs something compiled for these instructions; it must be inlined, and so must what it calls.
        #[inline(always)]
        pub(in crate::container) fn run<T>(self, what: impl FnOnce() -> T) -> T {
            self.0.vectorize(what)
        }

        /// Adds up a unit of differences of `width` bits, to be called in [`run`](Self::run); returns the
        /// last sum, or nothing where they are too wide.
        #[inline(always)]
        pub(in crate::container) fn sums(
            self,
            width: u8,
            bytes: &[u8; WINDOW],
            least: u32,
            last: u32,
            out: &mut [u32; UNIT],
        ) -> Option<u32> {
            let (avx, avx2) = (self.0.avx, self.0.avx2);
            let width = usize::from(width);
            let spread = DIFFERENCES.get(width)?;
            let mask = avx._mm256_set1_epi32(((1_u64 << width) - 1) as i32);
            let (places, bits): (__m256i, __m256i) = (cast(spread.bytes), cast(spread.bits));
            let least = avx._mm256_set1_epi32(least as i32);
            let seven = avx._mm256_set1_epi32(7);
            let mut carry = avx._mm256_set1_epi32(last as i32);
            for (idx, eight) in out.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let (lower, upper) = (idx * width, idx * width + width / 2);
                let (lower, upper) = (half(&bytes[lower..]), half(&bytes[upper..]));
                let packed = avx._mm256_set_m128i(upper, lower);
                let apart = avx2._mm256_shuffle_epi8(packed, places);
                let apart = avx2._mm256_and_si256(avx2._mm256_srlv_epi32(apart, bits), mask);
                let steps = avx2._mm256_add_epi32(apart, least);
                // Sums of two, of four, and of eight.
                let sums = avx2._mm256_add_epi32(steps, avx2._mm256_slli_si256::<4>(steps));
                let sums = avx2._mm256_add_epi32(sums, avx2._mm256_slli_si256::<8>(sums));
                let lower = avx2._mm256_permute2x128_si256::<0x08>(sums, sums);
                let sums = avx2._mm256_add_epi32(sums, avx2._mm256_shuffle_epi32::<0xff>(lower));
                *eight = cast(avx2._mm256_add_epi32(sums, carry));
                let all = avx2._mm256_permutevar8x32_epi32(sums, seven);
                carry = avx2._mm256_add_epi32(carry, all);
            }
            let [last, ..]: [u32; 8] = cast(carry);
            Some(last)
        }

        /// Looks packed indexes of 1 to 7 bits up; returns how many of the groups of eight it did, which
        /// are not all near the end of `packed`.
        pub(in crate::container) fn look_up(
            self,
            packed: &[u8],
            width: usize,
            table: &[u8; TABLE],
            out: &mut [[u8; 8]],
        ) -> usize {
            self.run(
                #[inline(always)]
                || match width {
                    0..=4 => self.look_up_in::<1>(packed, width, table, out),
                    5 => self.look_up_in::<2>(packed, width, table, out),
                    6 => self.look_up_in::<4>(packed, width, table, out),
                    _ => self.look_up_in::<8>(packed, width, table, out),
                },
            )
        }

        #[inline(always)]
        fn look_up_in<const ROWS: usize>(
            self,
            packed: &[u8],
            width: usize,
            table: &[u8; TABLE],
            out: &mut [[u8; 8]],
        ) -> usize {
            let table = Table::<ROWS>::new(self, width, table);
            let mut done = 0;
            let read = 3 * width + 16;
            let (whole, rest) = out.as_chunks_mut::<4>();
            for four in whole {
                let Some(packed) = packed.get(done * width..done * width + read) else {
                    return done;
                };
                *four = table.look_up(packed);
                done += 4;
            }
            if let Some(packed) = packed.get(done * width..done * width + read) {
                done += rest.len();
                rest.copy_from_slice(&table.look_up(packed)[..rest.len()]);
            }
            done
        }
    }

    /// A table for indexes of `width` bits, sixteen values a row.
    struct Table<const ROWS: usize> {
        simd: V3,
        width: usize,
        rows: [__m256i; ROWS],
        places: __m256i,
        factors: __m256i,
        down: __m128i,
    }

    impl<const ROWS: usize> Table<ROWS> {
        #[inline(always)]
        fn new(vectors: Vectors, width: usize, table: &[u8; TABLE]) -> Self {
            let Vectors(simd) = vectors;
            let mut rows = [simd.avx._mm256_setzero_si256(); ROWS];
            for (row, values) in rows.iter_mut().zip(table.as_chunks::<16>().0) {
                *row = simd.avx2._mm256_broadcastsi128_si256(cast(*values));
            }
            Self {
                simd,
                width,
                rows,
                places: simd.avx2._mm256_broadcastsi128_si256(cast(INDEXES[width].bytes)),
                factors: simd.avx2._mm256_broadcastsi128_si256(cast(INDEXES[width].factors)),
                down: cast([16 - width as u64, 0]),
            }
        }

        /// Looks up the indexes of the first four groups.
        #[inline(always)]
        fn look_up(&self, packed: &[u8]) -> [[u8; 8]; 4] {
            let (avx, avx2) = (self.simd.avx, self.simd.avx2);
            let even = self.apart(packed, &packed[2 * self.width..]);
            let odd = self.apart(&packed[self.width..], &packed[3 * self.width..]);
            let indexes = avx2._mm256_packus_epi16(even, odd);
            if ROWS == 1 {
                return cast(avx2._mm256_shuffle_epi8(self.rows[0], indexes));
            }
            let mut values = avx._mm256_setzero_si256();
            for (idx, row) in self.rows.iter().enumerate() {
                // Indexes of other rows get their highest bit set, which gives 0.
                let this = avx._mm256_set1_epi8(idx as i8 * 16);
                let index = avx2._mm256_xor_si256(indexes, this);
                let index = avx2._mm256_adds_epu8(index, avx._mm256_set1_epi8(0x70));
                let found = avx2._mm256_shuffle_epi8(*row, index);
                values = avx2._mm256_or_si256(values, found);
            }
            cast(values)
        }

        /// Two groups as sixteen numbers of two bytes.
        #[inline(always)]
        fn apart(&self, lower: &[u8], upper: &[u8]) -> __m256i {
            let (avx, avx2) = (self.simd.avx, self.simd.avx2);
            let packed = avx._mm256_set_m128i(half(upper), half(lower));
            let pairs = avx2._mm256_shuffle_epi8(packed, self.places);
            let upwards = avx2._mm256_mullo_epi16(pairs, self.factors);
            avx2._mm256_srl_epi16(upwards, self.down)
        }
    }

    #[inline(always)]
    fn half(bytes: &[u8]) -> __m128i {
        cast(bytes.as_chunks::<16>().0[0])
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod other {
    use std::convert::Infallible;

    use super::{TABLE, UNIT, WINDOW};

    /// No machine has them.
    #[derive(Clone, Copy)]
    pub(in crate::container) struct Vectors(Infallible);

    impl Vectors {
        pub(in crate::container) fn find() -> Option<Self> {
            None
        }

        pub(in crate::container) fn run<T>(self, _: impl FnOnce() -> T) -> T {
            match self.0 {}
        }

        pub(in crate::container) fn sums(
            self,
            _: u8,
            _: &[u8; WINDOW],
            _: u32,
            _: u32,
            _: &mut [u32; UNIT],
        ) -> Option<u32> {
            match self.0 {}
        }

        pub(in crate::container) fn look_up(
            self,
            _: &[u8],
            _: usize,
            _: &[u8; TABLE],
            _: &mut [[u8; 8]],
        ) -> usize {
            match self.0 {}
        }
    }
}
