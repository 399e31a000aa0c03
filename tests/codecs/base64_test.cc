#include "codecs/base64.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside {
namespace {

std::string encoded(std::string_view bytes, size_t step) {
  Base64Encoder encoder;
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += step) {
    const std::string_view piece = bytes.substr(at, step);
    std::vector<char> out(Base64Encoder::text_bytes_max(piece.size()));
    text.append(out.data(), encoder.write(piece, out.data()));
  }
  char end[4];
  return text.append(end, encoder.finish(end));
}

// "!" in place of what is no base64.
std::string decoded(std::string_view text, size_t step) {
  Base64Decoder decoder;
  std::string bytes;
  for (size_t at = 0; at < text.size(); at += step) {
    const std::string_view piece = text.substr(at, step);
    std::vector<char> out(Base64Decoder::bytes_max(piece.size()));
    const size_t size = decoder.write(piece, out.data());
    if (size == Base64Decoder::failed) return "!";
    bytes.append(out.data(), size);
  }
  return decoder.between_groups() ? bytes : bytes + "...";
}

TEST(Base64, VectorsOfTheRfc) {
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : pairs)
    for (size_t step = 1; step < 8; ++step) {
      EXPECT_EQ(encoded(bytes, step), text) << step;
      EXPECT_EQ(decoded(text, step), bytes) << step;
    }
}

TEST(Base64, EveryByteComesBack) {
  std::string bytes;
  for (int value = 0; value < 1000; ++value) bytes += static_cast<char>(value * 7);
  for (size_t step : {1u, 2u, 3u, 4u, 5u, 64u, 999u}) EXPECT_EQ(decoded(encoded(bytes, step), step), bytes) << step;
}

TEST(Base64, PaddedTextsMayFollowEachOther) {
  EXPECT_EQ(decoded("Zg==Zm8=Zm9v", 1), "ffofoo");
  EXPECT_EQ(decoded("Zg==Zm8=Zm9v", 5), "ffofoo");
}

TEST(Base64, WhatIsNone) {
  for (const std::string_view text : {"Z===", "====", "Zg=a", "Zm9v\n", "Zm-v", "=", "Zm9v*"}) EXPECT_EQ(decoded(text, 3), "!") << text;
  EXPECT_EQ(decoded("Zm9vZ", 2), "foo...");
}

}  // namespace
}  // namespace ringside
