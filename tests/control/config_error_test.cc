#include "control/config_error.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "control/config_tree.h"
#include "control/did_you_mean.h"

namespace ringside {
namespace {

// Without the colours.
std::string on_terminal(const ConfigDocument& document, uint32_t line, uint32_t column, uint32_t width = 1) {
  ConfigError error;
  error.file = document.name();
  error.line = line;
  error.column = column;
  error.width = width;
  error.what = "wrong";
  error.source_line = document.line(line);
  std::string out, text = render_errors({error}, ErrorStyle::terminal, "warning");
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\x1b')
      i = text.find('m', i);
    else
      out += text[i];
  }
  return out;
}

TEST(ConfigError, PutsTheCaretBelowThePlace) {
  const ConfigDocument document("f", "a: 1\n  bcd: 2\n", 0);
  EXPECT_EQ(on_terminal(document, 2, 3, 3), "f:2:3: warning: wrong\n     2 |   bcd: 2\n       |   ^^^\n");
}

TEST(ConfigError, CaretStandsRightBehindTabsAndWideBytes) {
  const ConfigDocument document("f", "\tä: x\n", 0);
  EXPECT_EQ(on_terminal(document, 1, 5), "f:1:5: warning: wrong\n     1 | \tä: x\n       | \t   ^\n");
}

TEST(ConfigError, CutsLongLines) {
  const ConfigDocument document("f", std::string(300, 'a') + "X" + std::string(300, 'b') + "\n", 0);
  const std::string text = on_terminal(document, 1, 301);
  EXPECT_NE(text.find("..." + std::string(40, 'a') + "X" + std::string(59, 'b') + "...\n"), std::string::npos) << text;
  EXPECT_NE(text.find("| " + std::string(43, ' ') + "^\n"), std::string::npos) << text;
}

TEST(ConfigError, CaretStaysInTheLine) {
  const ConfigDocument document("f", "ab\n", 0);
  EXPECT_EQ(on_terminal(document, 1, 3, 50), "f:1:3: warning: wrong\n     1 | ab\n       |   ^\n");
  EXPECT_EQ(on_terminal(document, 7, 3), "f:7:3: warning: wrong\n");
}

TEST(ConfigError, FilesDoNotControlTheTerminal) {
  const ConfigDocument document("f", "a: \x1b[2J\n", 0);
  EXPECT_EQ(on_terminal(document, 1, 1), "f:1:1: warning: wrong\n     1 | a: ?[2J\n       | ^\n");
}

TEST(ConfigError, EndsWithTheCountAndWhatToDo) {
  const ConfigError error;
  EXPECT_TRUE(render_errors({error}, ErrorStyle::terminal)
                  .ends_with("\n1 error; --mode validate checks a configuration without starting\n"));
  EXPECT_TRUE(render_errors({error, error}, ErrorStyle::terminal).find("\n2 errors;") != std::string::npos);
  EXPECT_EQ(render_errors({}, ErrorStyle::terminal), "");
}

TEST(ConfigErrorList, SortsAndListsOnce) {
  ConfigDocument document("f", "a\nb\nc\n", 0);
  ConfigErrorList list;
  list.add_document(document);
  ConfigNode* first = document.make_node(ConfigNode::Kind::scalar, 1, 1);
  ConfigNode* third = document.make_node(ConfigNode::Kind::scalar, 3, 1);
  list.error({.at = third, .path = "x[0].y", .what = "bad", .help = {}});
  list.error({.at = first, .path = "z", .what = "bad", .help = {}});
  list.error({.at = third, .path = "x[1].y", .what = "bad", .help = {}});
  list.error({.at = third, .path = "x[1].q", .what = "bad", .help = {}});
  EXPECT_EQ(render_errors(list.take_errors(), ErrorStyle::lines),
            "f:1:1: z: bad\nf:3:1: x[0].y: bad\nf:3:1: x[1].q: bad\n");
  EXPECT_TRUE(list.take_errors().empty());
}

TEST(ConfigErrorList, EndsSomewhere) {
  ConfigDocument document("f", "", 0);
  ConfigErrorList list;
  list.add_document(document);
  for (uint32_t i = 1; i <= 1000; ++i) {
    list.error({.at = document.make_node(ConfigNode::Kind::scalar, i, 1), .path = {}, .what = "bad", .help = {}});
  }
  const auto errors = list.take_errors();
  EXPECT_EQ(errors.size(), config_limits::errors_max + 1);
  EXPECT_EQ(errors.back().text(), "800 more errors and warnings are not shown");
}

TEST(DidYouMean, FindsTheClosest) {
  const std::vector<std::string> names = {"connect_timeout", "name", "type", "lb_policy", "dns_lookup_family"};
  EXPECT_EQ(closest_name("conect_timeout", names), "connect_timeout");
  EXPECT_EQ(closest_name("nmae", names), "name");
  EXPECT_EQ(closest_name("lbPolicy", names), "lb_policy");
  EXPECT_EQ(closest_name("lb-policy", names), "lb_policy");
  EXPECT_EQ(closest_name("timeout", names), "connect_timeout");
  EXPECT_EQ(closest_name("dns", names), "dns_lookup_family");
  EXPECT_EQ(closest_name("something", names), std::nullopt);
  EXPECT_EQ(closest_name("", names), std::nullopt);
  EXPECT_EQ(closest_name(std::string(100'000, 'n'), names), std::nullopt);
}

}  // namespace
}  // namespace ringside
