#include "proxy/filters/grpc_http1_bridge.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "codecs/grpc.h"
#include "core/block_pool.h"
#include "proxy/grpc_rules.h"

namespace ringside {
namespace {

constexpr std::string_view protobuf_type = "application/x-protobuf";

std::string_view decimal(Arena& arena, uint64_t number) {
  std::array<char, 20> digits;
  return arena.copy({digits.begin(), std::to_chars(digits.begin(), digits.end(), number).ptr});
}

class Part final : public FilterPart {
 public:
  struct Does {
    bool frames = false;   // between bare protobuf and messages
    bool bridges = false;  // the status into the head
    bool ignores_query = false;
  };
  Part(FilterHost& host, Does does) : FilterPart(host), does_(does) {
    sees_request_body_ = does.frames;
    sees_response_body_ = does.bridges;
  }

  Verdict on_request(Head& head, End) override {
    if (!does_.frames) return Verdict::proceed;
    head.fields.set(HeaderId::content_type, "application/grpc");
    head.fields.set(HeaderId::accept, "application/grpc");
    head.fields.remove(HeaderId::content_length);
    if (does_.ignores_query) head.path = head.path.substr(0, head.path.find('?'));
    return Verdict::proceed;
  }

  // The length of the message stands before it, so that the message must be whole.
  void on_request_body(Buffer& body, End end) override {
    keep(body, request_);
    if (request_.size_bytes() > host_.kept_bytes_max())
      return host_.answer({.status = 413, .body = "Payload Too Large", .details = "request_payload_too_large"});
    if (end == End::no) return;
    std::array<char, grpc_frame_header_bytes> header{};
    for (size_t at = 0; at < 4; ++at) header[at + 1] = static_cast<char>(request_.size_bytes() >> (24 - 8 * at));
    body.append(host_.worker().output().copy({header.data(), header.size()}));
    keep(request_, body);
  }

  Verdict on_response(Head& head, End end) override {
    response_.clear();
    head_ = &head;
    if (!does_.bridges || end == End::yes) {
      sees_response_body_ = false;
      return Verdict::proceed;
    }
    return Verdict::wait;
  }

  void on_response_body(Buffer& body, End end) override {
    keep(body, response_);
    if (response_.size_bytes() > host_.kept_bytes_max())
      return host_.answer({.status = 500, .body = "Internal Server Error", .details = "response_payload_too_large"});
    if (end == End::no) return;
    keep(response_, body);  // without trailers it is no answer of gRPC, and passes as it is
    host_.resume_response();
  }

  void on_response_trailers(HeaderMap*& fields, Buffer& before) override {
    if (!does_.bridges) return;
    if (const HeaderField* status = fields->find(HeaderId::grpc_status); status != nullptr) {
      if (grpc_status_of(*fields) != GrpcStatus::ok) head_->status = 503;
      head_->fields.set(HeaderId::grpc_status, status->value());
    }
    if (const HeaderField* text = fields->find("grpc-message"); text != nullptr) head_->fields.set("grpc-message", text->value());
    if (does_.frames) response_.consume(std::min(response_.size_bytes(), grpc_frame_header_bytes));
    head_->fields.set(HeaderId::content_length, decimal(host_.arena(), response_.size_bytes()));
    keep(response_, before);
    fields = nullptr;
    host_.resume_response();
  }

 private:
  static void keep(Buffer& from, Buffer& into) {
    while (!from.empty()) into.append(from.pop_front());
  }

  Does does_;
  Head* head_ = nullptr;                  // of the response, which waits
  Buffer request_, response_;             // kept until they are whole
};

}  // namespace

FilterPart* GrpcHttp1BridgeFilter::start(FilterHost& host, const Head& request) const {
  if (request.upgrade) return nullptr;  // whatever it calls itself, what follows is not gRPC
  Part::Does does;
  does.frames = spec_.upgrade_protobuf && request.fields.value(HeaderId::content_type) == protobuf_type;
  if (!does.frames && !is_grpc_request(request)) return nullptr;
  does.bridges = host.downstream_version() != HttpVersion::http2;
  does.ignores_query = spec_.ignore_query;
  return host.make<Part>(host, does);
}

}  // namespace ringside
