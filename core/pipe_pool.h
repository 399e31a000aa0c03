#pragma once
// Bytes that pass from one socket to another without being looked at stay in the kernel: splice(2) moves references to their
// pages through a pipe, where recv and send would copy every byte twice.
//
// A Pipe is the Block of one receive. Its slices (Slice::piped) can be counted, cut and sent in order, but not read: they point
// into pages that nobody may touch, so that a mistake ends at once and nothing is forwarded by accident.
#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/buffer.h"

namespace ringside {

struct Pipe final : Block {
  int read_fd = -1;
  int write_fd = -1;
  size_t filled_bytes = 0;   // since it was taken
  size_t drained_bytes = 0;  // of these; what comes next begins here
};

// Where the slices of every pipe point: limits::piped_bytes_max of address space without memory.
const char* piped_bytes_base();

// The pipes of one worker. Keeps a few that are empty.
class PipePool final : public BlockOwner {
 public:
  PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;
  ~PipePool();

  // An empty pipe, with no reference yet; null when there is none to be had: this worker has its share of the descriptors, the
  // user's pipe memory is used up, or the kernel would not splice. Receive in the ordinary way then.
  Pipe* take();
  // One that was not emptied is closed, and its bytes are gone.
  void recycle(Block& block) override;
  void give_back(Pipe& pipe) { recycle(pipe); }
  // The kernel, or its seccomp filter, refused to splice: there will be no pipes any more.
  void give_up() { pipes_max_ = 0; }
  // So many workers use the descriptors of the process.
  void share_descriptors(uint32_t workers);
  size_t used() const { return total_ - spare_.size(); }
  // Closes the empty pipes that nobody has needed since the last call; called now and then.
  void trim();

 private:
  std::vector<Pipe*> spare_;
  size_t spare_least_ = 0;  // since trim()
  size_t total_ = 0;
  size_t pipes_max_;
  bool refused_ = false;  // not asked for again before a pipe is closed, or trim()
};

// splice(2) waits as the socket's own O_NONBLOCK says, whatever its flags: who calls has to know.
enum class SocketState : uint8_t { unknown, readable };  // readable: bytes, FIN or an error were announced
enum class SocketWaits : bool { no, yes };               // without O_NONBLOCK

// Moves what the socket has, `bytes_max` at most, to an empty pipe. Never waits. The count, 0 at the peer's FIN, or a negative errno.
// Or splice_stuck; splice_refused() tells whether a copy would have succeeded.
ssize_t fill_pipe(Pipe& pipe, int socket_fd, size_t bytes_max, SocketState state);

bool splice_refused(ssize_t result);
// There is something that splice does not get past and recv does: TCP's urgent mark. This once, receive in the ordinary way.
inline constexpr ssize_t splice_stuck = -EXDEV;

// Moves the first bytes of `piece`, which lie in a pipe, to the socket. Never waits. The count or a negative errno.
ssize_t drain_pipe(const Slice& piece, int socket_fd, SocketWaits waits);

}  // namespace ringside
