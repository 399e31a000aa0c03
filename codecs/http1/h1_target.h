#pragma once
// Request targets (RFC 9112 3.2).
#include <string_view>

namespace ringside::h1 {

struct Target {
  std::string_view scheme;     // "http" or "https" for the absolute form
  std::string_view authority;  // of the absolute form and of CONNECT
  std::string_view path;       // begins with '/' or '?', or is "*" or empty
};

// Splits a target; null when it is good, otherwise what is wrong.
const char* parse_target(std::string_view method, std::string_view text, Target& target);

}  // namespace ringside::h1
