#pragma once
// One filter chain of a listener as one worker lives it: its connections, with their counters and logs.
#include <memory>
#include <vector>

#include "core/tcp_transport.h"
#include "proxy/h2_session.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/log_file.h"
#include "proxy/session.h"
#include "proxy/snapshot.h"
#include "proxy/tcp_session.h"
#include "proxy/tunnel.h"
#include "tls/tls_transport.h"

namespace ringside {

class ListenerGate;
class MongoChain;
class Shard;

// As the statistics of connections tell them apart.
enum class SessionProtocol : uint8_t { unknown, http1, http2 };

class LiveChain final {
 public:
  // `entry` is one of `listener`'s chains; both live as long as the gate does, which owns us.
  LiveChain(ListenerGate& gate, const ListenerEntry& listener, const ChainEntry& entry);
  ~LiveChain();

  // A connection is ours, with what was read of it before.
  void take(std::unique_ptr<TcpTransport> socket, Slice first_bytes);
  // Keep-alive connections close on their next answer, idle ones now.
  void drain_sessions();
  void close_sessions(Error why);
  // Those of tcp_proxy that are connected, or being connected, to one of these.
  void close_sessions_with(const std::vector<const Host*>& hosts);

  Shard& shard() { return shard_; }
  Worker& worker() { return worker_; }
  const ListenerSpec& spec() const { return listener_.spec; }
  const FilterChainSpec& chain_spec() const { return *entry_.spec; }
  // The port that the listener is bound to; 0 for unix sockets.
  uint16_t local_port() const { return spec().address.port(); }
  const HttpManager& http() const { return *entry_.http; }
  Cluster* tcp_cluster();
  // Null: the bytes are not looked at.
  MongoChain* mongo() { return mongo_.get(); }
  bool draining() const;
  bool has_tls() const { return chain_spec().tls != nullptr; }
  // The transport of one of our connections as what it is; null without TLS.
  const TlsTransport* tls_of(const Transport& transport) const {
    return has_tls() ? static_cast<const TlsTransport*>(&transport) : nullptr;
  }
  // When a client that has not finished its handshake is given up; never, where it may take its time.
  Instant handshake_deadline(const Transport& transport, Instant accepted) const;
  StatBlock<ListenerStat>& stats();
  StatBlock<HttpStat>& http_stats() { return http_stats_; }
  StatBlock<ListenerHttpStat>& listener_http_stats() { return listener_http_stats_; }
  StatBlock<TcpStat>& tcp_stats() { return tcp_stats_; }

  bool has_access_logs() const { return !logs_.empty(); }
  // Whether a log tells our own address of a connection, for which the kernel must be asked.
  bool logs_local_address() const { return logs_local_address_; }
  bool logs_upstream_local_address() const { return logs_upstream_local_address_; }
  // A connection that turned out to be HTTP/2's, what was seen of the client's preface, and what follows.
  struct Http2Found {
    Instant started{};
    uint64_t id = 0;
    bool draining = false;
    uint8_t preface_seen_bytes = 0;
    Slice first_bytes;
  };
  void on_http2(std::unique_ptr<Transport> transport, Http2Found found);
  // One of our connections, or streams, has left HTTP.
  void add_tunnel(Tunnel& tunnel) { tunnels_.push_back(tunnel); }
  void write_access_logs(const AccessLogRecord& record);
  bool tells_server_name() const { return has_access_logs() || headers_tell_tls_; }
  // Whether operators in header values ask for what describe_tls() fills in.
  bool headers_tell_tls() const { return headers_tell_tls_; }
  // Fills in what `transport` tells of TLS; the texts live in `arena`.
  void describe_tls(const Transport& transport, AccessLogRecord& record, Arena& arena) const;
  // Bytes that never became a request, and what the client is told about them.
  void log_refused(Session& session, Error why, const Head& answer);
  // The client left in the middle of a head.
  void log_cut_head(Session& session);
  struct SessionEnd {
    Duration lived{};
    SessionProtocol protocol = SessionProtocol::unknown;
    bool by_client = false;
    bool cut_an_exchange = false;
  };
  void on_session_closed(SessionEnd end);
  void on_tcp_session_gone(Duration lived);

 private:
  struct Log {
    const AccessLogFormat* format;
    LogFile* file;
  };
  // The socket, in TLS where the chain speaks that.
  std::unique_ptr<Transport> make_transport(std::unique_ptr<TcpTransport> socket, Slice& first_bytes);
  void start_session(std::unique_ptr<Transport> transport);
  void open_logs();
  void log_without_request(Session& session, AccessLogRecord& record);

  ListenerGate& gate_;
  Shard& shard_;
  Worker& worker_;
  const ListenerEntry& listener_;
  const ChainEntry& entry_;
  StatBlock<HttpStat> http_stats_;
  StatBlock<ListenerHttpStat> listener_http_stats_;
  StatBlock<TcpStat> tcp_stats_;
  StatBlock<TlsStat> tls_stats_;
  std::unique_ptr<MongoChain> mongo_;
  List<Session, Session> sessions_;
  List<H2Session, H2Session> h2_sessions_;
  List<TcpSession, TcpSession> tcp_sessions_;
  List<Tunnel, Tunnel> tunnels_;
  std::vector<AccessLogFormat> formats_;
  std::vector<Log> logs_;
  bool logs_local_address_ = false;
  bool logs_upstream_local_address_ = false;
  bool headers_tell_tls_ = false;
  bool tells_tls_peer_ = false;  // a log or a header does
};

}  // namespace ringside
