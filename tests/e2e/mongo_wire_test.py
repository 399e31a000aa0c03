"""The MongoDB wire protocol by raw sockets: split and joined in odd ways, at its limits, hostile; the legacy opcodes beside Envoy; and
all that is counted compared with a count of its own of what passed."""

import collections
import contextlib
import json
import random
import re
import struct
import threading
import types

import harness
import mongo_count
import mongo_peers
import pymongo
import pytest
from harness import cluster, connect, read_to_end, wait_until
from mongo_peers import Message, ask, mongo_listener, op_msg

MEGABYTE = 1024 * 1024
COMMANDS = ["find", "insert", "update", "delete", "aggregate", "getMore", "killCursors", "findAndModify", "hello", "isMaster", "ping",
            "commitTransaction", "abortTransaction", "bulkWrite", "drop", "create", "createIndexes", "dropDatabase", "endSessions"]

# How often histograms are merged.
OFTEN = {"stats_flush_interval": "0.2s"}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    server = mongo_peers.secantus(tmp_path_factory.mktemp("secantus"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def shim(database):
    server = mongo_peers.CompressingServer(database.port)
    yield server
    server.close()


@pytest.fixture(scope="module")
def trickler(database):
    server = mongo_peers.Trickler(database.port)
    yield server
    server.close()


@pytest.fixture(scope="module")
def link(module_proxy, database, shim, trickler):
    """The proxy in front of the server, of the shim that compresses, and of one that answers byte by byte."""
    names = {"mongo": database.port, "squeezed": shim.port, "slow": trickler.port}
    running = module_proxy([mongo_listener(harness.free_port(), name, name, commands=COMMANDS) for name in names],
                           [cluster(name, port) for name, port in names.items()])
    return types.SimpleNamespace(running=running, ports=running.listen_ports, stat=lambda name: running.stat(f"mongo.{name}"))


@pytest.fixture
def start(proxy, upstream):
    """start(serve) -> (running, port) of a proxy in front of a script."""

    def run(serve, **fields):
        running = proxy([mongo_listener(harness.free_port(), "origin", **fields)], [cluster("origin", upstream(serve).port)])
        return running, running.listen_ports["mongo"]

    return run


def command(word, request_id=1, database="wire", flags=0, sections=b"", **fields):
    name, value = word if isinstance(word, tuple) else (word, 1)
    return op_msg({name: value, "$db": database, **fields}, request_id, flags, sections)


def receive(connection):
    message = mongo_peers.read_message(mongo_peers.Exact(connection))
    assert message, "the connection ended"
    return message


# --- Cut and joined ----------------------------------------------------------------------------------------------------


def test_pipelined(link):
    """Many requests in one write: all are answered, each by its id."""
    with connect(link.ports["mongo"]) as client:
        client.sendall(b"".join(command("ping", number) for number in range(1, 501)))
        answers = [receive(client) for _ in range(500)]
    assert [each.response_to for each in answers] == list(range(1, 501))
    assert all(mongo_peers.parse_msg(each.body).document["ok"] == 1 for each in answers)


def test_byte_by_byte(link):
    """In both directions: kinds of sections, a checksum, a compressed message."""
    documents = [{"_id": number, "text": "x" * number} for number in range(20)]
    requests = [
        command(("drop", "bytes")),
        op_msg({"insert": "bytes", "$db": "wire"}, 2, sections=mongo_peers.sequence("documents", documents), sections_first=True),
        op_msg({"find": "bytes", "$db": "wire", "sort": {"_id": 1}}, 3, mongo_peers.CHECKSUM),
        mongo_peers.op_query("wire.$cmd", {"isMaster": 1}, 4),
    ]
    with connect(link.ports["slow"]) as client:
        for request in requests:
            for byte in request:
                client.sendall(bytes([byte]))
            last = mongo_peers.answer(client)
            if isinstance(last, dict) and "cursor" in last:
                assert last["cursor"]["firstBatch"] == documents
    assert last[2][0]["ismaster"]
    with connect(link.ports["squeezed"]) as client:
        whole = Message(*mongo_peers.split(command(("find", "bytes"), 5))[0])
        for byte in mongo_peers.compressed(whole, 3).pack():
            client.sendall(bytes([byte]))
        message, number = mongo_peers.decompressed(receive(client))
    assert number == 3 and len(mongo_peers.parse_msg(message.body).document["cursor"]["firstBatch"]) == 20


def test_random_pieces(link):
    """The same bytes, cut at random, with several messages to a piece."""
    chance = random.Random(5)
    documents = [{"_id": number, "data": chance.randbytes(chance.randrange(20_000))} for number in range(100)]
    with connect(link.ports["mongo"]) as client:
        assert ask(client, command(("drop", "pieces")))
        requests = b"".join(op_msg({"insert": "pieces", "$db": "wire"}, number + 2, sections=mongo_peers.sequence("documents", [each]))
                            for number, each in enumerate(documents))

        def send():
            at = 0
            while at < len(requests):
                size = chance.choice([1, 3, 15, 16, 17, 1000, 40_000])
                client.sendall(requests[at:at + size])
                at += size

        sender = threading.Thread(target=send)
        sender.start()
        assert all(mongo_peers.answer(client)["n"] == 1 for _ in documents)
        sender.join()
        found = ask(client, command(("find", "pieces"), 500, sort={"_id": 1}, batchSize=1000))
    assert found["cursor"]["firstBatch"] == documents


def test_the_largest_message(link):
    """48,000,000 bytes to the last one, twice, and the proxy holds no part of it for long."""
    base = op_msg({"insert": "largest", "$db": "wire"}, 1, sections=mongo_peers.sequence("documents", [{"_id": 0, "data": b""}] * 4))
    spare = mongo_peers.MESSAGE_BYTES_MAX - len(base)
    sizes = [spare // 4] * 3 + [spare - spare // 4 * 3]
    before = link.running.rss_bytes()
    with connect(link.ports["mongo"], 60) as client:
        for turn in range(2):
            assert ask(client, command(("drop", "largest")))
            documents = [{"_id": number, "data": bytes([number]) * size} for number, size in enumerate(sizes)]
            message = op_msg({"insert": "largest", "$db": "wire"}, 2, sections=mongo_peers.sequence("documents", documents))
            assert len(message) == mongo_peers.MESSAGE_BYTES_MAX
            assert ask(client, message)["n"] == 4, turn
        for document in documents:
            assert ask(client, command(("find", "largest"), 3, filter={"_id": document["_id"]}))["cursor"]["firstBatch"] == [document]
        ask(client, command(("drop", "largest")))
    assert link.running.rss_bytes() - before < 24 * MEGABYTE * harness.SLOWNESS


# --- Hostile -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [-2**31, -1, 0, 15, 2**31 - 1])
def test_malformed_header(link, length):
    """The connection ends, with what was good before it delivered; others go on."""
    name = "too_large" if length > 0x1000 else "malformed_header"
    before = link.stat(f"mongo.{name}")
    with connect(link.ports["mongo"]) as bystander, connect(link.ports["mongo"]) as client:
        assert ask(bystander, command("ping"))["ok"] == ask(client, command("ping"))["ok"] == 1
        with contextlib.suppress(OSError):
            client.sendall(struct.pack("<iiii", length, 2, 0, mongo_peers.MSG) + bytes(100))
        assert read_to_end(client) == b""
        assert ask(bystander, command("ping", 2))["ok"] == 1
    assert link.stat(f"mongo.{name}") == before + 1
    assert f"length {length}" in link.running.log and "malformed header" in link.running.log


def test_a_server_with_a_malformed_header(start):
    running, port = start(lambda connection: (connection.recv(1000), connection.sendall(bytes(16)), connection.recv(1000)))
    with connect(port) as client:
        client.sendall(command("ping"))
        assert read_to_end(client) == b""
    assert running.stat("mongo.mongo.malformed_header") == 1
    wait_until(lambda: running.stat("cluster.origin.upstream_cx_active") == 0, "the server's connection ended")


def flood(connection, megabytes):
    block = bytes(MEGABYTE)
    with contextlib.suppress(OSError):
        for _ in range(megabytes):
            connection.sendall(block)


def test_two_gigabytes_announced(start):
    """A header of 2 GiB with 300 MiB behind it costs no memory: it is refused."""
    running, port = start(lambda connection: [None for _ in iter(lambda: connection.recv(MEGABYTE), b"")])
    before = running.rss_bytes()
    with connect(port) as client:
        with contextlib.suppress(OSError):
            client.sendall(struct.pack("<iiii", 2**31 - 1, 1, 0, mongo_peers.MSG) + bytes(100))
        flood(client, 300)
        assert running.rss_bytes() - before < 16 * MEGABYTE * harness.SLOWNESS
    assert running.stat("mongo.mongo.too_large") == 1


def test_a_server_that_does_not_read(start):
    """Within the limits of a message, too, memory is that of the connection's buffers."""
    hold = threading.Event()
    running, port = start(lambda connection: hold.wait(60))
    before = running.rss_bytes()
    with connect(port, 1) as client:
        client.sendall(struct.pack("<iiiiI", 47_000_000, 1, 0, mongo_peers.MSG, 0) + b"\0" + struct.pack("<i", 46_000_000) + b"\x05data\0")
        flood(client, 40)
        assert running.rss_bytes() - before < 16 * MEGABYTE * harness.SLOWNESS
    hold.set()


def answering_pings(connection):
    """A server that lets everything pass but answers OP_MSG alone."""
    while message := mongo_peers.read_message(mongo_peers.Exact(connection)):
        if message.opcode == mongo_peers.MSG:
            connection.sendall(op_msg({"ok": 1.0}, 7, response_to=message.request_id))


ODD = {
    "opcode 0": Message(1, 0, 0, b"hello"),
    "opcode 2003": Message(1, 0, 2003, b""),
    "opcode -5": Message(1, 0, -5, bytes(1000)),
    "opcode 2014": Message(1, 0, 2014, bytes(100_000)),
}
UNDECODABLE = {
    "no body": Message(1, 0, mongo_peers.INSERT, b""),
    "no name": Message(1, 0, mongo_peers.INSERT, bytes(4) + b"name without an end"),
    "no dot": Message(1, 0, mongo_peers.QUERY, bytes(4) + b"name\0" + bytes(8) + b"\5\0\0\0\0"),
    "bson length": Message(1, 0, mongo_peers.QUERY, bytes(4) + b"a.b\0" + bytes(8) + b"\xff\xff\xff\x7f\0"),
    "bson type": Message(1, 0, mongo_peers.QUERY, bytes(4) + b"a.b\0" + bytes(8) + b"\x0c\0\0\0\x77name\0\0"),
    "compressor": Message(1, 0, mongo_peers.COMPRESSED, struct.pack("<iiB", mongo_peers.QUERY, 100, 9) + b"x"),
    "not compressed": Message(1, 0, mongo_peers.COMPRESSED, struct.pack("<iiB", mongo_peers.QUERY, 100, 2) + b"no zlib at all"),
    "another size": Message(1, 0, mongo_peers.COMPRESSED, struct.pack("<iiB", mongo_peers.QUERY, 5, 1) + mongo_peers.SQUEEZE[1](bytes(50))),
    "bomb": Message(1, 0, mongo_peers.COMPRESSED, struct.pack("<iiB", mongo_peers.QUERY, 2**31 - 1, 2) + mongo_peers.SQUEEZE[2](bytes(10_000_000))),
}


@pytest.mark.parametrize("name", [*ODD, *UNDECODABLE])
def test_odd_messages_are_skipped(start, name):
    """One that nobody understands is passed on, counted, and what follows is read again."""
    odd = {**ODD, **UNDECODABLE}[name]
    running, port = start(answering_pings)
    with connect(port) as client:
        client.sendall(odd.pack())
        for number in range(2, 5):
            client.sendall(odd._replace(request_id=100 + number).pack() + command("ping", number))
            assert mongo_peers.answer(client) == {"ok": 1.0}
    stats = running.stats(r"^mongo\.mongo\.")
    assert stats["mongo.mongo.decoding_error"] == 4
    assert stats["mongo.mongo.unknown_opcode" if name in ODD else "mongo.mongo.undecodable"] == 4
    assert stats["mongo.mongo.op_msg"] == stats["mongo.mongo.op_msg_reply"] == 3


def test_odd_op_msgs_reach_the_server(link):
    """It is the server that refuses them, as without the proxy."""
    kind = op_msg({"ping": 1, "$db": "wire"})[:-1] + b"\0" + b"\5"  # a section of kind 5
    bad = {"kind": struct.pack("<i", len(kind)) + kind[4:], "checksum": op_msg({"ping": 1, "$db": "wire"}, flags=mongo_peers.CHECKSUM)[:-1] + b"!"}
    counted = {"kind": "mongo.undecodable", "checksum": "mongo.checksum_bad"}
    for name, message in bad.items():
        before = link.stat(counted[name])
        with connect(link.ports["mongo"]) as client, contextlib.suppress(OSError):
            client.sendall(message)
            client.settimeout(1)
            client.recv(1000)
        assert link.stat(counted[name]) == before + 1
    with connect(link.ports["mongo"]) as client:
        assert ask(client, command("ping"))["ok"] == 1


# --- The legacy opcodes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old_server():
    server = mongo_peers.OldServer()
    yield server
    server.close()


def legacy_work(port, database, changes):
    """Every legacy opcode; those that Envoy does not know only with `changes`."""
    documents = [{"_id": number, "even": number % 2 == 0} for number in range(300)]
    name = f"{database}.things"
    with connect(port) as client:
        assert ask(client, mongo_peers.op_query("admin.$cmd", {"isMaster": 1}))[2][0]["ok"] == 1
        client.sendall(mongo_peers.op_insert(name, documents[:100], 2) + mongo_peers.op_insert(name, documents[100:], 3, flags=1))
        _, cursor, found = ask(client, mongo_peers.op_query(name, {"$query": {"even": True}, "$maxTimeMS": 100}, 4, count=20))
        assert cursor and [each["_id"] for each in found] == list(range(0, 40, 2))
        _, cursor, found = ask(client, mongo_peers.op_get_more(name, cursor, 5, 50))
        assert cursor and len(found) == 50
        _, cursor, found = ask(client, mongo_peers.op_get_more(name, cursor, 6, 500))
        assert not cursor and len(found) == 80
        _, cursor, _ = ask(client, mongo_peers.op_query(name, {}, 7, flags=1 << 4 | 1 << 1, count=10))
        client.sendall(mongo_peers.op_kill_cursors([cursor], 8))
        assert ask(client, mongo_peers.op_query(name, {"_id": 5}, 9, count=1))[2] == [documents[5]]
        ask(client, mongo_peers.op_query(name, {"_id": {"$in": [1, 2]}, "$comment": '{"callingFunction":"f"}'}, 10, flags=1 << 5))
        ask(client, mongo_peers.op_query(name, {"$query": {}, "$comment": '{"callingFunction":"getThings","host":"a"}'}, 11, count=5, fields={"_id": 1}))
        assert ask(client, mongo_peers.op_get_more(name, 12345, 12))[0] == 1
        assert ask(client, mongo_peers.op_query(name, {"$fail": 1}, 13))[0] == 2
        assert ask(client, mongo_peers.op_query(f"{database}.$cmd", {"nonsense": 1}, 14))[2][0]["ok"] == 0
        assert ask(client, mongo_peers.op_query(f"{database}.$cmd", {"count": "things"}, 15))[2][0]["n"] == 300
        if changes:
            client.sendall(mongo_peers.op_update(name, {"_id": 3}, {"$set": {"new": 1}}, 16) + mongo_peers.op_delete(name, {"_id": 4}, 17))
            assert ask(client, mongo_peers.op_query(name, {"new": 1}, 18))[2] == [{"_id": 3, "even": False, "new": 1}]
            assert ask(client, mongo_peers.op_query(name, {"_id": 4}, 19))[2] == []


def test_legacy_opcodes(proxy, old_server):
    running = proxy([mongo_listener(harness.free_port(), "old", "old", commands=COMMANDS)], [cluster("old", old_server.port)], bootstrap=OFTEN)
    recorder = mongo_peers.Recorder(running.listen_ports["old"])
    old_server.collections.clear()
    legacy_work(recorder.port, "legacy", changes=True)
    compare(running, "old", recorder)
    recorder.close()


def test_legacy_opcodes_beside_envoy(proxy, envoy, old_server):
    """Every counter of Envoy's has our value."""

    def run(begin):
        old_server.collections.clear()
        listener = mongo_listener(harness.free_port(), "old", "old", commands=["count", "insert"])
        running = begin([listener], [cluster("old", old_server.port)])
        legacy_work(listener["address"]["socket_address"]["port_value"], "legacy", changes=False)
        wait_until(lambda: running.stat("cluster.old.upstream_cx_active") == 0, "the connection ended")
        return running.stats(r"^mongo\.")

    ours, envoys = run(proxy), run(envoy)
    different = {name: (ours.get(name), value) for name, value in envoys.items() if ours.get(name) != value}
    assert different == {}
    assert envoys["mongo.old.op_query"] and envoys["mongo.old.op_insert"] and envoys["mongo.old.op_kill_cursors"]


def test_pymongo_of_the_legacy_opcodes(proxy, old_server):
    """PyMongo 3 in front of a server of wire version 3: OP_QUERY, OP_GET_MORE, OP_KILL_CURSORS, and writes that nobody answers."""
    running = proxy([mongo_listener(harness.free_port(), "old", "old", commands=COMMANDS)], [cluster("old", old_server.port)], bootstrap=OFTEN)
    recorder = mongo_peers.Recorder(running.listen_ports["old"])
    old_server.collections.clear()
    mongo_peers.run_old_pymongo("3.13.0", recorder.port, """
things = client.db.things
things.insert_many([{"_id": number, "n": 0} for number in range(1000)])
assert [each["_id"] for each in things.find(batch_size=90)] == list(range(1000))
cursor = things.find(batch_size=10)
next(cursor)
cursor.close()
blind = things.with_options(write_concern=pymongo.WriteConcern(w=0))
blind.insert_one({"_id": 1000})
blind.update_one({"_id": 5}, {"$set": {"n": 1}})
blind.delete_one({"_id": 6})
while things.find_one({"_id": 6}): pass
assert things.find_one({"n": 1})["_id"] == 5
client.close()
""")
    opcodes = collections.Counter(each.opcode for session in recorder.sessions for each in mongo_peers.split(session.requests))
    assert set(opcodes) == {mongo_peers.QUERY, mongo_peers.GET_MORE, mongo_peers.INSERT, mongo_peers.UPDATE, mongo_peers.DELETE,
                            mongo_peers.KILL_CURSORS}
    compare(running, "old", recorder)
    recorder.close()


def test_mongo_java_server(proxy, tmp_path):
    """Another server, and the last PyMongo that talks to one of wire version 8."""
    server = mongo_peers.java_server(tmp_path)
    try:
        running = proxy([mongo_listener(harness.free_port(), "java", "java", commands=COMMANDS)], [cluster("java", server.port)], bootstrap=OFTEN)
        recorder = mongo_peers.Recorder(running.listen_ports["java"])
        mongo_peers.run_old_pymongo("4.8.0", recorder.port, """
things = client.db.things
things.insert_many([{"_id": number, "even": number % 2} for number in range(1000)])
assert [each["_id"] for each in things.find(batch_size=90).sort("_id")] == list(range(1000))
assert list(things.aggregate([{"$match": {"even": 0}}, {"$count": "n"}])) == [{"n": 500}]
assert things.update_many({"even": 0}, {"$set": {"n": 1}}).modified_count == 500
assert things.delete_one({"_id": 3}).deleted_count == 1
try: things.insert_one({"_id": 1})
except pymongo.errors.DuplicateKeyError: pass
client.close()
""")
        with connect(recorder.port) as client:
            assert ask(client, mongo_peers.op_query("db.things", {"_id": 5}, count=-1))[2] == [{"_id": 5, "even": 1}]
        compare(running, "java", recorder)
        recorder.close()
    finally:
        server.stop()


# --- Counted twice -----------------------------------------------------------------------------------------------------


def seen_counters(running, prefix):
    """{name below the prefix: value}, of those that are not 0, without the gauges and what depends on who closes first."""
    begin = f"mongo.{prefix}."
    found = {name.removeprefix(begin): value for name, value in running.stats(f"^{re.escape(begin)}").items() if value}
    return {name: value for name, value in found.items() if name not in ("cursors_open", "op_query_active") and not name.startswith("cx_")}


def seen_histograms(running, prefix):
    """{metric and its labels: (sum, count)} of /stats/prometheus."""
    found = collections.defaultdict(dict)
    for line in running.admin("/stats/prometheus?histogram_buckets=cumulative")[1].splitlines():
        if match := re.fullmatch(r"(envoy_mongo_\w+)_(sum|count)\{(.*)\} (\S+)", line):
            labels = dict(re.findall(r'(\w+)="([^"]*)"', match[3]))
            if labels.pop("envoy_mongo_prefix") == prefix:
                found[match[1], tuple(sorted(labels.items()))][match[2]] = float(match[4])
    return found


def compare(running, prefix, *recorders):
    """All counters exactly; histograms by how many values they have, and their sums within the width of a bucket."""
    wait_until(lambda: running.stat(f"tcp.{prefix}.downstream_cx_total") and
               not sum(running.stats(rf"^listener\..*_{running.listen_ports[prefix]}\.downstream_cx_active$").values()), "all connections ended")
    count = mongo_count.Count(COMMANDS)
    for recorder in recorders:
        count.add(recorder)
    expected = {name: value for name, value in count.values.items() if value}
    seen = seen_counters(running, prefix)
    different = {name: {"ringside": seen.get(name, 0), "counted": expected.get(name, 0)} for name in {*seen, *expected}
                 if seen.get(name, 0) != expected.get(name, 0)}
    assert not different, json.dumps(different, indent=1)
    assert running.stat(f"mongo.{prefix}.op_query_active") == 0
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not histogram_differences(running, prefix, count), "histograms are merged", 8)
    assert histogram_differences(running, prefix, count) == {}


GROUPS = [r"(cmd)\.(?P<envoy_mongo_cmd>.+)", r"(db)\.(?P<envoy_mongo_database>[^.]+)\.(coll)\.(?P<envoy_mongo_collection>.+)",
          r"(collection)\.(?P<envoy_mongo_collection>.+)\.(callsite)\.(?P<envoy_mongo_callsite>.+)\.(query)",
          r"(collection)\.(?P<envoy_mongo_collection>.+)\.(query)"]


def in_prometheus(name):
    """(the metric of a histogram, its labels)"""
    group, _, what = name.rpartition(".")
    match = next(filter(None, (re.fullmatch(pattern, group) for pattern in GROUPS)))
    words = [word for number, word in enumerate(match.groups(), 1) if number not in match.re.groupindex.values()]
    return "_".join(["envoy_mongo", *words, what]), tuple(sorted(match.groupdict().items()))


def histogram_differences(running, prefix, count):
    """{(metric, labels): (ours, counted)}, each as (sum, number of values)"""
    kinds = ("_request_size", "_reply_size", "_reply_num_docs")
    seen = {name: (one["sum"], one["count"]) for name, one in seen_histograms(running, prefix).items() if name[0].endswith(kinds) and one["count"]}
    expected = {in_prometheus(name): (sum(values), len(values)) for name, values in count.histograms.items()}
    return {name: (seen.get(name), expected.get(name)) for name in {*seen, *expected} if not near(seen.get(name), expected.get(name))}


def near(one, other):
    return one and other and one[1] == other[1] and abs(one[0] - other[0]) <= 0.06 * other[0]


def pymongo_work(client, name):
    """Something of everything."""
    db, things = client[name], client[name].things
    client.drop_database(name)
    things.insert_many([{"_id": number, "even": number % 2 == 0} for number in range(1000)])
    things.create_index("even")
    assert len(list(things.find(batch_size=90))) == 1000
    assert len(list(things.find({"_id": {"$lt": 500}}, batch_size=50, cursor_type=pymongo.CursorType.EXHAUST))) == 500
    things.find_one({"_id": 3}, comment='{"callingFunction": "one"}')
    list(things.find({"_id": {"$in": [1, 2]}}, max_time_ms=1000, comment='{"callingFunction": "few"}'))
    left = things.find(batch_size=10)
    next(left)
    left.close()
    things.update_many({"even": True}, {"$set": {"n": 1}})
    things.find_one_and_update({"_id": 1}, {"$inc": {"n": 1}})
    things.delete_many({"_id": {"$gte": 900}})
    list(things.aggregate([{"$match": {"even": True}}], batchSize=100))
    things.aggregate([{"$match": {"even": True}}, {"$out": "copy"}])
    db["dotted.name.of.a.collection"].insert_one({})
    for failing in (lambda: things.insert_one({"_id": 1}), lambda: db.command("nonsense"), lambda: things.find_one({"$bad": 1}),
                    lambda: things.insert_many([{"_id": number} for number in range(4)], ordered=False)):
        with pytest.raises(pymongo.errors.OperationFailure):
            failing()
    with client.start_session() as session:
        with session.start_transaction():
            things.insert_one({"_id": 2001}, session=session)
            things.insert_one({"_id": 2002}, session=session)
        session.start_transaction()
        things.delete_one({"_id": 1}, session=session)
        session.abort_transaction()
    blind = things.with_options(write_concern=pymongo.WriteConcern(w=0))
    for number in range(20):
        blind.insert_one({"_id": 3000 + number})
    wait_until(lambda: things.count_documents({"_id": {"$gte": 3000}}) == 20, "written")
    with things.watch(max_await_time_ms=50) as stream:
        stream.try_next()
        things.insert_one({"_id": 4000})
        assert next(stream)["operationType"] == "insert"
    client.bulk_write([pymongo.InsertOne({"_id": number}, namespace=f"{name}.bulk") for number in range(10)])


@pytest.mark.parametrize("compressor", [None, "snappy", "zlib", "zstd"])
def test_counted_pymongo(proxy, database, shim, compressor):
    running = proxy([mongo_listener(harness.free_port(), "counted", "counted", commands=COMMANDS)],
                    [cluster("counted", shim.port if compressor else database.port)], bootstrap=OFTEN)
    recorder = mongo_peers.Recorder(running.listen_ports["counted"])
    with pymongo.MongoClient("127.0.0.1", recorder.port, directConnection=True, appname="the counted one", compressors=compressor or []) as client:
        pymongo_work(client, f"counted_{compressor}")
    wait_until(lambda: running.stat("cluster.counted.upstream_cx_active") == 0, "all connections ended")
    recorder.close()
    compare(running, "counted", recorder)


@pytest.mark.parametrize("compressor", ["none", "snappy"])
def test_counted_node(proxy, database, shim, compressor):
    running = proxy([mongo_listener(harness.free_port(), "node", "node", commands=COMMANDS)],
                    [cluster("node", database.port if compressor == "none" else shim.port)], bootstrap=OFTEN)
    recorder = mongo_peers.Recorder(running.listen_ports["node"])
    option = "" if compressor == "none" else f"&compressors={compressor}"
    mongo_peers.run_node(f"mongodb://127.0.0.1:{recorder.port}/?directConnection=true&appName=node{option}", f"counted_node_{compressor}")
    wait_until(lambda: running.stat("cluster.node.upstream_cx_active") == 0, "all connections ended")
    recorder.close()
    compare(running, "node", recorder)

