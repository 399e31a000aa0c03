#pragma once
// A DNS server for tests: one thread, UDP and TCP on a loopback port, a table of names.
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace ringside {

struct DnsTestName {
  std::vector<std::string> addresses = {};  // v4 and v6, as text
  uint32_t ttl_s = 60;
  uint8_t rcode = 0;          // 2: SERVFAIL, 3: NXDOMAIN
  bool silent = false;        // never answers
  bool truncate_udp = false;  // sets TC, so that the asker comes again over TCP
  std::string garbage = {};   // sent after the header in place of records
};

class DnsTestServer {
 public:
  DnsTestServer();
  ~DnsTestServer();
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  void set(const std::string& name, DnsTestName entry);
  uint32_t udp_questions() const { return udp_questions_; }
  uint32_t tcp_questions() const { return tcp_questions_; }

 private:
  enum class Via : uint8_t { udp, tcp };
  void serve();
  void serve_tcp(int connection);
  std::string reply_to(const std::string& question, Via via);  // empty: none

  int udp_ = -1, tcp_ = -1, stop_ = -1;
  uint16_t port_ = 0;
  std::mutex mutex_;
  std::map<std::string, DnsTestName> names_;
  std::atomic<uint32_t> udp_questions_{0}, tcp_questions_{0};
  std::thread thread_;
};

}  // namespace ringside
