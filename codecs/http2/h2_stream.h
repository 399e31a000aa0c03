#pragma once
// One request and its response on an HTTP/2 connection: a record that codec and sender share, and the Stream of its user.
#include <cstdint>

#include "codecs/http.h"
#include "codecs/http2/h2_packing.h"
#include "codecs/http2/h2_writer.h"
#include "core/intrusive_list.h"

namespace ringside {

class H2Codec;

struct H2Stream final : public Stream, public Link<> {
  // What is to come next; `ended`: END_STREAM came.
  enum class In : uint8_t { head, body, ended };
  // What the user has to send next; `ended`: it said End::yes, though bytes may still wait in the queue.
  enum class Out : uint8_t { head, body, ended };

  H2Stream(H2Codec& owner, uint32_t stream_id) : codec(owner), id(stream_id) {}

  void send_informational(const Head& head) override;
  void send_head(const Head& head, End end) override;
  void send_body(Slice piece, End end) override;
  void send_trailers(const HeaderMap& fields) override;
  void grant(size_t body_bytes) override;
  void reset(Error why) override;
  void hand_over(StreamUser& next) override { user = &next; }

  // Is there something to write that no window of its own forbids?
  bool wants_to_send() const {
    if (!queue.empty()) return send_window_bytes > 0;
    return out == Out::ended && !end_written;
  }

  static constexpr uint64_t length_unknown = ~uint64_t{0};

  H2Codec& codec;
  StreamUser* user = nullptr;  // null: it has let go, what is queued still goes out
  H2Stream* next_in_bucket = nullptr;
  Buffer queue;  // body to be sent
  H2HeldTrailers trailers;
  H2Packing packing;
  uint64_t receive_left = length_unknown;  // of the content-length received
  uint64_t send_left = length_unknown;     // of the content-length sent
  int64_t send_window_bytes = 0;           // below zero after the peer made windows smaller
  uint32_t receive_window_bytes = 0;       // the peer may still send so much
  uint32_t ungranted_bytes = 0;            // delivered, and not granted yet
  uint32_t credit_bytes = 0;               // granted, and not told to the peer yet
  uint32_t id;                             // 0: a request whose head was not sent yet
  In in = In::head;
  Out out = Out::head;
  uint8_t informationals = 0;
  bool end_written : 1 = false;      // END_STREAM went to the sink
  bool end_sent : 1 = false;         // and to the kernel
  bool bodiless : 1 = false;         // server: whatever body the response has is not sent
  bool head_request : 1 = false;     // of this method: a content-length says nothing about the body
  bool closed : 1 = false;           // out of the table, freed when the codec's outermost call ends
  bool reset_after_end : 1 = false;  // server: the rest of the request is not wanted
  bool begun : 1 = false;            // client: a part of the response came
  bool connect : 1 = false;          // of this method: DATA is all that may follow (RFC 9113 8.5)
  bool extended : 1 = false;         // with a protocol (RFC 8441): 101 stands for 200
  bool moved : 1 = false;            // bytes went since the last look for stalled ones
};

}  // namespace ringside
