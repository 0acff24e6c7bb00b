//! Files that were read and places in them.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};

/// Which file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The place of a value that no file holds, such as a default. Labels there are not rendered.
    pub const NOWHERE: Self = Self { file: FileId(u32::MAX), start: 0, end: 0 };

    /// A file as a whole (its outermost table); rendered as the file's name without a caret.
    pub const fn whole(file: FileId) -> Self {
        Self { file, start: 0, end: 0 }
    }
}

/// A value and its place. Equality and order look at the value only, so that a configuration
/// that was printed and read again equals itself.
#[derive(Clone, Copy)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value with its place.
    pub const fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

impl<T> From<T> for Spanned<T> {
    /// A value that no file holds.
    fn from(value: T) -> Self {
        Self { value, span: Span::NOWHERE }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Self {
        T::default().into()
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: PartialOrd> PartialOrd for Spanned<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for Spanned<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

/// One file: its path as the user wrote it, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Path, for messages and for what is relative to the file.
    pub path: PathBuf,
    /// Text.
    pub text: String,
}

/// All files read so far; a [`FileId`] indexes it.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<Source>,
}

/// A position for people: both numbers start at 1, columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl SourceMap {
    /// Adds a file.
    pub fn add(&mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> FileId {
        let id = FileId(self.files.len() as u32);
        self.files.push(Source { path: path.into(), text: text.into() });
        id
    }

    /// The file, or `None` for an id of another map.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// The path of the file a span lies in.
    pub fn path(&self, span: Span) -> Option<&Path> {
        self.get(span.file).map(|source| source.path.as_path())
    }

    /// The text under a span.
    pub fn text(&self, span: Span) -> Option<&str> {
        self.get(span.file)?.text.get(span.start..span.end)
    }

    /// Line and column of byte `offset` of a file; past the end counts as the end.
    pub fn line_column(&self, file: FileId, offset: usize) -> Option<LineColumn> {
        let text = &self.get(file)?.text;
        let before = &text[..text.floor_char_boundary(offset)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        Some(LineColumn { line, column: before[line_start..].chars().count() + 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters() {
        let mut sources = SourceMap::default();
        let file = sources.add("a.toml", "x = 1\né = 2\n");
        let after_e = sources.line_column(file, 8);
        assert_eq!(after_e, Some(LineColumn { line: 2, column: 2 }));
        let inside_e = sources.line_column(file, 7);
        assert_eq!(inside_e, Some(LineColumn { line: 2, column: 1 }));
    }

    #[test]
    fn equality_ignores_places() {
        let span = Span { file: FileId(0), start: 3, end: 4 };
        assert_eq!(Spanned::new(7, span), Spanned::from(7));
    }
}
