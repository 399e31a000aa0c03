#pragma once
// Access log lines in Envoy's format language: the format is compiled once, a line is written straight into the buffer of its
// file. docs/access-log.md lists the operators.
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/http.h"
#include "core/address.h"
#include "core/time.h"
#include "proxy/observe/response_flags.h"
#include "proxy/observe/second_cache.h"
#include "proxy/observe/text_sink.h"

namespace ringside {

// What was seen in an inspected WebSocket.
struct WebSocketRecord {
  uint64_t messages_received = 0;  // from the client
  uint64_t messages_sent = 0;
  uint64_t bytes_received = 0;  // of their payloads
  uint64_t bytes_sent = 0;
  uint64_t close_code = 0;
  std::string_view closed_by;  // "downstream", "upstream" or "proxy"
};

// One finished exchange or connection, in views and numbers. Empty views, null pointers and unset optionals are written as "-".
// What is pointed at must live until the line is written.
struct AccessLogRecord {
  WallTime start_time{};
  Duration duration{};
  std::optional<Duration> request_duration;   // first byte of the request to its last
  std::optional<Duration> response_duration;  // first byte of the request to the upstream's first
  Duration upstream_service_time{};           // upstream's head after the request's; what goes into the response header
  uint64_t bytes_received = 0;                // of the body
  uint64_t bytes_sent = 0;
  uint64_t connection_id = 0;
  uint16_t response_code = 0;
  ResponseFlags flags;
  bool is_internal = false;            // the request came from inside, see forwarding_headers.h
  std::optional<HttpVersion> version;  // none: not HTTP
  std::string_view method;             // when there is no `request`
  std::string_view response_code_details;
  std::string_view connection_termination_details;
  std::string_view route_name;
  std::string_view virtual_host;
  std::string_view listener_name;
  std::string_view filter_chain_name;
  std::string_view upstream_host;  // ip:port
  std::string_view upstream_cluster;
  std::string_view upstream_transport_failure_reason;
  std::string_view tls_version;      // of the client's connection, as the next ones
  std::string_view tls_cipher;
  std::string_view tls_server_name;  // SNI
  std::string_view tls_ja3;
  std::string_view tls_ja4;
  std::string_view tls_peer_subject;
  std::string_view tls_peer_uri_san;  // several are separated by commas
  std::string_view tls_peer_dns_san;
  std::string_view tls_local_subject;
  std::string_view tls_failure;  // why the handshake failed
  const Address* downstream_remote = nullptr;         // as x-forwarded-for says it; null: the same as the direct one
  const Address* downstream_direct_remote = nullptr;  // the peer of the socket
  const Address* downstream_local = nullptr;
  const Address* upstream_local = nullptr;
  const Head* request = nullptr;   // as it went to the upstream
  const Head* response = nullptr;  // as it went to the client
  const HeaderMap* response_trailers = nullptr;  // as the upstream sent them
  const WebSocketRecord* websocket = nullptr;
};

struct FormatError {
  std::string message;  // names the operator
  size_t offset = 0;    // in the format text
};

class AccessLogFormat {
 public:
  // How a value that is not there is written.
  enum class Missing : uint8_t { dash, nothing };
  // Compiles; an unknown operator is an error that names it.
  static std::expected<AccessLogFormat, FormatError> parse(std::string_view text, Missing missing = Missing::dash);
  // Envoy's default, with its line end.
  static std::string_view default_text();
  // Whether a line tells this address: for those that cost a call to the kernel.
  bool tells(const Address* AccessLogRecord::*address) const;
  bool tells(std::string_view AccessLogRecord::*text) const;
  // Appends the line; values are written as they are, but for control characters, which become \xHH: one record is one line.
  void write(const AccessLogRecord& record, SecondCache& second, TextSink& out) const;

 private:
  friend class FormatParser;
  enum class Op : uint8_t {
    literal,
    start_time_iso,  // the default format, most of it from the cache
    start_time,
    request_header,
    response_header,
    response_trailer,
    grpc_status_camel,
    grpc_status_snake,
    grpc_status_number,
    request_path,
    protocol,
    response_code,
    response_flags,
    response_flags_long,
    response_tx_duration,
    duration,
    text,
    reason,  // a text of ours with spaces, which become underscores
    number,
    websocket_number,
    websocket_text,
    span,
    address,
    address_ip,
    address_port,
  };
  // A piece of texts_.
  struct Span {
    uint32_t at = 0;
    uint32_t size = 0;
  };
  // Which member of the record an operator writes; `op` says which kind it is.
  union Field {
    constexpr Field() : text(nullptr) {}
    constexpr Field(std::string_view AccessLogRecord::*field) : text(field) {}
    constexpr Field(uint64_t AccessLogRecord::*field) : number(field) {}
    constexpr Field(std::string_view WebSocketRecord::*field) : websocket_text(field) {}
    constexpr Field(uint64_t WebSocketRecord::*field) : websocket_number(field) {}
    constexpr Field(std::optional<Duration> AccessLogRecord::*field) : span(field) {}
    constexpr Field(const Address* AccessLogRecord::*field) : address(field) {}
    std::string_view AccessLogRecord::*text;
    uint64_t AccessLogRecord::*number;
    std::string_view WebSocketRecord::*websocket_text;
    uint64_t WebSocketRecord::*websocket_number;
    std::optional<Duration> AccessLogRecord::*span;
    const Address* AccessLogRecord::*address;
  };
  // One step of writing a line: a literal, or an operator with its argument.
  struct Piece {
    Op op = Op::literal;
    HeaderId header = HeaderId::other;  // of REQ and RESP; `other`: look for the name
    HeaderId alternative = HeaderId::other;
    uint32_t size_max = UINT32_MAX;  // the value is cut there
    Field field;
    Span text;  // the literal, the header's name, or the format of a time
    Span alternative_text;
  };
  class Writer;
  AccessLogFormat() = default;
  std::string_view text(Span span) const { return std::string_view(texts_).substr(span.at, span.size); }

  std::string texts_;
  std::vector<Piece> pieces_;
  Missing missing_ = Missing::dash;
};

}  // namespace ringside
