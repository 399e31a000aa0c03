#include "perf/load_mongo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace ringside::perf {
namespace {

constexpr uint32_t hello_id = 0x7fffffff;

using ObjectId = std::array<char, object_id_bytes>;

// Of the find with this number; another number, other bytes.
ObjectId object_id_of(uint32_t number) {
  ObjectId id = {'r', 'i', 'n', 'g', 's', 'i', 'd', 'e', 0, 0, 0, 0};
  put_int32(id.data() + 8, static_cast<int32_t>(number * 2654435761U));
  return id;
}

std::string with_id(std::string message, uint32_t id) {
  set_mongo_ids(message.data(), static_cast<int32_t>(id), 0);
  return message;
}

}  // namespace

MongoTexts::MongoTexts(MongoFind find)
    : hello(with_id(mongo_hello_request(), hello_id)), request(mongo_find_request(find)), reply(mongo_find_reply(find)) {}

// --- MongoConnection -----------------------------------------------------------------------------------------------------

void MongoConnection::connected() { send(Slice::of_static(texts_.hello)); }

void MongoConnection::begin() {
  while (sent_ - received_ < sent_at_.size()) find();
}

void MongoConnection::find() {
  const MongoTemplate& request = texts_.request;
  sent_at_[sent_ % sent_at_.size()] = worker().now();
  const ObjectId id = object_id_of(++sent_);
  OutputWriter& output = worker().output();
  char* out = output.reserve(request.message.size());
  std::memcpy(out, request.message.data(), request.message.size());
  set_mongo_ids(out, static_cast<int32_t>(sent_), 0);
  std::memcpy(out + request.object_id_at, id.data(), id.size());
  send(output.commit(request.message.size()));
}

void MongoConnection::received(std::string_view bytes) {
  while (!bytes.empty() && open()) {
    const std::string_view message = scanner_.take(&bytes);
    if (scanner_.failed()) return fail(Failure::bad_message, "no length of a message");
    if (!message.empty()) read(message);
  }
}

void MongoConnection::read(std::string_view message) {
  if (!greeted_) return read_greeting(message);
  if (!waiting()) return fail(Failure::bad_message, "a message that nobody asked for");
  read_answer(message);
}

void MongoConnection::read_greeting(std::string_view message) {
  const MongoHead head = read_mongo_head(message);
  if (head.op != static_cast<int32_t>(MongoOp::reply) || head.response_to != static_cast<int32_t>(hello_id))
    return fail(Failure::bad_message, "not an OP_REPLY to the first message");
  const auto ok = find_element(take_document(message.substr(std::min(message.size(), mongo_head_bytes + 20))), "ok");
  if (!ok) return fail(Failure::bad_body, "isMaster was not answered");
  greeted_ = true;
}

void MongoConnection::read_answer(std::string_view message) {
  const MongoHead head = read_mongo_head(message);
  if (head.response_to != static_cast<int32_t>(received_ + 1))
    return fail(Failure::bad_message, fmt::format("responseTo {}, not {}", head.response_to, received_ + 1));
  if (message.size() != texts_.reply.message.size())
    return fail(Failure::bad_body, fmt::format("{} bytes, not {}", message.size(), texts_.reply.message.size()));
  const ObjectId id = object_id_of(received_ + 1);
  if (!texts_.reply.matches(message)) return fail(Failure::bad_body, "not the answer that the backend sends");
  if (texts_.reply.object_id(message) != std::string_view(id.data(), id.size()))
    return fail(Failure::bad_body, "another document than was asked for");
  counts().answered(worker().now() - since(), texts_.request.message.size() + message.size());
  ++received_;
  find();
}

// --- MongoLoad -----------------------------------------------------------------------------------------------------------

MongoLoad::MongoLoad(Worker& worker, const MongoLoadOptions& options) : options_(options), texts_(options.find) {
  for (uint32_t count = 0; count < options.connections; ++count)
    connections_.push_back(std::make_unique<MongoConnection>(worker, counts, texts_, options_));
}

void MongoLoad::start() {
  for (const auto& connection : connections_) connection->dial(options_.target);
}

bool MongoLoad::ready() const {
  return std::ranges::all_of(connections_, [](const auto& connection) { return connection->greeted(); });
}

Duration MongoLoad::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_) connection->begin();
  running_ = true;
  return Duration::max();
}

void MongoLoad::check_stalled(Instant now, Duration patience) {
  for (const auto& connection : connections_)
    if (connection->waiting() && now - connection->since() > patience) counts.failed(Failure::stalled, "no answer");
}

}  // namespace ringside::perf
