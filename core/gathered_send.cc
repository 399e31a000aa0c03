#include "core/gathered_send.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace ringside {

void GatheredSend::gather(const Buffer& bytes) {
  const auto slices = static_cast<uint32_t>(std::min<size_t>(bytes.slice_count(), limits::send_pieces_max));
  pieces = 0;
  total_bytes = done_bytes = 0;
  while (pieces < slices) {
    const Slice& slice = bytes.slice(pieces);
    total_bytes += slice.size();
    if (slice.piped()) {
      piped = slice.share();
      return;
    }
    vector[pieces++] = {const_cast<char*>(slice.data()), slice.size()};
  }
}

void GatheredSend::skip(size_t bytes) {
  done_bytes += bytes;
  uint32_t kept = 0;
  for (uint32_t at = 0; at < pieces; ++at) {
    const iovec piece = vector[at];
    const size_t gone = std::min(bytes, piece.iov_len);
    bytes -= gone;
    if (gone < piece.iov_len) vector[kept++] = {static_cast<char*>(piece.iov_base) + gone, piece.iov_len - gone};
  }
  pieces = kept;
}

int GatheredSend::send_memory_now(int fd) {
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
  ssize_t sent = 0;
  do {
    if (pieces == 1) {
      sent = ::send(fd, vector[0].iov_base, vector[0].iov_len, flags);
    } else {
      msghdr message{};
      message.msg_iov = vector;
      message.msg_iovlen = pieces;
      sent = ::sendmsg(fd, &message, flags);
    }
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return -errno;
  skip(static_cast<size_t>(sent));
  return pieces == 0 ? 0 : -EAGAIN;
}

int GatheredSend::send_now(int fd, SocketWaits waits) {
  if (pieces > 0) {
    const int result = send_memory_now(fd);
    if (result < 0) return result;
  }
  while (!piped.empty()) {
    const ssize_t moved = drain_pipe(piped, fd, waits);
    if (moved < 0) return static_cast<int>(moved);
    if (moved == 0) return -EPIPE;  // a pipe that is emptier than its slice: cannot be
    done_bytes += static_cast<size_t>(moved);
    piped.remove_prefix(static_cast<size_t>(moved));
  }
  piped = Slice();  // lets go of the pipe
  return 0;
}

}  // namespace ringside
