#include "perf/load_h2_scanner.h"

#include <algorithm>

namespace ringside::perf {

bool H2Scanner::feed(std::string_view bytes, H2FrameUser& user) {
  while (!bytes.empty()) {
    if (state_ == State::data) {
      const std::string_view piece = bytes.substr(0, left_bytes_);
      bytes.remove_prefix(piece.size());
      left_bytes_ -= static_cast<uint32_t>(piece.size());
      if (left_bytes_ == 0) state_ = State::header;
      if (!user.on_data(header_, piece, left_bytes_)) return false;
      continue;
    }
    const bool is_header = state_ == State::header;
    const std::string_view whole = gather(&bytes, is_header ? h2::frame_header_bytes : header_.length);
    if (whole.empty()) return true;  // not all of it is there
    const bool goes_on = is_header ? begin_frame(whole.data(), user) : end_frame(whole, user);
    if (!is_header) gathered_.clear();
    if (!goes_on) return false;
  }
  return true;
}

// `wanted_bytes` in one piece, where they are if they lie together; empty when they are not all there yet.
std::string_view H2Scanner::gather(std::string_view* bytes, size_t wanted_bytes) {
  if (gathered_.empty() && bytes->size() >= wanted_bytes) {
    const std::string_view whole = bytes->substr(0, wanted_bytes);
    bytes->remove_prefix(wanted_bytes);
    return whole;
  }
  const size_t missing_bytes = std::min(wanted_bytes - gathered_.size(), bytes->size());
  gathered_.append(bytes->substr(0, missing_bytes));
  bytes->remove_prefix(missing_bytes);
  return gathered_.size() == wanted_bytes ? std::string_view(gathered_) : std::string_view();
}

bool H2Scanner::begin_frame(const char* nine_bytes, H2FrameUser& user) {
  header_ = parse_frame_header(nine_bytes);
  gathered_.clear();
  if (header_.length > frame_bytes_max) return false;
  if (header_.length == 0)
    return header_.type == H2FrameType::data ? user.on_data(header_, {}, 0) : end_frame({}, user);
  const bool in_pieces = header_.type == H2FrameType::data && !header_.has(h2::padded);
  state_ = in_pieces ? State::data : State::payload;
  left_bytes_ = header_.length;
  return true;
}

bool H2Scanner::end_frame(std::string_view payload, H2FrameUser& user) {
  state_ = State::header;
  const bool may_pad = header_.type == H2FrameType::data || header_.type == H2FrameType::headers;
  if (may_pad && header_.has(h2::padded)) {
    if (payload.empty()) return false;
    const auto padding_bytes = static_cast<unsigned char>(payload[0]);
    payload.remove_prefix(1);
    if (padding_bytes > payload.size()) return false;
    payload.remove_suffix(padding_bytes);
  }
  if (header_.type == H2FrameType::headers && header_.has(h2::priority)) {
    if (payload.size() < 5) return false;
    payload.remove_prefix(5);
  }
  return user.on_frame(header_, payload);
}

}  // namespace ringside::perf
