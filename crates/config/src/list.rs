//! Lists of CPUs and of nodes, as the kernel writes them (`0-5,12-17`) or as arrays of integers.

use base::{CpuId, CpuMask, MAX_CPUS, MAX_NODES, NodeId, NodeMask};
use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::{FromToml, refuse, wrong_type};
use crate::problem::Problem;
use crate::schema::Schemas;
use crate::source::{Span, Spanned};
use crate::value::{Kind, Value};

/// A list of ids without repetition, in the order written, each with its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdList<T> {
    /// The ids.
    pub ids: Vec<Spanned<T>>,
}

/// A list of CPUs.
pub type CpuList = IdList<CpuId>;
/// A list of memory nodes.
pub type NodeList = IdList<NodeId>;

/// An id that can stand in an [`IdList`].
pub trait ListId: Copy + Ord {
    /// The word for it in messages.
    const WORD: &'static str;
    /// One more than the largest number.
    const LIMIT: usize;
    /// From its number, which is below [`ListId::LIMIT`].
    fn from_number(number: usize) -> Self;
    /// Its number.
    fn number(self) -> usize;
}

impl ListId for CpuId {
    const WORD: &'static str = "CPU";
    const LIMIT: usize = MAX_CPUS;
    fn from_number(number: usize) -> Self {
        Self::from_idx(number)
    }
    fn number(self) -> usize {
        self.idx()
    }
}

impl ListId for NodeId {
    const WORD: &'static str = "node";
    const LIMIT: usize = MAX_NODES;
    fn from_number(number: usize) -> Self {
        Self::from_idx(number)
    }
    fn number(self) -> usize {
        self.idx()
    }
}

impl CpuList {
    /// As a set.
    pub fn mask(&self) -> CpuMask {
        self.iter().collect()
    }
}

impl NodeList {
    /// As a set.
    pub fn mask(&self) -> NodeMask {
        self.iter().collect()
    }
}

impl<T: ListId> IdList<T> {
    /// The ids without their places.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + '_ {
        self.ids.iter().map(|id| id.value)
    }

    /// The list in the kernel's form: ascending neighbours become ranges.
    pub fn text(&self) -> String {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for number in self.iter().map(T::number) {
            match ranges.last_mut() {
                Some((_, last)) if *last + 1 == number => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        let range = |(first, last): &(usize, usize)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        };
        ranges.iter().map(range).collect::<Vec<_>>().join(",")
    }

    fn add(&mut self, number: u64, span: Span, cx: &mut Cx) -> Option<()> {
        if number >= T::LIMIT as u64 {
            let why = format!("{} {number} is past the last possible, {}", T::WORD, T::LIMIT - 1);
            return refuse(span, &why, cx);
        }
        let id = T::from_number(number as usize);
        if let Some(first) = self.ids.iter().find(|other| other.value == id) {
            cx.push(
                Problem::error(format!("{} {number} is listed twice", T::WORD))
                    .label(span, "second time")
                    .label(first.span, "first time"),
            );
            return None;
        }
        self.ids.push(Spanned::new(id, span));
        Some(())
    }

    fn add_text(&mut self, text: &str, value: &Value, cx: &mut Cx) -> Option<()> {
        if text.trim().is_empty() {
            return Some(());
        }
        let inside = inner_start(text, value.span, cx);
        let mut offset = 0;
        let mut ok = Some(());
        for part in text.split(',') {
            let lead = offset + part.len() - part.trim_start().len();
            let span = inside.map_or(value.span, |start| Span {
                start: start + lead,
                end: start + lead + part.trim().len(),
                ..value.span
            });
            offset += part.len() + 1;
            ok = self.add_part(part.trim(), span, cx).and(ok);
        }
        ok
    }

    fn add_part(&mut self, part: &str, span: Span, cx: &mut Cx) -> Option<()> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return refuse(span, &format!("expected a {} or a range such as 0-5", T::WORD), cx);
        };
        if last < first {
            return refuse(span, "the range ends before it begins", cx);
        }
        // The first number past the limit ends the loop, so that a huge range costs nothing.
        (first..=last).try_for_each(|number| self.add(number, span, cx))
    }
}

/// Where the text of a string starts in its file, if it stands there as it is (no escapes).
fn inner_start(text: &str, span: Span, cx: &Cx) -> Option<usize> {
    let raw = cx.problems.sources.text(span)?;
    raw.find(text).map(|offset| span.start + offset)
}

impl<T: ListId> FromIterator<T> for IdList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(ids: I) -> Self {
        Self { ids: ids.into_iter().map(Spanned::from).collect() }
    }
}

impl<T: ListId> FromToml for IdList<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let mut list = Self { ids: Vec::new() };
        let mut ok = Some(());
        match &value.kind {
            Kind::String(text) => ok = list.add_text(text, value, cx),
            Kind::Array(items) => {
                for item in items {
                    let added = match item.kind {
                        Kind::Integer(number) => match u64::try_from(number) {
                            Ok(number) => list.add(number, item.span, cx),
                            Err(_) => refuse(item.span, "must not be negative", cx),
                        },
                        _ => wrong_type(item, &format!("a {} number", T::WORD), cx),
                    };
                    ok = added.and(ok);
                }
            }
            _ => {
                let expected = "a list such as \"0-5,12-17\" or an array of integers";
                return wrong_type(value, expected, cx);
            }
        }
        ok.map(|()| list)
    }

    fn to_toml(&self) -> Option<Value> {
        Some(self.text().into())
    }

    fn type_name() -> String {
        format!("{} list", T::WORD)
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({ "oneOf": [
            { "type": "string", "pattern": r"^\s*([0-9]+(\s*-\s*[0-9]+)?(\s*,\s*[0-9]+(\s*-\s*[0-9]+)?)*\s*)?$" },
            { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": T::LIMIT - 1 } },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: impl Into<Value>) -> Result<Vec<usize>, usize> {
        let mut cx = Cx::without_files();
        let list = CpuList::from_toml(&value.into(), &mut cx);
        list.map(|list| list.iter().map(CpuId::idx).collect()).ok_or(cx.problems.list.len())
    }

    #[test]
    fn ranges_and_single_numbers() {
        assert_eq!(read("0-2, 7,9 - 10"), Ok(vec![0, 1, 2, 7, 9, 10]));
        assert_eq!(read(""), Ok(vec![]));
        assert_eq!(read(vec![Kind::Integer(3).into(), Kind::Integer(1).into()]), Ok(vec![3, 1]));
    }

    #[test]
    fn every_bad_part_is_reported() {
        assert_eq!(read("3-1,x,0,0,5000"), Err(4));
        assert_eq!(read("0-18446744073709551615"), Err(1));
        assert_eq!(read(vec![Kind::Integer(-1).into(), "a".into()]), Err(2));
    }

    #[test]
    fn text_joins_neighbours() {
        let list: CpuList = [0, 1, 2, 5, 7, 8].map(CpuId).into_iter().collect();
        assert_eq!(list.text(), "0-2,5,7-8");
    }
}
