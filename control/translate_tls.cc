#include "control/translate_tls.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <tuple>
#include <utility>

#include "control/translate_common.h"
#include "raw_buffer.pb.h"
#include "tls.pb.h"
#include "tls/tls_context.h"
#include "tls/tls_source.h"
#include "tls/tls_tickets.h"
#include "upstream_proxy_protocol.pb.h"

namespace ringside {

namespace {

namespace api = envoy::extensions::transport_sockets::tls::v3;
namespace core_api = envoy::config::core::v3;
namespace pb = google::protobuf;
using core_api::TransportSocket;
using envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
using ProxyProtocolTransport = envoy::extensions::transport_sockets::proxy_protocol::v3::ProxyProtocolUpstreamTransport;

constexpr size_t file_bytes_max = 4 * 1024 * 1024;  // a bundle of all public authorities has 200 KB

// What was read so far. `certificates_at` are the indices in the configuration of the certificates in the spec.
struct Draft {
  TlsCommonSpec spec;
  std::vector<int> certificates_at;
  bool whole = true;  // else something was reported, and there will be no context
};

std::string read_source(TranslateContext& context, const core_api::DataSource& source, Draft& draft) {
  std::optional<std::string> text = translate_data_source(context, source, file_bytes_max, FileUse::watched);
  draft.whole &= text.has_value();
  return std::move(text).value_or("");
}

// --- The common part ---------------------------------------------------------------------------------------------------

TlsVersion version_of(api::TlsParameters::TlsProtocol version, TlsVersion automatic) {
  switch (version) {
    case api::TlsParameters::TLSv1_0: return TlsVersion::tls1_0;
    case api::TlsParameters::TLSv1_1: return TlsVersion::tls1_1;
    case api::TlsParameters::TLSv1_2: return TlsVersion::tls1_2;
    case api::TlsParameters::TLSv1_3: return TlsVersion::tls1_3;
    default: return automatic;
  }
}

void translate_certificate(TranslateContext& context, const api::TlsCertificate& certificate, int at, Draft& draft) {
  TlsCertificateSpec spec;
  const bool was_whole = std::exchange(draft.whole, true);
  if (!certificate.has_certificate_chain() || !certificate.has_private_key()) {
    context.missing(certificate, certificate.has_certificate_chain() ? api::TlsCertificate::kPrivateKeyFieldNumber
                                                                     : api::TlsCertificate::kCertificateChainFieldNumber);
    draft.whole = false;
  }
  if (certificate.has_certificate_chain()) spec.chain_pem = read_source(context, certificate.certificate_chain(), draft);
  if (certificate.has_private_key()) {
    std::string key = read_source(context, certificate.private_key(), draft);
    spec.private_key_pem = SecretText::take(key);
  }
  if (certificate.has_password()) {
    std::string password = read_source(context, certificate.password(), draft);
    while (password.ends_with('\n') || password.ends_with('\r')) password.pop_back();
    spec.password = SecretText::take(password);
  }
  if (certificate.has_watched_directory()) check_directory(context, certificate.watched_directory());
  if (certificate.has_ocsp_staple()) spec.ocsp_staple_der = read_source(context, certificate.ocsp_staple(), draft);
  if (draft.whole) {
    draft.spec.certificates.push_back(std::move(spec));
    draft.certificates_at.push_back(at);
  }
  draft.whole &= was_whole;
}

bool translate_text_match(TranslateContext& context, const envoy::type::matcher::v3::StringMatcher& matcher,
                          SanMatcherSpec& spec) {
  using Matcher = envoy::type::matcher::v3::StringMatcher;
  spec.ignore_case = matcher.ignore_case();
  switch (matcher.match_pattern_case()) {
    case Matcher::kExact: spec.how = TextMatch::exact, spec.text = matcher.exact(); return true;
    case Matcher::kPrefix: spec.how = TextMatch::prefix, spec.text = matcher.prefix(); return true;
    case Matcher::kSuffix: spec.how = TextMatch::suffix, spec.text = matcher.suffix(); return true;
    case Matcher::kContains: spec.how = TextMatch::contains, spec.text = matcher.contains(); return true;
    case Matcher::kSafeRegex: spec.how = TextMatch::regex, spec.text = matcher.safe_regex().regex(); return true;
    case Matcher::MATCH_PATTERN_NOT_SET: break;
  }
  context.missing(matcher, 0, "needs exact, prefix, suffix, contains or safe_regex");
  return false;
}

bool translate_san(TranslateContext& context, const api::SubjectAltNameMatcher& matcher, SanMatcherSpec& spec) {
  using Matcher = api::SubjectAltNameMatcher;
  switch (matcher.san_type()) {
    case Matcher::EMAIL: spec.type = SanType::email; break;
    case Matcher::DNS: spec.type = SanType::dns; break;
    case Matcher::URI: spec.type = SanType::uri; break;
    case Matcher::IP_ADDRESS: spec.type = SanType::ip; break;
    case Matcher::OTHER_NAME:
      context.unsupported(matcher, Matcher::kSanTypeFieldNumber, "OTHER_NAME", "supported: DNS, URI, EMAIL, IP_ADDRESS");
      return false;
    default: context.missing(matcher, Matcher::kSanTypeFieldNumber); return false;
  }
  if (!matcher.has_matcher()) {
    context.missing(matcher, Matcher::kMatcherFieldNumber);
    return false;
  }
  return translate_text_match(context, matcher.matcher(), spec);
}

void translate_validation(TranslateContext& context, const api::CertificateValidationContext& validation, Draft& draft) {
  using Validation = api::CertificateValidationContext;
  TlsValidationSpec& spec = draft.spec.validation;
  const bool was_whole = std::exchange(draft.whole, true);
  if (validation.has_watched_directory()) check_directory(context, validation.watched_directory());
  if (validation.has_trusted_ca()) spec.trusted_ca_pem = read_source(context, validation.trusted_ca(), draft);
  if (validation.has_crl()) spec.crl_pem = read_source(context, validation.crl(), draft);
  // Nothing to check by would read as nothing to check.
  for (const auto& [there, text, number] : {std::tuple{validation.has_trusted_ca(), &spec.trusted_ca_pem, int{Validation::kTrustedCaFieldNumber}},
                                            std::tuple{validation.has_crl(), &spec.crl_pem, int{Validation::kCrlFieldNumber}}}) {
    if (!there || !text->empty() || !draft.whole) continue;
    context.fail(validation, number, "is empty");
    draft.whole = false;
  }
  if (validation.has_crl() && !validation.has_trusted_ca()) {
    context.missing(validation, Validation::kCrlFieldNumber, "needs trusted_ca");
    draft.whole = false;
  }
  for (const api::SubjectAltNameMatcher& matcher : validation.match_typed_subject_alt_names()) {
    draft.whole &= translate_san(context, matcher, spec.subject_alt_names.emplace_back());
  }
  const auto& hashes = validation.verify_certificate_hash();
  spec.certificate_sha256_hex.assign(hashes.begin(), hashes.end());
  const auto& keys = validation.verify_certificate_spki();
  spec.spki_sha256_base64.assign(keys.begin(), keys.end());
  spec.allow_expired = validation.allow_expired_certificate();
  spec.crl_leaf_only = validation.only_verify_leaf_cert_crl();
  if (validation.trust_chain_verification() == Validation::ACCEPT_UNTRUSTED) spec.trust_chain = TrustChain::accept_untrusted;
  uint32_t depth = 0;
  context.number(validation, Validation::kMaxVerifyDepthFieldNumber, depth, {.min = 0, .max = 100});
  if (validation.has_max_verify_depth()) spec.depth_max = static_cast<int>(depth);
  if (!draft.whole) spec = {};  // what follows from the part that is missing is no news
  draft.whole &= was_whole;
}

Draft translate_common(TranslateContext& context, const api::CommonTlsContext& common) {
  Draft draft;
  const api::TlsParameters& params = common.tls_params();
  draft.spec.version_min = version_of(params.tls_minimum_protocol_version(), draft.spec.version_min);
  draft.spec.version_max = version_of(params.tls_maximum_protocol_version(), draft.spec.version_max);
  draft.spec.cipher_suites.assign(params.cipher_suites().begin(), params.cipher_suites().end());
  draft.spec.curves.assign(params.ecdh_curves().begin(), params.ecdh_curves().end());
  draft.spec.alpn.assign(common.alpn_protocols().begin(), common.alpn_protocols().end());
  int at = 0;
  for (const api::TlsCertificate& certificate : common.tls_certificates()) {
    translate_certificate(context, certificate, at++, draft);
  }
  if (common.has_validation_context()) translate_validation(context, common.validation_context(), draft);
  draft.spec.key_log_path = common.key_log().path();
  if (common.has_key_log() && common.key_log().path().empty()) {
    context.missing(common.key_log(), api::TlsKeyLog::kPathFieldNumber);
    draft.whole = false;
  }
  return draft;
}

// --- Making the context ------------------------------------------------------------------------------------------------

// "name[3]" as its two parts; -1 without an index.
std::pair<std::string, int> split_index(std::string_view segment) {
  const size_t bracket = segment.find('[');
  if (bracket == segment.npos) return {std::string(segment), -1};
  int index = 0;
  std::from_chars(segment.data() + bracket + 1, segment.data() + segment.size(), index);
  return {std::string(segment.substr(0, bracket)), index};
}

// Reports at the field that the library names: one of `root`, or of its common_tls_context.
void report(TranslateContext& context, const pb::Message& root, const pb::Message& common, const TlsSpecError& error) {
  std::string_view rest = error.field;
  const pb::Message* at = &root;
  if (root.GetDescriptor()->FindFieldByName(split_index(rest.substr(0, rest.find('.'))).first) == nullptr) at = &common;
  while (true) {
    const size_t dot = rest.find('.');
    const auto [name, index] = split_index(rest.substr(0, dot));
    const pb::FieldDescriptor* field = at->GetDescriptor()->FindFieldByName(name);
    if (field == nullptr) return context.fail(*at, 0, error.text());
    if (dot == rest.npos) return context.fail(*at, field->number(), error.reason, {}, index);
    const pb::Reflection& reflection = *at->GetReflection();
    at = index < 0 ? &reflection.GetMessage(*at, field) : &reflection.GetRepeatedMessage(*at, field, index);
    rest.remove_prefix(dot + 1);
  }
}

// Takes out what was refused, so that the next try finds the next error. False: there is nothing to take out.
bool drop(Draft& draft, const std::string& field) {
  constexpr std::string_view certificate = "tls_certificates[";
  TlsCommonSpec& spec = draft.spec;
  if (field.starts_with("validation_context.")) {
    spec.validation = {};
  } else if (field == "tls_params.cipher_suites") {
    spec.cipher_suites.clear();
  } else if (field == "tls_params.ecdh_curves") {
    spec.curves.clear();
  } else if (field == "tls_params.tls_minimum_protocol_version") {
    spec.version_min = spec.version_max;
  } else if (field == "alpn_protocols") {
    spec.alpn.clear();
  } else if (field.starts_with(certificate)) {
    const int at = split_index(field.substr(0, field.find('.'))).second;
    spec.certificates.erase(spec.certificates.begin() + at);
    draft.certificates_at.erase(draft.certificates_at.begin() + at);
  } else {
    return false;
  }
  return true;
}

// Whether an error may be there only because something else was refused before.
bool may_follow(const std::string& field) {
  return field == "tls_certificates" || field == "require_client_certificate" || field == "auto_sni_san_validation" ||
         field == "validation_context.match_typed_subject_alt_names";
}

// As the configuration counts certificates.
std::string original_field(const Draft& draft, const std::string& field) {
  const auto [name, index] = split_index(field.substr(0, field.find('.')));
  if (name != "tls_certificates" || index < 0) return field;
  return fmt::format("{}[{}]{}", name, draft.certificates_at[static_cast<size_t>(index)], field.substr(field.find(']') + 1));
}

// Tries until every error was found. Null only when one was reported: a null context means plain bytes.
TlsContextPtr build(TranslateContext& context, Draft& draft, const pb::Message& root, const pb::Message& common,
                    const std::function<TlsContextResult()>& make) {
  while (true) {
    TlsContextResult made = make();
    if (made) return draft.whole ? *std::move(made) : nullptr;
    const TlsSpecError error = made.error();
    const bool unread = (context.damaged(root) || context.damaged(common)) && context.any_errors();
    if ((unread || !draft.whole) && may_follow(error.field)) return nullptr;
    draft.whole = false;
    report(context, root, common, {original_field(draft, error.field), error.reason});
    if (!drop(draft, error.field)) return nullptr;
  }
}

// --- Both sides --------------------------------------------------------------------------------------------------------

void translate_tickets(TranslateContext& context, const api::DownstreamTlsContext& tls, const pb::Message& common,
                       bool tells_chain, TlsServerSpec& spec, Draft& draft) {
  // A ticket carries the client's certificate, and none of its issuers.
  spec.stateless_resumption = !tls.disable_stateless_session_resumption() && !tells_chain;
  if (!tls.has_session_ticket_keys()) return;
  std::vector<std::string> keys;
  const bool was_whole = std::exchange(draft.whole, true);
  for (const core_api::DataSource& key : tls.session_ticket_keys().keys()) keys.push_back(read_source(context, key, draft));
  if (draft.whole) {
    if (auto made = TlsTicketKeys::make(keys)) {
      spec.ticket_keys = *std::move(made);
    } else {
      report(context, tls, common, made.error());
      draft.whole = false;
    }
  }
  draft.whole &= was_whole;
}

OcspPolicy ocsp_policy_of(api::DownstreamTlsContext::OcspStaplePolicy policy) {
  switch (policy) {
    case api::DownstreamTlsContext::STRICT_STAPLING: return OcspPolicy::strict;
    case api::DownstreamTlsContext::MUST_STAPLE: return OcspPolicy::must_staple;
    default: return OcspPolicy::lenient;
  }
}

// What a context depends on besides its message.
struct ServerUse {
  bool http1_only = false;
  bool tells_chain = false;
  // Where the configuration gives none: a context that is made anew opens the tickets of the one before.
  std::shared_ptr<const TlsTicketKeys> ticket_keys;
};
struct ClientUse {};  // on nothing

// A client that is offered HTTP/2 speaks it.
void withhold_http2(TranslateContext& context, const api::CommonTlsContext& common, Draft& draft) {
  if (std::erase(draft.spec.alpn, "h2") == 0) return;
  context.warn(common, api::CommonTlsContext::kAlpnProtocolsFieldNumber,
               "h2 is not offered to clients: the codec_type of this chain's connection manager is HTTP1");
}

TlsContextPtr make_context(TranslateContext& context, const api::DownstreamTlsContext& tls, const ServerUse& use) {
  using Tls = api::DownstreamTlsContext;
  if (!tls.has_common_tls_context()) {
    context.missing(tls, Tls::kCommonTlsContextFieldNumber);
    return nullptr;
  }
  const api::CommonTlsContext& common = tls.common_tls_context();
  Draft draft = translate_common(context, common);
  if (use.http1_only) withhold_http2(context, common, draft);
  TlsServerSpec spec;
  context.flag(tls, Tls::kRequireClientCertificateFieldNumber, spec.require_client_certificate);
  context.duration(tls, Tls::kSessionTimeoutFieldNumber, spec.session_timeout);
  spec.ocsp_policy = ocsp_policy_of(tls.ocsp_staple_policy());
  spec.prefer_client_ciphers = tls.prefer_client_ciphers();
  spec.ticket_keys = use.ticket_keys;
  translate_tickets(context, tls, common, use.tells_chain, spec, draft);
  return build(context, draft, tls, common, [&] {
    TlsServerSpec copy = spec;
    copy.common = draft.spec;
    return TlsContext::make_server(std::move(copy));
  });
}

TlsContextPtr make_context(TranslateContext& context, const api::UpstreamTlsContext& tls, const ClientUse&) {
  if (!tls.has_common_tls_context()) {
    context.missing(tls, api::UpstreamTlsContext::kCommonTlsContextFieldNumber, "is required",
                    "without one nobody would be believed or asked: write common_tls_context: {} if that is meant");
    return nullptr;
  }
  const api::CommonTlsContext& common = tls.common_tls_context();
  Draft draft = translate_common(context, common);
  TlsClientSpec spec;
  spec.server_name = tls.sni();
  spec.allow_renegotiation = tls.allow_renegotiation();
  return build(context, draft, tls, common, [&] {
    TlsClientSpec copy = spec;
    copy.common = draft.spec;
    copy.common.validation.match_server_name = tls.auto_sni_san_validation();
    return TlsContext::make_client(std::move(copy));
  });
}

// --- Files -------------------------------------------------------------------------------------------------------------

// The paths of all files and watched directories in a message.
void find_files(const pb::Message& message, TlsFiles& files) {
  const pb::Descriptor* const type = message.GetDescriptor();
  if (type == core_api::DataSource::descriptor()) {
    const auto& source = static_cast<const core_api::DataSource&>(message);
    if (source.has_filename()) files.paths.push_back(source.filename());
  } else if (type == core_api::WatchedDirectory::descriptor()) {
    files.directories.push_back(static_cast<const core_api::WatchedDirectory&>(message).path());
    return;
  }
  const pb::Reflection& reflection = *message.GetReflection();
  std::vector<const pb::FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const pb::FieldDescriptor* field : fields) {
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      find_files(reflection.GetMessage(message, field), files);
      continue;
    }
    for (int at = 0; at < reflection.FieldSize(message, field); ++at)
      find_files(reflection.GetRepeatedMessage(message, field, at), files);
  }
}

