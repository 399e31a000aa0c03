#include "codecs/mongo/bson_walker.h"

#include <emmintrin.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/check.h"

namespace ringside {

namespace {

// How the value of a type is laid out.
// Those behind `binary` are rare.
enum class Layout : uint8_t { fixed, counted, container, binary, scoped, pointer, regex, unknown };

// How long the values of a type are.
struct TypeSize {
  Layout layout = Layout::unknown;
  uint8_t bytes = 0;  // fixed: of the value; else: beside what its length counts (of a container it counts itself)
  uint8_t least = 0;  // that its length may be
  uint8_t unused = 0;
};

struct TypeInfo {
  BsonType type{};
  std::string_view name;
  TypeSize size;
};

constexpr auto type_infos = std::to_array<TypeInfo>({
    {BsonType::real, "double", {Layout::fixed, 8}},
    {BsonType::text, "string", {Layout::counted, 4, 1}},
    {BsonType::document, "object", {Layout::container, 0, 5}},
    {BsonType::array, "array", {Layout::container, 0, 5}},
    {BsonType::binary, "binData", {Layout::binary, 5}},
    {BsonType::undefined, "undefined", {Layout::fixed}},
    {BsonType::object_id, "objectId", {Layout::fixed, 12}},
    {BsonType::boolean, "bool", {Layout::fixed, 1}},
    {BsonType::date, "date", {Layout::fixed, 8}},
    {BsonType::null, "null", {Layout::fixed}},
    {BsonType::regex, "regex", {Layout::regex}},
    {BsonType::db_pointer, "dbPointer", {Layout::pointer}},
    {BsonType::code, "javascript", {Layout::counted, 4, 1}},
    {BsonType::symbol, "symbol", {Layout::counted, 4, 1}},
    {BsonType::code_with_scope, "javascriptWithScope", {Layout::scoped}},
    {BsonType::int32, "int32", {Layout::fixed, 4}},
    {BsonType::timestamp, "timestamp", {Layout::fixed, 8}},
    {BsonType::int64, "int64", {Layout::fixed, 8}},
    {BsonType::decimal128, "decimal128", {Layout::fixed, 16}},
    {BsonType::max_key, "maxKey", {Layout::fixed}},
    {BsonType::min_key, "minKey", {Layout::fixed}},
});

constexpr std::array<TypeSize, 256> type_sizes = [] {
  std::array<TypeSize, 256> sizes;
  for (const TypeInfo& info : type_infos) sizes[static_cast<uint8_t>(info.type)] = info.size;
  return sizes;
}();

constexpr std::array<std::string_view, static_cast<size_t>(BsonType::decimal128) + 1> type_names = [] {
  std::array<std::string_view, static_cast<size_t>(BsonType::decimal128) + 1> names;
  for (const TypeInfo& info : type_infos)
    if (info.type <= BsonType::decimal128) names[static_cast<uint8_t>(info.type)] = info.name;
  return names;
}();

const TypeSize& size_of(BsonType type) { return type_sizes[static_cast<uint8_t>(type)]; }

uint32_t read_u32(const char* bytes) {
  uint32_t value = 0;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

// How many bytes stand before the first NUL; `size` when there is none. Names are short: sixteen at a time find most at once.
inline size_t find_nul(const char* bytes, size_t size) {
  size_t at = 0;
  for (; size - at >= 16; at += 16) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + at));
    const auto zeros = static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_setzero_si128())));
    if (zeros != 0) return at + static_cast<size_t>(std::countr_zero(zeros));
  }
  while (at < size && bytes[at] != '\0') ++at;
  return at;
}

constexpr uint32_t lengths_bytes = 4;
constexpr uint32_t object_id_bytes = 12;

}  // namespace

static_assert(std::endian::native == std::endian::little, "BSON is read as it lies in memory");

std::string_view name_of(BsonType type) {
  const auto number = static_cast<uint8_t>(type);
  if (type == BsonType::max_key || type == BsonType::min_key) return type == BsonType::max_key ? "maxKey" : "minKey";
  return number < type_names.size() ? type_names[number] : std::string_view();
}

void BsonWalker::begin(uint32_t bytes_max) {
  at_ = 0;
  depth_ = 0;
  gathered_bytes_ = 0;
  ends_[0] = bytes_max;
  failure_ = MongoFailure::none;
  state_ = State::length;
}

BsonStep BsonWalker::fail(MongoFailure failure) {
  failure_ = failure;
  state_ = State::over;
  return BsonStep::broken;
}

inline void BsonWalker::consume(std::string_view& bytes, size_t count) {
  bytes.remove_prefix(count);
  at_ += static_cast<uint32_t>(count);
}

