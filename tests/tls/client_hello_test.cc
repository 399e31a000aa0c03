// The peek at a ClientHello: real ones, cut anywhere, and those that nobody should send.
#include "tls/client_hello.h"

#include <gtest/gtest.h>

#include "tls/client_fingerprint.h"
#include "tls/kernel_tls.h"

namespace ringside {
namespace {

std::string number(size_t value, size_t size) {
  std::string bytes;
  for (size_t at = size; at > 0; --at) bytes += static_cast<char>(value >> (8 * (at - 1)));
  return bytes;
}
std::string vector(const std::string& body, size_t size) { return number(body.size(), size) + body; }
std::string extension(size_t type, const std::string& body) { return number(type, 2) + vector(body, 2); }
std::string server_name(const std::string& name) { return extension(0, vector('\0' + vector(name, 2), 2)); }
std::string alpn(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += vector(name, 1);
  return extension(16, vector(list, 2));
}

std::string message(const std::string& extensions, const std::string& suites = number(0x1301, 2) + number(0xc02b, 2)) {
  const std::string body = number(0x0303, 2) + std::string(32, 'r') + vector(std::string(32, 's'), 1) + vector(suites, 2) +
                           vector(std::string(1, '\0'), 1) + vector(extensions, 2);
  return '\1' + vector(body, 3);
}
std::string record(const std::string& payload) { return "\x16\x03\x01" + vector(payload, 2); }

HelloOutcome outcome_of(const std::string& bytes) { return ClientHelloReader().read(bytes); }
std::string_view problem_of(const std::string& bytes) {
  static std::string_view problem;
  ClientHelloReader reader;
  EXPECT_EQ(reader.read(bytes), HelloOutcome::broken);
  return problem = reader.problem();
}

// What Chrome, OpenSSL and others send looks like this; the fingerprints were computed by hand from JA3's and JA4's definitions.
const std::string usual = message(server_name("Server.TEST") + alpn({"h2", "http/1.1"}) +
                                  extension(43, vector(number(0x0a0a, 2) + number(0x0304, 2) + number(0x0303, 2), 1)) +
                                  extension(10, vector(number(0x001d, 2) + number(0x0017, 2), 2)) +
                                  extension(11, vector(std::string(1, '\0'), 1)) +
                                  extension(13, vector(number(0x0403, 2) + number(0x0804, 2), 2)) + extension(0x1a1a, ""));

TEST(ClientHello, is_read) {
  ClientHelloReader reader;
  ASSERT_EQ(reader.read(record(usual)), HelloOutcome::done);
  EXPECT_EQ(reader.hello().server_name, "server.test");
  EXPECT_EQ(reader.hello().alpn, (std::vector<std::string>{"h2", "http/1.1"}));
  EXPECT_EQ(reader.hello().versions, (std::vector<uint16_t>{0x0a0a, 0x0304, 0x0303}));
  EXPECT_EQ(reader.hello().groups, (std::vector<uint16_t>{0x001d, 0x0017}));
  EXPECT_EQ(reader.hello().cipher_suites, (std::vector<uint16_t>{0x1301, 0xc02b}));
  EXPECT_EQ(reader.hello().extensions, (std::vector<uint16_t>{0, 16, 43, 10, 11, 13, 0x1a1a}));
}

TEST(ClientHello, fingerprints) {
  ClientHelloReader reader;
  ASSERT_EQ(reader.read(record(usual)), HelloOutcome::done);
  // md5("771,4865-49195,0-16-43-10-11-13,29-23,0")
  EXPECT_EQ(ja3_fingerprint(reader.hello()), "fc35926b3f12604775d8c9d0fefbc7bb");
  // sha256("1301,c02b") and sha256("000a,000b,000d,002b_0403,0804")
  EXPECT_EQ(ja4_fingerprint(reader.hello()), "t13d0206h2_777cda164f4b_fb71836bce29");
}

TEST(ClientHello, without_extensions) {
  ClientHelloReader reader;
  const std::string body = number(0x0301, 2) + std::string(32, 'r') + vector("", 1) + vector(number(0x002f, 2), 2) + vector(std::string(1, '\0'), 1);
  ASSERT_EQ(reader.read(record('\1' + vector(body, 3))), HelloOutcome::done);
  EXPECT_EQ(reader.hello().server_name, "");
  EXPECT_EQ(reader.hello().version, 0x0301);
  EXPECT_TRUE(ja4_fingerprint(reader.hello()).starts_with("t10i010000_"));
}

TEST(ClientHello, every_cut_gives_the_same) {
  std::string cut_in_records;
  for (size_t at = 0; at < usual.size(); at += 7) cut_in_records += record(usual.substr(at, 7));
  for (const std::string& bytes : {record(usual), cut_in_records}) {
    for (size_t first = 0; first < bytes.size(); ++first) {
      ClientHelloReader reader;
      ASSERT_EQ(reader.read(std::string_view(bytes).substr(0, first)), HelloOutcome::more) << first;
      ASSERT_EQ(reader.read(bytes), HelloOutcome::done) << first;
      ASSERT_EQ(reader.hello().server_name, "server.test");
      ASSERT_EQ(reader.hello().extensions.size(), 7U);
    }
  }
}

TEST(ClientHello, what_is_not_tls) {
  for (const char* text : {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0", "SSH-2.0-x", "\x80\x2e\x01\x03\x01"})
    EXPECT_EQ(outcome_of(text), HelloOutcome::not_tls) << text;
  EXPECT_EQ(outcome_of(std::string("\x16\x02\x00", 3)), HelloOutcome::not_tls);
  EXPECT_EQ(outcome_of(std::string("\x16\x03\x05", 3)), HelloOutcome::not_tls);
  EXPECT_EQ(outcome_of(std::string("\x16\x03\x01\x00\x05\x02", 6)), HelloOutcome::not_tls);  // a ServerHello
  EXPECT_EQ(outcome_of(""), HelloOutcome::more);
  EXPECT_EQ(outcome_of("\x16"), HelloOutcome::more);
}

TEST(ClientHello, what_is_broken) {
  EXPECT_EQ(problem_of(record(message(server_name("a") + server_name("b")))), "an extension twice");
  EXPECT_EQ(problem_of(record(message(server_name("")))), "server_name");
  EXPECT_EQ(problem_of(record(message(server_name("a\nb")))), "server_name");
  EXPECT_EQ(problem_of(record(message(server_name(std::string("a\0b", 3))))), "server_name");
  EXPECT_EQ(problem_of(record(message(server_name(std::string(256, 'a'))))), "server_name");
  EXPECT_EQ(problem_of(record(message(extension(0, vector('\1' + vector("a", 2), 2))))), "server_name");
  EXPECT_EQ(problem_of(record(message(alpn({})))), "application_layer_protocol_negotiation");
  EXPECT_EQ(problem_of(record(message(alpn({"h2", ""})))), "application_layer_protocol_negotiation");
  EXPECT_EQ(problem_of(record(message(extension(43, vector("abc", 1))))), "supported_versions");
  EXPECT_EQ(problem_of(record(message(extension(10, "")))), "supported_groups");
  EXPECT_EQ(problem_of(record(message("abc"))), "extensions");
  EXPECT_EQ(problem_of(record(message("", "abc"))), "cipher_suites");
  EXPECT_EQ(problem_of(record(message("", ""))), "cipher_suites");
  EXPECT_EQ(problem_of(record(usual + "x")), "bytes behind the hello");
  EXPECT_EQ(problem_of("\x16\x03\x01" + number(16385, 2)), "record length");
  EXPECT_EQ(problem_of("\x16\x03\x01" + number(0, 2)), "record length");
  EXPECT_EQ(problem_of(record(usual.substr(0, 10)) + "\x17\x03\x03" + number(5, 2)), "record");
  EXPECT_EQ(problem_of("\x16\x03\x01" + number(4, 2) + "\x01" + number(100'000, 3)), "hello too large");
}

// What a reader keeps and does for a hello in pieces is bounded.
TEST(ClientHello, is_bounded) {
  EXPECT_EQ(outcome_of(record(message(extension(0x1234, std::string(16'000, 'x'))))), HelloOutcome::done);
  std::string bytes;
  for (const char byte : usual) bytes += record(std::string(1, byte));
  EXPECT_EQ(problem_of(bytes), "too many records");
  const std::string big = message(extension(0x1234, std::string(30'000, 'x')));
  EXPECT_EQ(problem_of(record(big.substr(0, 16'384))), "hello too large");
}

TEST(KernelTls, is_a_plain_answer) {
  const bool there = kernel_has_tls();
  EXPECT_EQ(there, kernel_has_tls());
}

}  // namespace
}  // namespace ringside
