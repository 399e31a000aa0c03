#include "control/yaml_reader.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "control/json_reader.h"

namespace ringside {
namespace {

// The tree as compact JSON-like text; plain scalars without quotes, so that a test sees the difference.
std::string dump(const ConfigNode& node) {
  std::string out;
  switch (node.kind) {
    case ConfigNode::Kind::scalar: return node.plain ? std::string(node.text) : "'" + std::string(node.text) + "'";
    case ConfigNode::Kind::sequence:
      for (const ConfigItem* item = node.first; item != nullptr; item = item->next) {
        out += (out.empty() ? "" : ",") + dump(*item->value);
      }
      return "[" + out + "]";
    case ConfigNode::Kind::mapping:
      for (const ConfigItem* item = node.first; item != nullptr; item = item->next) {
        out += (out.empty() ? "" : ",") + std::string(item->key->text) + ":" + dump(*item->value);
      }
      return "{" + out + "}";
  }
  return out;
}

class TreeTest : public testing::Test {
 protected:
  // The tree, or the errors.
  std::string yaml(std::string_view text) { return read(text, read_yaml); }
  std::string json(std::string_view text) {
    return read(text, [](ConfigDocument& document, ConfigErrorList& errors) { return read_json(document, errors); });
  }

  template <class Read>
  std::string read(std::string_view text, Read read_it) {
    document_ = std::make_unique<ConfigDocument>("f", std::string(text), 0);
    ConfigErrorList errors;
    errors.add_document(*document_);
    const bool good = read_it(*document_, errors);
    const auto list = errors.take_errors();
    EXPECT_EQ(good, document_->root() != nullptr);
    EXPECT_TRUE(good || !list.empty());
    return list.empty() ? dump(*document_->root()) : render_errors(list, ErrorStyle::lines);
  }
  const ConfigNode& root() const { return *document_->root(); }

