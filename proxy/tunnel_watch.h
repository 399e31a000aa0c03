#pragma once
// Looks at the bytes of one upgraded connection while they pass.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/time.h"

namespace ringside {

struct AccessLogRecord;

enum class TunnelSide : bool { client, upstream };

// Made by a part of a filter when the upstream has agreed, and given to FilterHost::watch_tunnel(); lives as long as the tunnel.
class TunnelWatch {
 public:
  virtual ~TunnelWatch() = default;
  struct Verdict {
    size_t pass_bytes = 0;
    bool ends = false;  // behind the bytes that pass, each side gets its farewell(), and both are finished
  };
  // Before they are forwarded; they are never changed.
  virtual Verdict on_bytes(TunnelSide from, std::string_view bytes) = 0;
  // After `ends`; empty: none.
  virtual std::string_view farewell(TunnelSide to) = 0;
  virtual Instant deadline() const = 0;  // Instant::max(): none
  virtual Verdict on_deadline(Instant now) = 0;
  // That side has sent its last byte, or its connection broke.
  virtual void on_end(TunnelSide by) = 0;
  // Before the access log is written.
  virtual void describe(AccessLogRecord& record) = 0;
};

}  // namespace ringside
