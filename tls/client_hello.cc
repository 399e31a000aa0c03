#include "tls/client_hello.h"

#include <algorithm>
#include <optional>

namespace ringside {
namespace {

constexpr uint8_t handshake_record = 22;
constexpr char client_hello_message = 1;
constexpr size_t record_header_bytes = 5;
constexpr size_t message_header_bytes = 4;
constexpr size_t record_payload_max = 16384;

enum Extension : uint16_t {
  server_name = 0,
  supported_groups = 10,
  ec_point_formats = 11,
  signature_algorithms = 13,
  application_layer_protocols = 16,
  supported_versions = 43,
};

// Takes from the front; a read beyond the end gives nothing, and everything after it as well.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  bool empty() const { return bytes_.empty(); }
  bool good() const { return good_; }

  uint32_t number(size_t size) {
    uint32_t value = 0;
    for (const char byte : take(size)) value = value << 8 | static_cast<uint8_t>(byte);
    return value;
  }
  std::string_view take(size_t size) {
    if (size > bytes_.size()) {
      good_ = false;
      bytes_ = {};
      return {};
    }
    const std::string_view part = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return part;
  }
  // A vector behind its length of `size` bytes.
  std::string_view vector(size_t size) { return take(number(size)); }

 private:
  std::string_view bytes_;
  bool good_ = true;
};

// Numbers of two bytes each, at least one.
bool read_numbers(std::string_view bytes, std::vector<uint16_t>& out) {
  if (bytes.empty() || bytes.size() % 2 != 0) return false;
  Cursor cursor(bytes);
  while (!cursor.empty()) out.push_back(static_cast<uint16_t>(cursor.number(2)));
  return true;
}

// The vector must be all that there is.
std::optional<std::string_view> only_vector(std::string_view bytes, size_t size) {
  Cursor cursor(bytes);
  const std::string_view inner = cursor.vector(size);
  if (!cursor.good() || !cursor.empty()) return std::nullopt;
  return inner;
}

bool is_host_character(char byte) {
  return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_';
}

// One host name; an unknown kind of name is nobody's.
bool read_server_name(std::string_view body, std::string& out) {
  const std::optional<std::string_view> list = only_vector(body, 2);
  if (!list) return false;
  Cursor cursor(*list);
  if (cursor.number(1) != 0) return false;
  const std::string_view name = cursor.vector(2);
  if (!cursor.good() || !cursor.empty() || name.empty() || name.size() > 255) return false;
  out = name;
  for (char& byte : out) byte = byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
  return std::ranges::all_of(out, is_host_character);
}

bool read_alpn(std::string_view body, std::vector<std::string>& out) {
  const std::optional<std::string_view> list = only_vector(body, 2);
  if (!list || list->empty()) return false;
  Cursor cursor(*list);
  while (!cursor.empty()) {
    const std::string_view name = cursor.vector(1);
    if (!cursor.good() || name.empty()) return false;
    out.emplace_back(name);
  }
  return true;
}

bool read_number_list(std::string_view body, size_t length_bytes, std::vector<uint16_t>& out) {
  const std::optional<std::string_view> list = only_vector(body, length_bytes);
  return list && read_numbers(*list, out);
}

bool read_point_formats(std::string_view body, std::vector<uint8_t>& out) {
  const std::optional<std::string_view> list = only_vector(body, 1);
  if (!list || list->empty()) return false;
  for (const char byte : *list) out.push_back(static_cast<uint8_t>(byte));
  return true;
}

// What is wrong with the extension; empty when nothing is.
std::string_view read_extension(uint16_t type, std::string_view body, ClientHello& hello) {
  switch (type) {
    case Extension::server_name: return read_server_name(body, hello.server_name) ? "" : "server_name";
    case Extension::supported_groups: return read_number_list(body, 2, hello.groups) ? "" : "supported_groups";
    case Extension::ec_point_formats: return read_point_formats(body, hello.point_formats) ? "" : "ec_point_formats";
    case Extension::signature_algorithms:
      return read_number_list(body, 2, hello.signature_algorithms) ? "" : "signature_algorithms";
    case Extension::application_layer_protocols:
      return read_alpn(body, hello.alpn) ? "" : "application_layer_protocol_negotiation";
    case Extension::supported_versions: return read_number_list(body, 1, hello.versions) ? "" : "supported_versions";
    default: return "";
  }
}

std::string_view read_extensions(std::string_view bytes, ClientHello& hello) {
  Cursor cursor(bytes);
  while (!cursor.empty()) {
    const auto type = static_cast<uint16_t>(cursor.number(2));
    const std::string_view body = cursor.vector(2);
    if (!cursor.good()) return "extensions";
    hello.extensions.push_back(type);
    if (const std::string_view problem = read_extension(type, body, hello); !problem.empty()) return problem;
  }
  std::vector<uint16_t> types = hello.extensions;
  std::ranges::sort(types);
  return std::ranges::adjacent_find(types) == types.end() ? "" : "an extension twice";
}

std::string_view read_body(std::string_view body, ClientHello& hello) {
  Cursor cursor(body);
  hello.version = static_cast<uint16_t>(cursor.number(2));
  cursor.take(32);  // random
  const std::string_view session_id = cursor.vector(1);
  const std::string_view suites = cursor.vector(2);
  const std::string_view compression = cursor.vector(1);
  if (!cursor.good() || hello.version >> 8 != 3) return "hello";
  if (session_id.size() > 32) return "session_id";
  if (!read_numbers(suites, hello.cipher_suites)) return "cipher_suites";
  if (compression.find('\0') == compression.npos) return "compression_methods";
  if (cursor.empty()) return "";  // TLS 1.2 and before may have no extensions
  const std::string_view extensions = cursor.vector(2);
  if (!cursor.good() || !cursor.empty()) return "extensions";
  return read_extensions(extensions, hello);
}

// Whether `bytes` may be the beginning of a first record.
bool begins_like_tls(std::string_view bytes) {
  const auto at = [&](size_t index) { return static_cast<uint8_t>(bytes[index]); };
  if (!bytes.empty() && at(0) != handshake_record) return false;
  if (bytes.size() > 1 && at(1) != 3) return false;
  if (bytes.size() > 2 && at(2) > 4) return false;
  return true;
}

}  // namespace

