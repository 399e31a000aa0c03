#pragma once
// What a head means: framing of the body, persistence, target, and which fields go no further.
#include <cstdint>
#include <string_view>

#include "codecs/http.h"
#include "codecs/http1/h1_parser.h"
#include "codecs/http1/h1_target.h"

namespace ringside {

enum class H1Framing : uint8_t { none, length, chunked, until_close };

// A set of well-known names.
using HeaderIdSet = uint64_t;
constexpr HeaderIdSet header_ids(std::initializer_list<HeaderId> ids) {
  HeaderIdSet set = 0;
  for (const HeaderId id : ids) set |= HeaderIdSet{1} << static_cast<uint8_t>(id);
  return set;
}
constexpr bool contains(HeaderIdSet set, HeaderId id) { return (set >> static_cast<uint8_t>(id) & 1) != 0; }

// About this connection or this hop only (RFC 9110 7.6.1): never forwarded, in neither direction, but for "te: trailers". Trailer
// stays only where trailers do.
inline constexpr HeaderIdSet hop_by_hop_headers =
    header_ids({HeaderId::connection, HeaderId::keep_alive, HeaderId::proxy_connection, HeaderId::te,
                HeaderId::transfer_encoding, HeaderId::upgrade, HeaderId::http2_settings});

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
enum class H1AnswerTo : uint8_t { head_request, other_request };
bool check_response_head(H1Scratch& head, const H1Limits& limits, H1AnswerTo to, H1Meaning& meaning,
                         H1Failure& failure);
bool check_trailers(H1Scratch& trailers, H1Failure& failure);

// Copies the text into `arena` once and builds the views over the copy.
Head& build_head(H1Scratch& head, const H1Meaning& meaning, Arena& arena);
HeaderMap& build_trailers(H1Scratch& trailers, Arena& arena);

}  // namespace ringside
