#pragma once
// Two TLS transports on one worker, connected over real loopback sockets.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "core/block_pool.h"
#include "core/stats.h"
#include "core/tcp_transport.h"
#include "core/worker.h"
#include "tests/tls/test_certificates.h"
#include "tls/tls_transport.h"

namespace ringside::testing {

// The user of one side: keeps what it is told. Grants at once unless told otherwise.
class TlsEnd final : public TransportUser, public TlsUser {
 public:
  explicit TlsEnd(Worker& worker) : worker_(worker) {}
  ~TlsEnd() { EXPECT_TRUE(closed || transport == nullptr || transport->state() == TlsState::idle); }
  // Over the connected socket.
  void attach(TlsContextPtr context, int fd, TlsConnectionOptions options = {});
  void start(size_t credit_bytes = 64 * 1024) { transport->start(*this, credit_bytes); }
  void send(std::string_view text) { transport->send(worker_.output().copy(text)); }
  void send_large(std::string_view text);

  std::unique_ptr<TlsTransport> transport;
  std::string received;
  std::string chain_pem;  // what the peer showed
  size_t received_bytes = 0;
  size_t sent_bytes = 0;
  size_t largest = 0;
  uint64_t hash = 14695981039346656037ULL;  // FNV-1a of what was received
  Error error{};
  bool keep = true;    // in `received`
  bool grants = true;  // at once
  bool echoes = false;
  bool shaken = false;
  bool ended = false;
  bool closed = false;

 private:
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_closed(Error why) override;
  void on_handshake() override;
  Worker& worker_;
};

uint64_t fnv(uint64_t hash, std::string_view text);

class TlsFixture : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override;
  void TearDown() override;
  bool run_until(const std::function<bool()>& condition, Duration limit = seconds(10));
  void run_for(Duration time);
  // Connected sockets; `first` is the client's.
  std::pair<int, int> connected();
  // Both ends handshake; they are open or closed afterwards.
  void shake(TlsContextPtr server, TlsContextPtr client, TlsConnectionOptions client_options = {});
  // A new pair of ends, the old one closed.
  void reset();
  void close_both();
  bool open() const { return server_->shaken && client_->shaken && !server_->closed && !client_->closed; }

  // A server with a certificate for server.test, and a client that trusts its authority.
  TlsServerSpec server_spec() const;
  TlsClientSpec client_spec() const;
  int64_t server_count(TlsStat stat) { return server_stats_.local(stat); }
  int64_t client_count(TlsStat stat) { return client_stats_.local(stat); }

  static TestCertificate& authority();
  static TestCertificate& leaf();

  BlockPools pools_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<Worker> worker_;
  StatsRegistry registry_{1};
  StatBlock<TlsStat> server_stats_, client_stats_;
  std::unique_ptr<TlsEnd> server_, client_;
};

TlsContextPtr must(TlsContextResult result);

std::string ring_name(const ::testing::TestParamInfo<const char*>& info);

#define INSTANTIATE_OVER_REAL_RINGS(suite) \
  INSTANTIATE_TEST_SUITE_P(Rings, suite, ::testing::Values("io_uring", "epoll"), ring_name)

}  // namespace ringside::testing
