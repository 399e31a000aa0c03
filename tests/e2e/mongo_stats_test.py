"""The MongoDB filter on raw sockets: the legacy messages that Envoy's filter decodes are counted as Envoy counts them, and what
it does not is counted, logged and delayed as docs/mongo.md says."""

import contextlib
import json
import re
import socket
import struct
import time

import harness
import peers
import pytest
from harness import cluster, connect, read_to_end, tcp_listener

FILTER = "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy"
REPLY, INSERT, QUERY, GET_MORE, KILL_CURSORS, MSG = 1, 2002, 2004, 2005, 2007, 2013


def bson(document):
    def element(key, value):
        name = str(key).encode() + b"\0"
        if isinstance(value, bool):
            return b"\x08" + name + bytes([value])
        if isinstance(value, int):
            return b"\x10" + name + struct.pack("<i", value)
        if isinstance(value, float):
            return b"\x01" + name + struct.pack("<d", value)
        if isinstance(value, str):
            text = value.encode() + b"\0"
            return b"\x02" + name + struct.pack("<i", len(text)) + text
        if isinstance(value, list):
            return b"\x04" + name + bson(dict(enumerate(value)))
        return b"\x03" + name + bson(value)

    body = b"".join(element(key, value) for key, value in document.items())
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def wire(opcode, request_id, body, response_to=0):
    return struct.pack("<iiii", 16 + len(body), request_id, response_to, opcode) + body


def query(request_id, namespace, document, flags=0, count=-1):
    return wire(QUERY, request_id, struct.pack("<i", flags) + namespace.encode() + b"\0" + struct.pack("<ii", 0, count) + bson(document))


def reply(response_to, *documents, cursor=0, flags=8, request_id=7000):
    body = struct.pack("<iqii", flags, cursor, 0, len(documents)) + b"".join(map(bson, documents))
    return wire(REPLY, request_id, body, response_to)


def insert(request_id, namespace, *documents):
    return wire(INSERT, request_id, bytes(4) + namespace.encode() + b"\0" + b"".join(map(bson, documents)))


def get_more(request_id, namespace, cursor):
    return wire(GET_MORE, request_id, bytes(4) + namespace.encode() + b"\0" + struct.pack("<iq", 0, cursor))


def kill_cursors(request_id, *cursors):
    return wire(KILL_CURSORS, request_id, bytes(4) + struct.pack("<i", len(cursors)) + struct.pack(f"<{len(cursors)}q", *cursors))


def msg(request_id, document, flags=0, response_to=0):
    return wire(MSG, request_id, struct.pack("<I", flags) + b"\0" + bson(document), response_to)


def read_wire(connection):
    """One message; b"" at the end."""
    data = b""
    while len(data) < 4 or len(data) < struct.unpack_from("<i", data)[0]:
        piece = connection.recv(4 - len(data) if len(data) < 4 else struct.unpack_from("<i", data)[0] - len(data))
        if not piece:
            return b""
        data += piece
    return data


class Script:
    """A server that answers by the id of the request; what is not in its table gets no answer."""

    def __init__(self):
        self.answers = {}

    def __call__(self, connection):
        with contextlib.suppress(ConnectionError):
            while request := read_wire(connection):
                connection.sendall(self.answers.get(struct.unpack_from("<i", request, 4)[0], b""))


def mongo_listener(name="m", **fields):
    listener = tcp_listener(harness.free_port(), "origin", name)
    config = {"@type": f"type.googleapis.com/{FILTER}", "stat_prefix": name, **fields}
    listener["filter_chains"][0]["filters"].insert(0, {"name": "mongo", "typed_config": config})
    return listener


class Setting:
    def __init__(self, proxy, upstream, **fields):
        self.script = Script()
        self.clusters = [cluster("origin", upstream(self.script).port)]
        self.running = proxy([mongo_listener(**fields)], self.clusters)
        self.port = self.running.listen_ports["m"]

    def stat(self, name):
        return self.running.stat(f"mongo.m.{name}")

    def talk(self, *exchanges, port=None):
        """[(request, its answer or None)]; each waits for the answer before it."""
        self.script.answers.clear()
        with connect(port or self.port) as client:
            for request, answer in exchanges:
                if answer:
                    self.script.answers[struct.unpack_from("<i", request, 4)[0]] = answer
                client.sendall(request)
                if answer:
                    received = b""
                    while len(received) < len(answer):
                        piece = client.recv(65536)
                        assert piece, received
                        received += piece
                    assert received == answer


@pytest.fixture
def setting(proxy, upstream):
    return lambda **fields: Setting(proxy, upstream, **fields)


# --- As Envoy ----------------------------------------------------------------------------------------------------------

