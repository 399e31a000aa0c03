#pragma once
// The contract of HTTP filters: what stands between the route and the upstream. docs/filters.md tells the order of calls.
//
// A HttpFilter is configuration: immutable, shared by all workers. For each request that concerns it, it makes a FilterPart in
// the arena of the exchange; one that declines costs the rest of the exchange nothing.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "codecs/http.h"
#include "core/worker.h"
#include "proxy/tunnel_watch.h"

namespace ringside {

class Cluster;
class FilterPart;
class Shard;

// What a part says to a head. `wait`: the head stays here until resume_...() is called. `answered`: it called answer().
enum class Verdict : uint8_t { proceed, wait, answered };

// What a filter may ask of its exchange. Outlives its parts.
class FilterHost {
 public:
  virtual Arena& arena() = 0;
  virtual Worker& worker() = 0;
  virtual Shard& shard() = 0;
  virtual HttpVersion downstream_version() const = 0;
  // Of the route; null where the route has none.
  virtual Cluster* cluster() = 0;
  // When the last of the request went to the upstream; zero before.
  virtual Instant upstream_sent() const = 0;
  // How much of a body a part may keep: the buffer limit of the listener.
  virtual size_t kept_bytes_max() const = 0;
  // Where the request is, for names of statistics; empty: it is not there.
  struct Place {
    std::string_view stat_prefix;  // of the connection manager
    std::string_view virtual_host;
    std::string_view route;
  };
  virtual Place place() const = 0;
  // In on_response() of a 101: it sees the bytes of the connection from here on.
  virtual void watch_tunnel(std::unique_ptr<TunnelWatch> watch) = 0;
  struct Answer {
    uint16_t status = 0;
    std::string_view body = {};
    const char* details = "";  // for the access log
  };
  // Answers the client; the caller does nothing more, and from a head's hook returns Verdict::answered.
  virtual void answer(const Answer& answer) = 0;
  // Ends the wait of the part that waits. Inside of a hook of that part: what the hook leaves goes on as well.
  virtual void resume_request() = 0;
  virtual void resume_response() = 0;

  // A part of this exchange; it is destroyed with it.
  template <class Part, class... Arguments>
  FilterPart* make(Arguments&&... arguments) {
    return new (arena().allocate(sizeof(Part), alignof(Part))) Part(std::forward<Arguments>(arguments)...);
  }

 protected:
  ~FilterHost() = default;
};

// One filter's part in one exchange. Requests pass the parts in the order of the configuration, responses in the opposite one.
class FilterPart {
 public:
  virtual ~FilterPart() = default;
  FilterPart(const FilterPart&) = delete;
  FilterPart& operator=(const FilterPart&) = delete;

  // End::yes: there is no body.
  virtual Verdict on_request(Head& head, End end);
  // A part of the body, for those that look at them: may be changed, replaced, or taken. The sender is asked for more in the
  // place of what was taken, so that the part must keep to kept_bytes_max(). End::yes: neither body nor trailers follow.
  virtual void on_request_body(Buffer& body, End end);
  // What is put into `before` goes out in front of the trailers; with `fields` set to null it ends the message. Those that do not look
  // at bodies hear of trailers as well.
  virtual void on_request_trailers(HeaderMap*& fields, Buffer& before);
  // The upstream's answer or our own, which comes whole and cannot be made to wait.
  virtual Verdict on_response(Head& head, End end);
  virtual void on_response_body(Buffer& body, End end);
  virtual void on_response_trailers(HeaderMap*& fields, Buffer& before);
  // The exchange is over, in whatever way. Once; nothing follows.
  virtual void on_finish();

  bool sees_request_body() const { return sees_request_body_; }
  bool sees_response_body() const { return sees_response_body_; }

 protected:
  explicit FilterPart(FilterHost& host) : host_(host) {}

  FilterHost& host_;
  // May be set until the head's hook returns.
  bool sees_request_body_ = false;
  bool sees_response_body_ = false;
};

class HttpFilter {
 public:
  virtual ~HttpFilter() = default;
  // Null: no part in this exchange.
  virtual FilterPart* start(FilterHost& host, const Head& request) const = 0;
};

}  // namespace ringside
