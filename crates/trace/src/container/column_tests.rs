//! Our decoders against the Parquet library's.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Encoding, Repetition, Type as Physical, ZstdLevel};
use parquet::column::page::{Page as Stored, PageMetadata, PageReader};
use parquet::column::reader::{get_column_reader, get_typed_column_reader};
use parquet::data_type::Int32Type;
use parquet::errors::{ParquetError, Result as Parsed};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;
use proptest::prelude::*;
use proptest::sample::Index;

use super::column::{Column, Decoder, Page, Place, Value, Window};
use super::indexes::Narrow;
use super::vectors::Vectors;

/// Rows of a batch at most.
const BATCH_ROWS: usize = 4000;

/// A file with one column.
struct Written {
    bytes: Bytes,
    metadata: ParquetMetaData,
    rows: usize,
}

fn write(values: &[i32], properties: WriterProperties) -> Written {
    let column = Type::primitive_type_builder("column", Physical::INT32)
        .with_repetition(Repetition::REQUIRED)
        .build()
        .expect("a type");
    let schema = Type::group_type_builder("file").with_fields(vec![Arc::new(column)]);
    let schema = Arc::new(schema.build().expect("a schema"));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).expect("begins");
    let mut group = writer.next_row_group().expect("a row group");
    let mut column = group.next_column().expect("a column").expect("the first");
    column.typed::<Int32Type>().write_batch(values, None, None).expect("writes");
    column.close().expect("closes");
    group.close().expect("closes");
    let bytes = Bytes::from(writer.into_inner().expect("ends"));
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes).expect("a footer");
    Written { bytes, metadata, rows: values.len() }
}

impl Written {
    fn place(&self) -> Place<'_> {
        Place {
            window: Arc::new(Window::new(0, self.bytes.to_vec())),
            chunk: self.metadata.row_group(0).column(0),
            descriptor: self.metadata.file_metadata().schema_descr().column(0),
            rows: self.rows,
        }
    }

    /// By our decoders, in batches of those sizes in turn.
    fn ours<T: Value>(&self, batches: &[usize]) -> Result<Vec<T>, String> {
        let mut column = Column::<T>::new(self.place(), BATCH_ROWS)?;
        let mut values = Vec::new();
        for batch in batches.iter().cycle() {
            let rows = (*batch).min(self.rows - values.len());
            if rows == 0 {
                break;
            }
            column.next(rows)?;
            values.extend_from_slice(column.batch());
        }
        Ok(values)
    }

    /// By our decoders, a run at a time.
    fn runs(&self, batches: &[usize]) -> Result<Vec<u16>, String> {
        let mut column = Column::<u16>::new(self.place(), 1 + batches[0] % 40)?;
        let mut values = Vec::new();
        let mut batches = batches.iter().cycle();
        while values.len() < self.rows {
            let most = batches.next().map_or(1, |most| (*most).min(self.rows - values.len()));
            let (value, rows) = column.run(most)?;
            assert!((1..=most).contains(&rows));
            values.resize(values.len() + rows, value);
        }
        Ok(values)
    }

    /// By the library.
    fn theirs(&self) -> Vec<i32> {
        let place = self.place();
        let pages = SerializedPageReader::new(place.window, place.chunk, self.rows, None);
        let pages = Box::new(pages.expect("pages"));
        read(get_typed_column_reader(get_column_reader(place.descriptor, pages)), self.rows)
            .expect("reads")
    }
}

fn read(
    mut reader: parquet::column::reader::ColumnReaderImpl<Int32Type>,
    rows: usize,
) -> Result<Vec<i32>, String> {
    let mut values = Vec::new();
    while values.len() < rows {
        let missing = rows - values.len();
        let read = reader.read_records(missing, None, None, &mut values);
        if read.map_err(|e| e.to_string())?.0 == 0 {
            return Err("values are missing".to_owned());
        }
    }
    Ok(values)
}

