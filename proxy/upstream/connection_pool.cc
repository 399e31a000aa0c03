#include "proxy/upstream/connection_pool.h"

#include <utility>

#include "proxy/upstream/cluster.h"

namespace ringside {

std::string ConnectionTerms::key() const {
  std::string key = server_name;
  if (raw) key.append(1, '\0').append("raw");
  key.append(1, '\0').append(certificate_name).append(1, '\0');
  for (const Address* address : {&peer, &local}) key.append(reinterpret_cast<const char*>(address->data()), address->size());
  return key;
}

namespace {
constexpr Duration room_poll_time = milliseconds(20);
}  // namespace

void LeaseUser::give_up_lease() {
  if (waits_in_ != nullptr) waits_in_->give_up(*this);
}

ConnectionPool::ConnectionPool(Cluster& cluster, Endpoint& endpoint, UpstreamProtocol protocol,
                               std::unique_ptr<const ConnectionTerms> terms)
    : Timer([](Timer& timer) { static_cast<ConnectionPool&>(timer).dial_for_waiting(); }),
      cluster_(cluster),
      endpoint_(endpoint),
      terms_(std::move(terms)),
      protocol_(protocol),
      http2_expected_(protocol != UpstreamProtocol::http1) {}

ConnectionPool::~ConnectionPool() { RS_CHECK(connections_ == 0 && waiting_.empty()); }

// Where it belongs now.
void ConnectionPool::sort(UpstreamConnection& connection) {
  if (connection.gone()) return;  // over the request that it was given
  connection.Link<UpstreamConnection>::unlink();
  connection.ready = connection.capacity() > 0;
  (connection.ready ? ready_ : others_).push_back(connection);
}

// One that has not heard yet that its room is gone is put aside. The last place of one is taken.
UpstreamConnection* ConnectionPool::take_ready() {
  while (!ready_.empty()) {
    UpstreamConnection& connection = ready_.back();
    if (connection.capacity() > 1) return &connection;
    const bool has_one = connection.capacity() == 1;
    connection.Link<UpstreamConnection>::unlink();
    connection.ready = false;
    others_.push_back(connection);
    if (has_one) return &connection;
  }
  return nullptr;
}

// One dial for as many of those that wait as a connection is going to take.
bool ConnectionPool::more_to_dial() const {
  const uint64_t each = http2_expected_ ? cluster_.h2_limits().streams_max : 1;
  return dialing_ * each < waiting_count_;
}

// An endpoint without any connection may always have one.
bool ConnectionPool::may_dial() const {
  const bool has_none = connections_ == 0 && endpoint_.cells().read(HostStat::cx_active) == 0;
  return has_none || !cluster_.breaker().full(Resource::connections);
}

void ConnectionPool::replace(UpstreamConnection& from, UpstreamConnection& by) {
  from.Link<UpstreamConnection>::unlink();
  by.awaited = from.awaited;
  others_.push_back(by);
}

Result<UpstreamConnection*> ConnectionPool::lease(LeaseUser& user) {
  if (UpstreamConnection* connection = take_ready()) return connection;
  StatBlock<ClusterStat>& stats = cluster_.stats();
  if (!cluster_.breaker().try_take(Resource::pending)) {
    stats.inc(ClusterStat::upstream_rq_pending_overflow);
    return std::unexpected(Error{ErrorCode::overloaded, Origin::local, Retry::never, "overflow"});
  }
  stats.inc(ClusterStat::upstream_rq_pending_total);
  stats.inc(ClusterStat::upstream_rq_pending_active);
  waiting_.push_back(user);
  user.waits_in_ = this;
  ++waiting_count_;
  if (more_to_dial()) {
    if (may_dial())
      dial_one();
    else
      stats.inc(ClusterStat::upstream_cx_overflow);
  }
  // All places are taken by connections that will not come back to us: nobody would wake those that wait.
  if (connections_ == 0) {
    give_up(user);
    return std::unexpected(Error{ErrorCode::overloaded, Origin::local, Retry::never, "overflow"});
  }
  return nullptr;
}

void ConnectionPool::give_up(LeaseUser& user) {
  if (!user.Link<LeaseUser>::linked()) return;
  user.Link<LeaseUser>::unlink();
  user.waits_in_ = nullptr;
  --waiting_count_;
  cluster_.breaker().give(Resource::pending);
  cluster_.stats().dec(ClusterStat::upstream_rq_pending_active);
}

void ConnectionPool::dial_one() {
  UpstreamConnection* connection = UpstreamConnection::make(*this);
  others_.push_back(*connection);
  ++connections_;
  ++dialing_;
  cluster_.breaker().take(Resource::connections);
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.inc(ClusterStat::upstream_cx_total);
  stats.inc(ClusterStat::upstream_cx_active);
  endpoint_.cells().add(HostStat::cx_total);
  endpoint_.cells().add(HostStat::cx_active);
  connection->dial();
}

// Dialed for somebody, and of use to him or gone: one that waits for the upstream's SETTINGS still counts as on its way.
void ConnectionPool::note_arrival(UpstreamConnection& connection) {
  if (std::exchange(connection.awaited, false)) --dialing_;
}

void ConnectionPool::on_connected(UpstreamConnection& connection) {
  on_capacity(connection);
  // One was dialed for many, and turned out to take one at a time.
  while (protocol_ == UpstreamProtocol::by_alpn && more_to_dial() && may_dial()) dial_one();
}

void ConnectionPool::on_connect_failed(UpstreamConnection& connection, Error why) {
  note_arrival(connection);
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

void ConnectionPool::on_capacity(UpstreamConnection& connection) {
  if (connection.capacity() > 0) note_arrival(connection);
  while (!waiting_.empty() && connection.capacity() > 0) {
    LeaseUser& user = waiting_.front();
    give_up(user);
    static_cast<void>(user.on_lease(connection));
  }
  sort(connection);
}

void ConnectionPool::on_gone(UpstreamConnection& connection) {
  note_arrival(connection);
  connection.Link<UpstreamConnection>::unlink();
  --connections_;
  cluster_.breaker().give(Resource::connections);
  StatBlock<ClusterStat>& stats = cluster_.stats();
  stats.dec(ClusterStat::upstream_cx_active);
  stats.inc(ClusterStat::upstream_cx_destroy);
  endpoint_.cells().subtract(HostStat::cx_active);
  dial_for_waiting();
}

void ConnectionPool::on_left(UpstreamConnection& connection) {
  connection.Link<UpstreamConnection>::unlink();
  --connections_;
  dial_for_waiting();
}

// The place of one that went may be what somebody waits for. Where all are taken by others (other workers, other endpoints, tunnels,
// which no pool has any more), nobody tells us when one of them ends.
void ConnectionPool::dial_for_waiting() {
  if (closed_ || waiting_count_ == 0) return;
  if (more_to_dial() && may_dial()) dial_one();
  if (connections_ == 0) cluster_.worker().arm(*this, room_poll_time);
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
  ready_.for_each([](UpstreamConnection& connection) { connection.drain(); });
  others_.for_each([](UpstreamConnection& connection) { connection.drain(); });
}

void ConnectionPool::close_all(Error why) {
  closed_ = true;
  fail_waiting(why);
  ready_.for_each([&](UpstreamConnection& connection) { connection.close(why); });
  others_.for_each([&](UpstreamConnection& connection) { connection.close(why); });
}

}  // namespace ringside
