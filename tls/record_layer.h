#pragma once
// Records of TLS 1.3 after the handshake (RFC 8446, sections 4.6, 5 and 6): what the library would do with an object of 12 KB and a
// copy each way, done in place. Sans-I/O: received slices become plaintext where they lie, plaintext is sealed into an output block.
#include <cstddef>
#include <cstdint>

#include "core/buffer.h"
#include "tls/record_keys.h"

namespace ringside {

// RFC 8446, section 6.
enum class TlsAlert : uint8_t {
  close_notify = 0,
  unexpected_message = 10,
  bad_record_mac = 20,
  record_overflow = 22,
  illegal_parameter = 47,
  decode_error = 50,
  user_canceled = 90,
};

class RecordLayer {
 public:
  // What became of a record.
  enum class Kind : uint8_t {
    partial,     // it is not whole yet
    data,        // its plaintext was appended
    message,     // something of the protocol's own that needs no answer: a ticket
    key_update,  // so was this, and the peer wants the same of us: seal_key_update()
    end,         // close_notify
    alerted,     // the peer gave up: see alert
    refused,     // the connection must end with this alert
  };
  struct Opened {
    Kind kind = Kind::partial;
    size_t wire_bytes = 0;  // taken off the input
    uint8_t alert = 0;
    const char* text = "";  // of a refusal
  };
  struct Secrets {
    TrafficSecret read, write;
    uint64_t records_read = 0, records_written = 0;  // with these secrets, before this object was made
    bool takes_tickets = false;                      // only a server sends them
  };

  RecordLayer(RecordSuite suite, const Secrets& secrets);

  // Opens the first record of `in`. Its plaintext goes behind `plain` as views of the same blocks: nobody else may hold the bytes.
  Opened open(Buffer& in, Buffer& plain);

  static constexpr size_t plain_bytes_max = 16384;
  // Of the record that carries so many bytes.
  static constexpr size_t sealed_bytes(size_t plain_bytes) { return header_bytes + plain_bytes + 1 + RecordKeys::tag_bytes; }
  // Data: one record of the first `bytes` of `plain`, which stay there.
  void seal_data(const Buffer& plain, size_t bytes, char* room);
  // The same where the plaintext lies, which becomes what goes between the two edges.
  static constexpr size_t front_edge_bytes = 5, back_edge_bytes = 1 + RecordKeys::tag_bytes;
  void seal_in_place(char* plain, size_t bytes, char* front_edge, char* back_edge);
  static constexpr size_t control_bytes = 5;  // the most that the following seal
  size_t seal_alert(TlsAlert alert, char* room);
  // Tells the peer of new keys, and uses them from the next record on.
  size_t seal_key_update(char* room);
  // So much was sealed with one key that another is due (section 5.5).
  bool wants_key_update() const { return write_.sequence() >= records_per_key_max; }

 private:
  static constexpr size_t header_bytes = 5;
  static constexpr uint64_t records_per_key_max = 1U << 23;  // AES-GCM may see 2^24.5
  struct Content {
    uint8_t type = 0;
    size_t bytes = 0;
  };
  static Opened refuse(TlsAlert alert, const char* text);
  bool unprotect(const Buffer& in, size_t bytes);
  static Content content_of(const Buffer& in, size_t bytes);
  Opened read_content(Content content, const Buffer& in);
  Opened read_messages(std::string_view text);
  Opened end_message(bool last);
  size_t seal_control(uint8_t type, std::string_view text, char* room);

  RecordKeys read_, write_;
  // A handshake message under way: of the ones that may come now, only the body of a key update is looked at.
  uint32_t body_left_ = 0;
  uint8_t message_[5] = {};
  uint8_t message_filled_ = 0;
  const bool takes_tickets_;
};

}  // namespace ringside
