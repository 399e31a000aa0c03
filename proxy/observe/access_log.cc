#include "proxy/observe/access_log.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "proxy/grpc_rules.h"
#include "proxy/observe/time_format.h"

namespace ringside {
namespace {

// Two decimal digits each.
constexpr std::array<char, 200> make_digit_pairs() {
  std::array<char, 200> pairs{};
  for (unsigned value = 0; value < 100; ++value) {
    pairs[2 * value] = static_cast<char>('0' + value / 10);
    pairs[2 * value + 1] = static_cast<char>('0' + value % 10);
  }
  return pairs;
}
constexpr std::array<char, 200> digit_pairs = make_digit_pairs();

constexpr size_t number_bytes_max = 20;

char* write_number(char* out, uint64_t value) {
  if (value < 10) {
    *out = static_cast<char>('0' + value);
    return out + 1;
  }
  char digits[number_bytes_max];
  char* at = digits + sizeof digits;
  while (value >= 10) {
    at -= 2;
    std::memcpy(at, &digit_pairs[2 * (value % 100)], 2);
    value /= 100;
  }
  if (value > 0) *--at = static_cast<char>('0' + value);
  const auto size = static_cast<size_t>(digits + sizeof digits - at);
  std::memcpy(out, at, size);
  return out + size;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// Eight bytes at once: any below 0x20, or 0x7f?
bool has_control(uint64_t eight) {
  constexpr uint64_t ones = 0x0101010101010101, tops = ones * 0x80;
  const uint64_t below_space = (eight - ones * 0x20) & ~eight;
  const uint64_t del = eight ^ (ones * 0x7f);
  return ((below_space | ((del - ones) & ~del)) & tops) != 0;
}

// Copies, with control characters as \xHH. `out` has room for four times the size.
char* write_escaped(char* out, std::string_view value) {
  constexpr char digits[] = "0123456789abcdef";
  const char* from = value.data();
  const char* const end = from + value.size();
  for (; end - from >= 8; from += 8, out += 8) {
    uint64_t eight;
    std::memcpy(&eight, from, 8);
    if (has_control(eight)) [[unlikely]]
      break;
    std::memcpy(out, &eight, 8);
  }
  for (; from != end; ++from) {
    if (!is_control(*from) || *from == '\t') [[likely]] {
      *out++ = *from;
      continue;
    }
    const auto byte = static_cast<unsigned char>(*from);
    *out++ = '\\';
    *out++ = 'x';
    *out++ = digits[byte >> 4];
    *out++ = digits[byte & 15];
  }
  return out;
}

std::string_view protocol_name(HttpVersion version) {
  switch (version) {
    case HttpVersion::http10: return "HTTP/1.0";
    case HttpVersion::http11: return "HTTP/1.1";
    case HttpVersion::http2: return "HTTP/2";
  }
  return "-";
}

// A field, or what stands for the start line: ":method" and so on, as HTTP/2 names it.
std::string_view field_value(const Head* head, HeaderId id, std::string_view name, const AccessLogRecord& record) {
  if (name.starts_with(':')) {
    if (name == ":method") return head != nullptr ? head->method : record.method;
    if (head == nullptr) return {};
    if (name == ":path") return head->path;
    if (name == ":authority") return head->authority;
    if (name == ":scheme") return head->scheme;
    return {};
  }
  if (head == nullptr) return {};
  if (id == HeaderId::host) return head->authority;
  const HeaderField* field = id != HeaderId::other ? head->fields.find(id) : head->fields.find(name);
  return field != nullptr ? field->value() : std::string_view{};
}

struct StatusName {
  std::string_view camel, snake;
};
// Envoy's words.
constexpr std::array<StatusName, static_cast<size_t>(GrpcStatus::count_)> status_names = {{
    {"OK", "OK"},
    {"Canceled", "CANCELLED"},
    {"Unknown", "UNKNOWN"},
    {"InvalidArgument", "INVALID_ARGUMENT"},
    {"DeadlineExceeded", "DEADLINE_EXCEEDED"},
    {"NotFound", "NOT_FOUND"},
    {"AlreadyExists", "ALREADY_EXISTS"},
    {"PermissionDenied", "PERMISSION_DENIED"},
    {"ResourceExhausted", "RESOURCE_EXHAUSTED"},
    {"FailedPrecondition", "FAILED_PRECONDITION"},
    {"Aborted", "ABORTED"},
    {"OutOfRange", "OUT_OF_RANGE"},
    {"Unimplemented", "UNIMPLEMENTED"},
    {"Internal", "INTERNAL"},
    {"Unavailable", "UNAVAILABLE"},
    {"DataLoss", "DATA_LOSS"},
    {"Unauthenticated", "UNAUTHENTICATED"},
}};

// Where the status of a call stands; null when it is nowhere.
const HeaderMap* status_fields(const AccessLogRecord& record) {
  if (record.response_trailers != nullptr && record.response_trailers->has(HeaderId::grpc_status)) return record.response_trailers;
  if (record.response != nullptr && record.response->fields.has(HeaderId::grpc_status)) return &record.response->fields;
  return nullptr;
}

}  // namespace

// One line being written.
class AccessLogFormat::Writer {
 public:
  Writer(const AccessLogFormat& format, const AccessLogRecord& record, SecondCache& second, TextSink& out)
      : format_(format), record_(record), second_(second), out_(out) {}

