#pragma once
// Finds the end of HTTP/1 messages in a byte stream, and little else: what a load generator and its backend need, at a fraction of
// the cost of a parser. For trusted peers on loopback; whatever looks odd is an error.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "perf/load_pattern.h"

namespace ringside::perf {

// The value of a field in the text of a head; empty when there is none. `lower_name` is in lower case.
std::string_view header_of(std::string_view head, std::string_view lower_name);

enum class ScanState : uint8_t { head, body, done, failed };

// What is read out of a head.
struct ScannedHead {
  int status = 0;              // of an answer; 0 for a request
  uint64_t content_bytes = 0;  // content-length
  bool chunked = false;
  bool close = false;      // "connection: close"
  bool websocket = false;  // "upgrade: websocket"
  // Of a request. The last part of the path says what to answer: a number of bytes, or anything else for the request's own head.
  uint64_t answer_bytes = 0;
  bool answer_head = false;
};

// One message after the other, request or answer. Bodies are compared with the pattern, from offset zero.
class HttpScanner {
 public:
  static constexpr size_t head_bytes_max = 64 * 1024;

  explicit HttpScanner(const Pattern& pattern) : pattern_(pattern) {}
  // Consumes up to the end of the message, and says how many bytes that was. To be called until state() is done or failed.
  size_t feed(std::string_view bytes);
  // Ready for the next message.
  void reset();

  ScanState state() const { return state_; }
  // Valid once state() is past head.
  const ScannedHead& head() const { return head_; }
  // The text of the head, kept for requests that ask for it or for another protocol.
  const std::string& head_text() const { return head_text_; }
  uint64_t body_bytes() const { return body_bytes_; }
  // How much body is certain to follow.
  uint64_t body_left_bytes() const { return left_bytes_; }
  // Every body byte seen was the right one, as far as samples can tell.
  bool body_matches() const { return body_matches_; }
  // Nothing of the next message was seen yet.
  bool fresh() const { return state_ == ScanState::head && head_text_.empty(); }

 private:
  enum class Part : uint8_t { length, chunk_line, chunk_data, chunk_end, trailer };

  size_t feed_head(std::string_view bytes);
  size_t feed_body(std::string_view bytes);
  size_t feed_data(std::string_view bytes);
  size_t feed_line(std::string_view bytes);
  void end_head(std::string_view text);
  void end_line();
  bool read_start_line(std::string_view line);
  bool read_header(std::string_view line);

  const Pattern& pattern_;
  ScannedHead head_;
  std::string head_text_;  // the part of a head that came in pieces
  std::string line_;       // the part of a chunk line or trailer that came in pieces
  uint64_t body_bytes_ = 0;
  uint64_t left_bytes_ = 0;
  ScanState state_ = ScanState::head;
  Part part_ = Part::length;
  bool body_matches_ = true;
};

}  // namespace ringside::perf
