// Compiles format strings; access_log.cc writes lines with the result.
#include <algorithm>

#include "proxy/observe/access_log.h"
#include "proxy/observe/time_format.h"

namespace ringside {

class FormatParser {
 public:
  using Op = AccessLogFormat::Op;
  using Piece = AccessLogFormat::Piece;
  using Span = AccessLogFormat::Span;

  FormatParser(std::string_view text, AccessLogFormat& format) : text_(text), format_(format) {}

  std::expected<void, FormatError> run() {
    size_t at = 0;
    while (at < text_.size()) {
      const size_t percent = std::min(text_.find('%', at), text_.size());
      literal_ += text_.substr(at, percent - at);
      if (percent == text_.size()) break;
      if (percent + 1 < text_.size() && text_[percent + 1] == '%') {
        literal_ += '%';
        at = percent + 2;
        continue;
      }
      end_literal();
      const auto next = parse_operator(percent);
      if (!next) return std::unexpected(next.error());
      at = *next;
    }
    end_literal();
    return {};
  }

 private:
  using Record = AccessLogRecord;
  struct Named {
    std::string_view name;
    Op op;
    AccessLogFormat::Field field = {};
  };
  static const Named operators_[];

  std::unexpected<FormatError> fail(std::string message, size_t offset) const {
    return std::unexpected(FormatError{std::move(message), offset});
  }
  Span keep(std::string_view text) {
    const Span span{static_cast<uint32_t>(format_.texts_.size()), static_cast<uint32_t>(text.size())};
    format_.texts_ += text;
    return span;
  }
  void end_literal() {
    if (literal_.empty()) return;
    Piece piece{};
    piece.op = Op::literal;
    piece.text = keep(literal_);
    format_.pieces_.push_back(piece);
    literal_.clear();
  }

  // NAME, then (argument), then :size, then %. Returns the offset behind it.
  std::expected<size_t, FormatError> parse_operator(size_t percent) {
    size_t at = percent + 1;
    while (at < text_.size() &&
           (text_[at] == '_' || (text_[at] >= 'A' && text_[at] <= 'Z') || (text_[at] >= '0' && text_[at] <= '9')))
      ++at;
    const std::string_view name = text_.substr(percent + 1, at - percent - 1);
    std::optional<std::string_view> argument;
    if (at < text_.size() && text_[at] == '(') {
      const size_t close = text_.find(')', at);
      if (close == std::string_view::npos) return fail("%" + std::string(name) + ": its parenthesis is not closed", at);
      argument = text_.substr(at + 1, close - at - 1);
      at = close + 1;
    }
    Piece piece{};
    if (at < text_.size() && text_[at] == ':') {
      const auto behind = parse_size(at + 1, piece.size_max);
      if (!behind) return fail("%" + std::string(name) + ": a number of bytes must follow the colon", at);
      at = *behind;
    }
    if (at >= text_.size() || text_[at] != '%')
      return fail("the operator %" + std::string(name) + " does not end with %", percent);
    const auto good = resolve(name, argument, piece, percent);
    if (!good) return std::unexpected(good.error());
    format_.pieces_.push_back(piece);
    return at + 1;
  }

  std::optional<size_t> parse_size(size_t at, uint32_t& size) const {
    const size_t first = at;
    uint64_t value = 0;
    while (at < text_.size() && text_[at] >= '0' && text_[at] <= '9' && at - first < 9)
      value = value * 10 + static_cast<uint64_t>(text_[at++] - '0');
    if (at == first) return std::nullopt;
    size = static_cast<uint32_t>(value);
    return at;
  }

  std::expected<void, FormatError> resolve(std::string_view name, std::optional<std::string_view> argument,
                                           Piece& piece, size_t offset) {
    const std::string shown = "%" + std::string(name) + "%";
    const Named* found = find_operator(name);
    if (found == nullptr) return fail("unknown operator " + shown, offset);
    piece.op = found->op;
    piece.field = found->field;
    if (found->op == Op::request_header || found->op == Op::response_header || found->op == Op::response_trailer)
      return resolve_header(argument, piece, shown, offset);
    if (found->op == Op::start_time) return resolve_time(argument.value_or(""), piece, shown, offset);
    if (found->op == Op::grpc_status_camel) return resolve_status(argument.value_or("CAMEL_STRING"), piece, shown, offset);
    if (argument.has_value()) return fail(shown + " takes no argument", offset);
    return {};
  }

