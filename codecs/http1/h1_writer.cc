#include "codecs/http1/h1_writer.h"

#include <cstring>

#include "codecs/http_text.h"

namespace ringside {
namespace {

using http::put;

// Smaller pieces are copied beside their framing: one piece to send instead of three.
constexpr size_t chunk_copy_max = 256;
constexpr size_t chunk_line_max = 18;  // 16 digits, CRLF
constexpr std::string_view crlf = "\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";

// Written by plan, or not ours to forward.
constexpr HeaderIdSet never_written = hop_by_hop_headers | header_ids({HeaderId::host, HeaderId::content_length});
constexpr HeaderIdSet not_in_trailers =
    never_written |
    header_ids({HeaderId::trailer, HeaderId::expect, HeaderId::content_encoding, HeaderId::content_type});

constexpr std::string_view chunked_line = "transfer-encoding: chunked\r\n";
constexpr std::string_view zero_length_line = "content-length: 0\r\n";
constexpr std::string_view close_line = "connection: close\r\n";
constexpr std::string_view keep_alive_line = "connection: keep-alive\r\n";
constexpr std::string_view upgrade_lines = "connection: upgrade\r\nupgrade: ";
constexpr size_t plan_bytes_max = chunked_line.size() + zero_length_line.size() + keep_alive_line.size() + upgrade_lines.size() + 2 * crlf.size();

char* put_field(char* out, std::string_view name, std::string_view value) {
  out = put(out, name);
  *out++ = ':';
  *out++ = ' ';
  out = put(out, value);
  *out++ = '\r';
  *out++ = '\n';
  return out;
}

enum class Section : uint8_t { head, trailers };

// The one thing about a hop that the next one is told as well: that whoever asks takes trailers.
bool goes_on(const HeaderField& field, Section section) {
  return section == Section::head && field.id() == HeaderId::te && field.value() == "trailers";
}

// The end of what was written; null when a name is no token. Counts the lines.
char* put_fields(char* out, const HeaderMap& fields, Section section, HeaderIdSet left_out, size_t& lines) {
  for (const HeaderField& field : fields) {
    if (contains(left_out, field.id()) && !goes_on(field, section)) continue;
    if (field.id() == HeaderId::other && !http::is_token(field.name())) return nullptr;
    out = put_field(out, field.name(), field.value());
    ++lines;
  }
  return out;
}

char* put_plan(char* out, const H1HeadPlan& plan, size_t& lines) {
  if (plan.chunked) {
    out = put(out, chunked_line);
    ++lines;
  }
  if (plan.add_zero_length) {
    out = put(out, zero_length_line);
    ++lines;
  }
  if (plan.connection == H1Connection::close) {
    out = put(out, close_line);
    ++lines;
  } else if (plan.connection == H1Connection::keep_alive) {
    out = put(out, keep_alive_line);
    ++lines;
  }
  if (!plan.upgrade.empty()) {
    out = put(put(put(out, upgrade_lines), plan.upgrade), crlf);
    lines += 2;
  }
  return put(out, crlf);
}

// Everything after the start line; then one look over the whole for control characters that are not our own line ends.
size_t finish_head(CodecSink& sink, char* begin, char* out, size_t lines, const Head& head, const H1HeadPlan& plan) {
  HeaderIdSet left_out = never_written;
  if (plan.keep_length) left_out &= ~header_ids({HeaderId::content_length});
  out = put_fields(out, head.fields, Section::head, left_out, lines);
  if (out != nullptr) out = put_plan(out, plan, lines);
  const size_t size = out != nullptr ? static_cast<size_t>(out - begin) : 0;
  if (out == nullptr || !http::has_controls(begin, size, 2 * (lines + 1))) return 0;
  sink.commit(size);
  return size;
}

char* put_hex(char* out, size_t value) {
  char digits[16];
  size_t count = 0;
  do {
    digits[count++] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  while (count > 0) *out++ = digits[--count];
  return out;
}

}  // namespace

H1Fields survey_fields(const HeaderMap& fields) {
  H1Fields found;
  for (const HeaderField& field : fields) {
    found.bytes += field.name().size() + field.value().size() + 4;
    if (field.id() != HeaderId::content_length) continue;
    uint64_t length = 0;
    found.wrong_length = found.length.has_value() || !http::parse_content_length(field.value(), length);
    if (found.wrong_length) return found;
    found.length = length;
  }
  return found;
}

size_t write_request_head(CodecSink& sink, const Head& head, const H1Fields& fields, const H1HeadPlan& plan) {
  const bool connect = head.method == "CONNECT" && !head.authority.empty();  // RFC 9112 3.2.3
  const std::string_view target = connect ? head.authority : head.path;
  const bool good_target = connect || ((target.starts_with('/') || target == "*") && http::is_visible(target));
  if (!good_target || !http::is_token(head.method) || !http::is_visible(head.authority)) return 0;
  constexpr std::string_view version = " HTTP/1.1\r\nhost: ";
  const size_t room = head.method.size() + 1 + target.size() + version.size() + head.authority.size() + crlf.size() +
                      fields.bytes + plan.upgrade.size() + plan_bytes_max;
  char* const begin = sink.reserve(room);
  char* out = put(begin, head.method);
  *out++ = ' ';
  out = put(out, target);
  out = put(out, version);
  out = put(out, head.authority);
  out = put(out, crlf);
  return finish_head(sink, begin, out, 2, head, plan);
}

size_t write_response_head(CodecSink& sink, const Head& head, const H1Fields& fields, const H1HeadPlan& plan) {
  if (head.status < 100 || head.status > 999) return 0;
  const std::string_view reason = status_reason(head.status);
  constexpr std::string_view version = "HTTP/1.1 ";
  const size_t room = version.size() + 4 + reason.size() + crlf.size() + fields.bytes + plan.upgrade.size() + plan_bytes_max;
  char* const begin = sink.reserve(room);
  char* out = put(begin, plan.version == HttpVersion::http10 ? std::string_view("HTTP/1.0 ") : version);
  *out++ = static_cast<char>('0' + head.status / 100);
  *out++ = static_cast<char>('0' + head.status / 10 % 10);
  *out++ = static_cast<char>('0' + head.status % 10);
  *out++ = ' ';
  out = put(out, reason);
  out = put(out, crlf);
  return finish_head(sink, begin, out, 1, head, plan);
}

size_t write_chunk(CodecSink& sink, Slice piece, End end) {
  const std::string_view tail = end == End::yes ? last_chunk : std::string_view{};
  const size_t body = piece.size();
  const size_t copied = body <= chunk_copy_max && !piece.piped() ? body : 0;
  char* begin = sink.reserve(chunk_line_max + copied + crlf.size() + last_chunk.size());
  char* out = begin;
  if (body > 0) {
    out = put_hex(out, body);
    out = put(out, crlf);
  }
  size_t written = 0;
  if (copied > 0) out = put(out, piece.text());
  if (body > copied) {
    written = static_cast<size_t>(out - begin) + body;
    sink.commit(static_cast<size_t>(out - begin));
    sink.write(std::move(piece));
    begin = sink.reserve(crlf.size() + last_chunk.size());
    out = begin;
  }
  if (body > 0) out = put(out, crlf);
  out = put(out, tail);
  sink.commit(static_cast<size_t>(out - begin));
  return written + static_cast<size_t>(out - begin);
}

size_t write_trailers(CodecSink& sink, const HeaderMap& fields) {
  char* const begin = sink.reserve(last_chunk.size() + fields.wire_bytes());
  char* out = put(begin, "0\r\n");
  size_t lines = 2;
  out = put_fields(out, fields, Section::trailers, not_in_trailers, lines);
  if (out != nullptr) out = put(out, crlf);
  const size_t size = out != nullptr ? static_cast<size_t>(out - begin) : 0;
  if (out == nullptr || !http::has_controls(begin, size, 2 * lines)) return 0;
  sink.commit(size);
  return size;
}

std::string_view status_reason(uint16_t status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Entity";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 510: return "Not Extended";
    case 511: return "Network Authentication Required";
    default: return "Unknown";
  }
}

}  // namespace ringside
