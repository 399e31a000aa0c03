// The header of the PROXY protocol: what load balancers send, cut anywhere, and what nobody should send.
#include "proxy/listener/proxy_header.h"

#include <gtest/gtest.h>

#include <string>

namespace ringside {
namespace {

const std::string signature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string v4_body("\x01\x02\x03\x04\x05\x06\x07\x08\x03\xe8\x00\x50", 12);

std::string version2(int command, int family, const std::string& body) {
  std::string bytes = signature;
  for (const size_t byte : {static_cast<size_t>(command), static_cast<size_t>(family), body.size() >> 8, body.size() & 0xff})
    bytes += static_cast<char>(byte);
  return bytes + body;
}

// "done 1.2.3.4:1000 5.6.7.8:80 40", the last number being the size; "done - 16" without addresses.
std::string fate(const std::string& bytes) {
  ProxyHeader header;
  switch (read_proxy_header(bytes, header)) {
    case ProxyHeaderOutcome::more: return "more";
    case ProxyHeaderOutcome::absent: return "absent";
    case ProxyHeaderOutcome::broken: return "broken";
    case ProxyHeaderOutcome::done: break;
  }
  const std::string names = header.names_peer ? header.peer.text() + " " + header.local.text() : "-";
  return "done " + names + " " + std::to_string(header.size_bytes);
}

struct Case {
  std::string bytes, fate;
};

// Those of Envoy 1.40, but for those that say otherwise.
TEST(ProxyHeader, version_1) {
  const std::string good = "PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n";
  for (const Case& test : std::initializer_list<Case>{
           {good, "done 1.2.3.4:1000 5.6.7.8:80 36"},
           {good + "GET", "done 1.2.3.4:1000 5.6.7.8:80 36"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 01000 80\r\n", "done 1.2.3.4:1000 5.6.7.8:80 37"},
           {"PROXY TCP6 ::1 2001:db8::2 1 65535\r\n", "done [::1]:1 [2001:db8::2]:65535 36"},
           {"PROXY UNKNOWN\r\n", "done - 15"},
           {"PROXY UNKNOWN ffff::1 a b c\r\n", "done - 29"},
           {"PROXY TCP4  1.2.3.4 5.6.7.8 1000 80\r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 \r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 x\r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 65536 80\r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 -1 80\r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8  80\r\n", "broken"},
           {"PROXY TCP4 ::1 ::2 1 2\r\n", "broken"},
           {"PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n", "broken"},
           {"PROXY TCP6 [::1] ::2 1 2\r\n", "broken"},
           {"PROXY TCP4 1.2.3 5.6.7.8 1 2\r\n", "broken"},
           {"PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n", "broken"},
           {"PROXY UNKNOWNS\r\n", "broken"},
           {"PROXY \r\n", "broken"},
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n", "broken"},  // Envoy waits for more
           {"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\rx", "broken"},
           {"PROXY UNKNOWN " + std::string(91, 'a') + "\r\n", "done - 107"},
           {"PROXY UNKNOWN " + std::string(92, 'a') + "\r\n", "broken"},
           {"PROXY UNKNOWN " + std::string(93, 'a'), "broken"},
           {"GET / HTTP/1.1\r\n", "absent"},
           {"PROXYTCP4", "absent"},
           {"proxy TCP4", "absent"},
       })
    EXPECT_EQ(fate(test.bytes), test.fate) << test.bytes;
}

TEST(ProxyHeader, version_2) {
  const std::string v6_body = std::string(15, '\0') + "\x01" + std::string(15, '\0') + "\x02" + std::string("\x00\x01\xff\xff", 4);
  const std::string addition("\x04\x00\x02ok", 5);
  for (const Case& test : std::initializer_list<Case>{
           {version2(0x21, 0x11, v4_body), "done 1.2.3.4:1000 5.6.7.8:80 28"},
           {version2(0x21, 0x11, v4_body) + "GET", "done 1.2.3.4:1000 5.6.7.8:80 28"},
           {version2(0x21, 0x12, v4_body), "done 1.2.3.4:1000 5.6.7.8:80 28"},
           {version2(0x21, 0x21, v6_body), "done [::1]:1 [::2]:65535 52"},
           {version2(0x21, 0x11, v4_body + addition + addition), "done 1.2.3.4:1000 5.6.7.8:80 38"},
           {version2(0x20, 0x00, ""), "done - 16"},
           {version2(0x20, 0x11, v4_body), "done - 28"},
           {version2(0x21, 0x11, v4_body + "\x04\x00"), "broken"},
           {version2(0x21, 0x11, v4_body + std::string("\x04\x00\x03ok", 5)), "broken"},
           {version2(0x21, 0x11, v4_body.substr(1)), "broken"},
           {version2(0x21, 0x21, v4_body), "broken"},
           {version2(0x21, 0x00, "abcd"), "broken"},
           {version2(0x21, 0x31, std::string(216, 'a')), "broken"},
           {version2(0x21, 0x41, v4_body), "broken"},
           {version2(0x22, 0x11, v4_body), "broken"},
           {version2(0x11, 0x11, v4_body), "broken"},
           {version2(0x20, 0x00, std::string(16 * 1024 - 16, 'a')), "done - 16384"},
           {version2(0x20, 0x00, std::string(16 * 1024 - 15, 'a')), "broken"},
           {"\r\n\r\nGET", "absent"},
           {"\r\nGET", "absent"},
       })
    EXPECT_EQ(fate(test.bytes), test.fate) << testing::PrintToString(test.bytes.substr(0, 60));
}

// However a header is cut, nothing is decided before it is whole.
TEST(ProxyHeader, cut_at_each_byte) {
  for (const std::string& whole : {std::string("PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n"), std::string("PROXY UNKNOWN\r\n"),
                                   version2(0x21, 0x11, v4_body + std::string("\x04\x00\x02ok", 5)), version2(0x20, 0, "")}) {
    for (size_t size = 0; size < whole.size(); ++size) EXPECT_EQ(fate(whole.substr(0, size)), "more") << size;
    EXPECT_EQ(fate(whole).substr(0, 4), "done");
  }
}

}  // namespace
}  // namespace ringside
