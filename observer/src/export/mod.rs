//! Exporters: read findings, produce lines for people, JSON lines, and OTLP.

pub mod otlp;
