#include "perf/load_h2_connection.h"

#include <fmt/format.h>

#include <charconv>

namespace ringside::perf {
namespace {

// What is read out of the header block of an answer.
class AnswerFields final : public HpackUser {
 public:
  int status = 0;
  int grpc_status = -1;

 private:
  void on_field(std::string_view name, std::string_view value) override {
    if (name == ":status") read(value, &status);
    if (name == "grpc-status") read(value, &grpc_status);
  }
  static void read(std::string_view text, int* number) {
    std::from_chars(text.data(), text.data() + text.size(), *number);
  }
};

}  // namespace

void H2Connection::request(std::string_view frame, Instant since) {
  const uint32_t stream_id = next_stream_id_;
  next_stream_id_ += 2;
  streams_.add(stream_id).since = since;
  write_frame(frame, stream_id);
  if (call_ == Call::grpc)
    write_body(stream_id, {Slice::of_static(grpc_prefix), grpc_message_bytes, {}});
  else if (shape_->body_bytes > 0)
    write_body(stream_id, {{}, shape_->body_bytes, {}});
}

void H2Connection::check_stalled(Instant now, Duration patience) {
  streams_.each([&](uint32_t, const Answer& answer) {
    if (now - answer.since > patience) counts().failed(Failure::stalled, "no answer");
  });
}

void H2Connection::received(std::string_view bytes) {
  if (!feed(bytes)) fail(Failure::bad_message, "not an HTTP/2 answer");  // unless it has failed for a better reason
}

void H2Connection::ended() {
  if (streams_.count() > 0) return fail(Failure::short_answer, "FIN before the answers' end");
  if (draining_) return close();
  fail(Failure::reset, "FIN on an idle connection");
}

void H2Connection::gone() {
  streams_.clear();
  decoder_.reset();
  next_stream_id_ = 1;
  draining_ = false;
  user_.on_gone(*this);
}

bool H2Connection::give_up(Failure failure, std::string_view detail) {
  fail(failure, detail);
  return false;
}

// --- Answers -------------------------------------------------------------------------------------------------------------

bool H2Connection::on_headers(uint32_t stream_id, std::string_view block, H2End end) {
  Answer* answer = streams_.find(stream_id);
  if (answer == nullptr) return give_up(Failure::bad_message, "HEADERS on a stream that is not ours");
  if (decoder_ == nullptr) decoder_ = std::make_unique<HpackDecoder>();
  AnswerFields fields;
  if (!decoder_->decode(block, HpackDecoder::Last::yes, fields))
    return give_up(Failure::bad_message, "a broken header block");
  if (!answer->has_head) {
    if (fields.status != 200) return give_up(Failure::bad_status, fmt::format("status {}", fields.status));
    answer->has_head = true;
  } else if (end == H2End::no) {
    return give_up(Failure::bad_message, "trailers that do not end the stream");
  }
  if (end == H2End::no) return true;
  if (call_ == Call::grpc && fields.grpc_status != 0)
    return give_up(Failure::bad_status, fmt::format("grpc-status {}", fields.grpc_status));
  return finish_answer(stream_id, *answer);
}

bool H2Connection::on_body(uint32_t stream_id, std::string_view piece, H2End end) {
  Answer* answer = streams_.find(stream_id);
  if (answer == nullptr || !answer->has_head) return give_up(Failure::bad_message, "DATA without a head");
  if (!body_is_right(answer->body_bytes, piece))
    return give_up(Failure::bad_body, "not the bytes that the backend sent");
  answer->body_bytes += piece.size();
  if (end == H2End::no) return true;
  if (call_ == Call::grpc) return give_up(Failure::bad_message, "no trailers");
  return finish_answer(stream_id, *answer);
}

bool H2Connection::body_is_right(uint64_t offset, std::string_view piece) const {
  if (call_ == Call::plain) return pattern_.matches(offset, piece);
  if (offset < grpc_prefix.size()) {
    const std::string_view expected = grpc_prefix.substr(offset, piece.size());
    if (!piece.starts_with(expected)) return false;
    piece.remove_prefix(expected.size());
    offset += expected.size();
  }
  return piece.empty() || pattern_.matches(offset - grpc_prefix.size(), piece);
}

uint64_t H2Connection::answer_bytes_wanted() const {
  return call_ == Call::grpc ? grpc_prefix.size() + grpc_message_bytes : shape_->answer_bytes;
}

bool H2Connection::finish_answer(uint32_t stream_id, const Answer& answer) {
  const Answer done = answer;
  if (done.body_bytes != answer_bytes_wanted())
    return give_up(Failure::bad_body, fmt::format("{} bytes, not {}", done.body_bytes, answer_bytes_wanted()));
  streams_.remove(stream_id);
  user_.on_answer(*this, done.since, done.body_bytes);
  if (draining_ && streams_.count() == 0) close();
  return open();
}

bool H2Connection::on_reset(uint32_t stream_id, uint32_t code) {
  if (streams_.find(stream_id) == nullptr) return true;  // after its end
  return give_up(Failure::reset, fmt::format("RST_STREAM with code {}", code));
}

bool H2Connection::on_goaway(uint32_t last_stream_id, uint32_t code) {
  if (code != 0) return give_up(Failure::reset, fmt::format("GOAWAY with code {}", code));
  draining_ = true;
  bool dropped = false;
  streams_.each([&](uint32_t stream_id, const Answer&) { dropped = dropped || stream_id > last_stream_id; });
  if (dropped) return give_up(Failure::reset, "GOAWAY before requests that were sent");
  if (streams_.count() == 0) close();
  return open();
}

}  // namespace ringside::perf
