// What reading and writing HTTP/1 heads costs.
#include "codecs/http1/h1_parser.h"
#include "codecs/http1/h1_writer.h"
#include "perf/micro_bench.h"

namespace ringside::perf {
namespace {

constexpr std::string_view small_request =
    "GET /api/items/1024 HTTP/1.1\r\nHost: bench.test\r\nUser-Agent: ringside-load\r\nAccept: */*\r\n\r\n";
constexpr std::string_view browser_request =
    "GET /assets/app.js?v=20240601 HTTP/1.1\r\nHost: www.example.com\r\nConnection: keep-alive\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 "
    "Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9,de;q=0.8\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=yes\r\nReferer: "
    "https://www.example.com/start\r\n"
    "Sec-Fetch-Dest: script\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Site: same-origin\r\nX-Request-Start: "
    "t=1717200000\r\n\r\n";
constexpr std::string_view response =
    "HTTP/1.1 200 OK\r\nDate: Sat, 01 Jun 2024 00:00:00 GMT\r\nServer: ringside-backend\r\nContent-Type: text/plain\r\n"
    "Cache-Control: no-store\r\nContent-Length: 1024\r\n\r\n";

[[noreturn]] void fail(const char* what) {
  fmt::print(stderr, "micro-http1: {}\n", what);
  std::exit(1);
}

// A sink that forgets.
class NullSink final : public CodecSink {
 public:
  void write(Slice bytes) override { keep(bytes.size()); }
  char* reserve(size_t bytes) override {
    if (bytes > sizeof memory_) fail("a head of more than 64 KB");
    return memory_;
  }
  void commit(size_t bytes) override { keep(bytes); }

 private:
  char memory_[64 * 1024];
};

// Both: the adapter with its checks of the grammar, and with what the head means.
class Reader {
 public:
  void parse(H1Part part, std::string_view text) {
    feed(part, text);
    parser_.release(pool_);
  }
  Head& build(H1Part part, std::string_view text, Arena& arena) {
    feed(part, text);
    H1Meaning meaning;
    H1Failure failure;
    const bool good = part == H1Part::request
                          ? check_request_head(parser_.head(), limits_, meaning, failure)
                          : check_response_head(parser_.head(), limits_, H1AnswerTo::other_request, meaning, failure);
    if (!good) fail(failure.detail);
    Head& head = build_head(parser_.head(), meaning, arena);
    parser_.release(pool_);
    return head;
  }

 private:
  void feed(H1Part part, std::string_view text) {
    size_t consumed = 0;
    H1Failure failure;
    if (parser_.feed(pool_, limits_, part, text, consumed, failure) != H1HeadParser::Step::done) fail(failure.detail);
  }
  H1ScratchPool pool_;
  H1Limits limits_;
  H1HeadParser parser_;
};

void run() {
  Reader reader;
  ArenaPool arenas;
  micro_bench("parse a request of 4 lines", [&] { reader.parse(H1Part::request, small_request); });
  micro_bench("parse a browser's request of 13 lines", [&] { reader.parse(H1Part::request, browser_request); });
  micro_bench("parse a response of 6 lines", [&] { reader.parse(H1Part::response, response); });
  const auto build = [&](std::string_view name, H1Part part, std::string_view text) {
    micro_bench(name, [&, part, text] {
      Arena arena(arenas);
      keep(&reader.build(part, text, arena));
    });
  };
  build("the same, checked and built: 4 lines", H1Part::request, small_request);
  build("the same, checked and built: 13 lines", H1Part::request, browser_request);
  build("the same, checked and built: response", H1Part::response, response);

  NullSink sink;
  Arena arena(arenas);
  const Head& request_head = reader.build(H1Part::request, browser_request, arena);
  const Head& response_head = reader.build(H1Part::response, response, arena);
  micro_bench("write a request head of 12 fields",
              [&] { keep(write_request_head(sink, request_head, survey_fields(request_head.fields), {})); });
  const H1HeadPlan plan{.keep_length = true};
  micro_bench("write a response head of 5 fields",
              [&] { keep(write_response_head(sink, response_head, survey_fields(response_head.fields), plan)); });
}

}  // namespace
}  // namespace ringside::perf

int main() { ringside::perf::run(); }
