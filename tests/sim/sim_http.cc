#include "tests/sim/sim_http.h"

#include <algorithm>
#include <charconv>
#include <cctype>

namespace ringside::sim {
namespace {

bool parse_number(std::string_view text, int base, size_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

}  // namespace

std::string_view HttpHead::field(const std::string& name) const {
  const auto found = fields.find(name);
  return found != fields.end() ? std::string_view(found->second) : std::string_view();
}

int HttpHead::status() const {
  size_t number = 0;
  return parse_number(std::string_view(start_line).substr(std::min<size_t>(9, start_line.size()), 3), 10, &number)
             ? static_cast<int>(number)
             : 0;
}

std::string HttpHead::method() const { return start_line.substr(0, start_line.find(' ')); }

bool MessageReader::fail(const char* problem) {
  problem_ = problem;
  return false;
}

bool MessageReader::read(std::string_view bytes) {
  if (problem_ != nullptr) return false;
  text_ += bytes;
  while (problem_ == nullptr && step()) {
  }
  return problem_ == nullptr;
}

void MessageReader::end() {
  if (state_ == State::until_close) end_message();
}

void MessageReader::end_message() {
  state_ = State::head;
  user_.on_message_end();
}

bool MessageReader::take_line(std::string* line) {
  const size_t end = text_.find('\n');
  if (end == std::string::npos) return false;
  if (end == 0 || text_[end - 1] != '\r') return fail("a line without CR");
  *line = text_.substr(0, end - 1);
  text_.erase(0, end + 1);
  return true;
}

// One step forward; false when more bytes are needed.
bool MessageReader::step() {
  std::string line;
  switch (state_) {
    case State::head:
      return read_head();
    case State::body_length:
    case State::chunk_data: {
      if (text_.empty()) return false;
      const size_t size = std::min(left_, text_.size());
      left_ -= size;
      user_.on_message_body(std::string_view(text_).substr(0, size));
      text_.erase(0, size);
      if (left_ > 0) return false;
      if (state_ == State::body_length)
        end_message();
      else
        state_ = State::chunk_end;
      return true;
    }
    case State::chunk_size:
      if (!take_line(&line)) return false;
      if (!parse_number(line, 16, &left_)) return fail("a chunk size that is none");
      state_ = left_ == 0 ? State::trailers : State::chunk_data;
      return true;
    case State::chunk_end:
      if (!take_line(&line)) return false;
      if (!line.empty()) return fail("bytes behind a chunk");
      state_ = State::chunk_size;
      return true;
    case State::trailers:
      if (!take_line(&line)) return false;
      if (line.empty()) end_message();
      return true;
    case State::until_close:
      if (text_.empty()) return false;
      user_.on_message_body(text_);
      text_.clear();
      return false;
  }
  return false;
}

bool MessageReader::read_head() {
  const size_t end = text_.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  std::string head_text = text_.substr(0, end + 2);
  text_.erase(0, end + 4);
  HttpHead head;
  size_t at = head_text.find("\r\n");
  head.start_line = head_text.substr(0, at);
  for (at += 2; at < head_text.size();) {
    const size_t line_end = head_text.find("\r\n", at);
    const std::string line = head_text.substr(at, line_end - at);
    at = line_end + 2;
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) return fail("a field without colon and space");
    std::string name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](char letter) { return static_cast<char>(std::tolower(letter)); });
    head.fields.emplace(std::move(name), line.substr(colon + 2));
  }
  if (kind_ == Kind::response && head.status() < 200) {
    if (head.status() < 100) return fail("a status line that is none");
    ++interims_;
    return true;
  }
  return begin_body(head);
}

bool MessageReader::begin_body(const HttpHead& head) {
  const std::string_view length = head.field("content-length");
  const bool chunked = head.field("transfer-encoding") == "chunked";
  if (chunked && !length.empty()) return fail("both content-length and transfer-encoding");
  left_ = 0;
  if (!length.empty() && !parse_number(length, 10, &left_)) return fail("a content-length that is none");
  const int status = kind_ == Kind::response ? head.status() : 0;
  user_.on_message_head(head);
  const bool bodiless = kind_ == Kind::response && (method_ == "HEAD" || status == 204 || status == 304);
  if (bodiless || (!chunked && length.empty() && kind_ == Kind::request) || (!length.empty() && left_ == 0)) {
    end_message();
  } else if (chunked) {
    state_ = State::chunk_size;
  } else {
    state_ = length.empty() ? State::until_close : State::body_length;
  }
  return true;
}

}  // namespace ringside::sim
