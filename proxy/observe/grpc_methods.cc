#include "proxy/observe/grpc_methods.h"

#include <algorithm>

namespace ringside {

std::optional<GrpcMethodName> GrpcMethodName::parse(std::string_view path) {
  path = path.substr(0, path.find('?'));
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  const size_t slash = path.find('/');
  if (slash == 0 || slash == path.npos || slash + 1 == path.size() || path.find('/', slash + 1) != path.npos) return std::nullopt;
  return GrpcMethodName{path.substr(0, slash), path.substr(slash + 1)};
}

StatBlock<GrpcStat> GrpcMethods::make(Protocol protocol, GrpcMethodName name) {
  const std::string_view text = protocol == Protocol::grpc ? "grpc" : "grpc-web";
  return registry_.cells(worker_).block(registry_.group<GrpcStat>(cluster_grpc_scope(cluster_, text, name.service, name.method)));
}

StatBlock<GrpcStat>& GrpcMethods::find(Protocol protocol, GrpcMethodName name, Dots dots) {
  key_.assign(1, static_cast<char>(static_cast<int>(protocol) * 2 + static_cast<int>(dots)));
  key_.append(name.service).append("/").append(name.method);
  if (const auto found = blocks_.find(std::string_view(key_)); found != blocks_.end()) return *found->second;
  if (!name.service.empty() && blocks_.size() >= methods_max) return all(protocol);
  std::string service(name.service);
  if (dots == Dots::replace) std::replace(service.begin(), service.end(), '.', '_');
  auto block = std::make_unique<StatBlock<GrpcStat>>(make(protocol, {service, name.method}));
  return *blocks_.emplace(key_, std::move(block)).first->second;
}

StatBlock<GrpcStat>& GrpcMethods::all(Protocol protocol) { return find(protocol, {}); }

void count_grpc_status(StatBlock<GrpcStat>& stats, const HeaderMap& fields) {
  if (!fields.has(HeaderId::grpc_status)) return;
  const std::optional<GrpcStatus> status = grpc_status_of(fields);
  if (status) stats.inc(static_cast<GrpcStat>(static_cast<size_t>(GrpcStat::status_0) + static_cast<size_t>(*status)));
  stats.inc(status == GrpcStatus::ok ? GrpcStat::success : GrpcStat::failure);
  stats.inc(GrpcStat::total);
}

}  // namespace ringside
