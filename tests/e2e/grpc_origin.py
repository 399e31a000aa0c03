"""A server of gRPC on the package `grpcio`: methods without a schema, which answer bytes."""

import concurrent.futures
import threading

import grpc

SERVICE = "test.Echo"


class GrpcOrigin:
    """Port of a running server; `cancelled` counts calls that their clients gave up."""

    def __init__(self, workers=32):
        self.cancelled = 0
        self.seen = []
        self.lock = threading.Lock()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(workers),
                                  options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
                                           ("grpc.max_concurrent_streams", 100000), ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
            "Many": grpc.unary_stream_rpc_method_handler(self.many),
            "Sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Hang": grpc.unary_stream_rpc_method_handler(self.hang),
        })])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def unary(self, request, context):
        with self.lock:
            self.seen.append(dict(context.invocation_metadata()))
        context.set_trailing_metadata([("x-end", "yes")])
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("x-end", "failed")])
        context.abort(grpc.StatusCode.NOT_FOUND, "nothing like \u00e4 here")

    def fail_late(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.ABORTED, "in the middle")

    def many(self, request, context):
        count, size = (int(word) for word in request.split())
        for _ in range(count):
            yield b"x" * size

    def sum(self, requests, context):
        return b"%d" % sum(len(request) for request in requests)

    def chat(self, requests, context):
        yield from requests

    def hang(self, request, context):
        ended = threading.Event()

        def note():
            with self.lock:
                self.cancelled += 1
            ended.set()

        context.add_callback(note)
        yield b"begun"
        ended.wait(60)

    def close(self):
        self.server.stop(None)