const char* BsonWalker::gather(std::string_view& bytes, uint32_t wanted) {
  if (gathered_bytes_ == 0 && bytes.size() >= wanted) {
    const char* begin = bytes.data();
    consume(bytes, wanted);
    return begin;
  }
  const size_t part = std::min<size_t>(wanted - gathered_bytes_, bytes.size());
  if (part == 0) return nullptr;  // `bytes` may point nowhere
  std::memcpy(gathered_.data() + gathered_bytes_, bytes.data(), part);
  consume(bytes, part);
  gathered_bytes_ = static_cast<uint16_t>(gathered_bytes_ + part);
  if (gathered_bytes_ < wanted) return nullptr;
  gathered_bytes_ = 0;
  return gathered_.data();
}

// Keeps as much as fits of the name or text under way; false: not all of it fitted.
bool BsonWalker::keep(std::string_view part) {
  const size_t kept = std::min(part.size(), gathered_.size() - gathered_bytes_);
  if (kept != 0) std::memcpy(gathered_.data() + gathered_bytes_, part.data(), kept);
  gathered_bytes_ = static_cast<uint16_t>(gathered_bytes_ + kept);
  return kept == part.size();
}

inline BsonStep BsonWalker::leave() {
  if (room() != 0) return fail(MongoFailure::bson_length);
  state_ = State::type;
  if (depth_ == 0) {
    state_ = State::over;
    return BsonStep::done;
  }
  --depth_;
  return BsonStep::leave;
}

// All of the wanted value stands there. false: it is left to the slower way.
inline bool BsonWalker::take_value(const char* bytes, size_t size) {
  const Layout layout = size_of(type_).layout;
  if (layout == Layout::fixed) {
    text_ = {bytes, size};
    return true;
  }
  if (layout != Layout::counted || bytes[size - 1] != '\0') return false;
  const size_t text_bytes = size - lengths_bytes - 1;
  text_cut_ = text_bytes > mongo::bson_text_bytes_max;
  text_ = {bytes + lengths_bytes, text_cut_ ? mongo::bson_text_bytes_max : text_bytes};
  return true;
}

// Most elements stand in one piece: value, type and name are read at once here. What is not so simple, or wrong, is left as it
// is to the slower way.
BsonStep BsonWalker::next(std::string_view& bytes) {
  if (state_ > State::value || gathered_bytes_ != 0) return begins_whole(bytes) ? first_key(bytes) : next_in_pieces(bytes);
  const char* at = bytes.data();
  size_t near = std::min<size_t>(bytes.size(), room());
  if (state_ == State::value) {
    const TypeSize info = size_of(type_);
    size_t size = info.bytes;
    if (info.layout != Layout::fixed) {
      if (info.layout > Layout::binary || near < lengths_bytes) return next_in_pieces(bytes);
      const uint32_t length = read_u32(at);
      if (length > INT32_MAX || length < info.least) return next_in_pieces(bytes);
      size += length;
    }
    if (action_ == Action::enter) {
      if (info.layout != Layout::container || size >= room() || depth_ + 1 >= mongo::bson_depth_max)
        return next_in_pieces(bytes);
      ends_[++depth_] = at_ + static_cast<uint32_t>(size);
      near = std::min<size_t>(bytes.size(), size);
      size = lengths_bytes;
    } else if (size >= near) {
      return next_in_pieces(bytes);
    } else if (action_ == Action::want) {
      if (!take_value(at, size)) return next_in_pieces(bytes);
      consume(bytes, size);
      state_ = State::type;
      return BsonStep::value;
    }
    at += size;
    near -= size;
  }
  return next_key(bytes, at, near);
}

inline bool BsonWalker::begins_whole(std::string_view bytes) const {
  if (state_ != State::length || gathered_bytes_ != 0 || bytes.size() < lengths_bytes) return false;
  const uint32_t total = read_u32(bytes.data());
  return total >= mongo::bson_document_bytes_min && total <= ends_[0];
}

inline BsonStep BsonWalker::first_key(std::string_view& bytes) {
  ends_[0] = read_u32(bytes.data());
  return next_key(bytes, bytes.data() + lengths_bytes, std::min<size_t>(bytes.size(), ends_[0]) - lengths_bytes);
}

// What stands before `at` is over; of the container, so many bytes are there from it on.
inline BsonStep BsonWalker::next_key(std::string_view& bytes, const char* at, size_t near) {
  const auto before = static_cast<size_t>(at - bytes.data());
  state_ = State::type;
  if (near != 0) {
    type_ = static_cast<BsonType>(static_cast<uint8_t>(*at));
    if (type_ == BsonType::end) {
      consume(bytes, before + 1);
      return leave();
    }
    const size_t key_bytes = find_nul(at + 1, near - 1);
    if (key_bytes < near - 1 && key_bytes <= mongo::bson_text_bytes_max) {
      key_ = {at + 1, key_bytes};
      key_cut_ = false;
      consume(bytes, before + key_bytes + 2);
      state_ = State::value;
      action_ = Action::skip;
      return BsonStep::element;
    }
  }
  consume(bytes, before);
  return next_in_pieces(bytes);
}

