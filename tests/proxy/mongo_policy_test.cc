// Which requests rules allow: requests as the reader's facts describe them, and every command that it knows.
#include "proxy/mongo/mongo_policy.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside {
namespace {

using Why = MongoDecision::Why;

MongoRequest command_on(std::string_view name, std::string_view collection = {}, std::string_view database = "shop") {
  MongoRequest request;
  request.opcode = MongoOpcode::msg;
  request.is_command = true;
  request.command_name = name;
  request.command = mongo_command_of(name);
  request.database = database;
  request.collection = collection;
  return request;
}

MongoRequest legacy(MongoOpcode opcode, std::string_view collection = "c") {
  MongoRequest request;
  request.opcode = opcode;
  request.database = "shop";
  request.collection = collection;
  return request;
}

MongoRequest piped(std::string_view target_database, std::string_view target, bool merge = false) {
  MongoRequest request = command_on("aggregate", "orders");
  (merge ? request.has_merge : request.has_out) = true;
  request.target = {target_database, target};
  return request;
}

MongoRuleSpec rule(std::string name, MongoRuleAction action, MongoMatchSpec match = {}) {
  return {.name = std::move(name), .action = action, .match = std::move(match)};
}

TextMatchSpec exactly(std::string text) { return {.text = std::move(text)}; }

bool allows(const MongoRulesSpec& spec, const MongoRequest& request, std::string_view application = {}) {
  return MongoPolicy(spec).decide(request, application).allowed;
}

constexpr auto allow = MongoRuleAction::allow, deny = MongoRuleAction::deny;

TEST(MongoPolicy, NothingIsJudgedWithoutRules) {
  const MongoRulesSpec none;
  EXPECT_TRUE(allows(none, command_on("dropDatabase")));
  EXPECT_TRUE(allows(none, command_on("noSuchThing")));
  EXPECT_EQ(MongoPolicy(none).decide(command_on("find", "c"), "").why, Why::nothing);
}

TEST(MongoPolicy, ReadOnlyTakesWhatOnlyReads) {
  MongoRulesSpec spec;
  spec.read_only = true;
  for (const char* name :
       {"find", "aggregate", "count", "distinct", "getMore", "killCursors", "explain", "listCollections", "listIndexes", "listDatabases",
        "collStats", "dbStats", "dataSize", "dbHash", "serverStatus", "hostInfo", "top", "currentOp", "getLog", "usersInfo", "rolesInfo",
        "replSetGetStatus", "getParameter", "hello", "isMaster", "ismaster", "ping", "saslStart", "saslContinue", "authenticate", "logout",
        "getnonce", "buildInfo", "buildinfo", "connectionStatus", "startSession", "refreshSessions", "endSessions", "killSessions",
        "commitTransaction", "abortTransaction", "whatsmyuri", "getLastError"})
    EXPECT_TRUE(allows(spec, command_on(name, "c"))) << name;
  EXPECT_TRUE(allows(spec, legacy(MongoOpcode::query)));
  EXPECT_TRUE(allows(spec, legacy(MongoOpcode::get_more)));
  EXPECT_TRUE(allows(spec, legacy(MongoOpcode::kill_cursors)));
}

TEST(MongoPolicy, ReadOnlyRefusesWhatMayChangeAnything) {
  MongoRulesSpec spec;
  spec.read_only = true;
  for (const char* name :
       {"insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite", "create", "drop", "dropDatabase", "createIndexes",
        "dropIndexes", "deleteIndexes", "reIndex", "renameCollection", "collMod", "convertToCapped", "cloneCollection", "cloneCollectionAsCapped",
        "copydb", "clone", "createSearchIndexes", "dropSearchIndex", "updateSearchIndex", "createUser", "updateUser", "dropUser",
        "dropAllUsersFromDatabase", "grantRolesToUser", "revokeRolesFromUser", "createRole", "updateRole", "dropRole", "eval", "$eval",
        "compact", "repairDatabase", "fsync", "shutdown", "setParameter", "setFeatureCompatibilityVersion", "killOp", "profile",
        "applyOps", "doTxn", "replSetInitiate", "replSetReconfig", "addShard", "shardCollection", "moveChunk", "killAllSessions",
        "killAllSessionsByPattern", "noSuchThing", ""}) {
    const MongoDecision decision = MongoPolicy(spec).decide(command_on(name, "c"), "");
    EXPECT_FALSE(decision.allowed) << name;
    EXPECT_EQ(decision.why, Why::read_only) << name;
  }
  for (const MongoOpcode opcode : {MongoOpcode::insert, MongoOpcode::update, MongoOpcode::remove})
    EXPECT_FALSE(allows(spec, legacy(opcode))) << name_of(opcode);
  EXPECT_FALSE(allows(spec, piped("", "copy")));
  EXPECT_FALSE(allows(spec, piped("other", "copy", true)));
  MongoRequest map = command_on("mapReduce", "c");
  EXPECT_TRUE(allows(spec, map));
  map.has_out = true;
  EXPECT_FALSE(allows(spec, map));
  MongoRequest explained = command_on("explain", "c");
  explained.inner_command = MongoCommand::remove;
  EXPECT_TRUE(allows(spec, explained));
}

// Whatever the reader knows has a class, and what is no read cannot pass as one.
TEST(MongoPolicy, EveryCommandHasAClass) {
  MongoRulesSpec reads;
  reads.default_action = deny;
  reads.rules.push_back(rule("reads", allow, {.classes = {MongoClass::read}}));
  for (size_t i = 1; i < mongo_commands; ++i) {
    const MongoCommandInfo& info = info_of(static_cast<MongoCommand>(i));
    const bool allowed = allows(reads, command_on(info.name, "c"));
    const bool changes = info.kind == MongoCommandKind::write || info.kind == MongoCommandKind::change;
    if (changes) {
      EXPECT_FALSE(allowed) << info.name;
    }
    if (info.kind == MongoCommandKind::read) {
      EXPECT_TRUE(allowed) << info.name;
    }
  }
  EXPECT_TRUE(allows(reads, command_on("listCollections")));
  EXPECT_TRUE(allows(reads, command_on("hello")));
  for (const char* name : {"serverStatus", "currentOp", "getLog", "usersInfo", "killAllSessions", "replSetGetConfig"})
    EXPECT_FALSE(allows(reads, command_on(name))) << name;
}

TEST(MongoPolicy, ClassesOfChanges) {
  const auto class_of = [](const char* name) { return mongo_subject_of(command_on(name, "c")).command_class; };
  for (const char* name : {"insert", "update", "delete", "findAndModify", "bulkWrite", "create", "drop", "dropDatabase", "createIndexes",
                           "dropIndexes", "renameCollection", "collMod", "convertToCapped", "createSearchIndexes", "compact"})
    EXPECT_EQ(class_of(name), MongoClass::write) << name;
  for (const char* name : {"createUser", "updateUser", "dropUser", "grantRolesToUser", "createRole", "grantPrivilegesToRole",
                           "invalidateUserCache", "usersInfo"})
    EXPECT_EQ(class_of(name), MongoClass::auth) << name;
  for (const char* name : {"shutdown", "setParameter", "applyOps", "replSetReconfig", "addShard", "killOp", "fsync", "noSuchThing"})
    EXPECT_EQ(class_of(name), MongoClass::admin) << name;
}

TEST(MongoPolicy, TheFirstRuleThatMatchesDecides) {
  MongoRulesSpec spec;
  spec.rules.push_back(rule("audit", deny, {.databases = {exactly("shop")}, .collections = {{.how = TextMatchHow::prefix, .text = "audit"}}}));
  spec.rules.push_back(rule("shop", allow, {.databases = {exactly("shop")}}));
  spec.default_action = deny;
  EXPECT_FALSE(allows(spec, command_on("find", "audit_log")));
  EXPECT_TRUE(allows(spec, command_on("find", "orders")));
  EXPECT_FALSE(allows(spec, command_on("find", "orders", "other")));
  EXPECT_TRUE(allows(spec, command_on("listCollections")));
  // What touches the database as a whole touches what is denied in it.
  EXPECT_FALSE(allows(spec, command_on("dropDatabase")));
  EXPECT_FALSE(allows(spec, command_on("aggregate", "")));
  EXPECT_FALSE(allows(spec, command_on("find", "")));  // by UUID
  EXPECT_FALSE(allows(spec, command_on("aggregate", "", "admin")));
  EXPECT_EQ(MongoPolicy(spec).decide(command_on("find", "audit_log"), "").rule, 0);
  EXPECT_EQ(MongoPolicy(spec).decide(command_on("find", "orders"), "").rule, 1);
}

TEST(MongoPolicy, EveryCollectionOfACommandIsJudged) {
  MongoRulesSpec spec;
  spec.rules.push_back(rule("secret", deny, {.collections = {exactly("secret")}}));
  spec.rules.push_back(rule("copies", allow, {.databases = {exactly("copies")}}));
  spec.rules.push_back(rule("no_writes", deny, {.classes = {MongoClass::write}}));
  MongoRequest lookup = command_on("aggregate", "orders");
  lookup.foreign.add({"", "items"});
  EXPECT_TRUE(allows(spec, lookup));
  lookup.foreign.add({"other", "secret"});
  EXPECT_FALSE(allows(spec, lookup));
  EXPECT_TRUE(allows(spec, piped("copies", "x")));
  EXPECT_FALSE(allows(spec, piped("", "x")));
  EXPECT_FALSE(allows(spec, piped("copies", "secret", true)));
  MongoRequest bulk = command_on("bulkWrite", "", "admin");
  bulk.foreign.add({"copies", "a"});
  EXPECT_TRUE(allows(spec, bulk));
  bulk.foreign.add({"shop", "b"});
  EXPECT_FALSE(allows(spec, bulk));
  MongoRequest renames = command_on("renameCollection", "a", "copies");
  renames.target = {"copies", "b"};
  EXPECT_TRUE(allows(spec, renames));
  renames.target = {"copies", "secret"};
  EXPECT_FALSE(allows(spec, renames));
}

TEST(MongoPolicy, NamesThatWereNotKeptAreRefused) {
  MongoRulesSpec spec;
  spec.rules.push_back(rule("secret", deny, {.collections = {exactly("secret")}}));
  MongoRequest many = command_on("aggregate", "orders");
  for (int i = 0; i < 7; ++i) many.foreign.add({"", "items"});
  EXPECT_EQ(MongoPolicy(spec).decide(many, "").why, Why::unread_names);
  MongoRequest cut = command_on("find", "orders");
  cut.names_cut = true;
  EXPECT_FALSE(allows(spec, cut));
}

TEST(MongoPolicy, ACursorFollowsWhatOpenedIt) {
  MongoRulesSpec spec;
  spec.default_action = deny;
  spec.rules.push_back(rule("finds", allow, {.collections = {exactly("orders")}, .commands = {"find"}}));
  EXPECT_TRUE(allows(spec, command_on("find", "orders")));
  EXPECT_TRUE(allows(spec, command_on("getMore", "orders")));
  EXPECT_TRUE(allows(spec, command_on("killCursors", "orders")));
  EXPECT_FALSE(allows(spec, command_on("getMore", "other")));
  EXPECT_FALSE(allows(spec, command_on("aggregate", "orders")));
  EXPECT_TRUE(allows(spec, command_on("getMore", "$cmd.listCollections")));
  EXPECT_TRUE(allows(spec, legacy(MongoOpcode::kill_cursors, "")));
  MongoRulesSpec no_find;
  no_find.rules.push_back(rule("no_find", deny, {.commands = {"find"}}));
  EXPECT_TRUE(allows(no_find, command_on("getMore", "orders")));
}

TEST(MongoPolicy, SessionsStayUnlessNamed) {
  MongoRulesSpec spec;
  spec.default_action = deny;
  spec.rules.push_back(rule("nothing", deny));
  for (const char* name : {"hello", "isMaster", "ping", "saslStart", "endSessions", "commitTransaction"})
    EXPECT_TRUE(allows(spec, command_on(name, "", "admin"))) << name;
  spec.rules.push_back(rule("no_ping", deny, {.commands = {"ping"}}));
  EXPECT_FALSE(allows(spec, command_on("ping", "", "admin")));
  EXPECT_TRUE(allows(spec, command_on("hello", "", "admin")));
}

TEST(MongoPolicy, ApplicationsByText) {
  MongoRulesSpec spec;
  spec.default_action = deny;
  spec.rules.push_back(rule("reports", allow, {.applications = {{.how = TextMatchHow::regex, .text = "report-[0-9]+"}}}));
  spec.rules.push_back(rule("shops", allow, {.applications = {{.how = TextMatchHow::suffix, .text = "-SHOP", .ignore_case = true}}}));
  EXPECT_TRUE(allows(spec, command_on("find", "c"), "report-12"));
  EXPECT_FALSE(allows(spec, command_on("find", "c"), "report-12x"));
  EXPECT_TRUE(allows(spec, command_on("find", "c"), "Web-Shop"));
  EXPECT_FALSE(allows(spec, command_on("find", "c")));
}

TEST(MongoPolicy, UnknownCommandsNeedARuleThatNamesThem) {
  MongoRulesSpec spec;
  spec.rules.push_back(rule("shop", allow, {.databases = {exactly("shop")}}));
  EXPECT_EQ(MongoPolicy(spec).decide(command_on("noSuchThing"), "").why, Why::unknown_command);
  spec.forwards_unknown = true;
  EXPECT_TRUE(allows(spec, command_on("noSuchThing")));
  spec.forwards_unknown = false;
  spec.rules.insert(spec.rules.begin(), rule("own", allow, {.commands = {"noSuchThing"}}));
  EXPECT_TRUE(allows(spec, command_on("noSuchThing")));
  EXPECT_FALSE(allows(spec, command_on("noOtherThing")));
}

TEST(MongoPolicy, JavaScript) {
  MongoRulesSpec spec;
  spec.deny_javascript = true;
  EXPECT_EQ(MongoPolicy(spec).depth(), MongoDepth::deep);
  EXPECT_TRUE(allows(spec, command_on("find", "c")));
  MongoRequest where = command_on("find", "c");
  where.uses_where = true;
  EXPECT_EQ(MongoPolicy(spec).decide(where, "").why, Why::javascript);
  MongoRequest function = command_on("aggregate", "c");
  function.uses_function = true;
  EXPECT_FALSE(allows(spec, function));
  for (const char* name : {"mapReduce", "mapreduce", "group", "eval"}) EXPECT_FALSE(allows(spec, command_on(name, "c"))) << name;
}

TEST(MongoPolicy, FaultsByCommand) {
  MongoRulesSpec spec;
  spec.faults.push_back({.name = "finds", .match = {.collections = {exactly("c")}, .commands = {"find"}}});
  spec.faults.push_back({.name = "all", .match = {}});
  const MongoPolicy policy(spec);
  const auto fault = [&](const char* name, const char* collection) {
    return policy.find_fault(mongo_subject_of(command_on(name, collection)), "", 0);
  };
  EXPECT_EQ(fault("find", "c"), 0u);
  EXPECT_EQ(fault("find", "d"), 1u);
  EXPECT_EQ(fault("hello", ""), 2u);
  EXPECT_EQ(policy.find_fault(mongo_subject_of(command_on("find", "c")), "", 1), 1u);
}

}  // namespace
}  // namespace ringside
