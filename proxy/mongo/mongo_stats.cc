#include "proxy/mongo/mongo_stats.h"

#include <algorithm>
#include <utility>

namespace ringside {
namespace {

constexpr std::string_view prefix_label = "envoy_mongo_prefix";

constexpr auto mechanisms = std::to_array<std::string_view>({"SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509", "PLAIN", "GSSAPI",
                                                             "MONGODB-AWS", "MONGODB-OIDC", "MONGODB-CR"});

}  // namespace

size_t mongo_utf8_bytes(std::string_view text) {
  const auto byte = [text](size_t at) { return static_cast<unsigned char>(text[at]); };
  const auto follows = [&](size_t at) { return at < text.size() && (byte(at) & 0xc0) == 0x80; };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    if (!follows(1) || !follows(2)) return 0;
    const bool bad = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xed && byte(1) >= 0xa0);
    return bad ? 0 : 3;
  }
  if (first >= 0xf0 && first < 0xf5) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    const bool bad = (first == 0xf0 && byte(1) < 0x90) || (first == 0xf4 && byte(1) >= 0x90);
    return bad ? 0 : 4;
  }
  return 0;
}

std::string mongo_name_part(std::string_view text) {
  std::string part;
  part.reserve(text.size());
  while (!text.empty()) {
    const size_t size = mongo_utf8_bytes(text);
    const auto first = static_cast<unsigned char>(text[0]);
    if (size == 0 || first < 0x20 || first == 0x7f)
      part += '_';
    else
      part.append(text.substr(0, size));
    text.remove_prefix(std::max<size_t>(size, 1));
  }
  return stat_name_part(part);
}

StatScope mongo_scope(std::string_view stat_prefix) {
  std::string part = stat_name_part(stat_prefix);
  return {.prefix = "mongo." + part + ".", .tagless_prefix = "mongo.", .tags = {{std::string(prefix_label), std::move(part)}}};
}

StatScope mongo_named_scope(std::string_view stat_prefix, std::string_view kind, std::string_view label, std::string_view name) {
  StatScope scope = mongo_scope(stat_prefix);
  std::string part = mongo_name_part(name);
  scope.prefix.append(kind).append(".").append(part).append(".");
  scope.tagless_prefix.append(kind).append(".");
  scope.tags.insert(scope.tags.begin(), {std::string(label), std::move(part)});
  return scope;
}

StatScope mongo_query_scope(std::string_view stat_prefix, std::string_view collection, std::string_view site) {
  StatScope scope = mongo_named_scope(stat_prefix, "collection", "envoy_mongo_collection", collection);
  if (!site.empty()) {
    std::string part = mongo_name_part(site);
    scope.prefix.append("callsite.").append(part).append(".");
    scope.tagless_prefix.append("callsite.");
    scope.tags.insert(scope.tags.begin(), {"envoy_mongo_callsite", std::move(part)});
  }
  scope.prefix.append("query.");
  scope.tagless_prefix.append("query.");
  return scope;
}

StatScope mongo_collection_scope(std::string_view stat_prefix, std::string_view database, std::string_view collection) {
  StatScope scope = mongo_named_scope(stat_prefix, "db", "envoy_mongo_database", database);
  std::string part = mongo_name_part(collection);
  scope.prefix.append("coll.").append(part).append(".");
  scope.tagless_prefix.append("coll.");
  scope.tags.insert(scope.tags.begin(), {"envoy_mongo_collection", std::move(part)});
  return scope;
}

bool MongoNameTable::admit(std::string_view name) {
  const std::string text(name);
  if (full_.load(std::memory_order_acquire)) return names_.contains(text);
  const std::lock_guard lock(mutex_);
  if (names_.contains(text)) return true;
  if (names_.size() >= names_max_) return false;
  names_.insert(text);
  if (names_.size() == names_max_) full_.store(true, std::memory_order_release);
  return true;
}

size_t MongoNameTable::size() const {
  const std::lock_guard lock(mutex_);
  return names_.size();
}

uint64_t MongoCursorCount::take(uint64_t ended) {
  uint64_t open = open_.load(std::memory_order_relaxed);
  while (!open_.compare_exchange_weak(open, open - std::min(open, ended), std::memory_order_relaxed)) {
  }
  return std::min(open, ended);
}

