#pragma once
// nghttp2's whole session as an independent peer: the other end of our codec in tests.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct nghttp2_session;

namespace ringside::h2_test {

// What the peer saw of a stream, or has to say on it.
struct PeerMessage {
  std::string fields;  // name=value; in order, of the head and of trailers
  std::string trailers;
  std::string body;  // received
  bool ended = false;
  bool closed = false;
  uint32_t close_code = 0;
  std::string to_send;  // body
  size_t sent = 0;
  bool send_trailers = false;
};

class Nghttp2Peer {
 public:
  enum class Role : bool { client, server };
  // `window_bytes`: its SETTINGS_INITIAL_WINDOW_SIZE.
  Nghttp2Peer(Role role, uint32_t window_bytes);
  Nghttp2Peer(const Nghttp2Peer&) = delete;
  Nghttp2Peer& operator=(const Nghttp2Peer&) = delete;
  ~Nghttp2Peer();

  using Fields = std::vector<std::pair<std::string, std::string>>;
  // As a client. Returns the stream.
  int32_t ask(const Fields& fields, std::string body, bool trailers);
  // As a server.
  void answer(int32_t stream_id, const Fields& fields, std::string body, bool trailers);
  void reset(int32_t stream_id, uint32_t code);
  void ping();
  // False: it takes us for broken.
  bool feed(std::string_view bytes);
  // Everything that it wants to send now.
  std::string take();
  PeerMessage& message(int32_t stream_id) { return messages[stream_id]; }

  std::map<int32_t, PeerMessage> messages;
  std::vector<std::string> complaints;
  bool goaway_seen = false;
  uint32_t goaway_code = 0;
  int pings_acknowledged = 0;

 private:
  struct Callbacks;
  nghttp2_session* session_ = nullptr;
};

}  // namespace ringside::h2_test