// Translates a copy of the message again.
template <class Tls, class Use>
class MessageSource final : public TlsSource {
 public:
  MessageSource(const Tls& tls, Use use, TlsFiles files) : TlsSource(std::move(files)), tls_(tls), use_(std::move(use)) {}
  std::expected<TlsContextPtr, std::string> remake() const override {
    const LoadOptions options;
    ConfigErrorList errors;
    const ConfigPlaces places(1);
    TranslateContext context(options, errors, places);
    TlsContextPtr made = make_context(context, tls_, use_);
    if (made != nullptr && !errors.any()) return made;
    std::string text;
    for (const ConfigError& error : errors.take_errors())
      text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", error.path, error.what);
    return std::unexpected(text);
  }

 private:
  Tls tls_;
  Use use_;
};

template <class Tls, class Use>
TlsContextPtr translate_context(TranslateContext& context, const Tls& tls, Use use) {
  TlsFiles files;
  find_files(tls, files);
  files.marks = marks_of(files.paths);
  TlsContextPtr made = make_context(context, tls, use);
  if (made == nullptr) return made;
  files.where = context.where(tls);
  std::shared_ptr<const TlsSource> source;
  // A pipe is read once.
  const bool regular = std::find(files.marks.begin(), files.marks.end(), FileMark{}) == files.marks.end();
  if (!files.paths.empty() && regular) source = std::make_shared<const MessageSource<Tls, Use>>(tls, std::move(use), std::move(files));
  context.add_tls({.context = made, .source = std::move(source)});
  return made;
}

