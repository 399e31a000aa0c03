#pragma once
// What the first bytes of a connection say of the HTTP that it speaks. Sans-I/O; nothing is consumed.
#include <cstdint>
#include <string_view>

namespace ringside {

enum class HttpGuess : uint8_t {
  more,    // may become one of those below
  http10,  // and what says to be older
  http11,
  http2,   // the preface of HTTP/2 without TLS
  none,
};

// A request line that is longer than this is one of HTTP/1.1.
inline constexpr size_t guessed_line_bytes_max = 16 * 1024;

// `bytes` is everything received so far.
HttpGuess guess_http(std::string_view bytes);

}  // namespace ringside
