"""What MongoRules enforces, as PyMongo sees it in front of a real server: refusals, faults, hello made over, the slow-query log."""

import json
import sys
import time

import harness
import mongo_peers
import peers
import pymongo
import pytest
from harness import cluster, connect, read_to_end, tcp_listener, wait_until
from mongo_peers import ask, op_msg
from pymongo.errors import AutoReconnect, OperationFailure
from pymongo.write_concern import WriteConcern

FILTER = "type.googleapis.com/envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy"
RULES = "type.googleapis.com/ringside.mongo.v1.MongoRules"
TIME = 20_000 * harness.SLOWNESS
ALL = {"numerator": 100}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    port = harness.free_port()
    server = peers.Peer(tmp_path_factory.mktemp("secantus"), [sys.executable, "-m", "secantus", "--port", port, "--storage-path", ":memory:"],
                        port)
    client = pymongo.MongoClient("127.0.0.1", port, directConnection=True)
    client.shop.orders.insert_many({"_id": n, "customer": f"c{n}"} for n in range(300))
    client.shop.secret.insert_one({"_id": 1})
    client.close()
    yield port
    server.stop()


class Link:
    def __init__(self, proxy, port, rules):
        listener = tcp_listener(harness.free_port(), "mongo", "m")
        listener["filter_chains"][0]["filters"][:0] = [
            {"name": "envoy.filters.network.mongo_proxy", "typed_config": {"@type": FILTER, "stat_prefix": "m"}},
            {"name": "ringside.mongo_rules", "typed_config": {"@type": RULES, **rules}}]
        self.running = proxy([listener], [cluster("mongo", port)])
        self.port = self.running.listen_ports["m"]
        self.clients = []

    def open(self, **options):
        options = {"directConnection": True} | options
        self.clients.append(pymongo.MongoClient("127.0.0.1", self.port, socketTimeoutMS=TIME, serverSelectionTimeoutMS=TIME, **options))
        return self.clients[-1]

    def stat(self, name):
        return self.running.stat(f"mongo.m.{name}")


@pytest.fixture
def link(proxy, database):
    made = []

    def start(port=database, **rules):
        made.append(Link(proxy, port, rules))
        return made[-1]

    yield start
    for each in made:
        for client in each.clients:
            client.close()


def refused(work, *words):
    with pytest.raises(OperationFailure) as caught:
        work()
    assert caught.value.code == 13 and caught.value.details["codeName"] == "Unauthorized"
    for word in words:
        assert word in str(caught.value), caught.value


def test_read_only(link, database):
    proxied = link(read_only=True)
    client = proxied.open(maxPoolSize=1)
    orders = client.shop.orders
    assert len(list(orders.find(batch_size=50))) == 300, "getMore passes"
    before = proxied.running.stat("tcp.m.downstream_cx_total")
    refused(lambda: orders.insert_one({"x": 1}), "read_only", "insert", "shop.orders")
    refused(lambda: orders.update_one({"_id": 1}, {"$set": {"x": 1}}), "update")
    refused(lambda: orders.find_one_and_delete({"_id": 1}), "findAndModify")
    refused(lambda: orders.aggregate([{"$match": {}}, {"$out": "copy"}]), "aggregate")
    refused(lambda: orders.aggregate([{"$merge": {"into": "copy"}}]), "aggregate")
    refused(lambda: client.drop_database("shop"), "dropDatabase")
    refused(lambda: client.shop.command("noSuchThing"), "noSuchThing")
    assert orders.count_documents({}) == 300, "the connection goes on"
    assert proxied.running.stat("tcp.m.downstream_cx_total") == before
    assert proxied.stat("rules.read_only.denied") == 7
    assert proxied.stat("rules.read_only.dropped") == 0


def test_a_large_write_is_refused_whole(link):
    proxied = link(read_only=True)
    client = proxied.open(maxPoolSize=1)
    refused(lambda: client.shop.orders.insert_many([{"x": "x" * 1_000_000} for _ in range(20)]), "read_only")
    assert client.shop.orders.count_documents({}) == 300


