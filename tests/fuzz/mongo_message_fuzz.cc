// Messages as either side may send them, cut as the input says. Checked: what is seen does not depend on the cuts, every message
// has its steps in order and ends where its header said, the pool comes back empty, and what is written in answer is well formed.
//
// Input: a byte of options, a byte that says how to cut, then the bytes of the connection.
#include <cstdint>
#include <memory>
#include <string>

#include "codecs/mongo/crc32c.h"
#include "codecs/mongo/mongo_hello.h"
#include "codecs/mongo/mongo_reader.h"
#include "codecs/mongo/mongo_writer.h"
#include "core/check.h"

namespace {

using namespace ringside;

// What was said, as one number: names, counts and bits.
class Digest {
 public:
  void add(std::string_view text) { value_ = crc32c(value_, text); }
  void add(int64_t number) { add(std::string_view(reinterpret_cast<const char*>(&number), sizeof number)); }
  uint32_t value() const { return value_; }

 private:
  uint32_t value_ = 0;
};

void add(Digest& digest, const MongoRequest& request) {
  for (const std::string_view text :
       {request.command_name, request.database, request.collection, request.comment, request.call_site,
        request.auth_mechanism, request.target.database, request.target.collection})
    digest.add(text);
  for (const MongoNamespace& name : request.foreign) digest.add(name.collection);
  digest.add(request.documents);
  digest.add(request.cursor_id);
  digest.add(request.max_time_ms);
  digest.add(request.writes() + 2 * request.uses_where + 4 * request.has_lsid + 8 * request.uses_code);
}

void add(Digest& digest, const MongoReply& reply) {
  digest.add(reply.code_name);
  digest.add(reply.cursor_namespace);
  for (const std::string_view host : reply.hello.hosts) digest.add(host);
  digest.add(reply.documents);
  digest.add(reply.cursor_id);
  digest.add(reply.n + reply.write_errors + reply.code);
  digest.add(reply.failed() + 2 * reply.hello.present);
}

class Fuzzed {
 public:
  Fuzzed(uint8_t options, std::string_view bytes, size_t cut)
      : side_((options & 4) != 0 ? MongoSide::replies : MongoSide::requests) {
    MongoReadOptions read;
    read.depth = static_cast<MongoDepth>(options % 3);
    read.message_bytes_max = 1 << 20;
    read.uncompressed_bytes_max = 1 << 20;
    read.body_kept_bytes_max = (options & 8) != 0 ? 100 : 0;
    MongoReader reader(pool_, read, side_);
    while (!bytes.empty() && !malformed_) {
      const std::string_view piece = bytes.substr(0, cut);
      bytes.remove_prefix(piece.size());
      const auto copy = std::make_unique<char[]>(piece.size());  // of its own, so that a look behind its end is seen
      piece.copy(copy.get(), piece.size());
      feed(reader, {copy.get(), piece.size()});
      if (reader.between_messages()) RS_CHECK(pool_.in_use() == 0);
    }
  }
  uint32_t digest() const { return digest_.value(); }

 private:
  void feed(MongoReader& reader, std::string_view bytes) {
    for (;;) {
      const MongoStep step = reader.next(bytes);
      if (step == MongoStep::more) {
        RS_CHECK(bytes.empty());
        return;
      }
      digest_.add(static_cast<int64_t>(step));
      take(reader, step);
      if (malformed_) return;
    }
  }
  void take(const MongoReader& reader, MongoStep step) {
    switch (step) {
      case MongoStep::more: return;
      case MongoStep::malformed: malformed_ = true; return;
      case MongoStep::header:
        RS_CHECK(!in_message_);
        in_message_ = true;
        had_facts_ = had_failure_ = false;
        return;
      case MongoStep::facts:
        RS_CHECK(in_message_ && !had_facts_ && !had_failure_);
        had_facts_ = true;
        digest_.add(reader.body());
        return add_facts(reader);
      case MongoStep::undecodable:
        RS_CHECK(in_message_ && !had_failure_ && reader.failure() != MongoFailure::none);
        had_failure_ = true;
        digest_.add(static_cast<int64_t>(reader.failure()));
        return;
      case MongoStep::end:
        RS_CHECK(in_message_ && reader.left_bytes() == 0 && (had_facts_ || had_failure_));
        in_message_ = false;
        digest_.add(static_cast<int64_t>(reader.checksum()));
        return add_facts(reader);
    }
  }
  void add_facts(const MongoReader& reader) {
    if (side_ == MongoSide::replies) return add(digest_, reader.reply());
    add(digest_, reader.request());
    const std::string answer = mongo_error_reply(reader.header(), reader.request(), {.message = "no"}, 5);
    if (answer.empty()) return;
    std::string_view bytes = answer;
    MongoReaderPool pool;
    const MongoReadOptions options;
    MongoReader again(pool, options, MongoSide::replies);
    RS_CHECK(again.next(bytes) == MongoStep::header && again.next(bytes) == MongoStep::facts && again.reply().failed());
    RS_CHECK(again.next(bytes) == MongoStep::end && bytes.empty());
  }

  MongoSide side_;
  MongoReaderPool pool_;
  Digest digest_;
  bool in_message_ = false;
  bool had_facts_ = false;
  bool had_failure_ = false;
  bool malformed_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || size > 20000) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const uint32_t whole = Fuzzed(data[0], bytes, bytes.size()).digest();
  RS_CHECK(Fuzzed(data[0], bytes, data[1] % 64u + 1).digest() == whole);
  const MongoHostAlias aliases[] = {{"a:1", "b:2"}};
  (void)rewrite_hello_reply(bytes, {.aliases = aliases, .other_hosts = "c:3", .compressors_kept = data[0]});
  (void)rewrite_hello_request(bytes, {.compressors_kept = data[1]});
  return 0;
}
