#pragma once
// When a request is tried again, as Envoy decides it: the rules of its route and the wishes of its client, and what its exchange
// remembers of the attempts. Nothing here acts; proxy/exchange_retry.cc does.
#include <memory>
#include <vector>

#include "codecs/http.h"
#include "core/buffer.h"
#include "proxy/forwarding_headers.h"
#include "proxy/route_timeouts.h"
#include "proxy/specs.h"

namespace ringside {

class Host;

// How an attempt ended that had no response.
enum class AttemptEnd : uint8_t {
  overflow,
  connect_failure,
  protocol_error,
  connection_termination,
  remote_reset,
  refused_stream,
  local_reset,
};

class RetryRules {
 public:
  // No rules: nothing is tried again.
  RetryRules() = default;
  // `policy` may be null. The texts of `wishes` must outlive this.
  RetryRules(const RetryPolicySpec* policy, const RouterWishes& wishes, const HeaderMap& request);

  bool any() const { return !conditions_.empty(); }
  uint32_t retries_max() const { return retries_max_; }
  bool after_response(uint16_t status, const HeaderMap& fields) const;
  // `began`: the request's head was given to a connection.
  enum class Request : bool { waiting, began };
  bool after_reset(AttemptEnd end, Request request) const;
  // What the response says about when to come again.
  std::optional<Duration> wait_asked(const HeaderMap& fields, WallTime now) const;
  // Before the retry with this number, from 0: anything below an interval that doubles.
  Duration back_off(uint32_t number, uint64_t random) const;
  bool avoids_previous_hosts() const { return policy_ != nullptr && policy_->avoids_previous_hosts; }
  uint32_t host_attempts_max() const { return policy_ == nullptr ? 1 : policy_->host_attempts_max; }

 private:
  bool is_retriable_status(uint16_t status) const;
  bool has_retriable_header(const HeaderMap& fields) const;
  bool is_retriable_grpc(const HeaderMap& fields) const;

  const RetryPolicySpec* policy_ = nullptr;
  RetryConditions conditions_;
  uint32_t retries_max_ = 0;
  std::string_view wished_codes_, wished_headers_;
};

// Of a request that may be tried again, or whose attempts are counted or timed; others have none.
struct Attempts {
  RetryRules rules;
  RouteTimeouts timeouts;
  std::optional<Duration> stream_duration;   // in place of the connection manager's
  Duration upstream_duration{0};             // of one attempt; zero: no limit
  Buffer body;                               // what came of it so far, while it may be needed again
  uint64_t body_bytes_max = 0;
  uint64_t granted_bytes = 0;                // of the body: what the client was told to be done with
  uint64_t regranted_bytes = 0;              // sent again, and not to be granted again
  std::vector<const Host*> tried;            // while they are to be avoided
  Instant began{};                           // the present attempt, on its connection
  Instant retry_at{};
  uint32_t count = 0;
  uint32_t retries_left = 0;
  uint32_t back_offs = 0;
  // What the retry that is next waits for.
  enum class Wait : uint8_t { none, exponential, asked } wait = Wait::none;
  bool live = false;                         // there may be another
  bool holds_retry = false;                  // a place of the circuit breaker, since the last decision for one
  bool timed_out = false;                    // the attempt before
  bool alternative_status = false;           // 204 when time is up

  // For arenas, which run no destructors.
  struct Destroy {
    void operator()(Attempts* attempts) const { attempts->~Attempts(); }
  };
};
using AttemptsPtr = std::unique_ptr<Attempts, Attempts::Destroy>;

}  // namespace ringside
