#pragma once
// Errors are values: what happened, who caused it, whether another attempt may help.
#include <cstdint>
#include <expected>

namespace ringside {

enum class ErrorCode : uint8_t {
  none,           // an orderly end, used where a close needs a reason and nothing went wrong
  peer_closed,    // FIN where more was due
  peer_reset,     // RST
  timed_out,
  refused,        // connect failed
  bad_message,    // the peer broke its protocol
  too_large,      // a limit of ours
  overloaded,     // no capacity now
  cancelled,      // we stopped it
  unsupported,    // understood, and refused by name
  kernel,         // any other errno
};

enum class Origin : uint8_t { downstream, upstream, local };
enum class Retry : uint8_t { never, if_reused, always };

// `detail` points to static text, so an Error is 16 bytes and copies freely.
struct Error {
  ErrorCode code = ErrorCode::none;
  Origin origin = Origin::local;
  Retry retry = Retry::never;
  const char* detail = "";
};

template <class T>
using Result = std::expected<T, Error>;

// The Error for a (positive) errno of a socket call.
Error error_from_errno(int error_number, Origin origin = Origin::local);

}  // namespace ringside
