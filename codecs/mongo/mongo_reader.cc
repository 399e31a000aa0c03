#include "codecs/mongo/mongo_reader.h"

#include <algorithm>
#include <cstring>

#include "codecs/mongo/mongo_message_reader.h"
#include "core/check.h"

namespace ringside {

namespace {

constexpr size_t states_kept = 64;
// Of these, so many may keep what decompresses.
constexpr size_t inflaters_kept = 4;

}  // namespace

MongoReaderPool::MongoReaderPool() = default;
MongoReaderPool::~MongoReaderPool() { RS_CHECK(in_use_ == 0); }

std::unique_ptr<MongoMessageReader> MongoReaderPool::take() {
  ++in_use_;
  if (idle_.empty()) return std::make_unique_for_overwrite<MongoMessageReader>();
  std::unique_ptr<MongoMessageReader> state = std::move(idle_.back());
  idle_.pop_back();
  return state;
}

void MongoReaderPool::give_back(std::unique_ptr<MongoMessageReader> state) {
  --in_use_;
  if (idle_.size() >= states_kept) return;
  if (idle_.size() >= inflaters_kept) state->shrink();
  idle_.push_back(std::move(state));
}

MongoReader::MongoReader(MongoReaderPool& pool, const MongoReadOptions& options, MongoSide side)
    : pool_(pool), options_(options), side_(side) {}

MongoReader::~MongoReader() { release(); }

void MongoReader::release() {
  if (message_ != nullptr) pool_.give_back(std::move(message_));
}

MongoStep MongoReader::next(std::string_view& bytes) {
  for (;;) {
    switch (state_) {
      case State::ended:
        release();
        state_ = State::header;
        [[fallthrough]];
      case State::header: return take_header(bytes);
      case State::body: return take_body(bytes);
      case State::skipping: return skip(bytes);
      case State::malformed: return MongoStep::malformed;
    }
  }
}

MongoStep MongoReader::take_header(std::string_view& bytes) {
  char* gathered = reinterpret_cast<char*>(&header_);
  const size_t part = std::min<size_t>(bytes.size(), mongo::header_bytes - gathered_bytes_);
  if (part == 0) return MongoStep::more;  // `bytes` may point nowhere
  std::memcpy(gathered + gathered_bytes_, bytes.data(), part);
  bytes.remove_prefix(part);
  gathered_bytes_ = static_cast<uint8_t>(gathered_bytes_ + part);
  if (gathered_bytes_ < mongo::header_bytes) return MongoStep::more;
  gathered_bytes_ = 0;
  failure_ = MongoFailure::none;
  checksum_ = MongoChecksum::none;
  const int32_t length = header_.length_bytes;
  if (length < static_cast<int32_t>(mongo::header_bytes))
    failure_ = MongoFailure::length_small;
  else if (static_cast<uint32_t>(length) > options_.message_bytes_max)
    failure_ = MongoFailure::length_large;
  if (failure_ != MongoFailure::none) {
    state_ = State::malformed;
    return MongoStep::malformed;
  }
  left_bytes_ = static_cast<uint32_t>(length) - mongo::header_bytes;
  message_ = pool_.take();
  message_->begin(header_, side_, options_);
  state_ = State::body;
  return MongoStep::header;
}

MongoStep MongoReader::take_body(std::string_view& bytes) {
  const std::string_view given = bytes.substr(0, std::min<size_t>(bytes.size(), left_bytes_));
  std::string_view part = given;
  if (part.empty() && left_bytes_ != 0 && !message_->has_more()) return MongoStep::more;
  const MongoBody::Step step = message_->next(part);
  const size_t consumed = given.size() - part.size();
  message_->add_to_checksum(given.substr(0, consumed), left_bytes_);
  bytes.remove_prefix(consumed);
  left_bytes_ -= static_cast<uint32_t>(consumed);
  switch (step) {
    case MongoBody::Step::more: return MongoStep::more;
    case MongoBody::Step::facts: return MongoStep::facts;
    case MongoBody::Step::over: state_ = State::skipping; return skip(bytes);
    case MongoBody::Step::broken:
      state_ = State::skipping;
      failure_ = message_->failure();
      return MongoStep::undecodable;
  }
  return MongoStep::more;
}

MongoStep MongoReader::skip(std::string_view& bytes) {
  const size_t part = std::min<size_t>(bytes.size(), left_bytes_);
  message_->add_to_checksum(bytes.substr(0, part), left_bytes_);
  bytes.remove_prefix(part);
  left_bytes_ -= static_cast<uint32_t>(part);
  if (left_bytes_ != 0) return MongoStep::more;
  checksum_ = message_->checksum();
  state_ = State::ended;
  return MongoStep::end;
}

void MongoReader::skip_message() {
  if (state_ == State::body) state_ = State::skipping;
}

const MongoRequest& MongoReader::request() const {
  static constexpr MongoRequest nothing;
  return message_ == nullptr ? nothing : message_->body().request();
}

const MongoReply& MongoReader::reply() const {
  static constexpr MongoReply nothing;
  return message_ == nullptr ? nothing : message_->body().reply();
}

std::string_view MongoReader::body() const {
  return message_ == nullptr ? std::string_view() : message_->body().kept();
}

}  // namespace ringside
