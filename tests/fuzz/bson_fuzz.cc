// A document, or what claims to be one. Checked: cuts make no difference to what is walked, what the walker accepts whole the
// cursor accepts, and the shape keeps its bound whatever stands in the document.
//
// Input: a byte that says how to cut, a byte that says what is entered and wanted, then the document.
#include <cstdint>
#include <memory>
#include <string>

#include "codecs/mongo/bson_cursor.h"
#include "codecs/mongo/bson_walker.h"
#include "codecs/mongo/mongo_shape.h"
#include "core/check.h"

namespace {

using namespace ringside;

struct Walked {
  std::string text;
  bool done = false;
};

void choose(BsonWalker& walker, uint8_t choices) {
  const bool container = walker.type() == BsonType::document || walker.type() == BsonType::array;
  if (container && (choices & 1) != 0) walker.enter();
  if (!container && (choices & 2) != 0) walker.want();
}

Walked walk(std::string_view document, size_t cut, uint8_t choices) {
  BsonWalker walker;
  walker.begin(static_cast<uint32_t>(document.size()));
  Walked walked;
  while (!document.empty()) {
    const std::string_view piece = document.substr(0, cut);
    document.remove_prefix(piece.size());
    const auto copy = std::make_unique<char[]>(piece.size());
    piece.copy(copy.get(), piece.size());
    std::string_view bytes(copy.get(), piece.size());
    for (BsonStep step = walker.next(bytes); step != BsonStep::more; step = walker.next(bytes)) {
      walked.text += static_cast<char>(step);
      if (step == BsonStep::element) {
        walked.text.append(walker.key());
        choose(walker, choices);
      } else if (step == BsonStep::value) {
        walked.text.append(walker.text());
        RS_CHECK(walker.truth() || walker.number() == 0);
      } else if (step == BsonStep::done || step == BsonStep::broken) {
        walked.done = step == BsonStep::done;
        walked.text += static_cast<char>(walker.failure());
        return walked;
      }
    }
  }
  return walked;
}

bool cursor_takes(std::string_view document) {
  BsonCursor cursor(document);
  for (BsonElement element; cursor.next(element);) RS_CHECK(element.whole.size() >= element.value.size());
  return cursor.good();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3 || size > 20000) return 0;
  const std::string_view document(reinterpret_cast<const char*>(data) + 2, size - 2);
  const Walked whole = walk(document, document.size(), data[1]);
  const Walked pieces = walk(document, data[0] % 64u + 1, data[1]);
  RS_CHECK(whole.text == pieces.text && whole.done == pieces.done);
  // With nothing entered, both skip by the same lengths.
  if ((data[1] & 3) == 0) RS_CHECK(!whole.done || cursor_takes(document));
  std::string shape;
  append_mongo_shape(shape, document, size_t{data[0]} * 4);
  RS_CHECK(shape.size() <= std::max<size_t>(size_t{data[0]} * 4, 64) && shape.front() == '{' && shape.back() == '}');
  return 0;
}
