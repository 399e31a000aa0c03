#include "codecs/http2/h2_client_codec.h"

#include <algorithm>

namespace ringside {

uint32_t H2ClientCodec::streams_available() const {
  if (!reusable()) return 0;
  const uint32_t max = std::min(limits_.streams_max, peer_streams_max_);
  return max > streams_active() ? max - streams_active() : 0;
}

Stream& H2ClientCodec::open(StreamUser& user) {
  RS_CHECK(streams_available() > 0);
  H2Stream& stream = new_stream(0);
  stream.user = &user;
  return stream;
}

// --- Requests ----------------------------------------------------------------------------------------------------------------

void H2ClientCodec::send_informational(H2Stream&, const Head&) {
  check_failed("a client sends no informational responses");
}

void H2ClientCodec::send_head(H2Stream& stream, const Head& head, End end) {
  RS_CHECK(stream.out == H2Stream::Out::head);
  const H2Listed listed = list_request(head, pool_.fields());
  stream.extended = head.upgrade && !head.upgrade_protocol.empty();
  stream.connect = stream.extended || head.method == "CONNECT";
  if (listed.wrong == nullptr && stream.extended && !limits_.connect_protocol)
    return fail_local(stream, "extended CONNECT, which http2_protocol_options.allow_connect would allow");
  if (listed.wrong == nullptr && stream.extended && !peer_connect_protocol_)
    return fail_local(stream, "extended CONNECT to an upstream that does not take it");
  // Numbers rise in the order in which the peer sees them; a head that is refused uses none up.
  if (listed.wrong == nullptr) {
    enter(stream, next_stream_);
    next_stream_ += 2;
  }
  stream.head_request = head.method == "HEAD";
  write_head(stream, listed, end);
}

// --- Responses ---------------------------------------------------------------------------------------------------------------

H2Codec::Opening H2ClientCodec::open_block(uint32_t stream_id) {
  if (is_idle(stream_id)) {
    fail({H2Code::protocol_error, "HEADERS on an idle stream"});
    return {};
  }
  ++stats_.headers_cb_no_stream;
  return reopen(stream_id);
}

const char* H2ClientCodec::on_message(uint32_t, H2Stream* found) {
  H2Stream& stream = *found;
  H2Meaning meaning;
  if (const char* wrong = check_response(*scratch_, meaning)) return wrong;
  stream.begun = true;
  const bool end = block_ends_stream();
  if (meaning.status < 200) {
    if (end) return "informational response that ends its stream";
    if (++stream.informationals > h2::informationals_max) return "too many informational responses";
    if (stream.user != nullptr) stream.user->on_informational(build_head(*scratch_, meaning, stream.user->arena()));
    return nullptr;
  }
  if (meaning.status / 100 != 2) stream.connect = false;  // no tunnel: a response like others
  begin_body_in(stream, meaning);
  if (end && stream.receive_left != 0 && stream.receive_left != H2Stream::length_unknown)
    return "body is shorter than its content-length";
  if (stream.user != nullptr) {
    Head& head = build_head(*scratch_, meaning, stream.user->arena());
    if (stream.connect && meaning.status / 100 == 2) {
      head.upgrade = true;
      head.fields.remove(HeaderId::content_length);
      if (stream.extended) head.status = 101;
    }
    stream.user->on_head(head, end ? End::yes : End::no);
  }
  end_if_over(stream);
  return nullptr;
}

// Streams above the last one were not looked at (RFC 9113 6.8): they may be tried elsewhere.
void H2ClientCodec::on_goaway(uint32_t last_stream_id) {
  if (last_stream_id > goaway_last_stream_)
    return fail({H2Code::protocol_error, "GOAWAY with a larger last stream than before"});
  goaway_last_stream_ = last_stream_id;
  const Error why{ErrorCode::peer_closed, Origin::upstream, Retry::always, "upstream goes away"};
  while (true) {
    H2Stream* lost = fresh_.empty() ? nullptr : &fresh_.front();
    streams_.for_each([&](H2Stream& stream) {
      if (stream.id > last_stream_id) lost = &stream;
    });
    if (lost == nullptr) return;
    cut(*lost, why);
  }
}

}  // namespace ringside
