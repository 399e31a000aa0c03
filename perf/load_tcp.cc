#include "perf/load_tcp.h"

#include <algorithm>

#include "perf/backend.h"

namespace ringside::perf {

// --- ping ----------------------------------------------------------------------------------------------------------------

void PingConnection::ping() {
  since_ = worker().now();
  send(Slice::of_static(pattern_.at(sent_bytes_, message_bytes_)));
  sent_bytes_ += message_bytes_;
}

void PingConnection::received(std::string_view bytes) {
  if (!pattern_.matches(received_bytes_, bytes)) return fail(Failure::bad_body, "not the bytes that were sent");
  received_bytes_ += bytes.size();
  if (received_bytes_ > sent_bytes_) return fail(Failure::bad_message, "more bytes than were sent");
  if (received_bytes_ < sent_bytes_) return;
  counts().answered(worker().now() - since_, 2 * message_bytes_);
  ping();
}

PingLoad::PingLoad(Worker& worker, const Pattern& pattern, const Address& target, uint32_t connections,
                   size_t message_bytes)
    : target_(target) {
  for (uint32_t count = 0; count < connections; ++count)
    connections_.push_back(std::make_unique<PingConnection>(worker, counts, pattern, message_bytes));
}

void PingLoad::start() {
  for (const auto& connection : connections_) connection->dial(target_);
}

bool PingLoad::ready() const {
  return std::ranges::all_of(connections_, [](const auto& connection) { return connection->open(); });
}

Duration PingLoad::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_) connection->ping();
  running_ = true;
  return Duration::max();
}

void PingLoad::check_stalled(Instant now, Duration patience) {
  for (const auto& connection : connections_)
    if (connection->waiting() && now - connection->since() > patience) counts.failed(Failure::stalled, "no echo");
}

// --- bulk ----------------------------------------------------------------------------------------------------------------

void BulkConnection::connected() {
  if (flow_ == Flow::down) expect(bulk_bytes_announced);
}

void BulkConnection::begin() {
  if (flow_ == Flow::up) {
    set_sending(true);
    fill();
  }
}

void BulkConnection::received(std::string_view bytes) {
  if (flow_ == Flow::up) return fail(Failure::bad_message, "bytes from a sink");
  if (!pattern_.matches(received_bytes_, bytes)) return fail(Failure::bad_body, "not the bytes that the backend sent");
  received_bytes_ += bytes.size();
  counts().moved(bytes.size());
}

void BulkConnection::fill() {
  while (sending_ && open() && unsent_bytes() < bulk_unsent_bytes_max) {
    send(Slice::of_static(pattern_.at(sent_bytes_, Pattern::period_bytes)));
    sent_bytes_ += Pattern::period_bytes;
  }
}

// While we send without end, the ring must tell us of every send at once.
void BulkConnection::set_sending(bool sending) {
  if (sending_ == sending) return;
  sending_ = sending;
  worker().ring().add_hungry(sending ? 1 : -1);
}

BulkLoad::BulkLoad(Worker& worker, const Pattern& pattern, const Address& target, uint32_t connections, Flow flow)
    : target_(target), flow_(flow) {
  for (uint32_t count = 0; count < connections; ++count)
    connections_.push_back(std::make_unique<BulkConnection>(worker, counts, pattern, flow));
}

void BulkLoad::start() {
  for (const auto& connection : connections_) connection->dial(target_);
}

bool BulkLoad::ready() const {
  return std::ranges::all_of(connections_, [](const auto& connection) { return connection->open(); });
}

Duration BulkLoad::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_) connection->begin();
  running_ = true;
  return Duration::max();
}

void BulkLoad::check_stalled(Instant, Duration) {
  if (flow_ == Flow::up) return;
  for (const auto& connection : connections_)
    if (connection->received_bytes() == 0) counts.failed(Failure::stalled, "not one byte came");
}

}  // namespace ringside::perf
