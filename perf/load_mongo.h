#pragma once
// A load of MongoDB: each connection asks for one document after the other.
#include <memory>
#include <vector>

#include "perf/load.h"
#include "perf/load_connection.h"
#include "perf/load_mongo_text.h"

namespace ringside::perf {

struct MongoLoadOptions {
  Address target;
  uint32_t connections = 64;
  uint32_t depth = 1;  // finds in flight on each
  MongoFind find = MongoFind::message;
  ClientTls* tls = nullptr;
};

// What is sent and expected, rendered once.
struct MongoTexts {
  explicit MongoTexts(MongoFind find);
  std::string hello;
  MongoTemplate request;
  MongoTemplate reply;
};

// Says hello as a driver does; then finds, each for another _id, which must be answered in order.
class MongoConnection final : public LoadConnection {
 public:
  // What it refers to outlives it.
  MongoConnection(Worker& worker, LoadCounts& counts, const MongoTexts& texts, const MongoLoadOptions& options)
      : LoadConnection(worker, counts, options.tls), texts_(texts), sent_at_(options.depth) {}
  // Asks for as many documents at a time as it may.
  void begin();
  bool greeted() const { return greeted_ && open(); }
  bool waiting() const { return sent_ > received_; }
  // When the oldest find in flight was sent.
  Instant since() const { return sent_at_[received_ % sent_at_.size()]; }

 private:
  void connected() override;
  void received(std::string_view bytes) override;
  void ended() override { fail(Failure::reset, "FIN"); }
  void gone() override {}
  void find();
  void read(std::string_view message);
  void read_greeting(std::string_view message);
  void read_answer(std::string_view message);

  const MongoTexts& texts_;
  MongoScanner scanner_;
  std::vector<Instant> sent_at_;
  uint32_t sent_ = 0;  // finds, and the last one's id
  uint32_t received_ = 0;
  bool greeted_ = false;
};

class MongoLoad final : public Load {
 public:
  MongoLoad(Worker& worker, const MongoLoadOptions& options);
  void start() override;
  bool ready() const override;
  Duration drive(Instant now) override;
  void check_stalled(Instant now, Duration patience) override;

 private:
  const MongoLoadOptions options_;
  const MongoTexts texts_;
  std::vector<std::unique_ptr<MongoConnection>> connections_;
  bool running_ = false;
};

}  // namespace ringside::perf
