// Runs a fuzz target without libFuzzer: replays the files and folders given as arguments, then a bounded number of seeded
// mutations of them. This is what the ordinary test run does, with GCC and its sanitizers; `./dev fuzz` explores with libFuzzer.
//
//   fuzz_x [--runs=N] [--seed=N] [--size-max=N] [file|folder]...
//
// An input that kills the target is left in ./crash-<target>; giving that file as the only argument with --runs=0 replays it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc, char*** argv);
// Of the sanitizers' runtime, where there is one: they end the process without a signal.
extern "C" __attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)());

namespace {

using Input = std::vector<uint8_t>;

struct Options {
  uint64_t runs = 1000;
  uint64_t seed = 1;
  uint64_t size_max_bytes = 8192;
  std::vector<std::filesystem::path> paths;
};

// What the crash handler needs; plain globals, because it runs in a signal.
const Input* running = nullptr;
std::array<char, 256> crash_path;

void save_running() {
  if (running == nullptr) return;
  const int fd = open(crash_path.data(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return;
  const ssize_t written = write(fd, running->data(), running->size());
  close(fd);
  if (written >= 0) {
    fprintf(stderr, "\nThe input is in %s (%zu bytes); replay: <target> --runs=0 %s\n", crash_path.data(), running->size(),
            crash_path.data());
  }
  running = nullptr;
}

void on_signal(int number) {
  save_running();
  signal(number, SIG_DFL);
  raise(number);
}

void catch_crashes(std::string_view program) {
  const std::string name = "crash-" + std::filesystem::path(program).filename().string();
  snprintf(crash_path.data(), crash_path.size(), "%s", name.c_str());
  if (__sanitizer_set_death_callback != nullptr) __sanitizer_set_death_callback(save_running);
  signal(SIGABRT, on_signal);
  if (__sanitizer_set_death_callback == nullptr) {
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL}) signal(number, on_signal);
  }
}

void run(const Input& input) {
  running = &input;
  // An exact heap copy, so that AddressSanitizer sees a read one byte behind the end.
  const Input copy(input.begin(), input.end());
  LLVMFuzzerTestOneInput(copy.data(), copy.size());
  running = nullptr;
}

Input load(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<Input> load_all(const std::vector<std::filesystem::path>& paths) {
  std::vector<std::filesystem::path> files;
  for (const auto& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      if (std::filesystem::exists(path)) files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());  // the file system's order would make a seed mean something else elsewhere
  std::vector<Input> inputs;
  for (const auto& file : files) inputs.push_back(load(file));
  return inputs;
}

class Mutator {
 public:
  Mutator(uint64_t seed, const std::vector<Input>& corpus) : random_(seed), corpus_(corpus) {}

  Input next(uint64_t size_max_bytes) {
    Input input = corpus_[below(corpus_.size())];
    const size_t steps = 1 + below(6);
    for (size_t i = 0; i < steps; ++i) step(input);
    if (input.size() > size_max_bytes) input.resize(size_max_bytes);
    return input;
  }

 private:
  size_t below(size_t bound) { return bound == 0 ? 0 : static_cast<size_t>(random_() % bound); }

  uint8_t interesting_byte() {
    static constexpr std::string_view bytes{"\0\r\n\t :;,=/%\"\x7f\x80\xff" "09aZ{}[]-#&*!|>'", 31};
    return below(3) == 0 ? static_cast<uint8_t>(random_()) : static_cast<uint8_t>(bytes[below(bytes.size())]);
  }

  void step(Input& input) {
    if (input.empty()) return input.push_back(interesting_byte());
    const size_t at = below(input.size());
    const auto place = input.begin() + static_cast<ptrdiff_t>(at);
    const size_t length = 1 + below(std::min<size_t>(input.size() - at, 1 + below(64)));
    const auto end = place + static_cast<ptrdiff_t>(length);
    switch (below(7)) {
      case 0: *place = static_cast<uint8_t>(*place ^ (1U << below(8))); return;
      case 1: *place = interesting_byte(); return;
      case 2: input.insert(place, interesting_byte()); return;
      case 3: input.erase(place, end); return;
      case 4: return repeat(input, Input(place, end), at);
      case 5: input.resize(at); return;
      default: return splice(input, at);
    }
  }

  void repeat(Input& input, const Input& part, size_t at) {
    const size_t times = 1 + below(8);
    for (size_t i = 0; i < times; ++i) input.insert(input.begin() + static_cast<ptrdiff_t>(at), part.begin(), part.end());
  }

  void splice(Input& input, size_t at) {
    const Input& other = corpus_[below(corpus_.size())];
    const size_t from = below(other.size());
    const size_t length = below(other.size() - from + 1);
    const auto begin = other.begin() + static_cast<ptrdiff_t>(from);
    const Input part(begin, begin + static_cast<ptrdiff_t>(length));
    input.insert(input.begin() + static_cast<ptrdiff_t>(at), part.begin(), part.end());
  }

  std::mt19937_64 random_;
  const std::vector<Input>& corpus_;
};

bool read_number(std::string_view argument, std::string_view flag, uint64_t& value) {
  if (!argument.starts_with(flag)) return false;
  const std::string_view text = argument.substr(flag.size());
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fprintf(stderr, "not a number: %.*s\n", static_cast<int>(argument.size()), argument.data());
    exit(2);
  }
  return true;
}

Options read_options(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (read_number(argument, "--runs=", options.runs) || read_number(argument, "--seed=", options.seed) ||
        read_number(argument, "--size-max=", options.size_max_bytes)) {
      continue;
    }
    if (argument.starts_with("--")) {
      fprintf(stderr, "unknown flag %s\n", argv[i]);
      exit(2);
    }
    options.paths.emplace_back(argv[i]);
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  catch_crashes(argv[0]);
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);

  std::vector<Input> corpus = load_all(options.paths);
  const size_t replayed = corpus.size();
  for (const Input& input : corpus) run(input);
  corpus.emplace_back();  // so that there is something to mutate, and the empty input is always tried
  run(corpus.back());

  Mutator mutator(options.seed, corpus);
  for (uint64_t i = 0; i < options.runs; ++i) run(mutator.next(options.size_max_bytes));
  printf("%zu inputs replayed, %llu mutations with seed %llu\n", replayed, static_cast<unsigned long long>(options.runs),
         static_cast<unsigned long long>(options.seed));
}