SITE = json.dumps({"hostname": "h", "httpUniqueId": "u", "callingFunction": "getByMls"})
# What Envoy decodes: {name: exchanges}
CONVERSATIONS = {
    "query": [(query(1, "db.birds", {"_id": 1}), reply(1, {"x": 1}, {"x": 2}))],
    "scatter": [(query(1, "db.birds", {"colour": "red"}), reply(1, {"x": 1}))],
    "multi": [(query(1, "db.birds", {"_id": {"$in": [1, 2]}}), reply(1, {"x": 1}))],
    "dollar query": [(query(1, "db.birds", {"$query": {"_id": 1}, "$maxTimeMS": 5}), reply(1))],
    "call site": [(query(1, "db.birds", {"$query": {"a": 1}, "$comment": SITE}), reply(1, {"x": 1}))],
    "odd comment": [(query(1, "db.birds", {"$query": {"a": 1}, "$comment": "no json"}), reply(1, {"x": 1}))],
    "tailable": [(query(1, "db.birds", {"_id": 1}, flags=1 << 1 | 1 << 5), reply(1, cursor=99))],
    "no timeout, exhaust": [(query(1, "db.birds", {"_id": 1}, flags=1 << 4 | 1 << 6), reply(1, cursor=0))],
    "command": [(query(1, "db.$cmd", {"ismaster": 1}), reply(1, {"ok": 1.0}))],
    "listed command": [(query(1, "db.$cmd", {"insert": "birds", "documents": [{"a": 1}]}), reply(1, {"ok": 1.0, "n": 1}))],
    "alias": [(query(1, "db.$cmd", {"findandmodify": "birds"}), reply(1, {"ok": 1.0}))],
    "find as a command": [(query(1, "db.$cmd", {"find": "birds", "filter": {"_id": [1]}, "comment": SITE}), reply(1, {"ok": 1.0}))],
    "query failure": [(query(1, "db.birds", {"_id": 1}), reply(1, {"$err": "no"}, flags=2))],
    "cursor not found": [(get_more(1, "db.birds", 5), reply(1, flags=1))],
    "get more": [(query(1, "db.birds", {"_id": 1}), reply(1, {"a": 1}, cursor=5)), (get_more(2, "db.birds", 5), reply(2, {"a": 1}))],
    "insert": [(insert(1, "db.birds", {"a": 1}, {"a": 2}), None), (query(2, "db.$cmd", {"getlasterror": 1}), reply(2, {"ok": 1.0}))],
    "kill cursors": [(kill_cursors(1, 5, 6), None), (query(2, "db.$cmd", {"ping": 1}), reply(2, {"ok": 1.0}))],
    "pipelined": [(query(1, "db.birds", {"_id": 1}) + query(2, "db.fish", {"a": 1}), None),
                  (query(3, "db.$cmd", {"ping": 1}), reply(3, {"ok": 1.0}))],
    "reply for nobody": [(query(1, "db.birds", {"_id": 1}), reply(99, {"x": 1}) + reply(1, {"x": 1}))],
}
COMMANDS = ["insert", "isMaster", "findAndModify"]
# Envoy counts these for who is not the client either; see docs/mongo.md.
NOT_COMPARED = re.compile(r"cx_destroy_|op_query_active")


def moved(subject, act):
    """{name: how much it moved}; of a histogram the number of values."""
    def seen():
        found = {}
        for line in subject.admin("/stats?filter=^mongo\\.")[1].splitlines():
            name, _, value = line.partition(": ")
            if value.isdigit():
                found[name] = int(value)
        return found

    before = seen()
    act()
    time.sleep(0.05)
    return {name: value - before.get(name, 0) for name, value in seen().items() if value != before.get(name, 0)}


@contextlib.contextmanager
def envoy_beside(ours, folder):
    """(Envoy with the same filter in front of the same server, its port)"""
    listener = mongo_listener(commands=COMMANDS)
    envoy = peers.Envoy(folder, [listener], ours.clusters)
    try:
        yield envoy, listener["address"]["socket_address"]["port_value"]
    finally:
        envoy.stop()


