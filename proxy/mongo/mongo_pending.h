#pragma once
// The requests of a connection that wait for their replies, by their ids.
#include <cstdint>
#include <memory>
#include <string>

#include "codecs/mongo/mongo_facts.h"
#include "core/time.h"
#include "proxy/mongo/mongo_stats.h"

namespace ringside {

// What a log says of a request when its reply is there. Kept and used again, with its memory.
struct MongoKeptTexts {
  std::string command_name, database, collection, comment, call_site, body;
};

enum class MongoAuthStep : uint8_t { none, conversation, single, speculative };

struct MongoPending {
  MongoHeader header;
  Instant sent{};        // its last byte
  Duration delayed{0};   // by us
  // Null: nothing to count there.
  StatBlock<MongoCommandStat>* command_stats = nullptr;
  StatBlock<MongoCollectionStat>* collection_stats = nullptr;
  StatBlock<MongoQueryStat>* query_stats = nullptr;
  StatBlock<MongoQueryStat>* site_stats = nullptr;
  std::unique_ptr<MongoKeptTexts> texts;  // null: nobody wants them
  uint32_t flags = 0;
  uint32_t documents = 0;
  MongoOpcode opcode = MongoOpcode::none;
  MongoCompressor compressor = MongoCompressor::none;
  MongoCommand command = MongoCommand::unknown;
  MongoAuthStep auth = MongoAuthStep::none;
  bool exhaust : 1 = false;           // more than one reply may follow
  bool exhaust_follower : 1 = false;  // one has
  bool awaitable : 1 = false;         // the server answers when it likes
  bool tells_judge : 1 = false;
  bool rewrites_reply : 1 = false;
};

// Open addressing; grows by doubling.
class MongoPendingTable {
 public:
  // Beyond it, requests are not followed: see add().
  static constexpr uint32_t size_max = 4096;

  uint32_t size() const { return size_; }
  // A fresh one, or null when there is no room; an entry with the same id is overwritten, `replaced` says so. Moves the others.
  MongoPending* add(int32_t request_id, bool& replaced);
  MongoPending* find(int32_t request_id);
  // `entry` is one of ours, and is gone then. May move the others.
  void remove(MongoPending& entry);
  // Every entry, then none is left.
  template <class Visit>
  void drain(Visit visit) {
    for (uint32_t at = 0; at < capacity_; ++at)
      if (slots_[at].used) visit(slots_[at].entry);
    slots_.reset();
    capacity_ = size_ = 0;
  }

 private:
  struct Slot {
    MongoPending entry;
    int32_t id = 0;
    bool used = false;
  };
  uint32_t home(int32_t id) const { return (static_cast<uint32_t>(id) * 0x9e3779b1u) >> 16 & (capacity_ - 1); }
  Slot* slot_of(int32_t id);
  void grow();

  std::unique_ptr<Slot[]> slots_;
  uint32_t capacity_ = 0;  // a power of two, twice the size at least
  uint32_t size_ = 0;
};

}  // namespace ringside
