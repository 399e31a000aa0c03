#pragma once
// The upstream connections of one endpoint on one worker that speak the same, and the requests that wait for one.
#include <memory>

#include "core/intrusive_list.h"
#include "core/worker.h"
#include "proxy/specs.h"
#include "proxy/upstream/connection_terms.h"
#include "proxy/upstream/upstream_connection.h"

namespace ringside {

class Cluster;
class ConnectionPool;
class Endpoint;

// Who wants a connection.
class LeaseUser : public Link<LeaseUser> {
 public:
  // `no`: the connection is not wanted any more, and stays with the pool.
  enum class Taken : bool { no, yes };
  virtual Taken on_lease(UpstreamConnection& connection) = 0;
  virtual void on_lease_failed(Error why) = 0;
  // Waits no longer.
  void give_up_lease();

 protected:
  ~LeaseUser() = default;

 private:
  friend ConnectionPool;
  ConnectionPool* waits_in_ = nullptr;
};

class ConnectionPool : private Timer {
 public:
  // `protocol`: http1, http2 or by_alpn. `terms`: of all its connections; null: none of their own.
  ConnectionPool(Cluster& cluster, Endpoint& endpoint, UpstreamProtocol protocol,
                 std::unique_ptr<const ConnectionTerms> terms = nullptr);
  ~ConnectionPool();

  // A connection at once, or null: on_lease or on_lease_failed follows, never from inside this call, unless the user unlinks
  // itself by give_up(). An Error when the cluster's breakers are open.
  Result<UpstreamConnection*> lease(LeaseUser& user);
  // A connection that lease() gave and that was not used.
  void give_back(UpstreamConnection& connection) { on_capacity(connection); }
  // The user waits no longer.
  void give_up(LeaseUser& user);
  // Idle connections close now, busy ones when their exchanges end.
  void drain();
  // Everything closes now; whoever waits is told.
  void close_all(Error why);
  bool empty() const { return connections_ == 0; }
  // Nobody has anything to do with it any more.
  bool forgotten() const { return connections_ == 0 && waiting_count_ == 0; }
  const ConnectionTerms* terms() const { return terms_.get(); }
  Cluster& cluster() { return cluster_; }
  Endpoint& endpoint() { return endpoint_; }
  UpstreamProtocol protocol() const { return protocol_; }

  // From its connections.
  void on_connected(UpstreamConnection& connection);
  // By ALPN: what the endpoint speaks; `by` is what `from` has become.
  void on_agreed(bool http2) { http2_expected_ = http2; }
  void replace(UpstreamConnection& from, UpstreamConnection& by);
  void on_connect_failed(UpstreamConnection& connection, Error why);
  // It takes another exchange; not from inside of its codec where it has several.
  void on_capacity(UpstreamConnection& connection);
  // The connection leaves, and another goes on with what it was: its place in the cluster is not free yet.
  void on_left(UpstreamConnection& connection);
  // The connection left for good and will retire.
  void on_gone(UpstreamConnection& connection);

 private:
  void dial_one();
  bool more_to_dial() const;
  bool may_dial() const;
  void sort(UpstreamConnection& connection);
  void note_arrival(UpstreamConnection& connection);
  UpstreamConnection* take_ready();
  void fail_waiting(Error why);
  void dial_for_waiting();

  Cluster& cluster_;
  Endpoint& endpoint_;
  const std::unique_ptr<const ConnectionTerms> terms_;
  List<UpstreamConnection, UpstreamConnection> ready_;  // with capacity, as far as is known; the back is the warmest
  List<UpstreamConnection, UpstreamConnection> others_;
  List<LeaseUser, LeaseUser> waiting_;
  uint32_t connections_ = 0;
  uint32_t dialing_ = 0;
  uint32_t waiting_count_ = 0;
  const UpstreamProtocol protocol_;
  bool http2_expected_;  // of the next connection
  bool closed_ = false;
};

}  // namespace ringside
