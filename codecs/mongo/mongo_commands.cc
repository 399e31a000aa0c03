#include "codecs/mongo/mongo_commands.h"

#include <array>

#include "codecs/mongo/mongo_names.h"

namespace ringside {

namespace {

using enum MongoCommandKind;

enum Traits : uint8_t { plain = 0, collection = 1, greets = 2, secret = 4, whole_name = 8 };

constexpr MongoCommandInfo row(std::string_view name, MongoCommandKind kind, uint8_t traits = plain) {
  return {name,
          kind,
          (traits & collection) != 0,
          (traits & whole_name) != 0,
          (traits & greets) != 0,
          (traits & secret) != 0};
}

// In the order of MongoCommand.
constexpr auto table = std::to_array<MongoCommandInfo>({
    row("unknown_command", MongoCommandKind::unknown),
    row("hello", session, greets),
    row("isMaster", session, greets),
    row("ping", session),
    row("saslStart", session, secret),
    row("saslContinue", session, secret),
    row("authenticate", session, secret),
    row("logout", session),
    row("getnonce", session, secret),
    row("buildInfo", session),
    row("connectionStatus", session),
    row("startSession", session),
    row("refreshSessions", session),
    row("endSessions", session),
    row("killSessions", session),
    row("killAllSessions", session),
    row("killAllSessionsByPattern", session),
    row("commitTransaction", session),
    row("abortTransaction", session),
    row("whoami", session),
    row("listCommands", session),
    row("getLastError", session),
    row("resetError", session),
    row("whatsmyuri", session),
    row("find", read, collection),
    row("aggregate", read, collection),
    row("count", read, collection),
    row("distinct", read, collection),
    row("getMore", read),
    row("killCursors", read, collection),
    row("explain", read),
    row("geoNear", read, collection),
    row("geoSearch", read, collection),
    row("group", read),
    row("mapReduce", read, collection),
    row("parallelCollectionScan", read, collection),
    row("listCollections", inspect),
    row("listIndexes", inspect, collection),
    row("listDatabases", inspect),
    row("collStats", inspect, collection),
    row("dbStats", inspect),
    row("dataSize", inspect, whole_name),
    row("dbHash", inspect),
    row("filemd5", inspect),
    row("listSearchIndexes", inspect, collection),
    row("getParameter", inspect),
    row("serverStatus", inspect),
    row("hostInfo", inspect),
    row("top", inspect),
    row("currentOp", inspect),
    row("getLog", inspect),
    row("getCmdLineOpts", inspect),
    row("connPoolStats", inspect),
    row("lockInfo", inspect),
    row("features", inspect),
    row("planCacheListFilters", inspect, collection),
    row("replSetGetStatus", inspect),
    row("replSetGetConfig", inspect),
    row("usersInfo", inspect),
    row("rolesInfo", inspect),
    row("listShards", inspect),
    row("balancerStatus", inspect),
    row("getShardMap", inspect),
    row("isdbgrid", inspect),
    row("validate", inspect, collection),
    row("checkMetadataConsistency", inspect),
    row("getDefaultRWConcern", inspect),
    row("analyzeShardKey", inspect, whole_name),
    row("availableQueryOptions", inspect),
    row("insert", write, collection),
    row("update", write, collection),
    row("delete", write, collection),
    row("findAndModify", write, collection),
    row("bulkWrite", write),
    row("create", change, collection),
    row("drop", change, collection),
    row("dropDatabase", change),
    row("createIndexes", change, collection),
    row("dropIndexes", change, collection),
    row("reIndex", change, collection),
    row("renameCollection", change, whole_name),
    row("collMod", change, collection),
    row("convertToCapped", change, collection),
    row("cloneCollection", change),
    row("cloneCollectionAsCapped", change, collection),
    row("copydb", change, secret),
    row("clone", change),
    row("createSearchIndexes", change, collection),
    row("dropSearchIndex", change, collection),
    row("updateSearchIndex", change, collection),
    row("createUser", change, secret),
    row("updateUser", change, secret),
    row("dropUser", change),
    row("dropAllUsersFromDatabase", change),
    row("grantRolesToUser", change),
    row("revokeRolesFromUser", change),
    row("createRole", change),
    row("updateRole", change),
    row("dropRole", change),
    row("dropAllRolesFromDatabase", change),
    row("grantRolesToRole", change),
    row("revokeRolesFromRole", change),
    row("grantPrivilegesToRole", change),
    row("revokePrivilegesFromRole", change),
    row("invalidateUserCache", change),
    row("eval", change),
    row("compact", change, collection),
    row("repairDatabase", change),
    row("fsync", change),
    row("fsyncUnlock", change),
    row("shutdown", change),
    row("setParameter", change),
    row("setFeatureCompatibilityVersion", change),
    row("setDefaultRWConcern", change),
    row("setIndexCommitQuorum", change, collection),
    row("setUserWriteBlockMode", change),
    row("profile", change),
    row("logRotate", change),
    row("killOp", change),
    row("planCacheClear", change, collection),
    row("planCacheClearFilters", change, collection),
    row("planCacheSetFilter", change, collection),
    row("applyOps", change),
    row("resync", change),
    row("replSetInitiate", change),
    row("replSetReconfig", change),
    row("replSetStepDown", change),
    row("replSetStepUp", change),
    row("replSetFreeze", change),
    row("replSetMaintenance", change),
    row("replSetSyncFrom", change),
    row("replSetResizeOplog", change),
    row("addShard", change),
    row("removeShard", change),
    row("enableSharding", change),
    row("shardCollection", change, whole_name),
    row("reshardCollection", change, whole_name),
    row("unshardCollection", change, whole_name),
    row("moveChunk", change, whole_name),
    row("movePrimary", change),
    row("split", change, whole_name),
    row("mergeChunks", change, whole_name),
    row("refineCollectionShardKey", change, whole_name),
    row("balancerStart", change),
    row("balancerStop", change),
    row("flushRouterConfig", change),
    row("addShardToZone", change),
    row("removeShardFromZone", change),
    row("updateZoneKeyRange", change),
    row("configureQueryAnalyzer", change, whole_name),
    row("setQuerySettings", change),
    row("removeQuerySettings", change),
    row("touch", change, collection),
});
static_assert(table.size() == mongo_commands);

using Names = MongoNames<MongoCommand, 1024>;

constexpr Names::Entry aliases[] = {
    {"ismaster", MongoCommand::is_master},
    {"findandmodify", MongoCommand::find_and_modify},
    {"collstats", MongoCommand::coll_stats},
    {"dbstats", MongoCommand::db_stats},
    {"dbhash", MongoCommand::db_hash},
    {"getlasterror", MongoCommand::get_last_error},
    {"buildinfo", MongoCommand::build_info},
    {"mapreduce", MongoCommand::map_reduce},
    {"datasize", MongoCommand::data_size},
    {"resetError", MongoCommand::reset_error},
    {"reseterror", MongoCommand::reset_error},
    {"deleteIndexes", MongoCommand::drop_indexes},
    {"$eval", MongoCommand::eval},
    {"isdbgrid", MongoCommand::is_dbgrid},
};

template <size_t... at>
consteval Names make_names(std::index_sequence<at...>) {
  constexpr size_t named = sizeof...(at);
  Names::Entry entries[named + std::size(aliases)] = {{table[at + 1].name, static_cast<MongoCommand>(at + 1)}...};
  for (size_t alias = 0; alias < std::size(aliases); ++alias) entries[named + alias] = aliases[alias];
  return Names(entries);
}

constexpr Names names = make_names(std::make_index_sequence<mongo_commands - 1>());

}  // namespace

const MongoCommandInfo& info_of(MongoCommand command) { return table[static_cast<size_t>(command)]; }

MongoCommand mongo_command_of(std::string_view first_key) { return names.find(first_key); }

}  // namespace ringside
