#include "codecs/mongo/mongo_message_reader.h"

#include <algorithm>
#include <cstring>

#include "codecs/mongo/crc32c.h"

namespace ringside {

namespace {

constexpr uint32_t flags_bytes = 4;
constexpr uint32_t checksum_size = 4;

}  // namespace

void MongoMessageReader::begin(const MongoHeader& header, MongoSide side, const MongoReadOptions& options) {
  header_ = header;
  side_ = side;
  options_ = &options;
  failure_ = MongoFailure::none;
  has_checksum_ = false;
  may_have_checksum_ = header.opcode() == MongoOpcode::msg;
  checksum_bytes_ = gathered_bytes_ = 0;
  left_bytes_ = static_cast<uint32_t>(header.length_bytes) - mongo::header_bytes;
  const MongoOpcode opcode = header.opcode();
  state_ = opcode == MongoOpcode::compressed ? State::preamble : State::plain;
  body_.begin(opcode, left_bytes_, side, options);
  if (state_ == State::plain && body_.failure() != MongoFailure::none) failure_ = body_.failure();
}

MongoBody::Step MongoMessageReader::fail(MongoFailure failure) {
  failure_ = failure;
  return MongoBody::Step::broken;
}

MongoBody::Step MongoMessageReader::next(std::string_view& bytes) {
  if (failure_ != MongoFailure::none) return MongoBody::Step::broken;
  const size_t given = bytes.size();
  MongoBody::Step step = MongoBody::Step::more;
  left_bytes_ -= static_cast<uint32_t>(given);  // what stands behind these
  switch (state_) {
    case State::plain: step = read_body(bytes); break;
    case State::preamble: step = read_preamble(bytes); break;
    case State::compressed: step = inflate(bytes); break;
  }
  left_bytes_ += static_cast<uint32_t>(bytes.size());
  return step;
}

MongoBody::Step MongoMessageReader::read_body(std::string_view& bytes) {
  const MongoBody::Step step = body_.next(bytes);
  if (step == MongoBody::Step::broken) return fail(body_.failure());
  return step;
}

// --- OP_COMPRESSED ---------------------------------------------------------------------------------------------------

MongoBody::Step MongoMessageReader::read_preamble(std::string_view& bytes) {
  const size_t part = std::min(bytes.size(), gathered_.size() - gathered_bytes_);
  if (part != 0) std::memcpy(gathered_.data() + gathered_bytes_, bytes.data(), part);
  bytes.remove_prefix(part);
  gathered_bytes_ = static_cast<uint8_t>(gathered_bytes_ + part);
  if (gathered_bytes_ < gathered_.size()) {
    return left_bytes_ == 0 ? fail(MongoFailure::cut) : MongoBody::Step::more;
  }
  int32_t opcode = 0;
  int32_t size = 0;
  std::memcpy(&opcode, gathered_.data(), sizeof opcode);
  std::memcpy(&size, gathered_.data() + sizeof opcode, sizeof size);
  MongoHeader inner = header_;
  inner.opcode_number = opcode;
  inflated_left_bytes_ = left_bytes_ + static_cast<uint32_t>(bytes.size());  // of compressed bytes, as they stand
  const MongoBody::Step step = begin_compressed(inner.opcode(), size, static_cast<uint8_t>(gathered_.back()));
  if (step != MongoBody::Step::more) return step;
  return state_ == State::plain ? read_body(bytes) : inflate(bytes);
}

MongoBody::Step MongoMessageReader::begin_compressed(MongoOpcode opcode, int32_t size, uint8_t compressor) {
  constexpr uint8_t known = 4;
  const uint32_t compressed_bytes = inflated_left_bytes_;
  if (opcode == MongoOpcode::compressed) return fail(MongoFailure::compressed_twice);
  if (opcode == MongoOpcode::none) return fail(MongoFailure::unknown_opcode);
  if (compressor >= known) return fail(MongoFailure::compressor);
  if (size < 0 || static_cast<uint32_t>(size) > options_->uncompressed_bytes_max)
    return fail(MongoFailure::compressed_size);
  inflated_left_bytes_ = static_cast<uint32_t>(size);
  body_.begin(opcode, inflated_left_bytes_, side_, *options_);
  const auto method = static_cast<MongoCompressor>(compressor);
  mark(opcode, method, inflated_left_bytes_);
  if (body_.failure() != MongoFailure::none) return fail(body_.failure());
  inflated_ = {};
  inflater_failed_ = false;
  state_ = State::compressed;
  std::unique_ptr<MongoInflater>& inflater = inflaters_[compressor];
  switch (method) {
    case MongoCompressor::noop:
      if (inflated_left_bytes_ != compressed_bytes) return fail(MongoFailure::compressed_size);
      state_ = State::plain;
      return MongoBody::Step::more;
    case MongoCompressor::snappy:
      if (inflater == nullptr) inflater = make_snappy_inflater();
      break;
    case MongoCompressor::zlib:
      if (inflater == nullptr) inflater = make_zlib_inflater();
      break;
    case MongoCompressor::zstd:
      if (inflater == nullptr) inflater = make_zstd_inflater();
      break;
    case MongoCompressor::none: return fail(MongoFailure::compressor);
  }
  inflater_ = inflater.get();
  inflater_->begin(inflated_left_bytes_);
  return MongoBody::Step::more;
}

void MongoMessageReader::mark(MongoOpcode opcode, MongoCompressor compressor, uint32_t uncompressed_bytes) {
  const auto mark_one = [&](auto& facts) {
    facts.opcode = opcode;
    facts.compressor = compressor;
    facts.uncompressed_bytes = uncompressed_bytes;
  };
  if (side_ == MongoSide::requests)
    mark_one(body_.request());
  else
    mark_one(body_.reply());
}

MongoBody::Step MongoMessageReader::inflate(std::string_view& bytes) {
  for (;;) {
    if (inflated_.empty() && inflated_left_bytes_ != 0) {
      if (inflater_failed_) return fail(MongoFailure::compressed_data);
      inflater_failed_ = !inflater_->next(bytes, inflated_);
      // What is too much is not looked at: the body says whether it was whole before.
      inflated_ = inflated_.substr(0, inflated_left_bytes_);
      inflated_left_bytes_ -= static_cast<uint32_t>(inflated_.size());
      if (inflated_.empty()) {
        if (inflater_failed_ || !bytes.empty()) continue;
        return left_bytes_ == 0 ? fail(MongoFailure::compressed_size) : MongoBody::Step::more;
      }
    }
    const MongoBody::Step step = read_body(inflated_);
    if (step != MongoBody::Step::more) return step;
  }
}

void MongoMessageReader::shrink() {
  for (std::unique_ptr<MongoInflater>& inflater : inflaters_) inflater.reset();
}

// --- The checksum ----------------------------------------------------------------------------------------------------

void MongoMessageReader::add_up(std::string_view bytes, uint32_t left_bytes) {
  const uint32_t body_bytes = static_cast<uint32_t>(header_.length_bytes) - mongo::header_bytes;
  if (!has_checksum_) {
    if (!body_.flags_read()) return;
    may_have_checksum_ = (body_.flags() & mongo::checksum_present) != 0 && body_bytes >= flags_bytes + checksum_size;
    if (!may_have_checksum_) return;
    const uint32_t begun = body_bytes - left_bytes;  // before these
    if (begun > flags_bytes) return;
    has_checksum_ = true;
    std::array<char, mongo::header_bytes + flags_bytes> front;
    write_mongo_header(header_, front.data());
    const uint32_t flags = body_.flags();
    std::memcpy(front.data() + mongo::header_bytes, &flags, sizeof flags);
    computed_checksum_ = crc32c(0, {front.data(), front.size()});
    const uint32_t known = std::min<uint32_t>(flags_bytes - begun, static_cast<uint32_t>(bytes.size()));
    bytes.remove_prefix(known);
    left_bytes -= known;
  }
  const size_t covered = std::min<size_t>(bytes.size(), left_bytes > checksum_size ? left_bytes - checksum_size : 0);
  computed_checksum_ = crc32c(computed_checksum_, bytes.substr(0, covered));
  for (const char byte : bytes.substr(covered)) received_checksum_[checksum_bytes_++ % checksum_size] = byte;
}

MongoChecksum MongoMessageReader::checksum() const {
  if (!has_checksum_) return MongoChecksum::none;
  uint32_t received = 0;
  std::memcpy(&received, received_checksum_.data(), sizeof received);
  return received == computed_checksum_ ? MongoChecksum::good : MongoChecksum::bad;
}

}  // namespace ringside