HelloOutcome ClientHelloReader::broken(std::string_view problem) {
  problem_ = problem;
  return HelloOutcome::broken;
}

HelloOutcome ClientHelloReader::read(std::string_view bytes) {
  if (outcome_ != HelloOutcome::more) return outcome_;
  if (!begins_like_tls(bytes)) return outcome_ = HelloOutcome::not_tls;
  return outcome_ = collect(bytes);
}

// A hello may be cut into several records; here its pieces come together again.
HelloOutcome ClientHelloReader::collect(std::string_view bytes) {
  std::string message;
  std::string_view whole;  // without a copy when it is in one record
  size_t wanted = message_header_bytes;
  for (size_t records = 1; whole.size() < wanted; ++records) {
    if (records > records_max) return broken("too many records");
    if (bytes.size() < record_header_bytes) return HelloOutcome::more;
    Cursor header(bytes);
    const bool handshake = header.number(1) == handshake_record;
    const uint32_t version = header.number(2);
    const size_t size = header.number(2);
    if (!handshake || version >> 8 != 3) return broken("record");
    if (size == 0 || size > record_payload_max) return broken("record length");
    bytes.remove_prefix(record_header_bytes);
    const std::string_view part = bytes.substr(0, size);
    if (whole.empty()) {
      whole = part;
    } else {
      if (message.empty()) message = whole;
      message += part;
      whole = message;
    }
    if (!whole.empty() && whole[0] != client_hello_message) return HelloOutcome::not_tls;
    if (whole.size() >= message_header_bytes) {
      Cursor start(whole.substr(1));
      wanted = message_header_bytes + start.number(3);
      if (wanted > hello_bytes_max) return broken(too_large);
    }
    if (part.size() < size && whole.size() < wanted) return HelloOutcome::more;
    bytes.remove_prefix(part.size());
  }
  if (whole.size() > wanted) return broken("bytes behind the hello");
  return parse(whole.substr(message_header_bytes, wanted - message_header_bytes));
}

HelloOutcome ClientHelloReader::parse(std::string_view message) {
  const std::string_view problem = read_body(message, hello_);
  return problem.empty() ? HelloOutcome::done : broken(problem);
}

}  // namespace ringside
