#include "codecs/utf8_check.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>

namespace ringside {
namespace {

// As a specification reads: decode, then look at what came out.
bool is_utf8(std::string_view text) {
  const auto at = [&](size_t index) { return static_cast<unsigned char>(text[index]); };
  for (size_t index = 0; index < text.size();) {
    const unsigned lead = at(index);
    const size_t size = lead < 0x80 ? 1 : (lead & 0xe0) == 0xc0 ? 2 : (lead & 0xf0) == 0xe0 ? 3 : (lead & 0xf8) == 0xf0 ? 4 : 0;
    if (size == 0 || index + size > text.size()) return false;
    unsigned point = size == 1 ? lead : lead & (0x7fu >> size);
    for (size_t next = 1; next < size; ++next) {
      if ((at(index + next) & 0xc0) != 0x80) return false;
      point = point << 6 | (at(index + next) & 0x3f);
    }
    constexpr unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    index += size;
  }
  return true;
}

std::string masked(std::string text, uint32_t mask) {
  for (size_t at = 0; at < text.size(); ++at) text[at] = static_cast<char>(text[at] ^ static_cast<char>(mask >> 8 * (at % 4)));
  return text;
}

bool check(const std::string& text, size_t piece, uint32_t mask) {
  const std::string bytes = masked(text, mask);
  Utf8Check utf8;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const uint32_t turned = std::rotr(mask, static_cast<int>(at % 4 * 8));
    if (!utf8.read(std::string_view(bytes).substr(at, piece), turned)) return false;
  }
  return utf8.whole();
}

void expect_agreement(const std::string& text) {
  const bool wanted = is_utf8(text);
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{16}, size_t{17}, SIZE_MAX / 2})
    for (const uint32_t mask : {0u, 0x80ff7f01u}) EXPECT_EQ(check(text, piece, mask), wanted) << testing::PrintToString(text) << piece;
}

TEST(Utf8Check, EveryPairAndTripleOfBoundaries) {
  constexpr unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
                                     0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
  for (const unsigned char a : edges)
    for (const unsigned char b : edges)
      for (const unsigned char c : edges) {
        const std::string three{static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        ASSERT_EQ(check(three, SIZE_MAX / 2, 0), is_utf8(three)) << testing::PrintToString(three);
        for (const int d : {0x41, 0x7f, 0x80, 0x8f, 0x90, 0xbf, 0xc2}) {
          const std::string four = three + static_cast<char>(d);
          ASSERT_EQ(check(four, SIZE_MAX / 2, 0), is_utf8(four)) << testing::PrintToString(four);
        }
      }
}

// The same inside of long texts, at every place in a block of sixteen bytes.
TEST(Utf8Check, EveryTripleOfBoundariesInALongText) {
  constexpr unsigned char edges[] = {0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0,
                                     0xe1, 0xec, 0xed, 0xee, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff};
  const std::string wide = "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4";
  for (const unsigned char a : edges)
    for (const unsigned char b : edges)
      for (const unsigned char c : edges)
        for (const int d : {0x41, 0x80, 0xbf, 0xc2}) {
          const std::string four{static_cast<char>(a), static_cast<char>(b), static_cast<char>(c), static_cast<char>(d)};
          const bool wanted = is_utf8(four);
          const bool open = is_utf8(four + "\xa4");  // its last byte is a lead
          for (const size_t before : {size_t{0}, size_t{10}, size_t{12}, size_t{13}, size_t{14}, size_t{15}}) {
            const std::string text = wide + std::string(before % 2, 'a') + wide.substr(0, before / 2 * 2) + four;
            ASSERT_EQ(check(text + wide + wide, SIZE_MAX / 2, 0x80ff7f01u), wanted) << testing::PrintToString(four) << before;
            ASSERT_EQ(check(text, SIZE_MAX / 2, 0), wanted) << testing::PrintToString(four) << before;
            ASSERT_EQ(check(text + "\xa4" + wide, SIZE_MAX / 2, 0), open) << testing::PrintToString(four) << before;
          }
        }
}

TEST(Utf8Check, LongTextsWithSomethingInThem) {
  std::mt19937 random(7);
  constexpr std::string_view pieces[] = {"a", "ascii of some length, sixteen and more", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x92\xa9",
                                         "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "\x7f", "\xc2\x80"};
  for (int round = 0; round < 300; ++round) {
    std::string text;
    while (text.size() < 200) text += pieces[random() % std::size(pieces)];
    ASSERT_TRUE(is_utf8(text));
    expect_agreement(text);
    text[random() % text.size()] = static_cast<char>(random());
    expect_agreement(text);
  }
}

TEST(Utf8Check, ACutCharacterIsNotWhole) {
  Utf8Check utf8;
  EXPECT_TRUE(utf8.whole());
  EXPECT_TRUE(utf8.read("abc\xe2\x82"));
  EXPECT_FALSE(utf8.whole());
  EXPECT_TRUE(utf8.read("\xac"));
  EXPECT_TRUE(utf8.whole());
  EXPECT_FALSE(utf8.read("\xac"));
  utf8.restart();
  EXPECT_TRUE(utf8.read("fine"));
}

}  // namespace
}  // namespace ringside
