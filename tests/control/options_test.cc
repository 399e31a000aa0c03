// The command line: values, messages and exit codes as Envoy's users know them.
#include "control/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringside {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::StartsWith;

std::expected<Options, OptionsExit> parse(std::vector<const char*> words) {
  words.insert(words.begin(), "envoy");
  return parse_options(static_cast<int>(words.size()), words.data());
}

Options parsed(std::vector<const char*> words) {
  auto options = parse(std::move(words));
  EXPECT_TRUE(options.has_value()) << (options ? "" : options.error().err);
  return options ? *options : Options{};
}

TEST(OptionsTest, DefaultsAreEnvoys) {
  const Options options = parsed({});
  EXPECT_EQ(options.program, "envoy");
  EXPECT_EQ(options.mode, RunMode::serve);
  EXPECT_GE(options.concurrency, 1U);
  EXPECT_EQ(options.log_level, "info");
  EXPECT_EQ(options.log_format, "[%Y-%m-%d %T.%e][%t][%l][%n] [%g:%#] %v");
  EXPECT_EQ(options.drain_time, seconds(600));
  EXPECT_EQ(options.parent_shutdown_time, seconds(900));
  EXPECT_EQ(options.drain_strategy, DrainStrategy::gradual);
  EXPECT_EQ(options.file_flush_interval, seconds(10));
  EXPECT_EQ(options.file_flush_min_size_kb, 64U);
  EXPECT_EQ(options.local_address_ip_version, IpVersion::v4);
  EXPECT_EQ(options.socket_path, "@envoy_domain_socket");
  EXPECT_EQ(options.ring, RingChoice::automatic);
  EXPECT_EQ(options.affinity.kind, AffinityKind::off);
  EXPECT_FALSE(options.drain_on_sigterm);
  EXPECT_THAT(options.notes, IsEmpty());
}

// What the agent of a mesh passes to its sidecar.
TEST(OptionsTest, TheAgentsCommandLine) {
  const Options options = parsed({"-c",
                                  "etc/istio/proxy/envoy-rev.json",
                                  "--drain-time-s",
                                  "45",
                                  "--drain-strategy",
                                  "immediate",
                                  "--local-address-ip-version",
                                  "v6",
                                  "--file-flush-interval-msec",
                                  "1000",
                                  "--disable-hot-restart",
                                  "--allow-unknown-static-fields",
                                  "-l",
                                  "warn",
                                  "--component-log-level",
                                  "misc:error",
                                  "--skip-deprecated-logs",
                                  "--config-yaml",
                                  "{\"node\":{\"id\":\"x\"}}",
                                  "--concurrency",
                                  "2"});
  EXPECT_EQ(options.config_path, "etc/istio/proxy/envoy-rev.json");
  EXPECT_EQ(options.config_yaml, "{\"node\":{\"id\":\"x\"}}");
  EXPECT_EQ(options.drain_time, seconds(45));
  EXPECT_EQ(options.drain_strategy, DrainStrategy::immediate);
  EXPECT_EQ(options.local_address_ip_version, IpVersion::v6);
  EXPECT_EQ(options.file_flush_interval, seconds(1));
  EXPECT_TRUE(options.disable_hot_restart);
  EXPECT_TRUE(options.allow_unknown_static_fields);
  EXPECT_TRUE(options.skip_deprecated_logs);
  EXPECT_EQ(options.log_level, "warning");
  EXPECT_EQ(options.component_log_level, "misc:error");
  EXPECT_EQ(options.concurrency, 2U);
  EXPECT_THAT(options.notes, IsEmpty());
}

TEST(OptionsTest, OldAndIdleFlagsAreNoted) {
  const Options options = parsed({"--max-obj-name-len", "189", "--restart-epoch", "0", "--parent-shutdown-time-s", "60",
                                  "--v2-config-only", "--max-stats", "1"});
  EXPECT_EQ(options.parent_shutdown_time, seconds(60));
  EXPECT_THAT(options.notes,
              ElementsAre(StartsWith("--max-obj-name-len is a flag of old"), StartsWith("--restart-epoch is accepted"),
                          StartsWith("--parent-shutdown-time-s is accepted"),
                          StartsWith("--v2-config-only is a flag of old"), StartsWith("--max-stats is a flag of old")));
}

TEST(OptionsTest, Values) {
  EXPECT_EQ(parsed({"--mode", "validate"}).mode, RunMode::validate);
  EXPECT_EQ(parsed({"--concurrency", "0"}).concurrency, 1U);
  EXPECT_EQ(parsed({"--ring", "epoll"}).ring, RingChoice::epoll);
  EXPECT_EQ(parsed({"--ring", "uring"}).ring, RingChoice::uring);
  EXPECT_EQ(parsed({"--cpu-affinity", "auto"}).affinity.kind, AffinityKind::automatic);
  const Options pinned = parsed({"--cpu-affinity", "0,2,4-6"});
  EXPECT_EQ(pinned.affinity.kind, AffinityKind::list);
  EXPECT_THAT(pinned.affinity.cpus, ElementsAre(0, 2, 4, 5, 6));
  EXPECT_TRUE(parsed({"--drain-on-sigterm"}).drain_on_sigterm);
  EXPECT_TRUE(parsed({"--allow-unknown-fields"}).allow_unknown_static_fields);
  EXPECT_EQ(parsed({"--config-path=a.yaml"}).config_path, "a.yaml");
  EXPECT_EQ(parsed({"--config-yaml", ""}).config_yaml, "");
  EXPECT_EQ(parsed({"--config-yaml", "[a, b]"}).config_yaml, "[a, b]");
  EXPECT_EQ(parsed({"--config-yaml", "--- {a: b}"}).config_yaml, "--- {a: b}");
  EXPECT_EQ(parsed({"--service-node", "-l"}).service_node, "-l");
  EXPECT_EQ(parsed({"--socket-mode", "600"}).socket_mode, 0600U);
  EXPECT_THAT(parsed({"--stats-tag", "a:b", "--stats-tag", "c:d:e"}).stats_tags,
              ElementsAre(Pair("a", "b"), Pair("c", "d:e")));
  EXPECT_EQ(parsed({"-l", "off", "--", "--bogus"}).log_level, "off");
}

