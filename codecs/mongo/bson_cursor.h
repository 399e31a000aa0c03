#pragma once
// The elements of one document that lies in memory, or of as much of it as there is. Not for what streams by: see BsonWalker.
#include <cstdint>
#include <string_view>

#include "codecs/mongo/bson_walker.h"

namespace ringside {

struct BsonElement {
  BsonType type = BsonType::end;
  std::string_view key;
  std::string_view value;  // as it lies there; of a cut document perhaps not all of it
  std::string_view whole;  // with type and key

  // Of a text, code or symbol that is whole; else empty.
  std::string_view text() const;
};

class BsonCursor {
 public:
  explicit BsonCursor(std::string_view document);
  // false: there is no further one, see good().
  bool next(BsonElement& element);
  // After the last one: the document was whole and every length fitted.
  bool good() const { return good_; }

 private:
  std::string_view left_;
  bool whole_ = false;
  bool good_ = false;
};

}  // namespace ringside
