#pragma once
// The commands that Ringside knows by name: the bounded set of names that statistics and rules use.
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringside {

// In the order of the table in mongo_commands.cc. Names that differ in case only by their age (`findandmodify`,
// `findAndModify`) are one command; hello, isMaster and ismaster are two (hello; isMaster), see is_hello.
enum class MongoCommand : uint8_t {
  unknown,
  // Handshake, session, authentication.
  hello,
  is_master,
  ping,
  sasl_start,
  sasl_continue,
  authenticate,
  logout,
  get_nonce,
  build_info,
  connection_status,
  start_session,
  refresh_sessions,
  end_sessions,
  kill_sessions,
  kill_all_sessions,
  kill_all_sessions_by_pattern,
  commit_transaction,
  abort_transaction,
  who_am_i,
  list_commands,
  get_last_error,
  reset_error,
  whats_my_uri,
  // Reads.
  find,
  aggregate,
  count,
  distinct,
  get_more,
  kill_cursors,
  explain,
  geo_near,
  geo_search,
  group,
  map_reduce,
  parallel_collection_scan,
  list_collections,
  list_indexes,
  list_databases,
  coll_stats,
  db_stats,
  data_size,
  db_hash,
  file_md5,
  list_search_indexes,
  get_parameter,
  server_status,
  host_info,
  top,
  current_op,
  get_log,
  get_cmd_line_opts,
  conn_pool_stats,
  lock_info,
  features,
  plan_cache_list_filters,
  repl_set_get_status,
  repl_set_get_config,
  users_info,
  roles_info,
  list_shards,
  balancer_status,
  get_shard_map,
  is_dbgrid,
  validate,
  check_metadata_consistency,
  get_default_rw_concern,
  analyze_shard_key,
  available_query_options,
  // Writes to documents.
  insert,
  update,
  remove,
  find_and_modify,
  bulk_write,
  // Changes of anything else.
  create,
  drop,
  drop_database,
  create_indexes,
  drop_indexes,
  re_index,
  rename_collection,
  coll_mod,
  convert_to_capped,
  clone_collection,
  clone_collection_as_capped,
  copy_db,
  clone,
  create_search_indexes,
  drop_search_index,
  update_search_index,
  create_user,
  update_user,
  drop_user,
  drop_all_users_from_database,
  grant_roles_to_user,
  revoke_roles_from_user,
  create_role,
  update_role,
  drop_role,
  drop_all_roles_from_database,
  grant_roles_to_role,
  revoke_roles_from_role,
  grant_privileges_to_role,
  revoke_privileges_from_role,
  invalidate_user_cache,
  eval,
  compact,
  repair_database,
  fsync,
  fsync_unlock,
  shutdown,
  set_parameter,
  set_feature_compatibility_version,
  set_default_rw_concern,
  set_index_commit_quorum,
  set_user_write_block_mode,
  set_profiling_level,
  log_rotate,
  kill_op,
  plan_cache_clear,
  plan_cache_clear_filters,
  plan_cache_set_filter,
  apply_ops,
  resync,
  repl_set_initiate,
  repl_set_reconfig,
  repl_set_step_down,
  repl_set_step_up,
  repl_set_freeze,
  repl_set_maintenance,
  repl_set_sync_from,
  repl_set_resize_oplog,
  add_shard,
  remove_shard,
  enable_sharding,
  shard_collection,
  reshard_collection,
  unshard_collection,
  move_chunk,
  move_primary,
  split,
  merge_chunks,
  refine_collection_shard_key,
  balancer_start,
  balancer_stop,
  flush_router_config,
  add_shard_to_zone,
  remove_shard_from_zone,
  update_zone_key_range,
  configure_query_analyzer,
  set_query_settings,
  remove_query_settings,
  touch,
};

inline constexpr size_t mongo_commands = static_cast<size_t>(MongoCommand::touch) + 1;

enum class MongoCommandKind : uint8_t {
  unknown,  // not in the table: treat it as a change where that matters
  session,  // no data: handshake, authentication, sessions, transactions
  read,     // documents; aggregate is one, see MongoRequest::writes() for $out and $merge
  inspect,  // the state of server, database or collection
  write,    // documents
  change,   // structure, users, the server
};

struct MongoCommandInfo {
  std::string_view name;  // as the manual spells it: "findAndModify"
  MongoCommandKind kind = MongoCommandKind::unknown;
  bool names_collection = false;  // the value of the first key is a collection's name, if it is a string
  bool names_namespace = false;   // the value of the first key is database.collection
  bool hello = false;             // hello or one of its old names
  bool authentication = false;    // carries credentials: never log its values
};

const MongoCommandInfo& info_of(MongoCommand command);

// The command with this first key; of the names that differ in case only the known ones are found.
MongoCommand mongo_command_of(std::string_view first_key);

}  // namespace ringside
