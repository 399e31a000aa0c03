#pragma once
// One request and its response: the only place that decides timeout, reset and local reply.
//
//   routing -> waiting (for a connection) -> forwarding -> done
//        |          ^-- backing_off (to try again) <--'   ^
//        `-> replying (local answer) ---------------------'
//
// The request side (`down_`) and the response side (`up_`) each receive one message and forward it; a body piece that went out
// on one side grants credit on the other, so a slow reader slows exactly its own sender.
#include <optional>

#include "codecs/http.h"
#include "core/arena.h"
#include "core/worker.h"
#include "proxy/forwarding_headers.h"
#include "proxy/grpc_rules.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/response_flags.h"
#include "proxy/retry_policy.h"
#include "proxy/upgrade.h"
#include "proxy/upstream/cluster.h"

namespace ringside {

class Downstream;
class FilterRun;
class HttpManager;
class LiveChain;
class Shard;
struct Route;

class Exchange final : public Retired, private LeaseUser {
 public:
  Exchange(Downstream& session, Stream& stream);
  ~Exchange() override;
  void on_retired() override;
  // Both sides have agreed to leave HTTP.
  void on_flush() override;

  // What the codec talks to about the request.
  StreamUser& request_side() { return down_; }
  // The codec found the request's body wrong, and the session answers `head` with the text of `why`: counted and logged here.
  void on_refused(const Head& head, Error why);
  Arena& arena() { return arena_; }
  // The client reads answers as gRPC has them.
  bool is_grpc() const;
  // Nobody looks at the request's body, and whoever gets it can send pieces of a pipe.
  bool relays_request_body() const;
  // What came of the upgrade, for the access log; we retire.
  struct TunnelEnding {
    uint64_t from_client_bytes = 0;
    uint64_t from_upstream_bytes = 0;
    ResponseFlags flags{};
    const char* details = nullptr;  // null: nothing to add
    TunnelWatch* watch = nullptr;
  };
  void on_tunnel_over(const TunnelEnding& ending);

 private:
  friend class FilterRun;
  enum class Phase : uint8_t { routing, waiting, forwarding, backing_off, replying, done };

  // The request, from the client.
  class DownSide final : public StreamUser {
   public:
    explicit DownSide(Exchange& exchange) : exchange_(exchange) {}
    Arena& arena() override { return exchange_.arena_; }
    void on_head(Head& head, End end) override { exchange_.on_request_head(head, end); }
    void on_informational(Head&) override {}
    void on_body(Slice piece, End end) override { exchange_.on_request_body(std::move(piece), end); }
    void on_trailers(HeaderMap& fields) override { exchange_.on_request_trailers(fields); }
    void on_sent(size_t body_bytes) override { exchange_.on_response_sent(body_bytes); }
    void on_reset(Error why) override { exchange_.on_client_reset(why); }

   private:
    Exchange& exchange_;
  };
  // The response, from the upstream.
  class UpSide final : public StreamUser {
   public:
    explicit UpSide(Exchange& exchange) : exchange_(exchange) {}
    Arena& arena() override { return exchange_.arena_; }
    void on_head(Head& head, End end) override { exchange_.on_response_head(head, end); }
    void on_informational(Head& head) override { exchange_.on_response_informational(head); }
    void on_body(Slice piece, End end) override { exchange_.on_response_body(std::move(piece), end); }
    void on_trailers(HeaderMap& fields) override { exchange_.on_response_trailers(fields); }
    void on_sent(size_t body_bytes) override { exchange_.on_request_sent(body_bytes); }
    void on_reset(Error why) override { exchange_.on_upstream_reset(why); }

   private:
    Exchange& exchange_;
  };

