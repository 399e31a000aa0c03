#include "proxy/upstream/connection_pool.h"

#include "proxy/upstream/cluster.h"

namespace ringside {

ConnectionPool::ConnectionPool(Cluster& cluster, Endpoint& endpoint) : cluster_(cluster), endpoint_(endpoint) {}

ConnectionPool::~ConnectionPool() { RS_CHECK(connections_ == 0 && waiting_.empty()); }

Result<UpstreamConnection*> ConnectionPool::lease(LeaseUser& user) {
  if (!idle_.empty()) {
    UpstreamConnection& connection = idle_.back();
    connection.Link<UpstreamConnection>::unlink();
    others_.push_back(connection);
    return &connection;
  }
  StatBlock<ClusterStat>& stats = cluster_.stats();
  if (!cluster_.breaker().try_take(Resource::pending)) {
    stats.inc(ClusterStat::upstream_rq_pending_overflow);
    return std::unexpected(Error{ErrorCode::overloaded, Origin::local, Retry::never, "overflow"});
  }
  stats.inc(ClusterStat::upstream_rq_pending_total);
  stats.inc(ClusterStat::upstream_rq_pending_active);
  waiting_.push_back(user);
  ++waiting_count_;
  // One dial for each that waits, within the limit; an endpoint without any connection may always have one.
  if (dialing_ < waiting_count_) {
    if (!cluster_.breaker().full(Resource::connections) || connections_ == 0)
      dial_one();
    else
      stats.inc(ClusterStat::upstream_cx_overflow);
  }
  return nullptr;
}

void ConnectionPool::give_up(LeaseUser& user) {
  if (!user.Link<LeaseUser>::linked()) return;
  user.Link<LeaseUser>::unlink();
  --waiting_count_;
  cluster_.breaker().give(Resource::pending);
  cluster_.stats().dec(ClusterStat::upstream_rq_pending_active);
}

void ConnectionPool::dial_one() {
  auto* connection = new UpstreamConnection(*this);  // retires itself when it has closed
  others_.push_back(*connection);
  ++connections_;
  ++dialing_;
  cluster_.breaker().take(Resource::connections);
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.inc(ClusterStat::upstream_cx_total);
  stats.inc(ClusterStat::upstream_cx_active);
  stats.inc(ClusterStat::upstream_cx_http1_total);
  endpoint_.cells().add(HostStat::cx_total);
  endpoint_.cells().add(HostStat::cx_active);
  connection->dial();
}

void ConnectionPool::on_connected(UpstreamConnection& connection) {
  --dialing_;
  on_idle(connection);
}

void ConnectionPool::on_connect_failed(UpstreamConnection& connection, Error why) {
  --dialing_;
  if (why.code != ErrorCode::cancelled) {
    cluster_.stats().inc(ClusterStat::upstream_cx_connect_fail);
    if (why.code == ErrorCode::timed_out) cluster_.stats().inc(ClusterStat::upstream_cx_connect_timeout);
    endpoint_.cells().add(HostStat::cx_connect_fail);
    // A connect that timed out was ended by us.
    cluster_.stats().inc(why.code == ErrorCode::timed_out ? ClusterStat::upstream_cx_destroy_local
                                                          : ClusterStat::upstream_cx_destroy_remote);
  }
  // As Envoy: an endpoint that cannot be reached fails everybody who waits for it, at once. Before the place is given back, or
  // it would be dialed again for them.
  if (why.code != ErrorCode::cancelled) fail_waiting(why);
  on_gone(connection);
}

void ConnectionPool::on_idle(UpstreamConnection& connection) {
  connection.Link<UpstreamConnection>::unlink();
  others_.push_back(connection);
  while (!waiting_.empty()) {
    LeaseUser& user = waiting_.front();
    give_up(user);
    if (user.on_lease(connection) == LeaseUser::Taken::yes) return;
  }
  connection.Link<UpstreamConnection>::unlink();
  idle_.push_back(connection);
}

void ConnectionPool::on_gone(UpstreamConnection& connection) {
  connection.Link<UpstreamConnection>::unlink();
  --connections_;
  cluster_.breaker().give(Resource::connections);
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.dec(ClusterStat::upstream_cx_active);
  stats.inc(ClusterStat::upstream_cx_destroy);
  endpoint_.cells().subtract(HostStat::cx_active);
  // Its place may be what somebody waits for.
  if (!closed_ && waiting_count_ > dialing_ && (connections_ == 0 || !cluster_.breaker().full(Resource::connections))) dial_one();
}

void ConnectionPool::fail_waiting(Error why) {
  List<LeaseUser, LeaseUser> failed;
  failed.splice_back(waiting_);
  while (!failed.empty()) {
    LeaseUser& user = failed.front();
    give_up(user);
    cluster_.stats().inc(ClusterStat::upstream_rq_pending_failure_eject);
    user.on_lease_failed(why);
  }
}

void ConnectionPool::drain() {
  idle_.for_each([](UpstreamConnection& connection) { connection.close({}); });
  others_.for_each([](UpstreamConnection& connection) {
    if (connection.dialing()) return;  // somebody waits for it
    connection.retire_when_idle();
  });
}

void ConnectionPool::close_all(Error why) {
  closed_ = true;
  fail_waiting(why);
  idle_.for_each([&](UpstreamConnection& connection) { connection.close(why); });
  others_.for_each([&](UpstreamConnection& connection) { connection.close(why); });
}

}  // namespace ringside
