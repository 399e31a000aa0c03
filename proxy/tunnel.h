#pragma once
// What an exchange becomes when both sides have agreed to leave HTTP: two ends, and bytes between them that nobody changes. Each end is
// the transport of a connection that was HTTP/1's, or a stream of HTTP/2.
//
//   relaying -> ending (both sides are told, what was sent still goes out) -> gone
//
// What went out at one end is credit for the other, a FIN goes on as one, and a connection that breaks breaks the other side as well.
#include <memory>
#include <optional>

#include "codecs/http.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/observe/response_flags.h"
#include "proxy/raw_connection.h"
#include "proxy/tunnel_watch.h"
#include "proxy/upstream/host.h"

namespace ringside {

class Cluster;
class Downstream;
class Exchange;
class LiveChain;
class Tunnel;

// One of the two.
class TunnelEnd : public TransportUser, public StreamUser {
 public:
  enum class Place : bool { down, up };
  explicit TunnelEnd(Place place) : is_up_(place == Place::up) {}
  TunnelEnd(const TunnelEnd&) = delete;
  TunnelEnd& operator=(const TunnelEnd&) = delete;
  ~TunnelEnd() {
    if (is_raw_) delete transport_;
  }

  // Once, one of these.
  void attach(RawConnection& connection);
  // `input_over`: END_STREAM came before.
  void attach(Stream& stream, bool input_over);
  // It has ended, and takes nothing.
  void attach_nothing() { gone_ = ended_ = finished_ = true; }
  void relay_all() { transport_->relay(SIZE_MAX); }
  bool sends_piped() const { return is_raw_ && transport_->sends_piped(); }

  void send(Slice bytes);
  // The same and finish(), in one frame where there are such: some peers take an empty one behind the last amiss.
  void send_last(Slice bytes);
  // Nothing more goes out at this end.
  void finish();
  void grant(size_t bytes);
  // Both directions are over: closes, behind what is unsent.
  void close_when_sent();
  // The peer is to see that it broke off: now, or when it has all that was on its way; see cuts().
  void cut(Error why);
  // That was not so soon: a FIN behind the rest, if it is not there yet.
  void cut_behind_the_rest();
  void close(Error why);
  // Of a transport: with a reset.
  void abort();

  bool raw() const { return is_raw_; }
  bool ended() const { return ended_; }        // its peer will send no more
  bool finished() const { return finished_; }  // nor shall we
  bool waits_for_reader() const { return is_raw_ && !gone_ && transport_->unsent_bytes() > 0; }
  bool gone() const { return gone_; }
  bool cuts() const { return cut_ && !gone_; }  // something is on its way yet

 private:
  friend class Tunnel;
  void cut_when_delivered();
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_closed(Error why) override;
  void on_sent(size_t bytes) override;
  Arena& arena() override;
  void on_head(Head& head, End end) override;
  void on_informational(Head& head) override;
  void on_body(Slice piece, End end) override;
  void on_trailers(HeaderMap& fields) override;
  void on_reset(Error why) override;
  void let_go_when_over();

  Tunnel& tunnel();

  union {
    Stream* stream_ = nullptr;  // null: over
    Transport* transport_;      // raw: ours
  };
  uint32_t unsent_head_bytes_ = 0;
  bool is_up_ : 1;
  bool is_raw_ : 1 = false;
  bool input_over_ : 1 = false;  // of a stream: nothing more comes, though its end may not have been told yet
  bool ended_ : 1 = false;
  bool finished_ : 1 = false;
  bool gone_ : 1 = false;
  bool cut_ : 1 = false;  // see cut()
};

// The two as bases of their tunnel: they find it without a pointer.
struct DownEnd : TunnelEnd {
  DownEnd() : TunnelEnd(Place::down) {}
};
struct UpEnd : TunnelEnd {
  UpEnd() : TunnelEnd(Place::up) {}
};

// Many are there at a time, and idle. What few of them need lies apart.
class Tunnel final : public Retired, public Link<Tunnel>, private Timer, private DownEnd, private UpEnd {
 public:
  // What the exchange hands on. `session` and `log` may be null.
  struct Terms {
    LiveChain* listener = nullptr;
    Cluster* cluster = nullptr;
    std::shared_ptr<Host> host;
    std::unique_ptr<TunnelWatch> watch;
    Exchange* log = nullptr;        // waits to write the access log
    Downstream* session = nullptr;  // of the client's stream
    Instant session_started{};      // of the client's connection
    Instant started{};
    Instant upstream_started{};
    Instant ends_at = Instant::max();  // max_stream_duration
    bool cluster_ends_it = false;      // then: that of the cluster
    Duration idle_timeout{};
    uint16_t status = 101;  // as the client was told
  };
  explicit Tunnel(Terms terms);
  ~Tunnel() override;
  void on_retired() override;