fn properties() -> impl Strategy<Value = WriterProperties> {
    let encoding = prop_oneof![
        3 => Just(None),
        3 => Just(Some(Encoding::DELTA_BINARY_PACKED)),
        1 => Just(Some(Encoding::PLAIN)),
    ];
    (any::<bool>(), any::<bool>(), encoding, 1_usize..700, 1_usize..3000).prop_map(
        |(is_new, is_packed, encoding, rows, dictionary)| {
            let version =
                if is_new { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
            let level = ZstdLevel::try_new(1).expect("a level");
            let codec =
                if is_packed { Compression::ZSTD(level) } else { Compression::UNCOMPRESSED };
            let builder = WriterProperties::builder()
                .set_writer_version(version)
                .set_compression(codec)
                .set_data_page_row_count_limit(rows)
                .set_write_batch_size(rows.min(100))
                // A dictionary that grows beyond this is given up amid the column.
                .set_dictionary_page_size_limit(dictionary)
                .set_dictionary_enabled(encoding.is_none());
            match encoding {
                Some(encoding) => builder.set_encoding(encoding).build(),
                None => builder.build(),
            }
        },
    )
}

/// Pieces of random values, of one value, and of values a fixed step apart; of up to `bits` bits.
fn values(bits: u32, most: u32) -> impl Strategy<Value = Vec<i32>> {
    let piece = (0..=bits, any::<u32>(), any::<u32>(), 0_usize..300, 0_u8..3);
    let piece = piece.prop_flat_map(move |(bits, base, step, nr, kind)| {
        let mask = u32::MAX.checked_shr(32 - bits).unwrap_or(0);
        let place = move |value: u32| if most == u32::MAX { value } else { value % most } as i32;
        prop::collection::vec(any::<u32>(), nr).prop_map(move |random| {
            let value = |(idx, random): (usize, u32)| match kind {
                0 => base.wrapping_add(random & mask),
                1 => base.wrapping_add((idx as u32).wrapping_mul(step & mask)),
                _ => base,
            };
            random.into_iter().enumerate().map(value).map(place).collect::<Vec<_>>()
        })
    });
    prop::collection::vec(piece, 1..8)
        .prop_map(|pieces| pieces.concat())
        .prop_filter("a row group has rows", |values| !values.is_empty())
}

fn batches() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(prop_oneof![1_usize..100, 1..=BATCH_ROWS], 1..5)
}

fn agrees<T: Value + std::fmt::Debug>(
    values: &[i32],
    properties: WriterProperties,
    batches: &[usize],
) {
    let written = write(values, properties);
    assert_eq!(written.theirs(), values);
    let expected: Result<Vec<T>, String> = values.iter().map(|value| T::checked(*value)).collect();
    let ours = written.ours::<T>(batches);
    assert!(ours == expected, "{ours:?} instead of {expected:?}");
}

/// A column chunk of given pages.
struct Pages(VecDeque<Stored>);

impl Iterator for Pages {
    type Item = Parsed<Stored>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.pop_front().map(Ok)
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Parsed<Option<Stored>> {
        Ok(self.0.pop_front())
    }

    fn peek_next_page(&mut self) -> Parsed<Option<PageMetadata>> {
        Err(ParquetError::General("nobody asks".to_owned()))
    }

    fn skip_next_page(&mut self) -> Parsed<()> {
        Err(ParquetError::General("nobody asks".to_owned()))
    }
}

/// What the library makes of a page.
fn page_by_library(dictionary: Option<&Page>, page: &Page) -> Result<Vec<i32>, String> {
    let stored = |page: &Page| Stored::DataPage {
        buf: page.bytes.clone(),
        num_values: page.values as u32,
        encoding: page.encoding,
        def_level_encoding: Encoding::RLE,
        rep_level_encoding: Encoding::RLE,
        statistics: None,
    };
    let first = dictionary.map(|page| Stored::DictionaryPage {
        buf: page.bytes.clone(),
        num_values: page.values as u32,
        encoding: page.encoding,
        is_sorted: false,
    });
    let pages = Pages(first.into_iter().chain([stored(page)]).collect());
    let descriptor = write(&[0], WriterProperties::default()).place().descriptor;
    let reader = get_column_reader(descriptor, Box::new(pages));
    read(get_typed_column_reader(reader), page.values)
}

