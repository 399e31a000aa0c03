#pragma once
// The requests that a generator sends, rendered once before the first of them goes.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::perf {

enum class Reuse : uint8_t { keep_alive, close };

struct RequestShape {
  std::string host = "bench.test";
  // '#' stands for four digits that run from 0000 to path_count - 1.
  std::string path = "/items/1024";
  uint32_t path_count = 1;
  uint64_t body_bytes = 0;    // more than 0 makes it a POST
  uint64_t answer_bytes = 0;  // what every answer must have
  Reuse reuse = Reuse::keep_alive;
};

// The paths in the order in which they are asked for, see RequestTexts.
std::vector<std::string> paths_of(const RequestShape& shape);

// Heads in the order in which they are sent, round and round. With many paths the order is a permutation that leaves no two
// neighbours beside each other, so that no table profits from the last look-up.
class RequestTexts {
 public:
  explicit RequestTexts(const RequestShape& shape);
  std::string_view next();
  const RequestShape& shape() const { return shape_; }
  size_t count() const { return heads_.size(); }

 private:
  RequestShape shape_;
  std::vector<std::string> heads_;
  size_t next_ = 0;
};

// The number at the end of a path, as the backend reads it; 0 when there is none.
uint64_t answer_bytes_of_path(std::string_view path);

}  // namespace ringside::perf
