#pragma once
// What the generator's and the backend's end of an HTTP/2 connection share: frames in, settings, pings, windows, bodies out.
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/worker.h"
#include "perf/load_h2_scanner.h"
#include "perf/load_pattern.h"

namespace ringside::perf {

// What we let the other end send before it hears from us: a stream's window is larger than any body, so it is never updated.
inline constexpr uint32_t h2_stream_window_bytes = 16 * 1024 * 1024;
inline constexpr uint32_t h2_connection_window_bytes = 64 * 1024 * 1024;

enum class H2End : bool { no, yes };

// `text`, so many bytes of the pattern, and if it is not empty a HEADERS frame that outlives the stream.
struct H2Body {
  Slice text;
  uint64_t pattern_bytes = 0;
  std::string_view trailers;

  uint64_t size_bytes() const { return text.size() + pattern_bytes; }
};

class H2Endpoint : private H2FrameUser {
 public:
  H2Endpoint(const H2Endpoint&) = delete;
  H2Endpoint& operator=(const H2Endpoint&) = delete;

 protected:
  H2Endpoint(Worker& worker, const Pattern& pattern) : h2_worker_(worker), h2_pattern_(pattern) {}
  ~H2Endpoint() = default;

  // A new connection: forgets everything about the last one, and writes the first frames.
  void greet(std::string_view preface, uint32_t streams_max);
  // False: the connection is given up.
  bool feed(std::string_view bytes);
  // A frame with its stream put in. `frame` is copied.
  void write_frame(std::string_view frame, uint32_t stream_id);
  // As much as the windows allow; the rest follows as they open. Ends the stream.
  void write_body(uint32_t stream_id, H2Body body);
  // What was not yet written of that stream's body is not.
  void drop_body(uint32_t stream_id);
  // How many streams the other end allows.
  uint32_t peer_streams_max() const { return peer_streams_max_; }

  // Bytes to be sent.
  virtual void write(Slice bytes) = 0;
  // These return false when they gave the connection up.
  virtual bool on_headers(uint32_t stream_id, std::string_view block, H2End end) = 0;
  virtual bool on_body(uint32_t stream_id, std::string_view piece, H2End end) = 0;
  virtual bool on_reset(uint32_t stream_id, uint32_t code) = 0;
  virtual bool on_goaway(uint32_t last_stream_id, uint32_t code) = 0;
  // The other end's first SETTINGS.
  virtual void on_greeted() = 0;

 private:
  struct Waiting {
    uint32_t stream_id;
    int64_t window_bytes;
    uint64_t written_bytes;
    H2Body body;
  };

  bool on_data(const H2FrameHeader& header, std::string_view piece, uint32_t left_bytes) override;
  bool on_frame(const H2FrameHeader& header, std::string_view payload) override;
  void received_data(size_t bytes);
  bool read_settings(std::string_view payload);
  void set_initial_window(uint32_t bytes);
  bool read_window_update(uint32_t stream_id, std::string_view payload);
  bool write_some(Waiting& item);
  void write_data(const Waiting& item, uint32_t bytes);
  void write_waiting();
  void write_small(const H2FrameHeader& header, std::string_view payload);
  void write_u32(const H2FrameHeader& header, uint32_t value);

  Worker& h2_worker_;
  const Pattern& h2_pattern_;
  H2Scanner scanner_;
  std::vector<Waiting> waiting_;
  int64_t window_bytes_ = 0;          // of the connection, for what we send
  int64_t initial_window_bytes_ = 0;  // of a stream
  size_t unacknowledged_bytes_ = 0;   // of received DATA
  uint32_t peer_streams_max_ = 0;
  bool greeted_ = false;
};

}  // namespace ringside::perf
