// What is no compressed body, or a malicious one. Checked: nothing more comes out than was announced, memory stays a window's, and
// the reader goes on with the next message. Snappy's decoder is ours: it must say the same wherever its input is cut.
//
// Input: a byte that says which compressor, a byte that says how to cut, four bytes of announced size, then the compressed bytes.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "codecs/mongo/mongo_inflater.h"
#include "codecs/mongo/mongo_reader.h"
#include "core/check.h"

namespace {

using namespace ringside;

std::string header(int32_t length, MongoOpcode opcode) {
  std::string bytes(mongo::header_bytes, '\0');
  write_mongo_header({length, 1, 0, static_cast<int32_t>(opcode)}, bytes.data());
  return bytes;
}

void read_message(uint8_t compressor, uint32_t announced_bytes, std::string_view data, size_t cut) {
  std::string message = header(static_cast<int32_t>(mongo::header_bytes + 9 + data.size()), MongoOpcode::compressed);
  const auto opcode = static_cast<int32_t>(MongoOpcode::msg);
  message.append(reinterpret_cast<const char*>(&opcode), sizeof opcode);
  message.append(reinterpret_cast<const char*>(&announced_bytes), sizeof announced_bytes);
  message.push_back(static_cast<char>(compressor));
  message.append(data);
  message += header(mongo::header_bytes, MongoOpcode::msg);

  MongoReaderPool pool;
  const MongoReadOptions options{.depth = MongoDepth::deep};
  MongoReader reader(pool, options, MongoSide::requests);
  int ends = 0;
  std::string_view left = message;
  while (!left.empty()) {
    std::string_view piece = left.substr(0, cut);
    left.remove_prefix(piece.size());
    for (MongoStep step = reader.next(piece); step != MongoStep::more; step = reader.next(piece)) {
      RS_CHECK(step != MongoStep::malformed);
      if (step == MongoStep::end) ++ends;
    }
  }
  RS_CHECK(ends == 2 && pool.in_use() == 0);
}

std::string unsnapped(uint32_t announced_bytes, std::string_view data, size_t cut) {
  const std::unique_ptr<MongoInflater> inflater = make_snappy_inflater();
  inflater->begin(announced_bytes);
  std::string all;
  bool good = true;
  while (good && !data.empty() && all.size() <= 1 << 20) {
    std::string_view piece = data.substr(0, cut);
    data.remove_prefix(piece.size());
    for (std::string_view out = " "; good && (!out.empty() || !piece.empty());) {
      good = inflater->next(piece, out);
      all.append(out);
    }
  }
  RS_CHECK(all.size() <= announced_bytes);
  return all + (good ? "" : "broken");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 7 || size > 20000) return 0;
  const size_t cut = data[1] + size_t{1};
  uint32_t announced_bytes = 0;
  std::memcpy(&announced_bytes, data + 2, sizeof announced_bytes);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 6, size - 6);
  read_message(data[0] % 5, announced_bytes, bytes, cut);
  if (data[0] % 5 == 1 && announced_bytes <= 1 << 20)
    RS_CHECK(unsnapped(announced_bytes, bytes, cut) == unsnapped(announced_bytes, bytes, bytes.size()));
  return 0;
}
