#pragma once
// Rewrites what hello says, so that a driver stays behind the proxy and compression stays within what the proxy may read.
// These work on a whole message: the owner gathers it (a hello is small; mongo::hello_bytes_max) and leaves it as it is when it
// is longer or nullopt comes back.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "codecs/mongo/mongo_message.h"

namespace ringside {

namespace mongo {
inline constexpr uint32_t hello_bytes_max = 64 * 1024;
}

// From "host:port" of a member, as the server names it, to what clients shall use instead.
struct MongoHostAlias {
  std::string_view from;
  std::string_view to;
};

struct MongoHelloEdit {
  // Applied to each entry of hosts, passives, arbiters and to me and primary.
  std::span<const MongoHostAlias> aliases = {};
  // What a host without alias becomes; empty: it stays. With it, hosts, passives and arbiters are lists without repetitions.
  std::string_view other_hosts = {};
  // Bit n: the compressor numbered n may stay in `compression`; without any left the field goes.
  uint8_t compressors_kept = 0xff;
};

// A reply (OP_MSG or OP_REPLY with one document). A checksum is dropped with its flag. nullopt: it is not such a message; the
// same bytes come back when nothing was to be changed.
std::optional<std::string> rewrite_hello_reply(std::string_view message, const MongoHelloEdit& edit);

// A request (OP_MSG or OP_QUERY): only `compression` is edited.
std::optional<std::string> rewrite_hello_request(std::string_view message, const MongoHelloEdit& edit);

}  // namespace ringside
