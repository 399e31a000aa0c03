// Records of TLS 1.3 by hand: what a correct peer sends cut anywhere, and what none would send.
#include "tls/record_layer.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/block_pool.h"
#include "tls/record_counter.h"

namespace ringside::testing {
namespace {

using Kind = RecordLayer::Kind;

Slice slice_of(std::string_view text) {
  char* room = nullptr;
  Slice slice = make_heap_slice(text.size(), &room);
  text.copy(room, text.size());
  return slice;
}

Buffer buffer_of(std::string_view text) {
  Buffer buffer;
  buffer.append(slice_of(text));
  return buffer;
}

std::string text_of(const Buffer& buffer) {
  std::string text;
  for (size_t at = 0; at < buffer.slice_count(); ++at) text += buffer.slice(at).text();
  return text;
}

TrafficSecret secret_of(char digit, size_t bytes) {
  TrafficSecret secret;
  EXPECT_TRUE(secret.set_hex(std::string(2 * bytes, digit)));
  return secret;
}

size_t secret_bytes(RecordSuite suite) { return suite == RecordSuite::aes256_gcm_sha384 ? 48 : 32; }

// One end of a connection whose other end is a RecordLayer, and which may seal what it likes.
class Peer {
 public:
  explicit Peer(RecordSuite suite = RecordSuite::aes128_gcm_sha256)
      : layer(suite, {secret_of('a', secret_bytes(suite)), secret_of('b', secret_bytes(suite)), 0, 0, true}),
        keys_(suite, RecordKeys::Use::seal, secret_of('a', secret_bytes(suite)), 0),
        other(suite, {secret_of('b', secret_bytes(suite)), secret_of('a', secret_bytes(suite)), 0, 0, true}) {}

