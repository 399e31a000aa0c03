#pragma once
// Sessions that the clients of one worker may resume. Belongs to one context on one worker.
#include <deque>
#include <string>
#include <string_view>

#include "tls/tls_context.h"

struct ssl_session_st;

namespace ringside {

class TlsSessions {
 public:
  // Keeps the newest `sessions_max` sessions made with `context`.
  TlsSessions(TlsContextPtr context, size_t sessions_max);
  TlsSessions(const TlsSessions&) = delete;
  TlsSessions& operator=(const TlsSessions&) = delete;
  ~TlsSessions();

  const TlsContext& context() const { return *context_; }
  size_t size() const { return entries_.size(); }
  // Sessions that were made with another context are let go: its checks are not those of this one.
  void renew(TlsContextPtr context);
  // Takes over the reference.
  void put(std::string server_name, ssl_session_st& session);
  // Makes `connection` offer the newest session of this name. One of TLS 1.3 is offered once.
  void offer(ssl_st& connection, std::string_view server_name);

 private:
  void clear();
  struct Entry {
    std::string server_name;
    ssl_session_st* session;
  };
  TlsContextPtr context_;
  const size_t sessions_max_;
  std::deque<Entry> entries_;  // the newest in front
};

}  // namespace ringside