  void write(const Piece& piece);

 private:
  void value(const Piece& piece, std::string_view text) {
    if (text.empty()) return missing(piece);
    if (text.size() > piece.size_max) text = text.substr(0, piece.size_max);
    out_.commit(write_escaped(out_.reserve(text.size() * 4), text));
  }
  void reason(const Piece& piece, std::string_view text) {
    if (text.empty()) return missing(piece);
    text = text.substr(0, piece.size_max);
    char* at = out_.reserve(text.size());
    for (const char c : text) *at++ = c == ' ' || is_control(c) ? '_' : c;
    out_.commit(at);
  }
  // Text of ours.
  void plain(const Piece& piece, std::string_view text) { out_.put(text.substr(0, piece.size_max)); }
  void missing(const Piece& piece) {
    if (format_.missing_ == Missing::dash && piece.size_max > 0) out_.put('-');
  }
  void number(const Piece& piece, uint64_t number) {
    if (piece.size_max >= number_bytes_max) [[likely]]
      return out_.commit(write_number(out_.reserve(number_bytes_max), number));
    char digits[number_bytes_max];
    plain(piece, {digits, static_cast<size_t>(write_number(digits, number) - digits)});
  }
  void span(const Piece& piece, std::optional<Duration> duration) {
    if (!duration) return missing(piece);
    number(piece, duration->count() < 0 ? 0 : static_cast<uint64_t>(*duration / milliseconds(1)));
  }
  enum class Part : uint8_t { all, ip, port };
  void address(const Piece& piece, const Address* address, Part part) {
    if (address == nullptr || address->empty()) return missing(piece);
    if (part == Part::port && address->is_ip()) return number(piece, address->port());
    char text[Address::text_bytes_max];
    size_t size = 0;
    if (part == Part::all) size = address->write_text(text);
    if (part == Part::ip) size = address->is_ip() ? address->write_ip(text) : address->write_text(text);
    value(piece, {text, size});
  }
  void start_time(const Piece& piece);
  void header(const Piece& piece, const Head* head);
  void trailer(const Piece& piece);
  void grpc_status(const Piece& piece);
  void flags(const Piece& piece, FlagNames names);
  const Address* find_address(const Piece& piece) const;