  // `inner` is content, type and padding as they stand.
  std::string record(std::string_view inner) {
    const size_t size = inner.size() + RecordKeys::tag_bytes;
    std::string out = {23, 3, 3, static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
    keys_.begin(out.data(), out.size());
    out.resize(5 + size);
    keys_.update(out.data() + 5, inner.data(), inner.size());
    keys_.seal_end(out.data() + 5 + inner.size());
    return out;
  }
  std::string data(std::string_view text) { return record(std::string(text) + '\x17'); }
  std::string handshake(std::string_view text) { return record(std::string(text) + '\x16'); }
  void advance() { keys_.advance(); }

  RecordLayer::Opened open(std::string_view wire) {
    Buffer in = buffer_of(wire);
    return layer.open(in, plain);
  }

  RecordLayer layer;
  Buffer plain;

 private:
  RecordKeys keys_;

 public:
  RecordLayer other;  // speaks with `layer` instead of the hand
};

constexpr RecordSuite all_suites[] = {RecordSuite::aes128_gcm_sha256, RecordSuite::aes256_gcm_sha384,
                                      RecordSuite::chacha20_poly1305_sha256};

std::string bytes_of(std::string_view hex) {
  std::string bytes;
  for (size_t at = 0; at < hex.size(); at += 2) bytes += static_cast<char>(std::stoi(std::string(hex.substr(at, 2)), nullptr, 16));
  return bytes;
}

// The record of application data that the server sends in the first trace of RFC 8448.
TEST(RecordLayer, opens_the_record_of_the_specification) {
  RecordLayer::Secrets secrets;
  ASSERT_TRUE(secrets.read.set_hex("a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643"));
  ASSERT_TRUE(secrets.write.set_hex("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5"));
  secrets.records_read = 1;  // a ticket came first
  RecordLayer layer(RecordSuite::aes128_gcm_sha256, secrets);
  std::string plain;
  for (int at = 0; at < 50; ++at) plain += static_cast<char>(at);
  // The client's record has number 0 of its direction.
  std::string sealed(RecordLayer::sealed_bytes(plain.size()), '\0');
  layer.seal_data(buffer_of(plain), plain.size(), sealed.data());
  EXPECT_EQ(sealed, bytes_of("1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a"
                             "6292a2977014bd1e3deae63aeebb21694915e4"));
  Buffer in = buffer_of(bytes_of("17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c00"
                                 "47c2abf332540dd032e167c2955d"));
  Buffer out;
  EXPECT_EQ(layer.open(in, out).kind, Kind::data);
  EXPECT_EQ(text_of(out), plain);
}

TEST(RecordLayer, what_is_sealed_opens_whatever_the_pieces) {
  for (const RecordSuite suite : all_suites) {
    Peer peer(suite);
    std::string text;
    Buffer plain;
    for (size_t size = 1; text.size() + size <= RecordLayer::plain_bytes_max; size = size * 3 + 1) {
      const std::string piece(size, static_cast<char>('a' + size % 26));
      plain.append(slice_of(piece));
      text += piece;
    }
    for (const size_t bytes : {size_t{1}, size_t{17}, size_t{1500}, text.size()}) {
      std::string wire(RecordLayer::sealed_bytes(bytes), '\0');
      peer.other.seal_data(plain, bytes, wire.data());
      for (const size_t cut : {size_t{1}, size_t{4}, size_t{16}, wire.size() / 2, wire.size() - 16, wire.size() - 1}) {
        // The same record cannot be opened twice, so each cut has a layer of its own.
        RecordLayer::Secrets secrets{secret_of('a', secret_bytes(suite)), secret_of('b', secret_bytes(suite)), 0, 0, false};
        secrets.records_read = bytes == 1 ? 0 : bytes == 17 ? 1 : bytes == 1500 ? 2 : 3;
        RecordLayer layer(suite, secrets);
        Buffer in, out;
        for (size_t at = 0; at < wire.size();) {
          const size_t part = std::min(cut, wire.size() - at);
          in.append(slice_of(wire.substr(at, part)));
          at += part;
          const RecordLayer::Opened opened = layer.open(in, out);
          ASSERT_EQ(opened.kind, at < wire.size() ? Kind::partial : Kind::data);
          if (opened.kind == Kind::data) {
            EXPECT_EQ(opened.wire_bytes, wire.size());
          }
        }
        EXPECT_EQ(text_of(out), text.substr(0, bytes));
        EXPECT_TRUE(in.empty());
      }
    }
  }
}

TEST(RecordLayer, bulk_is_sealed_where_it_lies) {
  for (const RecordSuite suite : all_suites) {
    Peer peer(suite);
    std::string text(RecordLayer::plain_bytes_max, 'x'), sealed = text;
    char front[RecordLayer::front_edge_bytes], back[RecordLayer::back_edge_bytes];
    peer.other.seal_in_place(sealed.data(), sealed.size(), front, back);
    EXPECT_NE(sealed, text);
    EXPECT_EQ(peer.open(std::string(front, sizeof front) + sealed + std::string(back, sizeof back)).kind, Kind::data);
    EXPECT_EQ(text_of(peer.plain), text);
  }
}

TEST(RecordLayer, padding_is_taken_off_and_may_be_all) {
  Peer peer;
  EXPECT_EQ(peer.open(peer.record("hello\x17" + std::string(1000, '\0'))).kind, Kind::data);
  EXPECT_EQ(text_of(peer.plain), "hello");
  EXPECT_EQ(peer.open(peer.record(std::string("\x17\0\0", 3))).kind, Kind::data);  // nothing in it
  EXPECT_EQ(text_of(peer.plain), "hello");
  const RecordLayer::Opened none = peer.open(peer.record(std::string(100, '\0')));  // no type at all
  EXPECT_EQ(none.kind, Kind::refused);
  EXPECT_EQ(none.alert, 10);
}

// Any bit that differs: nothing comes out.
TEST(RecordLayer, a_damaged_record_is_refused) {
  for (const RecordSuite suite : all_suites) {
    std::string wire = Peer(suite).data("transfer 100");
    for (size_t at = 5; at < wire.size(); ++at) {
      wire[at] ^= 0x40;
      Peer peer(suite);
      const RecordLayer::Opened opened = peer.open(wire);
      EXPECT_EQ(opened.kind, Kind::refused);
      EXPECT_EQ(opened.alert, 20);
      EXPECT_TRUE(peer.plain.empty());
      wire[at] ^= 0x40;
    }
    Peer peer(suite);
    EXPECT_EQ(peer.open(wire).kind, Kind::data);
    EXPECT_EQ(peer.open(wire).kind, Kind::refused);  // again: its number is over
  }
}

TEST(RecordLayer, lengths_are_bounded) {
  Peer peer;
  const auto header = [](uint8_t type, size_t size) {
    return std::string{static_cast<char>(type), 3, 3, static_cast<char>(size >> 8), static_cast<char>(size & 0xff)};
  };
  EXPECT_EQ(peer.open(header(23, 16384 + 257)).alert, 22);
  EXPECT_EQ(peer.open(header(23, 16384 + 256)).kind, Kind::partial);
  EXPECT_EQ(peer.open(header(23, 16)).alert, 20);
  EXPECT_EQ(peer.open(header(23, 0)).alert, 20);
  Peer full;
  EXPECT_EQ(full.open(full.data(std::string(16384, 'x'))).kind, Kind::data);
  EXPECT_EQ(full.open(full.data(std::string(16385, 'x'))).alert, 22);
}

TEST(RecordLayer, what_is_not_encrypted_is_refused) {
  Peer peer;
  EXPECT_EQ(peer.open(std::string("\x14\x03\x03\x00\x01\x01", 6)).alert, 10);      // change_cipher_spec
  EXPECT_EQ(peer.open(std::string("\x15\x03\x03\x00\x02\x01\x00", 7)).alert, 10);  // an alert
  EXPECT_EQ(peer.open(std::string("\x16\x03\x01\x00\x02\x01\x00", 7)).alert, 10);  // a handshake
  EXPECT_EQ(peer.open("GET / HTTP/1.1\r\n\r\n").alert, 10);
}

TEST(RecordLayer, alerts) {
  Peer peer;
  EXPECT_EQ(peer.open(peer.record(std::string("\x01\x5a\x15", 3))).kind, Kind::message);  // user_canceled
  EXPECT_EQ(peer.open(peer.record(std::string("\x01\x00\x15", 3))).kind, Kind::end);
  const RecordLayer::Opened denied = peer.open(peer.record(std::string("\x02\x31\x15", 3)));
  EXPECT_EQ(denied.kind, Kind::alerted);
  EXPECT_EQ(denied.alert, 49);
  EXPECT_EQ(peer.open(peer.record(std::string("\x01\x15", 2))).alert, 50);
  EXPECT_EQ(peer.open(peer.record(std::string("\x01\x00\x01\x00\x15", 5))).alert, 50);  // two in one
}

TEST(RecordLayer, keys_change_both_ways) {
  for (const RecordSuite suite : all_suites) {
    Peer peer(suite);
    EXPECT_EQ(peer.open(peer.handshake(std::string("\x18\0\0\x01\x01", 5))).kind, Kind::key_update);
    peer.advance();
    EXPECT_EQ(peer.open(peer.data("with new keys")).kind, Kind::data);
    EXPECT_EQ(text_of(peer.plain), "with new keys");
    // Our own, read by another layer.
    char room[64];
    const size_t size = peer.layer.seal_key_update(room);
    Buffer in = buffer_of({room, size}), out;
    EXPECT_EQ(peer.other.open(in, out).kind, Kind::message);
    std::string wire(RecordLayer::sealed_bytes(4), '\0');
    peer.layer.seal_data(buffer_of("next"), 4, wire.data());
    in = buffer_of(wire);
    EXPECT_EQ(peer.other.open(in, out).kind, Kind::data);
    EXPECT_EQ(text_of(out), "next");
  }
}

TEST(RecordLayer, messages_may_be_cut_and_joined) {
  Peer peer;
  const std::string ticket = std::string("\x04\0\0\x0a", 4) + std::string(10, 't');
  EXPECT_EQ(peer.open(peer.handshake(ticket + ticket)).kind, Kind::message);
  EXPECT_EQ(peer.open(peer.handshake(ticket.substr(0, 2))).kind, Kind::message);
  EXPECT_EQ(peer.open(peer.handshake(ticket.substr(2, 5))).kind, Kind::message);
  EXPECT_EQ(peer.open(peer.handshake(ticket.substr(7) + std::string("\x18\0\0", 3))).kind, Kind::message);
  EXPECT_EQ(peer.open(peer.handshake(std::string("\x01", 1))).kind, Kind::message);
  EXPECT_EQ(peer.open(peer.handshake(std::string("\x01", 1))).kind, Kind::key_update);
  peer.advance();
  EXPECT_EQ(peer.open(peer.data("x")).kind, Kind::data);
}

TEST(RecordLayer, messages_that_nobody_may_send) {
  const auto alert_of = [](std::initializer_list<std::string> records) {
    Peer peer;
    RecordLayer::Opened last;
    for (const std::string& inner : records) last = peer.open(peer.record(inner));
    EXPECT_EQ(last.kind, Kind::refused);
    return last.alert;
  };
  EXPECT_EQ(alert_of({std::string("\x16", 1)}), 10);                                    // empty
  EXPECT_EQ(alert_of({std::string("\x01\0\0\x01\x01\x16", 6)}), 10);                    // ClientHello
  EXPECT_EQ(alert_of({std::string("\x0d\0\0\x01\x01\x16", 6)}), 10);                    // CertificateRequest
  EXPECT_EQ(alert_of({std::string("\x18\0\0\x02\x01\x01\x16", 7)}), 50);                // a key update of two bytes
  EXPECT_EQ(alert_of({std::string("\x18\0\0\x01\x02\x16", 6)}), 47);                    // with an unknown request
  EXPECT_EQ(alert_of({std::string("\x18\0\0\x01\0\x04\x16", 7)}), 10);                  // with something behind it
  EXPECT_EQ(alert_of({std::string("\x04\0\0\x0a\x16", 5), std::string("x\x17", 2)}), 10);  // data inside of a message
  EXPECT_EQ(alert_of({std::string("\x04\0\0\x0a\x16", 5), std::string("\x01\0\x15", 3)}), 10);  // an alert inside of a message
  EXPECT_EQ(alert_of({std::string("\x01\x14", 2)}), 10);                                // change_cipher_spec inside
}

TEST(RecordLayer, a_client_sends_no_tickets) {
  const RecordSuite suite = RecordSuite::aes128_gcm_sha256;
  RecordLayer server(suite, {secret_of('a', 32), secret_of('b', 32), 0, 0, false});
  Buffer in = buffer_of(Peer().handshake(std::string("\x04\0\0\x01x", 5))), out;
  EXPECT_EQ(server.open(in, out).alert, 10);
}

TEST(RecordCounter, counts_encrypted_records_cut_anywhere) {
  const std::string wire = std::string("\x16\x03\x01\0\x02" "ab" "\x14\x03\x03\0\x01\x01" "\x17\x03\x03\0\x03" "abc" "\x17\x03\x03\0\0", 26);
  for (size_t cut = 1; cut <= wire.size(); ++cut) {
    RecordCounter counter;
    for (size_t at = 0; at < wire.size(); at += cut) counter.pass(wire.data() + at, std::min(cut, wire.size() - at));
    EXPECT_EQ(counter.count(), 2U);
    EXPECT_TRUE(counter.between());
    counter.pass(wire.data(), 3);
    EXPECT_FALSE(counter.between());
  }
}

}  // namespace
}  // namespace ringside::testing
