// What reading MongoDB messages costs, facts included.
#include "codecs/mongo/bson_writer.h"
#include "codecs/mongo/mongo_reader.h"
#include "codecs/mongo/mongo_shape.h"
#include "codecs/mongo/mongo_writer.h"
#include "perf/micro_bench.h"

#include <cstdlib>
#include <string>

namespace ringside::perf {
namespace {

[[noreturn]] void fail(const char* what) {
  fmt::print(stderr, "micro-mongo: {}\n", what);
  std::exit(1);
}

// As a driver sends it: a filter, a limit, a session, the cluster's time, the database.
std::string find_body() {
  std::string bytes;
  BsonWriter body(bytes);
  body.text("find", "users");
  body.head(BsonType::document, "filter");
  BsonWriter(bytes).int32("_id", 4711).end();
  body.int32("limit", 1);
  body.head(BsonType::boolean, "singleBatch").copy(std::string_view("\x01", 1));
  body.head(BsonType::document, "lsid");
  BsonWriter lsid(bytes);
  lsid.head(BsonType::binary, "id")
      .copy(std::string_view("\x10\x00\x00\x00\x04"
                             "0123456789abcdef",
                             21));
  lsid.end();
  body.text("$db", "shop");
  body.head(BsonType::document, "$readPreference");
  BsonWriter(bytes).text("mode", "primaryPreferred").end();
  body.end();
  return bytes;
}

std::string reply_body(int documents) {
  std::string bytes;
  BsonWriter body(bytes);
  body.head(BsonType::document, "cursor");
  BsonWriter cursor(bytes);
  cursor.head(BsonType::array, "firstBatch");
  BsonWriter batch(bytes);
  for (int at = 0; at < documents; ++at) {
    batch.head(BsonType::document, fmt::to_string(at));
    BsonWriter(bytes)
        .int32("_id", at)
        .text("name", "somebody")
        .text("address", "a street in a town of a country")
        .end();
  }
  batch.end();
  cursor.head(BsonType::int64, "id").copy(std::string_view("\0\0\0\0\0\0\0\0", 8));
  cursor.text("ns", "shop.users").end();
  body.real("ok", 1.0).end();
  return bytes;
}

class Bench {
 public:
  explicit Bench(MongoSide side, MongoReadOptions options = {}) : options_(options), reader_(pool_, options_, side) {}
  void read(std::string_view bytes) {
    int ends = 0;
    for (;;) {
      const MongoStep step = reader_.next(bytes);
      if (step == MongoStep::undecodable || step == MongoStep::malformed) fail("it was not read");
      if (step == MongoStep::end) ++ends;
      if (step == MongoStep::more) break;
    }
    if (ends != 1) fail("a message did not end");
    keep(reader_.failure());
  }

 private:
  MongoReaderPool pool_;
  MongoReadOptions options_;
  MongoReader reader_;
};

void run() {
  const std::string find = mongo_message(find_body(), 1, 0);
  const std::string one = mongo_message(reply_body(1), 2, 1);
  const std::string hundred = mongo_message(reply_body(100), 2, 1);
  Bench requests(MongoSide::requests);
  Bench names(MongoSide::requests, {.depth = MongoDepth::names});
  Bench deep(MongoSide::requests, {.depth = MongoDepth::deep, .body_kept_bytes_max = 2048});
  Bench replies(MongoSide::replies);
  micro_bench("a find, its top level", [&] { requests.read(find); });
  micro_bench("a find, names only", [&] { names.read(find); });
  micro_bench("a find, to its leaves, body kept", [&] { deep.read(find); });
  micro_bench("a reply with one document", [&] { replies.read(one); });
  micro_bench("a reply with 100 documents", [&] { replies.read(hundred); });
  micro_bench("a find and its reply", [&] {
    requests.read(find);
    replies.read(one);
  });
  const std::string body = find_body();
  std::string shape;
  micro_bench("the shape of a find", [&] {
    shape.clear();
    append_mongo_shape(shape, body, 1024);
    keep(shape.size());
  });
}

}  // namespace
}  // namespace ringside::perf

int main() {
  ringside::perf::run();
  return 0;
}