TEST(OptionsTest, ErrorsInOneLine) {
  struct Case {
    std::vector<const char*> words;
    const char* message;
  };
  const Case cases[] = {
      {{"-l", "bogus"}, "error: invalid log level specified 'bogus'\n"},
      {{"-l", "INFO"}, "error: invalid log level specified 'INFO'\n"},
      {{"--mode", "x"}, "error: unknown mode 'x'\n"},
      {{"--drain-strategy", "z"}, "error: unknown drain-strategy 'z'\n"},
      {{"--local-address-ip-version", "v5"}, "error: unknown IP address version 'v5'\n"},
      {{"--stats-tag", "foo"}, "error: misformatted stats-tag 'foo'\n"},
      {{"--stats-tag", "a-:b"}, "error: misformatted stats-tag 'a-:b' contains invalid char in 'a-'\n"},
      {{"--stats-tag", "a:b.c"}, "error: misformatted stats-tag 'a:b.c' contains invalid char in 'b.c'\n"},
      {{"--use-dynamic-base-id", "--restart-epoch", "1"},
       "error: cannot use --restart-epoch=1 with --use-dynamic-base-id\n"},
      {{"--ring", "kqueue"}, "error: unknown ring 'kqueue' (auto, uring or epoll)\n"},
      {{"--cpu-affinity", "3-1"}, "error: --cpu-affinity '3-1' is neither auto, off, nor a list such as 0,2,4-7\n"},
      {{"--cpu-affinity", "0,,1"}, "error: --cpu-affinity '0,,1' is neither auto, off, nor a list such as 0,2,4-7\n"},
      {{"--concurrency", "1025"}, "error: --concurrency is 1025, and at most 1024 workers are possible\n"},
      {{"--socket-mode", "8"}, "error: invalid socket-mode '8'\n"},
  };
  for (const Case& c : cases) {
    const auto options = parse(c.words);
    ASSERT_FALSE(options.has_value()) << c.message;
    EXPECT_EQ(options.error().code, 1);
    EXPECT_EQ(options.error().err, c.message);
    EXPECT_EQ(options.error().out, "");
  }
}

TEST(OptionsTest, ErrorsWithUsage) {
  struct Case {
    std::vector<const char*> words;
    const char* argument;
    const char* what;
  };
  const Case cases[] = {
      {{"--bogus"}, "--bogus", "Couldn't find match for argument"},
      {{"positional"}, "positional", "Couldn't find match for argument"},
      {{"-cfile"}, "-cfile", "Couldn't find match for argument"},
      {{"--version=1"}, "--version=1", "Couldn't find match for argument"},
      {{"--concurrency", "x"}, "(--concurrency)", "Couldn't read argument value from string 'x'"},
      {{"--concurrency", "-1"}, "(--concurrency)", "Couldn't read argument value from string '-1'"},
      {{"--concurrency", "4294967296"}, "(--concurrency)", "Couldn't read argument value from string '4294967296'"},
      {{"--drain-time-s", "1s"}, "(--drain-time-s)", "Couldn't read argument value from string '1s'"},
      {{"-c"}, "-c (--config-path)", "Missing a value for this argument!"},
      {{"-c", "a", "--config-path", "b"}, "-c (--config-path)", "Argument already set!"},
  };
  for (const Case& c : cases) {
    const auto options = parse(c.words);
    ASSERT_FALSE(options.has_value()) << c.argument;
    EXPECT_EQ(options.error().code, 1);
    EXPECT_THAT(options.error().err, StartsWith(std::string("PARSE ERROR: Argument: ") + c.argument +
                                                "\n             " + c.what + "\n\nBrief USAGE: \n"));
    EXPECT_THAT(options.error().err, HasSubstr("For complete USAGE and HELP type: \n   envoy --help\n"));
  }
}

TEST(OptionsTest, TextsThatEndTheProgram) {
  const auto version = parse({"--version"});
  ASSERT_FALSE(version.has_value());
  EXPECT_EQ(version.error().code, 0);
  EXPECT_THAT(version.error().out,
              testing::MatchesRegex("\nenvoy  version: [a-z]+/[0-9]+\\.[0-9]+\\.[0-9]+/Clean/RELEASE/OpenSSL\n\n"));
  EXPECT_EQ(version.error().err, "");

  const auto hot_restart = parse({"--hot-restart-version"});
  ASSERT_FALSE(hot_restart.has_value());
  EXPECT_EQ(hot_restart.error().code, 0);
  EXPECT_EQ(hot_restart.error().err, "11.104");

  const auto help = parse({"-h"});
  ASSERT_FALSE(help.has_value());
  EXPECT_EQ(help.error().code, 0);
  EXPECT_THAT(help.error().out, HasSubstr("-c <string>,  --config-path <string>\n"));
  size_t line_begin = 0;
  for (size_t at; (at = help.error().out.find('\n', line_begin)) != std::string::npos; line_begin = at + 1)
    EXPECT_LE(at - line_begin, 80U) << help.error().out.substr(line_begin, at - line_begin);
}

}  // namespace
}  // namespace ringside
