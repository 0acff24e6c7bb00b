//! One column of a row group, decoded batch by batch.
//!
//! The Parquet library finds the pages and decompresses them. Its own decoders took 75 instructions a row of
//! the seven columns, and 42 more went into clearing and copying, where a row is replayed in 10 to 15. So pages
//! in the encodings that the writer chooses have decoders of our own, [`deltas`](super::deltas) and
//! [`indexes`](super::indexes), which write straight into reused buffers and take 21 with everything. A column
//! with any other page is left to the library from there on.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::basic::Encoding;
use parquet::column::page::{Page as Stored, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::Int32Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::ColumnDescPtr;

use super::deltas::Deltas;
use super::indexes::Indexes;
use super::vectors::Vectors;

/// Values that a decoder may go beyond a batch, since it decodes several at a time.
const BEYOND_BATCH: usize = 32;

/// A value as the columns have it; one for each width, with the encoding that its columns have.
pub(super) trait Value: Copy + Default + PartialEq + 'static {
    type Decoder: Decoder<Self>;

    /// # Errors
    /// A number that no row may have.
    fn checked(stored: i32) -> Result<Self, String>;
}

/// Decodes the pages of one encoding.
pub(super) trait Decoder<T> {
    /// A decoder that uses the machine's vector instructions, if any are given.
    fn new(vectors: Option<Vectors>) -> Self;

    /// Takes a dictionary; false: of another encoding.
    fn dictionary(&mut self, page: &Page) -> Result<bool, String>;

    /// Begins a page of values; false: of another encoding.
    fn open(&mut self, page: &Page) -> Result<bool, String>;

    /// The next values of the page if they are stored as one and how often it is repeated, up to `most`.
    fn repeated(&mut self, most: usize) -> Result<Option<(T, usize)>, String> {
        let _ = most;
        Ok(None)
    }

    /// Decodes the next values of the page and returns how many: at least one, unless the page is over
    /// or there is room for less than [`BEYOND_BATCH`].
    fn decode(&mut self, out: &mut [T]) -> Result<usize, String>;
}

/// A page's values.
pub(super) struct Page {
    pub(super) encoding: Encoding,
    /// How many.
    pub(super) values: usize,
    pub(super) bytes: Bytes,
}

/// Where a column's pages are.
pub(super) struct Place<'a> {
    pub(super) window: Arc<Window>,
    pub(super) chunk: &'a ColumnChunkMetaData,
    pub(super) descriptor: ColumnDescPtr,
    /// Rows of the row group.
    pub(super) rows: usize,
}

/// A column being decoded.
pub(super) struct Column<'a, T: Value> {
    place: Place<'a>,
    pages: SerializedPageReader<Window>,
    decoder: T::Decoder,
    /// Decodes instead from the first page on that is of another encoding.
    library: Option<Library>,
    /// Up to `filled` decoded values, of which the last batch has the first `used`.
    values: Vec<T>,
    filled: usize,
    used: usize,
    /// Values decoded so far, and those of the pages begun so far.
    decoded: usize,
    begun: usize,
}

struct Library {
    reader: ColumnReaderImpl<Int32Type>,
    values: Vec<i32>,
}

impl Value for u32 {
    type Decoder = Deltas;

    fn checked(stored: i32) -> Result<Self, String> {
        Ok(stored as Self)
    }
}

impl Value for u16 {
    type Decoder = Indexes<Self>;

    fn checked(stored: i32) -> Result<Self, String> {
        let value = Self::try_from(stored).ok().filter(|value| *value < Self::MAX);
        value.ok_or_else(|| format!("value {stored}, expected less than {}", Self::MAX))
    }
}

impl Value for u8 {
    type Decoder = Indexes<Self>;

    fn checked(stored: i32) -> Result<Self, String> {
        let value = Self::try_from(stored).ok().filter(|value| *value < 128);
        value.ok_or_else(|| format!("value {stored}, expected less than 128"))
    }
}

impl<'a, T: Value> Column<'a, T> {
    /// A column to be decoded in batches of up to `most` rows.
    pub(super) fn new(place: Place<'a>, most: usize) -> Result<Self, String> {
        Ok(Self {
            pages: place.pages()?,
            place,
            decoder: T::Decoder::new(Vectors::find()),
            library: None,
            values: vec![T::default(); most + BEYOND_BATCH],
            filled: 0,
            used: 0,
            decoded: 0,
            begun: 0,
        })
    }

    /// The values of the last batch.
    pub(super) fn batch(&self) -> &[T] {
        &self.values[..self.used]
    }

    /// Decodes the next batch.
    pub(super) fn next(&mut self, rows: usize) -> Result<(), String> {
        // What was decoded beyond the last batch comes first.
        self.values.copy_within(self.used..self.filled, 0);
        self.filled -= self.used;
        self.used = rows;
        while self.filled < rows {
            self.decode()?;
        }
        Ok(())
    }

    /// Instead of batches: a value that the next rows have, and how many of them, up to `most`. The row
    /// behind may have the same value.
    pub(super) fn run(&mut self, most: usize) -> Result<(T, usize), String> {
        loop {
            if let [value, ..] = &self.values[self.used..self.filled] {
                let same = self.values[self.used..self.filled].iter().take(most);
                let nr = same.take_while(|other| *other == value).count();
                self.used += nr;
                return Ok((self.values[self.used - 1], nr));
            }
            if self.library.is_none()
                && let Some((value, nr)) = self.decoder.repeated(most)?
            {
                self.decoded += nr;
                return Ok((value, nr));
            }
            (self.filled, self.used) = (0, 0);
            self.decode()?;
        }
    }