  static const Named* find_operator(std::string_view name);

  std::expected<void, FormatError> resolve_header(std::optional<std::string_view> argument, Piece& piece,
                                                  const std::string& shown, size_t offset) {
    if (!argument || argument->empty()) return fail(shown + " needs the name of a header", offset);
    const size_t mark = argument->find('?');
    const std::string_view first = argument->substr(0, mark);
    if (first.empty()) return fail(shown + " needs the name of a header", offset);
    keep_name(first, piece.header, piece.text);
    if (mark == std::string_view::npos) return {};
    const std::string_view second = argument->substr(mark + 1);
    if (second.empty() || second.find('?') != std::string_view::npos)
      return fail(shown + ": one alternative header may follow the question mark", offset);
    keep_name(second, piece.alternative, piece.alternative_text);
    return {};
  }

  std::expected<void, FormatError> resolve_status(std::string_view argument, Piece& piece, const std::string& shown,
                                                  size_t offset) {
    if (argument == "SNAKE_STRING") piece.op = Op::grpc_status_snake;
    else if (argument == "NUMBER") piece.op = Op::grpc_status_number;
    else if (argument != "CAMEL_STRING") return fail(shown + " takes CAMEL_STRING, SNAKE_STRING or NUMBER", offset);
    return {};
  }

  void keep_name(std::string_view name, HeaderId& id, Span& span) {
    std::string lower(name);
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    id = header_id(lower);
    span = keep(lower);
  }

  std::expected<void, FormatError> resolve_time(std::string_view argument, Piece& piece, const std::string& shown,
                                                size_t offset) {
    if (argument.empty()) {
      piece.op = Op::start_time_iso;
      return {};
    }
    if (const std::string problem = time_format_problem(argument); !problem.empty())
      return fail(shown + ": " + problem, offset);
    piece.text = keep(argument);
    return {};
  }

