#pragma once
// TCP loads: a message back and forth, and as many bytes as will go.
#include <memory>
#include <vector>

#include "perf/load.h"
#include "perf/load_connection.h"

namespace ringside::perf {

// Sends `message_bytes`, waits for their echo, and again.
class PingConnection final : public LoadConnection {
 public:
  PingConnection(Worker& worker, LoadCounts& counts, const Pattern& pattern, size_t message_bytes)
      : LoadConnection(worker, counts), pattern_(pattern), message_bytes_(message_bytes) {}
  void ping();
  bool waiting() const { return sent_bytes_ > received_bytes_; }
  Instant since() const { return since_; }

 private:
  void connected() override {}
  void received(std::string_view bytes) override;
  void ended() override { fail(Failure::reset, "FIN"); }
  void gone() override {}

  const Pattern& pattern_;
  const size_t message_bytes_;
  uint64_t sent_bytes_ = 0;
  uint64_t received_bytes_ = 0;
  Instant since_{};
};

class PingLoad final : public Load {
 public:
  PingLoad(Worker& worker, const Pattern& pattern, const Address& target, uint32_t connections, size_t message_bytes);
  void start() override;
  bool ready() const override;
  Duration drive(Instant now) override;
  void check_stalled(Instant now, Duration patience) override;

 private:
  const Address target_;
  std::vector<std::unique_ptr<PingConnection>> connections_;
  bool running_ = false;
};

enum class Flow : uint8_t { down, up };

// Receives without end, or sends without end. What it counts is what arrives: on the way down here, on the way up at the backend.
class BulkConnection final : public LoadConnection {
 public:
  BulkConnection(Worker& worker, LoadCounts& counts, const Pattern& pattern, Flow flow)
      : LoadConnection(worker, counts), pattern_(pattern), flow_(flow) {}
  ~BulkConnection() override { set_sending(false); }
  void begin();
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  void connected() override;
  void received(std::string_view bytes) override;
  void ended() override { fail(Failure::reset, "FIN"); }
  void sent(size_t) override { fill(); }
  void gone() override { set_sending(false); }
  void fill();
  void set_sending(bool sending);

  const Pattern& pattern_;
  const Flow flow_;
  bool sending_ = false;
  uint64_t sent_bytes_ = 0;
  uint64_t received_bytes_ = 0;
};

class BulkLoad final : public Load {
 public:
  BulkLoad(Worker& worker, const Pattern& pattern, const Address& target, uint32_t connections, Flow flow);
  void start() override;
  bool ready() const override;
  Duration drive(Instant now) override;
  void check_stalled(Instant now, Duration patience) override;

 private:
  const Address target_;
  const Flow flow_;
  std::vector<std::unique_ptr<BulkConnection>> connections_;
  bool running_ = false;
};

}  // namespace ringside::perf