def test_unacknowledged_writes_are_dropped(link, database):
    proxied = link(read_only=True)
    client = proxied.open(maxPoolSize=1)
    client.shop.get_collection("orders", write_concern=WriteConcern(w=0)).insert_one({"_id": "lost"})
    assert client.shop.orders.count_documents({}) == 300
    assert proxied.stat("rules.read_only.denied") == proxied.stat("rules.read_only.dropped") == 1


def test_rules_by_collection_command_and_application(link):
    proxied = link(default_action="DENY", rules=[
        {"name": "no_secrets", "action": "DENY", "match": {"collections": [{"prefix": "sec"}]}},
        {"name": "reports", "action": "ALLOW", "match": {"databases": [{"exact": "shop"}], "classes": ["READ"],
                                                         "applications": [{"prefix": "report"}]}}])
    client = proxied.open(appname="reports", maxPoolSize=1)
    orders = client.shop.orders
    assert len(list(orders.find(batch_size=100))) == 300
    refused(lambda: client.shop.secret.find_one(), "no_secrets", "shop.secret")
    refused(lambda: list(orders.aggregate([{"$lookup": {"from": "secret", "localField": "_id", "foreignField": "_id", "as": "s"}}])),
            "no_secrets")
    refused(lambda: list(orders.aggregate([{"$unionWith": "secret"}])), "no_secrets")
    refused(lambda: orders.insert_one({}), "no rule")
    refused(lambda: client.other.things.find_one(), "no rule")
    refused(lambda: proxied.open(appname="shop").shop.orders.find_one(), "no rule")
    assert proxied.stat("rules.no_secrets.denied") == 3
    assert proxied.stat("rules.default.denied") == 3
    assert proxied.stat("rules.reports.allowed") > 0


def test_java_script(link):
    proxied = link(deny_javascript=True)
    orders = proxied.open(maxPoolSize=1).shop.orders
    refused(lambda: orders.find_one({"$where": "sleep(1)"}), "JavaScript")
    refused(lambda: orders.find_one({"$or": [{"a": 1}, {"$where": "sleep(1)"}]}), "JavaScript")
    refused(lambda: orders.delete_many({"$where": "true"}), "JavaScript")
    refused(lambda: orders.update_one({"$where": "true"}, {"$set": {"x": 1}}), "JavaScript")
    function = {"$function": {"body": "function() {}", "args": [], "lang": "js"}}
    refused(lambda: list(orders.aggregate([{"$project": {"x": function}}])), "JavaScript")
    refused(lambda: orders.database.command("mapReduce", "orders", map="m", reduce="r", out={"inline": 1}), "JavaScript")
    assert orders.find_one({"_id": 5})["customer"] == "c5"
    assert proxied.stat("rules.javascript.denied") == 6


def test_what_cannot_be_judged_is_refused(link):
    proxied = link(deny_javascript=True, judge_bytes_max=8192)
    orders = proxied.open(maxPoolSize=1).shop.orders
    refused(lambda: orders.update_one({"_id": 1}, {"$set": {"x": "x" * 100_000}}), "judge_bytes_max")
    assert orders.update_one({"_id": 1}, {"$set": {"y": 1}}).matched_count == 1
    orders.insert_many([{"_id": f"long{n}", "x": "x" * 50_000} for n in range(3)])
    orders.delete_many({"_id": {"$regex": "^long"}})
    refused(lambda: orders.database.command("noSuchThing"), "noSuchThing")
    assert proxied.stat("rules.too_long.denied") == proxied.stat("rules.unknown_command.denied") == 1


def test_faults(link):
    match = {"commands": ["count", "aggregate"]}
    proxied = link(faults=[
        {"name": "busy", "match": {"commands": ["distinct"]}, "percentage": ALL, "error": {"code": 11600, "message": "not now"}},
        {"name": "late", "match": match, "percentage": ALL, "fixed_delay": "0.3s"},
        {"name": "gone", "match": {"collections": [{"exact": "gone"}]}, "percentage": ALL, "close": True},
        {"name": "never", "percentage": {}, "close": True}])
    client = proxied.open(maxPoolSize=1, retryReads=False, retryWrites=False)
    with pytest.raises(AutoReconnect, match="not now"):
        client.shop.orders.distinct("_id")
    begin = time.monotonic()
    assert client.shop.orders.count_documents({}) == 300
    assert time.monotonic() - begin >= 0.3
    with pytest.raises(AutoReconnect):
        client.shop.gone.find_one()
    assert client.shop.orders.find_one({"_id": 1})
    assert proxied.stat("faults.busy.aborted") == 1 and proxied.stat("faults.late.delayed") == 1
    assert proxied.stat("faults.gone.aborted") == 1 and proxied.stat("faults.never.aborted") == 0


