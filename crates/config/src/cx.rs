//! What decoding carries along: problems so far, the way to the current key, how to read files.

use std::io;
use std::path::{Component, Path, PathBuf};

use crate::decode::FromToml;
use crate::parse::parse as parse_table;
use crate::problem::{Problem, Problems};
use crate::source::{FileId, Span, Spanned};
use crate::suggest::nearest_file;
use crate::value::{Kind, Table, Value};

/// Where files are read from; this crate does no input or output of its own. A function that
/// reads a file's text will do.
pub trait Files {
    /// A file's text.
    ///
    /// # Errors
    /// It cannot be read, or is no text.
    fn read(&self, path: &Path) -> io::Result<String>;

    /// The names of the files that lie beside `path`, for suggestions where it cannot be read.
    fn beside(&self, _path: &Path) -> Vec<String> {
        Vec::new()
    }
}

impl<F: Fn(&Path) -> io::Result<String>> Files for F {
    fn read(&self, path: &Path) -> io::Result<String> {
        self(path)
    }
}

/// The context of decoding. One context may read several files; their problems come together.
pub struct Cx {
    /// Problems found so far, with the files read so far.
    pub problems: Problems,
    files: Box<dyn Files>,
    path: Vec<String>,
}

impl Cx {
    /// A context that reads `files`.
    pub fn new(files: impl Files + 'static) -> Self {
        Self { problems: Problems::default(), files: Box::new(files), path: Vec::new() }
    }

    /// A context that refuses to read files, for text that stands alone.
    pub fn without_files() -> Self {
        Self::new(|_: &Path| Err(io::Error::new(io::ErrorKind::Unsupported, "no files here")))
    }

    /// Records a problem.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Records that a file could not be read, with the one that was probably meant.
    pub fn push_about(&mut self, path: &Path, problem: Problem) {
        let near = nearest_file(path, &self.files.beside(path));
        self.push(problem.suggest(near.as_deref()));
    }

    /// Records an error with one place: `message` stands alone, `label` is written at the caret.
    pub fn error(&mut self, span: Span, message: impl Into<String>, label: impl Into<String>) {
        self.push(Problem::error(message).label(span, label));
    }

    /// The way to the value being decoded, such as `nodes[1].memory`; `file` for the outermost.
    pub fn key(&self) -> String {
        if self.path.is_empty() { "file".to_owned() } else { self.path.concat() }
    }

    /// Runs `decode` one level deeper; `step` is a key, or an index in brackets.
    pub fn within<T>(&mut self, step: &str, decode: impl FnOnce(&mut Self) -> T) -> T {
        let dotted = !self.path.is_empty() && !step.starts_with('[');
        self.path.push(if dotted { format!(".{step}") } else { step.to_owned() });
        let result = decode(self);
        self.path.pop();
        result
    }

    /// Reads, parses and decodes a file, following `extends`. `None` means that problems were
    /// recorded.
    pub fn load<T: FromToml>(&mut self, path: &Path) -> Option<T> {
        let value = self.load_value(path)?;
        self.decode(&value)
    }

    /// As [`Cx::load`], for a file named by another one: the path is relative to that file, and
    /// if it cannot be read the problem points at the name.
    pub fn load_named<T: FromToml>(&mut self, name: &Spanned<String>) -> Option<T> {
        let value = self.load_named_value(name)?;
        self.decode(&value)
    }

    /// As [`Cx::load_named`], without decoding.
    pub fn load_named_value(&mut self, name: &Spanned<String>) -> Option<Value> {
        let path = self.resolve(name);
        self.read_file(&path, name.span, &mut Vec::new())
    }

    /// Reads and parses a file, following `extends`, without decoding it.
    pub fn load_value(&mut self, path: &Path) -> Option<Value> {
        self.read_file(path, Span::NOWHERE, &mut Vec::new())
    }

