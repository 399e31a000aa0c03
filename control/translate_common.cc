#include "control/translate_common.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <cstdlib>

#include "codecs/ascii.h"
#include "codecs/http_text.h"
#include "control/config_file.h"
#include "file_access_log.pb.h"
#include "stream_access_log.pb.h"

namespace ringside {

namespace {

namespace core_api = envoy::config::core::v3;
using core_api::SocketAddress;

constexpr uint32_t port_max = 65535;
constexpr size_t format_bytes_max = 64 * 1024;

std::optional<Address> translate_socket_address(TranslateContext& context, const SocketAddress& socket) {
  if (!context.only_value(socket, SocketAddress::kProtocolFieldNumber, SocketAddress::TCP)) return std::nullopt;
  if (socket.address().empty()) {
    context.missing(socket, SocketAddress::kAddressFieldNumber);
    return std::nullopt;
  }
  const uint32_t port = check_port(context, socket);
  auto address = Address::from_ip(socket.address(), static_cast<uint16_t>(port));
  if (!address) {
    context.fail(socket, SocketAddress::kAddressFieldNumber,
                 fmt::format("\"{}\" is not an IP address", socket.address()),
                 "host names work for endpoints of clusters of type STRICT_DNS only");
  }
  return address;
}

}  // namespace

uint16_t check_port(TranslateContext& context, const SocketAddress& socket) {
  if (socket.port_specifier_case() == SocketAddress::PORT_SPECIFIER_NOT_SET) {
    context.missing(socket, SocketAddress::kPortValueFieldNumber);
  } else if (socket.port_value() > port_max) {
    context.fail(socket, SocketAddress::kPortValueFieldNumber,
                 fmt::format("{} is not within 0 to {}", socket.port_value(), port_max));
  } else {
    return static_cast<uint16_t>(socket.port_value());
  }
  return 0;
}

std::optional<Address> translate_address(TranslateContext& context, const google::protobuf::Message& parent, int number,
                                         const core_api::Address& address) {
  switch (address.address_case()) {
    case core_api::Address::kSocketAddress: return translate_socket_address(context, address.socket_address());
    case core_api::Address::kPipe: {
      const core_api::Pipe& pipe = address.pipe();
      auto path = Address::from_path(pipe.path());
      if (pipe.path().empty()) {
        context.missing(pipe, core_api::Pipe::kPathFieldNumber);
        return std::nullopt;
      }
      if (!path)
        context.fail(pipe, core_api::Pipe::kPathFieldNumber, "is longer than a unix socket's path may be", "107 bytes");
      return path;
    }
    case core_api::Address::ADDRESS_NOT_SET: break;
  }
  if (!context.damaged(address)) context.missing(parent, number, "needs socket_address or pipe");
  return std::nullopt;
}

void check_directory(TranslateContext& context, const core_api::WatchedDirectory& directory) {
  if (directory.path().empty()) context.missing(directory, core_api::WatchedDirectory::kPathFieldNumber);
}

std::optional<std::string> translate_data_source(TranslateContext& context, const core_api::DataSource& source,
                                                 size_t bytes_max, FileUse use) {
  using core_api::DataSource;
  if (source.has_watched_directory()) check_directory(context, source.watched_directory());
  if (source.has_watched_directory() && use == FileUse::once) {
    context.unsupported(source, DataSource::kWatchedDirectoryFieldNumber, "watching a file that is not TLS's");
  }
  std::string text;
  int number = DataSource::kInlineStringFieldNumber;
  switch (source.specifier_case()) {
    case DataSource::kFilename: {
      auto content = read_config_file(source.filename(), bytes_max);
      if (!content) {
        context.fail(source, DataSource::kFilenameFieldNumber,
                     fmt::format("{} {}", source.filename(), content.error()));
        return std::nullopt;
      }
      return *std::move(content);
    }
    case DataSource::kInlineBytes:
      number = DataSource::kInlineBytesFieldNumber;
      text = source.inline_bytes();
      break;
    case DataSource::kInlineString: text = source.inline_string(); break;
    case DataSource::kEnvironmentVariable: {
      number = DataSource::kEnvironmentVariableFieldNumber;
      const char* value = getenv(source.environment_variable().c_str());
      if (value == nullptr) {
        context.fail(source, number,
                     fmt::format("environment variable \"{}\" is not set", source.environment_variable()));
        return std::nullopt;
      }
      text = value;
      break;
    }
    case DataSource::SPECIFIER_NOT_SET:
      context.missing(source, 0, "needs inline_string, inline_bytes, filename or environment_variable");
      return std::nullopt;
  }
  if (text.size() > bytes_max) {
    context.fail(source, number, fmt::format("is larger than {} bytes", bytes_max));
    return std::nullopt;
  }
  return text;
}

std::vector<CidrSpec> translate_ranges(TranslateContext& context,
                                       const google::protobuf::RepeatedPtrField<core_api::CidrRange>& ranges) {
  using core_api::CidrRange;
  std::vector<CidrSpec> specs;
  for (const CidrRange& range : ranges) {
    const std::optional<Address> base = Address::from_ip(range.address_prefix(), 0);
    if (!base) {
      context.fail(range, CidrRange::kAddressPrefixFieldNumber, "is no IP address", "such as 10.0.0.0");
      continue;
    }
    CidrSpec cidr{.base = *base};
    const uint32_t bits_max = base->family() == AF_INET ? 32 : 128;
    context.number(range, CidrRange::kPrefixLenFieldNumber, cidr.prefix_bits, {.max = bits_max});
    specs.push_back(cidr);
  }
  return specs;
}

TextMatchSpec translate_matcher(TranslateContext& context, const envoy::type::matcher::v3::StringMatcher& matcher) {
  using Matcher = envoy::type::matcher::v3::StringMatcher;
  TextMatchSpec spec{.ignore_case = matcher.ignore_case()};
  switch (matcher.match_pattern_case()) {
    case Matcher::kExact: spec.text = matcher.exact(); break;
    case Matcher::kPrefix: spec.how = TextMatchHow::prefix, spec.text = matcher.prefix(); break;
    case Matcher::kSuffix: spec.how = TextMatchHow::suffix, spec.text = matcher.suffix(); break;
    case Matcher::kContains: spec.how = TextMatchHow::contains, spec.text = matcher.contains(); break;
    case Matcher::kSafeRegex:
      spec.how = TextMatchHow::regex, spec.text = matcher.safe_regex().regex();
      if (const re2::RE2 regex(spec.text, re2::RE2::Quiet); !regex.ok()) {
        context.fail(matcher, Matcher::kSafeRegexFieldNumber, fmt::format("is no regular expression: {}", regex.error()));
      }
      break;
    case Matcher::MATCH_PATTERN_NOT_SET:
      context.missing(matcher, 0, "needs exact, prefix, suffix, contains or safe_regex");
      break;
  }
  return spec;
}

NodeSpec translate_node(TranslateContext& context, const core_api::Node& node) {
  const LoadOptions& options = context.options();
  const auto or_option = [](const std::string& written, const std::string& option) {
    return written.empty() ? option : written;
  };
  return {.id = or_option(node.id(), options.service_node),
          .cluster = or_option(node.cluster(), options.service_cluster),
          .region = node.locality().region(),
          .zone = or_option(node.locality().zone(), options.service_zone),
          .sub_zone = node.locality().sub_zone()};
}

namespace {

using envoy::config::accesslog::v3::AccessLog;

// The format as the data plane takes it; empty stands for the default.
std::string checked_format(TranslateContext& context, const google::protobuf::Message& holder, int number,
                           std::string format) {
  const auto check = context.options().check_access_log_format;
  const std::string wrong = check == nullptr ? std::string() : check(format);
  if (!wrong.empty()) context.fail(holder, number, wrong);
  return format;
}

std::string translate_format(TranslateContext& context, const core_api::SubstitutionFormatString& format) {
  using Format = core_api::SubstitutionFormatString;
  switch (format.format_case()) {
    case Format::kTextFormat:
      return checked_format(context, format, Format::kTextFormatFieldNumber, format.text_format());
    case Format::kTextFormatSource:
      return checked_format(context, format, Format::kTextFormatSourceFieldNumber,
                            translate_data_source(context, format.text_format_source(), format_bytes_max).value_or(""));
    case Format::FORMAT_NOT_SET: context.missing(format, 0, "needs text_format_source"); return {};
  }
  return {};
}

std::optional<AccessLogSpec> translate_access_log(TranslateContext& context, const AccessLog& log) {
  using envoy::extensions::access_loggers::file::v3::FileAccessLog;
  namespace stream = envoy::extensions::access_loggers::stream::v3;
  if (const auto* file = context.typed<FileAccessLog>(log.typed_config())) {
    AccessLogSpec spec{.path = file->path(), .format = {}};
    if (spec.path.empty()) context.missing(*file, FileAccessLog::kPathFieldNumber);
    if (file->has_log_format()) {
      spec.format = translate_format(context, file->log_format());
    } else if (!file->format().empty()) {
      spec.format = checked_format(context, *file, FileAccessLog::kFormatFieldNumber, file->format());
    }
    return spec;
  }
  if (const auto* out = context.typed<stream::StdoutAccessLog>(log.typed_config())) {
    return AccessLogSpec{.path = "/dev/stdout",
                         .format = out->has_log_format() ? translate_format(context, out->log_format()) : ""};
  }
  if (const auto* err = context.typed<stream::StderrAccessLog>(log.typed_config())) {
    return AccessLogSpec{.path = "/dev/stderr",
                         .format = err->has_log_format() ? translate_format(context, err->log_format()) : ""};
  }
  if (!log.has_typed_config()) context.missing(log, AccessLog::kTypedConfigFieldNumber);
  return std::nullopt;
}

}  // namespace

std::vector<AccessLogSpec> translate_access_logs(TranslateContext& context,
                                                 const google::protobuf::RepeatedPtrField<AccessLog>& logs) {
  std::vector<AccessLogSpec> specs;
  for (const AccessLog& log : logs) {
    if (auto spec = translate_access_log(context, log)) specs.push_back(*std::move(spec));
  }
  return specs;
}

void translate_http_protocol(TranslateContext& context, const core_api::HttpProtocolOptions& options,
                             HttpProtocolSpec& into) {
  using Options = core_api::HttpProtocolOptions;
  context.duration(options, Options::kIdleTimeoutFieldNumber, into.idle_timeout);
  context.duration(options, Options::kMaxConnectionDurationFieldNumber, into.connection_duration_max);
  context.duration(options, Options::kMaxStreamDurationFieldNumber, into.stream_duration_max);
  context.number(options, Options::kMaxHeadersCountFieldNumber, into.headers_count_max, {.min = 1});
  context.number(options, Options::kMaxRequestsPerConnectionFieldNumber, into.requests_per_connection_max);
  switch (options.headers_with_underscores_action()) {
    case Options::REJECT_REQUEST: into.underscore = UnderscoreAction::reject_request; break;
    case Options::DROP_HEADER: into.underscore = UnderscoreAction::drop_header; break;
    default: into.underscore = UnderscoreAction::allow; break;
  }
}

namespace {

void translate_keepalive(TranslateContext& context, const core_api::KeepaliveSettings& settings, KeepaliveSpec& into) {
  using Settings = core_api::KeepaliveSettings;
  constexpr DurationFloor floor{.value = milliseconds(1)};
  if (!settings.has_timeout()) context.missing(settings, Settings::kTimeoutFieldNumber);
  context.duration(settings, Settings::kIntervalFieldNumber, into.interval, floor);
  context.duration(settings, Settings::kTimeoutFieldNumber, into.timeout, floor);
  context.duration(settings, Settings::kConnectionIdleIntervalFieldNumber, into.idle_interval, floor);
  if (!settings.has_interval_jitter()) return;
  into.jitter_percent = settings.interval_jitter().value();
  if (!(into.jitter_percent >= 0 && into.jitter_percent <= 100))
    context.fail(settings.interval_jitter(), envoy::type::v3::Percent::kValueFieldNumber, "must be within 0 to 100");
}

// RFC 9113 6.5.2, RFC 8441 3
enum class H2SettingName : uint32_t {
  header_table_size = 1,
  enable_push = 2,
  max_concurrent_streams = 3,
  initial_window_size = 4,
  max_frame_size = 5,
  max_header_list_size = 6,
  enable_connect_protocol = 8,
};

// What has a field of its own, or is not ours to choose: the field's name, or why it cannot be had. Empty: may be set.
std::string_view setting_refused(uint32_t identifier) {
  switch (static_cast<H2SettingName>(identifier)) {
    case H2SettingName::header_table_size: return "is set by hpack_table_size";
    case H2SettingName::enable_push: return "asks for server push, which is not supported";
    case H2SettingName::max_concurrent_streams: return "is set by max_concurrent_streams";
    case H2SettingName::initial_window_size: return "is set by initial_stream_window_size";
    case H2SettingName::max_frame_size: return "asks for larger frames, which are not supported";
    case H2SettingName::max_header_list_size: return "is set by the limits of headers";
    case H2SettingName::enable_connect_protocol: return "is set by allow_connect";
  }
  return {};
}

void translate_settings(TranslateContext& context, const core_api::Http2ProtocolOptions& options, Http2Spec& into) {
  using Options = core_api::Http2ProtocolOptions;
  using Parameter = Options::SettingsParameter;
  constexpr int settings_max = 16;
  if (options.custom_settings_parameters_size() > settings_max)
    context.fail(options, Options::kCustomSettingsParametersFieldNumber, fmt::format("more than {} settings", settings_max));
  for (const Parameter& parameter : options.custom_settings_parameters()) {
    uint32_t identifier = 0;
    if (!parameter.has_identifier()) context.missing(parameter, Parameter::kIdentifierFieldNumber);
    if (!parameter.has_value()) context.missing(parameter, Parameter::kValueFieldNumber);
    context.number(parameter, Parameter::kIdentifierFieldNumber, identifier, {.min = 1, .max = 0xffff});
    const std::string_view refused = setting_refused(identifier);
    if (!refused.empty())
      context.fail(parameter, Parameter::kIdentifierFieldNumber, fmt::format("setting {} {}", identifier, refused));
    for (const Http2SettingSpec& other : into.custom_settings) {
      if (other.identifier == identifier)
        context.fail(parameter, Parameter::kIdentifierFieldNumber, fmt::format("setting {} is there twice", identifier));
    }
    into.custom_settings.push_back({static_cast<uint16_t>(identifier), parameter.value().value()});
  }
}

}  // namespace

void translate_http2(TranslateContext& context, const core_api::Http2ProtocolOptions& options, Http2Spec& into) {
  using Options = core_api::Http2ProtocolOptions;
  constexpr NumberRange window{.min = 65535, .max = 0x7fffffff};
  constexpr NumberRange positive{.min = 1};
  context.number(options, Options::kHpackTableSizeFieldNumber, into.table_bytes, {.max = 1024 * 1024});
  context.number(options, Options::kMaxConcurrentStreamsFieldNumber, into.streams_max, {.min = 1, .max = 0x7fffffff});
  context.number(options, Options::kInitialStreamWindowSizeFieldNumber, into.stream_window_bytes, window);
  context.number(options, Options::kInitialConnectionWindowSizeFieldNumber, into.connection_window_bytes, window);
  context.number(options, Options::kMaxOutboundFramesFieldNumber, into.outbound_frames_max, positive);
  context.number(options, Options::kMaxOutboundControlFramesFieldNumber, into.outbound_control_frames_max, positive);
  context.number(options, Options::kMaxConsecutiveInboundFramesWithEmptyPayloadFieldNumber, into.empty_frames_max);
  context.number(options, Options::kMaxInboundPriorityFramesPerStreamFieldNumber, into.priority_frames_per_stream);
  context.number(options, Options::kMaxInboundWindowUpdateFramesPerDataFrameSentFieldNumber,
                 into.window_updates_per_data_frame, {.min = 1, .max = 100'000'000});
  into.allow_connect = options.allow_connect();
  into.stream_error_on_invalid_message = options.stream_error_on_invalid_http_messaging();
  context.flag(options, Options::kOverrideStreamErrorOnInvalidHttpMessageFieldNumber, into.stream_error_on_invalid_message);
  if (options.has_connection_keepalive())
    translate_keepalive(context, options.connection_keepalive(), into.keepalive.emplace());
  translate_settings(context, options, into);
}

std::string upgrade_problem(const std::string& type, const std::vector<UpgradeSpec>& before) {
  if (type.empty()) return "upgrade_type is missing: name the protocol, \"websocket\" for example, or CONNECT";
  if (equals_any_case(type, "h2c")) return "HTTP/2 is no upgrade: the listener's codec_type takes it as it is";
  if (!http::is_token(type)) return fmt::format("\"{}\" is not the name of a protocol", type);
  for (const UpgradeSpec& other : before)
    if (equals_any_case(other.type, type)) return fmt::format("\"{}\" is there twice", type);
  return {};
}

}  // namespace ringside
