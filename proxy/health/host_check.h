#pragma once
// The checks of one host: when, and what becomes of their results.
#include <memory>

#include "core/worker.h"
#include "proxy/health/check_state.h"
#include "proxy/health/probe.h"

namespace ringside {

class HostCheckUser {
 public:
  // The first result of a host, or one that changed its health.
  virtual void on_host_checked(HealthChange change) = 0;
  // The cluster had a connection, ever.
  virtual ClusterUse cluster_use() = 0;

 protected:
  ~HostCheckUser() = default;
};

class HostCheck final : private ProbeUser {
 public:
  // `context` and `user` live longer. The host counts as failed until its first result.
  HostCheck(ProbeContext& context, std::shared_ptr<Host> host, HostCheckUser& user);
  ~HostCheck();
  HostCheck(const HostCheck&) = delete;
  HostCheck& operator=(const HostCheck&) = delete;
  void start();
  const std::shared_ptr<Host>& host() const { return host_; }
  bool checked() const { return state_.checked(); }

 private:
  void on_interval();
  void on_timeout();
  void on_result(CheckResult result) override;
  void on_probe_gone() override { probe_ = nullptr; }
  void count(CheckResult result, HealthFlags before, HealthFlags after);
  void log(CheckResult result, HealthFlags after);
  void arm_interval(CheckResult result, HealthChange change);

  ProbeContext& context_;
  Worker& worker_;
  HostCheckUser& user_;
  std::shared_ptr<Host> host_;
  CheckState state_;
  Probe* probe_ = nullptr;  // none between two connections
  TimerFor<HostCheck, &HostCheck::on_interval> interval_timer_{*this};
  TimerFor<HostCheck, &HostCheck::on_timeout> timeout_timer_{*this};
};

}  // namespace ringside
