#pragma once
// Heads and trailers as lists of fields: the choke point for what leaves us. Only fields that a message may carry are listed,
// and a name, value or pseudo-header field that could be read as more than that is refused.
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "codecs/http.h"
#include "codecs/http2/h2_hpack.h"

namespace ringside {

// What came of listing a head.
struct H2Listed {
  const char* wrong = nullptr;     // static text: it cannot be sent
  std::optional<uint64_t> length;  // content-length
};

// Each fills `fields`, whose views point into what was given.
H2Listed list_request(const Head& head, HpackFields& fields);
H2Listed list_response(const Head& head, HpackFields& fields);
// With another status than the head's.
H2Listed list_response(const Head& head, HpackFields& fields, uint16_t status);
H2Listed list_trailers(const HeaderMap& trailers, HpackFields& fields);

// Trailers that wait behind a body: where they came from may be gone when their turn comes.
class H2HeldTrailers {
 public:
  explicit operator bool() const { return text_ != nullptr; }
  void hold(const HeaderMap& trailers);
  H2Listed list(HpackFields& fields) const;
  void clear() { text_.reset(); }

 private:
  struct Sizes {
    uint32_t name;
    uint32_t value;
  };
  std::unique_ptr<char[]> text_;  // for each field its sizes, name and value
  uint32_t size_ = 0;
};

}  // namespace ringside
