"""Grafana dashboards: reads nothing, writes fleet.json, workload.json and agent.json beside this file.

    pip install 'grafana-foundation-sdk==1769699379!11.6.0' && python dashboards.py

Built with Grafana's own typed builder. The queries use the names that a scrape and Prometheus' OTLP receiver give alike, and the
series that ../prometheus/observer.rules.yaml records.
"""

import json
import pathlib
import urllib.parse

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.dashboard import DataSourceRef

SOURCE = DataSourceRef(type_val="prometheus", uid="$source")
ONE = 'job=~"$job",observer_workload=~"$workload"'


def query(expression, legend="", instant=False):
    target = prometheus.Dataquery().expr(expression).datasource(SOURCE).legend_format(legend)
    return target.instant().format("table") if instant else target.range()


def panel(kind, title, description, queries, unit="short", span=12, height=8):
    built = kind().title(title).description(description).datasource(SOURCE).span(span).height(height).unit(unit)
    for index, target in enumerate(queries):
        built = built.with_target(target.ref_id(chr(ord("A") + index)))
    return built


def graph(title, description, queries, unit="short", axis="", **size):
    built = panel(timeseries.Panel, title, description, queries, unit, **size).fill_opacity(5)
    return built.axis_label(axis) if axis else built


def number(title, description, expression, unit="short"):
    return panel(stat.Panel, title, description, [query(expression, instant=True)], unit, span=6, height=4)


def listing(title, description, columns, **size):
    """A table with one row for each set of labels; each column is a query, its name and its unit."""
    built = panel(table.Panel, title, description, [query(expression, instant=True) for expression, _, _ in columns], **size)
    # Grafana names a column after its query's letter, where there are several.
    letters = ["Value"] if len(columns) == 1 else [f"Value #{chr(ord('A') + index)}" for index in range(len(columns))]
    names = {letter: name for letter, (_, name, _) in zip(letters, columns)}
    organized = {"excludeByName": {name: True for name in ("Time", "__name__")}, "renameByName": names}
    built = built.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    built = built.with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    for _, name, unit in columns:
        built = built.override_by_name(name, [model.DynamicConfigValue(id_val="unit", value=unit)])
    return built


def variable(name, label, values):
    return (
        dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(values).multi(True).include_all(True)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )


def explore(title, source, asked):
    pane = {"a": {"datasource": source, "queries": [{"refId": "A", **asked}], "range": {"from": "${__from}", "to": "${__to}"}}}
    # Grafana replaces its variables in the text as it stands: they are not to be percent-encoded.
    panes = urllib.parse.quote(json.dumps(pane), safe="${}")
    link = dashboard.DashboardLink(title).type(model.DashboardLinkType.LINK).icon("external link").target_blank(True)
    return link.url(f"/explore?schemaVersion=1&panes={panes}")


def base(uid, title, description):
    return (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["observer"]).refresh("1m").time("now-24h", "now")
        .timezone("browser").readonly()
        .with_variable(dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus"))
    )


