// A TLS echo server and its client on a real ring, for tests against other people's programs and for measuring.
//
//   tls_peer serve|connect [--ring=epoll] [--port=N] [--chain=F --key=F]... [--ca=F] [--crl=F] [--require-client] [--max=1.2]
//                          [--min=1.0] [--alpn=a,b] [--sni=N] [--bytes=N] [--tickets=off] [--san=URI]
//
// One line on standard output per event. serve answers each line on standard input with "stats ..." and ends with its input.
#include <malloc.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iterator>
#include <map>

#include "core/block_pool.h"
#include "core/dialer.h"
#include "core/epoll_ring.h"
#include "core/listener.h"
#include "core/tcp_transport.h"
#include "core/uring_ring.h"
#include "core/worker.h"
#include "tls/tls_transport.h"

namespace ringside {
namespace {

using Arguments = std::multimap<std::string, std::string>;

std::string value_of(const Arguments& arguments, const std::string& name, const std::string& otherwise = {}) {
  const auto found = arguments.find(name);
  return found != arguments.end() ? found->second : otherwise;
}

std::string file_of(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TlsVersion version_of(const std::string& text) {
  if (text == "1.0") return TlsVersion::tls1_0;
  if (text == "1.1") return TlsVersion::tls1_1;
  return text == "1.2" ? TlsVersion::tls1_2 : TlsVersion::tls1_3;
}

void say(const std::string& line) {
  std::fputs((line + "\n").c_str(), stdout);
  std::fflush(stdout);
}

TlsCommonSpec common_spec(const Arguments& arguments) {
  TlsCommonSpec spec;
  spec.version_max = version_of(value_of(arguments, "max", "1.3"));
  spec.version_min = version_of(value_of(arguments, "min", "1.2"));
  const auto [chains, chains_end] = arguments.equal_range("chain");
  auto key = arguments.lower_bound("key");
  for (auto chain = chains; chain != chains_end; ++chain, ++key) {
    std::string text = file_of(key->second);
    TlsCertificateSpec& certificate = spec.certificates.emplace_back();
    certificate.chain_pem = file_of(chain->second);
    certificate.private_key_pem = SecretText::take(text);
  }
  spec.validation.trusted_ca_pem = file_of(value_of(arguments, "ca"));
  spec.validation.crl_pem = file_of(value_of(arguments, "crl"));
  if (const std::string san = value_of(arguments, "san"); !san.empty())
    spec.validation.subject_alt_names.push_back({SanType::any, TextMatch::exact, san, false});
  std::string names = value_of(arguments, "alpn");
  for (size_t at = 0; !names.empty(); names.erase(0, at == names.npos ? at : at + 1)) {
    at = names.find(',');
    spec.alpn.push_back(names.substr(0, at));
  }
  return spec;
}

std::string describe(const TlsTransport& transport) {
  const TlsFacts facts = transport.facts();
  const CertificateInfo* const peer = transport.peer_certificate();
  std::string line = "handshake " + std::string(facts.version) + " " + std::string(facts.cipher) + " curve=" + std::string(facts.curve) +
                     " alpn=" + std::string(facts.alpn) + " sni=" + std::string(facts.server_name) +
                     " resumed=" + (facts.resumed ? "yes" : "no") + " validated=" + (transport.peer_validated() ? "yes" : "no");
  if (peer) line += " subject=" + peer->subject;
  return line;
}

// Sends back what comes, on credit; ends when its client has.
class Echo final : public Retired, private TransportUser, private TlsUser {
 public:
  Echo(Worker& worker, const TlsContextPtr& context, int fd)
      : worker_(worker),
        transport_(worker, context, TcpTransport::make(worker, fd), {.user = this}) {}
  void start() { transport_.start(*this, 256 * 1024); }

 private:
  void on_bytes(Slice bytes) override {
    held_ += bytes.size();
    transport_.send(std::move(bytes));
  }
  void on_end() override {
    ended_ = true;
    transport_.finish();
    if (held_ == 0) transport_.close({});
  }
  void on_sent(size_t bytes) override {
    held_ -= bytes;
    transport_.grant(bytes);
    if (ended_ && held_ == 0) transport_.close({});
  }
  void on_closed(Error why) override {
    say("closed " + std::string(why.detail) + " | " + transport_.failure_text());
    worker_.retire(*this);
  }
  void on_handshake() override { say(describe(transport_)); }

  Worker& worker_;
  size_t held_ = 0;
  bool ended_ = false;
  TlsTransport transport_;
};

class Server final : private ListenerUser {
 public:
  Server(Worker& worker, TlsContextPtr context, int fd) : worker_(worker), context_(std::move(context)), listener_(worker, *this, fd) {
    listener_.start();
    worker.ring().poll_multishot(input_, STDIN_FILENO, POLLIN);
  }
  double longest_turn_us = 0;

 private:
  void on_accept(int fd) override { (new Echo(worker_, context_, fd))->start(); }  // retires itself
  void on_accept_paused(bool) override {}
  void on_listener_closed() override {}
  void on_input(Cqe) {
    char room[256];
    const ssize_t size = ::read(STDIN_FILENO, room, sizeof room);
    if (size <= 0) std::_Exit(0);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto micros = [](const timeval& time) { return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec); };
    const struct mallinfo2 heap = mallinfo2();
    char line[200];
    std::snprintf(line, sizeof line, "stats heap=%zu user_us=%.0f system_us=%.0f longest_turn_us=%.0f small=%u",
                  heap.uordblks + heap.hblkhd, micros(usage.ru_utime), micros(usage.ru_stime), std::exchange(longest_turn_us, 0),
                  worker_.pools().small.used());
    say(line);
  }
  Worker& worker_;
  TlsContextPtr context_;
  Listener listener_;
  OpFor<Server, &Server::on_input> input_{*this};
};

// Sends so many bytes, ends, and wants the same back.
class Client final : private DialerUser, private TransportUser, private TlsUser {
 public:
  Client(Worker& worker, TlsContextPtr context, size_t bytes) : worker_(worker), context_(std::move(context)), left_(bytes), wanted_(bytes), dialer_(worker, *this) {}
  void dial(const Address& address) { dialer_.dial(address, seconds(5)); }
  bool done() const { return done_; }
  bool good() const { return good_; }

