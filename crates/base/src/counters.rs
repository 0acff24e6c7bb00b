//! The macro that declares a set of counters once.

/// Declares counters: an enum in the kernel's spelling, their docs, a table indexed by the enum
/// that adds, subtracts, prints and parses the kernel's `name value` text.
///
/// ```
/// base::counters! {
///     /// What a shop counts.
///     pub enum Shop, table Till {
///         /// Apples sold.
///         apples,
///         /// Pears sold.
///         pears,
///     }
/// }
/// let mut till = Till::default();
/// till[Shop::apples] += 2;
/// assert_eq!(till.to_string(), "apples 2\npears 0\n");
/// assert_eq!(Till::parse("apples 2\nplums 7\n")[Shop::apples], 2);
/// ```
#[macro_export]
macro_rules! counters {
    ($(#[$doc:meta])* pub enum $name:ident, table $table:ident { $( $(#[doc = $text:literal])+ $counter:ident, )+ }) => {
        $(#[$doc])*
        #[expect(non_camel_case_types, reason = "counters keep the kernel's spelling")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum $name { $( $(#[doc = $text])+ $counter, )+ }

        impl $name {
            /// All counters in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$counter),+];

            /// The kernel's spelling.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$counter => stringify!($counter)),+ }
            }

            /// What is counted.
            pub fn doc(self) -> String {
                match self { $(Self::$counter => [$($text),+].concat().trim().to_owned()),+ }
            }

            /// The counter of that spelling.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|counter| counter.name() == name)
            }
        }

        #[doc = concat!("One value for each [`", stringify!($name), "`].")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $table([u64; $name::ALL.len()]);

        impl Default for $table {
            fn default() -> Self {
                Self([0; $name::ALL.len()])
            }
        }

        impl $table {
            /// Counters and values in the order of declaration.
            pub fn iter(&self) -> impl Iterator<Item = ($name, u64)> + '_ {
                $name::ALL.iter().map(|counter| (*counter, self[*counter]))
            }

            /// Adds every value of `other`.
            pub fn add(&mut self, other: &Self) {
                self.0.iter_mut().zip(other.0).for_each(|(mine, theirs)| *mine += theirs);
            }

            /// What was counted since `earlier`.
            pub fn since(&self, earlier: &Self) -> Self {
                let mut diff = self.clone();
                diff.0.iter_mut().zip(earlier.0).for_each(|(now, then)| *now = now.saturating_sub(then));
                diff
            }

            /// Reads the kernel's text, one `name value` a line; unknown names and lines of
            /// another form are passed over, as a kernel prints counters that we do not model.
            pub fn parse(text: &str) -> Self {
                let mut table = Self::default();
                for line in text.lines() {
                    let mut words = line.split_whitespace();
                    if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
                        if let Some(counter) = $name::from_name(name) {
                            table[counter] = value;
                        }
                    }
                }
                table
            }
        }

        impl std::ops::Index<$name> for $table {
            type Output = u64;
            fn index(&self, counter: $name) -> &u64 {
                &self.0[counter as usize]
            }
        }

        impl std::ops::IndexMut<$name> for $table {
            fn index_mut(&mut self, counter: $name) -> &mut u64 {
                &mut self.0[counter as usize]
            }
        }

        impl std::fmt::Display for $table {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.iter().try_for_each(|(counter, value)| writeln!(f, "{} {value}", counter.name()))
            }
        }

        impl serde::Serialize for $table {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.iter().map(|(counter, value)| (counter.name(), value)))
            }
        }
    };
}
