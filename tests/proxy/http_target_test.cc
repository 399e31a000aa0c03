#include "proxy/http_target.h"

#include <gtest/gtest.h>

#include <random>

namespace ringside {
namespace {

struct Message {
  explicit Message(std::string_view path, std::string_view authority = "h.com") {
    head.method = "GET";
    head.path = path;
    head.authority = authority;
  }
  ArenaPool pool;
  Arena arena{pool};
  Head head{arena};
};

HttpManagerSpec normalizing() {
  HttpManagerSpec spec;
  spec.normalize_path = true;
  return spec;
}

// What becomes of a path: the path, "-> location", or the code of the refusal.
std::string fate(const HttpManagerSpec& spec, std::string_view path) {
  Message message(path);
  const TargetVerdict verdict = TargetPolicy(spec).apply(message.head, 80);
  switch (verdict.action) {
    case TargetAction::forward: return std::string(message.head.path);
    case TargetAction::redirect:
      EXPECT_EQ(message.head.path, path) << "a redirected request is logged as it came";
      return "-> " + std::string(verdict.location);
    case TargetAction::reject: EXPECT_STREQ(verdict.details, "path_normalization_failed"); return "rejected";
  }
  return "?";
}

struct PathCase {
  const char* in;
  const char* out;
};

// --- paths; each of these was seen at Envoy 1.40, but for those that say otherwise ------------------------------------

TEST(HttpTargetTest, NormalizesAsEnvoy) {
  const PathCase cases[] = {
      {"/", "/"},
      {"/a/../b", "/b"},
      {"/a/%2e%2e/b", "/b"},
      {"/a/.%2E/b", "/b"},
      {"/%41%7e%2d", "/A~-"},
      {"/a%2fb", "/a%2fb"},
      {"/a%5cb", "/a%5cb"},
      {"/a\\b", "/a/b"},
      {"/a//b", "/a//b"},
      {"//a///b//", "//a///b//"},
      {"/a/./b", "/a/b"},
      {"/..", "/"},
      {"/../..", "/"},
      {"/a/..", "/"},
      {"/a/.", "/a/"},
      {"/a/...", "/a/..."},
      {"/a/..b", "/a/..b"},
      {"/%2", "/%2"},
      {"/%zz", "/%zz"},
      {"/%00", "rejected"},
      {"/a%00b", "rejected"},
      {"/a\"b", "/a%22b"},
      {"/a<b>", "/a%3Cb%3E"},
      {"/a{b}", "/a%7Bb%7D"},
      {"/a^b`|", "/a%5Eb%60%7C"},
      {"/a%c3%a9", "/a%c3%a9"},
      {"/a#frag", "rejected"},
      {"/a?x=../y#f", "rejected"},
      {"/a?b=//c&d=%2f", "/a?b=//c&d=%2f"},
      {"/%%300", "/%2500"},
      {"/%2e", "/"},
      {"/%252f", "/%252f"},
      {"/a/%2e", "/a/"},
      {"/.%2f..", "/.%2f.."},
      {"/a/%2F../b", "/a/%2F../b"},
      {"/a%2f%2e%2e%2fb", "/a%2f..%2fb"},
      {"/%5c%2e%2e%5c", "/%5c..%5c"},
      {"/a/b/../../../c?/../d", "/c?/../d"},
      {"/x//../y", "/x/y"},
      {"/x/%2e%2e//y", "//y"},
      {"/%2f%2f", "/%2f%2f"},
      {"/a/%2e%2e%2fb", "/a/..%2fb"},
      {"/!$&'()*+,:=@-._~", "/!$&'()*+,:=@-._~"},
      {"/a%20b", "/a%20b"},
      {"/a%0ab", "/a%0ab"},
      {"/a/..;x=1/b", "/b"},
      {"/a/.;/b", "/a/b"},
      {"/a/..;", "/"},
      {"/a/..%3b/b", "/a/..%3b/b"},
      {"/a/b;x/..", "/a/"},
      {"/a/.;x", "/a/"},
      {"/a/...;/b", "/a/...;/b"},
      {"/a/;/b", "/a/;/b"},
      {"/a/..;x/..;y/b", "/b"},
      {"/..;a?q", "/?q"},
      {"/a/..;..;/b", "/b"},
      {"/a/..;%2fb", "/"},
      {"/a;/../b", "/b"},
      {"/.;/..;/c", "/c"},
      {"/a/..;\\b", "/"},
      // Envoy leaves "..;p" behind here, which normalizing once more would remove: we do it at once.
      {"/a/%2e%2e;p/b", "/b"},
      {"/%2e;/b", "/b"},
  };
  for (const auto& [in, out] : cases) EXPECT_EQ(fate(normalizing(), in), out) << in;
}

TEST(HttpTargetTest, LeavesPathsAloneByDefault) {
  for (const char* path : {"/a/../b", "/a/%2e%2e/b", "/a%2fb", "/a\\b", "//a//b", "/%zz", "/a\"<>{}^`|", "/..;/x"})
    EXPECT_EQ(fate({}, path), path);
  for (const char* path : {"/a b", "/a\x01", "/\x7f", "/a\xc3\xa9", "/a#b", "/a?b#c", "", "?x", "a", "*", "http://x/"})
    EXPECT_EQ(fate({}, path), "rejected") << path;
  EXPECT_EQ(fate({}, std::string_view("/a\0b", 4)), "rejected");
}

TEST(HttpTargetTest, OptionsMayAskTheServer) {
  Message message("*");
  message.head.method = "OPTIONS";
  EXPECT_EQ(TargetPolicy(normalizing()).apply(message.head, 80).action, TargetAction::forward);
  EXPECT_EQ(message.head.path, "*");
}

TEST(HttpTargetTest, MergesSlashes) {
  HttpManagerSpec spec;
  spec.merge_slashes = true;
  const PathCase cases[] = {{"/a//b", "/a/b"},
                            {"//a///b//", "/a/b/"},
                            {"/a?x=//", "/a?x=//"},
                            {"//?x=//", "/?x=//"},
                            {"/x//../y", "/x/../y"},
                            // Envoy makes two slashes of nothing but slashes.
                            {"///", "/"}};
  for (const auto& [in, out] : cases) EXPECT_EQ(fate(spec, in), out) << in;
}

TEST(HttpTargetTest, EscapedSlashes) {
  HttpManagerSpec spec;
  spec.escaped_slashes = EscapedSlashAction::reject_request;
  for (const char* path : {"/a%2fb", "/a%2Fb", "/a%5cb", "/%5C"}) EXPECT_EQ(fate(spec, path), "rejected") << path;
  for (const char* path : {"/a/b", "/a?b=%2f", "/%252f", "/%2", "/a\\b"}) EXPECT_EQ(fate(spec, path), path);

  spec = normalizing();
  spec.merge_slashes = true;
  spec.escaped_slashes = EscapedSlashAction::unescape_and_forward;
  const PathCase cases[] = {{"/a%2fb", "/a/b"},        {"/a%5Cb", "/a/b"},      {"/.%2f..", "/"},
                            {"/a/%2F../b", "/a/b"},    {"/%252f", "/%252f"},    {"/a%2f%2e%2e%2fb", "/b"},
                            {"/%5c%2e%2e%5c", "/"},    {"/a/%2e%2e%2fb", "/b"}, {"/a?%2f", "/a?%2f"},
                            {"/a%2f..%00", "rejected"}};
  for (const auto& [in, out] : cases) EXPECT_EQ(fate(spec, in), out) << in;

  spec.escaped_slashes = EscapedSlashAction::unescape_and_redirect;
  EXPECT_EQ(fate(spec, "/a%2fb?q=%2f"), "-> /a/b?q=%2f");
  EXPECT_EQ(fate(spec, "/a/../b"), "/b") << "nothing was escaped";
  EXPECT_EQ(fate(spec, "/a%2fb%00"), "rejected");
}

TEST(HttpTargetTest, ARedirectStaysOnThisServer) {
  HttpManagerSpec spec;
  spec.escaped_slashes = EscapedSlashAction::unescape_and_redirect;
  EXPECT_EQ(fate(spec, "/%2fevil.com/x"), "-> /.//evil.com/x");
  EXPECT_EQ(fate(spec, "/%5cevil.com"), "-> /./\\evil.com");
  EXPECT_EQ(fate(spec, "//evil.com/%2f"), "-> /.//evil.com//");
}

TEST(HttpTargetTest, NormalizingTwiceChangesNothing) {
  std::mt19937_64 random(3);
  const std::string_view pieces[] = {"/", "//", ".", "..", "%2e", "%2E%2e", "\\",  "%", "%2", "%25", "%2f", "%5c",
                                     "3", "0",  "e", ";",  "a",   "%41",    "%30", "^", "?",  "=",   "%c3", "..;x"};
  ArenaPool pool;
  Arena arena(pool);
  for (int round = 0; round < 100'000; ++round) {
    std::string path = "/";
    for (size_t left = random() % 12; left > 0; --left) path += pieces[random() % std::size(pieces)];
    arena.reset();
    const auto once = normalize_path(path, arena);
    if (!once) {
      EXPECT_NE(path.find("%00"), std::string::npos) << path;
      continue;
    }
    const auto twice = normalize_path(*once, arena);
    ASSERT_TRUE(twice.has_value()) << path << " became " << *once;
    EXPECT_EQ(*twice, *once) << path;
    const std::string_view walked = path_without_query(*once);
    EXPECT_TRUE(walked.starts_with('/'));
    for (const char* dots : {"/../", "/./", "/..;", "/.;"})
      EXPECT_EQ(walked.find(dots), std::string_view::npos) << path;
    EXPECT_FALSE(walked.ends_with("/..") || walked.ends_with("/.")) << path;
    EXPECT_EQ(walked.find('\\'), std::string_view::npos) << path;
    const std::string_view merged = merge_slashes(*once, arena);
    EXPECT_EQ(path_without_query(merged).find("//"), std::string_view::npos);
    EXPECT_EQ(merge_slashes(merged, arena).data(), merged.data());
  }
}

TEST(HttpTargetTest, NothingIsCopiedWithoutNeed) {
  HttpManagerSpec spec = normalizing();
  spec.merge_slashes = true;
  spec.escaped_slashes = EscapedSlashAction::unescape_and_forward;
  const std::string path = "/images/logo.png?v=1.2";
  Message message(path);
  EXPECT_EQ(TargetPolicy(spec).apply(message.head, 80).action, TargetAction::forward);
  EXPECT_EQ(message.head.path.data(), path.data());
  EXPECT_EQ(message.arena.allocated_bytes(), 0u);
}

// --- hosts -----------------------------------------------------------------------------------------------------------

TEST(HttpTargetTest, ParsesAuthorities) {
  const auto plain = parse_authority("h.com");
  ASSERT_TRUE(plain.has_value());
  EXPECT_EQ(plain->host, "h.com");
  EXPECT_FALSE(plain->port.has_value());
  const auto with_port = parse_authority("h.com:8080");
  ASSERT_TRUE(with_port.has_value());
  EXPECT_EQ(with_port->port, 8080);
  EXPECT_EQ(with_port->port_text, ":8080");
  const auto v6 = parse_authority("[2001:db8::1]:443");
  ASSERT_TRUE(v6.has_value());
  EXPECT_EQ(v6->host, "[2001:db8::1]");
  EXPECT_EQ(v6->port, 443);
  for (const char* good :
       {"a", "h_c", "H.Com", "1.2.3.4", "h.com.", "h*", "h,c", "xn--a", "[::]", "h:0", "h:65535", "h:080"})
    EXPECT_TRUE(parse_authority(good).has_value()) << good;
}

TEST(HttpTargetTest, RefusesBadAuthorities) {
  for (const char* bad : {"",
                          ":80",
                          "h:",
                          "h:x",
                          "h:80x",
                          "h:99999",
                          "h:65536",
                          "h:000080",
                          "h:-1",
                          "h: 80",
                          "u@h",
                          "u:p@h",
                          "h c",
                          " h",
                          "h\t",
                          "h/c",
                          "h?",
                          "h#",
                          "h\\",
                          "h%41",
                          "a:b:c",
                          "::1",
                          "[::1",
                          "::1]",
                          "[]",
                          "[zz]",
                          "[::1]x",
                          "[::1]80",
                          "[1.2.3.4]",
                          "[v1.x]",
                          "[fe80::1%25eth0]",
                          "\xc3\xa9",
                          "h\x7f",
                          ".",
                          "..",
                          ".:80",
                          "h\"",
                          "h<",
                          "h^"})
    EXPECT_FALSE(parse_authority(bad).has_value()) << bad;
  EXPECT_FALSE(parse_authority(std::string_view("h\0c", 3)).has_value());
  Message empty("/", "");
  EXPECT_STREQ(TargetPolicy({}).apply(empty.head, 80).details, "missing_host_header");
  Message bad("/", "u@h");
  const TargetVerdict verdict = TargetPolicy({}).apply(bad.head, 80);
  EXPECT_EQ(verdict.action, TargetAction::reject);
  EXPECT_STREQ(verdict.details, "invalid_host_header");
}

std::string stripped(HttpManagerSpec spec, std::string_view authority, uint16_t local_port = 80) {
  Message message("/", authority);
  EXPECT_EQ(TargetPolicy(spec).apply(message.head, local_port).action, TargetAction::forward) << authority;
  return std::string(message.head.authority);
}

TEST(HttpTargetTest, StripsPortsAndDots) {
  HttpManagerSpec any, matching, dot, both;
  any.strip_any_host_port = true;
  matching.strip_matching_host_port = true;
  dot.strip_trailing_host_dot = true;
  both.strip_any_host_port = both.strip_trailing_host_dot = true;
  EXPECT_EQ(stripped({}, "h.com.:80"), "h.com.:80");
  EXPECT_EQ(stripped(any, "h.com:81"), "h.com");
  EXPECT_EQ(stripped(any, "[::1]:81"), "[::1]");
  EXPECT_EQ(stripped(any, "[::1]"), "[::1]");
  EXPECT_EQ(stripped(matching, "h.com:80"), "h.com");
  EXPECT_EQ(stripped(matching, "h.com:080"), "h.com");
  EXPECT_EQ(stripped(matching, "h.com:81"), "h.com:81");
  EXPECT_EQ(stripped(matching, "h.com"), "h.com");
  EXPECT_EQ(stripped(dot, "h.com."), "h.com");
  EXPECT_EQ(stripped(dot, "h.com.:80"), "h.com:80");
  EXPECT_EQ(stripped(both, "h.com.:80"), "h.com");
}

}  // namespace
}  // namespace ringside
