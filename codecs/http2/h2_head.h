#pragma once
// What a decoded header block means: pseudo-header fields, fields that go no further, length of the body.
#include <cstdint>
#include <optional>
#include <string_view>

#include "codecs/header_rules.h"
#include "codecs/http.h"
#include "codecs/http2/h2_scratch.h"

namespace ringside {

// What the fields that a codec acts on say. Views point into the scratch.
struct H2Meaning {
  std::string_view method;
  std::string_view scheme;
  std::string_view authority;
  std::string_view path;
  std::string_view protocol;  // extended CONNECT
  std::optional<uint64_t> length;
  uint16_t status = 0;
  bool expect_continue = false;
};

// Each marks as dropped the lines that are not to be forwarded. Null, or what is wrong.
const char* check_request(H2Scratch& block, const H2Limits& limits, H2Meaning& meaning);
const char* check_response(H2Scratch& block, H2Meaning& meaning);
const char* check_trailers(H2Scratch& block);

// Copies the text into `arena` once and builds the views over the copy. Cookie crumbs are joined (RFC 9113 8.2.3).
Head& build_head(H2Scratch& block, const H2Meaning& meaning, Arena& arena);
HeaderMap& build_trailers(H2Scratch& block, Arena& arena);

}  // namespace ringside
