#pragma once
// A connection of HTTP/1 that both ends have agreed to use for something else.
#include <memory>

#include "core/buffer.h"
#include "core/transport.h"

namespace ringside {

struct RawConnection {
  std::unique_ptr<Transport> transport;
  Buffer early;             // received already, and not granted
  size_t unsent_bytes = 0;  // of HTTP, given to the transport and not reported as sent
  bool ended = false;       // its peer sent FIN
};

}  // namespace ringside