def test_counted_as_envoy_counts(setting, tmp_path):
    ours = setting(commands=COMMANDS)
    with envoy_beside(ours, tmp_path) as (envoy, port):
        ours.talk(*CONVERSATIONS["query"], port=port)  # Envoy's statistics are made with the first connection
        known = {line.partition(": ")[0] for line in envoy.admin("/stats?filter=^mongo\\.")[1].splitlines()}
        unlike = {}
        for name, exchanges in CONVERSATIONS.items():
            theirs = moved(envoy, lambda exchanges=exchanges: ours.talk(*exchanges, port=port))
            mine = moved(ours.running, lambda exchanges=exchanges: ours.talk(*exchanges))
            assert theirs, name
            mine = {stat: value for stat, value in mine.items() if stat in theirs or stat in known}
            difference = {stat: (theirs.get(stat, 0), mine.get(stat, 0)) for stat in theirs.keys() | mine.keys()
                          if theirs.get(stat, 0) != mine.get(stat, 0) and not NOT_COMPARED.search(stat)}
            if difference:
                unlike[name] = difference
        assert not unlike, json.dumps(unlike, indent=1)
        assert len(known) > 22
        assert not [stat for stat in known if f"{stat}: " not in ours.running.admin("/stats")[1]]


def test_prometheus_names_as_envoy(setting, tmp_path):
    """Those of Envoy, with its labels; a dotted collection does not become the name of a metric."""
    ours = setting(commands=COMMANDS)
    with envoy_beside(ours, tmp_path) as (envoy, port):
        for each in (port, ours.port):
            ours.talk(*CONVERSATIONS["call site"], *CONVERSATIONS["listed command"], port=each)

        def counters(subject):
            return {line for line in subject.admin("/stats/prometheus")[1].splitlines()
                    if re.match(r"envoy_mongo_(cmd|collection|op)_.*\{", line) and not re.search("bucket|_sum|_count|cx_destroy", line)}

        assert counters(envoy) - counters(ours.running) == set()
        ours.talk((query(1, "db.sys.sub.coll", {"a": 1}), reply(1)))
        text = ours.running.admin("/stats/prometheus")[1]
        assert 'envoy_mongo_collection_query_total{envoy_mongo_collection="sys.sub.coll",envoy_mongo_prefix="m"} 1' in text
        assert "sub_coll" not in text


# --- What Envoy does not ------------------------------------------------------------------------------------------------


def test_modern_messages(setting):
    ours = setting(commands=["find", "ping"])
    ours.talk((msg(1, {"ping": 1, "$db": "admin"}), msg(70, {"ok": 1.0}, response_to=1)),
              (msg(2, {"find": "a.b.c", "filter": {"_id": 5}, "$db": "shop"}),
               msg(71, {"ok": 0.0, "code": 26, "codeName": "NamespaceNotFound", "errmsg": "no"}, response_to=2)),
              (msg(3, {"insert": "birds", "documents": [{"a": 1}], "writeConcern": {"w": 0}, "$db": "shop"}, flags=2), None),
              (wire(4242, 4, b"nobody knows"), None),
              (msg(5, {"ping": 1, "$db": "admin"}), msg(72, {"ok": 1.0}, response_to=5)))
    assert ours.stat("op_msg") == 4
    assert ours.stat("op_msg_reply") == 3
    assert ours.stat("cmd.ping.total") == 2
    assert ours.stat("cmd.find.total") == ours.stat("cmd.find.error") == 1
    assert ours.stat("cmd.unknown_command.total") == 1
    assert ours.stat("error.NamespaceNotFound.total") == 1
    assert ours.stat("db.shop.coll.a.b.c.total") == ours.stat("db.shop.coll.a.b.c.error") == 1
    assert ours.stat("db.shop.coll.birds.write") == 1
    assert ours.stat("unacknowledged_write") == ours.stat("more_to_come") == 1
    assert ours.stat("unknown_opcode") == ours.stat("decoding_error") == 1
    assert ours.stat("op_query_active") == 0


def test_statistics_before_the_first_connection(setting):
    ours = setting()
    assert "mongo.m.op_msg: 0" in ours.running.admin("/stats")[1]
    assert "mongo.m.cmd.delete.total: 0" in ours.running.admin("/stats")[1]


def test_who_ended_it(setting):
    ours = setting()
    with connect(ours.port) as client:
        client.sendall(msg(1, {"ping": 1, "$db": "admin"}))
        harness.wait_until(lambda: ours.stat("op_query_active") == 1, "the request waits")
    harness.wait_until(lambda: ours.stat("cx_destroy_remote_with_active_rq") == 1, "the client is gone")
    assert ours.stat("cx_destroy_local_with_active_rq") == 0
    assert ours.stat("op_query_active") == 0


@pytest.mark.parametrize("length", [0, 15, -1, 2**31 - 1])
def test_malformed_header(setting, length):
    """Envoy waits for ever, or keeps everything that follows."""
    ours = setting()
    good = msg(1, {"ping": 1, "$db": "admin"})
    with connect(ours.port) as client:
        client.sendall(good + struct.pack("<iiii", length, 2, 0, MSG) + b"x" * 100)
        with contextlib.suppress(ConnectionResetError):
            assert read_to_end(client) == b""
    assert ours.stat("decoding_error") == 1
    assert ours.stat("too_large" if length > 2**30 else "malformed_header") == 1
    harness.wait_until(lambda: "malformed header" in ours.running.log, "a line in the log")
    line = next(line for line in ours.running.log.splitlines() if "malformed header" in line)
    assert f"behind {len(good)} good bytes" in line and f"length {length}" in line and '"m"' in line and "127.0.0.1:" in line


