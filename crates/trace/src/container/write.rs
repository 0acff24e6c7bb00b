//! The writer: rows in, a file by rename out.

use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::data_type::Int32Type;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::writer::SerializedFileWriter;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::meta::Meta;
use super::row::{Cells, Row, op};
use super::schema::{self, Group};
use super::tail::{Checked, PARQUET_MAGIC};
use crate::{Event, Step, TraceError};

type Sink = Checked<BufWriter<NamedTempFile>>;

/// Writes a trace, row by row, with memory for one row group. Nothing appears at the path before
/// [`TraceWriter::finish`].
pub struct TraceWriter {
    path: PathBuf,
    meta: Meta,
    file: SerializedFileWriter<Sink>,
    columns: [Vec<i32>; 7],
    group_rows: usize,
    group_start: u64,
    groups: Vec<Group>,
    events: Vec<Event>,
    digest: Sha256,
    summary: Summary,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Accesses.
    pub accesses: u64,
    /// Events of all kinds.
    pub events: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// The trace's identity.
    pub digest: String,
}

impl TraceWriter {
    /// Starts a trace that will be at `path`. It is written beside it, to a name that ends in
    /// `.tmp`.
    ///
    /// # Errors
    /// Metadata that contradict themselves; a directory that cannot be written.
    pub fn create(path: &Path, meta: Meta) -> Result<Self, TraceError> {
        meta.check().map_err(TraceError::Invalid)?;
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy()))
            .suffix(".tmp")
            .permissions(file_mode())
            .tempfile_in(directory)
            .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let sink = Checked::new(BufWriter::with_capacity(1 << 20, temporary));
        let properties = Arc::new(schema::properties().map_err(writing)?);
        let schema = schema::schema().map_err(writing)?;
        let mut digest = Sha256::new();
        digest.update(identity(&meta)?);
        Ok(Self {
            path: path.to_owned(),
            meta,
            file: SerializedFileWriter::new(sink, schema, properties).map_err(writing)?,
            columns: Default::default(),
            group_rows: schema::GROUP_ROWS,
            group_start: PARQUET_MAGIC.len() as u64,
            groups: Vec::new(),
            events: Vec::new(),
            digest,
            summary: Summary::default(),
        })
    }

    /// Rows a row group holds, 2^20 unless set; smaller ones cost space.
    #[must_use]
    pub fn group_rows(mut self, rows: usize) -> Self {
        self.group_rows = rows.clamp(1, schema::GROUP_ROWS);
        self
    }

    /// Appends an access.
    ///
    /// # Errors
    /// A thread, space or page that the metadata do not have; a disk that is full.
    pub fn push(&mut self, row: &Row) -> Result<(), TraceError> {
        let space = self.meta.spaces.get(row.mm);
        let fits = space.is_some_and(|space| u64::from(row.page) < space.nr_pages.0);
        if !fits || usize::from(row.thread) >= self.meta.threads.len() {
            return Err(TraceError::Invalid(format!("a row outside the declared trace: {row:?}")));
        }
        self.summary.accesses += 1;
        self.cells(Cells::access(row))
    }

    /// Appends what a thread does next: a sweep as one access to each page, the end as nothing.
    ///
    /// # Errors
    /// Those of [`push`](Self::push) and [`event`](Self::event).
    pub fn step(&mut self, thread: u16, step: Step) -> Result<(), TraceError> {
        match step {
            Step::Points(points, mut rows) => rows.try_for_each(|at| {
                self.push(&Row {
                    thread,
                    mm: points.mm,
                    page: points.page[at],
                    traffic: points.traffic[at],
                    think_ns: points.think_ns[at],
                    sequential: points.sequential,
                    dependent: points.dependent,
                })
            }),
            Step::Sweep(sweep) => {
                let mut pages = sweep.page..sweep.page.saturating_add(sweep.nr_pages);
                pages.try_for_each(|page| {
                    self.push(&Row {
                        thread,
                        mm: sweep.mm,
                        page,
                        traffic: sweep.traffic,
                        think_ns: sweep.think_ns,
                        sequential: sweep.sequential,
                        dependent: false,
                    })
                })
            }
            Step::Event(event) => self.event(thread, event),
            Step::End => Ok(()),
        }
    }

    /// Appends an event of a thread.
    ///
    /// # Errors
    /// Threads, spaces or pages that the metadata do not have; a disk that is full.
    pub fn event(&mut self, thread: u16, event: Event) -> Result<(), TraceError> {
        if usize::from(thread) >= self.meta.threads.len() {
            return Err(TraceError::Invalid(format!("an event of thread {thread}, which is none")));
        }
        self.meta.check_event(&event).map_err(TraceError::Invalid)?;
        self.summary.events += 1;
        let cells = match event {
            Event::Sleep(span) => Cells::number(thread, op::SLEEP, span.0),
            Event::Compute(span) => Cells::number(thread, op::COMPUTE, span.0),
            Event::WorkDone(units) => Cells::number(thread, op::WORK, units),
            other => {
                let page = u32::try_from(self.events.len())
                    .map_err(|_| TraceError::Invalid("more than 2^32 events".to_owned()))?;
                self.events.push(other);
                Cells { thread, op: op::EVENT, page, ..Cells::default() }
            }
        };
        self.cells(cells)
    }

    pub(super) fn cells(&mut self, cells: Cells) -> Result<(), TraceError> {
        self.digest.update(cells.bytes());
        let values = [
            i32::from(cells.thread),
            i32::from(cells.space),
            i32::from(cells.op),
            cells.page as i32,
            i32::from(cells.fills),
            i32::from(cells.evictions),
            cells.think as i32,
        ];
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.push(value);
        }
        if self.columns[0].len() >= self.group_rows { self.end_group() } else { Ok(()) }
    }

    fn end_group(&mut self) -> Result<(), TraceError> {
        let rows = self.columns[0].len() as u64;
        if rows == 0 {
            return Ok(());
        }
        if self.groups.is_empty() {
            // The first bytes of the file belong to no group.
            self.file.flush()?;
            self.file.inner_mut().take_crc();
        }
        let mut group = self.file.next_row_group().map_err(writing)?;
        for values in &mut self.columns {
            let mut column = group
                .next_column()
                .map_err(writing)?
                .ok_or_else(|| TraceError::Invalid("the schema lost a column".to_owned()))?;
            column.typed::<Int32Type>().write_batch(values, None, None).map_err(writing)?;
            column.close().map_err(writing)?;
            values.clear();
        }
        group.close().map_err(writing)?;
        self.file.flush()?;
        let sink = self.file.inner_mut();
        let end = sink.written();
        let crc32 = sink.take_crc();
        self.groups.push(Group {
            offset: self.group_start,
            bytes: end - self.group_start,
            rows,
            crc32,
        });
        self.group_start = end;
        Ok(())
    }

    /// Ends the trace and moves it to its place.
    ///
    /// # Errors
    /// A thread that has a parent but was never started; a disk that is full.
    pub fn finish(mut self) -> Result<Summary, TraceError> {
        self.meta.check_events(&self.events).map_err(TraceError::Invalid)?;
        self.end_group()?;
        let events = json(&self.events)?;
        self.digest.update(&events);
        let digest = hex(&self.digest.finalize());
        for (key, value) in [
            (schema::KEY_FORMAT, schema::VERSION.to_owned()),
            (schema::KEY_META, json(&self.meta)?),
            (schema::KEY_EVENTS, events),
            (schema::KEY_GROUPS, json(&self.groups)?),
            (schema::KEY_DIGEST, digest.clone()),
        ] {
            self.file.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
        }
        self.file.flush()?;
        self.file.inner_mut().hold();
        let sink = self.file.into_inner().map_err(writing)?;
        let temporary = sink.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        temporary.as_file().sync_all()?;
        self.summary.bytes = temporary.as_file().metadata()?.len();
        self.summary.digest = digest;
        temporary.persist(&self.path).map_err(|e| {
            std::io::Error::new(e.error.kind(), format!("{}: {}", self.path.display(), e.error))
        })?;
        Ok(self.summary)
    }
}

/// What decides a trace's identity besides its rows: all metadata but the name and the provenance.
pub(super) fn identity(meta: &Meta) -> Result<String, TraceError> {
    json(&(&meta.spaces, &meta.threads, meta.stop_after, meta.convergence, &meta.groups))
}

pub(super) fn json(value: &impl serde::Serialize) -> Result<String, TraceError> {
    serde_json::to_string(value).map_err(|e| TraceError::Io(e.into()))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn writing(error: ParquetError) -> TraceError {
    TraceError::Io(std::io::Error::other(error))
}

#[cfg(unix)]
fn file_mode() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}
