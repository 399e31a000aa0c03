#include "tls/record_layer.h"

#include <algorithm>
#include <cstring>

namespace ringside {
namespace {

constexpr uint8_t alert_type = 21, handshake_type = 22, data_type = 23;
constexpr uint8_t new_session_ticket = 4, key_update = 24;
constexpr uint8_t warning_level = 1, fatal_level = 2;
constexpr size_t expansion_bytes_max = 256;  // of a record beyond its plaintext
constexpr size_t message_header_bytes = 4;
// Pieces from this size on are encrypted from where they lie; smaller ones are gathered, for one call of the cipher.
constexpr size_t direct_bytes = 1024;

char* writable(const Slice& slice) { return const_cast<char*>(slice.data()); }

void copy_out(const Buffer& in, size_t offset, char* out, size_t size) {
  for (size_t at = 0; size > 0; ++at) {
    const std::string_view piece = in.slice(at).text();
    if (offset >= piece.size()) {
      offset -= piece.size();
      continue;
    }
    const size_t part = std::min(size, piece.size() - offset);
    std::memcpy(out, piece.data() + offset, part);
    out += part;
    size -= part;
    offset = 0;
  }
}

void write_header(char* room, size_t content_bytes) {
  room[0] = static_cast<char>(data_type);
  room[1] = 3;
  room[2] = 3;
  room[3] = static_cast<char>(content_bytes >> 8);
  room[4] = static_cast<char>(content_bytes & 0xff);
}

}  // namespace

RecordLayer::RecordLayer(RecordSuite suite, const Secrets& secrets)
    : read_(suite, RecordKeys::Use::open, secrets.read, secrets.records_read),
      write_(suite, RecordKeys::Use::seal, secrets.write, secrets.records_written),
      takes_tickets_(secrets.takes_tickets) {}

RecordLayer::Opened RecordLayer::refuse(TlsAlert alert, const char* text) {
  return {.kind = Kind::refused, .alert = static_cast<uint8_t>(alert), .text = text};
}

// --- opening -----------------------------------------------------------------------------------------------------------

RecordLayer::Opened RecordLayer::open(Buffer& in, Buffer& plain) {
  if (in.size_bytes() < header_bytes) return {};
  char header[header_bytes];
  copy_out(in, 0, header, header_bytes);
  // The version is of no meaning (section 5.1); what is not encrypted has no place here any more.
  if (static_cast<uint8_t>(header[0]) != data_type) return refuse(TlsAlert::unexpected_message, "record that is not encrypted");
  const size_t bytes = static_cast<size_t>(static_cast<uint8_t>(header[3])) << 8 | static_cast<uint8_t>(header[4]);
  if (bytes > plain_bytes_max + expansion_bytes_max) return refuse(TlsAlert::record_overflow, "record too long");
  if (bytes < 1 + RecordKeys::tag_bytes) return refuse(TlsAlert::bad_record_mac, "record too short");
  if (in.size_bytes() < header_bytes + bytes) return {};
  read_.begin(header, header_bytes);
  in.consume(header_bytes);
  if (!unprotect(in, bytes - RecordKeys::tag_bytes)) return refuse(TlsAlert::bad_record_mac, "decryption failed or bad record mac");
  const Content content = content_of(in, bytes - RecordKeys::tag_bytes);
  if (content.bytes > plain_bytes_max) return refuse(TlsAlert::record_overflow, "data length too long");
  Opened opened = read_content(content, in);
  if (opened.kind == Kind::data) {
    size_t left = content.bytes;
    for (size_t at = 0; left > 0; ++at) {
      const size_t part = std::min(left, in.slice(at).size());
      plain.append(in.slice(at).share(0, part));
      left -= part;
    }
  }
  in.consume(bytes);
  opened.wire_bytes = header_bytes + bytes;
  return opened;
}

// Decrypts the first `bytes` of `in` where they lie, and checks the tag behind them.
bool RecordLayer::unprotect(const Buffer& in, size_t bytes) {
  size_t left = bytes;
  for (size_t at = 0; left > 0; ++at) {
    const size_t part = std::min(left, in.slice(at).size());
    read_.update(writable(in.slice(at)), in.slice(at).data(), part);
    left -= part;
  }
  char tag[RecordKeys::tag_bytes];
  copy_out(in, bytes, tag, sizeof tag);
  return read_.open_end(tag);
}

// The last byte that is not zero is the type, what is before it the content (section 5.2).
RecordLayer::Content RecordLayer::content_of(const Buffer& in, size_t bytes) {
  size_t last = 0, begins = 0;  // the slice that the bytes end in, and where it begins
  while (begins + in.slice(last).size() < bytes) begins += in.slice(last++).size();
  for (size_t end = bytes; end > 0; --end) {
    while (end <= begins) begins -= in.slice(--last).size();
    const char byte = in.slice(last).data()[end - 1 - begins];
    if (byte != 0) return {static_cast<uint8_t>(byte), end - 1};
  }
  return {};
}

RecordLayer::Opened RecordLayer::read_content(Content content, const Buffer& in) {
  const bool in_message = message_filled_ > 0;
  if (content.type == data_type && !in_message) return {.kind = Kind::data};
  if (content.type == alert_type && !in_message) {
    char alert[2];
    if (content.bytes != sizeof alert) return refuse(TlsAlert::decode_error, "alert of a wrong length");
    copy_out(in, 0, alert, sizeof alert);
    const auto code = static_cast<uint8_t>(alert[1]);
    if (code == static_cast<uint8_t>(TlsAlert::close_notify)) return {.kind = Kind::end};
    if (code == static_cast<uint8_t>(TlsAlert::user_canceled)) return {.kind = Kind::message};
    return {.kind = Kind::alerted, .alert = code};
  }
  if (content.type != handshake_type || content.bytes == 0) return refuse(TlsAlert::unexpected_message, "unexpected record");
  Opened result{.kind = Kind::message};
  size_t left = content.bytes;
  for (size_t at = 0; left > 0; ++at) {
    const size_t part = std::min(left, in.slice(at).size());
    left -= part;
    const Opened read = read_messages({in.slice(at).data(), part});
    if (read.kind == Kind::refused) return read;
    // Keys change between records: nothing may follow in this one (section 5.1).
    const bool changes = message_filled_ == 0 && message_[0] == key_update;
    if (changes && (left > 0 || read.wire_bytes < part)) return refuse(TlsAlert::unexpected_message, "data behind a key update");
    if (changes) {
      read_.advance();
      message_[0] = 0;
    }
    if (read.kind == Kind::key_update) result = read;
  }
  result.wire_bytes = 0;
  return result;
}

// Reads until a key update has ended, or the text has. `wire_bytes` says how far.
RecordLayer::Opened RecordLayer::read_messages(std::string_view text) {
  Opened result{.kind = Kind::message};
  size_t at = 0;
  while (at < text.size()) {
    if (message_filled_ < message_header_bytes) {
      message_[message_filled_++] = static_cast<uint8_t>(text[at++]);
      if (message_filled_ < message_header_bytes) continue;
      body_left_ = static_cast<uint32_t>(message_[1]) << 16 | static_cast<uint32_t>(message_[2]) << 8 | message_[3];
      if (message_[0] != key_update && !(message_[0] == new_session_ticket && takes_tickets_))
        return refuse(TlsAlert::unexpected_message, "unexpected message");
      if (message_[0] == key_update && body_left_ != 1) return refuse(TlsAlert::decode_error, "key update of a wrong length");
    } else if (message_[0] == key_update) {
      message_[4] = static_cast<uint8_t>(text[at++]);
      body_left_ = 0;
      if (message_[4] > 1) return refuse(TlsAlert::illegal_parameter, "bad key update");
      if (message_[4] == 1) result.kind = Kind::key_update;
      message_filled_ = 0;
      result.wire_bytes = at;
      return result;
    } else {
      const size_t part = std::min<size_t>(body_left_, text.size() - at);
      body_left_ -= static_cast<uint32_t>(part);
      at += part;
    }
    if (message_filled_ == message_header_bytes && body_left_ == 0) message_filled_ = message_[0] = 0;
  }
  result.wire_bytes = at;
  return result;
}

// --- sealing -----------------------------------------------------------------------------------------------------------

void RecordLayer::seal_data(const Buffer& plain, size_t bytes, char* room) {
  write_header(room, bytes + 1 + RecordKeys::tag_bytes);
  write_.begin(room, header_bytes);
  char* gathered = room + header_bytes;  // copied and not yet encrypted, up to `at`
  char* at = gathered;
  for (size_t index = 0; bytes > 0; ++index) {
    const std::string_view piece = plain.slice(index).text().substr(0, bytes);
    bytes -= piece.size();
    if (piece.size() < direct_bytes) {
      std::memcpy(at, piece.data(), piece.size());
      at += piece.size();
      continue;
    }
    if (at > gathered) write_.update(gathered, gathered, static_cast<size_t>(at - gathered));
    write_.update(at, piece.data(), piece.size());
    gathered = at += piece.size();
  }
  *at++ = static_cast<char>(data_type);
  write_.update(gathered, gathered, static_cast<size_t>(at - gathered));
  write_.seal_end(at);
}

void RecordLayer::seal_in_place(char* plain, size_t bytes, char* front_edge, char* back_edge) {
  write_header(front_edge, bytes + back_edge_bytes);
  write_.begin(front_edge, front_edge_bytes);
  write_.update(plain, plain, bytes);
  *back_edge = static_cast<char>(data_type);
  write_.update(back_edge, back_edge, 1);
  write_.seal_end(back_edge + 1);
}

size_t RecordLayer::seal_control(uint8_t type, std::string_view text, char* room) {
  write_header(room, text.size() + 1 + RecordKeys::tag_bytes);
  write_.begin(room, header_bytes);
  char* const at = room + header_bytes;
  std::memcpy(at, text.data(), text.size());
  at[text.size()] = static_cast<char>(type);
  write_.update(at, at, text.size() + 1);
  write_.seal_end(at + text.size() + 1);
  return sealed_bytes(text.size());
}

size_t RecordLayer::seal_alert(TlsAlert alert, char* room) {
  const bool fatal = alert != TlsAlert::close_notify && alert != TlsAlert::user_canceled;
  const char text[] = {static_cast<char>(fatal ? fatal_level : warning_level), static_cast<char>(alert)};
  return seal_control(alert_type, {text, sizeof text}, room);
}

size_t RecordLayer::seal_key_update(char* room) {
  constexpr char text[] = {static_cast<char>(key_update), 0, 0, 1, 0};  // the peer's own may stay
  const size_t size = seal_control(handshake_type, {text, sizeof text}, room);
  write_.advance();
  return size;
}

}  // namespace ringside
