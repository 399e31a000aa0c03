#include "proxy/health/grpc_reply.h"

#include <optional>

#include "codecs/grpc.h"

namespace ringside {
namespace {

constexpr size_t message_bytes_max = 4096;
constexpr uint64_t status_field = 1, status_serving = 1;

std::optional<uint64_t> read_varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (uint32_t shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7fU} << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

// Passes over a field that is no varint.
bool skip(std::string_view& bytes, uint64_t wire_type) {
  size_t size = 0;
  if (wire_type == 1) size = 8;
  if (wire_type == 5) size = 4;
  if (wire_type == 2) {
    const auto length = read_varint(bytes);
    if (!length) return false;
    size = *length;
  } else if (size == 0) {
    return false;
  }
  if (size > bytes.size()) return false;
  bytes.remove_prefix(size);
  return true;
}

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

}  // namespace

bool GrpcReply::feed(std::string_view bytes) {
  bytes_ += bytes;
  while (bytes_.size() >= grpc_frame_header_bytes) {
    const auto byte = [this](size_t at) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes_[at])); };
    const uint32_t size = byte(1) << 24 | byte(2) << 16 | byte(3) << 8 | byte(4);
    if (byte(0) > 1 || size > message_bytes_max) return false;
    if (bytes_.size() < grpc_frame_header_bytes + size) return true;
    const std::string_view message = std::string_view(bytes_).substr(grpc_frame_header_bytes, size);
    if (size > 0 && (has_message_ || byte(0) != 0 || !read_message(message))) return false;
    bytes_.erase(0, grpc_frame_header_bytes + size);
  }
  return true;
}

bool GrpcReply::read_message(std::string_view message) {
  has_message_ = true;
  while (!message.empty()) {
    const auto tag = read_varint(message);
    if (!tag || *tag >> 3 == 0) return false;
    if ((*tag & 7) != 0) {
      if (!skip(message, *tag & 7)) return false;
      continue;
    }
    const auto value = read_varint(message);
    if (!value) return false;
    if (*tag >> 3 == status_field) serving_ = *value == status_serving;
  }
  return true;
}

std::string grpc_health_request(std::string_view service) {
  std::string message;
  if (!service.empty()) {
    message += '\x0a';  // field 1, a text
    append_varint(message, service.size());
    message += service;
  }
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift);
  return out + message;
}

}  // namespace ringside