  const AccessLogFormat& format_;
  const AccessLogRecord& record_;
  SecondCache& second_;
  TextSink& out_;
};

void AccessLogFormat::Writer::start_time(const Piece& piece) {
  const auto since = record_.start_time.time_since_epoch();
  if (piece.op == Op::start_time_iso && piece.size_max == UINT32_MAX) [[likely]] {
    // "2024-03-01T12:34:56" is cached; ".789Z" is what each line adds.
    const std::string_view iso = second_.iso(record_.start_time);
    const auto in_second = since - std::chrono::floor<seconds>(since);
    const auto ms = static_cast<uint32_t>(in_second / milliseconds(1));
    char* at = out_.reserve(iso.size() + 5);
    std::memcpy(at, iso.data(), iso.size());
    at += iso.size();
    *at++ = '.';
    *at++ = static_cast<char>('0' + ms / 100);
    std::memcpy(at, &digit_pairs[2 * size_t{ms % 100}], 2);
    at[2] = 'Z';
    return out_.commit(at + 3);
  }
  const std::string_view format = piece.op == Op::start_time_iso ? "%Y-%m-%dT%H:%M:%E3SZ" : format_.text(piece.text);
  char text[time_text_bytes_max];
  plain(piece, {text, write_time(text, format, record_.start_time, second_.civil(record_.start_time))});
}

void AccessLogFormat::Writer::header(const Piece& piece, const Head* head) {
  std::string_view text = field_value(head, piece.header, format_.text(piece.text), record_);
  if (text.empty() && piece.alternative_text.size > 0)
    text = field_value(head, piece.alternative, format_.text(piece.alternative_text), record_);
  value(piece, text);
}

void AccessLogFormat::Writer::trailer(const Piece& piece) {
  const HeaderMap* fields = record_.response_trailers;
  if (fields == nullptr) return missing(piece);
  const HeaderField* found = fields->find(format_.text(piece.text));
  if (found == nullptr && piece.alternative_text.size > 0) found = fields->find(format_.text(piece.alternative_text));
  if (found == nullptr) return missing(piece);
  if (!found->value().empty()) value(piece, found->value());
}

// Of calls of gRPC only. Without a status of the service, what a client makes of the HTTP status.
void AccessLogFormat::Writer::grpc_status(const Piece& piece) {
  if (record_.request == nullptr || !is_grpc_request(*record_.request)) return missing(piece);
  const HeaderMap* const fields = status_fields(record_);
  const std::optional<GrpcStatus> status =
      fields != nullptr ? grpc_status_of(*fields) : std::optional(grpc_status_of_http(record_.response_code));
  if (!status) return value(piece, fields->value(HeaderId::grpc_status));
  const auto index = static_cast<size_t>(*status);
  if (piece.op == Op::grpc_status_number) return number(piece, index);
  plain(piece, piece.op == Op::grpc_status_camel ? status_names[index].camel : status_names[index].snake);
}

void AccessLogFormat::Writer::flags(const Piece& piece, FlagNames names) {
  if (record_.flags.empty() && piece.size_max > 0) return out_.put('-');
  char text[ResponseFlags::text_bytes_max];
  plain(piece, {text, record_.flags.write(text, names)});
}

// The client's address is the one of its socket, unless x-forwarded-for named another.
const Address* AccessLogFormat::Writer::find_address(const Piece& piece) const {
  const Address* found = record_.*piece.field.address;
  const bool fall_back = found == nullptr && piece.field.address == &AccessLogRecord::downstream_remote;
  return fall_back ? record_.downstream_direct_remote : found;
}

void AccessLogFormat::Writer::write(const Piece& piece) {
  switch (piece.op) {
    case Op::literal: return out_.put(format_.text(piece.text));
    case Op::start_time_iso:
    case Op::start_time: return start_time(piece);
    case Op::request_header: return header(piece, record_.request);
    case Op::response_header: return header(piece, record_.response);
    case Op::response_trailer: return trailer(piece);
    case Op::grpc_status_camel:
    case Op::grpc_status_snake:
    case Op::grpc_status_number: return grpc_status(piece);
    case Op::request_path: return value(piece, record_.request != nullptr ? record_.request->path : std::string_view{});
    case Op::protocol: return record_.version ? plain(piece, protocol_name(*record_.version)) : missing(piece);
    case Op::response_code: return number(piece, record_.response_code);
    case Op::response_flags: return flags(piece, FlagNames::short_names);
    case Op::response_flags_long: return flags(piece, FlagNames::long_names);
    case Op::response_tx_duration:
      if (!record_.response_duration) return missing(piece);
      return span(piece, record_.duration - *record_.response_duration);
    case Op::duration: return span(piece, record_.duration);
    case Op::text: return value(piece, record_.*piece.field.text);
    case Op::reason: return reason(piece, record_.*piece.field.text);
    case Op::number: return number(piece, record_.*piece.field.number);
    case Op::websocket_number:
      return record_.websocket != nullptr ? number(piece, record_.websocket->*piece.field.websocket_number) : missing(piece);
    case Op::websocket_text:
      return record_.websocket != nullptr ? value(piece, record_.websocket->*piece.field.websocket_text) : missing(piece);
    case Op::span: return span(piece, record_.*piece.field.span);
    case Op::address: return address(piece, find_address(piece), Part::all);
    case Op::address_ip: return address(piece, find_address(piece), Part::ip);
    case Op::address_port: return address(piece, find_address(piece), Part::port);
  }
}

bool AccessLogFormat::tells(const Address* AccessLogRecord::*address) const {
  return std::any_of(pieces_.begin(), pieces_.end(), [address](const Piece& piece) {
    const bool is_address = piece.op == Op::address || piece.op == Op::address_ip || piece.op == Op::address_port;
    return is_address && piece.field.address == address;
  });
}

bool AccessLogFormat::tells(std::string_view AccessLogRecord::*text) const {
  return std::any_of(pieces_.begin(), pieces_.end(), [text](const Piece& piece) {
    return (piece.op == Op::text || piece.op == Op::reason) && piece.field.text == text;
  });
}

void AccessLogFormat::write(const AccessLogRecord& record, SecondCache& second, TextSink& out) const {
  Writer writer(*this, record, second, out);
  for (const Piece& piece : pieces_) writer.write(piece);
}

}  // namespace ringside
