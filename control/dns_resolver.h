#pragma once
// Names to addresses, on c-ares, without blocking the control thread: its sockets are polled through the ring and its timeouts
// stand in the timer wheel. Literal addresses, "localhost" and the hosts file need no server.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/address.h"
#include "core/worker.h"
#include "proxy/specs.h"

namespace ringside {

struct DnsRunning;

enum class DnsStatus : uint8_t {
  ok,
  not_found,  // the name or the record does not exist: the server said so
  failed,     // no usable answer
};

struct DnsAnswer {
  DnsStatus status = DnsStatus::failed;
  std::vector<Address> addresses = {};  // with port 0; not empty when ok
  Duration ttl{0};                      // the smallest of all records; zero when unknown (hosts file, literal)
  const char* error = "";               // for logs; static text
};

class DnsUser {
 public:
  // Once for each resolve(); never from inside resolve() or cancel(). The query may be used again, and may end, inside the call.
  virtual void on_resolved(DnsAnswer answer) = 0;

 protected:
  ~DnsUser() = default;
};

// One look-up, embedded in its waiter; may be used again after it ended.
class DnsQuery {
 public:
  explicit DnsQuery(DnsUser& user) : user_(user) {}
  DnsQuery(const DnsQuery&) = delete;
  DnsQuery& operator=(const DnsQuery&) = delete;
  // Cancels.
  ~DnsQuery();
  bool running() const { return running_ != nullptr; }

 private:
  friend class DnsResolver;
  DnsUser& user_;
  DnsRunning* running_ = nullptr;
};

class DnsResolver {
 public:
  struct Settings {
    std::string servers = {};       // "127.0.0.1:5353,[::1]:53"; empty: the system's
    Duration timeout = seconds(5);  // of the first try
    uint32_t tries = 4;
    bool use_hosts_file = true;
  };
  DnsResolver(Worker& worker, Settings settings);
  DnsResolver(const DnsResolver&) = delete;
  DnsResolver& operator=(const DnsResolver&) = delete;
  // close() was called and quiet() became true, or nothing was ever resolved.
  ~DnsResolver();

  // user.on_resolved follows, unless cancelled.
  void resolve(DnsQuery& query, const std::string& host, DnsFamily family);
  // No call follows.
  void cancel(DnsQuery& query);
  // Ends everything; no call follows. quiet() becomes true some turns later.
  void close();
  bool quiet() const;

 private:
  friend struct DnsRunning;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringside
