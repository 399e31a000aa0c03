#!/usr/bin/env python3
"""Our part of the v3 API against upstream's descriptors: each message, field, number, type, label and oneof that we have must
be theirs, or a bootstrap would mean something else here.

Runs under pytest. `tests/schema_test.py --write` renews the table of fields that upstream has and we do not, in
control/upstream_fields.cc. Needs protoc and the packages of tests/e2e/requirements.txt (xds-protos brings the descriptors).
"""

import functools
import importlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2", reason="xds-protos is not installed")
pytest.importorskip("envoy.config.bootstrap.v3.bootstrap_pb2", reason="xds-protos is not installed")

ROOT = Path(__file__).resolve().parent.parent
API = ROOT / "control" / "api"
TABLE = ROOT / "control" / "upstream_fields.cc"

# Our file -> upstream's files that hold the same messages.
UPSTREAM = {
    "accesslog.proto": ["envoy.config.accesslog.v3.accesslog"],
    "bootstrap.proto": ["envoy.config.bootstrap.v3.bootstrap"],
    "cluster.proto": ["envoy.config.cluster.v3.cluster", "envoy.config.cluster.v3.circuit_breaker"],
    "core.proto": [
        "envoy.config.core.v3.address", "envoy.config.core.v3.base", "envoy.config.core.v3.health_check",
        "envoy.config.core.v3.protocol", "envoy.config.core.v3.proxy_protocol", "envoy.config.core.v3.substitution_format_string"],
    "endpoint.proto": ["envoy.config.endpoint.v3.endpoint", "envoy.config.endpoint.v3.endpoint_components"],
    "fault.proto": ["envoy.extensions.filters.common.fault.v3.fault"],
    "file_access_log.proto": ["envoy.extensions.access_loggers.file.v3.file"],
    "http_inspector.proto": ["envoy.extensions.filters.listener.http_inspector.v3.http_inspector"],
    "mongo_proxy.proto": ["envoy.extensions.filters.network.mongo_proxy.v3.mongo_proxy"],
    "original_dst.proto": ["envoy.extensions.filters.listener.original_dst.v3.original_dst"],
    "proxy_protocol.proto": ["envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol"],
    "tls_inspector.proto": ["envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector"],
    "health_check.proto": ["envoy.config.core.v3.health_check", "envoy.config.core.v3.base"],
    "grpc_http1_bridge.proto": ["envoy.extensions.filters.http.grpc_http1_bridge.v3.config"],
    "grpc_method_list.proto": ["envoy.config.core.v3.grpc_method_list"],
    "grpc_stats.proto": ["envoy.extensions.filters.http.grpc_stats.v3.config"],
    "grpc_web.proto": ["envoy.extensions.filters.http.grpc_web.v3.grpc_web"],
    "http_connection_manager.proto": [
        "envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager"],
    "http_protocol_options.proto": ["envoy.extensions.upstreams.http.v3.http_protocol_options"],
    "listener.proto": ["envoy.config.listener.v3.listener", "envoy.config.listener.v3.listener_components"],
    "matcher_regex.proto": ["envoy.type.matcher.v3.regex"],
    "matcher_string.proto": ["envoy.type.matcher.v3.string"],
    "range.proto": ["envoy.type.v3.range"],
    "previous_hosts.proto": ["envoy.extensions.retry.host.previous_hosts.v3.previous_hosts"],
    "raw_buffer.proto": ["envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer"],
    "route.proto": ["envoy.config.route.v3.route", "envoy.config.route.v3.route_components"],
    "router.proto": ["envoy.extensions.filters.http.router.v3.router"],
    "stream_access_log.proto": ["envoy.extensions.access_loggers.stream.v3.stream"],
    "upstream_proxy_protocol.proto": ["envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol"],
    "tcp_proxy.proto": ["envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy"],
    "tls.proto": ["envoy.extensions.transport_sockets.tls.v3.tls"],
    "tls_common.proto": ["envoy.extensions.transport_sockets.tls.v3.common"],
    "types.proto": ["envoy.type.v3.http", "envoy.type.v3.percent", "envoy.type.v3.range"],
}