    /// Parses and decodes text; `name` stands for the file in messages, and `extends` is
    /// relative to it.
    pub fn parse<T: FromToml>(&mut self, name: &str, text: &str) -> Option<T> {
        let value = self.parse_value(name, text)?;
        self.decode(&value)
    }

    /// Parses text, following `extends`, without decoding it.
    pub fn parse_value(&mut self, name: &str, text: &str) -> Option<Value> {
        let file = self.problems.sources.add(name, text);
        self.parse_file(file, &mut vec![normal(Path::new(name))])
    }

    /// Decodes a tree as an outermost value: paths in messages start anew.
    pub fn decode<T: FromToml>(&mut self, value: &Value) -> Option<T> {
        let outer = std::mem::take(&mut self.path);
        let decoded = T::from_toml(value, self);
        self.path = outer;
        decoded
    }

    /// The path a file means by `name`: relative to the file in which the name stands.
    pub fn resolve(&self, name: &Spanned<String>) -> PathBuf {
        let folder = self.problems.sources.path(name.span).and_then(Path::parent);
        normal(&folder.unwrap_or(Path::new("")).join(&name.value))
    }

    /// The end: the value with warnings at most, or everything that is wrong.
    ///
    /// Panics when a decoder gave nothing and did not say why: a bug of that decoder.
    pub fn finish<T>(self, value: Option<T>) -> Result<(T, Problems), Problems> {
        match value {
            Some(value) if !self.problems.has_errors() => Ok((value, self.problems)),
            value => {
                let told = value.is_some() || self.problems.has_errors();
                assert!(told, "a decoder failed without recording a problem");
                Err(self.problems)
            }
        }
    }

    fn read_file(&mut self, path: &Path, from: Span, stack: &mut Vec<PathBuf>) -> Option<Value> {
        match self.files.read(path) {
            Ok(text) => {
                let file = self.problems.sources.add(path, text);
                stack.push(normal(path));
                let value = self.parse_file(file, stack);
                stack.pop();
                value
            }
            Err(error) => {
                let message = format!("failed to read `{}`: {error}", path.display());
                let problem = Problem::error(message).label(from, "named here");
                self.push_about(path, problem);
                None
            }
        }
    }

    fn parse_file(&mut self, file: FileId, stack: &mut Vec<PathBuf>) -> Option<Value> {
        let mut table = parse_table(file, &mut self.problems)?;
        if let Some(entry) = table.remove("extends") {
            let parent = self.parent(&entry.value, stack)?;
            table = parent.merged_with(table);
        }
        Some(Value { kind: Kind::Table(table), span: Span::whole(file) })
    }

    fn parent(&mut self, extends: &Value, stack: &mut Vec<PathBuf>) -> Option<Table> {
        let Kind::String(name) = &extends.kind else {
            let message = format!("`extends` must be a file name, found {}", extends.found());
            self.error(extends.span, message, "expected a string");
            return None;
        };
        let path = self.resolve(&Spanned::new(name.clone(), extends.span));
        if stack.contains(&path) {
            let message = format!("`{}` extends itself", path.display());
            self.error(extends.span, message, "this closes the circle");
            return None;
        }
        match self.read_file(&path, extends.span, stack)?.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }
}

/// The path without `.` and, where it can be told without looking at the disk, without `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Reads, parses and decodes one file; warnings come with the value.
///
/// # Errors
/// Everything that is wrong with the file and with those it extends.
pub fn load<T: FromToml>(
    path: &Path,
    files: impl Files + 'static,
) -> Result<(T, Problems), Problems> {
    let mut cx = Cx::new(files);
    let value = cx.load(path);
    cx.finish(value)
}

/// Decodes text that stands alone; `name` stands for the file in messages.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse<T: FromToml>(name: &str, text: &str) -> Result<T, Problems> {
    let mut cx = Cx::without_files();
    let value = cx.parse(name, text);
    cx.finish(value).map(|(value, _)| value)
}
