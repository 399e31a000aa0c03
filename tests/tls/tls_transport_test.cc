// TlsTransport against itself, on the real rings: handshake, data, credit, half-closes, truncation, aborts.
#include <sys/socket.h>

#include "core/limits.h"
#include "tests/tls/tls_fixture.h"
#include "tls/tls_limits.h"

namespace ringside::testing {
namespace {

using TlsTransportTest = TlsFixture;
INSTANTIATE_OVER_REAL_RINGS(TlsTransportTest);

std::string pattern(size_t size) {
  std::string text(size, '\0');
  uint32_t state = 12345;
  for (char& byte : text) byte = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24);
  return text;
}

TEST_P(TlsTransportTest, handshakes_and_says_with_what) {
  TlsServerSpec server = server_spec();
  server.common.alpn = {"h2", "http/1.1"};
  TlsClientSpec client = client_spec();
  client.common.alpn = {"http/1.1", "h2"};
  shake(must(TlsContext::make_server(std::move(server))), must(TlsContext::make_client(std::move(client))));
  ASSERT_TRUE(open());
  const TlsFacts facts = server_->transport->facts();
  EXPECT_EQ(facts.version, "TLSv1.3");
  EXPECT_EQ(facts.cipher, "TLS_AES_128_GCM_SHA256");
  EXPECT_EQ(facts.curve, "X25519");
  EXPECT_EQ(facts.alpn, "h2");  // the server's preference
  EXPECT_EQ(facts.server_name, "server.test");
  EXPECT_FALSE(facts.resumed);
  EXPECT_EQ(client_->transport->facts().signature, "ecdsa_secp256r1_sha256");
  EXPECT_TRUE(client_->transport->peer_validated());
  EXPECT_EQ(client_->transport->peer_certificate()->dns_sans, std::vector<std::string>{"server.test"});
  EXPECT_EQ(client_->transport->peer_certificate()->sha256, leaf().sha256_hex());
  EXPECT_EQ(client_->transport->peer_certificate()->issuer, "CN=Test authority");
  EXPECT_EQ(client_->transport->peer_pem(), leaf().pem());
  EXPECT_EQ(client_->chain_pem, leaf().pem());
  EXPECT_FALSE(server_->transport->peer_certificate() != nullptr);
  EXPECT_EQ(server_->transport->local_certificate()->subject, "CN=leaf");
  EXPECT_EQ(server_count(TlsStat::handshake), 1);
  EXPECT_EQ(server_count(TlsStat::no_certificate), 1);
  EXPECT_EQ(server_count(TlsStat::version_1_3), 1);
  EXPECT_EQ(server_count(TlsStat::cipher_aes128_gcm), 1);
  EXPECT_EQ(server_count(TlsStat::curve_x25519), 1);
  EXPECT_EQ(client_count(TlsStat::sigalg_ecdsa_256), 1);
}

TEST_P(TlsTransportTest, data_waits_for_the_handshake_and_goes_both_ways) {
  const auto [client_fd, server_fd] = connected();
  server_->attach(must(TlsContext::make_server(server_spec())), server_fd);
  client_->attach(must(TlsContext::make_client(client_spec())), client_fd);
  client_->start();
  client_->send("early ");
  client_->send("bird");
  server_->start();
  ASSERT_TRUE(run_until([&] { return server_->received == "early bird"; }));
  server_->send("worm");
  ASSERT_TRUE(run_until([&] { return client_->received == "worm" && server_->sent_bytes == 4 && client_->sent_bytes == 10; }));
  EXPECT_EQ(client_->transport->unsent_bytes(), 0U);
}

// A worker that sends many small pieces in one turn makes one record of them.
TEST_P(TlsTransportTest, small_pieces_become_one_record) {
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())));
  ASSERT_TRUE(open());
  run_for(milliseconds(20));  // tickets are through
  const std::string text = pattern(9000);
  std::vector<Slice> pieces;
  for (size_t at = 0; at < text.size(); at += 10) {
    char* room = nullptr;
    pieces.push_back(make_heap_slice(10, &room));
    text.copy(room, 10, at);
  }
  for (Slice& piece : pieces) server_->transport->send(std::move(piece));
  ASSERT_TRUE(run_until([&] { return client_->received_bytes == text.size(); }));
  EXPECT_EQ(client_->received, text);
  EXPECT_EQ(server_->sent_bytes, text.size());
  EXPECT_GE(client_->largest, limits::small_block_bytes);
}

