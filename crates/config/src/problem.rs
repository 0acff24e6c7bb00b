//! What is wrong with the input: values with places, collected and shown together.

use std::collections::BTreeMap;
use std::fmt;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde_json::{Value as Json, json};

use crate::source::{FileId, SourceMap, Span};

/// Whether a problem stops the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// The input can be used, but probably does not say what was meant.
    Warning,
}

impl Severity {
    /// `error` or `warning`, as in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing wrong with the input. Messages are lower case without a full stop and say what was
/// expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in a sentence that stands alone.
    pub message: String,
    /// Places with what to say about each; the first is the primary one.
    pub labels: Vec<(Span, String)>,
    /// What the user may do about it.
    pub help: Option<String>,
}

impl Problem {
    /// An error without a place yet.
    pub fn error(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, message, labels: Vec::new(), help: None }
    }

    /// A warning without a place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Adds a place; the first one added is the primary one.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push((span, text.into()));
        self
    }

    /// Sets the help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to "did you mean ..." where there is a suggestion.
    #[must_use]
    pub fn suggest(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// Problems in the order they were found, with the files they lie in.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The files that spans refer to.
    pub sources: SourceMap,
    /// The problems.
    pub list: Vec<Problem>,
}

impl Problems {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds a problem, unless it is known: whoever looks at a part a second time finds the same.
    pub fn push(&mut self, problem: Problem) {
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// Whether any problem is an error.
    pub fn has_errors(&self) -> bool {
        self.nr_errors() > 0
    }

    /// Number of errors.
    pub fn nr_errors(&self) -> usize {
        self.list.iter().filter(|problem| problem.severity == Severity::Error).count()
    }

    /// All problems for people: message, file and line, the lines with carets, help. Ends with a
    /// newline unless there is nothing to show. `color` adds ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut out = String::new();
        for problem in &self.list {
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(&renderer.render(&[self.group(problem)]));
            out.push('\n');
        }
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = Group::with_title(level.primary_title(problem.message.as_str()));
        for (file, labels) in by_file(&problem.labels) {
            let Some(source) = self.sources.get(file) else { continue };
            let path = source.path.display().to_string();
            let with_caret: Vec<_> =
                labels.iter().filter(|(_, span, _)| *span != Span::whole(file)).collect();
            if with_caret.is_empty() {
                group = group.element(Origin::path(path));
                continue;
            }
            let annotations = with_caret.into_iter().map(|(primary, span, text)| {
                let kind = if *primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                let start = source.text.floor_char_boundary(span.start);
                let end = source.text.ceil_char_boundary(span.end).max(start);
                let annotation = kind.span(start..end);
                if text.is_empty() { annotation } else { annotation.label(*text) }
            });
            let snippet = Snippet::source(source.text.as_str()).path(path);
            group = group.element(snippet.annotations(annotations));
        }
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    /// All problems for editors and scripts: a list of objects with `severity`, `message`,
    /// `help` (or null) and `labels`, each label with `file`, `text`, `primary`, byte offsets
    /// `start` and `end`, and `line`, `column`, `end_line`, `end_column` from 1.
    pub fn to_json(&self) -> Json {
        self.list.iter().map(|problem| self.problem_json(problem)).collect()
    }

    fn problem_json(&self, problem: &Problem) -> Json {
        let labels: Vec<Json> = problem
            .labels
            .iter()
            .enumerate()
            .filter_map(|(idx, (span, text))| {
                let start = self.sources.line_column(span.file, span.start)?;
                let end = self.sources.line_column(span.file, span.end)?;
                Some(json!({
                    "file": self.sources.path(*span)?.display().to_string(),
                    "text": text,
                    "primary": idx == 0,
                    "start": span.start,
                    "end": span.end,
                    "line": start.line,
                    "column": start.column,
                    "end_line": end.line,
                    "end_column": end.column,
                }))
            })
            .collect();
        json!({
            "severity": problem.severity.name(),
            "message": problem.message,
            "labels": labels,
            "help": problem.help,
        })
    }
}

/// A label as (is it the primary one, place, text).
type Label<'a> = (bool, Span, &'a str);

/// Labels grouped by file, the primary one's file first.
fn by_file(labels: &[(Span, String)]) -> Vec<(FileId, Vec<Label<'_>>)> {
    let mut files: BTreeMap<(bool, FileId), Vec<Label<'_>>> = BTreeMap::new();
    let primary_file = labels.first().map(|(span, _)| span.file);
    for (idx, (span, text)) in labels.iter().enumerate() {
        let rank = (Some(span.file) != primary_file, span.file);
        files.entry(rank).or_default().push((idx == 0, *span, text));
    }
    files.into_iter().map(|((_, file), labels)| (file, labels)).collect()
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}
