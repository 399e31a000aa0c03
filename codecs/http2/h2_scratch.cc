#include "codecs/http2/h2_scratch.h"

#include "codecs/http_text.h"

namespace ringside {
namespace {

constexpr size_t kept_text_bytes = 16 * 1024;
constexpr size_t kept_lines = 256;
// How far beyond the limit a list may be before the connection is given up.
constexpr uint64_t absurd_factor = 16;

H2Pseudo pseudo_of(std::string_view name) {
  if (name == ":method") return H2Pseudo::method;
  if (name == ":scheme") return H2Pseudo::scheme;
  if (name == ":authority") return H2Pseudo::authority;
  if (name == ":path") return H2Pseudo::path;
  if (name == ":protocol") return H2Pseudo::protocol;
  if (name == ":status") return H2Pseudo::status;
  return H2Pseudo::none;
}

// A token without capital letters (RFC 9113 8.2.1).
bool is_field_name(std::string_view name) {
  bool good = !name.empty();
  for (const char c : name) good &= http::token_chars[static_cast<unsigned char>(c)] && (c < 'A' || c > 'Z');
  return good;
}

bool is_padded(std::string_view value) {
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  return !value.empty() && (blank(value.front()) || blank(value.back()));
}

}  // namespace

void H2Scratch::begin(const H2Limits& limits, H2Stats& stats, Keep keep) {
  limits_ = &limits;
  stats_ = &stats;
  wrong_ = nullptr;
  text_.clear();
  lines_.clear();
  decoded_bytes_ = 0;
  decoded_count_ = 0;
  wire_bytes = 0;
  continuations = 0;
  keep_ = keep == Keep::yes;
  overflowed_ = false;
  regular_seen_ = false;
}

bool H2Scratch::absurd() const {
  const uint64_t bytes_max = absurd_factor * limits_->header_bytes_max + 64 * 1024;
  return decoded_bytes_ > bytes_max || wire_bytes > bytes_max;
}

void H2Scratch::shrink() {
  if (text_.capacity() > kept_text_bytes) std::vector<char>().swap(text_);
  if (lines_.capacity() > kept_lines) std::vector<H2Line>().swap(lines_);
}

// False: the field is not kept.
bool H2Scratch::take_name(std::string_view name, H2Line& line) {
  if (name.starts_with(':')) {
    line.pseudo = pseudo_of(name);
    if (line.pseudo == H2Pseudo::none) refuse("unknown pseudo-header field");
    if (regular_seen_) refuse("pseudo-header field after a regular one");
    return wrong_ == nullptr;
  }
  regular_seen_ = true;
  line.id = header_id(name);
  if (line.id != HeaderId::other) return true;
  if (!is_field_name(name) || name.size() > h2::name_bytes_max) {
    refuse("invalid field name");
    return false;
  }
  if (limits_->underscore == H2Underscore::allow || name.find('_') == std::string_view::npos) return true;
  if (limits_->underscore == H2Underscore::drop) {
    ++stats_->dropped_headers_with_underscores;
    return false;
  }
  ++stats_->requests_rejected_with_underscores_in_headers;
  refuse("field name with an underscore");
  return false;
}

void H2Scratch::on_field(std::string_view name, std::string_view value) {
  decoded_bytes_ += name.size() + value.size() + 4;
  if (!name.starts_with(':')) ++decoded_count_;
  if (decoded_bytes_ > limits_->header_bytes_max || decoded_count_ > limits_->header_count_max) overflowed_ = true;
  if (!keep_ || overflowed_ || wrong_ != nullptr) return;
  H2Line line;
  if (!take_name(name, line)) return;
  if (!http::is_field_value(value) || is_padded(value)) return refuse("invalid field value");
  if (line.id == HeaderId::other && line.pseudo == H2Pseudo::none) {
    line.name = static_cast<uint32_t>(text_.size());
    line.name_size = static_cast<uint16_t>(name.size());
    text_.insert(text_.end(), name.begin(), name.end());
  }
  line.value = static_cast<uint32_t>(text_.size());
  line.value_size = static_cast<uint32_t>(value.size());
  text_.insert(text_.end(), value.begin(), value.end());
  lines_.push_back(line);
}

}  // namespace ringside
