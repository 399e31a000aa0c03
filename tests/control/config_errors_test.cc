// Every file in tests/golden/config_errors is wrong in its own way; what is said about it is the file beside it with ".expected".
// RINGSIDE_UPDATE_GOLDEN=1 rewrites these; the diff then shows what has changed for users.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "control/bootstrap.h"
#include "proxy/listener/filter_chain_table.h"
#include "proxy/observe/access_log.h"

namespace ringside {
namespace {

namespace fs = std::filesystem;

const fs::path folder = fs::path(RINGSIDE_SOURCE_DIR) / "tests/golden/config_errors";

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> broken_files() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string suffix = entry.path().extension();
    if (suffix == ".yaml" || suffix == ".json") names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// As main.cc gives it.
std::string check_format(std::string_view format) {
  const auto parsed = AccessLogFormat::parse(format);
  return parsed ? std::string() : parsed.error().message;
}

std::optional<LoadOptions::ChainClash> check_chains(const std::vector<FilterChainSpec>& chains) {
  const auto table = FilterChainTable::build(chains);
  if (table) return std::nullopt;
  return LoadOptions::ChainClash{table.error().first, table.error().second};
}

// Errors first, then warnings, without the folder that the file is in.
std::string what_is_said(const std::string& name) {
  const fs::path path = folder / name;
  LoadOptions options;
  options.sources.push_back({ConfigSource::Kind::file, path});
  options.allow_unknown_static_fields = content(path).starts_with("# flags: --allow-unknown-static-fields\n");
  options.check_access_log_format = check_format;
  options.check_filter_chains = check_chains;
  LoadOutcome outcome = load_bootstrap(options);
  std::string text = render_errors(outcome.errors, ErrorStyle::lines);
  for (const ConfigError& warning : outcome.warnings) text += "warning: " + warning.text() + "\n";
  const std::string prefix = folder.string() + "/";
  for (size_t at = text.find(prefix); at != text.npos; at = text.find(prefix, at)) text.erase(at, prefix.size());
  return text;
}

class ConfigErrors : public testing::TestWithParam<std::string> {};

TEST_P(ConfigErrors, AreAllReported) {
  const fs::path expected = folder / (GetParam() + ".expected");
  const std::string said = what_is_said(GetParam());
  EXPECT_FALSE(said.empty()) << "this file is not broken";
  if (getenv("RINGSIDE_UPDATE_GOLDEN") != nullptr) std::ofstream(expected, std::ios::binary) << said;
  EXPECT_EQ(said, content(expected)) << "RINGSIDE_UPDATE_GOLDEN=1 accepts it";
}

std::string test_name(const testing::TestParamInfo<std::string>& file) {
  std::string name = file.param;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Golden, ConfigErrors, testing::ValuesIn(broken_files()), test_name);

TEST(ConfigErrorFiles, AreManyAndNoneIsLeftOver) {
  EXPECT_GE(broken_files().size(), 40u);
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".expected") continue;
    EXPECT_TRUE(fs::exists(folder / entry.path().stem())) << entry.path();
  }
}

}  // namespace
}  // namespace ringside
