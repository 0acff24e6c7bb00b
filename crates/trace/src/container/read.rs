//! The reader: opens, verifies, decodes row groups.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use sha2::{Digest, Sha256};

use super::chunk::{Chunk, Spare};
use super::column::Window;
use super::group::{GroupReader, Run};
use super::meta::Meta;
use super::schema::{self, COLUMNS, Group};
use super::tail::{self, GUARD_BYTES, GUARD_MAGIC, PARQUET_MAGIC, TRAILER_BYTES};
use super::write::{hex, identity, json};
use crate::{Event, TraceError};

/// An opened trace: its footer and metadata are verified, its row groups when they are read.
#[derive(Debug)]
pub struct TraceFile {
    path: PathBuf,
    bytes: u64,
    meta: Meta,
    events: Vec<Event>,
    groups: Vec<Group>,
    digest: String,
    parquet: ParquetMetaData,
}

/// What a full verification went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Row groups whose checksums hold.
    pub groups: usize,
    /// Rows decoded.
    pub rows: u64,
}

/// Rows that wait for the digest: so many bytes at a time, and so many times.
const HASHED_BYTES: usize = 1 << 17;
const HASHED_AHEAD: usize = 4;

impl TraceFile {
    /// Opens a trace.
    ///
    /// # Errors
    /// A file that is not a trace, is cut, or whose footer or metadata are damaged.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let mut file = fs_err::File::open(path)?;
        let bytes = file.metadata()?.len();
        let footer = read_footer(path, file.file_mut(), bytes)?;
        let thrift = &footer.bytes[..footer.bytes.len() - TRAILER_BYTES];
        let bad = |what: String| TraceError::damaged(path, footer.start, what);
        let parquet = ParquetMetaDataReader::decode_metadata(thrift)
            .map_err(|e| bad(format!("the footer does not decode: {e}")))?;
        let key = |name: &str| {
            let keys = parquet.file_metadata().key_value_metadata();
            let pair = keys.and_then(|keys| keys.iter().find(|pair| pair.key == name));
            pair.and_then(|pair| pair.value.clone())
                .ok_or_else(|| bad(format!("no metadata {name:?}")))
        };
        let version = key(schema::KEY_FORMAT)?;
        if version != schema::VERSION {
            let what = format!(
                "trace format {version:?}, this program reads {:?}: use the program that wrote it",
                schema::VERSION
            );
            return Err(TraceError::not_a_trace(path, what));
        }
        if !schema::is_ours(parquet.file_metadata().schema_descr()) {
            return Err(bad("columns other than the format's".to_owned()));
        }
        let parse = |name: &str, e: serde_json::Error| bad(format!("metadata {name:?}: {e}"));
        let meta: Meta = serde_json::from_str(&key(schema::KEY_META)?)
            .map_err(|e| parse(schema::KEY_META, e))?;
        let events: Vec<Event> = serde_json::from_str(&key(schema::KEY_EVENTS)?)
            .map_err(|e| parse(schema::KEY_EVENTS, e))?;
        let groups: Vec<Group> = serde_json::from_str(&key(schema::KEY_GROUPS)?)
            .map_err(|e| parse(schema::KEY_GROUPS, e))?;
        let digest = key(schema::KEY_DIGEST)?;
        meta.check().and_then(|()| meta.check_events(&events)).map_err(bad)?;
        check_groups(&groups, &parquet, footer.start - GUARD_BYTES as u64).map_err(bad)?;
        Ok(Self { path: path.to_owned(), bytes, meta, events, groups, digest, parquet })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it says about itself.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The events of the side table, in the order of their rows.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// SHA-256 of the decoded rows, events, threads and spaces: the trace's identity, which
    /// compressing it anew does not change.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Bytes of the file.
    pub fn nr_bytes(&self) -> u64 {
        self.bytes
    }

    /// Rows, accesses and events together.
    pub fn nr_rows(&self) -> u64 {
        self.groups.iter().map(|group| group.rows).sum()
    }

