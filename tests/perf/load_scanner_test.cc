#include "perf/load_scanner.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ringside::perf {
namespace {

const Pattern pattern;

std::string answer(size_t body_bytes) {
  return fmt::format("HTTP/1.1 200 OK\r\ndate: x\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n{}", body_bytes,
                     pattern.at(0, body_bytes));
}

std::string chunked(std::initializer_list<size_t> sizes, std::string_view trailer = "") {
  std::string text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
  size_t at = 0;
  for (const size_t size : sizes) {
    text += fmt::format("{:X};x=y\r\n{}\r\n", size, pattern.at(at, size));
    at += size;
  }
  return text + "0\r\n" + std::string(trailer) + "\r\n";
}

// Feeds pieces of `step` bytes; what is left over stays.
size_t feed_in_steps(HttpScanner& scanner, std::string_view text, size_t step) {
  size_t used = 0;
  while (used < text.size() && scanner.state() != ScanState::done && scanner.state() != ScanState::failed) {
    const std::string piece(text.substr(used, step));  // a copy, so that a view that is kept too long shows under ASan
    used += scanner.feed(piece);
  }
  return used;
}

TEST(HttpScanner, AnswerAtEverySplit) {
  const std::string text = answer(300);
  for (size_t step = 1; step <= text.size(); ++step) {
    HttpScanner scanner(pattern);
    ASSERT_EQ(feed_in_steps(scanner, text + "HTTP", step), text.size());
    ASSERT_EQ(scanner.state(), ScanState::done);
    EXPECT_EQ(scanner.head().status, 200);
    EXPECT_EQ(scanner.body_bytes(), 300U);
    EXPECT_TRUE(scanner.body_matches());
    EXPECT_FALSE(scanner.head().close);
  }
}

TEST(HttpScanner, ChunkedAtEverySplit) {
  const std::string text = chunked({1, 17, 300}, "a-trailer: b\r\n");
  for (size_t step = 1; step <= text.size(); ++step) {
    HttpScanner scanner(pattern);
    ASSERT_EQ(feed_in_steps(scanner, text, step), text.size());
    ASSERT_EQ(scanner.state(), ScanState::done);
    EXPECT_EQ(scanner.body_bytes(), 318U);
    EXPECT_TRUE(scanner.body_matches());
  }
}

TEST(HttpScanner, ManyMessagesOnOneConnection) {
  const std::string text = answer(10) + answer(0) + chunked({5});
  HttpScanner scanner(pattern);
  std::string_view rest = text;
  int messages = 0;
  while (!rest.empty()) {
    EXPECT_TRUE(scanner.fresh());
    rest.remove_prefix(scanner.feed(rest));
    ASSERT_EQ(scanner.state(), ScanState::done);
    scanner.reset();
    ++messages;
  }
  EXPECT_EQ(messages, 3);
}

TEST(HttpScanner, RequestSaysWhatToAnswer) {
  HttpScanner scanner(pattern);
  scanner.feed("GET /a/b/4096?x=/7 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  ASSERT_EQ(scanner.state(), ScanState::done);
  EXPECT_EQ(scanner.head().answer_bytes, 4096U);
  EXPECT_FALSE(scanner.head().answer_head);
  EXPECT_TRUE(scanner.head().close);
  scanner.reset();
  const std::string request = "GET /a/head HTTP/1.1\r\nHost: h\r\nX-Seen: 1\r\n\r\n";
  feed_in_steps(scanner, request, 7);
  ASSERT_EQ(scanner.state(), ScanState::done);
  EXPECT_TRUE(scanner.head().answer_head);
  EXPECT_EQ(scanner.head_text(), request);
}

TEST(HttpScanner, WrongBytesAreSeen) {
  std::string text = answer(1000);
  text[text.size() - 3] = '!';
  HttpScanner scanner(pattern);
  scanner.feed(text);
  EXPECT_EQ(scanner.state(), ScanState::done);
  EXPECT_FALSE(scanner.body_matches());
}

TEST(HttpScanner, OddMessagesFail) {
  for (const std::string text :
       {"HTTP/1.1200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "what\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\n", "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n"}) {
    HttpScanner scanner(pattern);
    scanner.feed(text);
    EXPECT_EQ(scanner.state(), ScanState::failed) << text;
  }
  HttpScanner scanner(pattern);
  scanner.feed("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcdeX\r\n");
  EXPECT_EQ(scanner.state(), ScanState::failed);
}

TEST(Pattern, DisplacedBytesDoNotMatch) {
  EXPECT_TRUE(pattern.matches(0, pattern.at(0, 5000)));
  EXPECT_TRUE(pattern.matches(Pattern::period_bytes * 3 + 5, pattern.at(5, Pattern::period_bytes)));
  for (const size_t shift : {1UL, 4096UL, 65536UL, 262144UL, 1048576UL})
    EXPECT_FALSE(pattern.matches(shift, pattern.at(0, 100))) << shift;
  EXPECT_TRUE(pattern.matches(7, ""));
}

}  // namespace
}  // namespace ringside::perf
