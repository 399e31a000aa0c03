#pragma once
// The nghttp2 adapter: HPACK (RFC 7541) in both directions. Nothing else of that library is used.
#include <cstdint>
#include <memory>
#include <string_view>

struct nghttp2_hd_deflater;
struct nghttp2_hd_inflater;

namespace ringside {

// Receives the fields of a header block. Views are valid during the call.
class HpackUser {
 public:
  virtual void on_field(std::string_view name, std::string_view value) = 0;

 protected:
  ~HpackUser() = default;
};

// The engine is made with the first block: an idle connection has none.
class HpackDecoder {
 public:
  HpackDecoder() = default;
  HpackDecoder(const HpackDecoder&) = delete;
  HpackDecoder& operator=(const HpackDecoder&) = delete;
  ~HpackDecoder();
  // The peer acknowledged this size of table. Between blocks only.
  void set_table_bytes(uint32_t bytes);
  enum class Last : bool { no, yes };
  // The next bytes of a block, at any split; `Last::yes` with the last of them, or with none. False: the peer's encoder is broken.
  bool decode(std::string_view bytes, Last last, HpackUser& user);

 private:
  void make();
  nghttp2_hd_inflater* engine_ = nullptr;
  uint32_t table_bytes_ = 4096;
};

// The fields of one block that is to be encoded. One per worker; keeps its memory.
class HpackFields {
 public:
  HpackFields();
  HpackFields(const HpackFields&) = delete;
  HpackFields& operator=(const HpackFields&) = delete;
  ~HpackFields();
  void clear();
  // What is given must live until the block is encoded.
  void add(std::string_view name, std::string_view value);
  // As the peer counts it (RFC 9113 6.5.2).
  size_t list_bytes() const { return list_bytes_; }

 private:
  friend class HpackEncoder;
  struct List;
  std::unique_ptr<List> list_;
  size_t list_bytes_ = 0;
};

class HpackEncoder {
 public:
  HpackEncoder() = default;
  HpackEncoder(const HpackEncoder&) = delete;
  HpackEncoder& operator=(const HpackEncoder&) = delete;
  ~HpackEncoder();
  // What we use at most, and what the peer allows; both before or between blocks.
  void set_table_bytes_max(uint32_t bytes) { table_bytes_max_ = bytes; }
  void set_peer_table_bytes(uint32_t bytes);
  // Frees the engine and its table; the next block begins with an empty one, and tells the peer.
  void rest();
  // The most that encode() can write.
  size_t encoded_bytes_max(const HpackFields& fields);
  // Returns how many bytes were written to `out`, which has room for encoded_bytes_max().
  size_t encode(const HpackFields& fields, char* out, size_t room);

 private:
  static constexpr uint8_t blocks_without_table = 2;
  bool goes_without() const;
  static nghttp2_hd_deflater* plain_engine(HpackFields::List& list);
  void make();
  nghttp2_hd_deflater* engine_ = nullptr;
  uint32_t table_bytes_max_ = 4096;
  uint32_t peer_table_bytes_ = 4096;
  uint32_t peer_table_min_ = 4096;  // the smallest that it ever was, which it must be told of (RFC 7541 4.2)
  uint8_t blocks_ = 0;   // encoded so far, as far as it matters
  bool rested_ = false;  // the peer's table is not empty, as a new engine's is
};

}  // namespace ringside
