//! The validation suites: closed forms, published tables, the real kernel's counters, other programs' counts
