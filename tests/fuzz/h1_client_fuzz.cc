// Responses as an upstream may send them. Checked: an exchange ends exactly once, a connection that saw anything odd is not
// reusable, credit adds up, and a response that was accepted can be relayed by our server end.
//
// Input: a byte of options, then the stream. The byte 0xff cuts a receive; 0xfe ends the exchange's turn: when it is over and
// the connection reusable, the next request is sent.
#include <cstdint>

#include "tests/codecs/h1_harness.h"

namespace {

using namespace ringside;
using namespace ringside::h1_test;

// Writes the response again, as a proxy would for a client of HTTP/1.1, and reads it back.
void relay(const Recorder& response, bool head_request) {
  ServerEnd server{H1Limits{}};
  server.feed(head_request ? "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" : "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const Head& head = *response.last_head;
  const std::string body(response.body_bytes, 'b');
  server.codec.send_head(head, body.empty() ? End::yes : End::no);
  // A response to HEAD may announce a length without the body.
  if (!body.empty()) server.codec.send_body(slice_of(body), End::yes);
  RS_CHECK(!server.error.seen);
  ClientEnd again{H1Limits{.header_bytes_max = 1 << 20, .header_count_max = 200}};
  again.ask(head_request ? "HEAD" : "GET");
  again.feed(server.sink.text);
  RS_CHECK(!again.error.seen && again.response->ended && again.codec.reusable());
  RS_CHECK(again.response->body_bytes == body.size());
}

class Upstream {
 public:
  explicit Upstream(uint8_t options) : options_(options), client_(limits_of(options)) { ask(); }

  void feed(std::string_view piece) {
    if (piece.empty()) return;
    fed_ += piece.size();
    client_.feed(piece);
    check();
  }

  void next() {
    if (!client_.codec.reusable() || client_.error.seen) return;
    if (client_.codec.idle()) ask();
  }

  void end() {
    client_.codec.on_end();
    check();
    RS_CHECK(client_.response->ended != client_.response->was_reset || (options_ & 8) != 0 || client_.error.seen);
    RS_CHECK(!client_.codec.reusable());
  }

 private:
  static H1Limits limits_of(uint8_t options) {
    H1Limits limits;
    limits.enable_trailers = (options & 1) != 0;
    limits.header_bytes_max = (options & 2) != 0 ? 200 : 60 * 1024;
    return limits;
  }

  void ask() { client_.ask((options_ & 4) != 0 ? "HEAD" : "GET", (options_ & 8) != 0 ? End::no : End::yes); }

  void check() {
    Recorder& response = *client_.response;
    RS_CHECK(!(response.ended && response.was_reset && client_.idles > 0 && !client_.error.seen));
    RS_CHECK(client_.granted <= fed_);
    if (client_.error.seen) RS_CHECK(!client_.codec.reusable());
    if (response.ended && response.last_head != nullptr && (options_ & 8) == 0) relay(response, (options_ & 4) != 0);
  }

  uint8_t options_;
  ClientEnd client_;
  size_t fed_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 20000) return 0;
  Upstream upstream(data[0]);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const size_t cut = rest.find_first_of("\xff\xfe");
    upstream.feed(rest.substr(0, cut));
    if (cut == std::string_view::npos) break;
    if (rest[cut] == '\xfe') upstream.next();
    rest.remove_prefix(cut + 1);
  }
  upstream.end();
  return 0;
}
