// The rules, alerts and dashboards as a Prometheus monitoring mixin: reads the rendered files beside it, which need no jsonnet.
//
//   jb install <this repository>/deploy
//   jsonnet --string --jpath vendor --exec 'std.manifestYamlDoc((import "deploy/mixin/mixin.libsonnet").prometheusAlerts)'
//
// Change them as any mixin: (import 'mixin.libsonnet') + { prometheusAlerts+:: ... }.
{
  grafanaDashboardFolder:: 'observer',
  grafanaDashboards+:: {
    'observer-agent.json': import '../grafana/agent.json',
    'observer-fleet.json': import '../grafana/fleet.json',
    'observer-workload.json': import '../grafana/workload.json',
  },
  prometheusAlerts+:: std.parseYaml(importstr '../prometheus/observer.alerts.yaml'),
  prometheusRules+:: std.parseYaml(importstr '../prometheus/observer.rules.yaml'),
}
