#include "core/pipe_pool.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/limits.h"

namespace ringside {

const char* piped_bytes_base() {
  static const char* const base = [] {
    void* pages = mmap(nullptr, limits::piped_bytes_max, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    RS_CHECK(pages != MAP_FAILED);
    return static_cast<const char*>(pages);
  }();
  return base;
}

// --- The pool ----------------------------------------------------------------------------------------------------------

namespace {

void close_pipe(Pipe* pipe) {
  ::close(pipe->read_fd);
  ::close(pipe->write_fd);
  delete pipe;
}

}  // namespace

PipePool::PipePool() : pipes_max_(limits::pipes_max) { share_descriptors(1); }

// Pipes take two descriptors each: connections come first.
void PipePool::share_descriptors(uint32_t workers) {
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0)
    pipes_max_ = std::min<size_t>(pipes_max_, files.rlim_cur / limits::descriptors_per_pipe_min / workers);
}

PipePool::~PipePool() {
  for (Pipe* pipe : spare_) close_pipe(pipe);
}

Pipe* PipePool::take() {
  if (pipes_max_ == 0) return nullptr;
  if (!spare_.empty()) {
    Pipe* pipe = spare_.back();
    spare_.pop_back();
    spare_least_ = std::min(spare_least_, spare_.size());
    pipe->filled_bytes = pipe->drained_bytes = 0;
    return pipe;
  }
  if (total_ >= pipes_max_ || refused_) return nullptr;
  int ends[2];
  refused_ = true;  // unless all goes well
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return nullptr;
  // A user's share of pipe memory is limited (pipe-user-pages-soft), and a pipe of a page or two is no gain.
  if (fcntl(ends[1], F_SETPIPE_SZ, static_cast<int>(limits::pipe_bytes)) < 0) {
    ::close(ends[0]);
    ::close(ends[1]);
    return nullptr;
  }
  auto* pipe = new Pipe;
  pipe->data = const_cast<char*>(piped_bytes_base());
  pipe->owner = this;
  pipe->piped = true;
  pipe->read_fd = ends[0];
  pipe->write_fd = ends[1];
  ++total_;
  refused_ = false;
  return pipe;
}

void PipePool::trim() {
  refused_ = false;
  for (; spare_least_ > 0; --spare_least_) {
    close_pipe(spare_.back());
    spare_.pop_back();
    --total_;
  }
  spare_least_ = spare_.size();
}

void PipePool::recycle(Block& block) {
  auto& pipe = static_cast<Pipe&>(block);
  if (pipe.filled_bytes == pipe.drained_bytes && spare_.size() < limits::pipes_kept) return spare_.push_back(&pipe);
  --total_;
  refused_ = false;
  close_pipe(&pipe);
}

// --- Moving ------------------------------------------------------------------------------------------------------------

namespace {

// The count or a negative errno.
ssize_t splice_some(int from, int to, size_t bytes_max) {
  ssize_t moved = 0;
  do {
    moved = ::splice(from, nullptr, to, nullptr, bytes_max, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
  } while (moved < 0 && errno == EINTR);
  return moved < 0 ? -errno : moved;
}

}  // namespace

ssize_t fill_pipe(Pipe& pipe, int socket_fd, size_t bytes_max, SocketState state) {
  if (state == SocketState::unknown) {
    int readable_bytes = 0;
    if (ioctl(socket_fd, FIONREAD, &readable_bytes) != 0) return -errno;
    if (readable_bytes == 0) return -EAGAIN;
  }
  const ssize_t moved = splice_some(socket_fd, pipe.write_fd, std::min<size_t>(bytes_max, limits::piped_bytes_max));
  // "Nothing", and "the end", from a socket that said it was readable: only if recv says so as well.
  if (moved == 0 || moved == -EAGAIN) {
    char byte = 0;
    if (recv(socket_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return splice_stuck;
  }
  if (moved > 0) pipe.filled_bytes += static_cast<size_t>(moved);
  return moved;
}

bool splice_refused(ssize_t result) {
  return result == -EINVAL || result == -ENOSYS || result == -EPERM || result == -EOPNOTSUPP;
}

ssize_t drain_pipe(const Slice& piece, int socket_fd, SocketWaits waits) {
  auto& pipe = static_cast<Pipe&>(*piece.block());
  RS_CHECK(piece.data() == pipe.data + pipe.drained_bytes);  // a pipe gives its bytes in order
  // Nobody else looks at the flags meanwhile: what is in flight on this socket took them when it was started.
  if (waits == SocketWaits::yes) fcntl(socket_fd, F_SETFL, O_RDWR | O_NONBLOCK);
  const ssize_t moved = splice_some(pipe.read_fd, socket_fd, piece.size());
  if (waits == SocketWaits::yes) fcntl(socket_fd, F_SETFL, O_RDWR);
  if (moved > 0) pipe.drained_bytes += static_cast<size_t>(moved);
  return moved;
}

}  // namespace ringside