  TunnelEnd& down() { return static_cast<DownEnd&>(*this); }
  TunnelEnd& up() { return static_cast<UpEnd&>(*this); }
  const TunnelEnd& down() const { return static_cast<const DownEnd&>(*this); }
  const TunnelEnd& up() const { return static_cast<const UpEnd&>(*this); }
  // What the two ends had received before.
  struct Early {
    Buffer from_client, from_upstream;
    bool client_ended = false, upstream_ended = false;
    std::optional<Error> upstream_gone;  // behind its end
  };
  // Both ends are attached.
  void start(Early early);
  // Ends at once, both sides.
  void close(Error why);
  const Host* host() const { return host_.get(); }

 private:
  friend class TunnelEnd;
  enum class Phase : uint8_t { relaying, ending, gone };
  struct Rare {
    std::unique_ptr<TunnelWatch> watch;
    Exchange* log = nullptr;
    Instant ends_at = Instant::max();
    const char* details = nullptr;  // of how it ended, where that is known
    bool cluster_ends_it = false;
    uint64_t from_client_bytes = 0;
    uint64_t from_upstream_bytes = 0;
    ResponseFlags flags{};
  };
  bool is_down(const TunnelEnd& end) { return &end == &down(); }
  TunnelEnd& other(const TunnelEnd& end) { return is_down(end) ? up() : down(); }
  void pass_early(TunnelEnd& from, Buffer& bytes);
  void pass(TunnelEnd& from, Slice bytes, End end = End::no);
  void relay(TunnelEnd& from, Slice bytes, End end);
  // `of_head`: so many of the bytes are of the head that went before.
  void on_sent(TunnelEnd& end, size_t bytes, size_t of_head);
  void on_ended(TunnelEnd& end);
  void on_broken(TunnelEnd& end, Error why);
  void on_sated();
  void on_gone();
  void end();
  void on_timer();
  void arm_timer();
  void note(ResponseFlag flag) {
    if (rare_ != nullptr) rare_->flags.set(flag);
  }
  Instant next_deadline() const;
  void count_end();
  void count_upstream_end();
  Worker& worker() const;
  TunnelWatch* watch() const { return rare_ != nullptr ? rare_->watch.get() : nullptr; }

  // In the bytes behind the last base.
  Phase phase_ = Phase::relaying;
  bool by_client_ : 1 = false;    // it ended first
  bool by_upstream_ : 1 = false;  // likewise
  bool broken_ : 1 = false;       // an end went without a FIN, or we ended it
  bool said_farewell_ : 1 = false;  // the watch ended it
  bool connect_ : 1;  // agreed by 2xx
  LiveChain& listener_;
  Cluster& cluster_;
  std::shared_ptr<Host> host_;
  std::unique_ptr<Rare> rare_;  // null: no watch, no log, no last hour
  union {
    Downstream* session_;       // of the client's stream
    Instant session_started_;   // of the client's connection, where that is ours
  };
  Instant started_;
  Instant last_activity_{};  // ending: since then
  uint32_t idle_timeout_ms_;
  uint32_t upstream_age_ms_;  // by how much the upstream's part began later
};
static_assert(sizeof(Tunnel) <= 208, "an idle WebSocket is to stay small");

}  // namespace ringside
