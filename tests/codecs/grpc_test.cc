#include "codecs/grpc.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside {
namespace {

std::string message(size_t bytes) {
  std::string frame(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(bytes >> shift);
  return frame + std::string(bytes, 'x');
}

TEST(Grpc, CountsMessagesHoweverTheyAreCut) {
  const std::string body = message(0) + message(1) + message(300) + message(0) + message(70000) + message(5);
  for (size_t step = 1; step < body.size(); step = step < 20 ? step + 1 : step * 3) {
    GrpcFrameReader reader;
    uint32_t count = 0;
    for (size_t at = 0; at < body.size(); at += step) count += reader.read(std::string_view(body).substr(at, step));
    EXPECT_EQ(count, 6u) << step;
    EXPECT_TRUE(reader.between_messages());
  }
}

TEST(Grpc, AMessageCountsWhenItBegins) {
  GrpcFrameReader reader;
  EXPECT_EQ(reader.read(message(10).substr(0, 1)), 1u);
  EXPECT_EQ(reader.read(message(10).substr(1)), 0u);
  EXPECT_TRUE(reader.between_messages());
  EXPECT_EQ(reader.read(message(10).substr(0, 14)), 1u);
  EXPECT_FALSE(reader.between_messages());
}

TEST(Grpc, PartsEndWhereMessagesEnd) {
  GrpcFrameReader reader;
  const std::string body = message(3) + message(0) + message(9);
  std::vector<size_t> parts;
  for (std::string_view rest = std::string_view(body).substr(0, 20); !rest.empty(); rest.remove_prefix(parts.back()))
    parts.push_back(reader.read_message_part(rest));
  EXPECT_EQ(parts, (std::vector<size_t>{8, 5, 7}));
  EXPECT_EQ(reader.read_message_part(std::string_view(body).substr(20)), 7u);
  EXPECT_TRUE(reader.between_messages());
}

}  // namespace
}  // namespace ringside