/// What our decoders make of it, with little room at a time.
///
/// With the machine's vector instructions and without, which must be the same.
fn page_by_us<T: Value + std::fmt::Debug>(
    dictionary: Option<&Page>,
    page: &Page,
    room: usize,
) -> Result<Vec<T>, String> {
    let scalar = page_decoded(T::Decoder::new(None), dictionary, page, room);
    if let Some(vectors) = Vectors::find() {
        let by_vectors = page_decoded(T::Decoder::new(Some(vectors)), dictionary, page, room);
        assert_eq!(by_vectors, scalar);
    }
    scalar
}

fn page_decoded<T: Value>(
    mut decoder: T::Decoder,
    dictionary: Option<&Page>,
    page: &Page,
    room: usize,
) -> Result<Vec<T>, String> {
    assert!(dictionary.map_or(Ok(true), |page| decoder.dictionary(page))?);
    assert!(decoder.open(page)?);
    let (mut values, mut out) = (Vec::new(), vec![T::default(); room]);
    loop {
        match decoder.decode(&mut out)? {
            0 if values.len() == page.values => return Ok(values),
            0 => return Err(format!("{} of {} values", values.len(), page.values)),
            nr => values.extend_from_slice(&out[..nr]),
        }
    }
}

fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 127 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn signed(bytes: &mut Vec<u8>, value: i32) {
    number(bytes, (i64::from(value) << 1 ^ i64::from(value) >> 63) as u64);
}

fn pack(bytes: &mut Vec<u8>, values: &[u32], width: usize) {
    let mut bits = vec![0; (values.len() * width).div_ceil(8)];
    for at in 0..values.len() * width {
        bits[at / 8] |= ((values[at / width] >> (at % width) & 1) as u8) << (at % 8);
    }
    bytes.extend(bits);
}

/// Encodes without caring for size: each miniblock is some bits wider than it must be, and the page ends
/// with its last value where `is_cut`.
fn delta_page(values: &[i32], miniblock: usize, nr: usize, more: u32, is_cut: bool) -> Page {
    let mut bytes = Vec::new();
    for count in [miniblock * nr, nr, values.len()] {
        number(&mut bytes, count as u64);
    }
    signed(&mut bytes, values.first().copied().unwrap_or(0));
    let steps: Vec<i32> = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    for block in steps.chunks(miniblock * nr) {
        let least = block.iter().copied().min().unwrap_or(0);
        signed(&mut bytes, least);
        let beyond = |step: &i32| step.wrapping_sub(least) as u32;
        let width = |block: &[i32]| {
            let most = block.iter().map(beyond).max().unwrap_or(0);
            (32 - most.leading_zeros() + more).min(32) as usize
        };
        let widths = block.chunks(miniblock).map(|block| width(block) as u8);
        // Miniblocks that are not there have widths all the same.
        bytes.extend(widths.chain(std::iter::repeat(77)).take(nr));
        for block in block.chunks(miniblock) {
            let mut packed: Vec<u32> = block.iter().map(beyond).collect();
            packed.resize(if is_cut { block.len() } else { miniblock }, 0);
            pack(&mut bytes, &packed, width(block));
        }
    }
    Page { encoding: Encoding::DELTA_BINARY_PACKED, values: values.len(), bytes: bytes.into() }
}

