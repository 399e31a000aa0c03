#include "codecs/http2/h2_server_codec.h"

namespace ringside {

H2Codec::Opening H2ServerCodec::open_block(uint32_t stream_id) {
  if (stream_id % 2 == 0) {
    fail({H2Code::protocol_error, "request on a stream of ours"});
    return {};
  }
  if (stream_id <= last_stream_) {
    ++stats_.headers_cb_no_stream;
    return reopen(stream_id);
  }
  if (goaway_sent_) {  // RFC 9113 6.8: it knows that this one is not served
    resets_.remember(stream_id, H2ResetMemory::By::us);
    last_stream_ = stream_id;
    return {};
  }
  last_stream_ = last_served_stream_ = stream_id;
  // Answers that were not read yet count, too, but as many again may be: what the kernel took is known to us a little later than
  // to a client, which then asks anew.
  if (streams_.size() >= limits_.streams_max || streams_.size() + lingering_ >= 2 * uint64_t{limits_.streams_max})
    return {Block::ignored, {H2Code::refused_stream, "too many streams"}};
  return {Block::message, {}};
}

const char* H2ServerCodec::on_message(uint32_t stream_id, H2Stream*) {
  H2Meaning meaning;
  if (const char* wrong = check_request(*scratch_, limits_, meaning)) return wrong;
  const bool end = block_ends_stream();
  if (end && meaning.length.value_or(0) > 0) return "body is shorter than its content-length";
  H2Stream& stream = new_stream(stream_id);
  StreamUser& user = user_.on_stream(stream);
  if (stream.closed) return nullptr;
  stream.user = &user;
  Head& head = build_head(*scratch_, meaning, user.arena());
  if (end) head.expect_continue = false;
  begin_body_in(stream, meaning);
  stream.head_request = meaning.method == "HEAD";
  stream.connect = meaning.method == "CONNECT";
  stream.extended = !meaning.protocol.empty();
  user.on_head(head, end ? End::yes : End::no);
  end_if_over(stream);
  return nullptr;
}

void H2ServerCodec::send_informational(H2Stream& stream, const Head& head) {
  if (stream.out != H2Stream::Out::head) return;
  if (head.status < 100 || head.status > 199 || head.status == 101) return;
  const H2Listed listed = list_response(head, pool_.fields());
  if (listed.wrong != nullptr) return fail_local(stream, listed.wrong);
  sender_.write_fields(stream.id, End::no);
}

void H2ServerCodec::send_head(H2Stream& stream, const Head& head, End end) {
  RS_CHECK(stream.out == H2Stream::Out::head);
  if (head.status == 101 && stream.extended) return write_head(stream, list_response(head, pool_.fields(), 200), End::no);
  if (head.status < 200) return fail_local(stream, "informational status as the answer");
  const bool tunnel = head.upgrade && stream.connect && head.status / 100 == 2;  // whatever it says: RFC 9110 9.3.6
  stream.bodiless = !tunnel && (stream.head_request || head.status == 204 || head.status == 304);
  write_head(stream, list_response(head, pool_.fields()), end);
}

void H2ServerCodec::on_goaway(uint32_t) {}  // it opens no more; what it opened goes on

}  // namespace ringside
