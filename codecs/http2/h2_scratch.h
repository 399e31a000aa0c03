#pragma once
// Memory for one header block being received: taken with its first byte, given back with its last.
#include <cstdint>
#include <string_view>
#include <vector>

#include "codecs/header_map.h"
#include "codecs/http2/h2_hpack.h"
#include "codecs/http2/h2_limits.h"
#include "codecs/http2/h2_stats.h"

namespace ringside {

// Pseudo-header fields (RFC 9113 8.3, RFC 8441 4).
enum class H2Pseudo : uint8_t { none, method, scheme, authority, path, protocol, status };

// One decoded field: offsets into the text.
struct H2Line {
  uint32_t name = 0;
  uint32_t value = 0;
  uint32_t value_size = 0;
  uint16_t name_size = 0;
  HeaderId id = HeaderId::other;
  H2Pseudo pseudo = H2Pseudo::none;
  bool dropped = false;  // not to be forwarded
};

// Collects what the decoder emits and charges every byte of it, kept or not. Beyond a limit, or after a wrong field, the block
// is decoded on, because the dynamic table must be kept in step, but nothing of it is kept.
class H2Scratch final : public HpackUser {
 public:
  H2Scratch() = default;
  H2Scratch(const H2Scratch&) = delete;
  H2Scratch& operator=(const H2Scratch&) = delete;

  enum class Keep : bool { no, yes };
  void begin(const H2Limits& limits, H2Stats& stats, Keep keep);
  void on_field(std::string_view name, std::string_view value) override;
  // Static text; null while all is well.
  const char* wrong() const { return wrong_; }
  void refuse(const char* wrong) {
    if (wrong_ == nullptr) wrong_ = wrong;
  }
  // More than may be: not wrong, but too much.
  bool overflowed() const { return overflowed_; }
  // So far beyond the limits that decoding on is a gift.
  bool absurd() const;

  std::vector<H2Line>& lines() { return lines_; }
  const char* text() const { return text_.data(); }
  size_t text_size() const { return text_.size(); }
  std::string_view view(size_t offset, size_t size) const { return {text_.data() + offset, size}; }
  std::string_view value(const H2Line& line) const { return view(line.value, line.value_size); }
  std::string_view name(const H2Line& line) const {
    return line.id != HeaderId::other ? header_name(line.id) : view(line.name, line.name_size);
  }
  // Of the compressed block.
  uint32_t wire_bytes = 0;
  uint32_t continuations = 0;

  H2Scratch* next = nullptr;  // in the pool's list
  void shrink();

 private:
  bool take_name(std::string_view name, H2Line& line);
  const H2Limits* limits_ = nullptr;
  H2Stats* stats_ = nullptr;
  const char* wrong_ = nullptr;
  std::vector<char> text_;
  std::vector<H2Line> lines_;
  uint64_t decoded_bytes_ = 0;
  uint32_t decoded_count_ = 0;
  bool keep_ = true;
  bool overflowed_ = false;
  bool regular_seen_ = false;  // no pseudo-header field may follow
};

}  // namespace ringside