def fleet():
    key = "cluster, job, observer_workload, service_version"
    return (
        base("observer-fleet", "observer / fleet", "Which services leak, since which version, and how long they have.")
        .with_panel(number("Versions that leak", "The verdict of all replicas together, or of one agent alone.",
                           "count(workload_version:observer_leak:verdict == 1) or vector(0)"))
        .with_panel(number("Next death", "The earliest time to a ceiling of a version that leaks.",
                           "min(workload_version:observer_time_to_ceiling_seconds:min and workload_version:observer_leak:verdict == 1)",
                           "s"))
        .with_panel(number("Deaths of memory, last hour", "Killed by the kernel, by a daemon, or given up by V8.",
                           'round(sum(workload_version_cause:observer_container_exits:increase1h{observer_exit_cause=~".*oom"}))'))
        .with_panel(number("Replicas observed", "Runs whose slope is known.", "sum(workload_version:observer_replicas:count)"))
        .with_panel(listing(
            "Versions that leak", "Slope of all replicas together, in an hour, and its z; replicas, and the share of them that rise.",
            [
                (f"sum by ({key}) ({series} and workload_version:observer_leak:verdict == 1)", name, unit)
                for series, name, unit in (
                    ("workload_version:observer_slope:pooled", "slope, per hour", "bytes"),
                    ("workload_version:observer_slope:z", "z", "short"),
                    ("workload_version:observer_replicas:count", "replicas", "short"),
                    ("workload_version:observer_replicas_rising:ratio", "rising", "percentunit"),
                    ("workload_version:observer_time_to_ceiling_seconds:min", "first at its ceiling in", "s"),
                )
            ], span=24))
        .with_panel(listing("Introduced and ended", "The version that brought the growth and the one without it, of the last week.", [
            ("workload_version:observer_leak_introduced_seconds:first_seen * 1000", "introduced", "dateTimeAsIso"),
            ("workload_version:observer_leak_ended_seconds:first_seen * 1000", "ended", "dateTimeAsIso"),
        ]))
        .with_panel(listing("Newest version against the older", "Difference of slopes, in an hour, and its standard error.", [
            ("service_version:observer_slope_difference:canary", "steeper by, per hour", "bytes"),
            ("service_version:observer_slope_difference:standard_error", "standard error", "bytes"),
        ]))
        .with_panel(graph("Steepest", "Pooled slope of the ten steepest versions, bytes an hour.",
                          [query("topk(10, workload_version:observer_slope:pooled)", "{{job}} {{service_version}}")], "bytes", "in an hour"))
        .with_panel(graph("Deaths and restarts by cause", "Ended runs in the last hour.",
                          [query("sum by (observer_exit_cause) (workload_version_cause:observer_container_exits:increase1h)",
                                 "{{observer_exit_cause}}")]))
        .with_panel(graph("Replicas that differ", "I squared: near 1 only some replicas of the version leak.",
                          [query("topk(10, workload_version:observer_slope_heterogeneity:i2)", "{{job}} {{service_version}}")], "percentunit"))
        .with_panel(graph("Agents", "Agents that answer.", [query("count(observer_agent_inputs_total)", "agents")]))
    )


def workload():
    ceiling = f"min by (service_version) (workload_version:observer_memory_ceiling_bytes:min{{{ONE}}})"
    return (
        base("observer-workload", "observer / workload", "One service: its sawtooth, its ceilings, its versions.")
        .with_variable(variable("job", "Service", "label_values(observer_leak_state, job)"))
        .with_variable(variable("service", "Name", 'label_values(observer_leak_state{job=~"$job"}, job)')
                       .regex("/([^\\/]+)$/").hide(model.VariableHide.HIDE_VARIABLE))
        .with_variable(variable("workload", "Workload", 'label_values(observer_leak_state{job=~"$job"}, observer_workload)'))
        .annotation(dashboard.AnnotationQuery().name("Rollouts").datasource(SOURCE).icon_color("blue").enable(True)
                    .expr(f"workload_version:observer_version_first_seen_seconds:min{{{ONE}}} > time() - 60"))
        .annotation(dashboard.AnnotationQuery().name("Restarts").datasource(SOURCE).icon_color("orange").enable(True)
                    .expr(f"increase(observer_restarts_total{{{ONE}}}[1m]) > 0"))
        .annotation(dashboard.AnnotationQuery().name("Findings").datasource(SOURCE).icon_color("red").enable(True)
                    .expr(f"changes(workload_version:observer_leak_state:max{{{ONE}}}[2m]) > 0"))
        .with_panel(graph("Memory and ceilings", "Anonymous, swapped, shared and unreclaimable memory of each replica, and the lowest ceiling.", [
            query(f"observer_memory_level_bytes{{{ONE}}}", "{{instance}}"),
            query(f"min by (observer_memory_ceiling_kind) (observer_memory_ceiling_bytes{{{ONE}}})", "ceiling: {{observer_memory_ceiling_kind}}"),
        ], "bytes", span=24, height=10))
        .with_panel(graph("Pooled slope", "Bytes an hour by version, with its 95 % interval.", [
            query(f"workload_version:observer_slope:pooled{{{ONE}}}", "{{service_version}}"),
            query(f"workload_version:observer_slope:pooled{{{ONE}}} - 1.96 * workload_version:observer_slope:standard_error{{{ONE}}}", "{{service_version}} low"),
            query(f"workload_version:observer_slope:pooled{{{ONE}}} + 1.96 * workload_version:observer_slope:standard_error{{{ONE}}}", "{{service_version}} high"),
        ], "bytes", "in an hour"))
        .with_panel(graph("Time to the ceiling", "Of the replica that gets there first.",
                          [query(f"workload_version:observer_time_to_ceiling_seconds:min{{{ONE}}}", "{{service_version}}")], "s"))
        .with_panel(graph("Where it grows", "Net growth of traced runs by place.",
                          [query(f"sum by (observer_memory_growth_where) (observer_memory_growth_bytes{{{ONE}}})",
                                 "{{observer_memory_growth_where}}")], "bytes"))
        .with_panel(graph("What grows, by name", "Of heaps that may be read: the likeliest culprit of each replica.",
                          [query(f"sum by (observer_heap_culprit) (observer_heap_culprit_grown_bytes{{{ONE}}})", "{{observer_heap_culprit}}")], "bytes"))
        .with_panel(graph("Ends by cause and version", "In the last hour.",
                          [query(f"workload_version_cause:observer_container_exits:increase1h{{{ONE}}}", "{{service_version}} {{observer_exit_cause}}")]))
        .with_panel(graph("What agents say", "0 nothing, 1 suspected, 2 likely, 3 confirmed.",
                          [query(f"workload_version:observer_leak_state:max{{{ONE}}}", "{{service_version}}")]))
        .with_panel(listing("Before and after", "Slope, floor, ceiling and replicas by version.", [
            (f"sum by (service_version) (workload_version:observer_slope:pooled{{{ONE}}})", "slope, per hour", "bytes"),
            (f"avg by (service_version) (observer_memory_floor_bytes{{{ONE}}})", "floor", "bytes"),
            (ceiling, "ceiling", "bytes"),
            (f"sum by (service_version) (workload_version:observer_replicas:count{{{ONE}}})", "replicas", "short"),
        ]))
        .with_panel(graph("Age of runs", "Each replica's run in progress.",
                          [query(f"container_uptime_seconds{{{ONE}}} or process_uptime_seconds{{{ONE}}}", "{{instance}}")], "s"))
        .with_variable(dashboard.DatasourceVariable("traces").label("Traces").type("jaeger"))
        .with_variable(dashboard.DatasourceVariable("logs").label("Logs").type("loki"))
        .link(explore("Runs as spans", "${traces}", {"queryType": "search", "service": "${service}"}))
        .link(explore("Events", "${logs}", {"expr": '{service_name="${service}"} |= `observer`'}))
    )


