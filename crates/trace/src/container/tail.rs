//! Checksums of what Parquet's writer writes, and of the footer.
//!
//! The format's own page checksums are optional and its Rust writer leaves them out, so a flipped
//! bit would decode to other numbers. [`Checked`] sums up each row group as it is written; the
//! sums go into the footer. The footer itself is summed up by [`guard`], twelve bytes in front of
//! it that other readers never look at, since they find everything by absolute offsets.

use std::io::{self, Write};

/// Opens the guard in front of the footer; the CRC-32 of all that follows comes after it.
pub(super) const GUARD_MAGIC: [u8; 8] = *b"numalab1";
/// Bytes of the guard.
pub(super) const GUARD_BYTES: usize = 12;
/// Bytes after the footer: its length and `PAR1`.
pub(super) const TRAILER_BYTES: usize = 8;
/// Begins and ends every Parquet file.
pub(super) const PARQUET_MAGIC: [u8; 4] = *b"PAR1";

/// A writer that sums up what passes and can hold it back.
pub(super) struct Checked<W> {
    inner: W,
    written: u64,
    crc: crc32fast::Hasher,
    held: Option<Vec<u8>>,
}

impl<W: Write> Checked<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, written: 0, crc: crc32fast::Hasher::new(), held: None }
    }

    /// Bytes passed so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// The CRC-32 of the bytes since the last call.
    pub(super) fn take_crc(&mut self) -> u32 {
        std::mem::take(&mut self.crc).finalize()
    }

    /// From now on bytes are kept in memory.
    pub(super) fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Writes the held bytes with a guard in front of the footer, and returns the inner writer.
    pub(super) fn finish(self) -> io::Result<W> {
        let mut inner = self.inner;
        let tail = self.held.unwrap_or_default();
        let (front, footer) = split_footer(&tail)?;
        inner.write_all(front)?;
        inner.write_all(&guard(footer))?;
        inner.write_all(footer)?;
        inner.flush()?;
        Ok(inner)
    }
}

/// Splits the end of a Parquet file in front of its footer.
fn split_footer(tail: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let bad = || io::Error::other("the Parquet writer left no footer");
    let trailer = tail.len().checked_sub(TRAILER_BYTES).ok_or_else(bad)?;
    let length = tail[trailer..].first_chunk().ok_or_else(bad)?;
    let footer = trailer.checked_sub(u32::from_le_bytes(*length) as usize).ok_or_else(bad)?;
    Ok(tail.split_at(footer))
}

/// What stands in front of a footer; `footer` reaches to the end of the file.
pub(super) fn guard(footer: &[u8]) -> [u8; GUARD_BYTES] {
    let mut guard = [0; GUARD_BYTES];
    guard[..8].copy_from_slice(&GUARD_MAGIC);
    guard[8..].copy_from_slice(&crc32fast::hash(footer).to_le_bytes());
    guard
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = self.inner.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
