#include "proxy/header_edit.h"

#include <gtest/gtest.h>

namespace ringside {
namespace {

using enum HeaderAppend;

struct Message {
  ArenaPool pool;
  Arena arena{pool};
  Head head{arena};
  SecondCache second;
  AccessLogRecord record;

  std::string text() const {
    std::string all;
    for (const HeaderField& field : head.fields)
      all += std::string(field.name()) + ": " + std::string(field.value()) + "; ";
    return all;
  }
  void apply(const std::vector<std::string>& remove, const std::vector<HeaderValueSpec>& add) {
    edits.push_back(std::make_unique<HeaderEdit>(HeaderEdit::build(remove, add).value()));
    edits.back()->apply(head.fields, record, second);
  }
  std::vector<std::unique_ptr<HeaderEdit>> edits;
};

TEST(HeaderEditTest, TheFourActions) {
  Message message;
  message.head.fields.add("there", "1");
  message.apply({}, {{"there", "a", append_if_exists_or_add},
                     {"new", "a", append_if_exists_or_add},
                     {"there", "b", add_if_absent},
                     {"absent", "b", add_if_absent},
                     {"gone", "c", overwrite_if_exists},
                     {"fresh", "d", overwrite_if_exists_or_add}});
  EXPECT_EQ(message.text(), "there: 1; fresh: d; there: a; new: a; absent: b; ");
  message.apply({}, {{"there", "z", overwrite_if_exists}});
  EXPECT_EQ(message.text(), "there: z; fresh: d; new: a; absent: b; ");
}

// As Envoy 1.40 was seen to do: overwriting before adding, and conditions look at the message before any addition.
TEST(HeaderEditTest, OverwritesBeforeItAdds) {
  Message message;
  message.head.fields.add("x-dup", "c1");
  message.apply({}, {{"x-dup", "r1", append_if_exists_or_add},
                     {"x-dup", "r2", overwrite_if_exists_or_add},
                     {"x-abs", "y", add_if_absent},
                     {"x-abs", "z", add_if_absent}});
  EXPECT_EQ(message.text(), "x-dup: r2; x-dup: r1; x-abs: y; x-abs: z; ");
}

TEST(HeaderEditTest, RemovesFirst) {
  Message message;
  message.head.fields.add("a", "1");
  message.head.fields.add("user-agent", "2");
  message.head.fields.add("a", "3");
  message.apply({"a", "user-agent", "not-there"}, {{"a", "new", add_if_absent}});
  EXPECT_EQ(message.text(), "a: new; ");
}

TEST(HeaderEditTest, JoinsWellKnownFieldsButNotCookies) {
  Message message;
  message.head.fields.add(HeaderId::user_agent, "ua");
  message.head.fields.add(HeaderId::set_cookie, "a=1");
  message.apply({}, {{"user-agent", "extra", append_if_exists_or_add}, {"set-cookie", "b=2", append_if_exists_or_add}});
  EXPECT_EQ(message.text(), "user-agent: ua,extra; set-cookie: a=1; set-cookie: b=2; ");
}

TEST(HeaderEditTest, ValuesWithOperators) {
  Message message;
  message.head.method = "GET";
  message.head.path = "/p?q";
  message.head.fields.add("in", "side");
  message.record.request = &message.head;
  message.record.version = HttpVersion::http11;
  message.apply({}, {{"x-path", "%REQ(:path)%|%PROTOCOL%|%REQ(nope)%|100%%", append_if_exists_or_add},
                     {"x-missing", "%REQ(nope)%", append_if_exists_or_add},
                     {"in", "%REQ(in)%-%REQ(in):1%", overwrite_if_exists},
                     {"x-empty", "", append_if_exists_or_add}});
  EXPECT_EQ(message.text(), "in: side-s; x-path: /p?q|HTTP/1.1||100%; ");
}

// A header that is echoed must not end its line.
TEST(HeaderEditTest, ControlCharactersDoNotPassThroughOperators) {
  Message message;
  message.record.route_name = "a\r\nx-evil: 1";
  message.apply({}, {{"x-route", "%ROUTE_NAME%", append_if_exists_or_add}});
  EXPECT_EQ(message.text(), "x-route: a\\x0d\\x0ax-evil: 1; ");
}

TEST(HeaderEditTest, RefusesWhatCannotBe) {
  const auto problem = [](const std::vector<std::string>& remove, const std::vector<HeaderValueSpec>& add) {
    const auto edit = HeaderEdit::build(remove, add);
    return edit ? "" : edit.error();
  };
  EXPECT_EQ(problem({":path"}, {}), "header \":path\": names that begin with ':' and host cannot be changed");
  EXPECT_EQ(problem({"host"}, {}), "header \"host\": names that begin with ':' and host cannot be changed");
  EXPECT_EQ(problem({}, {{"host", "x", add_if_absent}}),
            "header \"host\": names that begin with ':' and host cannot be changed");
  EXPECT_EQ(problem({""}, {}), "header \"\": not a header name");
  EXPECT_EQ(problem({"a b"}, {}), "header \"a b\": not a header name");
  EXPECT_EQ(problem({"A"}, {}), "header \"A\": not a header name");
  EXPECT_EQ(problem({}, {{"x", "a\nb", add_if_absent}}), "header \"x\": its value has a control character");
  for (const char* name :
       {"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "keep-alive"})
    EXPECT_EQ(problem({}, {{name, "1", add_if_absent}}),
              "header \"" + std::string(name) + "\": frames the message and is not for the configuration to set");
  EXPECT_EQ(problem({}, {{"x", "a %NOPE% b", add_if_absent}}),
            "header \"x\": unknown operator %NOPE%, at character 3 of its value");
  EXPECT_EQ(problem({}, {{"x", "50%", add_if_absent}}),
            "header \"x\": the operator % does not end with %, at character 3 of its value");
  EXPECT_EQ(problem({"content-length"}, {}), "") << "what is not there may be removed";
}

TEST(HeaderEditTest, NoHeapPerMessage) {
  Message message;
  message.apply({"z"}, {{"a", "1", append_if_exists_or_add}, {"b", "2", overwrite_if_exists_or_add}});
  EXPECT_EQ(message.head.fields.find("a")->value().data()[0], '1');
  EXPECT_TRUE(HeaderEdit::build({}, {})->empty());
}

}  // namespace
}  // namespace ringside
