#pragma once
// Picks the facts of a reply out of its first document.
#include <array>
#include <cstdint>
#include <string_view>

#include "codecs/mongo/bson_walker.h"
#include "codecs/mongo/mongo_facts.h"
#include "codecs/mongo/mongo_texts.h"

namespace ringside {

class MongoReplyScan {
 public:
  // Facts and texts outlive the scan of the message.
  void begin(MongoReply& reply, MongoTexts& texts) {
    reply_ = &reply;
    texts_ = &texts;
    has_batch_ = false;
  }
  // The documents of a cursor were counted.
  bool has_batch() const { return has_batch_; }
  void on_element(BsonWalker& walker);
  void on_value(const BsonWalker& walker);
  void on_leave(const BsonWalker&) {}

 private:
  enum class Field : uint8_t;
  struct Fields;

  void on_field(BsonWalker& walker, Field field);
  void on_cursor(BsonWalker& walker);
  void want_code(BsonWalker& walker, Field field);
  void take_number(const BsonWalker& walker);
  void take_text(std::string_view text);
  MongoHelloFacts& hello() { return reply_->hello; }

  MongoReply* reply_ = nullptr;
  MongoTexts* texts_ = nullptr;
  Field wanted_{};
  Field list_{};  // what the elements at depth 1 are
  bool has_batch_ = false;
  bool batch_ = false;  // the elements at depth 2 are documents of a cursor
};

}  // namespace ringside
