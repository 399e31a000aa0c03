"""MongoDB on loopback: real servers, a shim that speaks OP_COMPRESSED for one of them, a relay that records what passes, and the
wire protocol for raw sockets, written without a look at the proxy's own codec."""

import contextlib
import itertools
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import NamedTuple

import bson
import harness
import peers
import pytest
import snappy
from backports import zstd

REPLY, UPDATE, INSERT, QUERY, GET_MORE, DELETE, KILL_CURSORS, COMPRESSED, MSG = 1, 2001, 2002, 2004, 2005, 2006, 2007, 2012, 2013
CHECKSUM, MORE_TO_COME, EXHAUST = 1, 2, 1 << 16
MESSAGE_BYTES_MAX = 48_000_000
HEADER = struct.Struct("<iiii")
COMPRESSORS = {"snappy": 1, "zlib": 2, "zstd": 3}
SQUEEZE = {1: snappy.compress, 2: zlib.compress, 3: zstd.compress}
EXPAND = {0: bytes, 1: snappy.decompress, 2: zlib.decompress, 3: zstd.decompress}
# Never compressed, nor are their answers.
PLAIN = {"hello", "ismaster", "isMaster", "saslStart", "saslContinue", "getnonce", "authenticate", "createUser", "updateUser"}
MONGO_JAVA_SERVER = "1.47.0"
NODE_PACKAGES = ["mongodb@7.9.0", "snappy@7.4.3"]


# The filter in front of tcp_proxy.
FILTER = "envoy.extensions.filters.network.mongo_proxy.v3.MongoProxy"


def mongo_listener(port, cluster_name, name="mongo", filtered=True, tcp=None, **fields):
    """A listener that relays to a cluster; `fields` are of the filter, `tcp` of tcp_proxy."""
    listener = harness.tcp_listener(port, cluster_name, name, **(tcp or {}))
    if filtered:
        config = {"@type": f"type.googleapis.com/{FILTER}", "stat_prefix": name, **fields}
        listener["filter_chains"][0]["filters"].insert(0, {"name": "envoy.filters.network.mongo_proxy", "typed_config": config})
    return listener


# --- The wire ----------------------------------------------------------------------------------------------------------


class Message(NamedTuple):
    request_id: int
    response_to: int
    opcode: int
    body: bytes

    def pack(self):
        return HEADER.pack(HEADER.size + len(self.body), self.request_id, self.response_to, self.opcode) + self.body

    @property
    def size(self):
        return HEADER.size + len(self.body)


class Parsed(NamedTuple):
    """What an OP_MSG says."""
    flags: int
    document: dict
    sections: dict  # {identifier: [documents]}


def crc32c(data, table=[]):  # noqa: B006 - the table is made once
    if not table:
        for value in range(256):
            for _ in range(8):
                value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
            table.append(value)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def sequence(name, documents):
    """A section of kind 1."""
    inside = name.encode() + b"\0" + b"".join(document if isinstance(document, bytes) else bson.encode(document) for document in documents)
    return b"\1" + struct.pack("<i", 4 + len(inside)) + inside


def op_msg(document, request_id=1, flags=0, sections=b"", response_to=0, sections_first=False):
    """The bytes of an OP_MSG; with CHECKSUM among its flags it gets the right one."""
    kind0 = b"\0" + bson.encode(document)
    body = struct.pack("<I", flags) + (sections + kind0 if sections_first else kind0 + sections)
    if not flags & CHECKSUM:
        return Message(request_id, response_to, MSG, body).pack()
    return with_checksum(Message(request_id, response_to, MSG, body + bytes(4)).pack())


def with_checksum(message):
    return message[:-4] + struct.pack("<I", crc32c(message[:-4]))


def op_query(namespace, document, request_id=1, flags=0, skip=0, count=-1, fields=None):
    body = struct.pack("<i", flags) + namespace.encode() + b"\0" + struct.pack("<ii", skip, count) + bson.encode(document)
    return Message(request_id, 0, QUERY, body + (bson.encode(fields) if fields else b"")).pack()


def op_insert(namespace, documents, request_id=1, flags=0):
    return Message(request_id, 0, INSERT, struct.pack("<i", flags) + namespace.encode() + b"\0" + b"".join(map(bson.encode, documents))).pack()


def op_update(namespace, query, change, request_id=1, flags=0):
    body = bytes(4) + namespace.encode() + b"\0" + struct.pack("<i", flags) + bson.encode(query) + bson.encode(change)
    return Message(request_id, 0, UPDATE, body).pack()


