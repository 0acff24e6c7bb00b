//! From text to the tree; the one place that knows the TOML parser.

use toml::Spanned as TomlSpanned;
use toml::de::{DeTable, DeValue};

use crate::problem::{Problem, Problems};
use crate::source::{FileId, Span, Spanned};
use crate::value::{Entry, Kind, Table, Value};

/// Tables and arrays may nest this deep; more is no configuration but an attack on the stack. The
/// parser bounds brackets and dots, but only each on its own.
const NESTING_MAX: usize = 64;

/// Syntax errors shown of a file; one that has more is something else than TOML.
const SYNTAX_ERRORS_MAX: usize = 10;

/// The word that stands as a value without quotes.
fn bare_word(text: &str, range: std::ops::Range<usize>) -> Option<&str> {
    let is_value =
        text.get(..range.start)?.trim_end_matches([' ', '\t']).ends_with(['=', '[', ',']);
    let word = text.get(range.start..)?.split([',', ']', '}', '#', '\n']).next()?.trim();
    let is_name = |letter: char| letter.is_alphanumeric() || "-_./".contains(letter);
    let begins = word.starts_with(|letter: char| letter.is_alphabetic());
    (is_value && begins && word.chars().all(is_name)).then_some(word)
}

/// Parses a file that is in `problems.sources` already. Every syntax error is recorded; with any
/// of them there is no table, since what it lacks would be reported a second time as missing.
pub(crate) fn parse(file: FileId, problems: &mut Problems) -> Option<Table> {
    let text = problems.sources.get(file)?.text.clone();
    let (table, mut errors) = DeTable::parse_recoverable(&text);
    errors.sort_by_key(|error| error.span().map_or(0, |range| range.start));
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let range = error.span().unwrap_or(0..0);
        let span = Span { file, start: range.start, end: range.end };
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        let problem = Problem::error("invalid TOML").label(span, message);
        problems.push(match bare_word(&text, range) {
            Some(word) => problem.help(format!("a string needs quotes: \"{word}\"")),
            None => problem,
        });
    }
    if let Some(more @ 1..) = errors.len().checked_sub(SYNTAX_ERRORS_MAX) {
        let message = format!("invalid TOML in {more} more places");
        let problem = Problem::error(message).label(Span::whole(file), "");
        problems.push(problem.help("is this the right file?"));
    }
    let mut converter = Converter { file, problems, ok: errors.is_empty() };
    let table = converter.table(table.get_ref(), 0);
    converter.ok.then_some(table)
}

struct Converter<'a> {
    file: FileId,
    problems: &'a mut Problems,
    ok: bool,
}

impl Converter<'_> {
    fn span<T>(&self, spanned: &TomlSpanned<T>) -> Span {
        let range = spanned.span();
        Span { file: self.file, start: range.start, end: range.end }
    }

    fn table(&mut self, table: &DeTable<'_>, depth: usize) -> Table {
        let mut entries: Vec<Entry> = table
            .iter()
            .map(|(key, value)| Entry {
                key: Spanned::new(key.get_ref().to_string(), self.span(key)),
                value: self.value(value, depth + 1),
            })
            .collect();
        // The parser's table is sorted by key; people and reports want the order of the file.
        entries.sort_by_key(|entry| entry.key.span.start);
        Table { entries }
    }

    fn value(&mut self, value: &TomlSpanned<DeValue<'_>>, depth: usize) -> Value {
        let span = self.span(value);
        if depth > NESTING_MAX {
            self.refuse(span, format!("values are nested more than {NESTING_MAX} deep"));
            return Value { kind: Kind::Bool(false), span };
        }
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::String(text.to_string()),
            DeValue::Integer(number) => {
                match i128::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Kind::Integer(number),
                    Err(_) => {
                        self.refuse(span, "integer out of range".to_owned());
                        Kind::Integer(0)
                    }
                }
            }
            DeValue::Float(number) => match number.as_str().parse() {
                Ok(number) => Kind::Float(number),
                Err(_) => {
                    self.refuse(span, "not a number".to_owned());
                    Kind::Float(0.0)
                }
            },
            DeValue::Boolean(flag) => Kind::Bool(*flag),
            DeValue::Datetime(datetime) => Kind::Datetime(datetime.to_string()),
            DeValue::Array(items) => {
                Kind::Array(items.iter().map(|item| self.value(item, depth + 1)).collect())
            }
            DeValue::Table(table) => Kind::Table(self.table(table, depth)),
        };
        Value { kind, span }
    }

    /// Records an error, unless the parser has found one in the file: a value it could not read
    /// is there as a stand-in.
    fn refuse(&mut self, span: Span, message: String) {
        if self.ok {
            self.problems.push(Problem::error(message).label(span, ""));
        }
        self.ok = false;
    }
}
