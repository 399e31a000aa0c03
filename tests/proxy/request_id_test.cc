#include "proxy/request_id.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

namespace ringside {
namespace {

TEST(RequestIdTest, IsAUuidOfVersionFour) {
  char out[request_id_bytes];
  write_request_id({0, 0}, out);
  EXPECT_EQ(std::string_view(out, sizeof out), "00000000-0000-4000-8000-000000000000");
  write_request_id({~uint64_t{0}, ~uint64_t{0}}, out);
  EXPECT_EQ(std::string_view(out, sizeof out), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  write_request_id({0x0123456789abcdef, 0xfedcba9876543210}, out);
  EXPECT_EQ(std::string_view(out, sizeof out), "01234567-89ab-4def-bedc-ba9876543210");
}

TEST(RequestIdTest, EqualsTheSlowWay) {
  std::mt19937_64 random(1);
  ArenaPool pool;
  Arena arena(pool);
  for (int i = 0; i < 10'000; ++i) {
    const RandomBits bits{random(), random()};
    const uint64_t high = (bits.high & ~uint64_t{0xf000}) | 0x4000;
    const uint64_t low = (bits.low & 0x3fffffffffffffff) | 0x8000000000000000;
    EXPECT_EQ(make_request_id(bits, arena),
              fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, high >> 16 & 0xffff, high & 0xffff,
                          low >> 48, low & 0xffffffffffff));
    arena.reset();
  }
}

}  // namespace
}  // namespace ringside
