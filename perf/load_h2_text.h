#pragma once
// Header blocks that are constant bytes: nothing goes to a dynamic table, so one rendering serves every stream and connection.
#include <cstdint>
#include <string>
#include <string_view>

#include "perf/load_request.h"

namespace ringside::perf {

// What a gRPC call carries both ways: the five bytes in front of a message, and the message.
inline constexpr uint32_t grpc_message_bytes = 32;
inline constexpr std::string_view grpc_prefix{"\0\0\0\0\x20", 5};
static_assert(grpc_prefix[4] == grpc_message_bytes);
inline constexpr std::string_view grpc_path = "/bench.Echo/Unary";
inline constexpr std::string_view grpc_content_type = "application/grpc";

// Entries of the static table that stand for a name and a value (RFC 7541 appendix A).
enum class H2Static : uint8_t { method_get = 2, method_post = 3, scheme_http = 6, scheme_https = 7, status_200 = 8 };
// Entries whose name is used.
enum class H2StaticName : uint8_t {
  authority = 1,
  path = 4,
  accept = 19,
  cache_control = 24,
  content_length = 28,
  content_type = 31,
  date = 33,
  server = 54,
  user_agent = 58,
};

class H2BlockText {
 public:
  H2BlockText& add(H2Static entry);
  H2BlockText& add(H2StaticName name, std::string_view value);
  H2BlockText& add(std::string_view name, std::string_view value);
  const std::string& text() const { return text_; }

 private:
  void put_number(uint8_t first_byte, uint8_t prefix_bits, size_t number);
  void put_string(std::string_view text);
  std::string text_;
};

// A HEADERS frame around a block of at most one frame; stream 0, to be set by set_stream().
std::string headers_frame(const H2BlockText& block, uint8_t flags);
// Of a copy of that frame.
void set_stream(char* frame, uint32_t stream_id);

enum class Scheme : uint8_t { http, https };
enum class Call : uint8_t { plain, grpc };
// The whole HEADERS frame of a request for `path`.
std::string request_frame(const RequestShape& shape, std::string_view path, Scheme scheme, Call call);

}  // namespace ringside::perf