def test_hello_keeps_drivers_behind_the_proxy(link, database):
    proxied = link(hello_rewrite={})
    client = proxied.open(directConnection=False, replicaSet="secantus")
    assert client.shop.orders.count_documents({}) == 300
    assert client.nodes == {("127.0.0.1", proxied.port)}, "and not the server's own address"
    hello = client.admin.command("hello")
    named = link(hello_rewrite={"address": "far.example:1", "hosts": [{"member": f"127.0.0.1:{database}", "address": "near.example:2"},
                                                                      {"member": f"localhost:{database}", "address": "near.example:2"}]})
    assert named.open().admin.command("hello")["hosts"] == ["near.example:2"]
    assert link(hello_rewrite={"address": "far.example:1"}).open().admin.command("hello")["me"] == "far.example:1"
    assert hello["setName"] == "secantus" and hello["hosts"] == [hello["me"]] == [f"127.0.0.1:{proxied.port}"]


class Insisting(mongo_peers.CompressingServer):
    """Says in every hello that it compresses, whatever the client offered."""

    def request(self, message, pending):
        message = super().request(message, pending)
        document = mongo_peers.parse_msg(message.body).document if message.opcode == mongo_peers.MSG else mongo_peers.parse_query(message.body)[2]
        if next(iter(document)).lower() in ("hello", "ismaster"):
            pending[message.request_id] = ["zlib"]
        return message


@pytest.fixture
def server(database):
    """server(kind) -> (a recorder in front of one that compresses, that server). Before `link` in a test: clients take leave of it."""
    made = []

    def start(kind=mongo_peers.CompressingServer):
        behind = kind(database)
        made.extend([mongo_peers.Recorder(behind.port), behind])
        return made[-2:]

    yield start
    for each in made:
        each.close()


def offers(recorder):
    """What the hellos that a recorder saw offered."""
    found = []
    for session in recorder.sessions:
        for message in mongo_peers.split(session.requests):
            if message.opcode == mongo_peers.COMPRESSED:
                continue
            document = mongo_peers.parse_msg(message.body).document if message.opcode == mongo_peers.MSG else mongo_peers.parse_query(message.body)[2]
            if next(iter(document)).lower() in ("hello", "ismaster"):
                found.append(document.get("compression"))
    return found


def test_compression_is_stripped(server, link):
    recorder, behind = server()
    client = link(port=recorder.port, read_only=True).open(compressors="zlib")
    assert client.shop.orders.count_documents({}) == 300
    assert behind.requests_compressed["zlib"] > 0 and ["zlib"] in offers(recorder), "they would compress"
    recorder, behind = server()
    client = link(port=recorder.port, compression="STRIP", read_only=True).open(compressors="zlib")
    assert client.shop.orders.count_documents({}) == 300
    assert "compression" not in client.admin.command("hello", compression=["zlib"])
    assert not any(behind.requests_compressed.values())
    assert len(offers(recorder)) >= 2 and not any(offers(recorder)), "no offer reaches the server"


def test_an_agreement_to_compress_is_stripped(server, link):
    recorder, _ = server(Insisting)
    hello = op_msg({"hello": 1, "$db": "admin"})
    for rules, agreed in ({"read_only": True}, ["zlib"]), ({"compression": "STRIP"}, None):
        with connect(link(port=recorder.port, **rules).port) as client:
            assert ask(client, hello).get("compression") == agreed