def op_delete(namespace, query, request_id=1, flags=0):
    return Message(request_id, 0, DELETE, bytes(4) + namespace.encode() + b"\0" + struct.pack("<i", flags) + bson.encode(query)).pack()


def op_get_more(namespace, cursor, request_id=1, count=0):
    return Message(request_id, 0, GET_MORE, bytes(4) + namespace.encode() + b"\0" + struct.pack("<iq", count, cursor)).pack()


def op_kill_cursors(cursors, request_id=1):
    return Message(request_id, 0, KILL_CURSORS, bytes(4) + struct.pack(f"<i{len(cursors)}q", len(cursors), *cursors)).pack()


def parse_msg(body):
    """The one of an OP_MSG's body; raises when it is no such thing."""
    flags = struct.unpack_from("<I", body)[0]
    at, end = 4, len(body) - (4 if flags & CHECKSUM else 0)
    document, sections = None, {}
    while at < end:
        kind, at = body[at], at + 1
        size = struct.unpack_from("<i", body, at)[0]
        part, at = body[at:at + size], at + size
        if kind == 0:
            assert document is None
            document = bson.decode(part)
        else:
            assert kind == 1
            name, _, documents = part[4:].partition(b"\0")
            sections[name.decode()] = bson.decode_all(documents)
    assert at == end and document is not None
    return Parsed(flags, document, sections)


def parse_query(body):
    """(flags, namespace, document) of an OP_QUERY."""
    name, _, rest = body[4:].partition(b"\0")
    size = struct.unpack_from("<i", rest, 8)[0]
    return struct.unpack_from("<i", body)[0], name.decode(), bson.decode(rest[8:8 + size])


def parse_reply(body):
    """(flags, cursor, documents) of an OP_REPLY."""
    flags, cursor, _, _ = struct.unpack_from("<iqii", body)
    return flags, cursor, bson.decode_all(body[20:])


def compressed(message, number):
    inner = struct.pack("<iiB", message.opcode, len(message.body), number) + SQUEEZE[number](message.body)
    return Message(message.request_id, message.response_to, COMPRESSED, inner)


def decompressed(message):
    """(the message inside, the compressor's number)"""
    opcode, size, number = struct.unpack_from("<iiB", message.body)
    body = EXPAND[number](message.body[9:])
    assert len(body) == size
    return Message(message.request_id, message.response_to, opcode, body), number


def read_message(stream):
    """Off a buffered binary stream; None at its end, also when that is in the middle of a message."""
    head = stream.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    size, request_id, response_to, opcode = HEADER.unpack(head)
    body = stream.read(size - HEADER.size)
    return Message(request_id, response_to, opcode, body) if len(body) == size - HEADER.size else None


def split(data):
    """The whole messages of a recorded direction."""
    messages, at = [], 0
    while at + HEADER.size <= len(data):
        size, request_id, response_to, opcode = HEADER.unpack_from(data, at)
        if at + size > len(data):
            break
        messages.append(Message(request_id, response_to, opcode, bytes(data[at + HEADER.size:at + size])))
        at += size
    return messages


def ask(connection, message):
    """Sends the bytes and returns the next answer: of an OP_MSG its document, of an OP_REPLY what parse_reply says."""
    connection.sendall(message)
    return answer(connection)


def answer(connection):
    message = read_message(Exact(connection))
    assert message, "the connection ended"
    return parse_msg(message.body).document if message.opcode == MSG else parse_reply(message.body)


class Exact:
    """A stream that never reads more than it is asked for."""

    def __init__(self, connection):
        self.connection = connection

    def read(self, size):
        data = bytearray()
        while len(data) < size and (piece := self.connection.recv(min(size - len(data), 1 << 20))):
            data += piece
        return bytes(data)


# --- Between the two ends ----------------------------------------------------------------------------------------------


class Session:
    """What passed on one connection of a Recorder."""

    def __init__(self):
        self.requests, self.replies = bytearray(), bytearray()


