#include "tests/sim/sim_world.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ringside::sim {
namespace {

char replay_line[256];

// Before the abort of a failed check: the seed is what its reader needs.
void print_replay_line(int signal_number) {
  if (replay_line[0] != '\0') {
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, replay_line, std::strlen(replay_line));
  }
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

uint64_t number_from_environment(const char* name) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : 0;
}

void run_seed(uint64_t seed, const std::function<void(uint64_t)>& scenario) {
  const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
  std::snprintf(replay_line, sizeof replay_line, "replay: RINGSIDE_SIM_SEED=%llu %s --gtest_filter=%s.%s\n",
                static_cast<unsigned long long>(seed), program_invocation_short_name, test.test_suite_name(), test.name());
  scenario(seed);
  if (::testing::Test::HasFailure()) std::fputs(replay_line, stderr);
  replay_line[0] = '\0';
}

uint64_t mix(uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

// Eight letters for each eight positions.
void pattern_letters(uint64_t seed, size_t word, char* letters) {
  uint64_t bits = mix(seed * 0x9e3779b97f4a7c15ULL + word + 1);
  for (int at = 0; at < 8; ++at, bits >>= 8) letters[at] = static_cast<char>('a' + (bits & 0xff) % 26);
}

}  // namespace

bool World::run_until(const std::function<bool()>& condition, Duration limit) {
  const Instant end = worker.now() + limit;
  while (!condition()) {
    if (worker.now() >= end) return false;
    worker.turn(end - worker.now());
  }
  return true;
}

void World::run_for(Duration time) {
  const Instant end = worker.now() + time;
  while (worker.now() < end) worker.turn(end - worker.now());
}

uint64_t World::piped_bytes_seen = 0;

void World::expect_nothing_left() {
  worker.unwatch_mailbox();
  worker.output().reset();
  worker.bulk_output().reset();
  EXPECT_EQ(ring.fds_open(), 0U);
  EXPECT_EQ(ring.operations_in_flight(), 0U);
  EXPECT_EQ(pools.small.used(), 0U);
  EXPECT_EQ(pools.large.used(), 0U);
  EXPECT_EQ(ring.pipes_used(), 0U);
  piped_bytes_seen += ring.stats().piped_bytes;
}

bool replays_one_seed() { return number_from_environment("RINGSIDE_SIM_SEED") != 0; }

void over_seeds(uint32_t count, const std::function<void(uint64_t)>& scenario) {
  const auto previous_abort = signal(SIGABRT, print_replay_line);
  const auto previous_fault = signal(SIGSEGV, print_replay_line);
  if (const uint64_t seed = number_from_environment("RINGSIDE_SIM_SEED"); seed != 0) {
    run_seed(seed, scenario);
  } else {
    if (const uint64_t runs = number_from_environment("RINGSIDE_SIM_RUNS"); runs != 0) count = static_cast<uint32_t>(runs);
    for (uint64_t next = 1; next <= count && !::testing::Test::HasFailure(); ++next) run_seed(next, scenario);
    if (!::testing::Test::HasFailure()) run_seed(Random::seeded().next() >> 1, scenario);
  }
  signal(SIGABRT, previous_abort);
  signal(SIGSEGV, previous_fault);
}

std::string pattern_text(uint64_t seed, size_t size) {
  std::string text((size + 7) / 8 * 8, '\0');
  for (size_t word = 0; word < text.size() / 8; ++word) pattern_letters(seed, word, text.data() + word * 8);
  text.resize(size);
  return text;
}

bool matches_pattern(uint64_t seed, size_t offset, std::string_view text) {
  char letters[8];
  size_t loaded = static_cast<size_t>(-1);
  for (size_t at = 0; at < text.size(); ++at) {
    const size_t position = offset + at;
    if (position / 8 != loaded) pattern_letters(seed, loaded = position / 8, letters);
    if (text[at] != letters[position % 8]) return false;
  }
  return true;
}

}  // namespace ringside::sim