def agent():
    one = 'instance=~"$agent"'
    return (
        base("observer-agent", "observer / agent", "The agents themselves: what they see, lose, send and cost.")
        .with_variable(variable("agent", "Agent", "label_values(observer_agent_inputs_total, instance)"))
        .with_panel(graph("Inputs", "Each second.", [query(f"rate(observer_agent_inputs_total{{{one}}}[5m])", "{{instance}}")]))
        .with_panel(graph("Lost", "Records lost in 15 minutes, by stage.",
                          [query(f"sum by (observer_agent_stage) (increase(observer_agent_lost_total{{{one}}}[15m]))", "{{observer_agent_stage}}")]))
        .with_panel(graph("Export", "Records each second by what became of them.",
                          [query(f"sum by (observer_agent_signal, observer_agent_fate) (rate(observer_agent_export_records_total{{{one}}}[5m]))",
                                 "{{observer_agent_signal}} {{observer_agent_fate}}")]))
        .with_panel(graph("Waiting", "Bytes that wait for delivery.",
                          [query(f"sum by (instance) (observer_agent_export_waiting_bytes{{{one}}})", "{{instance}}")], "bytes"))
        .with_panel(graph("Memory", "Resident memory of the agents.",
                          [query(f'process_memory_usage_bytes{{{one}}} and on (job, instance) observer_agent_inputs_total', "{{instance}}")], "bytes"))
        .with_panel(graph("CPU", "Share of a core.", [query(f"rate(process_cpu_time_seconds_total{{{one}}}[5m])", "{{instance}}")], "percentunit"))
        .with_panel(graph("Sweep", "Duration of one look at all watched processes.",
                          [query(f"observer_agent_sweep_duration_seconds{{{one}}}", "{{instance}}")], "s"))
        .with_panel(graph("Watched", "Processes and containers known.", [
            query(f"observer_agent_processes{{{one}}}", "{{instance}} processes"),
            query(f"observer_agent_containers{{{one}}}", "{{instance}} containers"),
        ]))
        .with_panel(listing("Hooks by rung", "Agents by hook and by how it is served.", [
            (f"count by (observer_agent_hook_name, observer_agent_hook_rung) (observer_agent_hook{{{one}}})", "agents", "short"),
        ]))
        .with_panel(graph("Store", "Bytes of the history.", [query(f"observer_agent_store_bytes{{{one}}}", "{{instance}}")], "bytes"))
    )


def main():
    here = pathlib.Path(__file__).parent
    for name, build in (("fleet", fleet), ("workload", workload), ("agent", agent)):
        text = json.dumps(json.loads(JSONEncoder(sort_keys=True).encode(build().build())), indent=1, sort_keys=True)
        (here / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
