//! TOML with places: many problems at once, knobs declared once, units in strings, JSON Schema, rendering