    /// Row groups.
    pub fn nr_groups(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn group_rows(&self, group: usize) -> u64 {
        self.groups[group].rows
    }

    pub(super) fn parquet(&self) -> &ParquetMetaData {
        &self.parquet
    }

    /// An error at a row group.
    pub(super) fn damaged(&self, group: usize, what: &str) -> TraceError {
        let at = &self.groups[group];
        let end = at.offset + at.bytes;
        let what = format!("row group {group} (bytes {}..{end}): {what}", at.offset);
        TraceError::damaged(&self.path, at.offset, what)
    }

    pub(super) fn damaged_column(&self, group: usize, idx: usize, what: &str) -> TraceError {
        self.damaged(group, &format!("column {:?}: {what}", COLUMNS[idx].name))
    }

    /// Reads a row group into an empty array and verifies its checksum.
    pub(super) fn open_group(
        &self,
        group: usize,
        mut bytes: Vec<u8>,
    ) -> Result<(GroupReader<'_>, Vec<Run>), TraceError> {
        let at = &self.groups[group];
        let mut file = fs_err::File::open(&self.path)?;
        file.seek(SeekFrom::Start(at.offset))?;
        bytes.reserve(at.bytes as usize);
        // Not through the wrapper, which cannot read into memory that was not cleared before.
        let read = file.file_mut().take(at.bytes).read_to_end(&mut bytes);
        read.map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", self.path.display())))?;
        if bytes.len() as u64 != at.bytes {
            return Err(self.damaged(group, "the file ends within it"));
        }
        if crc32fast::hash(&bytes) != at.crc32 {
            return Err(self.damaged(group, "the checksum is wrong"));
        }
        GroupReader::new(self, group, Window::new(at.offset, bytes))
    }

    /// Decodes everything and compares it with the trace's digest.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<Verified, TraceError> {
        self.verify_and(|_, _| ())
    }

    /// The same; `keep` gets the row groups in turn. They are decoded by a thread of their own, a little
    /// ahead of the digest.
    pub(super) fn verify_and(
        &self,
        mut keep: impl FnMut(usize, Chunk),
    ) -> Result<Verified, TraceError> {
        let mut digest = Sha256::new();
        digest.update(identity(&self.meta)?);
        thread::scope(|scope| {
            let (send, receive) = sync_channel(HASHED_AHEAD);
            let (give_back, used) = channel();
            thread::Builder::new().spawn_scoped(scope, move || self.decode_all(&send, &used))?;
            for decoded in receive {
                match decoded? {
                    Decoded::Rows(bytes) => {
                        digest.update(&bytes);
                        // Nobody wants it any more when the last rows are decoded.
                        give_back.send(bytes).ok();
                    }
                    Decoded::Group(group, chunk) => keep(group, chunk),
                }
            }
            Ok::<(), TraceError>(())
        })?;
        digest.update(json(&self.events)?);
        if hex(&digest.finalize()) != self.digest {
            let what = "the rows are not those of the digest in the metadata";
            return Err(TraceError::damaged(&self.path, 0, what));
        }
        Ok(Verified { groups: self.groups.len(), rows: self.nr_rows() })
    }

    /// Sends everything in the order of the file, up to the first damage, until nobody listens; arrays
    /// of rows come back by `used`.
    fn decode_all(&self, send: &SyncSender<Result<Decoded, TraceError>>, used: &Receiver<Vec<u8>>) {
        let empty = || {
            let mut bytes = used.try_recv().unwrap_or_default();
            bytes.clear();
            bytes
        };
        let mut spare = Spare::default();
        for group in 0..self.groups.len() {
            let mut bytes = empty();
            let chunk = Chunk::new(self, group, &mut spare, |batch, run, rows| {
                for row in rows {
                    bytes.extend_from_slice(&batch.cells(run, row).bytes());
                }
                if bytes.len() >= HASHED_BYTES {
                    let full = std::mem::replace(&mut bytes, empty());
                    // Who does not listen any more has ended, which the next group finds out.
                    send.send(Ok(Decoded::Rows(full))).ok();
                }
            });
            send.send(Ok(Decoded::Rows(bytes))).ok();
            let is_damaged = chunk.is_err();
            let group = chunk.map(|chunk| Decoded::Group(group, chunk));
            if send.send(group).is_err() || is_damaged {
                return;
            }
        }
    }
}

/// What a decoding thread sends.
enum Decoded {
    /// Some rows, as they are hashed.
    Rows(Vec<u8>),
    /// The row group that those before belong to.
    Group(usize, Chunk),
}

