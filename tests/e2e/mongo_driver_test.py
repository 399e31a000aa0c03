"""PyMongo and the official Node driver at their work, through the proxy, with a real server behind it; plain and compressed."""

import hashlib
import json
import random
import threading
import time
import types

import harness
import mongo_peers
import pymongo
import pymongo.monitoring
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from harness import cluster, wait_until
from mongo_peers import COMPRESSORS, mongo_listener

# What a driver does by itself takes as long as it does: a ceiling against hanging.
TIME = 20_000 * harness.SLOWNESS


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
def link(module_proxy, database, shim):
    """The proxy in front of the server, and of the shim that compresses: running, port, squeezed_port."""
    names = {"mongo": database.port, "squeezed": shim.port}
    running = module_proxy([mongo_listener(harness.free_port(), name, name) for name in names],
                           [cluster(name, port) for name, port in names.items()])
    return types.SimpleNamespace(running=running, port=running.listen_ports["mongo"], squeezed_port=running.listen_ports["squeezed"])


@pytest.fixture
def client(link):
    """open(**options) -> a MongoClient through the proxy."""
    opened = []

    def start(port=link.port, **options):
        opened.append(pymongo.MongoClient("127.0.0.1", port, directConnection=True, socketTimeoutMS=TIME, serverSelectionTimeoutMS=TIME,
                                          **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture
def db(client, request):
    name = f"test_{abs(hash(request.node.name))}"
    opened = client()
    yield opened[name]
    opened.drop_database(name)


def documents(count, text="text"):
    return [{"_id": number, "text": f"{text} {number}", "even": number % 2 == 0} for number in range(count)]


# --- PyMongo -----------------------------------------------------------------------------------------------------------


def test_crud(db):
    things = db.things
    assert things.insert_many(documents(500)).inserted_ids == list(range(500))
    assert things.update_many({"even": True}, {"$set": {"even": 2}}).modified_count == 250
    assert things.update_one({"_id": 1000}, {"$set": {"new": 1}}, upsert=True).upserted_id == 1000
    assert things.replace_one({"_id": 3}, {"text": "replaced"}).modified_count == 1
    assert things.find_one_and_update({"_id": 5}, {"$inc": {"n": 4}}, return_document=pymongo.ReturnDocument.AFTER)["n"] == 4
    assert things.delete_many({"_id": {"$gte": 400}}).deleted_count == 101
    assert things.count_documents({"even": 2}) == 200 and things.estimated_document_count() == 400
    assert sorted(things.distinct("even")) == [False, 2]
    things.create_index([("text", 1)], name="by_text")
    assert "by_text" in things.index_information()
    assert db.list_collection_names() == ["things"]
    with pytest.raises(pymongo.errors.DuplicateKeyError):
        things.insert_one({"_id": 7})
    with pytest.raises(pymongo.errors.OperationFailure, match="nonsense"):
        db.command("nonsense")


def test_every_type_comes_back(db):
    document = {"_id": ObjectId(), "double": 1.5, "text": "\0é\U0001f600", "document": {"a": {"b": {}}}, "array": [1, [2, []], None],
                "binary": Binary(bytes(range(256)), 5), "bool": True, "null": None, "regex": Regex("^a.*", "im"), "code": Code("return 1"),
                "scoped": Code("return x", {"x": 1}), "int32": -(2**31), "timestamp": Timestamp(7, 8), "int64": Int64(2**62),
                "decimal": Decimal128("-1E-6176"), "min": MinKey(), "max": MaxKey()}
    db.types.insert_one(document)
    assert db.types.find_one() == document


def test_aggregates(db):
    db.things.insert_many(documents(1000))
    pipeline = [{"$match": {"_id": {"$lt": 100}}}, {"$group": {"_id": "$even", "sum": {"$sum": "$_id"}}}, {"$sort": {"_id": 1}}]
    assert list(db.things.aggregate(pipeline)) == [{"_id": False, "sum": 2500}, {"_id": True, "sum": 2450}]
    db.things.aggregate([{"$match": {"even": True}}, {"$out": "evens"}])
    assert db.evens.count_documents({}) == 500
    assert len(list(db.things.aggregate([{"$match": {}}], batchSize=70))) == 1000


def test_cursors(db):
    """Fetched to the end, closed before it, and several at a time on one connection."""
    db.things.insert_many(documents(1000))
    assert [each["_id"] for each in db.things.find(batch_size=33).sort("_id")] == list(range(1000))
    left = db.things.find(batch_size=10)
    next(left)
    number = left.cursor_id
    left.close()
    with pytest.raises(pymongo.errors.OperationFailure) as error:
        db.command({"getMore": Int64(number), "collection": "things"})
    assert error.value.code == 43
    mixed = [db.things.find(batch_size=7 + index).sort("_id") for index in range(4)]
    seen = [[next(each)["_id"] for each in mixed] for _ in range(200)]
    assert seen == [[number] * 4 for number in range(200)]


def test_exhaust_cursor(db):
    """One getMore, many replies: each answers the one before it."""
    db.things.insert_many(documents(5000, "exhaust" * 20))
    cursor = db.things.find(batch_size=100, cursor_type=pymongo.CursorType.EXHAUST)
    assert sorted(each["_id"] for each in cursor) == list(range(5000))
    assert db.things.count_documents({}) == 5000  # the pool is not out of step after it


def test_streaming_hello(client):
    """The monitor's connection is told of the topology in replies that it did not ask for, and lives on."""

    class Heartbeats(pymongo.monitoring.ServerHeartbeatListener):
        def __init__(self):
            self.awaited, self.failed = [], []

        def started(self, event):
            pass

        def succeeded(self, event):
            self.awaited.append(event.awaited)

        def failed(self, event):
            self.failed.append(event.reply)

    heard = Heartbeats()
    # Not directConnection alone decides it: streaming is the default mode of monitors.
    opened = client(event_listeners=[heard], heartbeatFrequencyMS=500, serverMonitoringMode="stream")
    assert opened.admin.command("ping")["ok"] == 1
    wait_until(lambda: heard.awaited.count(True) >= 3, "the server streams its hello")
    assert not heard.failed


def test_change_stream(db):
    db.create_collection("watched")
    with db.watched.watch(max_await_time_ms=100) as stream:
        assert stream.try_next() is None
        db.watched.insert_many(documents(50))
        db.watched.update_one({"_id": 3}, {"$set": {"n": 1}})
        db.watched.delete_one({"_id": 4})
        kinds = [next(stream)["operationType"] for _ in range(52)]
    assert kinds == ["insert"] * 50 + ["update", "delete"]


def test_transactions(client, db):
    things = db.get_collection("things")
    things.insert_one({"_id": 0})
    with db.client.start_session() as session:
        with session.start_transaction():
            things.insert_one({"_id": 1}, session=session)
            assert db.things.count_documents({}) == 1
            assert things.find_one({"_id": 1}, session=session)
        session.start_transaction()
        things.insert_one({"_id": 2}, session=session)
        session.abort_transaction()
        with pytest.raises(ZeroDivisionError), session.start_transaction():
            things.delete_one({"_id": 0}, session=session)
            raise ZeroDivisionError
    assert sorted(each["_id"] for each in things.find()) == [0, 1]


def test_unacknowledged_writes(db):
    """Nobody answers them, and what follows on the same connection is answered all the same."""
    things = db.get_collection("things", write_concern=pymongo.WriteConcern(w=0))
    for number in range(100):
        assert not things.insert_one({"_id": number}).acknowledged
    things.update_many({}, {"$set": {"n": 1}})
    things.delete_one({"_id": 5})
    wait_until(lambda: db.things.count_documents({"n": 1}) == 99, "everything is written")


def test_bulk_writes(db):
    result = db.things.bulk_write([pymongo.InsertOne({"_id": 1}), pymongo.UpdateOne({"_id": 1}, {"$set": {"a": 1}}),
                                   pymongo.InsertOne({"_id": 2}), pymongo.DeleteOne({"_id": 2})])
    assert (result.inserted_count, result.modified_count, result.deleted_count) == (2, 1, 1)
    with pytest.raises(pymongo.errors.BulkWriteError) as error:
        db.things.bulk_write([pymongo.InsertOne({"_id": number % 5 + 10}) for number in range(10)], ordered=False)
    assert len(error.value.details["writeErrors"]) == 5
    spread = [pymongo.InsertOne({"_id": number}, namespace=f"{db.name}.part{number % 3}") for number in range(300)]
    assert db.client.bulk_write(spread).inserted_count == 300
    assert [db[f"part{number}"].count_documents({}) for number in range(3)] == [100] * 3


def test_threads_share_a_client(client, db):
    """Many connections of one pool, each with its own stream of messages."""
    errors = []
    opened = client(maxPoolSize=16)[db.name]

    def work(number):
        try:
            own = opened[f"thread{number}"]
            own.insert_many(documents(50, f"thread {number}"))
            for index in range(40):
                assert own.find_one({"_id": index % 50})["text"] == f"thread {number} {index % 50}"
        except Exception as error:  # told below, out of the thread
            errors.append((number, error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors


@pytest.mark.parametrize("compressor", COMPRESSORS)
def test_compressed(client, db, link, shim, compressor):
    before = dict(shim.requests_compressed)
    things = client(link.squeezed_port, compressors=compressor)[db.name].things
    things.insert_many(documents(2000, "compress me " * 10))
    assert sorted(each["text"] for each in things.find(batch_size=100)) == sorted(each["text"] for each in documents(2000, "compress me " * 10))
    noise = random.Random(compressor).randbytes(3_000_000)
    things.insert_one({"_id": "noise", "data": noise})
    assert things.find_one({"_id": "noise"})["data"] == noise
    assert len(list(things.find({"_id": {"$lt": 500}}, batch_size=20, cursor_type=pymongo.CursorType.EXHAUST))) == 500
    assert shim.requests_compressed[compressor] - before[compressor] > 20
    assert {name: count for name, count in shim.requests_compressed.items() if name != compressor} == \
        {name: count for name, count in before.items() if name != compressor}


# --- Much --------------------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_documents(link, db):
    """All that was written is read again, byte for byte, and the proxy keeps none of it."""
    made = ({"_id": number, "data": hashlib.sha256(b"%d" % number).hexdigest(), "n": number * number} for number in range(100_000))
    before = link.running.rss_bytes()
    every = list(made)
    db.many.insert_many(every, ordered=False)
    most = link.running.rss_bytes()
    found = list(db.many.find(batch_size=5000).sort("_id"))
    assert found == every
    most = max(most, link.running.rss_bytes())
    assert most - before < 24 * 1024 * 1024 * harness.SLOWNESS


def test_large_messages(link, db):
    """Kind 1 sections of almost maxMessageSizeBytes, and replies of 16 MB and above."""
    blocks = [random.Random(number).randbytes(15_900_000) for number in range(3)]
    before = link.running.rss_bytes()
    db.large.insert_many([{"_id": number, "data": block} for number, block in enumerate(blocks)])
    for number, block in enumerate(blocks):
        assert db.large.find_one({"_id": number})["data"] == block
    many = [{"_id": 100 + number, "data": bytes([number]) * 470_000} for number in range(100)]
    db.large.insert_many(many)
    assert list(db.large.find({"_id": {"$gte": 100}}, batch_size=100).sort("_id")) == many
    assert link.running.rss_bytes() - before < 24 * 1024 * 1024 * harness.SLOWNESS


# --- Node --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressor", ["none", "snappy", "zlib"])
def test_node_driver(link, shim, compressor):
    before = dict(shim.requests_compressed)
    port, option = (link.port, "") if compressor == "none" else (link.squeezed_port, f"&compressors={compressor}")
    results = json.loads(mongo_peers.run_node(f"mongodb://127.0.0.1:{port}/?directConnection=true{option}", f"node_{compressor}"))
    assert results == {"crud": [250, 100, "new", 200], "cursors": [400, 400], "aggregate": [{"_id": None, "sum": 39800}], "bulk": [1, 1, 1],
                       "transactions": [0, 1], "changes": "insert", "unacknowledged": False, "errors": [11000, 59], "large": True}
    if option:
        assert shim.requests_compressed[compressor] - before[compressor] > 20