def test_long_messages_end_the_connection(link, database):
    recorder = mongo_peers.Recorder(database)
    proxied = link(port=recorder.port, message_bytes_max=4096)

    def ping(size):
        spare = size - len(op_msg({"ping": 1, "$db": "admin", "comment": ""}))
        return op_msg({"ping": 1, "$db": "admin", "comment": "x" * spare})

    with connect(proxied.port) as client:
        assert ask(client, ping(4096))["ok"] == 1
        assert proxied.stat("too_large") == 0
        client.sendall(ping(4097))
        assert read_to_end(client) == b""
    assert proxied.stat("too_large") == 1
    wait_until(lambda: proxied.running.stat("cluster.mongo.upstream_cx_active") == 0, "the server's end is closed")
    recorder.close()
    assert [message.size for session in recorder.sessions for message in mongo_peers.split(session.requests)] == [4096]


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def test_what_is_malformed_is_relayed_or_closes(link, upstream):
    port = upstream(echo).port
    broken = mongo_peers.HEADER.pack(5, 1, 0, mongo_peers.MSG) + b"and what follows"
    relaying = link(port=port, on_malformed="RELAY")
    with connect(relaying.port) as client:
        client.sendall(broken)
        assert mongo_peers.Exact(client).read(len(broken)) == broken
        client.sendall(b"more")
        assert mongo_peers.Exact(client).read(4) == b"more"
    closing = link(port=port, on_malformed="CLOSE")
    with connect(closing.port) as client:
        client.sendall(broken)
        assert read_to_end(client) == b""
    assert closing.stat("malformed_header") == 1 and relaying.stat("malformed_header") == 2, "RELAY: of either way"


@pytest.mark.parametrize("forwards", [False, True])
def test_what_cannot_be_decoded(link, database, forwards):
    """A request with `$db` twice: another server may take the other one."""
    recorder = mongo_peers.Recorder(database)
    proxied = link(port=recorder.port, read_only=True, **({"undecodable": "FORWARD"} if forwards else {}))
    twice = op_msg({"find": "orders", "$db": "shop", "$dc": "more"}, 2).replace(b"$dc\0", b"$db\0")
    with connect(proxied.port) as client:
        answer = ask(client, twice)
        if not forwards:
            assert answer["ok"] == 0 and answer["code"] == 13 and "decode" in answer["errmsg"]
        assert ask(client, op_msg({"ping": 1, "$db": "admin"}, 3))["ok"] == 1, "the connection goes on"
        assert ask(client, op_msg({"insert": "orders", "$db": "shop", "documents": [{"_id": "no"}]}, 4))["code"] == 13
    wait_until(lambda: proxied.running.stat("cluster.mongo.upstream_cx_active") == 0, "the server's end is closed")
    recorder.close()
    seen = [message.request_id for session in recorder.sessions for message in mongo_peers.split(session.requests)]
    assert seen == ([2, 3] if forwards else [3])
    assert proxied.stat("undecodable") == 1
    assert proxied.stat("rules.undecodable.denied") == (0 if forwards else 1)


def test_slow_queries(link, tmp_path):
    path, quick = tmp_path / "slow.log", tmp_path / "quick.log"
    proxied = link(slow_query={"threshold": "60s", "path": str(quick)})
    proxied.open().shop.orders.find_one({"customer": "c1"})
    everything = link(slow_query={"threshold": "0.000001s", "path": str(path)}).open(appname="slowly", maxPoolSize=1)
    everything.shop.orders.find_one({"customer": "planted-secret", "age": {"$gt": 4711}})
    everything.shop.scratch.insert_one({"card": "planted-card"})
    with pytest.raises(OperationFailure):
        everything.shop.command("createUser", "eve", pwd="planted-password", roles="planted-role")
    def lines():
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    wait_until(lambda: any(line["command"] == "insert" for line in lines()), "the log is written")
    found = next(line for line in lines() if line["command"] == "find")
    assert found["namespace"] == "shop.orders" and found["application"] == "slowly" and found["driver"].startswith("PyMongo")
    assert "customer" in json.dumps(found["shape"]) and "$gt" in json.dumps(found["shape"])
    assert found["duration_ms"] > 0 and found["reply_bytes"] > 0 and found["request_bytes"] > 0 and found["error"] is None
    assert found["client"].startswith("127.0.0.1:") and found["upstream"].startswith("127.0.0.1:")
    assert not quick.exists() or not quick.read_text()
    text = path.read_text()
    for secret in ("planted-secret", "4711", "planted-card", "planted-password", "planted-role"):
        assert secret not in text