  std::string_view text_;
  AccessLogFormat& format_;
  std::string literal_;
};

const FormatParser::Named FormatParser::operators_[] = {
    {"START_TIME", Op::start_time},
    {"REQ", Op::request_header},
    {"REQUEST_HEADER", Op::request_header},
    {"RESP", Op::response_header},
    {"RESPONSE_HEADER", Op::response_header},
    {"TRAILER", Op::response_trailer},
    {"RESPONSE_TRAILER", Op::response_trailer},
    {"GRPC_STATUS", Op::grpc_status_camel},
    {"GRPC_STATUS_NUMBER", Op::grpc_status_number},
    {"PATH", Op::request_path},
    {"PROTOCOL", Op::protocol},
    {"RESPONSE_CODE", Op::response_code},
    {"RESPONSE_CODE_DETAILS", Op::reason, &Record::response_code_details},
    {"RESPONSE_FLAGS", Op::response_flags},
    {"RESPONSE_FLAGS_LONG", Op::response_flags_long},
    {"BYTES_RECEIVED", Op::number, &Record::bytes_received},
    {"BYTES_SENT", Op::number, &Record::bytes_sent},
    {"DURATION", Op::duration},
    {"REQUEST_DURATION", Op::span, &Record::request_duration},
    {"RESPONSE_DURATION", Op::span, &Record::response_duration},
    {"RESPONSE_TX_DURATION", Op::response_tx_duration},
    {"CONNECTION_ID", Op::number, &Record::connection_id},
    {"CONNECTION_TERMINATION_DETAILS", Op::reason, &Record::connection_termination_details},
    {"ROUTE_NAME", Op::text, &Record::route_name},
    {"LISTENER_NAME", Op::text, &Record::listener_name},
    {"UPSTREAM_HOST", Op::text, &Record::upstream_host},
    {"UPSTREAM_REMOTE_ADDRESS", Op::text, &Record::upstream_host},
    {"UPSTREAM_CLUSTER", Op::text, &Record::upstream_cluster},
    {"UPSTREAM_CLUSTER_RAW", Op::text, &Record::upstream_cluster},
    {"UPSTREAM_TRANSPORT_FAILURE_REASON", Op::reason, &Record::upstream_transport_failure_reason},
    {"UPSTREAM_LOCAL_ADDRESS", Op::address, &Record::upstream_local},
    {"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Op::address_ip, &Record::upstream_local},
    {"UPSTREAM_LOCAL_PORT", Op::address_port, &Record::upstream_local},
    {"DOWNSTREAM_REMOTE_ADDRESS", Op::address, &Record::downstream_remote},
    {"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT", Op::address_ip, &Record::downstream_remote},
    {"DOWNSTREAM_REMOTE_PORT", Op::address_port, &Record::downstream_remote},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS", Op::address, &Record::downstream_direct_remote},
    {"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT", Op::address_ip, &Record::downstream_direct_remote},
    {"DOWNSTREAM_DIRECT_REMOTE_PORT", Op::address_port, &Record::downstream_direct_remote},
    {"DOWNSTREAM_LOCAL_ADDRESS", Op::address, &Record::downstream_local},
    {"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT", Op::address_ip, &Record::downstream_local},
    {"DOWNSTREAM_LOCAL_PORT", Op::address_port, &Record::downstream_local},
    {"FILTER_CHAIN_NAME", Op::text, &Record::filter_chain_name},
    {"REQUESTED_SERVER_NAME", Op::text, &Record::tls_server_name},
    {"TLS_JA3_FINGERPRINT", Op::text, &Record::tls_ja3},
    {"TLS_JA4_FINGERPRINT", Op::text, &Record::tls_ja4},
    {"DOWNSTREAM_TLS_VERSION", Op::text, &Record::tls_version},
    {"DOWNSTREAM_TLS_CIPHER", Op::text, &Record::tls_cipher},
    {"DOWNSTREAM_PEER_SUBJECT", Op::text, &Record::tls_peer_subject},
    {"DOWNSTREAM_PEER_URI_SAN", Op::text, &Record::tls_peer_uri_san},
    {"DOWNSTREAM_PEER_DNS_SAN", Op::text, &Record::tls_peer_dns_san},
    {"DOWNSTREAM_LOCAL_SUBJECT", Op::text, &Record::tls_local_subject},
    {"WEBSOCKET_CLOSE_CODE", Op::websocket_number, &WebSocketRecord::close_code},
    {"WEBSOCKET_CLOSED_BY", Op::websocket_text, &WebSocketRecord::closed_by},
    {"WEBSOCKET_MESSAGES_RECEIVED", Op::websocket_number, &WebSocketRecord::messages_received},
    {"WEBSOCKET_MESSAGES_SENT", Op::websocket_number, &WebSocketRecord::messages_sent},
    {"WEBSOCKET_BYTES_RECEIVED", Op::websocket_number, &WebSocketRecord::bytes_received},
    {"WEBSOCKET_BYTES_SENT", Op::websocket_number, &WebSocketRecord::bytes_sent},
    {"DOWNSTREAM_TRANSPORT_FAILURE_REASON", Op::reason, &Record::tls_failure},
};

const FormatParser::Named* FormatParser::find_operator(std::string_view name) {
  for (const Named& named : operators_)
    if (named.name == name) return &named;
  return nullptr;
}

std::expected<AccessLogFormat, FormatError> AccessLogFormat::parse(std::string_view text, Missing missing) {
  AccessLogFormat format;
  format.missing_ = missing;
  if (auto parsed = FormatParser(text, format).run(); !parsed) return std::unexpected(parsed.error());
  format.texts_.shrink_to_fit();
  format.pieces_.shrink_to_fit();
  return format;
}

std::string_view AccessLogFormat::default_text() {
  return "[%START_TIME%] \"%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%\" %RESPONSE_CODE% "
         "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "
         "\"%REQ(X-FORWARDED-FOR)%\" \"%REQ(USER-AGENT)%\" \"%REQ(X-REQUEST-ID)%\" \"%REQ(:AUTHORITY)%\" "
         "\"%UPSTREAM_HOST%\"\n";
}

}  // namespace ringside
