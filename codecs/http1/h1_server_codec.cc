#include "codecs/http1/h1_server_codec.h"

#include <utility>

#include "codecs/http_text.h"
#include "codecs/http1/h1_writer.h"
#include "core/check.h"

namespace ringside {

H1ServerCodec::H1ServerCodec(CodecUser& user, CodecSink& sink, const H1Limits& limits, H1ScratchPool& pool)
    : H1Codec(user, sink, limits, pool, Origin::downstream) {
  in_ = In::start;
}

// --- requests --------------------------------------------------------------------------------------------------------------

void H1ServerCodec::on_head() {
  H1Meaning meaning;
  H1Failure failure;
  if (!check_request_head(parser_.head(), limits_, meaning, failure)) return fail(failure);
  persistent_ = meaning.persistent;
  client_is_done_ = !persistent_ && meaning.framing == H1Framing::none && !meaning.upgrade;
  http10_peer_ = meaning.version == HttpVersion::http10;
  head_request_ = meaning.method == "HEAD";
  upgrade_asked_ = meaning.upgrade && meaning.framing == H1Framing::none;
  connect_asked_ = upgrade_asked_ && meaning.method == "CONNECT";
  out_ = Out::head;
  StreamUser& stream = user_.on_stream(*this);
  if (in_ == In::dead) return;
  stream_ = &stream;
  Head& head = build_head(parser_.head(), meaning, stream.arena());
  parser_.release(pool_);
  const End end = begin_body_in(meaning);
  stream.on_head(head, end);
  end_exchange_if_over();
}

void H1ServerCodec::on_surplus(Slice& bytes) {
  if (resuming_) return;  // they are held already
  hold(bytes);
}

void H1ServerCodec::resume() {
  RS_CHECK(!decoding_);
  decoding_ = resuming_ = true;
  while (held_bytes() > 0 && !idle_due_ && in_ != In::ended) {
    Slice front = held_->slice(0).share();
    const size_t before = front.size();
    run(front);
    if (held_ != nullptr) held_->consume(before - front.size());
  }
  decoding_ = resuming_ = false;
  if (held_bytes() == 0) {
    held_.reset();
    if (peer_ended_ && !idle_due_) on_end();
  }
  settle();
}

void H1ServerCodec::on_end() {
  peer_ended_ = true;
  if (held_bytes() > 0) return;  // resume() comes back here
  const bool in_the_middle = in_ != In::start && in_ != In::ended && in_ != In::tunnel && in_ != In::dead;
  if (!in_the_middle) return;
  fail(Error{ErrorCode::peer_closed, Origin::downstream, Retry::never, "client closed in the middle of a request"}, 0);
}

// --- responses -------------------------------------------------------------------------------------------------------------

void H1ServerCodec::send_informational(const Head& head) {
  if (out_ != Out::head || http10_peer_) return;
  if (head.status < 100 || head.status > 199 || head.status == 101) return;
  const size_t written = write_response_head(sink_, head, survey_fields(head.fields), {});
  if (written == 0) return fail_local("informational response that cannot be sent");
  count_out(written);
}

void H1ServerCodec::send_head(const Head& head, End end) {
  if (out_ == Out::dead) return;
  RS_CHECK(out_ == Out::head);
  const H1Fields fields = survey_fields(head.fields);
  if (fields.wrong_length) return fail_local("response with a wrong content-length");
  if (connect_asked_ ? head.upgrade && head.status / 100 == 2 : head.status == 101 && upgrade_asked_) return send_upgrade(head);
  if (head.status < 200) return fail_local("informational status as the answer");
  // What comes behind a request to leave HTTP may be of the other protocol, also what is on its way still: it must not be taken for
  // a request.
  if (upgrade_asked_) persistent_ = false;
  H1HeadPlan plan;
  plan.version = http10_peer_ ? HttpVersion::http10 : HttpVersion::http11;
  Out framing = Out::length;
  uint64_t body_bytes = 0;
  if (head_request_ || head.status == 204 || head.status == 304) {
    framing = Out::bodiless;
    plan.keep_length = head.status != 204;
  } else if (fields.length.has_value()) {
    plan.keep_length = true;
    body_bytes = *fields.length;
    if (end == End::yes && body_bytes > 0) return fail_local("body is shorter than its content-length");
  } else if (end == End::yes) {
    plan.add_zero_length = true;
  } else if (http10_peer_) {
    framing = Out::until_close;
    persistent_ = false;
  } else {
    framing = Out::chunked;
    plan.chunked = true;
  }
  if (draining_ || (peer_ended_ && held_bytes() == 0)) persistent_ = false;
  if (!persistent_) {
    plan.connection = H1Connection::close;
  } else if (http10_peer_) {
    plan.connection = H1Connection::keep_alive;
  }
  const size_t written = write_response_head(sink_, head, fields, plan);
  if (written == 0) return fail_local("response head that cannot be sent");
  response_begun_ = true;
  begin_body_out(framing, body_bytes, written);
  if (end == End::yes) message_out_ended();
}

void H1ServerCodec::send_upgrade(const Head& head) {
  const H1HeadPlan plan{.upgrade = head.upgrade_protocol};
  const size_t written = write_response_head(sink_, head, survey_fields(head.fields), plan);
  if (written == 0) return fail_local("response head that cannot be sent");
  response_begun_ = true;
  persistent_ = false;
  in_ = In::tunnel;
  begin_body_out(Out::tunnel, 0, written);
}

void H1ServerCodec::send_error(const Head& head, std::string_view body) {
  if (response_begun_) return;
  die();
  const H1HeadPlan plan{.connection = H1Connection::close, .keep_length = true};
  const size_t head_bytes = write_response_head(sink_, head, survey_fields(head.fields), plan);
  if (head_bytes == 0) return;
  char* const out = sink_.reserve(body.size());
  sink_.commit(static_cast<size_t>(http::put(out, body) - out));
  count_out(head_bytes + body.size());
}

}  // namespace ringside