    /// Decodes as many values as there is room for and the page has, or begins another page.
    fn decode(&mut self) -> Result<(), String> {
        let out = &mut self.values[self.filled..];
        let nr = match &mut self.library {
            Some(library) => library.decode(out, self.place.rows - self.decoded)?,
            None => self.decoder.decode(out)?,
        };
        self.filled += nr;
        self.decoded += nr;
        if nr == 0 { self.next_page() } else { Ok(()) }
    }

    fn next_page(&mut self) -> Result<(), String> {
        let page = self.pages.get_next_page().map_err(|e| e.to_string())?;
        let is_ours = match page.ok_or_else(|| self.place.missing(self.decoded))? {
            Stored::DictionaryPage { buf, num_values, encoding, .. } => {
                let values = num_values as usize;
                self.decoder.dictionary(&Page { encoding, values, bytes: buf })?
            }
            Stored::DataPage { buf, num_values, encoding, .. }
            | Stored::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls: 0,
                def_levels_byte_len: 0,
                rep_levels_byte_len: 0,
                ..
            } => self.open(&Page { encoding, values: num_values as usize, bytes: buf })?,
            Stored::DataPageV2 { .. } => false,
        };
        if !is_ours {
            self.library = Some(self.place.library(self.decoded)?);
        }
        Ok(())
    }

    fn open(&mut self, page: &Page) -> Result<bool, String> {
        self.begun += page.values;
        if self.begun > self.place.rows {
            return Err(format!("pages of {} values, expected {}", self.begun, self.place.rows));
        }
        self.decoder.open(page)
    }
}

impl Library {
    /// Decodes up to `most` values.
    fn decode<T: Value>(&mut self, out: &mut [T], most: usize) -> Result<usize, String> {
        self.values.clear();
        let read = self.reader.read_records(most.min(out.len()), None, None, &mut self.values);
        read.map_err(|e| e.to_string())?;
        for (value, stored) in out.iter_mut().zip(&self.values) {
            *value = T::checked(*stored)?;
        }
        if self.values.is_empty() {
            Err(format!("{most} values are missing"))
        } else {
            Ok(self.values.len())
        }
    }
}

impl Place<'_> {
    fn pages(&self) -> Result<SerializedPageReader<Window>, String> {
        SerializedPageReader::new(Arc::clone(&self.window), self.chunk, self.rows, None)
            .map_err(|e| e.to_string())
    }

    /// The library's reader behind the first `decoded` values.
    fn library(&self, decoded: usize) -> Result<Library, String> {
        let pages = Box::new(IntegerPages(self.pages()?));
        let reader = get_column_reader(Arc::clone(&self.descriptor), pages);
        let mut reader = get_typed_column_reader(reader);
        let skipped = reader.skip_records(decoded).map_err(|e| e.to_string())?;
        if skipped < decoded {
            return Err(self.missing(skipped));
        }
        Ok(Library { reader, values: Vec::new() })
    }

    fn missing(&self, decoded: usize) -> String {
        format!("{} values are missing", self.rows - decoded)
    }
}

/// Pages in encodings that are made for integers, all that a column may be left to the library with: its
/// decoder of split bytes panics where a damaged page is too short.
struct IntegerPages(SerializedPageReader<Window>);

impl PageReader for IntegerPages {
    fn get_next_page(&mut self) -> Result<Option<Stored>, ParquetError> {
        let page = self.0.get_next_page()?;
        match page.as_ref().map(Stored::encoding) {
            None
            | Some(
                Encoding::PLAIN
                | Encoding::PLAIN_DICTIONARY
                | Encoding::RLE_DICTIONARY
                | Encoding::DELTA_BINARY_PACKED,
            ) => Ok(page),
            Some(other) => Err(ParquetError::General(format!("integers encoded as {other}"))),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.0.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.0.skip_next_page()
    }
}

impl Iterator for IntegerPages {
    type Item = Result<Stored, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// The bytes of one row group, addressed as in the file.
pub(super) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    pub(super) fn new(start: u64, bytes: Vec<u8>) -> Self {
        Self { start, bytes: bytes.into() }
    }

    /// The array behind it, empty; nothing if pages of it are still in use.
    pub(super) fn into_array(self) -> Option<Vec<u8>> {
        let mut bytes = self.bytes.try_into_mut().ok()?;
        bytes.clear();
        Some(bytes.into())
    }

    fn slice(&self, start: u64, length: Option<usize>) -> Result<Bytes, ParquetError> {
        let outside = || ParquetError::EOF(format!("byte {start} is outside the row group"));
        let from = start.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = from.filter(|from| *from <= self.bytes.len()).ok_or_else(outside)?;
        let to = match length {
            Some(length) => from.checked_add(length).ok_or_else(outside)?,
            None => self.bytes.len(),
        };
        if to > self.bytes.len() { Err(outside()) } else { Ok(self.bytes.slice(from..to)) }
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Window {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(self.slice(start, None)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.slice(start, Some(length))
    }
}