  std::unique_ptr<ConfigDocument> document_;
};

using YamlReader = TreeTest;
using JsonReader = TreeTest;

TEST_F(YamlReader, KeepsTextAndStyle) {
  EXPECT_EQ(yaml("a: n\nb: 'n'\nc: 1.0\nd: 0x10\ne: ~\nf:\ng: !!str 5\nh: |\n  x\n  y\n"),
            "{a:n,b:'n',c:1.0,d:0x10,e:~,f:,g:'5',h:'x\ny\n'}");
  EXPECT_EQ(yaml("[a, {b: c}, \"d\\te\"]"), "[a,{b:c},'d\te']");
}

TEST_F(YamlReader, KnowsPlaces) {
  yaml("a: 1\nb:\n  - x\n  - { y: z }\n");
  const ConfigNode& list = *root().find("b")->value;
  EXPECT_EQ(list.line, 3u);
  EXPECT_EQ(list.first->value->column, 5u);
  const ConfigItem& y = *list.last->value->first;
  EXPECT_EQ(y.key->line, 4u);
  EXPECT_EQ(y.key->column, 7u);
  EXPECT_EQ(y.value->column, 10u);
}

TEST_F(YamlReader, CountsColumnsInCharacters) {
  yaml("\"äö\": {b: c}\n");
  EXPECT_EQ(root().first->value->first->key->column, 8u);
}

TEST_F(YamlReader, LineEndsAndByteOrderMarkDoNotMovePlaces) {
  EXPECT_EQ(yaml("\xef\xbb\xbf"
                 "a: b\r\nc: d\r\n"),
            "{a:b,c:d}");
  EXPECT_EQ(root().first->key->column, 1u);
  EXPECT_EQ(root().last->key->line, 2u);
  EXPECT_EQ(root().last->key->column, 1u);
  EXPECT_EQ(document_->line(1), "a: b");
  EXPECT_EQ(document_->line(2), "c: d");
  EXPECT_EQ(document_->line(4), "");
}

TEST_F(YamlReader, FollowsAliases) {
  EXPECT_EQ(yaml("a: &x [1, 2]\nb: *x\n"), "{a:[1,2],b:[1,2]}");
  EXPECT_EQ(yaml("a: &x 1\nb: &x 2\nc: *x\n"), "{a:1,b:2,c:2}");  // an anchor may be used again
  EXPECT_EQ(yaml("a: *x\nb: &x 1\n"), "f:1:4: alias *x has no anchor &x before it\n");
  EXPECT_EQ(yaml("a: &x [ *x ]\n"), "f:1:9: alias *x stands inside what &x names\n");
}

TEST_F(YamlReader, MergesMappings) {
  EXPECT_EQ(yaml("a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n"), "{a:{k:1,l:2},b:{l:3,k:1}}");
  EXPECT_EQ(yaml("a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y], m: 3}\n"),
            "{a:{k:1},b:{k:2,l:2},c:{m:3,k:1,l:2}}");
  EXPECT_EQ(yaml("a: &x {k: 1}\nb: &y {<<: *x, l: 2}\nc: {<<: *y}\n"), "{a:{k:1},b:{l:2,k:1},c:{l:2,k:1}}");
  EXPECT_EQ(yaml("a: {\"<<\": b}\n"), "{a:{<<:b}}") << "a quoted << is a key like any other";
}

TEST_F(YamlReader, RefusesDuplicateKeys) {
  EXPECT_EQ(yaml("a: 1\nb: 2\na: 3\n"), "f:3:1: key \"a\" is there twice, first on line 1\n");
  EXPECT_EQ(yaml("a: &x {k: 1}\nb: {<<: *x, <<: *x}\n"), "f:2:13: key \"<<\" is there twice, first on line 2\n");
  std::string many;
  for (int i = 0; i < 40; ++i) many += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(yaml(many + "k7: 1\n"), "f:41:1: key \"k7\" is there twice, first on line 8\n");
}

TEST_F(YamlReader, RefusesMoreThanOneDocument) {
  EXPECT_EQ(yaml("---\na: 1\n...\n"), "{a:1}");
  EXPECT_EQ(yaml("a: 1\n---\nb: 2\n"), "f:2:1: a second document begins here\n");
  EXPECT_EQ(yaml(""), "f:1:1: there is nothing in this document\n");
  EXPECT_EQ(yaml("null\n"), "f:1:1: there is nothing in this document\n");
}

TEST_F(JsonReader, ReadsWhatYamlReadersDoNot) {
  EXPECT_EQ(json("{\"a\":\t\"\\ud83d\\ude00\",\"b\":\"x\\/y\"}"), "{a:'😀',b:'x/y'}");
  EXPECT_EQ(json("{\n\t\"a\" : [ ] ,\n\t\"b\" : { }\n}\n"), "{a:[],b:{}}");
  const std::string key(3000, 'k');
  EXPECT_EQ(json("{\"" + key + "\"\n:1}"), "{" + key + ":1}");
  EXPECT_EQ(json("{\"a\":\"\\\"\\\\\\b\\f\\n\\r\\t\\u00e4\\u20ac\"}"), "{a:'\"\\\b\f\n\r\tä€'}");
}

TEST_F(JsonReader, Types) {
  EXPECT_EQ(json("[true, false, null, -1.5e+3, 0, \"0\", 10]"), "[true,false,null,-1.5e+3,0,'0',10]");
  EXPECT_EQ(json("{\"<<\": 1}"), "{<<:1}");
  EXPECT_EQ(json("\xef\xbb\xbf 1 "), "1");
}

TEST_F(JsonReader, NamesTheFault) {
  EXPECT_EQ(json("{\"a\": 01}"), "f:1:7: not valid JSON: this is not a number\n");
  EXPECT_EQ(json("{\"a\": 1.}"), "f:1:7: not valid JSON: this is not a number\n");
  EXPECT_EQ(json("{\"a\": tru}"), "f:1:7: not valid JSON: a value is due here (text needs double quotes)\n");
  EXPECT_EQ(json("{\"a\": \"\\x\"}"), "f:1:8: not valid JSON: there is no such escape\n");
  EXPECT_EQ(json("{\"a\": \"\\u12\"}"), "f:1:8: not valid JSON: \\u takes four hexadecimal digits\n");
  EXPECT_EQ(json("{\"a\": \"\\udc00\"}"),
            "f:1:8: not valid JSON: the second half of a surrogate pair without the first\n");
  EXPECT_EQ(json("{\"a\": \"\\u0000\"}"), "f:1:8: not valid JSON: \\u0000 is not allowed\n");
  EXPECT_EQ(json("{\"a\": \"b\n\"}"),
            "f:1:9: not valid JSON: a line end or control character inside a text (write \\n, \\t)\n");
  EXPECT_EQ(json("{\"a\": \"b"), "f:1:9: not valid JSON: the text is not closed with a double quote\n");
  EXPECT_EQ(json("{} {}"), "f:1:4: not valid JSON: nothing may stand behind the end of the JSON value\n");
  EXPECT_EQ(json("[1,]"), "f:1:4: not valid JSON: there is no value behind the last \",\"\n");
  EXPECT_EQ(json(""), "f:1:1: not valid JSON: it ends where a value is due\n");
  EXPECT_EQ(json("{\r\n\"ä\": x}"), "f:2:6: not valid JSON: a value is due here (text needs double quotes)\n");
  EXPECT_EQ(json("{\"a\":1,\n\"a\":2}"), "f:2:1: key \"a\" is there twice, first on line 1\n");
}

// --- Hostile input: an error in little time and memory, never a crash. -------------------------------------------------

TEST_F(YamlReader, SurvivesDepth) {
  EXPECT_EQ(yaml(std::string(100'000, '[')), "f:1:101: nested more than 100 levels deep\n");
  EXPECT_EQ(yaml(std::string(100'000, '{')).substr(0, 5), "f:1:2");  // a mapping as key
  std::string block;
  for (size_t i = 0; i < 2000; ++i) block += std::string(i, ' ') + "a:\n";
  EXPECT_NE(yaml(block).find("nested more than 100 levels deep"), std::string::npos);
  EXPECT_EQ(json(std::string(100'000, '[')), "f:1:101: not valid JSON: nested more than 100 levels deep\n");
}

TEST_F(YamlReader, SurvivesAliasBomb) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 0; j < 9; ++j) bomb += ", " + before;
    bomb += "]\n";
  }
  EXPECT_NE(yaml(bomb).find("aliases make this larger than 2000000 values"), std::string::npos);
}

TEST_F(YamlReader, SurvivesMergeBomb) {
  std::string bomb = "base: &base\n";
  for (int i = 0; i < 5000; ++i) bomb += "  k" + std::to_string(i) + ": 1\n";
  for (int i = 0; i < 5000; ++i) bomb += "m" + std::to_string(i) + ": {<<: *base}\n";
  const std::string said = yaml(bomb);
  EXPECT_TRUE(said.find("too large") != said.npos || said.find("larger than") != said.npos) << said.substr(0, 200);
}

TEST_F(YamlReader, SurvivesLongTexts) {
  EXPECT_EQ(yaml("a: " + std::string(1 << 20, 'x')).size(), (1u << 20) + 4);
  EXPECT_NE(yaml("? " + std::string(8000, 'k') + "\n: 1\n").find("this key is too long"), std::string::npos);
  EXPECT_NE(yaml(std::string(config_limits::source_bytes_max + 1, ' ')).find("is larger than 64 MiB"),
            std::string::npos);
}

TEST_F(YamlReader, RefusesBytesThatAreNoText) {
  EXPECT_EQ(yaml(std::string_view("a: b\0c\n", 7)), "f:1:5: a NUL byte is not allowed\n");
  EXPECT_EQ(yaml("a: \xff\n"), "f:1:4: byte 0xff is not valid UTF-8\n");
  EXPECT_EQ(yaml("ä: \xc3\n"), "f:1:4: byte 0xc3 is not valid UTF-8\n");
  EXPECT_EQ(yaml("a: \xed\xa0\x80\n"), "f:1:4: byte 0xed is not valid UTF-8\n") << "a surrogate";
  EXPECT_EQ(yaml("a: \xc0\xaf\n"), "f:1:4: byte 0xc0 is not valid UTF-8\n") << "longer than needed";
  EXPECT_EQ(yaml("a: \xf4\x90\x80\x80\n"), "f:1:4: byte 0xf4 is not valid UTF-8\n") << "beyond the last code point";
  EXPECT_EQ(yaml("a: \x1b[31m\n"), "f:1:4: character 0x1b is not allowed\n");
  EXPECT_EQ(json("\"\xff\""), "f:1:2: byte 0xff is not valid UTF-8\n");
}

}  // namespace
}  // namespace ringside
