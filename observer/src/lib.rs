//! The agent: loader, sources, exporters, terminal views.