TEST_P(TlsTransportTest, hundred_megabytes_each_way) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    reset();
    TlsServerSpec server = server_spec();
    server.common.version_max = version;
    shake(must(TlsContext::make_server(std::move(server))), must(TlsContext::make_client(client_spec())));
    ASSERT_TRUE(open());
    client_->keep = server_->keep = false;
    server_->echoes = true;
    const std::string part = pattern(1000 * 1000);
    const size_t parts = std::getenv("RINGSIDE_SANITIZED") != nullptr ? 10 : 100;
    uint64_t hash = client_->hash;
    for (size_t count = 0; count < parts; ++count) {
      hash = fnv(hash, part);
      client_->send_large(part);
      ASSERT_TRUE(run_until([&] { return client_->transport->unsent_bytes() < 4 * part.size(); }));
    }
    client_->transport->finish();
    ASSERT_TRUE(run_until([&] { return client_->ended; }, seconds(60)));
    EXPECT_EQ(client_->received_bytes, parts * part.size());
    EXPECT_EQ(client_->hash, hash);
    EXPECT_EQ(server_->hash, hash);
    EXPECT_EQ(client_->sent_bytes, parts * part.size());
  }
}

TEST_P(TlsTransportTest, a_reader_that_does_not_grant_holds_no_more_than_its_credit) {
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())));
  ASSERT_TRUE(open());
  server_->grants = server_->keep = client_->keep = false;
  const std::string part = pattern(20 * 1000 * 1000);
  client_->send_large(part);
  run_for(milliseconds(300));
  EXPECT_EQ(server_->received_bytes, 64U * 1024);  // the credit of start(), to the byte
  const size_t held = size_t{pools_.small.used()} * limits::small_block_bytes + size_t{pools_.large.used()} * limits::large_block_bytes;
  EXPECT_LT(held, 2U * 1024 * 1024);
  EXPECT_GT(client_->transport->unsent_bytes(), 1'000'000U);
  uint64_t hash = client_->hash;
  hash = fnv(hash, part);
  // On it goes, in steps that have nothing to do with records.
  while (server_->received_bytes < part.size()) {
    const size_t before = server_->received_bytes;
    server_->transport->grant(77'777);
    ASSERT_TRUE(run_until([&] { return server_->received_bytes > before; }));
    ASSERT_LE(server_->received_bytes, before + 77'777 + 77'777);
  }
  EXPECT_EQ(server_->hash, hash);
}

TEST_P(TlsTransportTest, each_side_ends_for_itself) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    reset();
    TlsServerSpec spec = server_spec();
    spec.common.version_max = version;
    shake(must(TlsContext::make_server(std::move(spec))), must(TlsContext::make_client(client_spec())));
    ASSERT_TRUE(open());
    client_->send("question");
    client_->transport->finish();
    ASSERT_TRUE(run_until([&] { return server_->ended; }));
    EXPECT_EQ(server_->received, "question");
    server_->send("answer");
    server_->transport->finish();
    ASSERT_TRUE(run_until([&] { return client_->ended; }));
    EXPECT_EQ(client_->received, "answer");
    EXPECT_FALSE(client_->closed || server_->closed);
    client_->transport->close({});
    server_->transport->close({});
    EXPECT_FALSE(client_->closed || server_->closed);
    ASSERT_TRUE(run_until([&] { return client_->closed && server_->closed; }));
    EXPECT_EQ(client_->error.code, ErrorCode::none);
    EXPECT_TRUE(client_->transport->failure_text().empty());
  }
}

