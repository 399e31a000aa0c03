#pragma once
// What a head means: framing of the body, persistence, target, and which fields go no further.
#include <cstdint>
#include <string_view>

#include "codecs/header_rules.h"
#include "codecs/http.h"
#include "codecs/http1/h1_parser.h"
#include "codecs/http1/h1_target.h"

namespace ringside {

enum class H1Framing : uint8_t { none, length, chunked, until_close };

// Views point into the scratch text, or are static.
struct H1Meaning {
  HttpVersion version = HttpVersion::http11;
  H1Framing framing = H1Framing::none;
  bool persistent = false;
  bool upgrade = false;
  bool expect_continue = false;
  uint16_t status = 0;
  uint64_t length = 0;
  std::string_view method;
  std::string_view authority;
  std::string_view upgrade_protocol;
  h1::Target target;
};

// Each marks as dropped the lines that are not to be forwarded. False: refused, see `failure`.
bool check_request_head(H1Scratch& head, const H1Limits& limits, H1Meaning& meaning, H1Failure& failure);
enum class H1AnswerTo : uint8_t { head_request, upgrade_request, connect_request, other_request };
bool check_response_head(H1Scratch& head, const H1Limits& limits, H1AnswerTo to, H1Meaning& meaning,
                         H1Failure& failure);
bool check_trailers(H1Scratch& trailers, H1Failure& failure);

// Copies the text into `arena` once and builds the views over the copy.
Head& build_head(H1Scratch& head, const H1Meaning& meaning, Arena& arena);
HeaderMap& build_trailers(H1Scratch& trailers, Arena& arena);

}  // namespace ringside
