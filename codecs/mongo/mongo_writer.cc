#include "codecs/mongo/mongo_writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "codecs/mongo/bson_writer.h"

namespace ringside {

namespace {

constexpr uint32_t flags_bytes = 4;

struct CodeName {
  int32_t code = 0;
  std::string_view name;
};

constexpr auto code_names = std::to_array<CodeName>({
    {1, "InternalError"},
    {2, "BadValue"},
    {4, "NoSuchKey"},
    {6, "HostUnreachable"},
    {7, "HostNotFound"},
    {8, "UnknownError"},
    {9, "FailedToParse"},
    {10, "CannotMutateObject"},
    {11, "UserNotFound"},
    {12, "UnsupportedFormat"},
    {13, "Unauthorized"},
    {14, "TypeMismatch"},
    {15, "Overflow"},
    {16, "InvalidLength"},
    {17, "ProtocolError"},
    {18, "AuthenticationFailed"},
    {20, "IllegalOperation"},
    {22, "InvalidBSON"},
    {24, "LockTimeout"},
    {26, "NamespaceNotFound"},
    {27, "IndexNotFound"},
    {28, "PathNotViable"},
    {31, "RoleNotFound"},
    {40, "ConflictingUpdateOperators"},
    {43, "CursorNotFound"},
    {46, "LockBusy"},
    {47, "NoMatchingDocument"},
    {48, "NamespaceExists"},
    {50, "MaxTimeMSExpired"},
    {52, "DollarPrefixedFieldName"},
    {53, "InvalidIdField"},
    {54, "NotSingleValueField"},
    {55, "InvalidDBRef"},
    {56, "EmptyFieldName"},
    {57, "DottedFieldName"},
    {59, "CommandNotFound"},
    {61, "ShardKeyNotFound"},
    {64, "WriteConcernFailed"},
    {66, "ImmutableField"},
    {67, "CannotCreateIndex"},
    {68, "IndexAlreadyExists"},
    {70, "ShardNotFound"},
    {71, "ReplicaSetNotFound"},
    {72, "InvalidOptions"},
    {73, "InvalidNamespace"},
    {76, "NoReplicationEnabled"},
    {79, "UnknownReplWriteConcern"},
    {85, "IndexOptionsConflict"},
    {86, "IndexKeySpecsConflict"},
    {89, "NetworkTimeout"},
    {90, "CallbackCanceled"},
    {91, "ShutdownInProgress"},
    {93, "InvalidReplicaSetConfig"},
    {94, "NotYetInitialized"},
    {95, "NotSecondary"},
    {96, "OperationFailed"},
    {100, "UnsatisfiableWriteConcern"},
    {107, "LockFailed"},
    {112, "WriteConflict"},
    {115, "CommandNotSupported"},
    {117, "ConflictingOperationInProgress"},
    {118, "NamespaceNotSharded"},
    {121, "DocumentValidationFailure"},
    {125, "CommandFailed"},
    {133, "FailedToSatisfyReadPreference"},
    {134, "ReadConcernMajorityNotAvailableYet"},
    {136, "CappedPositionLost"},
    {139, "JSInterpreterFailure"},
    {143, "CursorInUse"},
    {146, "ExceededMemoryLimit"},
    {148, "ReadConcernMajorityNotEnabled"},
    {150, "StaleEpoch"},
    {165, "ViewDepthLimitExceeded"},
    {166, "CommandNotSupportedOnView"},
    {167, "OptionNotSupportedOnView"},
    {168, "InvalidPipelineOperator"},
    {171, "CannotIndexParallelArrays"},
    {175, "QueryPlanKilled"},
    {182, "InvalidViewDefinition"},
    {186, "ClientMetadataCannotBeMutated"},
    {189, "PrimarySteppedDown"},
    {197, "InvalidIndexSpecificationOption"},
    {202, "NetworkInterfaceExceededTimeLimit"},
    {206, "NoSuchSession"},
    {207, "InvalidUUID"},
    {211, "KeyNotFound"},
    {215, "DatabaseDropPending"},
    {217, "IncompleteTransactionHistory"},
    {222, "CloseChangeStream"},
    {223, "IllegalOpMsgFlag"},
    {224, "QueryFeatureNotAllowed"},
    {225, "TransactionTooOld"},
    {234, "RetryChangeStream"},
    {235, "InternalErrorNotSupported"},
    {237, "CursorKilled"},
    {238, "NotImplemented"},
    {239, "SnapshotTooOld"},
    {241, "ConversionFailure"},
    {244, "TransactionAborted"},
    {246, "SnapshotUnavailable"},
    {249, "StaleDbVersion"},
    {251, "NoSuchTransaction"},
    {256, "TransactionCommitted"},
    {257, "TransactionTooLarge"},
    {260, "InvalidResumeToken"},
    {262, "ExceededTimeLimit"},
    {263, "OperationNotSupportedInTransaction"},
    {280, "ChangeStreamFatalError"},
    {286, "ChangeStreamHistoryLost"},
    {292, "QueryExceededMemoryLimitNoDiskUseAllowed"},
    {322, "APIVersionError"},
    {323, "APIStrictError"},
    {352, "UnsupportedOpQueryCommand"},
    {391, "ReauthenticationRequired"},
    {9001, "SocketException"},
    {10107, "NotWritablePrimary"},
    {10334, "BSONObjectTooLarge"},
    {11000, "DuplicateKey"},
    {11600, "InterruptedAtShutdown"},
    {11601, "Interrupted"},
    {11602, "InterruptedDueToReplStateChange"},
    {13388, "StaleConfig"},
    {13435, "NotPrimaryNoSecondaryOk"},
    {13436, "NotPrimaryOrSecondary"},
});

std::string begin_message(MongoOpcode opcode, int32_t request_id, int32_t response_to) {
  std::string out(mongo::header_bytes, '\0');
  write_mongo_header({0, request_id, response_to, static_cast<int32_t>(opcode)}, out.data());
  return out;
}

std::string end_message(std::string out) {
  MongoHeader header = mongo_header_of(out.data());
  header.length_bytes = static_cast<int32_t>(out.size());
  write_mongo_header(header, out.data());
  return out;
}

void append_error(std::string& out, const MongoError& error) {
  BsonWriter document(out);
  document.real("ok", 0.0).text("errmsg", error.message).int32("code", error.code);
  if (!error.code_name.empty()) document.text("codeName", error.code_name);
  document.end();
}

// OP_REPLY: flags, cursor, from, number of documents, one document.
void append_reply(std::string& out, const MongoError& error, bool is_command) {
  const uint32_t flags = mongo::reply_await_capable | (is_command ? 0 : mongo::reply_query_failure);
  std::array<char, 20> front{};
  std::memcpy(front.data(), &flags, sizeof flags);
  front[16] = 1;
  out.append(front.data(), front.size());
  if (is_command) return append_error(out, error);
  BsonWriter document(out);
  document.text("$err", error.message).int32("code", error.code).end();
}

}  // namespace

std::string mongo_error_reply(const MongoHeader& header, const MongoRequest& request, const MongoError& error,
                              int32_t request_id) {
  if (!request.expects_reply()) return {};
  const auto begin = [&](MongoOpcode opcode) { return begin_message(opcode, request_id, header.request_id); };
  std::string out;
  if (request.opcode == MongoOpcode::msg) {
    out = begin(MongoOpcode::msg);
    out.append(flags_bytes + 1, '\0');  // and the kind of the section
    append_error(out, error);
  } else if (request.opcode == MongoOpcode::command) {
    out = begin(MongoOpcode::command_reply);
    BsonWriter(out).end();
    append_error(out, error);
  } else {
    out = begin(MongoOpcode::reply);
    append_reply(out, error, request.is_command);
  }
  return end_message(std::move(out));
}

std::string mongo_message(std::string_view body, int32_t request_id, int32_t response_to) {
  std::string out = begin_message(MongoOpcode::msg, request_id, response_to);
  out.append(flags_bytes + 1, '\0');
  out.append(body);
  return end_message(std::move(out));
}

std::string_view mongo_code_name(int32_t code) {
  const auto* found = std::ranges::lower_bound(code_names, code, {}, &CodeName::code);
  return found != code_names.end() && found->code == code ? found->name : std::string_view();
}

}  // namespace ringside
