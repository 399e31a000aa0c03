#pragma once
// The servers behind a proxy under load: HTTP/1, with TLS or without, HTTP/2, WebSocket, MongoDB, echo, source and sink. Runs on the
// worker of whoever makes it: a generator that has its backend in its own thread spends fewer wake-ups of the core that both would share.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/listener.h"
#include "core/worker.h"
#include "perf/load_pattern.h"
#include "tls/tls_context.h"

namespace ringside::perf {

// A stream without end is announced as this much, and so much of it waits in a transport.
inline constexpr size_t bulk_bytes_announced = size_t{1} << 30;
inline constexpr size_t bulk_unsent_bytes_max = 512 * 1024;

enum class Service : uint8_t {
  http,    // answers with as many bytes as the path's last part says, or with the request's head; echoes on WebSockets
  https,   // the same over TLS
  h2,      // the same in HTTP/2, and a gRPC method that answers with its message
  echo,    // sends back what it receives
  source,  // sends the pattern without end
  sink,    // counts what it receives
  mongo,   // finds a document in every collection
};

class Backend {
 public:
  // `worker` and `pattern` outlive it.
  Backend(Worker& worker, const Pattern& pattern);
  ~Backend();
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  // What TLS listeners use; before they listen.
  void set_tls(TlsContextPtr tls) { tls_ = std::move(tls); }
  // False, and why, when the address cannot be had.
  bool listen(Service service, const Address& address, std::string* why);

  // What sinks received.
  uint64_t sunk_bytes() const { return sunk_bytes_; }
  uint64_t requests() const { return requests_; }
  uint64_t connections() const { return connections_; }
  // Requests that were no HTTP or whose body was not the pattern, and streams with wrong bytes.
  uint64_t bad_messages() const { return bad_messages_; }

  // For the sessions.
  Worker& worker() { return worker_; }
  const Pattern& pattern() const { return pattern_; }
  void count_request() { ++requests_; }
  void count_sunk(size_t bytes) { sunk_bytes_ += bytes; }
  void count_bad() { ++bad_messages_; }
  void count_connection() { ++connections_; }
  // The head of a 200 with so large a body. Valid until the next call.
  std::string_view answer_head(uint64_t body_bytes, bool close);
  // The same as a HEADERS frame without its stream.
  std::string_view answer_frame(uint64_t body_bytes);
  const TlsContextPtr& tls() const { return tls_; }

 private:
  class Port;
  Worker& worker_;
  const Pattern& pattern_;
  TlsContextPtr tls_;
  std::vector<std::unique_ptr<Port>> ports_;
  uint64_t requests_ = 0;
  uint64_t sunk_bytes_ = 0;
  uint64_t connections_ = 0;
  uint64_t bad_messages_ = 0;
  std::string head_;
  uint64_t head_body_bytes_ = 0;
  bool head_close_ = false;
  int64_t head_second_ = -1;
  std::string frame_;
  uint64_t frame_body_bytes_ = 0;
  int64_t frame_second_ = -1;
};

}  // namespace ringside::perf
