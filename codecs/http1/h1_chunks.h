#pragma once
// The chunked coding (RFC 9112 7.1), read strictly: hexadecimal digits in checked arithmetic, exact CRLF, bounded extensions.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

class H1ChunkReader {
 public:
  enum class Step : uint8_t {
    more,      // everything was framing, the body goes on
    data,      // data_left() bytes of body are next, as far as they are there
    trailers,  // the first byte of a trailer section is next
    end,       // the body is complete, without trailers
    failed,
  };
  void begin() { *this = H1ChunkReader(); }
  // Takes framing from the front of `bytes`.
  Step advance(std::string_view bytes, size_t& consumed, const char*& failure);
  uint64_t data_left() const { return data_left_; }
  // Bytes of data that come next; 0 while the line with their number is still being read.
  uint64_t data_due() const { return place_ == Place::data ? data_left_ : 0; }
  // So many body bytes were taken.
  void take(size_t bytes);

 private:
  enum class Place : uint8_t { size_first, size_next, extension, size_lf, data, data_cr, data_lf, last, last_lf };
  const char* on_byte(char byte);
  const char* on_size_end(char byte);

  uint64_t data_left_ = 0;
  uint32_t extension_bytes_total_ = 0;
  uint16_t extension_bytes_ = 0;
  Place place_ = Place::size_first;
  uint8_t digits_ = 0;
};

}  // namespace ringside
