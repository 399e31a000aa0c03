// MongoDB as far as a find goes: drivers can connect, and every collection has a document for each _id.
#include <fmt/format.h>

#include <cstring>

#include "perf/backend_session.h"
#include "perf/load_mongo_text.h"

namespace ringside::perf {
namespace {

constexpr int32_t exhaust_allowed = 1 << 16;
constexpr int32_t command_not_found = 59;

bool is_hello(std::string_view name) { return name == "hello" || name == "isMaster" || name == "ismaster"; }

std::string ok_document() { return BsonText().real("ok", 1).finish(); }

std::string refusal_document(std::string_view command) {
  return BsonText()
      .real("ok", 0)
      .string("errmsg", fmt::format("no such command: '{}'", command))
      .int32("code", command_not_found)
      .string("codeName", "CommandNotFound")
      .finish();
}

// What a query asks for, by either opcode; nothing when it is not an _id.
std::optional<BsonElement> id_in(std::string_view filter) {
  return filter.empty() ? std::nullopt : find_element(filter, "_id");
}

std::string answer_of_find(std::string_view command, std::string_view collection) {
  const auto filter = find_element(command, "filter");
  const auto database = find_element(command, "$db");
  const auto id = id_in(filter && filter->type == BsonType::document ? filter->value : std::string_view());
  if (!id || !database || database->type != BsonType::string) return refusal_document("find without an _id");
  return mongo_cursor_document(fmt::format("{}.{}", database->text(), collection), mongo_document(id->type, id->value));
}

std::string answer_of_command(std::string_view command) {
  const auto first = first_element(command);
  if (!first) return {};
  if (is_hello(first->name)) return mongo_hello_document();
  if (first->name == "find" && first->type == BsonType::string) return answer_of_find(command, first->text());
  if (first->name == "ping" || first->name == "endSessions") return ok_document();
  return refusal_document(first->name);
}

// Empty: that was no message of a driver.
std::string answer_of_message(std::string_view message) {
  if (message.size() < mongo_head_bytes + 5 || (read_int32(message, 16) & ~exhaust_allowed) != 0 || message[20] != '\0')
    return {};
  const std::string_view command = take_document(message.substr(21));
  if (command.size() != message.size() - 21) return {};
  const std::string answer = answer_of_command(command);
  return answer.empty() ? answer : mongo_message(answer);
}

std::string answer_of_query(std::string_view message) {
  const std::string_view name_space = message.substr(20, message.find('\0', 20) - 20);
  const size_t document_at = 20 + name_space.size() + 1 + 8;
  if (document_at > message.size()) return {};
  const std::string_view document = take_document(message.substr(document_at));
  if (document.empty()) return {};
  if (name_space.ends_with(".$cmd")) {
    const std::string answer = answer_of_command(document);
    return answer.empty() ? answer : mongo_reply(answer);
  }
  const auto id = id_in(document);
  return id ? mongo_reply(mongo_document(id->type, id->value)) : std::string();
}

std::string answer_of(std::string_view message) {
  const int32_t op = read_mongo_head(message).op;
  if (message.size() < 21) return {};
  if (op == static_cast<int32_t>(MongoOp::message)) return answer_of_message(message);
  if (op == static_cast<int32_t>(MongoOp::query)) return answer_of_query(message);
  return {};
}

// The two finds of the load generator, which are answered without being taken apart.
struct KnownFind {
  explicit KnownFind(MongoFind find) : request(mongo_find_request(find)), reply(mongo_find_reply(find)) {}
  MongoTemplate request;
  MongoTemplate reply;
};

class MongoSession final : public ServerSession {
 public:
  using ServerSession::ServerSession;

 private:
  void on_bytes(Slice bytes) override {
    for (std::string_view rest = bytes.text(); !rest.empty();) {
      const std::string_view message = scanner_.take(&rest);
      if (scanner_.failed()) return refuse();
      if (!message.empty() && !answer(message)) return refuse();
    }
    transport_->grant(bytes.size());
  }

  bool answer(std::string_view message) {
    static const KnownFind finds[] = {KnownFind(MongoFind::message), KnownFind(MongoFind::query)};
    backend_.count_request();
    for (const KnownFind& find : finds) {
      if (!find.request.matches(message)) continue;
      send(message, find.reply.message, find.reply.object_id_at, find.request.object_id(message));
      return true;
    }
    const std::string text = answer_of(message);
    if (text.empty()) return false;
    send(message, text, 0, {});
    return true;
  }

  void send(std::string_view request, std::string_view text, size_t object_id_at, std::string_view object_id) {
    OutputWriter& output = backend_.worker().output();
    char* out = output.reserve(text.size());
    std::memcpy(out, text.data(), text.size());
    set_mongo_ids(out, ++last_id_, read_mongo_head(request).id);
    if (!object_id.empty()) std::memcpy(out + object_id_at, object_id.data(), object_id.size());
    transport_->send(output.commit(text.size()));
  }

  MongoScanner scanner_;
  int32_t last_id_ = 0;
};

}  // namespace

void open_mongo_session(Backend& backend, std::unique_ptr<Transport> transport) {
  (new MongoSession(backend, std::move(transport)))->start();
}

}  // namespace ringside::perf
