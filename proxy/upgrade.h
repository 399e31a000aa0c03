#pragma once
// A request to leave HTTP, from the moment that it is allowed to the one where both sides have agreed. Lives in the exchange's arena.
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/buffer.h"
#include "core/error.h"
#include "proxy/specs.h"
#include "proxy/tunnel_watch.h"

namespace ringside {

struct Upgrade {
  std::string_view client_key;  // Sec-WebSocket-Key as it came; a client of HTTP/2 has none
  std::string_view key;         // as the upstream was given it
  std::unique_ptr<TunnelWatch> watch;
  Buffer early;                 // of an upstream of HTTP/2, behind its answer
  bool is_websocket = false;
  bool terminates = false;      // CONNECT: the upstream is not asked in HTTP
  bool agreed = false;
  bool refused = false;         // the upstream's answer is an answer of HTTP
  bool client_ended = false;    // END_STREAM before the answer
  bool upstream_ended = false;  // END_STREAM with the answer, or right behind it
  std::optional<Error> upstream_gone;  // its stream went then, before there was a tunnel: all that it said is there
};

// Whoever lets go of it runs the destructor; the arena has the memory.
struct UpgradeDeleter {
  void operator()(Upgrade* upgrade) const { upgrade->~Upgrade(); }
};
using UpgradePtr = std::unique_ptr<Upgrade, UpgradeDeleter>;

// What the route, or, where it says nothing, the connection manager says of the first protocol in the value of an Upgrade field that is
// allowed. Without a type: none of them is.
struct AllowedUpgrade {
  std::string_view type;  // as the request spells it
  bool terminates = false;
};
// CONNECT is no protocol that an Upgrade field (or :protocol) can name.
enum class UpgradeKind : uint8_t { connect, protocol };
AllowedUpgrade allowed_upgrade(UpgradeKind kind, std::string_view offered, std::span<const UpgradeSpec> route,
                               std::span<const UpgradeSpec> manager);

}  // namespace ringside
