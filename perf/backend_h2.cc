// HTTP/2 at the backend: the answers of HTTP/1, and a gRPC method that sends its message back.
#include <algorithm>
#include <charconv>
#include <string>

#include "codecs/http2/h2_hpack.h"
#include "perf/backend_session.h"
#include "perf/load_h2_endpoint.h"
#include "perf/load_h2_streams.h"
#include "perf/load_h2_text.h"

namespace ringside::perf {
namespace {

// As many as a common server of HTTP/2 allows; a proxy opens another connection for more.
constexpr uint32_t streams_max = 250;

// One request, as far as it matters.
struct Request final : HpackUser {
  uint64_t answer_bytes = 0;
  uint64_t body_bytes = 0;
  bool answer_head = false;
  bool is_grpc = false;
  bool body_matches = true;
  std::string authority;
  std::string head_text;  // of the fields behind the path; for requests that ask for it

  void on_field(std::string_view name, std::string_view value) override {
    if (name == ":path") return read_path(value);
    if (name == ":authority") authority = value;
    if (name == "content-type") is_grpc = value.starts_with(grpc_content_type);
    if (answer_head) head_text.append(name).append(": ").append(value).append("\r\n");
  }

 private:
  void read_path(std::string_view path) {
    const std::string_view whole = path.substr(0, path.find('?'));
    const std::string_view last = whole.substr(whole.rfind('/') + 1);
    const auto [stop, error] = std::from_chars(last.data(), last.data() + last.size(), answer_bytes);
    const bool is_number = error == std::errc{} && stop == last.data() + last.size();
    answer_head = !is_number && whole != grpc_path;
  }
};

class H2Session final : public ServerSession, private H2Endpoint {
 public:
  H2Session(Backend& backend, std::unique_ptr<Transport> transport)
      : ServerSession(backend, std::move(transport)),
        H2Endpoint(backend.worker(), backend.pattern()),
        grpc_head_(headers_frame(
            H2BlockText().add(H2Static::status_200).add(H2StaticName::content_type, grpc_content_type), 0)),
        grpc_trailers_(headers_frame(H2BlockText().add("grpc-status", "0"), h2::end_stream)) {}

 private:
  // ServerSession
  void started() override { greet({}, streams_max); }
  void on_bytes(Slice bytes) override {
    std::string_view rest = bytes.text();
    while (!rest.empty() && preface_bytes_ < h2::preface.size()) {
      if (rest.front() != h2::preface[preface_bytes_++]) return refuse();
      rest.remove_prefix(1);
    }
    if (!feed(rest) && !closing_) return refuse();
    if (!closing_) transport_->grant(bytes.size());
  }

  // H2Endpoint
  void write(Slice bytes) override { transport_->send(std::move(bytes)); }
  void on_greeted() override {}
  bool on_goaway(uint32_t, uint32_t) override { return true; }  // the proxy closes when it has its answers
  bool on_reset(uint32_t stream_id, uint32_t) override {
    if (requests_.find(stream_id) != nullptr) requests_.remove(stream_id);
    return true;
  }
  bool on_headers(uint32_t stream_id, std::string_view block, H2End end) override {
    Request* known = requests_.find(stream_id);
    Request& request = known != nullptr ? *known : requests_.add(stream_id);  // known: these are trailers
    if (!decoder_.decode(block, HpackDecoder::Last::yes, request)) return false;
    if (end == H2End::yes) answer(stream_id, request);
    return true;
  }
  bool on_body(uint32_t stream_id, std::string_view piece, H2End end) override {
    Request* request = requests_.find(stream_id);
    if (request == nullptr) return true;  // of a stream that was reset
    const uint64_t prefix_bytes = request->is_grpc ? grpc_prefix.size() : 0;
    const auto skipped = static_cast<size_t>(
        std::min<uint64_t>(piece.size(), prefix_bytes - std::min(prefix_bytes, request->body_bytes)));
    request->body_bytes += skipped;
    piece.remove_prefix(skipped);
    if (!piece.empty()) {
      request->body_matches =
          request->body_matches && backend_.pattern().matches(request->body_bytes - prefix_bytes, piece);
      request->body_bytes += piece.size();
    }
    if (end == H2End::yes) answer(stream_id, *request);
    return true;
  }

  void answer(uint32_t stream_id, Request& request) {
    backend_.count_request();
    if (!request.body_matches) backend_.count_bad();
    if (request.is_grpc)
      answer_grpc(stream_id, request);
    else
      answer_plain(stream_id, request);
    requests_.remove(stream_id);
  }

  void answer_grpc(uint32_t stream_id, const Request& request) {
    if (request.body_bytes != grpc_prefix.size() + grpc_message_bytes) backend_.count_bad();
    write_frame(grpc_head_, stream_id);
    write_body(stream_id, {Slice::of_static(grpc_prefix), grpc_message_bytes, grpc_trailers_});
  }

  void answer_plain(uint32_t stream_id, Request& request) {
    if (request.answer_head) request.head_text.append(":authority: ").append(request.authority).append("\r\n");
    const uint64_t body_bytes = request.answer_head ? request.head_text.size() : request.answer_bytes;
    write_frame(backend_.answer_frame(body_bytes), stream_id);
    if (request.answer_head)
      write_body(stream_id, {backend_.worker().output().copy(request.head_text), 0, {}});
    else if (body_bytes > 0)
      write_body(stream_id, {{}, body_bytes, {}});
  }

  HpackDecoder decoder_;
  LoadStreams<Request> requests_;
  const std::string grpc_head_;
  const std::string grpc_trailers_;
  size_t preface_bytes_ = 0;
};

}  // namespace

void open_h2_session(Backend& backend, std::unique_ptr<Transport> transport) {
  (new H2Session(backend, std::move(transport)))->start();
}

}  // namespace ringside::perf
