//! A page's bytes, as the two encodings read them.

use bytes::Bytes;

/// Most bytes of a number of variable length.
const NUMBER_BYTES: u32 = 10;

/// A page up to whose byte `at` everything is read; never beyond its end.
#[derive(Default)]
pub(super) struct PageBytes {
    bytes: Bytes,
    at: usize,
}

impl PageBytes {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self { bytes, at: 0 }
    }

    /// What is not read yet.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    /// Bytes read so far.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// A byte that was read or not, by its place.
    pub(super) fn byte(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Goes on by `length` bytes, at most to the end.
    pub(super) fn skip(&mut self, length: usize) {
        self.at = self.at.saturating_add(length).min(self.bytes.len());
    }

    /// The error of a page that lacks bytes.
    pub(super) fn ends(&self) -> String {
        format!("a page ends after {} bytes, within its values", self.bytes.len())
    }

    /// The next number of variable length (ULEB128).
    pub(super) fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for idx in 0..NUMBER_BYTES {
            let byte = self.byte(self.at).ok_or_else(|| self.ends())?;
            self.at += 1;
            number |= u64::from(byte & 127) << (7 * idx);
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(format!("a number has more than {NUMBER_BYTES} bytes"))
    }

    /// The same with its sign in the lowest bit, of 32 bits.
    pub(super) fn signed(&mut self) -> Result<u32, String> {
        let number = self.number()?;
        let value = (number >> 1) as i64 ^ -((number & 1) as i64);
        i32::try_from(value)
            .map(|value| value as u32)
            .map_err(|_| format!("{value} has more than 32 bits"))
    }
}
