#pragma once
// The synchronous socket calls that all rings on a real kernel share.
#include <cstdint>
#include <string_view>

#include "core/address.h"
#include "core/error.h"
#include "core/ring.h"

namespace ringside::sockets {

// io_uring waits by itself for a socket that blocks, and may report -EAGAIN for one that does not; epoll is the other way round.
enum class Blocking : uint8_t { no, yes };

// A stream socket that is closed on exec, with TCP_NODELAY when it is TCP.
Result<int> open_stream(int family, Blocking blocking);

// A listening socket. IPv6 wildcards take IPv6 only, and a stale unix path is removed when nobody listens on it; sockets that
// are accepted from it have TCP_NODELAY, by inheritance. On failure `*error_number` (may be null) has the errno.
Result<int> listen_on(const Address& address, const ListenOptions& options, int* error_number,
                      Blocking blocking = Blocking::yes);

// Empty when the socket has none.
Address local_address(int fd);
Address peer_address(int fd);
// Where the connection went before netfilter redirected it to this socket; empty when it did not.
Address original_destination(int fd);

void shutdown_write(int fd);
void shutdown_both(int fd);
// All of it went to the kernel, without waiting.
bool send_at_once(int fd, std::string_view bytes);
// close() sends RST and drops what is unsent.
void reset_on_close(int fd);
// Whether the peer's kernel has all that was sent. True where nobody can tell.
bool is_delivered(int fd);
void set_no_delay(int fd);

}  // namespace ringside::sockets
