#pragma once
// The keys of one direction of a TLS 1.3 connection, and the cipher that uses them (RFC 8446, sections 5.2, 5.3, 7.2 and 7.3).
// For the sources of this folder only.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

struct evp_cipher_ctx_st;

namespace ringside {

enum class RecordSuite : uint8_t { aes128_gcm_sha256, aes256_gcm_sha384, chacha20_poly1305_sha256 };
// By the name that the library gives it; nothing for a suite that stays with the library.
std::optional<RecordSuite> record_suite(std::string_view name);

// What the keys of one direction are made of. Wiped when it is let go.
class TrafficSecret {
 public:
  static constexpr size_t bytes_max = 48;
  TrafficSecret() = default;
  TrafficSecret(const TrafficSecret&) = default;
  TrafficSecret& operator=(const TrafficSecret&) = default;
  ~TrafficSecret();
  // False, and nothing kept, when `hex` is none.
  bool set_hex(std::string_view hex);
  bool empty() const { return size_ == 0; }
  size_t size() const { return size_; }
  const uint8_t* data() const { return bytes_.data(); }
  uint8_t* data() { return bytes_.data(); }

 private:
  std::array<uint8_t, bytes_max> bytes_{};
  uint8_t size_ = 0;
};

class RecordKeys {
 public:
  static constexpr size_t tag_bytes = 16;
  enum class Use : uint8_t { seal, open };
  // `sequence`: of the next record, when others were protected with the same secret before.
  RecordKeys(RecordSuite suite, Use use, const TrafficSecret& secret, uint64_t sequence);
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;
  ~RecordKeys();

  // One record: begin, any number of updates (in place, if `to` is `from`), and the end that fits the use.
  void begin(const char* header, size_t header_bytes);
  void update(char* to, const char* from, size_t bytes);
  // Writes the tag.
  void seal_end(char* tag);
  // False when the record was not made with these keys: nothing of it may be used.
  [[nodiscard]] bool open_end(const char* tag);

  // The keys of the next generation; the sequence begins anew.
  void advance();
  uint64_t sequence() const { return sequence_; }

 private:
  static constexpr size_t nonce_bytes = 12;
  void install();

  evp_cipher_ctx_st* cipher_;
  uint64_t sequence_;
  TrafficSecret secret_;
  std::array<uint8_t, nonce_bytes> base_nonce_{};
  RecordSuite suite_;
  Use use_;
};

}  // namespace ringside
