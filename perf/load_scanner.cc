#include "perf/load_scanner.h"

#include <algorithm>
#include <charconv>

namespace ringside::perf {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

bool equal_ignoring_case(std::string_view text, std::string_view lower_text) {
  return std::ranges::equal(text, lower_text, [](char a, char b) { return lower(a) == b; });
}

bool read_number(std::string_view text, int base, uint64_t* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number, base);
  return error == std::errc{} && stop == end;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::string_view header_of(std::string_view head, std::string_view lower_name) {
  for (size_t at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at)) {
    at += 2;
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), lower_name))
      return trimmed(line.substr(colon + 1));
  }
  return {};
}

void HttpScanner::reset() {
  head_ = {};
  head_text_.clear();
  line_.clear();
  body_bytes_ = left_bytes_ = 0;
  state_ = ScanState::head;
  body_matches_ = true;
}

size_t HttpScanner::feed(std::string_view bytes) {
  size_t used = 0;
  if (state_ == ScanState::head) used = feed_head(bytes);
  if (state_ == ScanState::body) used += feed_body(bytes.substr(used));
  return used;
}

size_t HttpScanner::feed_head(std::string_view bytes) {
  constexpr std::string_view end_mark = "\r\n\r\n";
  if (head_text_.empty()) {
    const size_t at = bytes.find(end_mark);
    if (at != std::string_view::npos) {
      end_head(bytes.substr(0, at + end_mark.size()));
      return at + end_mark.size();
    }
  }
  // The mark may straddle what came before.
  const size_t before = head_text_.size();
  head_text_.append(bytes);
  const size_t from = before < end_mark.size() ? 0 : before - (end_mark.size() - 1);
  const size_t at = head_text_.find(end_mark, from);
  if (at == std::string::npos) {
    if (head_text_.size() > head_bytes_max) state_ = ScanState::failed;
    return bytes.size();
  }
  head_text_.resize(at + end_mark.size());
  const size_t used = head_text_.size() - before;
  end_head(head_text_);
  return used;
}

void HttpScanner::end_head(std::string_view text) {
  state_ = ScanState::failed;
  std::string_view rest = text.substr(0, text.size() - 2);  // every line with its end
  for (bool first = true; !rest.empty(); first = false) {
    const size_t end = rest.find("\r\n");
    if (end == std::string_view::npos) return;
    const std::string_view line = rest.substr(0, end);
    if (first ? !read_start_line(line) : !read_header(line)) return;
    rest.remove_prefix(end + 2);
  }
  if ((head_.answer_head || head_.websocket) && text.data() != head_text_.data()) head_text_ = text;
  left_bytes_ = head_.chunked ? 0 : head_.content_bytes;
  part_ = head_.chunked ? Part::chunk_line : Part::length;
  state_ = head_.chunked || left_bytes_ > 0 ? ScanState::body : ScanState::done;
}

bool HttpScanner::read_start_line(std::string_view line) {
  if (line.starts_with("HTTP/1.")) {
    uint64_t status = 0;
    if (line.size() < 12 || line[8] != ' ' || !read_number(line.substr(9, 3), 10, &status)) return false;
    head_.status = static_cast<int>(status);
    return true;
  }
  const size_t begin = line.find(' ');
  const size_t end = line.rfind(' ');
  if (begin == std::string_view::npos || end <= begin) return false;
  std::string_view target = line.substr(begin + 1, end - begin - 1);
  target = target.substr(0, target.find('?'));
  const size_t slash = target.rfind('/');
  head_.answer_head =
      slash == std::string_view::npos || !read_number(target.substr(slash + 1), 10, &head_.answer_bytes);
  return true;
}

bool HttpScanner::read_header(std::string_view line) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  // Of all names only four matter, and these begin with three letters.
  const char first = lower(line[0]);
  if (first != 'c' && first != 't' && first != 'u') return true;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (equal_ignoring_case(name, "content-length")) return read_number(value, 10, &head_.content_bytes);
  if (equal_ignoring_case(name, "transfer-encoding")) return head_.chunked = equal_ignoring_case(value, "chunked");
  if (equal_ignoring_case(name, "upgrade")) head_.websocket = equal_ignoring_case(value, "websocket");
  if (equal_ignoring_case(name, "connection")) head_.close = equal_ignoring_case(value, "close");
  return true;
}

size_t HttpScanner::feed_body(std::string_view bytes) {
  size_t used = 0;
  while (used < bytes.size() && state_ == ScanState::body) {
    const bool is_data = part_ == Part::length || part_ == Part::chunk_data;
    used += is_data ? feed_data(bytes.substr(used)) : feed_line(bytes.substr(used));
  }
  return used;
}

size_t HttpScanner::feed_data(std::string_view bytes) {
  const std::string_view data = bytes.substr(0, left_bytes_);
  body_matches_ = body_matches_ && pattern_.matches(body_bytes_, data);
  body_bytes_ += data.size();
  left_bytes_ -= data.size();
  if (left_bytes_ > 0) return data.size();
  if (part_ == Part::length)
    state_ = ScanState::done;
  else
    part_ = Part::chunk_end;
  return data.size();
}

size_t HttpScanner::feed_line(std::string_view bytes) {
  const size_t end = bytes.find('\n');
  const size_t used = end == std::string_view::npos ? bytes.size() : end + 1;
  line_.append(bytes.substr(0, used));
  if (line_.size() > head_bytes_max) state_ = ScanState::failed;
  if (end == std::string_view::npos) return used;
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r')
    state_ = ScanState::failed;
  else
    end_line();
  line_.clear();
  return used;
}

void HttpScanner::end_line() {
  const std::string_view line = std::string_view(line_).substr(0, line_.size() - 2);
  if (part_ == Part::chunk_line) {
    if (!read_number(line.substr(0, line.find(';')), 16, &left_bytes_)) state_ = ScanState::failed;
    part_ = left_bytes_ > 0 ? Part::chunk_data : Part::trailer;
  } else if (part_ == Part::chunk_end) {
    if (!line.empty()) state_ = ScanState::failed;
    part_ = Part::chunk_line;
  } else if (line.empty()) {
    state_ = ScanState::done;
  }
}

}  // namespace ringside::perf
