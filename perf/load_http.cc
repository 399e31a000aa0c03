#include "perf/load_http.h"

#include <algorithm>

namespace ringside::perf {

HttpLoad::HttpLoad(Worker& worker, const Pattern& pattern, const HttpLoadOptions& options)
    : worker_(worker), options_(options), texts_(options.shape) {
  for (uint32_t count = 0; count < options.connections; ++count)
    connections_.push_back(std::make_unique<HttpConnection>(worker, counts, pattern, *this, options.tls));
}

void HttpLoad::start() {
  for (const auto& connection : connections_) connection->dial(options_.target);
}

void HttpLoad::check_stalled(Instant now, Duration patience) {
  for (const auto& connection : connections_)
    if (connection->busy() && now - connection->since > patience) counts.failed(Failure::stalled, "no answer");
}

// A failed connection is dialed again, so that one failure does not change the load; the run has failed all the same.
void HttpLoad::on_gone(HttpConnection& connection) {
  if (open_count_ > 0) --open_count_;
  if (counts.failures() < 100) connection.dial(options_.target);
}

void HttpLoad::request(HttpConnection& connection, Instant since) {
  connection.since = since;
  connection.request(texts_.next(), options_.shape);
}

// --- closed loop ---------------------------------------------------------------------------------------------------------

Duration ClosedHttpLoad::drive(Instant now) {
  if (!running_) {
    for (const auto& connection : connections_)
      if (connection->open()) request(*connection, now);
    running_ = true;
  }
  return Duration::max();
}

void ClosedHttpLoad::on_answer(HttpConnection& connection) {
  answered(connection);
  request(connection, worker_.now());
}

// --- open loop -----------------------------------------------------------------------------------------------------------

Duration OpenHttpLoad::drive(Instant now) {
  if (!running_) schedule_.start(now);
  running_ = true;
  for (; schedule_.due() <= now; schedule_.advance()) waiting_.push_back(schedule_.due());
  while (!waiting_.empty() && !idle_.empty()) {
    HttpConnection& connection = *idle_.back();
    idle_.pop_back();
    if (!connection.open()) continue;
    request(connection, waiting_.front());
    waiting_.pop_front();
  }
  return schedule_.due() - now;
}

void OpenHttpLoad::on_open(HttpConnection& connection) {
  ++open_count_;
  idle_.push_back(&connection);
}

void OpenHttpLoad::on_answer(HttpConnection& connection) {
  answered(connection);
  idle_.push_back(&connection);
}

void OpenHttpLoad::check_stalled(Instant now, Duration patience) {
  HttpLoad::check_stalled(now, patience);
  if (!waiting_.empty() && now - waiting_.front() > patience)
    counts.failed(Failure::stalled, "requests due found no connection");
}

// --- a connection per request ----------------------------------------------------------------------------------------------

HttpLoadOptions ChurnHttpLoad::asking_to_close(HttpLoadOptions options) {
  options.shape.reuse = Reuse::close;
  return options;
}

Duration ChurnHttpLoad::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_) dial(*connection);
  running_ = true;
  return Duration::max();
}

void ChurnHttpLoad::dial(HttpConnection& connection) {
  connection.since = worker_.now();
  connection.dial(options_.target);
}

void ChurnHttpLoad::on_open(HttpConnection& connection) { request(connection, connection.since); }

// The proxy closes, as it was asked to; then the next one.
void ChurnHttpLoad::on_gone(HttpConnection& connection) {
  if (counts.failures() < 100) dial(connection);
}

// --- idle ----------------------------------------------------------------------------------------------------------------

void IdleHttpLoad::start() {
  for (size_t count = 0; count < at_once; ++count) dial_next();
}

void IdleHttpLoad::dial_next() {
  if (dialed_count_ < connections_.size()) connections_[dialed_count_++]->dial(options_.target);
}

void IdleHttpLoad::on_answer(HttpConnection&) {
  ++served_count_;
  dial_next();
}

}  // namespace ringside::perf
