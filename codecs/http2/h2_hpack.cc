#include "codecs/http2/h2_hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"

namespace ringside {
namespace {

constexpr uint32_t table_default_bytes = 4096;

// The library declares read-only bytes without const.
uint8_t* bytes_of(std::string_view text) { return const_cast<uint8_t*>(reinterpret_cast<const uint8_t*>(text.data())); }
std::string_view text_of(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

}  // namespace

// --- Decoding --------------------------------------------------------------------------------------------------------------

HpackDecoder::~HpackDecoder() {
  if (engine_ != nullptr) nghttp2_hd_inflate_del(engine_);
}

void HpackDecoder::make() {
  RS_CHECK(nghttp2_hd_inflate_new(&engine_) == 0);
  if (table_bytes_ != table_default_bytes) RS_CHECK(nghttp2_hd_inflate_change_table_size(engine_, table_bytes_) == 0);
}

void HpackDecoder::set_table_bytes(uint32_t bytes) {
  table_bytes_ = bytes;
  if (engine_ != nullptr) RS_CHECK(nghttp2_hd_inflate_change_table_size(engine_, bytes) == 0);
}

bool HpackDecoder::decode(std::string_view bytes, Last last, HpackUser& user) {
  if (engine_ == nullptr) make();
  while (true) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t used =
        nghttp2_hd_inflate_hd2(engine_, &field, &flags, bytes_of(bytes), bytes.size(), last == Last::yes ? 1 : 0);
    if (used < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(used));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
      user.on_field(text_of(field.name, field.namelen), text_of(field.value, field.valuelen));
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(engine_);
      return true;
    }
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0 && bytes.empty()) return last == Last::no;
  }
}

// --- Encoding --------------------------------------------------------------------------------------------------------------

struct HpackFields::List {
  std::vector<nghttp2_nv> fields;
  nghttp2_hd_deflater* plain = nullptr;  // has no table, so that all connections may use it
  ~List() {
    if (plain != nullptr) nghttp2_hd_deflate_del(plain);
  }
};

HpackFields::HpackFields() : list_(std::make_unique<List>()) {}
HpackFields::~HpackFields() = default;

void HpackFields::clear() {
  list_->fields.clear();
  list_bytes_ = 0;
}

void HpackFields::add(std::string_view name, std::string_view value) {
  list_->fields.push_back({bytes_of(name), bytes_of(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  list_bytes_ += name.size() + value.size() + 32;
}

HpackEncoder::~HpackEncoder() {
  if (engine_ != nullptr) nghttp2_hd_deflate_del(engine_);
}

// A table pays from the third block on, and costs an idle connection 2 KB. A peer that wants a smaller one than the default must be
// told of it in the first block (RFC 7541 4.2), for which the shared engine is no use.
bool HpackEncoder::goes_without() const {
  return engine_ == nullptr && !rested_ && blocks_ < blocks_without_table && peer_table_min_ >= table_default_bytes;
}

nghttp2_hd_deflater* HpackEncoder::plain_engine(HpackFields::List& list) {
  if (list.plain != nullptr) return list.plain;
  RS_CHECK(nghttp2_hd_deflate_new(&list.plain, 0) == 0);
  // It would tell in its first block that it has no table; nobody need know of that.
  uint8_t room[8];
  RS_CHECK(nghttp2_hd_deflate_hd(list.plain, room, sizeof room, nullptr, 0) >= 0);
  return list.plain;
}

// A size other than the default must be told to the peer in the next block: the engine does it. It tells the smallest size in
// between, too, so that zero empties the peer's table (RFC 7541 4.2).
void HpackEncoder::make() {
  RS_CHECK(nghttp2_hd_deflate_new(&engine_, table_bytes_max_) == 0);
  const uint32_t size = std::min(peer_table_bytes_, table_bytes_max_);
  const uint32_t smallest = rested_ ? 0 : std::min(peer_table_min_, table_bytes_max_);
  if (smallest < size) RS_CHECK(nghttp2_hd_deflate_change_table_size(engine_, smallest) == 0);
  if (smallest < size || size != std::min(table_default_bytes, table_bytes_max_))
    RS_CHECK(nghttp2_hd_deflate_change_table_size(engine_, size) == 0);
  rested_ = false;
}

void HpackEncoder::set_peer_table_bytes(uint32_t bytes) {
  peer_table_bytes_ = bytes;
  peer_table_min_ = std::min(peer_table_min_, bytes);
  if (engine_ != nullptr)
    RS_CHECK(nghttp2_hd_deflate_change_table_size(engine_, std::min(bytes, table_bytes_max_)) == 0);
}

void HpackEncoder::rest() {
  if (engine_ == nullptr) return;
  nghttp2_hd_deflate_del(std::exchange(engine_, nullptr));
  rested_ = true;
}

size_t HpackEncoder::encoded_bytes_max(const HpackFields& fields) {
  if (engine_ == nullptr && !goes_without()) make();
  nghttp2_hd_deflater* const engine = engine_ != nullptr ? engine_ : plain_engine(*fields.list_);
  return nghttp2_hd_deflate_bound(engine, fields.list_->fields.data(), fields.list_->fields.size());
}

size_t HpackEncoder::encode(const HpackFields& fields, char* out, size_t room) {
  nghttp2_hd_deflater* const engine = engine_ != nullptr ? engine_ : plain_engine(*fields.list_);
  if (blocks_ < blocks_without_table) ++blocks_;
  const ssize_t written = nghttp2_hd_deflate_hd(engine, reinterpret_cast<uint8_t*>(out), room,
                                                fields.list_->fields.data(), fields.list_->fields.size());
  RS_CHECK(written >= 0);
  return static_cast<size_t>(written);
}

}  // namespace ringside