// Nothing that was written to encrypt may end as plain bytes.
void refuse_unknown(TranslateContext& context, const TransportSocket& socket) {
  if (context.any_errors()) return;
  context.fail(socket, TransportSocket::kTypedConfigFieldNumber, "is no transport socket that this version of ringside knows");
}

// True when there is something to translate; a socket without any content is reported.
bool has_content(TranslateContext& context, const TransportSocket& socket) {
  if (socket.has_typed_config()) return context.typed<RawBuffer>(socket.typed_config()) == nullptr;
  context.missing(socket, TransportSocket::kTypedConfigFieldNumber);
  return false;
}

}  // namespace

TlsContextPtr translate_downstream_socket(TranslateContext& context, const TransportSocket& socket,
                                          const FilterChainSpec& chain) {
  if (!has_content(context, socket)) return nullptr;
  if (const auto* tls = context.typed<api::DownstreamTlsContext>(socket.typed_config()))
    return translate_context(context, *tls,
                             ServerUse{.http1_only = chain.http != nullptr && chain.http->codec == CodecType::http1,
                                       .tells_chain = chain.http != nullptr && chain.http->client_cert.chain,
                                       .ticket_keys = TlsTicketKeys::random()});
  if (context.typed<api::UpstreamTlsContext>(socket.typed_config()) != nullptr) {
    context.fail(socket, TransportSocket::kTypedConfigFieldNumber,
                 "UpstreamTlsContext is for clusters, here goes DownstreamTlsContext");
  } else if (context.typed<ProxyProtocolTransport>(socket.typed_config()) != nullptr) {
    context.fail(socket, TransportSocket::kTypedConfigFieldNumber, "ProxyProtocolUpstreamTransport is for clusters");
  }
  refuse_unknown(context, socket);
  return nullptr;
}

