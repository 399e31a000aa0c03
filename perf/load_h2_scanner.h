#pragma once
// HTTP/2 for the load tools: received bytes into frames. Cheap, and on the whole trusting: what a proxy gets wrong must show as a
// failure, but nobody attacks a load generator.
#include <cstdint>
#include <string>
#include <string_view>

#include "codecs/http2/h2_frame.h"

namespace ringside::perf {

// Each call returns false when nothing more is to be scanned, because the connection is given up.
class H2FrameUser {
 public:
  // Of DATA without padding: the payload in pieces as they came, `left_bytes` are to follow. At least one call per frame.
  virtual bool on_data(const H2FrameHeader& header, std::string_view piece, uint32_t left_bytes) = 0;
  // Every other frame, as a whole. DATA with padding has lost it.
  virtual bool on_frame(const H2FrameHeader& header, std::string_view payload) = 0;

 protected:
  ~H2FrameUser() = default;
};

class H2Scanner {
 public:
  static constexpr uint32_t frame_bytes_max = 16384;  // that of RFC 9113, which we never raise

  // False: the user returned false, or a frame is larger than it may be or has more padding than payload.
  bool feed(std::string_view bytes, H2FrameUser& user);

 private:
  enum class State : uint8_t { header, payload, data };
  bool begin_frame(const char* nine_bytes, H2FrameUser& user);
  bool end_frame(std::string_view payload, H2FrameUser& user);
  std::string_view gather(std::string_view* bytes, size_t wanted_bytes);

  H2FrameHeader header_;
  std::string gathered_;  // the part of a header or payload that came in pieces
  uint32_t left_bytes_ = 0;
  State state_ = State::header;
};

}  // namespace ringside::perf