/// Runs of random kinds and lengths: one index that many times, or that many groups.
fn index_page(width: usize, runs: &[(bool, u32, Vec<u32>)], is_cut: bool) -> (Vec<u32>, Page) {
    let mut bytes = vec![width as u8];
    let mut indexes = Vec::new();
    for (is_packed, times, packed) in runs {
        let mask = u32::MAX.checked_shr(32 - width as u32).unwrap_or(0);
        let packed: Vec<u32> = packed.iter().map(|index| index & mask).collect();
        if *is_packed {
            number(&mut bytes, (packed.len() / 8) as u64 * 2 + 1);
            pack(&mut bytes, &packed, width);
            indexes.extend(packed);
        } else {
            let index = packed.first().copied().unwrap_or(0);
            number(&mut bytes, u64::from(*times) * 2);
            bytes.extend_from_slice(&index.to_le_bytes()[..width.div_ceil(8)]);
            indexes.extend(vec![index; *times as usize]);
        }
    }
    if is_cut {
        // As far as the last group goes, its last values may be no values of the page.
        let packs =
            runs.last().is_some_and(|(is_packed, _, packed)| *is_packed && packed.len() > 7);
        indexes.truncate(indexes.len() - if packs { 5 } else { 0 });
    }
    let (encoding, values) = (Encoding::RLE_DICTIONARY, indexes.len());
    (indexes, Page { encoding, values, bytes: bytes.into() })
}

fn dictionary(values: &[i32]) -> Page {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Page { encoding: Encoding::PLAIN, values: values.len(), bytes: bytes.into() }
}

fn runs() -> impl Strategy<Value = Vec<(bool, u32, Vec<u32>)>> {
    let packed = (0_usize..9).prop_flat_map(|nr| prop::collection::vec(any::<u32>(), nr * 8));
    prop::collection::vec((any::<bool>(), 1_u32..80, packed), 0..9)
}

/// Changes a page: flips a byte, or cuts it.
fn damaged(page: &Page, at: Index, flip: u8) -> Page {
    let mut bytes = page.bytes.to_vec();
    let at = at.index(bytes.len());
    match flip {
        0 => bytes.truncate(at),
        flip => bytes[at] ^= flip,
    }
    Page { encoding: page.encoding, values: page.values, bytes: bytes.into() }
}

fn index_dictionary<T: Narrow>(length: usize) -> (Vec<i32>, Vec<T>) {
    let most = i32::from(T::checked(1000).is_ok()) * 60_000 + 128;
    let stored: Vec<i32> = (0..length as i32).map(|idx| (idx * 37 + 5) % most).collect();
    let values = stored.iter().map(|value| T::checked(*value)).collect::<Result<_, _>>();
    (stored, values.expect("they fit"))
}

fn indexes_agree<T: Narrow + std::fmt::Debug>(
    width: usize,
    length: usize,
    runs: &[(bool, u32, Vec<u32>)],
    is_cut: bool,
    room: usize,
) {
    let (stored, values) = index_dictionary::<T>(length);
    let (indexes, page) = index_page(width, runs, is_cut);
    let expected: Option<Vec<T>> =
        indexes.iter().map(|index| values.get(*index as usize).copied()).collect();
    let ours = page_by_us::<T>(Some(&dictionary(&stored)), &page, room);
    assert_eq!(ours.clone().ok(), expected, "{ours:?}");
}

#[test]
fn encodings_not_made_for_integers_are_refused() {
    let read_as = |encoding| {
        let properties = WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_encoding(encoding)
            .build();
        write(&[7, 8, 9], properties).ours::<u32>(&[3])
    };
    assert_eq!(read_as(Encoding::PLAIN), Ok(vec![7, 8, 9]));
    let refused = read_as(Encoding::BYTE_STREAM_SPLIT).expect_err("the library panics on damage");
    assert!(refused.contains("BYTE_STREAM_SPLIT"), "{refused}");
}

