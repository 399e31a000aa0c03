#include "proxy/health/tcp_probe.h"

namespace ringside {
namespace {

constexpr size_t received_bytes_max = 64 * 1024;

}  // namespace

bool contains_in_order(std::string_view bytes, const std::vector<std::string>& parts) {
  size_t from = 0;
  for (const std::string& part : parts) {
    const size_t found = bytes.find(part, from);
    if (found == bytes.npos) return false;
    from = found + part.size();
  }
  return true;
}

void TcpProbe::ask() {
  if (context_.spec.receive.empty()) return decide(CheckResult::success);  // to be connected is enough
  if (!context_.spec.send.empty()) transport_->send(Slice::of_static(context_.spec.send));
}

void TcpProbe::on_bytes(Slice bytes) {
  transport_->grant(bytes.size());
  if (closing()) return;
  // What comes between two checks belongs to the next one, as in Envoy. A server that floods us is seen through its last bytes.
  received_ += bytes.text();
  if (asking() && !decided() && contains_in_order(received_, context_.spec.receive)) {
    received_.clear();
    decide(CheckResult::success);
  }
  if (received_.size() > received_bytes_max) received_.erase(0, received_.size() - received_bytes_max / 2);
}

void TcpProbe::on_end() {
  ended_ = true;
  decide(CheckResult::network);
  look_again();  // between two checks
}

}  // namespace ringside
