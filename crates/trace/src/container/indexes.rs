//! Pages of indexes into a dictionary, in the encoding `RLE_DICTIONARY`.
//!
//! A byte says how many bits an index takes. Then come runs of two kinds: an index and how often it is
//! repeated, or groups of eight indexes, packed. Source: "Run Length Encoding / Bit-Packing Hybrid" and
//! "Dictionary Encoding" in `Encodings.md` of the Parquet format.
//!
//! Packed indexes of up to eight bits are looked up several at once: a table has the values of every
//! combination of them that takes at most twelve bits, made once a dictionary and width.

use bytes::{Buf, Bytes};
use parquet::basic::Encoding;

use super::bits::{ends, number};
use super::column::{Decoder, Page, Value};
use super::vectors::{TABLE, Vectors};

/// Packed values come in groups of so many.
const GROUP: usize = 8;
/// Widest packed indexes that have a table.
const TABLE_WIDTH: u8 = 8;

/// A value of a column with few of them. One that no dictionary may have marks indexes beyond its end.
pub(super) trait Narrow: Value {
    const BEYOND: Self;

    /// Looks indexes of 1 to 7 bits up by vector instructions, as [`Vectors::look_up`] does.
    fn look_up(
        vectors: Vectors,
        packed: &[u8],
        width: usize,
        dictionary: &[Self],
        out: &mut [[Self; GROUP]],
    ) -> usize {
        let _ = (vectors, packed, width, dictionary, out);
        0
    }
}

impl Narrow for u8 {
    const BEYOND: Self = Self::MAX;

    fn look_up(
        vectors: Vectors,
        packed: &[u8],
        width: usize,
        dictionary: &[Self],
        out: &mut [[Self; GROUP]],
    ) -> usize {
        let mut table = [Self::BEYOND; TABLE];
        let length = dictionary.len().min(TABLE);
        table[..length].copy_from_slice(&dictionary[..length]);
        vectors.look_up(packed, width, &table, out)
    }
}

impl Narrow for u16 {
    const BEYOND: Self = Self::MAX;
}

/// A page being decoded, and its dictionary.
#[derive(Default)]
pub(super) struct Indexes<T> {
    vectors: Option<Vectors>,
    dictionary: Vec<T>,
    /// The values of [`at_once`] indexes for all of their combinations, one after the other.
    table: Vec<T>,
    /// Bits of an index that the table is for; 0: there is none.
    table_width: u8,
    /// What is not decoded yet.
    bytes: Bytes,
    /// Bits of an index.
    width: u8,
    /// Values to come.
    left: usize,
    /// How often `value` is to come.
    times: usize,
    value: T,
    /// Packed groups to come.
    groups: usize,
}

impl<T: Narrow> Decoder<T> for Indexes<T> {
    fn new(vectors: Option<Vectors>) -> Self {
        Self { vectors, ..Self::default() }
    }

    fn dictionary(&mut self, page: &Page) -> Result<bool, String> {
        if !matches!(page.encoding, Encoding::PLAIN | Encoding::PLAIN_DICTIONARY) {
            return Ok(false);
        }
        let (values, _) = page.bytes.as_chunks();
        let values = values.get(..page.values).ok_or("the dictionary ends within its values")?;
        let value = |bytes: &[u8; 4]| T::checked(i32::from_le_bytes(*bytes));
        self.dictionary = values.iter().map(value).collect::<Result<_, _>>()?;
        self.table_width = 0;
        Ok(true)
    }

    fn open(&mut self, page: &Page) -> Result<bool, String> {
        if !matches!(page.encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY) {
            return Ok(false);
        }
        self.left = page.values;
        (self.times, self.groups) = (0, 0);
        let Some((width, indexes)) = page.bytes.split_first() else {
            return if self.left == 0 { Ok(true) } else { Err("a page is empty".to_owned()) };
        };
        if *width > 32 {
            return Err(format!("indexes of {width} bits"));
        }
        self.width = *width;
        self.bytes = page.bytes.slice_ref(indexes);
        Ok(true)
    }

    fn repeated(&mut self, most: usize) -> Result<Option<(T, usize)>, String> {
        if self.left > 0 && self.times == 0 && self.groups == 0 {
            self.next_run()?;
        }
        let nr = self.times.min(self.left).min(most);
        self.times -= nr;
        self.left -= nr;
        Ok(if nr > 0 { Some((self.value, nr)) } else { None })
    }

    fn decode(&mut self, out: &mut [T]) -> Result<usize, String> {
        let mut done = 0;
        while self.left > 0 && done < out.len() {
            let out = &mut out[done..];
            let nr = if self.times > 0 {
                let nr = self.times.min(self.left).min(out.len());
                out[..nr].fill(self.value);
                self.times -= nr;
                nr
            } else if self.groups > 0 {
                let room = out.as_chunks_mut().0;
                let nr = self.groups.min(room.len()).min(self.left.div_ceil(GROUP));
                if nr == 0 {
                    break;
                }
                self.groups -= nr;
                self.look_up(&mut room[..nr])?
            } else {
                self.next_run()?;
                continue;
            };
            self.left -= nr;
            done += nr;
        }
        Ok(done)
    }
}