def log_lines(path, count):
    harness.wait_until(lambda: path.exists() and path.read_text().count("\n") >= count, "the log is written")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_access_log(setting, tmp_path):
    path = tmp_path / "mongo.log"
    ours = setting(access_log=str(path))
    secret = "hunter2secret"
    hello = {"hello": 1, "$db": "admin", "client": {"application": {"name": "shop \"1\""}, "driver": {"name": "raw", "version": "1.2"}}}
    ours.talk((msg(1, hello), msg(70, {"ok": 1.0}, response_to=1)),
              (msg(2, {"createUser": "eve", "pwd": secret, "$db": "admin"}), msg(71, {"ok": 1.0}, response_to=2)),
              (msg(3, {"saslStart": 1, "mechanism": "PLAIN", "payload": secret, "$db": "$external"}),
               msg(72, {"ok": 0.0, "code": 18, "codeName": "AuthenticationFailed", "errmsg": secret}, response_to=3)),
              (msg(4, {"insert": "birds", "documents": [{"card": secret}], "$db": "shop"}, flags=2), None),
              (insert(5, "shop.birds", {"card": secret}), None),
              (query(6, "shop.birds", {"card": secret}), reply(6, {"card": secret}, {"b": 1})),
              (msg(7, {"ping": 1, "$db": "admin"}), None))
    ours.running.stop()
    lines = log_lines(path, 7)
    assert secret not in path.read_text()
    assert [line["message"]["id"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line.get("command", "") for line in lines] == ["hello", "createUser", "saslStart", "insert", "", "", "ping"]
    assert [line["outcome"] for line in lines] == ["answered"] * 3 + ["one_way"] * 2 + ["answered", "unanswered"]
    assert [line.get("ok") for line in lines] == [True, True, False, None, None, True, None]
    assert lines[2]["code"] == 18 and lines[2]["code_name"] == "AuthenticationFailed"
    assert lines[5]["message"]["collection"] == "shop.birds" and lines[5]["message"]["opcode"] == "OP_QUERY"
    assert lines[5]["reply"]["returned"] == 2 and lines[5]["reply"]["opcode"] == "OP_REPLY"
    assert lines[3]["message"]["flags"] == "0x2" and lines[3]["reply"] is None
    for line in lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["upstream_host"].startswith("127.0.0.1:") and line["client"].startswith("127.0.0.1:")
        assert line["app"] == 'shop "1"' and line["driver"] == "raw" and line["driver_version"] == "1.2"
        assert line["connection"] == lines[0]["connection"]


def test_delay(setting):
    """Each request is late, whatever comes behind it; its answer is not."""
    ours = setting(delay={"fixed_delay": "0.3s", "percentage": {"numerator": 100}})
    for number in (1, 2):
        begin = time.monotonic()
        ours.talk((msg(number, {"ping": 1, "$db": "admin"}), msg(70 + number, {"ok": 1.0}, response_to=number)))
        assert 0.29 < time.monotonic() - begin < 0.6 * harness.SLOWNESS
    assert ours.stat("delays_injected") == 2
    ours.script.answers.update({3: msg(80, {"ok": 1.0}, response_to=3), 4: msg(81, {"ok": 1.0}, response_to=4)})
    with connect(ours.port) as client:
        begin = time.monotonic()
        client.sendall(msg(3, {"ping": 1, "$db": "admin"}))
        time.sleep(0.15)
        client.sendall(msg(4, {"ping": 1, "$db": "admin"}))
        client.shutdown(socket.SHUT_WR)
        assert struct.unpack_from("<i", read_wire(client), 8)[0] == 3
        assert 0.29 < time.monotonic() - begin < 0.44 * harness.SLOWNESS
        assert struct.unpack_from("<i", read_wire(client), 8)[0] == 4
        assert 0.44 < time.monotonic() - begin < 0.8 * harness.SLOWNESS
    assert ours.stat("delays_injected") == 4


def test_no_delay_of_none(setting):
    ours = setting(delay={"fixed_delay": "5s", "percentage": {"numerator": 0}})
    begin = time.monotonic()
    ours.talk((msg(1, {"ping": 1, "$db": "admin"}), msg(71, {"ok": 1.0}, response_to=1)))
    assert time.monotonic() - begin < 3
    assert ours.stat("delays_injected") == 0
