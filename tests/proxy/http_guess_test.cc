// What the first bytes say of HTTP, cut anywhere.
#include "proxy/listener/http_guess.h"

#include <gtest/gtest.h>

#include <string>

namespace ringside {
namespace {

TEST(HttpGuess, first_lines) {
  const std::pair<std::string, HttpGuess> cases[] = {
      {"GET / HTTP/1.1\r\n", HttpGuess::http11},
      {"GET / HTTP/1.1\n", HttpGuess::http11},
      {"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", HttpGuess::http11},
      {"CONNECT a:1 HTTP/1.1\r\n", HttpGuess::http11},
      {"M-SEARCH http://a/b HTTP/1.1\r\n", HttpGuess::http11},
      {"GET / HTTP/1.0\r\n", HttpGuess::http10},
      {"GET / HTTP/0.9\r\n", HttpGuess::http10},
      {"GET /\r\n", HttpGuess::none},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpGuess::http2},
      {"PRI * HTTP/2.0\r\n\r\nSX", HttpGuess::none},
      {"GET / HTTP/3.0\r\n", HttpGuess::none},
      {"GET / HTTQ/1.1\r\n", HttpGuess::none},
      {"GET / HTTP/a.1\r\n", HttpGuess::none},
      {"GET  / HTTP/1.1\r\n", HttpGuess::http11},  // the codec refuses it
      {"GET / HTTP/1.1 \r\n", HttpGuess::none},
      {"GET\r\n", HttpGuess::none},
      {"GET \r\n", HttpGuess::none},
      {"\r\nGET / HTTP/1.1\r\n", HttpGuess::none},
      {" GET / HTTP/1.1\r\n", HttpGuess::none},
      {"get / HTTP/1.1\r\n", HttpGuess::http11},
      {"hello", HttpGuess::more},
      {"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", HttpGuess::none},
      {"*1\r\n$4\r\nPING\r\n", HttpGuess::none},
      {std::string("\x16\x03\x01", 3), HttpGuess::none},
      {std::string("GET /\0", 6), HttpGuess::none},
      {std::string("\x3a\0\0\0\1\0\0\0", 8), HttpGuess::none},
      {std::string(33, 'G'), HttpGuess::none},
      {"GET /" + std::string(20000, 'a'), HttpGuess::http11},
      {"GET /" + std::string(10000, 'a'), HttpGuess::more},
      {"", HttpGuess::more},
  };
  for (const auto& [bytes, guess] : cases) EXPECT_EQ(guess_http(bytes), guess) << bytes.substr(0, 40);
}

// What is decided early is decided for good.
TEST(HttpGuess, cut_at_each_byte) {
  for (const std::string whole : {"GET /x HTTP/1.1\r\n", "POST /x HTTP/1.0\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello world\r\n", "PUT / HTTQ\r\n"}) {
    HttpGuess guess = HttpGuess::more;
    for (size_t size = 0; size <= whole.size(); ++size) {
      const HttpGuess next = guess_http(whole.substr(0, size));
      if (guess != HttpGuess::more) {
        EXPECT_EQ(next, guess) << whole << size;
      }
      guess = next;
    }
    EXPECT_NE(guess, HttpGuess::more) << whole;
  }
}

}  // namespace
}  // namespace ringside
