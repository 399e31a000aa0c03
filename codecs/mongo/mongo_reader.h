#pragma once
// Reads the messages of one direction of a MongoDB connection where they were received, at any split. It never waits for the end
// of a message and never gathers one: a message passes through a walker that keeps names and numbers.
//
//   for (;;) switch (reader.next(bytes)) {    // moves `bytes` past what it looked at
//       case MongoStep::more: return;         // always call until here: `bytes` is empty then
//       case MongoStep::header: ...           // header(), left_bytes()
//       case MongoStep::facts: ...            // request() or reply()
//       case MongoStep::undecodable: ...      // failure()
//       case MongoStep::end: ...              // checksum(), consumed up to exactly the end of the message
//       case MongoStep::malformed: return ... // no further meaning: close, or pass on without looking
//     }
//
// Per message: one `header`; then at most one `facts` and at most one `undecodable` (which comes instead of facts, or after them
// when something behind them is broken); one `end`.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "codecs/mongo/mongo_facts.h"
#include "codecs/mongo/mongo_message.h"

namespace ringside {

class MongoMessageReader;

enum class MongoSide : uint8_t { requests, replies };

struct MongoReadOptions {
  MongoDepth depth = MongoDepth::command;
  uint32_t message_bytes_max = mongo::message_bytes_max;
  uint32_t uncompressed_bytes_max = 48'000'000;
  // How much of the kind 0 document (of the query of a legacy one) is kept for body(); 0: nothing. For mongo_shape().
  uint32_t body_kept_bytes_max = 0;
};

enum class MongoStep : uint8_t { more, header, facts, undecodable, end, malformed };

enum class MongoChecksum : uint8_t { none, good, bad };

// The states of the messages under way: one pool per worker; outlives its readers.
class MongoReaderPool {
 public:
  MongoReaderPool();
  ~MongoReaderPool();
  MongoReaderPool(const MongoReaderPool&) = delete;
  MongoReaderPool& operator=(const MongoReaderPool&) = delete;

  size_t in_use() const { return in_use_; }

 private:
  friend class MongoReader;
  std::unique_ptr<MongoMessageReader> take();
  void give_back(std::unique_ptr<MongoMessageReader> state);

  std::vector<std::unique_ptr<MongoMessageReader>> idle_;
  size_t in_use_ = 0;
};

class MongoReader {
 public:
  // The options must live as long; they may change between messages.
  MongoReader(MongoReaderPool& pool, const MongoReadOptions& options, MongoSide side);
  ~MongoReader();
  MongoReader(const MongoReader&) = delete;
  MongoReader& operator=(const MongoReader&) = delete;

  MongoStep next(std::string_view& bytes);

  // From `header` on, until the next message. OP_COMPRESSED is still what it says.
  const MongoHeader& header() const { return header_; }
  // From `facts` (or `undecodable`: what was read so far) to the call after `end`; of the side that the reader is for.
  const MongoRequest& request() const;
  const MongoReply& reply() const;
  // From `facts` to the call after `end`: the document's first bytes, see MongoReadOptions::body_kept_bytes_max.
  std::string_view body() const;
  // Of the present message, not yet consumed.
  uint32_t left_bytes() const { return left_bytes_; }
  bool between_messages() const { return left_bytes_ == 0 && gathered_bytes_ == 0; }
  MongoFailure failure() const { return failure_; }
  // At `end`: of an OP_MSG with a checksum. Not looked at inside of a compressed message.
  MongoChecksum checksum() const { return checksum_; }
  // After `header` or later: nothing of this message matters any more; `end` comes, no facts.
  void skip_message();

 private:
  enum class State : uint8_t { header, body, skipping, ended, malformed };

  MongoStep take_header(std::string_view& bytes);
  MongoStep take_body(std::string_view& bytes);
  MongoStep skip(std::string_view& bytes);
  void release();

  MongoReaderPool& pool_;
  const MongoReadOptions& options_;
  std::unique_ptr<MongoMessageReader> message_;  // while a message is under way
  MongoHeader header_;
  uint32_t left_bytes_ = 0;
  uint8_t gathered_bytes_ = 0;  // of a header that is not whole: in header_
  State state_ = State::header;
  MongoSide side_;
  MongoFailure failure_ = MongoFailure::none;
  MongoChecksum checksum_ = MongoChecksum::none;
};

static_assert(sizeof(MongoReader) <= 64, "there are two of them per connection");

}  // namespace ringside
