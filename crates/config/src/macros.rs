//! The three declaring macros. Each turns one declaration into a type, its decoder, its printer
//! and its description.

/// Declares a table with known keys; see the crate's page for an example.
///
/// ```text
/// config! {
///     /// Doc comment of the table.
///     #[derive(Eq)]                          // optional: more than Clone, Debug, PartialEq
///     pub struct NAME {
///         /// Doc comment of the key.
///         #[check(positive)]                 // optional, repeatable: Fn(&TYPE) -> Result<(), String>
///         pub KEY: TYPE,                     // required
///         /// Doc comment of the key.
///         pub KEY: TYPE = EXPRESSION,        // with a default
///     }
///     check FUNCTION                         // optional: fn(&NAME, Span, &mut Cx)
/// }
/// ```
///
/// Implements [`FromToml`](crate::FromToml) and [`Config`](crate::Config), and `Default` when
/// every key has a default. A key of type `Option<T>` may be absent without one (write `= None`
/// for `Default`; other defaults for an `Option` cannot be switched off from a file). `check`
/// runs when all keys could be decoded, with the table's place; it records what it finds.
#[macro_export]
macro_rules! config {
    (@default $name:ident { $($field:ident : $ty:ty = $default:expr),* }) => {
        impl ::core::default::Default for $name {
            fn default() -> Self {
                Self { $($field: $default),* }
            }
        }
    };
    (@default $name:ident { $($required:tt)* }) => {};
    (@default_fn $ty:ty) => {
        ::core::option::Option::<fn() -> $ty>::None
    };
    (@default_fn $ty:ty, $default:expr) => {
        ::core::option::Option::<fn() -> $ty>::Some(|| $default)
    };
    (@key $field:ident) => {{
        const RAW: &str = ::core::stringify!($field);
        match RAW.strip_prefix("r#") {
            ::core::option::Option::Some(name) => name,
            ::core::option::Option::None => RAW,
        }
    }};
    (
        $(#[doc = $doc:expr])*
        $(#[derive($($derive:path),+ $(,)?)])?
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $field_doc:expr])*
                $(#[check($check:expr)])*
                $field_vis:vis $field:ident : $ty:ty $(= $default:expr)?
            ),* $(,)?
        }
        $(check $cross:expr)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq $($(, $derive)+)?)]
        $vis struct $name {
            $($(#[doc = $field_doc])* $field_vis $field: $ty),*
        }

        $crate::config!(@default $name { $($field: $ty $(= $default)?),* });

        impl $crate::FromToml for $name {
            fn from_toml(
                value: &$crate::Value,
                cx: &mut $crate::Cx,
            ) -> ::core::option::Option<Self> {
                let known: &[&'static str] = &[$($crate::config!(@key $field)),*];
                let fields = $crate::Fields::open(value, known, cx)?;
                $(
                    let checks: &[$crate::Check<'_, $ty>] = &[$(&$check),*];
                    let default = $crate::config!(@default_fn $ty $(, $default)?);
                    let $field = fields.read($crate::config!(@key $field), default, checks, cx);
                )*
                let _ = &fields;
                let config = Self { $($field: $field?),* };
                $(
                    let cross: fn(&Self, $crate::Span, &mut $crate::Cx) = $cross;
                    cross(&config, value.span, cx);
                )?
                ::core::option::Option::Some(config)
            }

            fn to_toml(&self) -> ::core::option::Option<$crate::Value> {
                let entries: [(&str, ::core::option::Option<$crate::Value>); _] =
                    [$(($crate::config!(@key $field), $crate::FromToml::to_toml(&self.$field))),*];
                ::core::option::Option::Some($crate::table_of(entries))
            }

            fn type_name() -> ::std::string::String {
                ::std::string::String::from($crate::TABLE)
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.reference::<Self>(
                    ::core::stringify!($name),
                    $crate::object_schema::<Self>,
                )
            }

            fn nested_knobs() -> ::std::vec::Vec<$crate::Knob> {
                <Self as $crate::Config>::knobs()
            }
        }

        impl $crate::Config for $name {
            const NAME: &'static str = ::core::stringify!($name);

            fn doc() -> ::std::string::String {
                $crate::doc_text(&[$($doc),*])
            }

            fn knobs() -> ::std::vec::Vec<$crate::Knob> {
                ::std::vec![$(
                    $crate::Knob::new::<$ty>(
                        $crate::config!(@key $field),
                        &[$($field_doc),*],
                        $crate::config!(@default_fn $ty $(, $default)?),
                    )
                ),*]
            }
        }
    };
}

/// Declares an enum whose values are strings in files.
///
/// ```text
/// config_enum! {
///     /// Doc comment.
///     pub enum NAME {
///         /// Doc comment of the value.
///         VARIANT = "text",
///     }
/// }
/// ```
///
/// Derives Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord; gives `ALL`, `name()`, `doc()`,
/// `from_name()`, `Display` and [`FromToml`](crate::FromToml) with "did you mean".
#[macro_export]
macro_rules! config_enum {
    (
        $(#[doc = $doc:expr])*
        $(#[derive($($derive:path),+ $(,)?)])?
        $vis:vis enum $name:ident {
            $($(#[doc = $variant_doc:expr])* $variant:ident = $text:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord $($(, $derive)+)?)]
        $vis enum $name {
            $($(#[doc = $variant_doc])* $variant),+
        }

        impl $name {
            /// All values in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As written in files.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// What it means.
            pub fn doc(self) -> ::std::string::String {
                match self { $(Self::$variant => $crate::doc_text(&[$($variant_doc),*])),+ }
            }

            /// The value written as `name`.
            pub fn from_name(name: &str) -> ::core::option::Option<Self> {
                match name { $($text => ::core::option::Option::Some(Self::$variant),)+ _ => ::core::option::Option::None }
            }
        }

        impl ::core::fmt::Display for $name {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.pad(self.name())
            }
        }

        impl $crate::FromToml for $name {
            fn from_toml(
                value: &$crate::Value,
                cx: &mut $crate::Cx,
            ) -> ::core::option::Option<Self> {
                let idx = $crate::read_name(value, &[$($text),+], cx)?;
                Self::ALL.get(idx).copied()
            }

            fn to_toml(&self) -> ::core::option::Option<$crate::Value> {
                ::core::option::Option::Some(self.name().into())
            }

            fn type_name() -> ::std::string::String {
                $crate::alternatives(&[$($text),+])
            }

            fn schema(_: &mut $crate::Schemas) -> $crate::Json {
                $crate::names_schema(
                    &$crate::doc_text(&[$($doc),*]),
                    &Self::ALL.iter().map(|value| (value.name(), value.doc())).collect::<::std::vec::Vec<_>>(),
                )
            }
        }
    };
}

/// Declares a choice between tables, told apart by one of their keys.
///
/// ```text
/// config_tagged! {
///     /// Doc comment.
///     pub enum NAME by "kind" {
///         /// Doc comment of the variant.
///         VARIANT(STRUCT) = "text",          // STRUCT is declared by config!, without the tag
///     }
/// }
/// ```
///
/// Derives Clone, Debug, PartialEq; gives `KINDS`, `kind()` and
/// [`FromToml`](crate::FromToml) with "did you mean" among the kinds.
#[macro_export]
macro_rules! config_tagged {
    (
        $(#[doc = $doc:expr])*
        $vis:vis enum $name:ident by $tag:literal {
            $($(#[doc = $variant_doc:expr])* $variant:ident($inner:ty) = $text:literal),+ $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($(#[doc = $variant_doc])* $variant($inner)),+
        }

        impl $name {
            /// All kinds as written in files, in the order of declaration.
            pub const KINDS: &'static [&'static str] = &[$($text),+];

            /// The kind as written in files.
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $text),+ }
            }
        }

        impl $crate::FromToml for $name {
            fn from_toml(
                value: &$crate::Value,
                cx: &mut $crate::Cx,
            ) -> ::core::option::Option<Self> {
                let (kind, rest) = $crate::read_tag(value, $tag, Self::KINDS, cx)?;
                match kind {
                    $($text => <$inner as $crate::FromToml>::from_toml(&rest, cx).map(Self::$variant),)+
                    _ => ::core::option::Option::None,
                }
            }

            fn to_toml(&self) -> ::core::option::Option<$crate::Value> {
                let inner = match self { $(Self::$variant(inner) => $crate::FromToml::to_toml(inner)),+ };
                inner.map(|inner| $crate::with_tag($tag, self.kind(), inner))
            }

            fn type_name() -> ::std::string::String {
                ::std::string::String::from($crate::TABLE)
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.reference::<Self>(::core::stringify!($name), |schemas| {
                    let variants = [$(
                        $crate::tag_schema(
                            $crate::object_schema::<$inner>(schemas),
                            $tag,
                            $text,
                            &$crate::doc_text(&[$($variant_doc),*]),
                        )
                    ),+];
                    $crate::one_of_schema(&$crate::doc_text(&[$($doc),*]), &variants)
                })
            }

            fn nested_knobs() -> ::std::vec::Vec<$crate::Knob> {
                $crate::tagged_knobs($tag, &[$(
                    $crate::TaggedKind {
                        name: $text,
                        doc: &[$($variant_doc),*],
                        knobs: <$inner as $crate::Config>::knobs,
                    }
                ),+])
            }
        }
    };
}
