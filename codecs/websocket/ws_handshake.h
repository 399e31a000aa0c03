#pragma once
// The opening handshake of WebSocket (RFC 6455 4, RFC 7692 7): keys, and the grammar of its fields. Pure functions.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

inline constexpr std::string_view ws_version = "13";
inline constexpr std::string_view ws_deflate = "permessage-deflate";

// Text of a fixed size.
template <size_t size>
struct WsText {
  std::array<char, size> bytes;
  std::string_view text() const { return {bytes.data(), size}; }
};
using WsKey = WsText<24>;
using WsAccept = WsText<28>;

// A value for Sec-WebSocket-Key, from 128 random bits.
WsKey make_ws_key(uint64_t random_high, uint64_t random_low);
// The base64 of 16 bytes?
bool is_ws_key(std::string_view text);
// What Sec-WebSocket-Accept is to be for this key.
WsAccept ws_accept_of(std::string_view key);

// Takes the next item off a list whose items are separated by commas, without blanks and empty items. False: there is none.
bool take_ws_item(std::string_view& list, std::string_view& item);
// A value of Sec-WebSocket-Protocol: tokens, at least one.
bool is_ws_protocol_list(std::string_view list);
// Is `protocol` among them? Case counts (RFC 6455 4.2.2 compares as it stands).
bool has_ws_protocol(std::string_view list, std::string_view protocol);

// What a value of Sec-WebSocket-Extensions agrees on.
struct WsExtensions {
  bool valid = true;
  bool deflate = false;  // permessage-deflate
  bool other = false;    // some that we do not know
  bool any() const { return deflate || other; }
};
WsExtensions read_ws_extensions(std::string_view list);

}  // namespace ringside
