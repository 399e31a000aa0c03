#include "tests/codecs/nghttp2_peer.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace ringside::h2_test {

// The library's hooks: `user` is the peer.
struct Nghttp2Peer::Callbacks {
  static Nghttp2Peer& of(void* user) { return *static_cast<Nghttp2Peer*>(user); }

  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                       const uint8_t* value, size_t value_size, uint8_t, void* user) {
    PeerMessage& message = of(user).messages[frame->hd.stream_id];
    std::string field(reinterpret_cast<const char*>(name), name_size);
    field.append("=").append(reinterpret_cast<const char*>(value), value_size).append(";");
    const bool trailers =
        frame->headers.cat == NGHTTP2_HCAT_HEADERS && message.fields.find(":status=1") != 0 && !message.fields.empty();
    (trailers ? message.trailers : message.fields) += field;
    return 0;
  }
  static int on_data(nghttp2_session*, uint8_t, int32_t stream_id, const uint8_t* data, size_t size, void* user) {
    of(user).messages[stream_id].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Nghttp2Peer& peer = of(user);
    const bool message = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
    if (message && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) peer.messages[frame->hd.stream_id].ended = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++peer.pings_acknowledged;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
      peer.goaway_seen = true;
      peer.goaway_code = frame->goaway.error_code;
    }
    return 0;
  }
  static int on_invalid(nghttp2_session*, const nghttp2_frame*, int code, void* user) {
    of(user).complaints.emplace_back(nghttp2_strerror(code));
    return 0;
  }
  static int on_close(nghttp2_session*, int32_t stream_id, uint32_t code, void* user) {
    PeerMessage& message = of(user).messages[stream_id];
    message.closed = true;
    message.close_code = code;
    return 0;
  }
  static ssize_t read_body(nghttp2_session* session, int32_t stream_id, uint8_t* out, size_t room, uint32_t* flags,
                           nghttp2_data_source*, void* user) {
    PeerMessage& message = of(user).messages[stream_id];
    const size_t size = std::min(room, message.to_send.size() - message.sent);
    std::memcpy(out, message.to_send.data() + message.sent, size);
    message.sent += size;
    if (message.sent < message.to_send.size()) return static_cast<ssize_t>(size);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (message.send_trailers) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      char name[] = "x-peer-trailer";
      char value[] = "t";
      const nghttp2_nv field{reinterpret_cast<uint8_t*>(name), reinterpret_cast<uint8_t*>(value), 14, 1, 0};
      RS_CHECK(nghttp2_submit_trailer(session, stream_id, &field, 1) == 0);
    }
    return static_cast<ssize_t>(size);
  }
};

namespace {

std::vector<nghttp2_nv> list_of(const Nghttp2Peer::Fields& fields) {
  std::vector<nghttp2_nv> list;
  for (const auto& [name, value] : fields)
    list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                    reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(), 0});
  return list;
}

}  // namespace

Nghttp2Peer::Nghttp2Peer(Role role, uint32_t window_bytes) {
  nghttp2_session_callbacks* callbacks = nullptr;
  RS_CHECK(nghttp2_session_callbacks_new(&callbacks) == 0);
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::on_data);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::on_frame);
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, Callbacks::on_invalid);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::on_close);
  const int made = role == Role::client ? nghttp2_session_client_new(&session_, callbacks, this)
                                        : nghttp2_session_server_new(&session_, callbacks, this);
  RS_CHECK(made == 0);
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window_bytes},
                                             {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 100}};
  RS_CHECK(nghttp2_submit_settings(session_, 0, settings, 2) == 0);
}

Nghttp2Peer::~Nghttp2Peer() { nghttp2_session_del(session_); }

int32_t Nghttp2Peer::ask(const Fields& fields, std::string body, bool trailers) {
  const std::vector<nghttp2_nv> list = list_of(fields);
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read_body;
  const bool with_body = !body.empty() || trailers;
  const int32_t stream_id =
      nghttp2_submit_request(session_, nullptr, list.data(), list.size(), with_body ? &provider : nullptr, nullptr);
  RS_CHECK(stream_id > 0);
  PeerMessage& message = messages[stream_id];
  message.to_send = std::move(body);
  message.send_trailers = trailers;
  return stream_id;
}

void Nghttp2Peer::answer(int32_t stream_id, const Fields& fields, std::string body, bool trailers) {
  const std::vector<nghttp2_nv> list = list_of(fields);
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::read_body;
  const bool with_body = !body.empty() || trailers;
  PeerMessage& message = messages[stream_id];
  message.to_send = std::move(body);
  message.send_trailers = trailers;
  RS_CHECK(nghttp2_submit_response(session_, stream_id, list.data(), list.size(), with_body ? &provider : nullptr) ==
           0);
}

void Nghttp2Peer::reset(int32_t stream_id, uint32_t code) {
  RS_CHECK(nghttp2_submit_rst_stream(session_, 0, stream_id, code) == 0);
}

void Nghttp2Peer::ping() { RS_CHECK(nghttp2_submit_ping(session_, 0, nullptr) == 0); }

bool Nghttp2Peer::feed(std::string_view bytes) {
  const ssize_t used = nghttp2_session_mem_recv(session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  return used == static_cast<ssize_t>(bytes.size());
}

std::string Nghttp2Peer::take() {
  std::string all;
  while (true) {
    const uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_, &bytes);
    RS_CHECK(size >= 0);
    if (size == 0) return all;
    all.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
  }
}

}  // namespace ringside::h2_test
