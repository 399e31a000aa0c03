#include "proxy/listener/http_guess.h"

#include <algorithm>

#include "codecs/http2/h2_frame.h"

namespace ringside {
namespace {

constexpr size_t method_bytes_max = 32;

bool is_method_character(char byte) { return (byte >= 'A' && byte <= 'Z') || byte == '-'; }
bool is_target_character(char byte) { return byte > ' ' && byte != '\x7f'; }
bool is_digit(char byte) { return byte >= '0' && byte <= '9'; }

// "HTTP/1.1" or the beginning of such a word.
bool begins_like_version(std::string_view word) {
  constexpr std::string_view shape = "HTTP/0.0";
  if (word.size() > shape.size()) return false;
  for (size_t at = 0; at < word.size(); ++at)
    if (shape[at] == '0' ? !is_digit(word[at]) : word[at] != shape[at]) return false;
  return true;
}

}  // namespace

HttpGuess guess_http(std::string_view bytes) {
  const std::string_view preface = h2::preface;
  if (bytes.starts_with(preface)) return HttpGuess::http2;
  if (preface.starts_with(bytes)) return HttpGuess::more;
  const size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
  const bool whole = end < bytes.size();
  const std::string_view line = bytes.substr(0, end);
  const size_t first_space = std::min(line.find(' '), line.size());
  if (first_space == 0 || first_space > method_bytes_max) return HttpGuess::none;
  if (!std::ranges::all_of(line.substr(0, first_space), is_method_character)) return HttpGuess::none;
  if (first_space == line.size()) return whole ? HttpGuess::none : HttpGuess::more;
  const std::string_view rest = line.substr(first_space + 1);
  const size_t second_space = std::min(rest.find(' '), rest.size());
  if (!std::ranges::all_of(rest.substr(0, second_space), is_target_character)) return HttpGuess::none;
  if (whole && second_space == 0) return HttpGuess::none;
  if (second_space == rest.size()) {
    if (whole) return HttpGuess::http10;  // "GET /" of HTTP/0.9
    return line.size() > guessed_line_bytes_max ? HttpGuess::http11 : HttpGuess::more;
  }
  const std::string_view version = rest.substr(second_space + 1);
  if (second_space == 0 || !begins_like_version(version)) return HttpGuess::none;
  if (!whole) return HttpGuess::more;
  if (version == "HTTP/1.1") return HttpGuess::http11;
  return version.starts_with("HTTP/1.") || version.starts_with("HTTP/0.") ? HttpGuess::http10 : HttpGuess::none;
}

}  // namespace ringside
