#include "core/error.h"

#include <cerrno>

namespace ringside {

Error error_from_errno(int error_number, Origin origin) {
  switch (error_number) {
    case ECONNRESET:
    case EPIPE:
      return {ErrorCode::peer_reset, origin, Retry::if_reused, "connection reset"};
    case ECONNREFUSED:
      return {ErrorCode::refused, origin, Retry::always, "connection refused"};
    case ENOENT:
      return {ErrorCode::refused, origin, Retry::always, "no such socket"};
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EADDRNOTAVAIL:
      return {ErrorCode::refused, origin, Retry::always, "network unreachable"};
    case ETIMEDOUT:
      return {ErrorCode::timed_out, origin, Retry::always, "connection timed out"};
    case EMFILE:
    case ENFILE:
      return {ErrorCode::overloaded, Origin::local, Retry::never, "no file descriptors left"};
    case ECANCELED:
      return {ErrorCode::cancelled, Origin::local, Retry::never, "cancelled"};
    case ENOMEM:
    case ENOBUFS:
      return {ErrorCode::overloaded, Origin::local, Retry::never, "no memory"};
    default:
      return {ErrorCode::kernel, origin, Retry::never, "socket error"};
  }
}

}  // namespace ringside
