#pragma once
// Looks at the first bytes of a connection: is it TLS, and for whom. Sans-I/O, strict, bounded; nothing is consumed.
//
//   ClientHelloReader reader;
//   reader.read(bytes)   // everything received so far, again with more after `more`
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringside {

struct ClientHello {
  std::string server_name;          // as sent, in lower case; empty: none
  std::vector<std::string> alpn;
  uint16_t version = 0;             // of the hello: 0x0303 since TLS 1.2
  std::vector<uint16_t> versions;   // supported_versions; empty before TLS 1.3
  std::vector<uint16_t> cipher_suites;
  std::vector<uint16_t> extensions;  // types, in order
  std::vector<uint16_t> groups;
  std::vector<uint16_t> signature_algorithms;
  std::vector<uint8_t> point_formats;
};

enum class HelloOutcome : uint8_t {
  more,     // a beginning of one
  done,     // hello() is complete
  not_tls,  // no handshake record of TLS 1.0 ... 1.3 begins like this
  broken,   // begins like one, and is none
};

class ClientHelloReader {
 public:
  // A hello that is larger is `broken`.
  static constexpr size_t hello_bytes_max = 16 * 1024;
  static constexpr std::string_view too_large = "hello too large";  // the problem then
  // In more pieces as well: each read begins anew.
  static constexpr size_t records_max = 64;

  // `bytes` is the whole beginning of the connection, never less than in the call before. Once the outcome is not `more`, it
  // stays.
  HelloOutcome read(std::string_view bytes);
  HelloOutcome outcome() const { return outcome_; }
  const ClientHello& hello() const { return hello_; }
  // What is wrong, for `broken`; static text.
  std::string_view problem() const { return problem_; }

 private:
  HelloOutcome collect(std::string_view bytes);
  HelloOutcome broken(std::string_view problem);
  HelloOutcome parse(std::string_view message);

  ClientHello hello_;
  HelloOutcome outcome_ = HelloOutcome::more;
  std::string_view problem_;
};

// A value that clients send so that servers get used to unknown ones (RFC 8701).
constexpr bool is_grease(uint16_t value) { return (value & 0x0f0f) == 0x0a0a && (value >> 8) == (value & 0xff); }

}  // namespace ringside
