#include "tests/tls/tls_fixture.h"

#include <sys/socket.h>

#include "core/epoll_ring.h"
#include "core/uring_ring.h"

namespace ringside::testing {

uint64_t fnv(uint64_t hash, std::string_view text) {
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * 1099511628211ULL;
  return hash;
}

std::string ring_name(const ::testing::TestParamInfo<const char*>& info) { return info.param; }

TlsContextPtr must(TlsContextResult result) {
  if (!result) ADD_FAILURE() << result.error().text();
  RS_CHECK(result.has_value());
  return *result;
}

void TlsEnd::attach(TlsContextPtr context, int fd, TlsConnectionOptions options) {
  options.user = this;
  transport = std::make_unique<TlsTransport>(worker_, std::move(context), TcpTransport::make(worker_, fd),
                                             std::move(options));
}

void TlsEnd::send_large(std::string_view text) {
  char* room = nullptr;
  Slice slice = make_heap_slice(text.size(), &room);
  text.copy(room, text.size());
  transport->send(std::move(slice));
}

void TlsEnd::on_bytes(Slice bytes) {
  EXPECT_TRUE(shaken);
  EXPECT_FALSE(ended || closed);
  received_bytes += bytes.size();
  largest = std::max(largest, bytes.size());
  hash = fnv(hash, bytes.text());
  if (keep) received += bytes.text();
  const size_t size = bytes.size();
  if (echoes) return transport->send(std::move(bytes));
  if (grants) transport->grant(size);
}

void TlsEnd::on_end() {
  EXPECT_FALSE(ended || closed);
  ended = true;
  if (echoes) transport->finish();
}

void TlsEnd::on_sent(size_t bytes) {
  EXPECT_FALSE(closed);
  sent_bytes += bytes;
  if (echoes) transport->grant(bytes);
}

void TlsEnd::on_closed(Error why) {
  EXPECT_FALSE(closed);
  closed = true;
  error = why;
}

void TlsEnd::on_handshake() {
  EXPECT_FALSE(shaken || closed);
  shaken = true;
  chain_pem = transport->peer_chain_pem();
}

void TlsFixture::SetUp() {
  std::string why;
  if (std::string_view(GetParam()) == "epoll")
    ring_ = std::make_unique<EpollRing>(pools_);
  else
    ring_ = make_uring_ring(pools_, &why);
  if (ring_ == nullptr) GTEST_SKIP() << "this kernel refuses io_uring: " << why;
  worker_ = std::make_unique<Worker>(0, *ring_, pools_);
  server_stats_ = registry_.cells(0).block(registry_.group<TlsStat>({.prefix = "server."}));
  client_stats_ = registry_.cells(0).block(registry_.group<TlsStat>({.prefix = "client."}));
  server_ = std::make_unique<TlsEnd>(*worker_);
  client_ = std::make_unique<TlsEnd>(*worker_);
}

void TlsFixture::TearDown() {
  if (ring_ == nullptr) return;
  close_both();
  server_.reset();
  client_.reset();
  worker_->output().reset();
  worker_->bulk_output().reset();
  worker_.reset();
  ring_.reset();
  EXPECT_EQ(pools_.small.used(), 0U);
  EXPECT_EQ(pools_.large.used(), 0U);
}

void TlsFixture::close_both() {
  for (TlsEnd* end : {server_.get(), client_.get()}) {
    if (end->transport == nullptr || end->closed) continue;
    end->transport->close({ErrorCode::cancelled, Origin::local, Retry::never, "test over"});
    EXPECT_TRUE(run_until([&] { return end->closed; }));
  }
}

void TlsFixture::reset() {
  close_both();
  server_ = std::make_unique<TlsEnd>(*worker_);
  client_ = std::make_unique<TlsEnd>(*worker_);
}

bool TlsFixture::run_until(const std::function<bool()>& condition, Duration limit) {
  const Instant end = ring_->now() + limit;
  while (!condition()) {
    if (ring_->now() >= end) return false;
    worker_->turn(milliseconds(5));
  }
  return true;
}

void TlsFixture::run_for(Duration time) {
  const Instant end = ring_->now() + time;
  while (ring_->now() < end) worker_->turn(end - ring_->now());
}

std::pair<int, int> TlsFixture::connected() {
  int error = 0;
  const int listener = *ring_->listen(*Address::from_ip("127.0.0.1", 0), {}, &error);
  const Address address = ring_->local_address(listener);
  struct Wait final : Op {
    Wait() : Op([](Op& op, Cqe cqe) { static_cast<Wait&>(op).result = cqe.result; }) {}
    int result = -1000;
  };
  Wait connect, accept;
  const int client = *ring_->socket(AF_INET);
  ring_->connect(connect, client, address);
  ring_->accept_multishot(accept, listener);
  EXPECT_TRUE(run_until([&] { return connect.result == 0 && accept.result >= 0; }));
  const int server = accept.result;
  ring_->cancel(accept);
  EXPECT_TRUE(run_until([&] { return !accept.in_flight(); }));
  ring_->close(listener);
  return {client, server};
}

void TlsFixture::shake(TlsContextPtr server, TlsContextPtr client, TlsConnectionOptions client_options) {
  const auto [client_fd, server_fd] = connected();
  TlsConnectionOptions server_options;
  server_options.stats = &server_stats_;
  client_options.stats = &client_stats_;
  server_->attach(std::move(server), server_fd, std::move(server_options));
  client_->attach(std::move(client), client_fd, std::move(client_options));
  server_->start();
  client_->start();
  EXPECT_TRUE(run_until([&] { return (server_->shaken || server_->closed) && (client_->shaken || client_->closed); }));
  // In TLS 1.3 a client learns only later that it was refused.
  if (!server_->closed && !client_->closed) return;
  EXPECT_TRUE(run_until([&] { return server_->closed && client_->closed; }));
}

TestCertificate& TlsFixture::authority() {
  static TestCertificate made = TestCertificate::authority("Test authority");
  return made;
}

TestCertificate& TlsFixture::leaf() {
  static TestCertificate made = authority().issue({});
  return made;
}

TlsServerSpec TlsFixture::server_spec() const {
  TlsServerSpec spec;
  spec.common.certificates.push_back(leaf().spec());
  return spec;
}

TlsClientSpec TlsFixture::client_spec() const {
  TlsClientSpec spec;
  spec.common.validation.trusted_ca_pem = authority().pem();
  spec.server_name = "server.test";
  return spec;
}

}  // namespace ringside::testing
