//! The Parquet schema, the writer's settings and the metadata keys.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::{ColumnPath, SchemaDescriptor, Type, TypePtr};
use serde::{Deserialize, Serialize};

/// Rows of a row group, the unit of decoding.
pub(super) const GROUP_ROWS: usize = 1 << 20;
/// A data page that compressing brings to no less than this part is stored as it is.
const LEAST_RATIO: f64 = 0.9;
/// Version of the format.
pub(super) const VERSION: &str = "1";

pub(super) const KEY_FORMAT: &str = "numalab.format";
pub(super) const KEY_META: &str = "numalab.meta";
pub(super) const KEY_EVENTS: &str = "numalab.events";
pub(super) const KEY_GROUPS: &str = "numalab.groups";
pub(super) const KEY_DIGEST: &str = "numalab.digest";

/// A column: name, bits of its unsigned type, and whether a dictionary pays.
pub(super) struct Column {
    pub(super) name: &'static str,
    bits: i8,
    dictionary: bool,
}

/// The columns in order.
pub(super) const COLUMNS: [Column; 7] = [
    Column { name: "thread", bits: 16, dictionary: true },
    Column { name: "space", bits: 16, dictionary: true },
    Column { name: "op", bits: 8, dictionary: true },
    Column { name: "page", bits: 32, dictionary: false },
    Column { name: "fills", bits: 8, dictionary: true },
    Column { name: "evictions", bits: 8, dictionary: true },
    Column { name: "think", bits: 32, dictionary: false },
];

/// One row group as listed in the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Group {
    /// First byte.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) bytes: u64,
    /// Rows.
    pub(super) rows: u64,
    /// CRC-32 (IEEE) of the bytes.
    pub(super) crc32: u32,
}

pub(super) fn schema() -> Result<TypePtr, ParquetError> {
    let field = |column: &Column| {
        let unsigned = LogicalType::integer(column.bits, false);
        let built = Type::primitive_type_builder(column.name, Physical::INT32)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(unsigned))
            .build()?;
        Ok(Arc::new(built))
    };
    let fields = COLUMNS.iter().map(field).collect::<Result<Vec<_>, ParquetError>>()?;
    Ok(Arc::new(Type::group_type_builder("numalab_trace").with_fields(fields).build()?))
}

/// Whether a file's columns are ours.
pub(super) fn is_ours(schema: &SchemaDescriptor) -> bool {
    schema.num_columns() == COLUMNS.len()
        && schema.columns().iter().zip(&COLUMNS).all(|(column, ours)| {
            column.path().string() == ours.name
                && column.physical_type() == Physical::INT32
                && column.max_def_level() == 0
                && column.max_rep_level() == 0
        })
}

pub(super) fn properties() -> Result<WriterProperties, ParquetError> {
    let mut builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(concat!("numalab ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(1 << 16)
        .set_data_page_size_limit(1 << 20)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_write_page_header_statistics(false)
        .set_offset_index_disabled(true);
    // Pages of differences rarely get smaller and are the longest; where little is gained, reading them
    // as they are is worth more.
    builder = builder.set_data_page_v2_compression_ratio_threshold(LEAST_RATIO);
    for column in &COLUMNS {
        let path = ColumnPath::from(column.name);
        builder = if column.dictionary {
            builder.set_column_dictionary_enabled(path, true)
        } else {
            builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
        };
    }
    Ok(builder.build())
}