class Recorder(harness.Upstream):
    """A relay to a port that keeps every byte of both directions."""

    def __init__(self, port):
        self.target, self.sessions = port, []
        super().__init__(self.relay)

    def relay(self, connection):
        session = Session()
        self.sessions.append(session)
        with harness.connect(self.target) as server:
            server.settimeout(None)
            self.connections.append(server)
            back = threading.Thread(target=self.pump, args=(server, connection, session.replies), daemon=True)
            back.start()
            self.pump(connection, server, session.requests)
            back.join()

    @staticmethod
    def pump(source, target, kept):
        gone = False
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 18):
                kept += data
                try:
                    if not gone:
                        target.sendall(data)
                except OSError:
                    gone = True  # what comes yet is recorded all the same
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class CompressingServer(harness.Upstream):
    """Stands in front of a server that knows no OP_COMPRESSED: agrees on a compressor in hello, and answers a compressed request in
    kind, as mongod does."""

    def __init__(self, port):
        self.target = port
        self.requests_compressed = dict.fromkeys(COMPRESSORS, 0)
        super().__init__(self.relay)

    def relay(self, connection):
        pending = {}  # {request id: a number, or the names that a hello offers}
        with harness.connect(self.target) as server:
            server.settimeout(None)
            self.connections.append(server)
            back = threading.Thread(target=self.answer, args=(server, connection, pending), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while message := read_message(Exact(connection)):
                    server.sendall(self.request(message, pending).pack())
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join()

    def request(self, message, pending):
        if message.opcode == COMPRESSED:
            message, number = decompressed(message)
            pending[message.request_id] = number
            self.requests_compressed[next(name for name, its in COMPRESSORS.items() if its == number)] += 1
            return message
        document = parse_msg(message.body).document if message.opcode == MSG else parse_query(message.body)[2]
        if next(iter(document)) in PLAIN and "compression" in document:
            pending[message.request_id] = [name for name in document["compression"] if name in COMPRESSORS]
        return message

    @staticmethod
    def answer(server, connection, pending):
        with contextlib.suppress(OSError):
            while message := read_message(Exact(server)):
                what = pending.pop(message.response_to, None)
                if isinstance(what, int):
                    if message.opcode == MSG and parse_msg(message.body).flags & MORE_TO_COME:
                        pending[message.request_id] = what
                    message = compressed(message, what)
                elif what:
                    message = agreeing(message, what)
                connection.sendall(message.pack())
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)


def agreeing(message, names):
    """A hello reply that also says `compression`."""
    if message.opcode == MSG:
        document = parse_msg(message.body).document | {"compression": names}
        return message._replace(body=message.body[:4] + b"\0" + bson.encode(document))
    document = parse_reply(message.body)[2][0] | {"compression": names}
    return message._replace(body=message.body[:20] + bson.encode(document))


class Trickler(harness.Upstream):
    """A relay that sends a server's answers byte by byte."""

    def __init__(self, port):
        self.target = port
        super().__init__(self.relay)

    def relay(self, connection):
        with harness.connect(self.target) as server:
            server.settimeout(None)
            self.connections.append(server)
            threading.Thread(target=Recorder.pump, args=(connection, server, bytearray()), daemon=True).start()
            with contextlib.suppress(OSError):
                while data := server.recv(1 << 16):
                    for byte in data:
                        connection.sendall(bytes([byte]))


class OldServer(harness.Upstream):
    """A server as they were before OP_MSG: documents in memory, queries by equality of one field, all legacy opcodes."""

    def __init__(self):
        self.collections, self.left, self.numbers, self.lock = {}, {}, itertools.count(1), threading.Lock()
        self.killed = []
        super().__init__(self.run_messages)

    def run_messages(self, connection):
        while message := read_message(Exact(connection)):
            with self.lock:
                body = self.reply(message)
            if body is not None:
                connection.sendall(Message(next(self.numbers), message.request_id, REPLY, body).pack())

    def reply(self, message):
        if message.opcode == QUERY:
            return self.query(message.body)
        if message.opcode == GET_MORE:
            count, cursor = struct.unpack("<iq", message.body[-12:])
            return self.batch(self.left.pop(cursor, None), count)
        if message.opcode == KILL_CURSORS:
            self.killed += struct.unpack_from(f"<{(len(message.body) - 8) // 8}q", message.body, 8)
            return None
        name, _, rest = message.body[4:].partition(b"\0")
        held = self.collections.setdefault(name.decode(), [])
        if message.opcode == INSERT:
            held += bson.decode_all(rest)
        elif message.opcode == UPDATE:
            query, change = bson.decode_all(rest[4:])
            for document in self.found(held, query):
                document |= change.get("$set", change)
        elif message.opcode == DELETE:
            gone = self.found(held, bson.decode(rest[4:]))
            held[:] = [document for document in held if document not in gone]
        return None

    @staticmethod
    def found(held, query):
        query = query.get("$query", query)
        return [document for document in held if all(document.get(key) == value for key, value in query.items())]

    def query(self, body):
        _, name, query = parse_query(body)
        if name.endswith(".$cmd"):
            return self.pack(0, 0, [self.command(name.removesuffix(".$cmd"), query)])
        if "$fail" in query:
            return self.pack(2, 0, [{"$err": "asked for", "code": 17}])
        count = struct.unpack_from("<i", body[4:].partition(b"\0")[2], 4)[0]
        return self.batch(self.found(self.collections.get(name, []), query), count)

    def command(self, database, query):
        query = query.get("$query", query)
        word = next(iter(query))
        if word.lower() == "ismaster":
            return {"ismaster": True, "maxWireVersion": 3, "minWireVersion": 0, "maxBsonObjectSize": 1 << 24, "maxMessageSizeBytes": 48000000,
                    "ok": 1}
        if word == "insert":
            self.collections.setdefault(f"{database}.{query['insert']}", []).extend(query["documents"])
            return {"ok": 1, "n": len(query["documents"])}
        if word == "count":
            return {"ok": 1, "n": len(self.found(self.collections.get(f"{database}.{query['count']}", []), query.get("query", {})))}
        return {"ok": 1} if word in ("ping", "endSessions", "getlasterror") else {"ok": 0, "errmsg": f"no such command: {word}", "code": 59}

    def batch(self, documents, count):
        if documents is None:
            return self.pack(1, 0, [])
        size = abs(count) or 101
        cursor = 0
        if count >= 0 and len(documents) > size:
            cursor = next(self.numbers) << 33
            self.left[cursor] = documents[size:]
        return self.pack(0, cursor, documents[:size])

    @staticmethod
    def pack(flags, cursor, documents):
        return struct.pack("<iqii", flags, cursor, 0, len(documents)) + b"".join(map(bson.encode, documents))