#[test]
fn blocks_that_hold_nothing_are_refused() {
    // Block length (two bytes) and miniblocks; then three values, the first, and a block.
    for (head, is_sound) in [([128, 1, 1], true), ([128, 0, 1], false), ([128, 1, 0], false)] {
        let mut bytes = head.to_vec();
        bytes.extend([3, 14, 2, 0]);
        let (encoding, values) = (Encoding::DELTA_BINARY_PACKED, 3);
        let page = Page { encoding, values, bytes: bytes.into() };
        let ours = page_by_us::<u32>(None, &page, 64);
        assert_eq!(ours.ok(), is_sound.then(|| vec![7, 8, 9]), "{head:?}");
    }
}

proptest! {
    #[test]
    fn wide_columns_read_as_by_the_library(
        values in values(32, u32::MAX), properties in properties(), batches in batches(),
    ) {
        agrees::<u32>(&values, properties, &batches);
    }

    #[test]
    fn narrow_columns_read_as_by_the_library(
        wide in values(17, 65535), narrow in values(7, 128),
        properties in properties(), batches in batches(),
    ) {
        agrees::<u16>(&wide, properties.clone(), &batches);
        let expected = wide.iter().map(|value| u16::checked(*value)).collect();
        prop_assert_eq!(write(&wide, properties.clone()).runs(&batches), expected);
        agrees::<u8>(&narrow, properties, &batches);
    }

    #[test]
    fn any_packing_of_differences_reads_back(
        values in values(32, u32::MAX), units in 1_usize..4, more in 0_u32..3, is_cut: bool,
        room in 32_usize..200,
    ) {
        let page = delta_page(&values, units * 128, 1 + units % 3, more, is_cut);
        let ours = page_by_us::<u32>(None, &page, room);
        prop_assert_eq!(ours, Ok(values.iter().map(|value| *value as u32).collect::<Vec<_>>()));
    }

    #[test]
    fn any_runs_of_indexes_read_back_or_are_beyond_the_dictionary(
        width in 0_usize..20, length in 0_usize..300, runs in runs(), is_cut: bool,
        room in 32_usize..200,
    ) {
        indexes_agree::<u8>(width, length, &runs, is_cut, room);
        indexes_agree::<u16>(width, length, &runs, is_cut, room);
        // Every index has a value.
        indexes_agree::<u16>(width.min(12), 1 << width.min(12), &runs, is_cut, room);
    }

    #[test]
    fn damaged_differences_are_refused_or_read_as_by_the_library(
        values in values(32, u32::MAX), at: Index, flip: u8,
    ) {
        let page = damaged(&delta_page(&values, 32, 4, 0, false), at, flip);
        if let Ok(ours) = page_by_us::<u32>(None, &page, 64) {
            let ours = ours.into_iter().map(|value| value as i32).collect();
            prop_assert_eq!(page_by_library(None, &page), Ok::<Vec<i32>, String>(ours));
        }
    }

    #[test]
    fn damaged_indexes_are_refused_or_read_as_by_the_library(
        width in 0_usize..17, length in 1_usize..300, runs in runs(), at: Index, flip: u8,
    ) {
        let (stored, _) = index_dictionary::<u16>(length);
        let (stored, (_, page)) = (dictionary(&stored), index_page(width, &runs, false));
        let page = damaged(&page, at, flip);
        if let Ok(ours) = page_by_us::<u16>(Some(&stored), &page, 64) {
            let ours = ours.into_iter().map(i32::from).collect();
            prop_assert_eq!(page_by_library(Some(&stored), &page), Ok::<Vec<i32>, String>(ours));
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), values in 0_usize..400,
        length in 0_usize..20,
    ) {
        let page = |encoding| Page { encoding, values, bytes: bytes.clone().into() };
        page_by_us::<u32>(None, &page(Encoding::DELTA_BINARY_PACKED), 64).ok();
        let (stored, _) = index_dictionary::<u8>(length);
        let page = page(Encoding::RLE_DICTIONARY);
        page_by_us::<u8>(Some(&dictionary(&stored)), &page, 64).ok();
        page_by_us::<u16>(Some(&dictionary(&stored)), &page, 64).ok();
    }
}