TEST_P(TlsTransportTest, an_orderly_close_is_no_truncation) {
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())));
  ASSERT_TRUE(open());
  server_->transport->close({});
  ASSERT_TRUE(run_until([&] { return server_->closed && client_->ended; }));
  EXPECT_FALSE(client_->closed);
}

TEST_P(TlsTransportTest, an_end_without_close_notify_is_a_truncation) {
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())));
  ASSERT_TRUE(open());
  client_->grants = false;
  const std::string text = pattern(50'000);
  server_->send_large(text);
  ASSERT_TRUE(run_until([&] { return server_->sent_bytes == text.size(); }));
  server_->transport->close({ErrorCode::cancelled, Origin::local, Retry::never, "gone"});  // no farewell
  ASSERT_TRUE(run_until([&] { return client_->closed; }));
  EXPECT_EQ(client_->received, text);  // all of it first
  EXPECT_FALSE(client_->ended);
  EXPECT_EQ(client_->error.code, ErrorCode::peer_closed);
  EXPECT_STREQ(client_->error.detail, "closed without close_notify");
  EXPECT_NE(client_->transport->failure_text().find("close_notify"), std::string::npos);
}

TEST_P(TlsTransportTest, an_abort_is_a_reset) {
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())));
  ASSERT_TRUE(open());
  run_for(milliseconds(20));
  server_->transport->abort({ErrorCode::cancelled, Origin::local, Retry::never, "enough"});
  EXPECT_FALSE(server_->closed);
  ASSERT_TRUE(run_until([&] { return server_->closed && client_->closed; }));
  EXPECT_EQ(client_->error.code, ErrorCode::peer_reset);
  EXPECT_STREQ(server_->error.detail, "enough");
}

// --- Peers that are no TLS peers: the bytes are written by hand -----------------------------------------------------------

class RawPeer {
 public:
  explicit RawPeer(int fd) : fd_(fd) {}
  ~RawPeer() { ::close(fd_); }
  void send(std::string_view text) { EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size())); }
  void finish() { ::shutdown(fd_, SHUT_WR); }
  // What is there now.
  std::string receive() {
    char room[65536];
    const ssize_t size = ::recv(fd_, room, sizeof room, MSG_DONTWAIT);
    return size > 0 ? std::string(room, static_cast<size_t>(size)) : std::string();
  }

 private:
  int fd_;
};

TEST_P(TlsTransportTest, plain_http_is_refused_with_an_alert) {
  const auto [client_fd, server_fd] = connected();
  RawPeer raw(client_fd);
  TlsConnectionOptions options;
  options.stats = &server_stats_;
  server_->attach(must(TlsContext::make_server(server_spec())), server_fd, std::move(options));
  server_->start();
  raw.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until([&] { return server_->closed; }));
  EXPECT_EQ(server_->error.code, ErrorCode::bad_message);
  EXPECT_EQ(server_->transport->failure_text(), "TLS_error: http request");
  EXPECT_EQ(server_count(TlsStat::connection_error), 1);
  EXPECT_FALSE(server_->shaken);
}

// Bytes before the handshake never become data, neither at a client nor at a server.
TEST_P(TlsTransportTest, plaintext_before_the_handshake_is_an_error) {
  const auto [client_fd, server_fd] = connected();
  RawPeer raw(server_fd);
  client_->attach(must(TlsContext::make_client(client_spec())), client_fd);
  client_->start();
  raw.send("220 ready\r\n");
  ASSERT_TRUE(run_until([&] { return client_->closed; }));
  EXPECT_EQ(client_->received, "");
  EXPECT_EQ(client_->error.code, ErrorCode::bad_message);
  EXPECT_EQ(client_->error.retry, Retry::always);
  EXPECT_NE(client_->transport->failure_text().find("wrong version number"), std::string::npos);
}

