#include "proxy/listener/http_guess.h"

#include <algorithm>
#include <cstring>

#include "codecs/http2/h2_frame.h"

namespace ringside {
namespace {

constexpr size_t method_bytes_max = 32;

bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }
bool is_method_character(char byte) {
  return (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') || is_digit(byte) ||
         (byte != '\0' && std::strchr("!#$%&'*+-.^_`|~", byte) != nullptr);
}
bool is_line_character(char byte) { return byte >= ' ' && byte != '\x7f'; }

// What a line says that ends in " HTTP/1.1" or the like. Whether the rest of it is good, the codec decides.
HttpGuess guess_version(std::string_view line) {
  constexpr std::string_view shape = " HTTP/0.0";
  if (line.size() < shape.size()) return HttpGuess::none;
  const std::string_view end = line.substr(line.size() - shape.size());
  if (!end.starts_with(" HTTP/") || !is_digit(end[6]) || end[7] != '.' || !is_digit(end[8])) return HttpGuess::none;
  if (end.ends_with("1.1")) return HttpGuess::http11;
  return end[6] <= '1' ? HttpGuess::http10 : HttpGuess::none;
}

}  // namespace

HttpGuess guess_http(std::string_view bytes) {
  const std::string_view preface = h2::preface;
  if (bytes.starts_with(preface)) return HttpGuess::http2;
  if (preface.starts_with(bytes)) return HttpGuess::more;
  const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
  const bool whole = end < bytes.size();
  const std::string_view line = bytes.substr(0, end);
  const size_t space = std::min(line.find(' '), line.size());
  if (space == 0 || space > method_bytes_max || !std::ranges::all_of(line.substr(0, space), is_method_character))
    return HttpGuess::none;
  if (!std::ranges::all_of(line.substr(space), is_line_character)) return HttpGuess::none;
  if (whole) return guess_version(line.substr(space));
  return line.size() > guessed_line_bytes_max ? HttpGuess::http11 : HttpGuess::more;
}

}  // namespace ringside
