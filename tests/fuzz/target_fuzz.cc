// Host, path and header utilities against arbitrary bytes: the first byte chooses the options, the rest is
// authority \n path \n name:value \n ... What they promise to each other and to the upstream is checked on every input.
#include <cstdlib>
#include <memory>
#include <string>

#include "core/check.h"
#include "proxy/forwarding_headers.h"
#include "proxy/header_edit.h"
#include "proxy/http_target.h"
#include "proxy/observe/access_log.h"
#include "proxy/route/route_table.h"

namespace ringside {
namespace {

std::string_view next_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

HttpManagerSpec options(uint8_t bits) {
  HttpManagerSpec spec;
  spec.normalize_path = bits & 1;
  spec.merge_slashes = bits & 2;
  spec.escaped_slashes = static_cast<EscapedSlashAction>(bits >> 2 & 3);
  spec.strip_any_host_port = bits & 16;
  spec.strip_trailing_host_dot = bits & 32;
  spec.use_remote_address = bits & 64;
  spec.xff_trusted_hops = bits >> 7;
  spec.via = "v";
  return spec;
}

std::unique_ptr<const RouteTable> routes() {
  auto spec = std::make_shared<RouteConfigSpec>();
  VirtualHostSpec host;
  host.name = "all";
  host.domains = {"*", "*.com", "a.*", "a.com"};
  const auto add = [&](PathMatchKind kind, std::string path, std::string rewrite) {
    RouteSpec route;
    route.match_kind = kind;
    route.match_path = std::move(path);
    route.prefix_rewrite = std::move(rewrite);
    route.case_sensitive = host.routes.size() % 2 == 0;
    route.cluster = "c";
    host.routes.push_back(std::move(route));
  };
  add(PathMatchKind::exact, "/exact", "/");
  add(PathMatchKind::path_separated_prefix, "/sep", "/s");
  add(PathMatchKind::prefix, "/a/b", "/");
  add(PathMatchKind::prefix, "/", "");
  spec->virtual_hosts.push_back(std::move(host));
  return std::move(RouteTable::build(std::move(spec), {{"c", 0}}).value());
}

// Nothing that could end a line, a field or a log record.
void check_text(std::string_view text, bool spaces) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    RS_CHECK(byte > 0x20 && byte < 0x7f ? true : spaces && byte != '\n' && byte != '\r' && byte != 0);
  }
}

void check_path(const HttpManagerSpec& spec, std::string_view path, Arena& arena) {
  if (path == "*") return;
  RS_CHECK(path.starts_with('/'));
  check_text(path, false);
  const std::string_view walked = path_without_query(path);
  RS_CHECK(path.find('#') == std::string_view::npos);
  if (spec.merge_slashes) RS_CHECK(walked.find("//") == std::string_view::npos);
  if (!spec.normalize_path) return;
  RS_CHECK(walked.find("/../") == std::string_view::npos && walked.find("/./") == std::string_view::npos);
  RS_CHECK(walked.find('\\') == std::string_view::npos);
  // Whoever normalizes once more sees the same path.
  const auto again = normalize_path(path, arena);
  RS_CHECK(again.has_value() && *again == path);
}

void check_log(const Head& head) {
  static const AccessLogFormat format = AccessLogFormat::parse(AccessLogFormat::default_text()).value();
  static SecondCache second;
  AccessLogRecord record;
  record.request = &head;
  record.version = HttpVersion::http11;
  ArenaText text(head.fields.arena());
  format.write(record, second, text);
  RS_CHECK(text.text().find('\n') == text.text().size() - 1);
}

void run(std::string_view input) {
  static const std::unique_ptr<const RouteTable> table = routes();
  static ArenaPool pool;
  Arena arena(pool);
  const HttpManagerSpec spec = options(input.empty() ? uint8_t{0} : static_cast<uint8_t>(input[0]));
  input.remove_prefix(input.empty() ? 0 : 1);
  Head head(arena);
  head.method = "GET";
  head.authority = next_line(input);
  head.path = next_line(input);
  while (!input.empty()) {
    const std::string_view line = next_line(input);
    const size_t colon = line.find(':');
    if (colon != std::string_view::npos) head.fields.add(line.substr(0, colon), line.substr(colon + 1));
  }
  check_log(head);
  const TargetVerdict verdict = TargetPolicy(spec).apply(head, 80);
  if (verdict.action == TargetAction::redirect) {
    check_text(verdict.location, false);
    RS_CHECK(verdict.location.starts_with('/') && !verdict.location.starts_with("//"));
  }
  if (verdict.action != TargetAction::forward) return;
  RS_CHECK(parse_authority(head.authority).has_value());
  check_path(spec, head.path, arena);
  const ForwardingPolicy policy(spec, {}, *Address::from_ip("192.0.2.1", 0));
  const ClientFacts client =
      policy.on_request(head, {.peer = *Address::from_ip("203.0.113.9", 1), .tls = false}, {.high = 1, .low = 2});
  RS_CHECK(!client.is_internal && !head.fields.has(HeaderId::x_envoy_internal));
  RS_CHECK(!head.fields.has(HeaderId::x_forwarded_client_cert) && !head.fields.has(HeaderId::x_envoy_force_trace));
  RS_CHECK(head.scheme == "http" || head.scheme == "https");
  const RouteMatch match = table->match(head.authority, head.path);
  if (match.route != nullptr) match.route->rewrite_target(head, Route::OriginalPath::keep);
  if (head.path != "*") RS_CHECK(head.path.starts_with('/'));
  policy.on_upstream_request(head, policy.take_wishes(head).timeout.value_or(seconds(1)));
  check_log(head);
}

// The same bytes as configuration: parsing must end in a value or an error.
void parse_as_configuration(std::string_view input) {
  static_cast<void>(AccessLogFormat::parse(input));
  static_cast<void>(HeaderEdit::build({std::string(input)}, {{"x", std::string(input), HeaderAppend::add_if_absent}}));
  static_cast<void>(Address::from_ip(input, 1));
}

}  // namespace
}  // namespace ringside

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  ringside::run(input);
  ringside::parse_as_configuration(input);
  return 0;
}
