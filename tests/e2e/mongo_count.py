"""What the statistics of the MongoDB filter must say, counted from recorded bytes with PyMongo's bson alone."""

import collections
import json

import mongo_peers
from mongo_peers import CHECKSUM, COMPRESSED, COMPRESSORS, DELETE, EXHAUST, GET_MORE, INSERT, KILL_CURSORS, MORE_TO_COME, MSG, QUERY, \
    REPLY, UPDATE

ALIASES = {"ismaster": "isMaster", "findandmodify": "findAndModify", "collstats": "collStats", "dbstats": "dbStats",
           "getlasterror": "getLastError", "buildinfo": "buildInfo"}
# Commands whose first value is the name of a collection.
OF_COLLECTION = {"find", "insert", "update", "delete", "findAndModify", "aggregate", "count", "distinct", "killCursors", "create", "drop",
                 "createIndexes", "dropIndexes", "listIndexes", "collStats"}
WRITES = {"insert", "update", "delete", "findAndModify", "create", "drop", "createIndexes", "dropIndexes"}
HELLO = {"hello", "isMaster"}
OPCODES = {MSG: "op_msg", QUERY: "op_query", GET_MORE: "op_get_more", INSERT: "op_insert", UPDATE: "op_update", DELETE: "op_delete",
           KILL_CURSORS: "op_kill_cursors"}
# Of servers that send no names: those that the proxy knows and a test provokes.
CODES = {17: "ProtocolError", 59: "CommandNotFound"}
QUERY_FLAGS = {1: "op_query_tailable_cursor", 4: "op_query_no_cursor_timeout", 5: "op_query_await_data", 6: "op_query_exhaust"}


class Request:
    """A request, told of in words that do not depend on its opcode."""

    def __init__(self, message, size):
        self.opcode, self.request_id, self.size, self.flags = message.opcode, message.request_id, size, 0
        self.command = self.database = self.collection = None  # of a command: its name
        self.document, self.follower = {}, False
        if message.opcode == MSG:
            self.flags, self.document, sections = mongo_peers.parse_msg(message.body)
            self.database = self.document["$db"]
            self.document = self.document | sections
        elif message.opcode == QUERY:
            self.query_flags, name, self.document = mongo_peers.parse_query(message.body)
            self.database, _, self.collection = name.partition(".")
        elif message.opcode != KILL_CURSORS:
            name = message.body[4:].partition(b"\0")[0].decode()
            self.database, _, self.collection = name.partition(".")
        if message.opcode == MSG or self.collection == "$cmd":
            self.name_command()

    def name_command(self):
        key, value = next(iter(self.document.items()))
        self.command, self.collection = ALIASES.get(key, key), None
        if self.command in OF_COLLECTION and isinstance(value, str):
            self.collection = value
        elif self.command == "getMore":
            self.collection = self.document["collection"]

    @property
    def answered(self):
        return not self.flags & MORE_TO_COME if self.opcode == MSG else self.opcode in (QUERY, GET_MORE)

    @property
    def unacknowledged(self):
        return self.opcode == MSG and (bool(self.flags & MORE_TO_COME) or self.document.get("writeConcern", {}).get("w") == 0)

    @property
    def writes(self):
        if not self.command:
            return self.opcode in (INSERT, UPDATE, DELETE)
        return self.command in WRITES or any("$out" in stage or "$merge" in stage for stage in self.document.get("pipeline", []))

    @property
    def finds(self):
        return self.command == "find" or (self.opcode == QUERY and not self.command)

    @property
    def id_query(self):
        """scatter_get, multi_get or nothing, of a query."""
        query = self.document.get("filter", {}) if self.command else self.document.get("$query", self.document)
        if "_id" not in query:
            return "scatter_get"
        return "multi_get" if isinstance(query["_id"], dict | list) else None


class Count:
    """Names below mongo.<prefix>. with their values; histograms apart: {name: [values]}."""

    def __init__(self, commands):
        self.commands, self.values, self.histograms = set(commands), collections.Counter(), collections.defaultdict(list)

    def add(self, recorder):
        for session in recorder.sessions:
            OneConnection(self).run(session)
        return self