UpstreamSocketSpec translate_upstream_socket(TranslateContext& context, const TransportSocket& socket, const ClusterSpec& cluster) {
  UpstreamSocketSpec spec;
  if (!has_content(context, socket)) return spec;
  if (const auto* tls = context.typed<api::UpstreamTlsContext>(socket.typed_config())) {
    spec.tls = translate_context(context, *tls, ClientUse{});
    spec.tls_alpn_set = !tls->common_tls_context().alpn_protocols().empty();
    spec.tls_host_name = tls->auto_host_sni();
    context.number(*tls, api::UpstreamTlsContext::kMaxSessionKeysFieldNumber, spec.tls_sessions_max);
    if (spec.tls != nullptr && cluster.auto_names.validation && !spec.tls->verifier().trusts()) {
      context.fail(socket, TransportSocket::kTypedConfigFieldNumber,
                   "needs validation_context.trusted_ca: the cluster has auto_san_validation");
    }
  } else if (const auto* proxy = context.typed<ProxyProtocolTransport>(socket.typed_config())) {
    if (!proxy->has_transport_socket()) {
      context.missing(*proxy, ProxyProtocolTransport::kTransportSocketFieldNumber);
      return spec;
    }
    spec = translate_upstream_socket(context, proxy->transport_socket(), cluster);
    if (spec.proxy_protocol != ProxyProtocol::none) {
      context.fail(*proxy, ProxyProtocolTransport::kTransportSocketFieldNumber, "may not be another PROXY header");
    }
    const bool v2 = proxy->config().version() == core_api::ProxyProtocolConfig::V2;
    spec.proxy_protocol = v2 ? ProxyProtocol::v2 : ProxyProtocol::v1;
  } else if (context.typed<api::DownstreamTlsContext>(socket.typed_config()) != nullptr) {
    context.fail(socket, TransportSocket::kTypedConfigFieldNumber,
                 "DownstreamTlsContext is for filter chains, here goes UpstreamTlsContext");
  } else {
    refuse_unknown(context, socket);
  }
  return spec;
}

}  // namespace ringside