TEST_P(TlsTransportTest, a_handshake_that_stops_is_told) {
  const auto [client_fd, server_fd] = connected();
  RawPeer raw(client_fd);
  server_->attach(must(TlsContext::make_server(server_spec())), server_fd);
  server_->start();
  raw.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00", 7));
  run_for(milliseconds(20));
  EXPECT_EQ(server_->transport->state(), TlsState::handshaking);
  raw.finish();
  ASSERT_TRUE(run_until([&] { return server_->closed; }));
  EXPECT_EQ(server_->error.code, ErrorCode::peer_closed);
  EXPECT_EQ(server_->transport->failure_text(), "TLS_error: connection closed during the handshake");
}

TEST_P(TlsTransportTest, a_peek_is_handed_on) {
  const auto [client_fd, server_fd] = connected();
  client_->attach(must(TlsContext::make_client(client_spec())), client_fd);
  client_->start();
  run_for(milliseconds(20));
  char room[4096];
  const ssize_t size = ::recv(server_fd, room, sizeof room, MSG_DONTWAIT);
  ASSERT_GT(size, 100);
  server_->attach(must(TlsContext::make_server(server_spec())), server_fd);
  server_->transport->feed(worker_->output().copy({room, 3}));
  server_->transport->feed(worker_->output().copy({room + 3, static_cast<size_t>(size) - 3}));
  server_->start();
  ASSERT_TRUE(run_until([&] { return open(); }));
  client_->send("hello");
  ASSERT_TRUE(run_until([&] { return server_->received == "hello"; }));
}

// A close in every state is answered once, and never from inside the call.
TEST_P(TlsTransportTest, close_is_answered_once_in_every_state) {
  for (int step = 0; step < 6; ++step) {
    reset();
    const auto [client_fd, server_fd] = connected();
    server_->attach(must(TlsContext::make_server(server_spec())), server_fd);
    client_->attach(must(TlsContext::make_client(client_spec())), client_fd);
    server_->start();
    client_->start();
    for (int turn = 0; turn < step; ++turn) worker_->turn(milliseconds(2));
    client_->transport->close({ErrorCode::timed_out, Origin::local, Retry::never, "too slow"});
    EXPECT_FALSE(client_->closed);
    client_->transport->close({});
    client_->transport->abort({});
    client_->transport->send(Slice::of_static("ignored"));
    client_->transport->finish();
    ASSERT_TRUE(run_until([&] { return client_->closed && server_->closed; })) << step;
    EXPECT_STREQ(client_->error.detail, "too slow");
  }
}

// A relay between two TLS clients' worth of bytes: one byte at a time, or a cut in the middle.
class Relay {
 public:
  Relay(int left, int right) : left_(left), right_(right) {}
  ~Relay() {
    ::close(left_);
    ::close(right_);
  }
  // Moves at most `size` bytes each way.
  void move(size_t size) {
    move_one(left_, right_, size);
    move_one(right_, left_, size);
  }

 private:
  static void move_one(int from, int to, size_t size) {
    char room[4096];
    const ssize_t got = ::recv(from, room, std::min(size, sizeof room), MSG_DONTWAIT);
    if (got > 0) {
      EXPECT_EQ(::send(to, room, static_cast<size_t>(got), MSG_NOSIGNAL), got);
    }
    if (got == 0) ::shutdown(to, SHUT_WR);
  }
  int left_, right_;
};

TEST_P(TlsTransportTest, one_byte_at_a_time) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    reset();
    const auto [client_fd, left] = connected();
    const auto [right, server_fd] = connected();
    Relay relay(left, right);
    TlsServerSpec spec = server_spec();
    spec.common.version_max = version;
    server_->attach(must(TlsContext::make_server(std::move(spec))), server_fd);
    client_->attach(must(TlsContext::make_client(client_spec())), client_fd);
    server_->start();
    client_->start();
    client_->send("slow and steady");
    const auto steps_until = [&](const std::function<bool()>& done) {
      for (int step = 0; step < 50'000 && !done(); ++step) {
        relay.move(1);
        worker_->turn(Duration::zero());
      }
      return done();
    };
    ASSERT_TRUE(steps_until([&] { return server_->received == "slow and steady"; }));
    client_->transport->finish();
    ASSERT_TRUE(steps_until([&] { return server_->ended; }));
  }
}

}  // namespace
}  // namespace ringside::testing
