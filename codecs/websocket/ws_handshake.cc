#include "codecs/websocket/ws_handshake.h"

#include <openssl/sha.h>

#include <algorithm>

#include "codecs/ascii.h"
#include "codecs/base64.h"
#include "codecs/http_text.h"
#include "core/check.h"

namespace ringside {
namespace {

constexpr std::string_view accept_suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

template <size_t size>
WsText<size> to_base64(std::string_view bytes) {
  std::array<char, Base64Encoder::text_bytes_max(20) + 4> out;
  RS_CHECK(Base64Encoder::text_bytes_max(bytes.size()) <= out.size());
  Base64Encoder encoder;
  size_t written = encoder.write(bytes, out.data());
  written += encoder.finish(out.data() + written);
  RS_CHECK(written == size);
  WsText<size> text;
  std::copy_n(out.begin(), size, text.bytes.begin());
  return text;
}

// Where the item at the start of `text` ends; `separator` inside of a quoted string does not count.
size_t item_end(std::string_view text, char separator) {
  bool quoted = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (quoted && text[at] == '\\') ++at;
    else if (!quoted && text[at] == separator) return at;
  }
  return text.size();
}

bool take_until(std::string_view& list, char separator, std::string_view& item) {
  if (list.empty()) return false;
  const size_t end = item_end(list, separator);
  item = http::trim(list.substr(0, end));
  list.remove_prefix(std::min(end + 1, list.size()));
  return true;
}

// RFC 6455 9.1: what stands between the quotes must be a token as well.
bool is_parameter_value(std::string_view text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return http::is_token(text);
}

bool is_parameter(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return http::is_token(text);
  return http::is_token(http::trim(text.substr(0, equals))) && is_parameter_value(http::trim(text.substr(equals + 1)));
}

// The name of one extension; empty when it breaks the grammar.
std::string_view read_extension(std::string_view text) {
  std::string_view name;
  std::string_view parameter;
  take_until(text, ';', name);
  while (take_until(text, ';', parameter))
    if (!is_parameter(parameter)) return {};
  return http::is_token(name) ? name : std::string_view{};
}

}  // namespace

WsKey make_ws_key(uint64_t random_high, uint64_t random_low) {
  std::array<char, 16> bytes;
  for (size_t at = 0; at < 8; ++at) {
    bytes[at] = static_cast<char>(random_high >> 8 * at);
    bytes[8 + at] = static_cast<char>(random_low >> 8 * at);
  }
  return to_base64<24>({bytes.data(), bytes.size()});
}

bool is_ws_key(std::string_view text) {
  if (text.size() != 24) return false;
  std::array<char, Base64Decoder::bytes_max(24)> out;
  Base64Decoder decoder;
  return decoder.write(text, out.data()) == 16 && decoder.between_groups();
}

WsAccept ws_accept_of(std::string_view key) {
  std::array<char, 128> text;
  const size_t key_size = std::min(key.size(), text.size() - accept_suffix.size());  // a valid one has 24
  std::copy_n(key.begin(), key_size, text.begin());
  std::copy(accept_suffix.begin(), accept_suffix.end(), text.begin() + static_cast<ptrdiff_t>(key_size));
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<const unsigned char*>(text.data()), key_size + accept_suffix.size(), digest.data());
  return to_base64<28>({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

bool take_ws_item(std::string_view& list, std::string_view& item) {
  while (take_until(list, ',', item))
    if (!item.empty()) return true;
  return false;
}

bool is_ws_protocol_list(std::string_view list) {
  std::string_view item;
  bool any = false;
  while (take_ws_item(list, item)) {
    if (!http::is_token(item)) return false;
    any = true;
  }
  return any;
}

bool has_ws_protocol(std::string_view list, std::string_view protocol) {
  std::string_view item;
  while (take_ws_item(list, item))
    if (item == protocol) return true;
  return false;
}

WsExtensions read_ws_extensions(std::string_view list) {
  WsExtensions found;
  std::string_view item;
  while (take_ws_item(list, item)) {
    const std::string_view name = read_extension(item);
    if (name.empty()) found.valid = false;
    else if (equals_any_case(name, ws_deflate)) found.deflate = true;
    else found.other = true;
  }
  return found;
}

}  // namespace ringside
