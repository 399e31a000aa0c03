#include "proxy/health/host_check.h"

#include <string_view>
#include <utility>

#include "core/log.h"

namespace ringside {
namespace {

std::string_view words(CheckResult result) {
  switch (result) {
    case CheckResult::success: return "it answers";
    case CheckResult::degraded: return "it answers that it is degraded";
    case CheckResult::failed:
    case CheckResult::retriable: return "its answer says so";
    case CheckResult::network: return "no connection, or one that broke";
    case CheckResult::timed_out: return "no answer in time";
  }
  return "";
}

}  // namespace

HostCheck::HostCheck(ProbeContext& context, std::shared_ptr<Host> host, HostCheckUser& user)
    : context_(context), worker_(context.cluster.worker()), user_(user), host_(std::move(host)), state_(context.spec) {
  HealthFlags flags = host_->health();
  flags.set(HealthFlag::failed_active_hc);
  if (context_.cluster.spec().pending_until_checked) flags.set(HealthFlag::pending_active_hc);
  host_->set_health(flags);
}

HostCheck::~HostCheck() {
  if (probe_ != nullptr) probe_->drop();
  if (!host_->health().has(HealthFlag::failed_active_hc)) context_.stats.dec(HealthCheckStat::healthy);
  if (host_->health().has(HealthFlag::degraded_active_hc)) context_.stats.dec(HealthCheckStat::degraded);
}

void HostCheck::start() {
  if (context_.spec.initial_jitter == Duration::zero()) return on_interval();
  worker_.arm(interval_timer_, jittered(Duration::zero(), context_.spec.initial_jitter, 0, {0, worker_.ring().random()}));
}

void HostCheck::on_interval() {
  if (probe_ != nullptr && !probe_->usable()) std::exchange(probe_, nullptr)->drop();
  if (probe_ == nullptr) probe_ = Probe::make(context_, *host_, *this);
  context_.stats.inc(HealthCheckStat::attempt);
  worker_.arm(timeout_timer_, context_.spec.timeout);
  probe_->check();
}

void HostCheck::on_timeout() {
  if (probe_ != nullptr) probe_->give_up();
  on_result(CheckResult::timed_out);
}

void HostCheck::on_result(CheckResult result) {
  timeout_timer_.disarm();
  const bool first = !state_.checked();
  const HealthFlags before = host_->health();
  HealthFlags after = before;
  const HealthChange change = state_.apply(result, after);
  host_->set_health(after);
  count(result, before, after);
  if (change == HealthChange::changed || first) log(result, after);
  if (change == HealthChange::changed || first) user_.on_host_checked(change);
  arm_interval(result, change);
}

void HostCheck::count(CheckResult result, HealthFlags before, HealthFlags after) {
  StatBlock<HealthCheckStat>& stats = context_.stats;
  stats.inc(is_success(result) ? HealthCheckStat::success : HealthCheckStat::failure);
  if (is_network(result)) stats.inc(HealthCheckStat::network_failure);
  const auto move = [&](HealthCheckStat gauge, bool was, bool is) {
    if (was && !is) stats.dec(gauge);
    if (!was && is) stats.inc(gauge);
  };
  move(HealthCheckStat::healthy, !before.has(HealthFlag::failed_active_hc), !after.has(HealthFlag::failed_active_hc));
  move(HealthCheckStat::degraded, before.has(HealthFlag::degraded_active_hc), after.has(HealthFlag::degraded_active_hc));
}

void HostCheck::log(CheckResult result, HealthFlags after) {
  const std::string_view health = after.has(HealthFlag::failed_active_hc) ? "unhealthy" : "healthy";
  RS_LOG_INFO(upstream, "cluster {}: host {} is {}: {}", context_.cluster.spec().name, host_->text(), health, words(result));
}

void HostCheck::arm_interval(CheckResult result, HealthChange change) {
  const Duration pause = pause_after(context_.spec, result, change, user_.cluster_use());
  worker_.arm(interval_timer_, jittered(pause, context_.spec.interval_jitter, context_.spec.interval_jitter_percent,
                                        {worker_.ring().random(), worker_.ring().random()}));
}

}  // namespace ringside
