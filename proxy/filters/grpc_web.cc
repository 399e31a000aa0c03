#include "proxy/filters/grpc_web.h"

#include <cstring>
#include <string>

#include "codecs/base64.h"
#include "codecs/grpc.h"
#include "core/block_pool.h"
#include "proxy/grpc_rules.h"
#include "proxy/observe/grpc_methods.h"
#include "proxy/shard.h"
#include "proxy/upstream/cluster.h"

namespace ringside {
namespace {

constexpr std::string_view binary_type = "application/grpc-web", text_type = "application/grpc-web-text";
constexpr size_t explanation_bytes_max = 4096;
constexpr char trailers_flag = static_cast<char>(0x80);

// The type itself, or with the one format that there is.
bool is_type(std::string_view value, std::string_view type) {
  return value.starts_with(type) && (value.size() == type.size() || value.substr(type.size()) == "+proto");
}

class Part final : public FilterPart {
 public:
  Part(FilterHost& host, const Head& request) : FilterPart(host) {
    sees_request_body_ = is_type(request.fields.value(HeaderId::content_type), text_type);
    answers_text_ = is_type(request.fields.value(HeaderId::accept), text_type);
    Cluster* const cluster = host.cluster();
    const std::optional<GrpcMethodName> name = GrpcMethodName::parse(request.path);
    if (cluster != nullptr && name)
      stats_ = &cluster->grpc_methods(host.shard().registry()).find(GrpcMethods::Protocol::grpc_web, *name);
  }

  Verdict on_request(Head& head, End) override {
    head.fields.remove(HeaderId::content_length);
    head.fields.set(HeaderId::content_type, "application/grpc");
    head.fields.set(HeaderId::te, "trailers");
    head.fields.set("grpc-accept-encoding", "identity");
    return Verdict::proceed;
  }

  void on_request_body(Buffer& body, End end) override {
    if (body.empty() && (end == End::no || decoder_.between_groups())) return;
    char* out = nullptr;
    Slice bytes = make_heap_slice(Base64Decoder::bytes_max(body.size_bytes()), &out);
    size_t size = 0;
    for (; !body.empty(); body.pop_front()) {
      const size_t wrote = decoder_.write(body.slice(0).text(), out + size);
      if (wrote == Base64Decoder::failed) return refuse();
      size += wrote;
    }
    if (end == End::yes && !decoder_.between_groups()) return refuse();
    bytes.truncate(size);
    body.append(std::move(bytes));
  }

  Verdict on_response(Head& head, End end) override {
    // An answer of our own may come in the place of one that was held.
    explained_ = nullptr;
    explanation_ = {};
    if (stats_ != nullptr) count_grpc_status(*stats_, head.fields);
    const bool is_message = head.status == 200 && is_grpc_request(head);
    head.fields.set(HeaderId::content_type, answers_text_ ? "application/grpc-web-text+proto" : "application/grpc-web+proto");
    if (end == End::yes) return Verdict::proceed;
    sees_response_body_ = answers_text_ || !is_message;
    if (is_message) {
      head.fields.remove(HeaderId::content_length);
      return Verdict::proceed;
    }
    explained_ = &head;
    return Verdict::wait;
  }

  void on_response_body(Buffer& body, End end) override {
    if (explained_ != nullptr) return explain(body, end);
    Buffer text;
    while (!body.empty()) encode(body.pop_front(), text);
    if (end == End::yes) pad(text);
    body = std::move(text);
  }

  void on_response_trailers(HeaderMap*& fields, Buffer& before) override {
    if (stats_ != nullptr) count_grpc_status(*stats_, *fields);
    if (explained_ != nullptr) {
      fields = nullptr;
      return explain(before, End::yes);
    }
    Slice frame = trailers_frame(*fields);
    if (answers_text_) {
      pad(before);
      encode(std::move(frame), before);
      pad(before);
    } else {
      before.append(std::move(frame));
    }
    fields = nullptr;
  }

 private:
  // An answer that is none of gRPC: what it says becomes grpc-message, for a client that reads nothing else.
  void explain(Buffer& body, End end) {
    for (; !body.empty(); body.pop_front()) {
      const std::string_view text = body.slice(0).text();
      explanation_ = host_.arena().concat(explanation_, text.substr(0, explanation_bytes_max - explanation_.size()));
    }
    if (end == End::no) return;
    HeaderMap& fields = explained_->fields;
    if (!fields.has(HeaderId::grpc_status)) set_grpc_status(fields, grpc_status_of_http(explained_->status));
    if (!explanation_.empty()) set_grpc_message(fields, explanation_);
    fields.set(HeaderId::content_length, "0");
    host_.resume_response();
  }

  void refuse() {
    host_.answer({.status = 400, .body = "Bad gRPC-web request, invalid base64 data.", .details = "grpc_base_64_decode_failed"});
  }

  // Each message is padded by itself, so that a client can read it before the next one comes.
  void encode(Slice bytes, Buffer& into) {
    for (std::string_view rest = bytes.text(); !rest.empty();) {
      const std::string_view part = rest.substr(0, frames_.read_message_part(rest));
      rest.remove_prefix(part.size());
      char* out = nullptr;
      Slice text = make_heap_slice(Base64Encoder::text_bytes_max(part.size()), &out);
      size_t size = encoder_.write(part, out);
      if (frames_.between_messages()) size += encoder_.finish(out + size);
      text.truncate(size);
      into.append(std::move(text));
    }
  }
  void pad(Buffer& into) {
    char end[4];
    const size_t size = encoder_.finish(end);
    if (size != 0) into.append(host_.worker().output().copy({end, size}));
  }

  Slice trailers_frame(const HeaderMap& fields) {
    size_t size = 0;
    for (const HeaderField& field : fields) size += field.name().size() + field.value().size() + 3;
    char* out = nullptr;
    Slice frame = make_heap_slice(grpc_frame_header_bytes + size, &out);
    *out++ = trailers_flag;
    for (int shift = 24; shift >= 0; shift -= 8) *out++ = static_cast<char>(size >> shift);
    const auto put = [&out](std::string_view text) {
      std::memcpy(out, text.data(), text.size());
      out += text.size();
    };
    for (const HeaderField& field : fields) {
      put(field.name());
      put(":");
      put(field.value());
      put("\r\n");
    }
    return frame;
  }

  StatBlock<GrpcStat>* stats_ = nullptr;  // null: no method, or no cluster
  Base64Decoder decoder_;                 // of the request
  Base64Encoder encoder_;                 // of the response
  GrpcFrameReader frames_;
  Head* explained_ = nullptr;  // of a response that is none of gRPC
  std::string_view explanation_;
  bool answers_text_ = false;
};

}  // namespace

FilterPart* GrpcWebFilter::start(FilterHost& host, const Head& request) const {
  if (request.upgrade) return nullptr;  // whatever it calls itself, what follows is not gRPC
  const std::string_view type = request.fields.value(HeaderId::content_type);
  if (!is_type(type, binary_type) && !is_type(type, text_type)) return nullptr;
  return host.make<Part>(host, request);
}

}  // namespace ringside