impl<T: Narrow> Indexes<T> {
    /// Takes what says how long the next run is, and its index if that is repeated.
    fn next_run(&mut self) -> Result<(), String> {
        let mut rest = &self.bytes[..];
        let header = number(&mut rest)?;
        let count =
            i32::try_from(header >> 1).map_err(|_| format!("a run's header is {header}"))?;
        let count = count as usize;
        if header & 1 == 1 {
            self.groups = count;
        } else {
            let length = usize::from(self.width).div_ceil(8);
            let (index, behind) = rest.split_at_checked(length).ok_or_else(ends)?;
            rest = behind;
            let index = match index {
                [byte] => usize::from(*byte),
                bytes => word(bytes) as usize,
            };
            if index >> self.width > 0 {
                return Err(format!("index {index} has more than {} bits", self.width));
            }
            if count == 0 {
                return Err("an index is repeated 0 times".to_owned());
            }
            self.value = *self.dictionary.get(index).ok_or_else(|| self.beyond())?;
            self.times = count;
        }
        self.bytes.advance(self.bytes.len() - rest.len());
        Ok(())
    }

    fn beyond(&self) -> String {
        format!("an index beyond the dictionary, which has {} values", self.dictionary.len())
    }

    /// Decodes packed groups; returns how many values of them are the page's.
    fn look_up(&mut self, out: &mut [[T; GROUP]]) -> Result<usize, String> {
        let nr = (out.len() * GROUP).min(self.left);
        let width = usize::from(self.width);
        let packed = &self.bytes[..];
        // The last group may lack what is behind the page's values.
        if packed.len() < (nr * width).div_ceil(8) {
            return Err(ends());
        }
        let by_vectors = match self.vectors {
            Some(vectors) if (1..8).contains(&width) => {
                T::look_up(vectors, packed, width, &self.dictionary, out)
            }
            _ => 0,
        };
        if by_vectors < out.len() {
            self.look_up_rest(&mut out[by_vectors..], by_vectors * width);
        }
        let is_full = self.dictionary.len() >> self.width > 0;
        let values = out.as_flattened()[..nr].iter();
        if !is_full && values.fold(false, |any, value| any | (*value == T::BEYOND)) {
            return Err(self.beyond());
        }
        self.bytes.advance(self.bytes.len().min(out.len() * width));
        Ok(nr)
    }

    /// Looks up the groups that begin at a byte, one, two, four or eight values at a time.
    fn look_up_rest(&mut self, out: &mut [[T; GROUP]], from: usize) {
        if self.width <= TABLE_WIDTH && self.table_width != self.width {
            self.fill_table();
        }
        let packed = &self.bytes[from..];
        if self.width <= TABLE_WIDTH {
            unpack(packed, self.width, &self.table, &self.dictionary, out);
        } else {
            unpack_wide(packed, self.width.into(), &self.dictionary, out);
        }
    }

    /// Makes the table for indexes of the page's width.
    fn fill_table(&mut self) {
        let width = usize::from(self.width);
        let nr = at_once(width);
        let value = |bits: usize| {
            let index = bits & ((1 << width) - 1);
            self.dictionary.get(index).copied().unwrap_or(T::BEYOND)
        };
        let combinations = 0..1_usize << (width * nr);
        let values = combinations.flat_map(|bits| (0..nr).map(move |idx| bits >> (idx * width)));
        self.table = values.map(value).collect();
        self.table_width = self.width;
    }
}

/// How many indexes of that many bits are looked up at once: eight, four, two or one.
const fn at_once(width: usize) -> usize {
    match width {
        1 => 8,
        2..=3 => 4,
        4..=6 => 2,
        _ => 1,
    }
}

/// Values of packed indexes of up to [`TABLE_WIDTH`] bits.
fn unpack<T: Narrow>(
    bytes: &[u8],
    width: u8,
    table: &[T],
    dictionary: &[T],
    out: &mut [[T; GROUP]],
) {
    macro_rules! by_width {
        ($($width:literal)*) => {
            match width {
                $($width => tabled::<T, $width, { at_once($width) }>(bytes, table, out),)*
                _ => {
                    let first = dictionary.first().copied().unwrap_or(T::BEYOND);
                    out.as_flattened_mut().fill(first);
                }
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8)
}

fn tabled<T: Narrow, const WIDTH: usize, const AT_ONCE: usize>(
    bytes: &[u8],
    table: &[T],
    out: &mut [[T; GROUP]],
) {
    let bits = WIDTH * AT_ONCE;
    let table = &table.as_chunks::<AT_ONCE>().0[..1 << bits];
    let look_up = |packed: &[u8; WIDTH], group: &mut [T; GROUP]| {
        let number = word(packed);
        for (idx, values) in group.as_chunks_mut::<AT_ONCE>().0.iter_mut().enumerate() {
            // The compiler does not see by itself that a combination is a byte.
            let index = if bits == 8 { packed[idx].into() } else { number >> (idx * bits) };
            *values = table[index as usize & ((1 << bits) - 1)];
        }
    };
    let (whole, cut) = bytes.as_chunks();
    for (packed, group) in whole.iter().zip(&mut *out) {
        look_up(packed, group);
    }
    if let Some(group) = out.get_mut(whole.len()) {
        let mut packed = [0; WIDTH];
        packed[..cut.len()].copy_from_slice(cut);
        look_up(&packed, group);
    }
}

/// The same for wider indexes, which only columns with many values have.
fn unpack_wide<T: Narrow>(bytes: &[u8], width: usize, dictionary: &[T], out: &mut [[T; GROUP]]) {
    for (idx, value) in out.as_flattened_mut().iter_mut().enumerate() {
        let bit = idx * width;
        let index =
            word(bytes.get(bit / 8..).unwrap_or_default()) >> (bit % 8) & ((1 << width) - 1);
        let found = usize::try_from(index).ok().and_then(|index| dictionary.get(index));
        *value = found.copied().unwrap_or(T::BEYOND);
    }
}

/// Up to eight bytes as a number.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let length = bytes.len().min(word.len());
    word[..length].copy_from_slice(&bytes[..length]);
    u64::from_le_bytes(word)
}
