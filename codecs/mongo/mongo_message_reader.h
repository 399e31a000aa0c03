#pragma once
// The state of one message under way: its body, what decompresses it, its checksum. Taken from a pool when a message begins.
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "codecs/mongo/mongo_body.h"
#include "codecs/mongo/mongo_inflater.h"

namespace ringside {

class MongoMessageReader {
 public:
  void begin(const MongoHeader& header, MongoSide side, const MongoReadOptions& options);
  // `bytes` are of this message, behind its header.
  MongoBody::Step next(std::string_view& bytes);
  // The same bytes, whoever looked at them; `left_bytes` of the message stood before them.
  void add_to_checksum(std::string_view bytes, uint32_t left_bytes) {
    if (may_have_checksum_) add_up(bytes, left_bytes);
  }
  MongoChecksum checksum() const;
  MongoFailure failure() const { return failure_; }
  // There is something to say without any bytes: an unknown opcode, or facts behind what was decompressed.
  bool has_more() const {
    return failure_ != MongoFailure::none || (state_ == State::compressed && (inflater_failed_ || !inflated_.empty()));
  }
  const MongoBody& body() const { return body_; }
  // Gives back what only a compressed message needs.
  void shrink();

 private:
  enum class State : uint8_t { plain, preamble, compressed };

  void add_up(std::string_view bytes, uint32_t left_bytes);
  MongoBody::Step read_body(std::string_view& bytes);
  MongoBody::Step read_preamble(std::string_view& bytes);
  MongoBody::Step begin_compressed(MongoOpcode opcode, int32_t size, uint8_t compressor);
  MongoBody::Step inflate(std::string_view& bytes);
  MongoBody::Step fail(MongoFailure failure);
  void mark(MongoOpcode opcode, MongoCompressor compressor, uint32_t uncompressed_bytes);

  MongoHeader header_;
  const MongoReadOptions* options_ = nullptr;
  MongoSide side_{};
  State state_ = State::plain;
  MongoFailure failure_ = MongoFailure::none;
  uint32_t left_bytes_ = 0;  // of the message as it lies on the wire
  uint8_t gathered_bytes_ = 0;
  uint8_t checksum_bytes_ = 0;
  bool may_have_checksum_ = false;
  bool has_checksum_ = false;
  uint32_t computed_checksum_ = 0;
  std::array<char, 4> received_checksum_{};
  std::array<char, 9> gathered_{};
  MongoInflater* inflater_ = nullptr;
  std::string_view inflated_;  // of the inflater's window, not yet read
  uint32_t inflated_left_bytes_ = 0;
  bool inflater_failed_ = false;  // behind inflated_
  std::array<std::unique_ptr<MongoInflater>, 4> inflaters_;
  MongoBody body_;
};

}  // namespace ringside