class OneConnection:
    def __init__(self, count):
        self.count, self.values = count, count.values
        self.pending, self.met, self.mechanism = {}, False, None
        self.follower, self.follower_ids = None, ()  # the exhaust request under way; what its next reply may answer

    def run(self, session):
        """Requests first, then replies: who answers what does not depend on when."""
        for message in mongo_peers.split(session.requests):
            self.request(*self.opened(message))
        for message in mongo_peers.split(session.replies):
            self.reply(*self.opened(message))
        self.values["request_unanswered"] += len(self.pending) + (self.follower is not None)

    def opened(self, message):
        """(the message without its compression, its body's size)"""
        if message.opcode != COMPRESSED:
            return message, len(message.body)
        size = message.size
        message, number = mongo_peers.decompressed(message)
        self.values["op_compressed." + next(name for name, its in COMPRESSORS.items() if its == number)] += 1
        self.values["compressed_bytes"] += size
        self.values["uncompressed_bytes"] += message.size
        return message, len(message.body)

    def checksum(self, message):
        if message.opcode == MSG and message.body[0] & CHECKSUM:
            self.values["checksum_present"] += 1
            whole = message.pack()
            if mongo_peers.with_checksum(whole) != whole:
                self.values["checksum_bad"] += 1

    # --- requests ------------------------------------------------------------------------------------------------------

    def request(self, message, size):
        self.checksum(message)
        if message.opcode not in OPCODES:
            self.values.update(["decoding_error", "unknown_opcode"])
            return
        self.values[OPCODES[message.opcode]] += 1
        if message.opcode == KILL_CURSORS:
            self.values["cursor_killed"] += int.from_bytes(message.body[4:8], "little")
            return
        request = Request(message, size)
        self.flags(request)
        self.client(request)
        self.named(request)
        self.query(request)
        if request.answered:
            self.pending[message.request_id] = request

    def flags(self, request):
        if request.opcode == MSG:
            self.values["more_to_come"] += bool(request.flags & MORE_TO_COME)
            self.values["exhaust"] += bool(request.flags & EXHAUST)
        self.values["unacknowledged_write"] += request.unacknowledged
        self.values["txn_started"] += request.document.get("startTransaction") is True
        if request.command == "killCursors":
            self.values["cursor_killed"] += len(request.document["cursors"])
        if request.opcode == QUERY:
            for bit, name in QUERY_FLAGS.items():
                self.values[name] += request.query_flags >> bit & 1

    def client(self, request):
        if self.met or "client" not in request.document or request.command not in HELLO:
            return
        self.met = True
        client = request.document["client"]
        if "application" in client:
            self.values[f"app.{client['application']['name']}.cx_total"] += 1
        self.values[f"driver.{client['driver']['name']}.cx_total"] += 1

    def named(self, request):
        """Of the command, and of database and collection."""
        request.groups = []
        if request.command and (request.command != "find" or "find" in self.count.commands):
            request.groups.append("cmd." + (request.command if request.command in self.count.commands else "unknown_command"))
        if request.collection:
            where = f"db.{request.database}.coll.{request.collection}"
            request.groups.append(where)
            self.values[f"{where}.write" if request.writes else f"{where}.read"] += 1
        for group in request.groups:
            self.values[f"{group}.total"] += 1
            self.count.histograms[f"{group}.request_size"].append(max(request.size - (5 if request.opcode == MSG else 0), 0))

    def query(self, request):
        request.queries = []
        if not request.finds:
            return
        document = request.document
        if not (document.get("maxTimeMS") if request.command else document.get("$maxTimeMS")):
            self.values["op_query_no_max_time"] += 1
        request.queries.append(f"collection.{request.collection}.query")
        comment = document.get("comment") if request.command else document.get("$comment")
        try:
            site = json.loads(comment)["callingFunction"]
            request.queries.append(f"collection.{request.collection}.callsite.{site}.query")
        except (TypeError, ValueError, KeyError):
            pass
        if kind := request.id_query:
            self.values[f"op_query_{kind}"] += 1
        for group in request.queries:
            self.values[f"{group}.total"] += 1
            if kind:
                self.values[f"{group}.{kind}"] += 1

    # --- replies -------------------------------------------------------------------------------------------------------

    def reply(self, message, size):
        self.checksum(message)
        assert message.opcode in (MSG, REPLY)
        self.values["op_msg_reply" if message.opcode == MSG else "op_reply"] += 1
        flags, cursor, found = mongo_peers.parse_msg(message.body)[:2] + (None,) if message.opcode == MSG else \
            mongo_peers.parse_reply(message.body)
        if message.opcode == REPLY:
            self.values["op_reply_cursor_not_found"] += flags & 1
            self.values["op_reply_query_failure"] += flags >> 1 & 1
            self.values["op_reply_valid_cursor"] += cursor != 0
        if message.response_to in self.follower_ids:
            request, self.follower, self.follower_ids = self.follower, None, ()
        else:
            request = self.pending.pop(message.response_to, None)
        if request is None:
            self.values["reply_unexpected"] += 1
            return
        if message.opcode == MSG:
            document, more = cursor, bool(flags & MORE_TO_COME)
            whole = document.get("cursor", {})
            cursor, found = whole.get("id", 0), whole.get("firstBatch", whole.get("nextBatch", []))
            has_cursor = "cursor" in document
        else:
            more, has_cursor = False, True
            document = found[0] if request.command else {"ok": 0 if flags & 3 else 1, "lost": flags & 1, "code": found[0].get("code") if flags & 2 else 0}
            if request.command:
                whole = document.get("cursor", {})
                cursor, found, has_cursor = whole.get("id", 0), whole.get("firstBatch", whole.get("nextBatch", found)), "cursor" in document
        failed = not document.get("ok", 1)
        self.errors(request, document, failed)
        self.cursors(request, document, failed, cursor, has_cursor)
        self.transactions(request, failed)
        self.authentication(request, document, failed)
        for group in request.groups + request.queries:
            self.count.histograms[f"{group}.reply_num_docs"].append(len(found))
            self.count.histograms[f"{group}.reply_size"].append(size - (5 if message.opcode == MSG else 20))
        if more:
            request.follower = True
            self.follower, self.follower_ids = request, (request.request_id, message.request_id)

    def errors(self, request, document, failed):
        write_errors = document.get("nErrors") or len(document.get("writeErrors", []))
        self.values["write_error"] += write_errors
        self.values["write_concern_error"] += "writeConcernError" in document
        if failed:
            self.values["command_error"] += 1
            self.values[f"error.{document.get('codeName') or CODES.get(document.get('code'), '_other')}.total"] += 1
        if failed or write_errors or "writeConcernError" in document:
            for group in request.groups:
                self.values[f"{group}.error"] += 1

    def cursors(self, request, document, failed, cursor, has_cursor):
        if request.command == "getMore" or request.opcode == GET_MORE or request.follower:
            if document.get("code") == 43 or document.get("lost"):
                self.values["cursor_not_found"] += 1
            elif not failed and cursor == 0 and has_cursor:
                self.values["cursor_exhausted"] += 1
        elif cursor:
            self.values["cursor_opened"] += 1

    def transactions(self, request, failed):
        if not failed:
            self.values["txn_committed"] += request.command == "commitTransaction"
            self.values["txn_aborted"] += request.command == "abortTransaction"

    def authentication(self, request, document, failed):
        if request.command == "saslStart":
            self.mechanism = request.document["mechanism"]
        elif request.command in HELLO and "speculativeAuthenticate" in request.document:
            self.mechanism = request.document["speculativeAuthenticate"].get("mechanism")
            return  # a conversation follows
        elif request.command != "saslContinue":
            return
        if failed or document.get("done"):
            self.values[f"auth.{self.mechanism}." + ("failure" if failed else "success")] += 1
