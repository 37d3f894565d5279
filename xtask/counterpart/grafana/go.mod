// Grafana's schema of dashboards, as its typed SDK has it.
module observer.invalid/counterpart/grafana

go 1.26.0

require github.com/grafana/grafana-foundation-sdk/go v0.0.22