# Messages of our own, which upstream knows nothing of: packages ringside.*.
OWN = {path.name for path in API.glob("ringside_*.proto")}

# Fields that are read and say nothing to the data plane; every other field must be read by a translator.
INERT = {
    "AccessLog.name": "a label",
    "Admin.ignore_global_conn_limit": "there is no global limit",
    "Cluster.metadata": "opaque",
    "DownstreamTlsContext.full_scan_certs_on_sni_mismatch": "a certificate is chosen by key type in any case",
    "DownstreamTlsContext.disable_stateful_session_resumption": "the server keeps no sessions",
    "Filter.name": "a label",
    "FilterChain.metadata": "opaque",
    "Http2ProtocolOptions.max_metadata_size": "METADATA frames are read past",
    "Http2ProtocolOptions.use_oghttp2_codec": "there is no other codec",
    "HttpFilter.is_optional": "read from the text, when the type of the filter is looked up",
    "HttpFilter.name": "a label",
    "Listener.bypass_overload_manager": "there is no overload manager",
    "Listener.ignore_global_conn_limit": "there is no global limit",
    "Listener.metadata": "opaque",
    "Listener.traffic_direction": "changes nothing on the data path",
    "ListenerFilter.name": "a label",
    "LocalityLbEndpoints.load_balancing_weight": "without locality-weighted balancing it has no meaning",
    "LocalityLbEndpoints.locality": "for display",
    "Node.metadata": "opaque",
    "TlsInspector.initial_read_buffer_size": "there is no such buffer",
    "RegexMatcher.google_re2": "there is no other engine",
    "Route.metadata": "opaque",
    "TransportSocket.name": "a label",
    "VirtualHost.metadata": "opaque",
}


