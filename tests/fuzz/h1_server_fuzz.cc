// Requests as a client may send them, against an owner that answers in the ways the input says. Checked: nothing is answered
// twice, credit adds up, what the codec writes can be read back, and no step goes beyond the bytes given (sanitizers).
//
// Input: a byte of options, then the stream. The byte 0xff cuts a receive, 0xfe lets the owner act.
#include <cstdint>

#include "tests/codecs/h1_harness.h"

namespace {

using namespace ringside;
using namespace ringside::h1_test;

H1Limits limits_of(uint8_t options) {
  H1Limits limits;
  limits.accept_http_10 = (options & 1) != 0;
  limits.enable_trailers = (options & 2) != 0;
  limits.underscore = static_cast<H1Underscore>((options >> 2) % 3);
  limits.header_bytes_max = (options & 16) != 0 ? 200 : 60 * 1024;
  limits.header_count_max = (options & 32) != 0 ? 3 : 100;
  return limits;
}

// The rest of the options say how requests are answered.
class Owner {
 public:
  explicit Owner(uint8_t options) : options_(options), server_(limits_of(options)) {
    server_.auto_grant = (options & 64) != 0;
  }

  void feed(std::string_view piece) {
    if (piece.empty()) return;
    fed_ += piece.size();
    server_.feed(piece);
  }

  // Forwards a complete request and answers it.
  void act() {
    if (server_.error.seen || answered_ == server_.requests.size()) return;
    Recorder& request = server_.last();
    const bool early = (options_ & 128) != 0;
    if (!request.ended && !early) return;
    forward(request);
    server_.answer(request.body_bytes % 3 == 0 ? 200 : 204, request.log);
    ++answered_;
    RS_CHECK(server_.requests.size() >= answered_);
    if (server_.codec.held_bytes() > 0 && server_.codec.idle()) server_.codec.resume();
  }

  void end() {
    server_.codec.on_end();
    for (size_t at = 0; at <= server_.requests.size(); ++at) act();
    if (server_.codec.idle() && !server_.error.seen) RS_CHECK(server_.granted + server_.codec.held_bytes() == fed_);
    RS_CHECK(server_.granted <= fed_);
  }

 private:
  // What one codec accepted, the other writes; a strict server must take it again, unless it has nothing to name a host by.
  void forward(Recorder& request) {
    const Head& head = *request.last_head;
    if (head.method == "CONNECT" || head.authority.empty()) return;
    ClientEnd client{H1Limits{}};
    client.response = std::make_unique<Recorder>();
    client.codec.open(*client.response);
    client.codec.send_head(head, head.fields.has(HeaderId::content_length) ? End::no : End::yes);
    RS_CHECK(!client.error.seen);
    ServerEnd again{H1Limits{.header_bytes_max = 1 << 20, .header_count_max = 200}};
    again.feed(client.sink.text);
    RS_CHECK(!again.error.seen && again.requests.size() == 1);
    RS_CHECK(text_of(again.last().last_head->fields).starts_with(text_of(head.fields)));
  }

  uint8_t options_;
  ServerEnd server_;
  size_t answered_ = 0;
  size_t fed_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0 || size > 20000) return 0;
  Owner owner(data[0]);
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const size_t cut = rest.find_first_of("\xff\xfe");
    owner.feed(rest.substr(0, cut));
    if (cut == std::string_view::npos) break;
    if (rest[cut] == '\xfe') owner.act();
    rest.remove_prefix(cut + 1);
  }
  owner.act();
  owner.end();
  return 0;
}
