#include "perf/load_h2.h"

namespace ringside::perf {

H2Load::H2Load(Worker& worker, const Pattern& pattern, const HttpLoadOptions& http, const H2LoadOptions& options)
    : worker_(worker), http_(http), options_(options) {
  const Scheme scheme = http.tls != nullptr ? Scheme::https : Scheme::http;
  if (options.call == Call::grpc)
    frames_.push_back(request_frame(http.shape, grpc_path, scheme, Call::grpc));
  else
    for (const std::string& path : paths_of(http.shape))
      frames_.push_back(request_frame(http.shape, path, scheme, Call::plain));
  for (uint32_t count = 0; count < http.connections; ++count) {
    connections_.push_back(std::make_unique<H2Connection>(worker, counts, pattern, *this, http.tls));
    connections_.back()->expect_answers(http_.shape, options.call);
  }
}

void H2Load::check_stalled(Instant now, Duration patience) {
  for (const auto& connection : connections_) connection->check_stalled(now, patience);
}

// A connection that the proxy ended, orderly or not, is dialed again; a failure has been counted by then.
void H2Load::on_gone(H2Connection& connection) {
  if (open_count_ > 0) --open_count_;
  if (counts.failures() < 100) connection.dial(http_.target);
}

void H2Load::request(H2Connection& connection) {
  const std::string& frame = frames_[next_frame_];
  next_frame_ = next_frame_ + 1 == frames_.size() ? 0 : next_frame_ + 1;
  connection.request(frame, worker_.now());
}

void H2Load::fill(H2Connection& connection) {
  while (connection.busy_streams() < options_.streams && connection.accepts()) request(connection);
}

// --- closed loop ---------------------------------------------------------------------------------------------------------

void ClosedH2Load::start() {
  for (const auto& connection : connections_) connection->dial(http_.target);
}

Duration ClosedH2Load::drive(Instant) {
  if (!running_)
    for (const auto& connection : connections_) fill(*connection);
  running_ = true;
  return Duration::max();
}

void ClosedH2Load::on_open(H2Connection& connection) {
  ++open_count_;
  if (running_) fill(connection);
}

void ClosedH2Load::on_answer(H2Connection& connection, Instant since, uint64_t body_bytes) {
  counts.answered(worker_.now() - since, body_bytes + http_.shape.body_bytes);
  fill(connection);
}

// --- idle ----------------------------------------------------------------------------------------------------------------

void IdleH2Load::start() {
  for (size_t count = 0; count < at_once; ++count) dial_next();
}

void IdleH2Load::dial_next() {
  if (dialed_count_ < connections_.size()) connections_[dialed_count_++]->dial(http_.target);
}

void IdleH2Load::on_answer(H2Connection&, Instant, uint64_t) {
  ++served_count_;
  dial_next();
}

}  // namespace ringside::perf