 private:
  static char letter(size_t at) { return static_cast<char>('a' + (at * 7 + at / 26) % 26); }
  void on_connected(int fd) override {
    transport_ = std::make_unique<TlsTransport>(worker_, context_, TcpTransport::make(worker_, fd), TlsConnectionOptions{.user = this});
    transport_->start(*this, 256 * 1024);
    send_some();
  }
  void on_connect_failed(Error why) override {
    say(std::string("failed ") + why.detail);
    done_ = true;
  }
  void send_some() {
    while (left_ > 0 && transport_->unsent_bytes() < 512 * 1024) {
      char* room = nullptr;
      const size_t size = std::min<size_t>(left_, 100'000);
      Slice piece = make_heap_slice(size, &room);
      for (size_t at = 0; at < size; ++at) room[at] = letter(wanted_ - left_ + at);
      left_ -= size;
      transport_->send(std::move(piece));
    }
    if (left_ == 0) transport_->finish();
  }
  void on_bytes(Slice bytes) override {
    for (const char byte : bytes.text()) broken_ = broken_ || byte != letter(received_++);
    transport_->grant(bytes.size());
  }
  void on_sent(size_t) override { send_some(); }
  void on_end() override {
    good_ = received_ == wanted_ && !broken_;
    transport_->close({});
  }
  void on_handshake() override { say(describe(*transport_)); }
  void on_closed(Error why) override {
    say(good_ ? "echo " + std::to_string(received_) : "failed " + std::string(why.detail) + " | " + transport_->failure_text());
    done_ = true;
  }
  Worker& worker_;
  TlsContextPtr context_;
  size_t left_, wanted_, received_ = 0;
  bool done_ = false, good_ = false, broken_ = false;
  std::unique_ptr<TlsTransport> transport_;
  Dialer dialer_;
};

double thread_cpu_us() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
}

TlsContextPtr made_or_exit(const TlsContextResult& result) {
  if (result) return *result;
  say("refused " + result.error().text());
  std::exit(2);
}

int serve(Worker& worker, const Arguments& arguments) {
  TlsServerSpec spec;
  spec.common = common_spec(arguments);
  spec.require_client_certificate = arguments.contains("require-client");
  spec.stateless_resumption = value_of(arguments, "tickets") != "off";
  TlsContextPtr context = made_or_exit(TlsContext::make_server(std::move(spec)));
  int error = 0;
  const uint16_t port = static_cast<uint16_t>(std::atoi(value_of(arguments, "port", "0").c_str()));
  const Result<int> fd = worker.ring().listen(*Address::from_ip("127.0.0.1", port), {}, &error);
  if (!fd) return 1;
  say("listening " + std::to_string(worker.ring().local_address(*fd).port()));
  Server server(worker, std::move(context), *fd);
  while (true) {
    const double before = thread_cpu_us();
    worker.turn();
    server.longest_turn_us = std::max(server.longest_turn_us, thread_cpu_us() - before);
  }
}

int connect(Worker& worker, const Arguments& arguments) {
  TlsClientSpec spec;
  spec.common = common_spec(arguments);
  spec.server_name = value_of(arguments, "sni");
  const size_t bytes = std::strtoull(value_of(arguments, "bytes", "100000").c_str(), nullptr, 10);
  Client client(worker, made_or_exit(TlsContext::make_client(std::move(spec))), bytes);
  client.dial(*Address::from_ip("127.0.0.1", static_cast<uint16_t>(std::atoi(value_of(arguments, "port").c_str()))));
  while (!client.done()) worker.turn();
  return client.good() ? 0 : 1;
}

int run(int count, char** words) {
  Arguments arguments;
  for (int at = 2; at < count; ++at) {
    const std::string word = std::string(words[at]).substr(2);
    const size_t equals = word.find('=');
    arguments.emplace(word.substr(0, equals), equals == word.npos ? "" : word.substr(equals + 1));
  }
  BlockPools pools;
  std::string why;
  std::unique_ptr<Ring> ring;
  if (value_of(arguments, "ring") != "epoll") ring = make_uring_ring(pools, &why);
  if (ring == nullptr) ring = std::make_unique<EpollRing>(pools);
  Worker worker(0, *ring, pools);
  const int result = std::string_view(words[1]) == "serve" ? serve(worker, arguments) : connect(worker, arguments);
  worker.output().reset();
  worker.bulk_output().reset();
  return result;
}

}  // namespace
}  // namespace ringside

int main(int count, char** words) {
  if (count < 2) return 2;
  return ringside::run(count, words);
}