@functools.lru_cache(maxsize=None)
def our_files():
    """[FileDescriptorProto] of control/api, as protoc sees them."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        names = sorted(path.name for path in API.glob("*.proto"))
        subprocess.run(["protoc", f"--proto_path={API}", f"--descriptor_set_out={out}", *names], check=True)
        found = descriptor_pb2.FileDescriptorSet()
        found.ParseFromString(out.read_bytes())
        return [file for file in found.file if not file.name.startswith("google/")]


def upstream_files(name):
    files = []
    for module in UPSTREAM[name]:
        proto = descriptor_pb2.FileDescriptorProto()
        importlib.import_module(f"{module}_pb2").DESCRIPTOR.CopyToProto(proto)
        files.append(proto)
    return files


def flattened(file):
    """{full name: DescriptorProto or EnumDescriptorProto} of a file, nested ones included."""
    found = {}

    def walk(prefix, messages, enums):
        for enum in enums:
            found[f"{prefix}.{enum.name}"] = enum
        for message in messages:
            found[f"{prefix}.{message.name}"] = message
            walk(f"{prefix}.{message.name}", message.nested_type, message.enum_type)

    walk(file.package, file.message_type, file.enum_type)
    return found


def upstream_names(name):
    return {key: value for file in upstream_files(name) for key, value in flattened(file).items()}


def field_facts(message, field):
    oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return {"number": field.number, "type": field.type, "type name": field.type_name, "label": field.label, "oneof": oneof,
            "proto3_optional": field.proto3_optional}


def differences(full_name, ours, theirs):
    if isinstance(ours, descriptor_pb2.EnumDescriptorProto):
        known = {value.name: value.number for value in theirs.value}
        for value in ours.value:
            if known.get(value.name) != value.number:
                yield f"{full_name}.{value.name}: {value.number} here, {known.get(value.name)} upstream"
        return
    known = {field.name: field for field in theirs.field}
    for field in ours.field:
        if field.name not in known:
            yield f"{full_name}.{field.name}: not upstream"
            continue
        here, there = field_facts(ours, field), field_facts(theirs, known[field.name])
        for fact in here:
            if here[fact] != there[fact]:
                yield f"{full_name}.{field.name}: {fact} is {here[fact]!r} here, {there[fact]!r} upstream"


def is_map_entry(value):
    return isinstance(value, descriptor_pb2.DescriptorProto) and value.options.map_entry


def missing_fields():
    """{message: [fields of upstream that we lack]}, with "?" behind a bool that has no presence."""
    table = {}
    for file in our_files():
        if file.name in OWN:
            continue
        theirs = upstream_names(file.name)
        for name, message in flattened(file).items():
            if not isinstance(message, descriptor_pb2.DescriptorProto) or is_map_entry(message):
                continue
            ours = {field.name for field in message.field}
            lacking = []
            for field in theirs[name].field:
                if field.name in ours or field.name.startswith("hidden_envoy_deprecated"):
                    continue
                flag = field.type == field.TYPE_BOOL and field.label != field.LABEL_REPEATED and not field.HasField("oneof_index")
                lacking.append(field.name + ("?" if flag else ""))
            if lacking:
                table[name] = sorted(lacking)
    return table


def rendered_table():
    lines = []
    for name, fields in sorted(missing_fields().items()):
        lines.append(f'    {{"{name}",')
        rows, row = [], ""
        for field in fields:
            if row and len(row) + len(field) > 105:
                rows.append(row)
                row = ""
            row += field + " "
        rows.append(row.rstrip())
        lines += [f'     "{text}"' for text in rows]
        lines[-1] += "},"
    return "\n".join(lines)


def with_table(text):
    return re.sub(r"(?s)(// clang-format off\n).*?(\n    // clang-format on)", lambda match: match[1] + rendered_table() + match[2], text)


@pytest.mark.parametrize("name", sorted(UPSTREAM))
def test_schema_is_upstreams(name):
    file = next(file for file in our_files() if file.name == name)
    theirs = upstream_names(name)
    found = []
    for full_name, ours in flattened(file).items():
        if full_name not in theirs:
            found.append(f"{full_name}: not upstream")
        else:
            found += differences(full_name, ours, theirs[full_name])
    assert not found, "\n" + "\n".join(found)


def test_every_file_is_compared():
    assert sorted(UPSTREAM) == sorted(file.name for file in our_files() if file.name not in OWN)


def test_own_files_are_in_own_packages():
    for file in our_files():
        assert (file.name in OWN) == file.package.startswith("ringside."), file.name


def test_every_field_is_acted_on():
    """What is in the schema is accepted without a word, so that somebody must read it."""
    sources = sorted(path for path in (ROOT / "control").glob("*.*") if path.suffix in (".cc", ".h"))
    code = "".join(path.read_text() for path in sources)
    unread, known = [], set()
    for file in our_files():
        for name, message in flattened(file).items():
            if not isinstance(message, descriptor_pb2.DescriptorProto) or is_map_entry(message):
                continue
            for field in message.field:
                short = f"{name.split('.v3.')[-1]}.{field.name}"
                known.add(short)
                camel = "".join(part.capitalize() for part in field.name.split("_"))
                used = re.search(rf"\b(has_)?{field.name}\(\)|\bk{camel}(FieldNumber)?\b", code)
                if not used and short not in INERT:
                    unread.append(short)
    assert not unread, "no translator reads these: take them out, or say in INERT why they say nothing"
    assert not set(INERT) - known, "not in the schema"


def test_a_difference_is_found():
    """The comparison itself: a changed number, type, label and oneof is each seen."""
    theirs = flattened(upstream_files("cluster.proto")[0])["envoy.config.cluster.v3.Cluster"]
    for change in ({"number": 77}, {"type": 3}, {"label": 3}, {"oneof_index": 1}, {"name": "nane"}):
        ours = descriptor_pb2.DescriptorProto()
        ours.CopyFrom(theirs)
        field = next(field for field in ours.field if field.name == "name")
        for key, value in change.items():
            setattr(field, key, value)
        assert list(differences("Cluster", ours, theirs)), change


def test_table_of_missing_fields_is_current():
    text = TABLE.read_text()
    assert text == with_table(text), "run: tests/schema_test.py --write"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    TABLE.write_text(with_table(TABLE.read_text()))
