#pragma once
// A check by bytes: some are sent, and those that are expected must come, in this order and with anything in between.
#include <string>

#include "proxy/health/probe.h"

namespace ringside {

// As Envoy: each part is looked for behind the one before it.
bool contains_in_order(std::string_view bytes, const std::vector<std::string>& parts);

class TcpProbe final : public Probe {
 public:
  TcpProbe(ProbeContext& context, const Host& host, ProbeUser& user) : Probe(context, host, user) {}

 private:
  void on_ready() override {}
  void ask() override;
  bool reusable() const override { return !context_.spec.receive.empty() && !ended_; }
  bool loss_is_failure() const override { return true; }  // as in Envoy
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override { static_cast<void>(bytes); }

  std::string received_;
  bool ended_ = false;
};

}  // namespace ringside
