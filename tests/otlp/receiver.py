"""An OTLP receiver that is not ours: gRPC and HTTP, decoded by OpenTelemetry's own Python classes.

Prints one JSON object per line: first {"listening": {"grpc": PORT, "http": PORT}}, then one per request with the
protocol, signal, headers, the answer given, and the decoded message. Answers are scripted: --answers takes a JSON
array, used up one per request (of both protocols together), and then everything is accepted. An answer is
{"status": 503, "retry_after": "1"}, {"code": "UNAVAILABLE", "retry_delay": 1}, {"rejected": 2, "message": "..."},
or {"stall": SECONDS}.
"""

import argparse
import gzip
import json
import sys
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import ssl

import grpc
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

SIGNALS = {
    "logs": (
        logs_service_pb2.ExportLogsServiceRequest,
        logs_service_pb2.ExportLogsServiceResponse,
        "rejected_log_records",
    ),
    "metrics": (
        metrics_service_pb2.ExportMetricsServiceRequest,
        metrics_service_pb2.ExportMetricsServiceResponse,
        "rejected_data_points",
    ),
    "traces": (
        trace_service_pb2.ExportTraceServiceRequest,
        trace_service_pb2.ExportTraceServiceResponse,
        "rejected_spans",
    ),
}


class Desk:
    """Hands out the scripted answers and prints what came."""

    def __init__(self, answers):
        self.answers = list(answers)
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            return self.answers.pop(0) if self.answers else {}

    def tell(self, **line):
        with self.lock:
            print(json.dumps(line), flush=True)

    def accept(self, protocol, signal, headers, message, answer):
        self.tell(
            protocol=protocol,
            signal=signal,
            headers=headers,
            answer=answer,
            message=MessageToDict(message),
            time=time.monotonic(),
        )


def response(signal, answer):
    message = SIGNALS[signal][1]()
    if "rejected" in answer:
        setattr(message.partial_success, SIGNALS[signal][2], answer["rejected"])
        message.partial_success.error_message = answer.get("message", "")
    return message


def varint(number):
    out = b""
    while True:
        byte, number = number & 0x7F, number >> 7
        if not number:
            return out + bytes([byte])
        out += bytes([byte | 0x80])


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def retry_info(code, message, seconds):
    """google.rpc.Status with a google.rpc.RetryInfo, whose generated classes are in another package."""
    duration = varint(1 << 3) + varint(seconds)
    any_message = field(1, b"type.googleapis.com/google.rpc.RetryInfo") + field(2, field(1, duration))
    return varint(1 << 3) + varint(code) + field(2, message.encode()) + field(3, any_message)


def export(desk, signal):
    def method(_, request, context):
        answer = desk.take()
        headers = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
        desk.accept("grpc", signal, headers, request, answer)
        time.sleep(answer.get("stall", 0))
        if "code" in answer:
            code = grpc.StatusCode[answer["code"]]
            if "retry_delay" in answer:
                details = retry_info(code.value[0], "scripted", answer["retry_delay"])
                context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(code, "scripted")
        return response(signal, answer)

    return method


def bind_grpc(desk, options):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    services = {
        "logs": (logs_service_pb2_grpc.LogsServiceServicer, logs_service_pb2_grpc.add_LogsServiceServicer_to_server),
        "metrics": (
            metrics_service_pb2_grpc.MetricsServiceServicer,
            metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server,
        ),
        "traces": (
            trace_service_pb2_grpc.TraceServiceServicer,
            trace_service_pb2_grpc.add_TraceServiceServicer_to_server,
        ),
    }
    for signal, (base, add) in services.items():
        add(type(signal, (base,), {"Export": export(desk, signal)})(), server)
    address = f"127.0.0.1:{options.grpc_port}"
    if options.certificate:
        chain, key = open(options.certificate, "rb").read(), open(options.key, "rb").read()
        clients = open(options.client_authority, "rb").read() if options.client_authority else None
        credentials = grpc.ssl_server_credentials([(key, chain)], clients, clients is not None)
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    desk.server = server  # it stops when nothing refers to it
    return server, port


def handler(desk):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            signal = self.path.rsplit("/", 1)[-1]
            if signal not in SIGNALS or self.headers["Content-Type"] != "application/x-protobuf":
                self.reply(404, b"")
                return
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            message = SIGNALS[signal][0]()
            message.ParseFromString(body)
            answer = desk.take()
            headers = {key.lower(): value for key, value in self.headers.items()}
            desk.accept("http", signal, headers, message, answer)
            time.sleep(answer.get("stall", 0))
            if "status" in answer:
                extra = {"Retry-After": answer["retry_after"]} if "retry_after" in answer else {}
                self.reply(answer["status"], varint(1 << 3) + varint(14) + field(2, b"scripted"), extra)
            else:
                self.reply(200, response(signal, answer).SerializeToString())

        def reply(self, status, body, extra={}):
            self.send_response(status)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(body)))
            for key, value in extra.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    return Handler


def bind_http(desk, options):
    server = ThreadingHTTPServer(("127.0.0.1", options.http_port), handler(desk))
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        if options.client_authority:
            context.load_verify_locations(options.client_authority)
            context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True)
    return server, server.server_port


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=json.loads, default=[])
    parser.add_argument("--grpc-port", type=int, default=0)
    parser.add_argument("--http-port", type=int, default=0)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--client-authority")
    options = parser.parse_args()
    desk = Desk(options.answers)
    grpc_server, grpc_port = bind_grpc(desk, options)
    http_server, http_port = bind_http(desk, options)
    # Said before the first request is taken: a client that has waited for it sends at once.
    desk.tell(listening={"grpc": grpc_port, "http": http_port})
    grpc_server.start()
    threading.Thread(target=http_server.serve_forever, daemon=True).start()
    # Ends with the test that started it, whatever becomes of that.
    sys.stdin.read()


main()
