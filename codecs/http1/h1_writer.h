#pragma once
// Heads and chunk framing as bytes, straight into the sink: the choke point for what leaves us. Only fields that a message
// may carry are written, and a name, value or start line that could be read as more than that is refused.
#include <cstdint>
#include <optional>
#include <string_view>

#include "codecs/http.h"
#include "codecs/http1/h1_head.h"

namespace ringside {

enum class H1Connection : uint8_t { unsaid, close, keep_alive };

// What has to be known of the fields before a head is written.
struct H1Fields {
  std::optional<uint64_t> length;  // content-length
  bool wrong_length = false;       // more than one, or no number
  size_t bytes = 0;                // all of them as lines
};
H1Fields survey_fields(const HeaderMap& fields);

// Decided before a head is written.
struct H1HeadPlan {
  HttpVersion version = HttpVersion::http11;
  H1Connection connection = H1Connection::unsaid;
  bool chunked = false;          // writes transfer-encoding
  bool keep_length = false;      // writes the content-length that `fields` has
  bool add_zero_length = false;  // writes content-length: 0
  std::string_view upgrade = {};  // writes the fields that ask for this protocol, or agree to it
};

// Each returns the bytes written; 0: refused, and nothing was written. `fields`: the survey of head.fields as they are.
size_t write_request_head(CodecSink& sink, const Head& head, const H1Fields& fields, const H1HeadPlan& plan);
size_t write_response_head(CodecSink& sink, const Head& head, const H1Fields& fields, const H1HeadPlan& plan);

// A chunk, and the end of the body after it when asked for. An empty piece writes no chunk. Returns the bytes written.
size_t write_chunk(CodecSink& sink, Slice piece, End end);
// The last chunk and the trailer section. Fields that do not belong there are left out. 0: refused.
size_t write_trailers(CodecSink& sink, const HeaderMap& fields);

// "OK" for 200; "Unknown" for a status without a registered phrase.
std::string_view status_reason(uint16_t status);

}  // namespace ringside
