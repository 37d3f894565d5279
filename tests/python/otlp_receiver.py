"""An OTLP receiver that is not ours to interpret: the official protobuf classes decode what arrives.

Reads OTLP over http/protobuf (default) or gRPC on a port of --host (the loopback by default), produces one JSON object
per line on standard output: first {"ready": true, "port": N}, then one per log record, metric or span, as decoded.

  otlp_receiver.py [--protocol http|grpc] [--host ADDRESS] [--port N]
                   [--refuse STATUS --times N [--retry-after S]] [--reject N] [--tls CERTIFICATE KEY]

--tls serves http/protobuf over TLS, by two PEM files;
--refuse answers the first N requests with an HTTP status (or a gRPC code's name) instead of taking them;
--reject takes each request and reports N of its records as rejected (partial success).
"""

import argparse
import gzip
import json
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

REQUESTS = {
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
}
RESPONSES = {
    "/v1/logs": logs_service_pb2.ExportLogsServiceResponse,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "/v1/traces": trace_service_pb2.ExportTraceServiceResponse,
}
REJECTED = {"/v1/logs": "rejected_log_records", "/v1/metrics": "rejected_data_points", "/v1/traces": "rejected_spans"}

output = threading.Lock()


def say(record):
    with output:
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()


def value(any_value):
    kind = any_value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value(item) for item in any_value.array_value.values]
    if kind == "kvlist_value":
        return attributes(any_value.kvlist_value.values)
    if kind == "bytes_value":
        return any_value.bytes_value.hex()
    return getattr(any_value, kind)


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def logs(request):
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield {
                    "signal": "log",
                    "event": record.event_name,
                    "time_ns": record.time_unix_nano,
                    "observed_ns": record.observed_time_unix_nano,
                    "severity": record.severity_text,
                    "severity_number": record.severity_number,
                    "body": value(record.body),
                    "attributes": attributes(record.attributes),
                    "trace_id": record.trace_id.hex(),
                    "scope": {"name": scope.scope.name, "version": scope.scope.version},
                    "schema_url": resource.schema_url or scope.schema_url,
                    "resource": attributes(resource.resource.attributes),
                }


def points(metric):
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    for point in data.data_points:
        which = point.WhichOneof("value") if kind in ("gauge", "sum") else None
        yield {
            "kind": kind,
            "value": getattr(point, which) if which else None,
            "count": getattr(point, "count", None),
            "time_ns": point.time_unix_nano,
            "start_ns": point.start_time_unix_nano,
            "attributes": attributes(point.attributes),
        }


def metrics(request):
    for resource in request.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                yield {
                    "signal": "metric",
                    "name": metric.name,
                    "unit": metric.unit,
                    "points": list(points(metric)),
                    "scope": {"name": scope.scope.name, "version": scope.scope.version},
                    "resource": attributes(resource.resource.attributes),
                }


def traces(request):
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield {
                    "signal": "span",
                    "name": span.name,
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_span_id": span.parent_span_id.hex(),
                    "start_ns": span.start_time_unix_nano,
                    "end_ns": span.end_time_unix_nano,
                    "status": span.status.code,
                    "attributes": attributes(span.attributes),
                    "links": [{"trace_id": link.trace_id.hex(), "span_id": link.span_id.hex()} for link in span.links],
                    "resource": attributes(resource.resource.attributes),
                }


DECODERS = {"/v1/logs": logs, "/v1/metrics": metrics, "/v1/traces": traces}


class Policy:
    """What is answered."""

    def __init__(self, options):
        self.refuse, self.left, self.retry_after, self.reject = (
            options.refuse,
            options.times,
            options.retry_after,
            options.reject,
        )
        self.lock = threading.Lock()

    def refusal(self):
        with self.lock:
            if self.refuse is None or self.left == 0:
                return None
            self.left -= 1
            return self.refuse


def take(path, request, policy):
    for record in DECODERS[path](request):
        say(record)
    response = RESPONSES[path]()
    if policy.reject:
        setattr(response.partial_success, REJECTED[path], policy.reject)
        response.partial_success.error_message = "rejected as asked"
    return response


def serve_http(options, policy):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            refusal = policy.refusal()
            if refusal is not None:
                say({"refused": refusal, "path": self.path})
                headers = {} if policy.retry_after is None else {"Retry-After": str(policy.retry_after)}
                return self.answer(int(refusal), b"", headers)
            if self.path not in REQUESTS:
                return self.answer(404, b"")
            if self.headers.get("Content-Type") != "application/x-protobuf":
                return self.answer(415, b"")
            request = REQUESTS[self.path]()
            try:
                request.ParseFromString(body)
            except Exception as error:  # the class for a broken message differs between protobuf versions
                say({"error": f"not an OTLP request: {error}", "path": self.path})
                return self.answer(400, b"")
            return self.answer(200, take(self.path, request, policy).SerializeToString())

        def answer(self, status, body, headers=None):
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer((options.host, options.port), Handler)
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    say({"ready": True, "port": server.server_address[1]})
    server.serve_forever()


def serve_grpc(options, policy):
    import grpc
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

    def export(path):
        def method(_self, request, context):
            refusal = policy.refusal()
            if refusal is not None:
                say({"refused": refusal, "path": path})
                context.abort(getattr(grpc.StatusCode, refusal), "refused as asked")
            return take(path, request, policy)

        return method

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    for path, module, name in (
        ("/v1/logs", logs_service_pb2_grpc, "LogsService"),
        ("/v1/metrics", metrics_service_pb2_grpc, "MetricsService"),
        ("/v1/traces", trace_service_pb2_grpc, "TraceService"),
    ):
        servicer = type(name, (getattr(module, f"{name}Servicer"),), {"Export": export(path)})
        getattr(module, f"add_{name}Servicer_to_server")(servicer(), server)
    port = server.add_insecure_port(f"{options.host}:{options.port}")
    server.start()
    say({"ready": True, "port": port})
    server.wait_for_termination()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--protocol", choices=("http", "grpc"), default="http")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"))
    parser.add_argument("--refuse")
    parser.add_argument("--times", type=int, default=-1)
    parser.add_argument("--retry-after", type=int)
    parser.add_argument("--reject", type=int, default=0)
    options = parser.parse_args()
    policy = Policy(options)
    (serve_grpc if options.protocol == "grpc" else serve_http)(options, policy)


if __name__ == "__main__":
    main()