# --- Servers and clients -----------------------------------------------------------------------------------------------


def secantus(folder, *options, storage=":memory:"):
    """SecantusDB: a replica set of one, with --standalone a server alone."""
    port = harness.free_port()
    return peers.Peer(folder, [sys.executable, "-m", "secantus", "--port", port, "--storage-path", storage, *options], port)


def java_server(folder):
    """mongo-java-server: of the time of the legacy opcodes."""
    java, maven = shutil.which("java"), shutil.which("mvn")
    if not java or not maven:
        pytest.skip("Java or Maven is not installed")
    source = Path(__file__).parent / "java"
    library = harness.BUILD.parent / "mongo-java-server" / MONGO_JAVA_SERVER
    if not library.exists():
        done = subprocess.run([maven, "-q", "-B", "-f", source / "pom.xml", f"-Dversion.server={MONGO_JAVA_SERVER}",
                               "dependency:copy-dependencies", f"-DoutputDirectory={library}.part"], capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            pytest.skip(f"mongo-java-server cannot be had here: {(done.stdout + done.stderr)[-500:]}")
        Path(f"{library}.part").rename(library)
    port = harness.free_port()
    return peers.Peer(folder, [java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-cp", f"{library}/*", source / "MongoServer.java", port], port)


def old_pymongo(version):
    """The folder of a PyMongo that still talks to old servers."""
    folder = harness.BUILD.parent / f"pymongo-{version}"
    if not folder.exists():
        done = subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", f"{folder}.part",
                               f"pymongo=={version}"], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"PyMongo {version} cannot be had here: {done.stderr[-500:]}")
        Path(f"{folder}.part").rename(folder)
    return folder


def run_old_pymongo(version, port, script):
    """What a script prints that has `client`, of a PyMongo of another version."""
    begin = f"import pymongo\nassert pymongo.version == {version!r}\nclient = pymongo.MongoClient('127.0.0.1', {port}, directConnection=True)\n"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", begin + script], capture_output=True, text=True, check=False, timeout=60 * harness.SLOWNESS,
                          env={**os.environ, "PYTHONPATH": str(old_pymongo(version))})
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_node(url, *arguments, seconds=60):
    """The official Node driver runs mongo_client.js; what it prints."""
    packages = harness.BUILD.parent / "mongo-node-client"
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        pytest.skip("Node is not installed")
    if not (packages / "node_modules" / "snappy").exists():
        packages.mkdir(parents=True, exist_ok=True)
        done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--save-exact", "--prefix", packages, *NODE_PACKAGES], capture_output=True,
                              text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"the Node driver cannot be had here: {done.stderr[-500:]}")
    source = Path(__file__).parent / "mongo_client.js"
    done = subprocess.run([node, source, url, *arguments], capture_output=True, text=True, timeout=seconds * harness.SLOWNESS, check=False,
                          env={**os.environ, "NODE_PATH": str(packages / "node_modules")})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
