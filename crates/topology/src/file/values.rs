//! The leaves of a machine file: latencies, rates, and values by pattern or by number.

use config::{
    BytesPerSec, Cx, Entry, FromToml, Json, Kind, Schemas, Spanned, Table, Value, refuse,
    wrong_type,
};

use crate::machine::{Pattern, Peak};

/// A latency in ns, with fractions, above 0: `"81.3ns"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency(pub f64);

impl FromToml for Latency {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let expected = "a latency such as \"81.3ns\"";
        let Kind::String(text) = &value.kind else { return wrong_type(value, expected, cx) };
        let scales = [("ns", 1.0), ("us", 1e3), ("ms", 1e6)];
        let scaled = scales.iter().find_map(|(unit, scale)| {
            let number = text.trim().strip_suffix(unit)?.trim_end();
            let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            number.parse::<f64>().ok().filter(|_| plain).map(|number| number * scale)
        });
        match scaled {
            Some(ns) if ns > 0.0 && ns.is_finite() => Some(Self(ns)),
            Some(_) => refuse(value.span, "must be greater than 0", cx),
            None => refuse(value.span, &format!("expected {expected}"), cx),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        Some(format!("{}ns", self.0).into())
    }

    fn type_name() -> String {
        "latency".to_owned()
    }

    fn schema(_: &mut Schemas) -> Json {
        object([
            ("type", "string".into()),
            ("pattern", r"^\s*[0-9]+(\.[0-9]+)?\s*(ns|us|ms)\s*$".into()),
        ])
    }
}

/// A bandwidth above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

impl FromToml for Rate {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let BytesPerSec(rate) = BytesPerSec::from_toml(value, cx)?;
        if rate > 0.0 {
            return Some(Self(rate));
        }
        refuse(value.span, "a bandwidth must be greater than 0", cx)
    }

    fn to_toml(&self) -> Option<Value> {
        BytesPerSec(self.0).to_toml()
    }

    fn type_name() -> String {
        BytesPerSec::type_name()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        BytesPerSec::schema(schemas)
    }
}

/// Values by number, ascending: `{ 6 = "11.42GiB/s", 12 = "10.9GiB/s" }`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByNumber<T>(pub Vec<(u32, T)>);

impl<T> ByNumber<T> {
    /// The value of a number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.0.iter().find(|(key, _)| *key == number).map(|(_, value)| value)
    }
}

impl<T: FromToml> FromToml for ByNumber<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let Kind::Table(table) = &value.kind else {
            return wrong_type(value, &Self::type_name(), cx);
        };
        if table.entries.is_empty() {
            return refuse(value.span, "expected at least one number", cx);
        }
        let mut decoded: Vec<Option<(u32, T)>> = Vec::new();
        for Entry { key, value } in &table.entries {
            // The canonical spelling only, so that no number stands twice.
            let number = key.value.parse::<u32>().ok();
            let number = number.filter(|number| number.to_string() == key.value);
            if number.is_none() {
                let message = format!("`{}` is not a number", key.value);
                cx.error(key.span, message, "expected a whole number as key");
            }
            let value = cx.within(&key.value, |cx| T::from_toml(value, cx));
            decoded.push(number.zip(value));
        }
        let mut pairs = decoded.into_iter().collect::<Option<Vec<_>>>()?;
        pairs.sort_by_key(|(number, _)| *number);
        Some(Self(pairs))
    }

    fn to_toml(&self) -> Option<Value> {
        let entry = |(number, value): &(u32, T)| {
            Some(Entry { key: Spanned::from(number.to_string()), value: value.to_toml()? })
        };
        Some(Table { entries: self.0.iter().filter_map(entry).collect() }.into())
    }

    fn type_name() -> String {
        format!("table of {} by number", T::type_name())
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let value = T::schema(schemas);
        object([
            ("type", "object".into()),
            ("patternProperties", object([("^(0|[1-9][0-9]*)$", value)])),
            ("additionalProperties", false.into()),
            ("minProperties", 1.into()),
        ])
    }
}

/// One value, or one for each pattern: `{ sequential = .., random = .. }`.
#[derive(Clone, Debug, PartialEq)]
pub struct ByPattern<T>(pub [T; Pattern::COUNT]);

impl<T: FromToml + Clone + PartialEq> FromToml for ByPattern<T> {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        let table = value.as_table();
        let by_pattern =
            table.filter(|table| Pattern::ALL.iter().any(|p| table.get(p.name()).is_some()));
        if by_pattern.is_none() {
            return T::from_toml(value, cx).map(|value| Self([value.clone(), value]));
        }
        let fields = config::Fields::open(value, &Pattern::ALL.map(Pattern::name), cx)?;
        let values = Pattern::ALL.map(|pattern| fields.read::<T>(pattern.name(), None, &[], cx));
        let [sequential, random] = values;
        Some(Self([sequential?, random?]))
    }

    fn to_toml(&self) -> Option<Value> {
        let [sequential, random] = &self.0;
        if sequential == random {
            return sequential.to_toml();
        }
        let [first, second] = Pattern::ALL.map(Pattern::name);
        Some(config::table_of([(first, sequential.to_toml()), (second, random.to_toml())]))
    }

    fn type_name() -> String {
        format!("{}, or a table of it by pattern", T::type_name())
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let plain = T::schema(schemas);
        let patterns = Pattern::ALL.map(|pattern| (pattern.name(), T::schema(schemas)));
        let names: Json = Pattern::ALL.iter().map(|pattern| Json::from(pattern.name())).collect();
        let table = object([
            ("type", "object".into()),
            ("properties", object(patterns)),
            ("required", names),
            ("additionalProperties", false.into()),
        ]);
        object([("anyOf", [plain, table].into_iter().collect())])
    }
}

/// One rate, or rates by the number of streams.
#[derive(Clone, Debug, PartialEq)]
pub struct Points(pub ByNumber<Rate>);

/// Capacity of a shared bandwidth, by pattern and number of streams.
pub type PeakFile = ByPattern<Points>;

impl FromToml for Points {
    fn from_toml(value: &Value, cx: &mut Cx) -> Option<Self> {
        match value.kind {
            Kind::Table(_) => ByNumber::from_toml(value, cx).map(Self),
            _ => Rate::from_toml(value, cx).map(|rate| Self(ByNumber(vec![(1, rate)]))),
        }
    }

    fn to_toml(&self) -> Option<Value> {
        match self.0.0.as_slice() {
            [(1, rate)] => rate.to_toml(),
            _ => self.0.to_toml(),
        }
    }

    fn type_name() -> String {
        "bandwidth, or a table of it by number of streams".to_owned()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let forms = [Rate::schema(schemas), ByNumber::<Rate>::schema(schemas)];
        object([("anyOf", forms.into_iter().collect())])
    }
}

impl PeakFile {
    /// As the engine wants it.
    pub fn peak(&self) -> Peak {
        let points = |points: &Points| {
            points.0.0.iter().map(|(nr, rate)| (f64::from(*nr), rate.0)).collect()
        };
        Peak { points: self.0.each_ref().map(points) }
    }
}

fn object<const N: usize>(entries: [(&str, Json); N]) -> Json {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}
