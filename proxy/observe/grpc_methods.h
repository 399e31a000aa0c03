#pragma once
// Statistics of gRPC by method, of one cluster on one worker: made when a method is first called.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/stats.h"
#include "proxy/grpc_rules.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

// "/service/method"
struct GrpcMethodName {
  std::string_view service;
  std::string_view method;
  // Of a path, its query left out; nullopt for other paths.
  static std::optional<GrpcMethodName> parse(std::string_view path);
};

class GrpcMethods {
 public:
  // Clients choose the names: what comes after so many is counted without one.
  static constexpr size_t methods_max = 1000;
  enum class Protocol : uint8_t { grpc, grpc_web };
  enum class Dots : uint8_t { keep, replace };

  GrpcMethods(StatsRegistry& registry, uint32_t worker, std::string cluster)
      : registry_(registry), worker_(worker), cluster_(std::move(cluster)) {}
  // Lives as long as this.
  StatBlock<GrpcStat>& find(Protocol protocol, GrpcMethodName name, Dots dots = Dots::keep);
  // Of all methods together.
  StatBlock<GrpcStat>& all(Protocol protocol);

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  StatBlock<GrpcStat> make(Protocol protocol, GrpcMethodName name);

  StatsRegistry& registry_;
  uint32_t worker_;
  std::string cluster_;
  std::string key_;  // of the look-up under way
  std::unordered_map<std::string, std::unique_ptr<StatBlock<GrpcStat>>, Hash, std::equal_to<>> blocks_;
};

// One call ended with this status, as it came; nothing is counted for none.
void count_grpc_status(StatBlock<GrpcStat>& stats, const HeaderMap& fields);

}  // namespace ringside
