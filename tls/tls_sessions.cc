#include "tls/tls_sessions.h"

#include <algorithm>

#include "tls/openssl_types.h"

namespace ringside {

TlsSessions::TlsSessions(TlsContextPtr context, size_t sessions_max)
    : context_(std::move(context)), sessions_max_(sessions_max) {}

TlsSessions::~TlsSessions() { clear(); }

void TlsSessions::clear() {
  for (const Entry& entry : entries_) SSL_SESSION_free(entry.session);
  entries_.clear();
}

void TlsSessions::renew(TlsContextPtr context) {
  clear();
  context_ = std::move(context);
}

void TlsSessions::put(std::string server_name, ssl_session_st& session) {
  entries_.push_front({std::move(server_name), &session});
  while (entries_.size() > sessions_max_) {
    SSL_SESSION_free(entries_.back().session);
    entries_.pop_back();
  }
}

void TlsSessions::offer(ssl_st& connection, std::string_view server_name) {
  const auto found = std::ranges::find(entries_, server_name, &Entry::server_name);
  if (found == entries_.end()) return;
  SSL_SESSION* session = found->session;
  const bool once = SSL_SESSION_get_protocol_version(session) >= TLS1_3_VERSION;
  const bool usable = SSL_SESSION_is_resumable(session) == 1;
  if (usable) SSL_set_session(&connection, session);
  if (!once && usable) return;
  SSL_SESSION_free(session);
  entries_.erase(found);
}

}  // namespace ringside