BsonStep BsonWalker::next_in_pieces(std::string_view& bytes) {
  for (;;) {
    BsonStep step = BsonStep::more;
    switch (state_) {
      case State::length: step = begin_document(bytes); break;
      case State::skip: {
        const size_t part = std::min<size_t>(left_bytes_, bytes.size());
        consume(bytes, part);
        left_bytes_ -= static_cast<uint32_t>(part);
        if (left_bytes_ != 0) return BsonStep::more;
        state_ = State::type;
      }
        [[fallthrough]];
      case State::type:
        if (bytes.empty()) return BsonStep::more;
        type_ = static_cast<BsonType>(static_cast<uint8_t>(bytes.front()));
        if (room() == 0) return fail(MongoFailure::bson_length);
        consume(bytes, 1);
        if (type_ == BsonType::end) return leave();
        key_cut_ = false;
        state_ = State::key;
        [[fallthrough]];
      case State::key: return read_key(bytes);
      case State::value: step = read_value(bytes); break;
      case State::sized: step = read_sized(bytes); break;
      case State::text: return read_text(bytes);
      case State::regex: step = read_regex(bytes); break;
      case State::over: return failure_ == MongoFailure::none ? BsonStep::done : BsonStep::broken;
    }
    // `more` from a step means: go on, as long as there are bytes.
    if (step != BsonStep::more || bytes.empty()) return step;
  }
}

BsonStep BsonWalker::begin_document(std::string_view& bytes) {
  const char* length = gather(bytes, lengths_bytes);
  if (length == nullptr) return BsonStep::more;
  const uint32_t total = read_u32(length);
  if (total < mongo::bson_document_bytes_min || total > ends_[0]) return fail(MongoFailure::bson_length);
  ends_[0] = total;
  state_ = State::type;
  return BsonStep::more;
}

BsonStep BsonWalker::read_key(std::string_view& bytes) {
  const size_t near = std::min<size_t>(bytes.size(), room());
  const size_t length = find_nul(bytes.data(), near);
  if (length == near) {
    if (near == room()) return fail(MongoFailure::bson_length);
    if (!keep(bytes)) key_cut_ = true;
    consume(bytes, near);
    return BsonStep::more;
  }
  if (gathered_bytes_ == 0) {
    key_cut_ = length > mongo::bson_text_bytes_max;
    key_ = bytes.substr(0, std::min<size_t>(length, mongo::bson_text_bytes_max));
  } else {
    if (!keep(bytes.substr(0, length)) || gathered_bytes_ > mongo::bson_text_bytes_max) key_cut_ = true;
    key_ = {gathered_.data(), std::min<size_t>(gathered_bytes_, mongo::bson_text_bytes_max)};
    gathered_bytes_ = 0;
  }
  consume(bytes, length + 1);
  state_ = State::value;
  action_ = Action::skip;
  return BsonStep::element;
}

BsonStep BsonWalker::read_value(std::string_view& bytes) {
  const TypeSize& info = size_of(type_);
  switch (info.layout) {
    case Layout::fixed:
      if (info.bytes >= room()) return fail(MongoFailure::bson_length);
      if (action_ != Action::want) return skip_value(info.bytes);
      if (info.bytes == 0) {
        text_ = {};
        state_ = State::type;
        return BsonStep::value;
      }
      left_bytes_ = info.bytes;
      state_ = State::sized;
      return read_sized(bytes);
    case Layout::regex:
      strings_left_ = 2;
      state_ = State::regex;
      return read_regex(bytes);
    case Layout::counted:
    case Layout::container:
    case Layout::binary:
    case Layout::scoped:
    case Layout::pointer:
      left_bytes_ = 0;
      state_ = State::sized;
      return read_sized(bytes);
    case Layout::unknown: return fail(MongoFailure::bson_type);
  }
  return fail(MongoFailure::bson_type);
}

BsonStep BsonWalker::skip_value(uint32_t value_bytes) {
  if (value_bytes >= room()) return fail(MongoFailure::bson_length);  // the terminator needs a byte, too
  left_bytes_ = value_bytes;
  state_ = State::skip;
  return BsonStep::more;
}

