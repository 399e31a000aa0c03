#include "codecs/http1/h1_client_codec.h"

#include <utility>

#include "codecs/http1/h1_writer.h"
#include "core/check.h"

namespace ringside {

H1ClientCodec::H1ClientCodec(CodecUser& user, CodecSink& sink, const H1Limits& limits, H1ScratchPool& pool)
    : H1Codec(user, sink, limits, pool, Origin::upstream) {}

void H1ClientCodec::open(StreamUser& user) {
  RS_CHECK(reusable() && out_ == Out::idle);
  stream_ = &user;
  out_ = Out::head;
}

void H1ClientCodec::skip_http() {
  in_ = In::tunnel;
  out_ = Out::tunnel;
  persistent_ = false;
}

// --- requests --------------------------------------------------------------------------------------------------------------

void H1ClientCodec::send_informational(const Head&) { check_failed("a client sends no informational responses"); }

void H1ClientCodec::send_head(const Head& head, End end) {
  if (out_ == Out::dead) return;
  RS_CHECK(out_ == Out::head);
  const H1Fields fields = survey_fields(head.fields);
  if (fields.wrong_length) return fail_local("request with a wrong content-length");
  if (head.method == "CONNECT" && !head.upgrade) return fail_local("CONNECT to an upstream");
  upgrade_asked_ = head.upgrade;
  connect_asked_ = upgrade_asked_ && head.method == "CONNECT";
  if (upgrade_asked_) end = End::yes;  // what follows is not HTTP's, and is sent when the upstream has agreed
  H1HeadPlan plan;
  if (upgrade_asked_) plan.upgrade = head.upgrade_protocol;
  Out framing = Out::length;
  uint64_t body_bytes = 0;
  if (fields.length.has_value()) {
    plan.keep_length = true;
    body_bytes = *fields.length;
    if (end == End::yes && body_bytes > 0) return fail_local("body is shorter than its content-length");
  } else if (end == End::no) {
    framing = Out::chunked;
    plan.chunked = true;
  } else {
    // A method that has a body by its nature says when there is none (RFC 9110 8.6).
    plan.add_zero_length = head.method == "POST" || head.method == "PUT" || head.method == "PATCH";
  }
  head_request_ = head.method == "HEAD";
  const size_t written = write_request_head(sink_, head, fields, plan);
  if (written == 0) return fail_local("request head that cannot be sent");
  in_ = In::start;
  begin_body_out(framing, body_bytes, written);
  if (end == End::yes) message_out_ended();
}

// --- responses -------------------------------------------------------------------------------------------------------------

void H1ClientCodec::on_head() {
  H1Meaning meaning;
  H1Failure failure;
  const H1AnswerTo to = head_request_    ? H1AnswerTo::head_request
                        : connect_asked_ ? H1AnswerTo::connect_request
                        : upgrade_asked_ ? H1AnswerTo::upgrade_request
                                         : H1AnswerTo::other_request;
  if (!check_response_head(parser_.head(), limits_, to, meaning, failure)) return fail(failure);
  const bool informational = meaning.status < 200 && !meaning.upgrade;
  if (informational && ++informationals_ > h1::informationals_max)
    return fail({.detail = "too many informational responses"});
  if (!meaning.persistent) persistent_ = false;
  Head& head = build_head(parser_.head(), meaning, stream_->arena());
  parser_.release(pool_);
  if (informational) {
    in_ = In::start;
    return stream_->on_informational(head);
  }
  if (meaning.upgrade) {
    in_ = In::tunnel;
    persistent_ = false;
    return stream_->on_head(head, End::no);
  }
  const End end = begin_body_in(meaning);
  stream_->on_head(head, end);
  end_exchange_if_over();
}

// Whatever comes after a response, or before a request, belongs to nobody: what follows it could be taken for an answer.
void H1ClientCodec::on_surplus(Slice& bytes) {
  const bool unasked = !idle_due_ && in_ == In::idle;
  persistent_ = false;
  bytes = Slice();
  if (unasked) fail({.detail = "bytes without a request"});
}

void H1ClientCodec::on_end() {
  peer_ended_ = true;
  persistent_ = false;
  if (in_ == In::until_close) {
    decoding_ = true;
    deliver_end();
    decoding_ = false;
    return settle();
  }
  if (stream_ == nullptr || in_ == In::ended || in_ == In::tunnel) return;
  // A response that breaks off is no HTTP message (RFC 9112 8). Without any byte of it, or after an interim one, the connection
  // has merely gone.
  const bool in_a_message = in_ != In::start && in_ != In::idle;
  if (in_a_message)
    return fail(Error{ErrorCode::bad_message, Origin::upstream, Retry::never, "upstream closed in the middle of its response"}, 0);
  const Retry retry = response_begun_ ? Retry::never : Retry::if_reused;
  fail(Error{ErrorCode::peer_closed, Origin::upstream, retry, "upstream closed in the middle of an exchange"}, 0);
}

}  // namespace ringside
