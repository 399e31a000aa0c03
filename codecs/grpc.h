#pragma once
// What gRPC adds to the bodies of HTTP: a length before each message.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

inline constexpr size_t grpc_frame_header_bytes = 5;

// Follows the messages of one body: a byte of flags, four of length, big end first, then as many bytes. Wherever the pieces
// of the body are cut; nothing is kept but the place.
class GrpcFrameReader {
 public:
  // The next bytes of the body. Returns how many messages have begun in them.
  uint32_t read(std::string_view bytes);
  // How much of `bytes`, at least one, belongs to the message under way, or begins the next one. Moves past it.
  size_t read_message_part(std::string_view bytes);
  // Whether the bytes so far end with a whole message.
  bool between_messages() const { return header_read_ == 0 && left_ == 0; }

 private:
  uint32_t left_ = 0;        // of the message under way
  uint32_t length_ = 0;      // as far as it was read
  uint8_t header_read_ = 0;  // bytes of a header that is not whole
};

}  // namespace ringside
