#pragma once
// What one send takes from the front of a Buffer: pieces of memory, and behind them at most one piece that lies in a pipe.
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "core/buffer.h"
#include "core/limits.h"
#include "core/pipe_pool.h"

namespace ringside {

struct GatheredSend {
  uint32_t pieces = 0;     // of memory, not yet sent
  size_t total_bytes = 0;  // with the piped piece
  size_t done_bytes = 0;
  Slice piped;             // a second reference to what is not yet sent of it
  iovec vector[limits::send_pieces_max];  // left uninitialized on purpose: it is large

  GatheredSend() {}  // NOLINT: see vector

  void gather(const Buffer& bytes);
  // So many more bytes have gone; of the pieces of memory, that is.
  void skip(size_t bytes);
  bool all_sent() const { return done_bytes == total_bytes; }
  // Sends by system calls what the socket takes at once. 0 when it goes on or is all sent, otherwise a negative errno; -EAGAIN
  // when the socket is full.
  int send_now(int fd, SocketWaits waits);

 private:
  int send_memory_now(int fd);
};

}  // namespace ringside