std::shared_ptr<const MongoChainStats> MongoChainStats::make(const MongoSpec& spec, StatsRegistry& registry) {
  auto stats = std::make_shared<MongoChainStats>();
  stats->all = registry.group<MongoStat>(mongo_scope(spec.stat_prefix));
  const auto add = [&](std::string_view name) {
    stats->commands.push_back(registry.group<MongoCommandStat>(mongo_named_scope(spec.stat_prefix, "cmd", "envoy_mongo_cmd", name)));
  };
  for (const std::string& name : spec.commands) add(name);
  add("unknown_command");
  for (auto* names : {&stats->collections, &stats->queries, &stats->sites, &stats->errors, &stats->applications, &stats->drivers})
    *names = std::make_shared<MongoNameTable>(spec.names_max);
  stats->cursors = std::make_shared<MongoCursorCount>();
  return stats;
}

MongoCounters::MongoCounters(const MongoSpec& spec, const MongoChainStats& shared, StatsRegistry& registry, uint32_t worker)
    : prefix_(spec.stat_prefix),
      all_(registry.cells(worker).block(shared.all)),
      other_command_(static_cast<uint16_t>(spec.commands.size())),
      collections_(registry, worker, shared.collections),
      queries_(registry, worker, shared.queries),
      sites_(registry, worker, shared.sites),
      errors_(registry, worker, shared.errors),
      auths_(registry, worker, std::make_shared<MongoNameTable>(mechanisms.size())),
      applications_(registry, worker, shared.applications),
      drivers_(registry, worker, shared.drivers),
      cursors_(shared.cursors) {
  for (const auto& group : shared.commands) commands_.push_back(registry.cells(worker).block(group));
  by_command_.fill(other_command_);
  unusual_.resize(spec.commands.size());
  for (size_t i = 0; i < spec.commands.size(); ++i) {
    const MongoCommand command = mongo_command_of(spec.commands[i]);
    if (command == MongoCommand::unknown)
      unusual_[i] = spec.commands[i];
    else if (by_command_[static_cast<size_t>(command)] == other_command_)
      by_command_[static_cast<size_t>(command)] = static_cast<uint16_t>(i);
  }
}

void MongoCounters::open_cursor() {
  cursors_->add();
  all_.inc(MongoStat::cursors_open);
}

void MongoCounters::close_cursors(uint64_t count) { all_.dec(MongoStat::cursors_open, cursors_->take(count)); }

StatBlock<MongoCommandStat>& MongoCounters::command(MongoCommand command, std::string_view name) {
  if (command != MongoCommand::unknown) return commands_[by_command_[static_cast<size_t>(command)]];
  const auto found = std::find(unusual_.begin(), unusual_.end(), name);
  if (found == unusual_.end() || name.empty()) return commands_[other_command_];
  return commands_[static_cast<size_t>(found - unusual_.begin())];
}

std::string_view MongoCounters::key(std::string_view first, std::string_view second) {
  key_.assign(first).append(1, '\0').append(second);
  return key_;
}

StatBlock<MongoCollectionStat>& MongoCounters::collection(std::string_view database, std::string_view collection) {
  return collections_.find(key(database, collection), [&](bool own) {
    return mongo_collection_scope(prefix_, own ? database : mongo_other_name, own ? collection : mongo_other_name);
  });
}

StatBlock<MongoQueryStat>& MongoCounters::query(std::string_view collection) {
  return queries_.find(collection, [&](bool own) { return mongo_query_scope(prefix_, own ? collection : mongo_other_name, {}); });
}

StatBlock<MongoQueryStat>& MongoCounters::call_site(std::string_view collection, std::string_view site) {
  return sites_.find(key(collection, site), [&](bool own) {
    return mongo_query_scope(prefix_, own ? collection : mongo_other_name, own ? site : mongo_other_name);
  });
}

StatBlock<MongoErrorStat>& MongoCounters::error(std::string_view code_name) {
  return errors_.find(code_name, [&](bool own) {
    return mongo_named_scope(prefix_, "error", "envoy_mongo_error", own ? code_name : mongo_other_name);
  });
}

StatBlock<MongoAuthStat>& MongoCounters::auth(std::string_view mechanism) {
  const bool known = std::find(mechanisms.begin(), mechanisms.end(), mechanism) != mechanisms.end();
  const std::string_view name = known ? mechanism : mongo_other_name;
  return auths_.find(name, [&](bool) { return mongo_named_scope(prefix_, "auth", "envoy_mongo_mechanism", name); });
}

StatBlock<MongoClientStat>& MongoCounters::application(std::string_view name) {
  return applications_.find(name, [&](bool own) {
    return mongo_named_scope(prefix_, "app", "envoy_mongo_application", own ? name : mongo_other_name);
  });
}

StatBlock<MongoClientStat>& MongoCounters::driver(std::string_view name) {
  return drivers_.find(name, [&](bool own) {
    return mongo_named_scope(prefix_, "driver", "envoy_mongo_driver", own ? name : mongo_other_name);
  });
}

}  // namespace ringside