  // exchange_request.cc
  void on_request_head(Head& head, End end);
  bool prepare_target(Head& head);
  void route_request(Head& head);
  void take_route();
  Cluster* route_cluster() const;
  void start_upstream();
  ConnectionPool& pool_of_endpoint();
  void lease_connection();
  void send_request();
  Taken on_lease(UpstreamConnection& connection) override;
  void on_lease_failed(Error why) override;
  void reply_overflow();
  void finish_request_head();
  void on_request_body(Slice piece, End end);
  void pass_request_body(Slice piece, End end);
  void on_request_trailers(HeaderMap& fields);
  void pass_request_trailers(HeaderMap& fields);
  void on_request_end();
  void grant_request(size_t body_bytes);
  void on_request_sent(size_t body_bytes);
  void on_client_reset(Error why);
  // exchange_response.cc
  void on_response_informational(Head& head);
  void on_response_head(Head& head, End end);
  void pass_response_head(Head& head, End end);
  void on_response_body(Slice piece, End end);
  void pass_response_body(Slice piece, End end);
  void on_response_trailers(HeaderMap& fields);
  void pass_response_trailers(HeaderMap& fields);
  void on_upstream_end();
  void on_response_end();
  void grant_response(size_t body_bytes);
  void on_response_sent(size_t body_bytes);
  void on_upstream_reset(Error why);
  void on_upstream_stream_reset(Error why);
  void edit_response_head(Head& head);
  void finish_response_head(Head& head);
  // exchange_upgrade.cc
  bool take_upgrade(Head& head);
  void refuse_upgrade();
  void hold_early(Slice piece, End end);
  void send_upgrade_request();
  void connect_raw();
  const char* check_upgrade_answer(Head& head);
  bool take_upgrade_answer(Head& head, End end);
  void watch_tunnel(std::unique_ptr<TunnelWatch> watch);
  void start_tunnel();
  // exchange_retry.cc
  void prepare_attempts(const RouterWishes& wishes, const RouteTimeouts& timeouts);
  Endpoint* pick_endpoint();
  void begin_attempt();
  void count_retry();
  void tell_attempt();
  void tell_attempts(Head& response);
  bool hold_body(const Slice& piece);
  void hold_early_body();
  void abandon_retries();
  void send_held_body();
  size_t take_regranted(size_t body_bytes);
  bool retry_response(const Head& head, End end);
  bool retry_reset(AttemptEnd end);
  bool retry_unprocessed(Error why);
  bool try_again(bool wanted);
  void back_off();
  void wait_for_retry(Duration wait);
  void end_attempts();
  Instant attempt_deadline() const;
  bool on_attempt_timer(Instant now);
  bool on_upstream_timeout(Instant now);
  std::string_view reset_body(std::string_view reason);
  // exchange.cc
  // Whether a local reply counts among the cluster's: Envoy counts most of those that its router gives.
  enum class Charge : uint8_t { cluster, router, nobody };
  struct LocalReply {
    uint16_t status = 0;
    std::string_view body;
    const char* details = "";
    std::string_view location = {};
    Charge charge = Charge::cluster;
    std::optional<GrpcStatus> grpc = {};  // for a client of gRPC; none: what `status` stands for
    bool overloaded = false;              // refused by a circuit breaker
  };
  void reply(const LocalReply& reply);
  End fill_reply(Head& head, const LocalReply& reply);
  void reply_timeout(const char* details, Charge charge);
  void drop_upstream(Error why);
  void release_upstream(Error why);
  void finish();
  void log();
  void describe_for_log();
  void write_log();
  void count_response();
  void count_upstream_code(uint16_t status);
  void arm_timer();
  void on_timer();
  Instant next_deadline() const;
  Duration stream_duration_max() const;
  bool is_done() const { return phase_ == Phase::done; }
  // Envoy: 408 while the request is still due, 504 while the response is.
  uint16_t status_of_timeout() const { return request_end_ ? 504 : 408; }
  void touch() { last_activity_ = worker_.now(); }

  Downstream& session_;  // until a tunnel has begun
  LiveChain& chain_;
  Worker& worker_;
  Stream& down_stream_;
  Arena arena_;
  DownSide down_{*this};
  UpSide up_{*this};
  const HttpManager& manager_;
  const Route* route_ = nullptr;
  Cluster* cluster_ = nullptr;
  Endpoint* endpoint_ = nullptr;
  std::shared_ptr<Host> host_;
  UpstreamConnection* connection_ = nullptr;
  Stream* up_stream_ = nullptr;
  Head* request_ = nullptr;   // in the arena
  const Head* response_ = nullptr;  // in the arena; what was sent to the client
  HeaderMap* request_trailers_ = nullptr;
  Buffer held_body_;  // until there is a connection
  AttemptsPtr attempts_;  // in the arena; null: one attempt, and nothing of it is told or timed
  UpgradePtr upgrade_;    // in the arena; null: it stays HTTP
  FilterRun* filters_ = nullptr;  // in the arena; null: no filter has a part in this request
  TimerFor<Exchange, &Exchange::on_timer> timer_{*this};
  Instant started_{};
  Instant request_ended_{};
  Instant upstream_started_{};
  Instant last_activity_{};
  WallTime started_wall_{};
  Duration route_timeout_{};
  Duration idle_timeout_{};
  uint64_t request_bytes_ = 0;
  uint64_t response_bytes_ = 0;
  ClientFacts client_;
  AccessLogRecord record_;
  ResponseFlags flags_{};
  uint16_t status_ = 0;
  Phase phase_ = Phase::routing;
  bool request_end_ : 1 = false;
  bool response_started_ : 1 = false;
  bool response_end_ : 1 = false;
  bool upstream_end_ : 1 = false;      // the upstream has said everything
  bool response_from_upstream_ : 1 = false;
  bool is_head_ : 1 = false;
  bool cut_after_flush_ : 1 = false;   // a part of the response is all that there will be
  bool leased_ : 1 = false;            // holds a place of the circuit breaker, and is counted as active on its host
  bool refused_ : 1 = false;           // for its body: on_refused follows
  bool response_passed_ : 1 = false;   // an interim response went to the client
  bool restarted_ : 1 = false;         // once, as the upstream had not looked at it
};

}  // namespace ringside