struct Footer {
    /// Offset of its first byte.
    start: u64,
    /// Up to the end of the file.
    bytes: Vec<u8>,
}

fn read_footer(path: &Path, file: &mut File, bytes: u64) -> Result<Footer, TraceError> {
    let mut head = Vec::new();
    file.take(4).read_to_end(&mut head)?;
    if head != PARQUET_MAGIC {
        return Err(TraceError::not_a_trace(path, format!("not a trace: {}", describe(&head))));
    }
    let least = (PARQUET_MAGIC.len() + GUARD_BYTES + TRAILER_BYTES) as u64;
    if bytes < least {
        return Err(TraceError::damaged(path, bytes, "the file ends before its footer"));
    }
    let trailer_start = bytes - TRAILER_BYTES as u64;
    let trailer: [u8; TRAILER_BYTES] = read_at(file, trailer_start)?;
    let [l0, l1, l2, l3, magic @ ..] = trailer;
    if magic != PARQUET_MAGIC {
        let what = "the file does not end with PAR1: its end is cut off or overwritten";
        return Err(TraceError::damaged(path, trailer_start + 4, what));
    }
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    if length + least > bytes {
        let what = format!("a footer of {length} bytes does not fit into the file");
        return Err(TraceError::damaged(path, trailer_start, what));
    }
    let start = trailer_start - length;
    let guard: [u8; GUARD_BYTES] = read_at(file, start - GUARD_BYTES as u64)?;
    if !guard.starts_with(&GUARD_MAGIC) {
        let what = "a Parquet file that numalab did not write, or whose footer is damaged";
        return Err(TraceError::not_a_trace(path, what));
    }
    let mut footer = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(bytes - start).read_to_end(&mut footer)?;
    if footer.len() as u64 != bytes - start || tail::guard(&footer) != guard {
        return Err(TraceError::damaged(path, start, "the footer's checksum is wrong"));
    }
    Ok(Footer { start, bytes: footer })
}

fn read_at<const N: usize>(file: &mut File, offset: u64) -> std::io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// What a file that does not begin like Parquet may be.
fn describe(head: &[u8]) -> &'static str {
    match head {
        [] => "the file is empty",
        [0x1f, 0x8b, ..] => "it is gzip-compressed, unpack it first",
        [0x28, 0xb5, 0x2f, 0xfd] => "it is zstd-compressed, unpack it first",
        [b'P', b'K', ..] => "it is a zip archive",
        [b'<', ..] => "it looks like HTML or XML",
        [b'=', b'=', ..] => "it looks like a Valgrind log, import it first",
        _ => "it does not begin with PAR1",
    }
}

/// The groups must tile the file from its head to `end`, and agree with Parquet's own list.
fn check_groups(groups: &[Group], parquet: &ParquetMetaData, end: u64) -> Result<(), String> {
    if groups.len() != parquet.num_row_groups() {
        return Err(format!(
            "{} checksums for {} row groups",
            groups.len(),
            parquet.num_row_groups()
        ));
    }
    let mut next = PARQUET_MAGIC.len() as u64;
    for (idx, group) in groups.iter().enumerate() {
        let stored = parquet.row_group(idx);
        let after = next.checked_add(group.bytes);
        let rows_fit = group.rows > 0 && group.rows <= schema::GROUP_ROWS as u64;
        let agrees = i64::try_from(group.rows) == Ok(stored.num_rows());
        let columns_fit = stored.num_columns() == COLUMNS.len()
            && stored.columns().iter().all(|chunk| within(chunk, next, group.bytes));
        if group.offset != next || !rows_fit || !agrees || !columns_fit {
            return Err(format!("the list of row groups contradicts itself at group {idx}"));
        }
        next = after.ok_or_else(|| format!("row group {idx} is too long"))?;
    }
    if next == end { Ok(()) } else { Err(format!("row groups end at byte {next}, expected {end}")) }
}

fn within(chunk: &ColumnChunkMetaData, start: u64, bytes: u64) -> bool {
    let first = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let (Ok(first), Ok(length), true) = (
        u64::try_from(first),
        u64::try_from(chunk.compressed_size()),
        chunk.data_page_offset() >= 0,
    ) else {
        return false;
    };
    first >= start && first.saturating_add(length) <= start.saturating_add(bytes)
}
