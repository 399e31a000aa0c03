#include "proxy/health/probe.h"

#include <utility>

#include "proxy/health/http_probe.h"
#include "proxy/health/tcp_probe.h"

namespace ringside {
namespace {

constexpr size_t credit_bytes = 64 * 1024;
constexpr Error over{ErrorCode::cancelled, Origin::local, Retry::never, "health check is over"};

Address check_address(const Host& host) {
  const EndpointHealthSpec& spec = host.health_spec();
  Address address = spec.check_address.empty() ? host.address() : spec.check_address;
  if (spec.check_port != 0 && address.is_ip()) address.set_port(spec.check_port);
  return address;
}

}  // namespace

Probe* Probe::make(ProbeContext& context, const Host& host, ProbeUser& user) {
  if (context.spec.kind == HealthCheckKind::tcp) return new TcpProbe(context, host, user);
  return new HttpProbe(context, host, user);
}

Probe::Probe(ProbeContext& context, const Host& host, ProbeUser& user)
    : context_(context), worker_(context.cluster.worker()), host_(&host), user_(&user), dialer_(worker_, *this) {
  ++context_.probes;
}

Probe::~Probe() { --context_.probes; }

void Probe::check() {
  RS_CHECK(!closing_ && !asking_);
  asking_ = true;
  if (ready_) return ask();
  // The check's own timer ends a connect that takes too long.
  if (!dialer_.dialing() && transport_ == nullptr) dialer_.dial(check_address(*host_), 2 * context_.spec.timeout);
}

void Probe::on_connected(int fd) {
  if (closing_) {
    worker_.ring().close(fd);
    return worker_.retire(*this);
  }
  transport_ = context_.cluster.make_transport(fd, *host_, *this, nullptr, alpn());
  transport_->start(*this, credit_bytes);
  if (!context_.cluster.has_tls(*host_)) ready();
}

// Like a request's connection, where the configuration says nothing.
std::vector<std::string> Probe::alpn() const {
  const HealthCheckSpec& spec = context_.spec;
  if (!spec.alpn.empty() || spec.kind == HealthCheckKind::tcp || !context_.cluster.chooses_alpn(*host_)) return spec.alpn;
  return {spec.http2 ? "h2" : "http/1.1"};
}

void Probe::on_handshake() {
  if (!closing_) ready();
}

void Probe::ready() {
  ready_ = true;
  on_ready();
  if (asking_ && !closing_ && !decided()) ask();
}

void Probe::on_connect_failed(Error why) {
  static_cast<void>(why);
  closing_ = true;
  tell(CheckResult::network);
  worker_.retire(*this);
}

void Probe::decide(CheckResult result) {
  if (!asking_ || decided() || closing_) return;
  result_ = result;
  look_again();
}

void Probe::on_flush() {
  if (closing_ || user_ == nullptr) return;
  if (asking_ && !decided()) return;  // the request is still out
  std::optional<CheckResult> result = std::exchange(result_, std::nullopt);
  const bool was_asking = std::exchange(asking_, false);
  if (context_.spec.reuse_connection && reusable()) {
    if (result) user_->on_result(*result);
    return;
  }
  if (!was_asking && loss_is_failure()) result = CheckResult::network;
  ProbeUser& user = *user_;
  leave();
  if (result) user.on_result(*result);
}

void Probe::give_up() {
  result_.reset();
  asking_ = false;
  if (!ready_ || !context_.spec.reuse_connection || !abandon() || !reusable()) leave();
}

// The connection goes, and its user is told.
void Probe::leave() {
  ProbeUser* const user = user_;
  drop();
  if (user != nullptr) user->on_probe_gone();
}

void Probe::drop() {
  user_ = nullptr;
  if (std::exchange(closing_, true)) return;
  if (transport_ != nullptr) return transport_->close(over);
  if (dialer_.dialing()) return dialer_.cancel();
  worker_.retire(*this);
}

// Whatever the reason; our own close() comes here as well.
void Probe::on_closed(Error why) {
  static_cast<void>(why);
  closing_ = true;
  on_lost();
  const bool lost_answer = asking_ || loss_is_failure();
  const std::optional<CheckResult> result = std::exchange(result_, std::nullopt);
  if (user_ != nullptr && lost_answer)
    tell(result.value_or(CheckResult::network));
  else if (user_ != nullptr)
    std::exchange(user_, nullptr)->on_probe_gone();
  worker_.retire(*this);
}

void Probe::tell(CheckResult result) {
  ProbeUser* const user = std::exchange(user_, nullptr);
  if (user == nullptr) return;
  user->on_probe_gone();
  user->on_result(result);
}

}  // namespace ringside
