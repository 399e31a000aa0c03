#include "codecs/header_map.h"

#include <gtest/gtest.h>

#include <string>

namespace ringside {
namespace {

class HeaderMapTest : public testing::Test {
 protected:
  std::string text() const {
    std::string out;
    for (const HeaderField& field : map_) out.append(field.name()).append("=").append(field.value()).append(";");
    return out;
  }
  ArenaPool pool_;
  Arena arena_{pool_};
  HeaderMap map_{arena_};
};

TEST(HeaderId, EveryWellKnownNameInAnyCase) {
  for (size_t at = 1; at < static_cast<size_t>(HeaderId::count_); ++at) {
    const auto id = static_cast<HeaderId>(at);
    std::string name(header_name(id));
    EXPECT_EQ(header_id(name), id) << name;
    EXPECT_EQ(header_id_any_case(name), id) << name;
    for (char& c : name)
      if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 0x20);
    EXPECT_EQ(header_id_any_case(name), id) << name;
    EXPECT_EQ(header_id(name), HeaderId::other) << "upper case is no lower-case name";
  }
}

TEST(HeaderId, NeighboursAreOthers) {
  for (size_t at = 1; at < static_cast<size_t>(HeaderId::count_); ++at) {
    const std::string name(header_name(static_cast<HeaderId>(at)));
    EXPECT_EQ(header_id(name + "x"), HeaderId::other);
    for (size_t place = 0; place < name.size(); ++place) {
      std::string changed = name;
      changed[place] = '_';
      EXPECT_EQ(header_id(changed), HeaderId::other);
      EXPECT_EQ(header_id_any_case(changed), HeaderId::other);
    }
  }
  EXPECT_EQ(header_id(""), HeaderId::other);
  EXPECT_EQ(header_id("x"), HeaderId::other);
  EXPECT_EQ(header_id_any_case(""), HeaderId::other);
}

TEST_F(HeaderMapTest, KeepsOrderAndGrows) {
  std::string expected;
  for (int at = 0; at < 100; ++at) {
    map_.add(arena_.copy("n" + std::to_string(at)), "v");
    expected += "n" + std::to_string(at) + "=v;";
  }
  EXPECT_EQ(text(), expected);
  EXPECT_EQ(map_.size(), 100u);
}

TEST_F(HeaderMapTest, SetReplacesAllAtTheFirstPlace) {
  map_.add("via", "1");
  map_.add("x", "2");
  map_.add("via", "3");
  map_.add("x", "4");
  map_.set(HeaderId::via, "5");
  map_.set("x", "6");
  map_.set("y", "7");
  EXPECT_EQ(text(), "via=5;x=6;y=7;");
  map_.set("via", "8");
  EXPECT_EQ(text(), "via=8;x=6;y=7;");
}

TEST_F(HeaderMapTest, Append) {
  map_.append(HeaderId::x_forwarded_for, "a", ", ");
  map_.append(HeaderId::x_forwarded_for, "b", ", ");
  EXPECT_EQ(text(), "x-forwarded-for=a, b;");
}

TEST_F(HeaderMapTest, FindAndRemove) {
  map_.add("server", "1");
  map_.add("x", "2");
  map_.add("server", "3");
  EXPECT_EQ(map_.value(HeaderId::server), "1");
  EXPECT_EQ(map_.find("x")->value(), "2");
  EXPECT_EQ(map_.find("server")->value(), "1");
  EXPECT_EQ(map_.find("y"), nullptr);
  EXPECT_EQ(map_.find("via"), nullptr);
  EXPECT_EQ(map_.remove("server"), 2u);
  EXPECT_EQ(map_.remove("x"), 1u);
  EXPECT_EQ(map_.remove("x"), 0u);
  EXPECT_TRUE(map_.empty());
}

TEST_F(HeaderMapTest, WireBytes) {
  map_.add("a", "bc");
  EXPECT_EQ(map_.wire_bytes(), std::string_view("a: bc\r\n").size());
}

TEST(ArenaTest, PiecesDoNotOverlapAndAreAligned) {
  ArenaPool pool;
  Arena arena(pool);
  std::vector<std::pair<char*, size_t>> pieces;
  for (size_t size = 1; size < 9000; size = size * 3 / 2 + 1) {
    for (const size_t alignment : {size_t{1}, size_t{8}, size_t{16}, size_t{64}}) {
      auto* piece = static_cast<char*>(arena.allocate(size, alignment));
      EXPECT_EQ(reinterpret_cast<uintptr_t>(piece) % alignment, 0u);
      std::fill_n(piece, size, static_cast<char>(pieces.size()));
      pieces.emplace_back(piece, size);
    }
  }
  for (size_t at = 0; at < pieces.size(); ++at)
    for (size_t byte = 0; byte < pieces[at].second; ++byte) ASSERT_EQ(pieces[at].first[byte], static_cast<char>(at));
  EXPECT_GT(arena.allocated_bytes(), 0u);
  arena.reset();
  EXPECT_EQ(arena.allocated_bytes(), 0u);
}

TEST(ArenaTest, CopyAndConcat) {
  ArenaPool pool;
  Arena arena(pool);
  EXPECT_EQ(arena.copy("abc"), "abc");
  EXPECT_EQ(arena.copy(""), "");
  EXPECT_EQ(arena.concat("a", std::string_view(), "bc"), "abc");
}

TEST(ArenaTest, FirstChunksAreUsedAgain) {
  ArenaPool pool;
  void* first = nullptr;
  {
    Arena arena(pool);
    first = arena.allocate(10);
  }
  Arena arena(pool);
  EXPECT_EQ(arena.allocate(10), first);
}

}  // namespace
}  // namespace ringside
