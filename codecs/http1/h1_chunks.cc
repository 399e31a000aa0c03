#include "codecs/http1/h1_chunks.h"

#include "codecs/http1/h1_limits.h"
#include "core/check.h"

namespace ringside {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

void H1ChunkReader::take(size_t bytes) {
  RS_DCHECK(place_ == Place::data && bytes <= data_left_);
  data_left_ -= bytes;
  if (data_left_ == 0) place_ = Place::data_cr;
}

H1ChunkReader::Step H1ChunkReader::advance(std::string_view bytes, size_t& consumed, const char*& failure) {
  consumed = 0;
  while (place_ != Place::data && consumed < bytes.size()) {
    const char byte = bytes[consumed];
    if (place_ == Place::last && byte != '\r') return Step::trailers;
    const bool ends = place_ == Place::last_lf && byte == '\n';
    failure = on_byte(byte);
    if (failure != nullptr) return Step::failed;
    ++consumed;
    if (ends) return Step::end;
  }
  return place_ == Place::data ? Step::data : Step::more;
}

// Returns what is wrong, or null.
const char* H1ChunkReader::on_byte(char byte) {
  switch (place_) {
    case Place::size_first:
    case Place::size_next: {
      const int digit = hex_value(byte);
      if (digit < 0) return on_size_end(byte);
      if (digits_ == h1::chunk_size_digits_max || data_left_ > (UINT64_MAX >> 5)) return "chunk size is too large";
      data_left_ = data_left_ * 16 + static_cast<uint64_t>(digit);
      ++digits_;
      place_ = Place::size_next;
      return nullptr;
    }
    case Place::extension: {
      if (byte == '\r') {
        place_ = Place::size_lf;
        return nullptr;
      }
      const auto code = static_cast<unsigned char>(byte);
      if ((code < 0x20 && byte != '\t') || code >= 0x7f) return "invalid character in a chunk extension";
      ++extension_bytes_;
      ++extension_bytes_total_;
      if (extension_bytes_ > h1::chunk_extension_bytes_max || extension_bytes_total_ > h1::extension_bytes_total_max)
        return "chunk extensions are too long";
      return nullptr;
    }
    case Place::size_lf:
      if (byte != '\n') return "chunk line does not end in CRLF";
      place_ = data_left_ == 0 ? Place::last : Place::data;
      return nullptr;
    case Place::data_cr:
      if (byte != '\r') return "chunk data does not end in CRLF";
      place_ = Place::data_lf;
      return nullptr;
    case Place::data_lf:
      if (byte != '\n') return "chunk data does not end in CRLF";
      place_ = Place::size_first;
      digits_ = 0;
      extension_bytes_ = 0;
      return nullptr;
    case Place::last:  // a CR, as advance() saw
      place_ = Place::last_lf;
      return nullptr;
    case Place::last_lf: return byte == '\n' ? nullptr : "chunked body does not end in CRLF";
    case Place::data: break;
  }
  check_failed("no framing inside of chunk data");
}

const char* H1ChunkReader::on_size_end(char byte) {
  if (digits_ == 0) return "chunk size is no hexadecimal number";
  if (byte == '\r') {
    place_ = Place::size_lf;
    return nullptr;
  }
  if (byte == ';') {
    place_ = Place::extension;
    return nullptr;
  }
  return "chunk size is no hexadecimal number";
}

}  // namespace ringside