// A value of a fixed size (left_bytes_), or the length in front of one.
BsonStep BsonWalker::read_sized(std::string_view& bytes) {
  if (left_bytes_ != 0) {
    const char* value = gather(bytes, left_bytes_);
    if (value == nullptr) return BsonStep::more;
    text_ = {value, left_bytes_};
    left_bytes_ = 0;
    state_ = State::type;
    return BsonStep::value;
  }
  if (gathered_bytes_ == 0 && room() <= lengths_bytes) return fail(MongoFailure::bson_length);
  const char* length_field = gather(bytes, lengths_bytes);
  if (length_field == nullptr) return BsonStep::more;
  const uint32_t length = read_u32(length_field);
  if (length > INT32_MAX) return fail(MongoFailure::bson_length);
  const Layout layout = size_of(type_).layout;
  switch (layout) {
    case Layout::container:
      if (length < mongo::bson_document_bytes_min) return fail(MongoFailure::bson_length);
      if (action_ == Action::enter) return enter_container(length);
      return skip_value(length - lengths_bytes);
    case Layout::counted:
      if (length == 0 || length >= room()) return fail(MongoFailure::bson_length);
      if (action_ != Action::want) return skip_value(length);
      left_bytes_ = length;
      text_cut_ = length - 1 > mongo::bson_text_bytes_max;
      state_ = State::text;
      return read_text(bytes);
    case Layout::binary: return skip_value(length + 1);
    case Layout::scoped:
      if (length < 2 * lengths_bytes + 1 + mongo::bson_document_bytes_min) return fail(MongoFailure::bson_length);
      return skip_value(length - lengths_bytes);
    case Layout::pointer:
      if (length == 0) return fail(MongoFailure::bson_length);
      return skip_value(length + object_id_bytes);
    case Layout::fixed:
    case Layout::regex:
    case Layout::unknown: break;
  }
  return fail(MongoFailure::bson_type);
}

BsonStep BsonWalker::enter_container(uint32_t length_bytes) {
  if (length_bytes - lengths_bytes >= room()) return fail(MongoFailure::bson_length);
  if (depth_ + 1 >= mongo::bson_depth_max) return fail(MongoFailure::bson_depth);
  ends_[++depth_] = at_ - lengths_bytes + length_bytes;
  state_ = State::type;
  return BsonStep::more;
}

// left_bytes_ of a text are still to come, its NUL included.
BsonStep BsonWalker::read_text(std::string_view& bytes) {
  if (gathered_bytes_ == 0 && bytes.size() >= left_bytes_) {
    text_ = bytes.substr(0, std::min<size_t>(left_bytes_ - 1, mongo::bson_text_bytes_max));
  } else {
    const std::string_view part = bytes.substr(0, std::min<size_t>(bytes.size(), left_bytes_));
    keep(part);
    if (part.size() < left_bytes_) {
      left_bytes_ -= static_cast<uint32_t>(part.size());
      consume(bytes, part.size());
      return BsonStep::more;
    }
    text_ = {gathered_.data(), text_cut_ ? mongo::bson_text_bytes_max : gathered_bytes_ - size_t{1}};
  }
  const bool ended = bytes[left_bytes_ - 1] == '\0';
  consume(bytes, left_bytes_);
  left_bytes_ = 0;
  gathered_bytes_ = 0;
  state_ = State::type;
  return ended ? BsonStep::value : fail(MongoFailure::bson_length);
}

BsonStep BsonWalker::read_regex(std::string_view& bytes) {
  while (strings_left_ != 0) {
    const size_t near = std::min<size_t>(bytes.size(), room());
    const size_t length = find_nul(bytes.data(), near);
    if (length == near) {
      if (near == room()) return fail(MongoFailure::bson_length);
      consume(bytes, near);
      return BsonStep::more;
    }
    consume(bytes, length + 1);
    --strings_left_;
  }
  if (room() == 0) return fail(MongoFailure::bson_length);
  state_ = State::type;
  return BsonStep::more;
}

int64_t BsonWalker::number() const {
  switch (type_) {
    case BsonType::int32: return static_cast<int32_t>(read_u32(text_.data()));
    case BsonType::boolean: return text_[0] != '\0';
    case BsonType::int64:
    case BsonType::date:
    case BsonType::timestamp: {
      int64_t value = 0;
      std::memcpy(&value, text_.data(), sizeof value);
      return value;
    }
    case BsonType::real: {
      double value = 0;
      std::memcpy(&value, text_.data(), sizeof value);
      if (std::isnan(value)) return 0;
      if (value >= 0x1p63) return INT64_MAX;
      if (value < -0x1p63) return INT64_MIN;
      return static_cast<int64_t>(value);
    }
    default: return 0;  // what is no number; two dozen cases would say the same
  }
}

bool BsonWalker::truth() const {
  if (type_ != BsonType::real) return number() != 0;
  double value = 0;
  std::memcpy(&value, text_.data(), sizeof value);
  return value != 0;
}

}  // namespace ringside
