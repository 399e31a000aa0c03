#pragma once
// What a load run counted, and its JSON.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/histogram.h"
#include "core/time.h"

namespace ringside::perf {

// Why a connection or a request failed. Every one makes the run a failed one.
enum class Failure : uint8_t {
  connect,       // refused, timed out
  handshake,     // of TLS
  reset,         // RST, or FIN while the connection should live
  short_answer,  // FIN before the answer's end
  bad_status,    // anything but 200
  bad_body,      // wrong length or wrong bytes
  bad_message,   // not HTTP, or bytes that nobody asked for
  stalled,       // no answer for longer than the patience of the run
};
inline constexpr size_t failure_count = 8;
std::string_view name_of(Failure failure);

class LoadCounts {
 public:
  // Counts before measure(true) and after measure(false) are dropped, failures excepted: those always count.
  void measure(bool on) { measuring_ = on; }
  bool measuring() const { return measuring_; }

  void answered(Duration latency, uint64_t body_bytes) {
    if (!measuring_) return;
    ++requests_;
    bytes_ += body_bytes;
    latency_ns_.record(static_cast<uint64_t>(latency.count() > 0 ? latency.count() : 0));
    if (latency > latency_max_) latency_max_ = latency;
  }
  void moved(uint64_t bytes) {
    if (measuring_) bytes_ += bytes;
  }
  void failed(Failure failure, std::string_view detail);
  // A TLS handshake is over. Counts always.
  void shook_hands(bool resumed) { ++(resumed ? handshakes_resumed_ : handshakes_full_); }

  uint64_t requests() const { return requests_; }
  uint64_t bytes() const { return bytes_; }
  uint64_t failures() const;
  uint64_t failures(Failure failure) const { return failures_[static_cast<size_t>(failure)]; }
  HistogramCounts latency_ns() const;
  Duration latency_max() const { return latency_max_; }

  // The members of a JSON object, without its braces: requests, bytes, failures, handshakes, latency_us, histogram.
  std::string json_members() const;

 private:
  bool measuring_ = false;
  uint64_t requests_ = 0;
  uint64_t bytes_ = 0;
  Duration latency_max_{};
  std::array<uint64_t, failure_count> failures_{};
  uint64_t handshakes_full_ = 0;
  uint64_t handshakes_resumed_ = 0;
  std::string first_failure_;
  HistogramCells latency_ns_;
};

// `text` as a JSON string, quotes included.
std::string json_string(std::string_view text);

}  // namespace ringside::perf
