#include "proxy/forwarding_headers.h"

#include <algorithm>
#include <charconv>

#include "proxy/http_target.h"

namespace ringside {
namespace {

static_assert(static_cast<size_t>(HeaderId::count_) <= 64, "a set of header ids is a word");
constexpr uint64_t bit(HeaderId id) { return uint64_t{1} << static_cast<unsigned>(id); }

// Never a client's to say: it decides about trust, or it names what only we know.
constexpr uint64_t always_removed = bit(HeaderId::x_envoy_internal);
// Only an internal client may steer the router.
constexpr uint64_t internal_only =
    bit(HeaderId::x_envoy_max_retries) | bit(HeaderId::x_envoy_retry_on) |
    bit(HeaderId::x_envoy_upstream_rq_per_try_timeout_ms) | bit(HeaderId::x_envoy_upstream_rq_timeout_ms) |
    bit(HeaderId::x_envoy_expected_rq_timeout_ms) | bit(HeaderId::x_envoy_force_trace) | bit(HeaderId::x_envoy_ip_tags);
constexpr std::string_view internal_only_names[] = {"x-envoy-hedge-on-per-try-timeout",
                                                    "x-envoy-original-url",
                                                    "x-envoy-retriable-header-names",
                                                    "x-envoy-retriable-status-codes",
                                                    "x-envoy-retry-grpc-on",
                                                    "x-envoy-upstream-alt-stat-name",
                                                    "x-envoy-upstream-stream-duration-ms",
                                                    "x-envoy-upstream-rq-timeout-alt-response"};
// What proxies of one network tell each other; at its edge nobody else may.
constexpr uint64_t mesh_only = bit(HeaderId::x_envoy_decorator_operation) |
                               bit(HeaderId::x_envoy_downstream_service_cluster) |
                               bit(HeaderId::x_envoy_downstream_service_node) | bit(HeaderId::x_envoy_original_path);
constexpr std::string_view mesh_only_names[] = {"x-envoy-original-host"};
// What the router takes for itself.
constexpr uint64_t router_fields = bit(HeaderId::x_envoy_max_retries) | bit(HeaderId::x_envoy_retry_on) |
                                   bit(HeaderId::x_envoy_upstream_rq_per_try_timeout_ms) |
                                   bit(HeaderId::x_envoy_upstream_rq_timeout_ms);

template <size_t count>
bool is_one_of(std::string_view name, const std::string_view (&names)[count]) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

bool is_envoy_name(std::string_view name) { return name.starts_with("x-envoy-"); }

// "x_forwarded_for": the same variable as x-forwarded-for to whoever reads headers by way of CGI.
bool is_underscore_alias(std::string_view name) {
  if (name.size() < 8 || name[0] != 'x' || name.find('_') == std::string_view::npos) return false;
  const auto same = [&](std::string_view prefix) {
    if (name.size() < prefix.size()) return false;
    return std::equal(prefix.begin(), prefix.end(), name.begin(),
                      [](char a, char b) { return a == b || (a == '-' && b == '_'); });
  };
  return same("x-envoy-") || same("x-forwarded-") || same("x-request-id");
}

// A URI reference whose authority, if it has one, is well formed: nothing else is passed on (as Envoy).
bool is_sound_referer(std::string_view text) {
  for (const char c : text)
    if (c <= ' ' || c >= 0x7f) return false;
  const size_t scheme = text.find("://");
  const bool absolute = scheme != std::string_view::npos;
  const std::string_view rest = absolute ? text.substr(scheme + 3) : text;
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (authority.empty()) return !absolute && !rest.empty();
  return parse_authority(authority).has_value();
}

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// The address in the list's last place but `skipped`; nullopt when there is no address.
std::optional<Address> address_from_end(std::string_view list, uint32_t skipped) {
  if (list.empty()) return std::nullopt;
  for (; skipped > 0; --skipped) {
    const size_t comma = list.rfind(',');
    if (comma == std::string_view::npos) return std::nullopt;
    list = list.substr(0, comma);
  }
  const size_t comma = list.rfind(',');
  const std::string_view text = trim(comma == std::string_view::npos ? list : list.substr(comma + 1));
  if (text.starts_with('[')) return std::nullopt;
  return Address::from_ip(text, 0);
}

std::string_view number_text(uint64_t number, Arena& arena) {
  constexpr size_t digits_max = 20;
  char* out = arena.allocate_text(digits_max);
  return {out, static_cast<size_t>(std::to_chars(out, out + digits_max, number).ptr - out)};
}

uint64_t whole_milliseconds(Duration duration) {
  return duration.count() < 0 ? 0 : static_cast<uint64_t>(duration / milliseconds(1));
}

// nullopt: not a number of milliseconds that fits.
std::optional<Duration> milliseconds_of(std::string_view text) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || text.empty() || end != text.data() + text.size()) return std::nullopt;
  return milliseconds(value);
}

// Whether this is a field for the router alone.
bool take_rare_wish(std::string_view name, std::string_view value, RouterWishes& wishes) {
  if (!is_envoy_name(name) || name == "x-envoy-original-url") return false;
  if (name == "x-envoy-retry-grpc-on") wishes.retry_grpc_on = value;
  else if (name == "x-envoy-retriable-status-codes") wishes.status_codes = value;
  else if (name == "x-envoy-retriable-header-names") wishes.header_names = value;
  else if (name == "x-envoy-upstream-stream-duration-ms") wishes.stream_duration = milliseconds_of(value);
  else if (name == "x-envoy-upstream-rq-timeout-alt-response") wishes.alternative_timeout_status = true;
  return is_one_of(name, internal_only_names);
}

// An equal name is there: replaces it; else adds, without looking again.
void put(HeaderMap& fields, bool there, HeaderId id, std::string_view value) {
  if (there)
    fields.set(id, value);
  else
    fields.add(id, value);
}

}  // namespace

// One look at all fields: which are there, and whether any must go.
class ForwardingPolicy::Survey {
 public:
  explicit Survey(const HeaderMap& fields) {
    for (const HeaderField& field : fields) {
      present_ |= bit(field.id());
      if (field.id() == HeaderId::other) {
        const std::string_view name = field.name();
        odd_names_ |= name.size() > 8 && name[0] == 'x' && (is_envoy_name(name) || is_underscore_alias(name));
      } else if (field.id() == HeaderId::x_forwarded_for) {
        ++forwarded_for_count_;
        forwarded_for_ = field.value();
      } else if (field.id() == HeaderId::referer) {
        bad_referer_ |= referer_seen_ || !is_sound_referer(field.value());
        referer_seen_ = true;
      }
    }
  }
  bool has(HeaderId id) const { return (present_ & bit(id)) != 0; }
  bool repeats_forwarded_for() const { return forwarded_for_count_ > 1; }

  // The fields that this client may not send.
  void remove_forbidden(HeaderMap& fields, const ClientFacts& client, uint64_t forbidden) const {
    forbidden |= always_removed;
    if (bad_referer_) forbidden |= bit(HeaderId::referer);
    if (!client.is_internal) forbidden |= internal_only;
    if (client.is_edge) forbidden |= mesh_only;
    if ((present_ & forbidden) == 0 && (client.is_internal || !odd_names_)) return;
    fields.remove_if([&](const HeaderField& field) {
      if (field.id() != HeaderId::other) return (forbidden & bit(field.id())) != 0;
      if (client.is_internal || !odd_names_) return false;
      return is_underscore_alias(field.name()) || is_one_of(field.name(), internal_only_names) ||
             (client.is_edge && is_one_of(field.name(), mesh_only_names));
    });
  }

  // All lines as one list; empty ones are left out.
  std::string_view forwarded_for(const HeaderMap& fields) const {
    if (forwarded_for_count_ <= 1) return forwarded_for_;
    std::string_view list;
    for (const HeaderField& field : fields)
      if (field.id() == HeaderId::x_forwarded_for && (list.empty() || !field.value().empty()))
        list = list.empty() ? field.value() : fields.arena().concat(list, ",", field.value());
    return list;
  }

 private:
  uint64_t present_ = 0;
  std::string_view forwarded_for_;
  uint32_t forwarded_for_count_ = 0;
  bool odd_names_ = false;
  bool referer_seen_ = false;
  bool bad_referer_ = false;
};

ForwardingPolicy::ForwardingPolicy(const HttpManagerSpec& spec, const NodeSpec& node, const Address& node_address)
    : server_name_(spec.server_name),
      via_(spec.via),
      node_cluster_(node.cluster),
      node_id_(node.id),
      node_ip_(node_address.ip_text()),
      internal_ranges_(spec.internal_ranges),
      server_header_(spec.server_header),
      client_cert_(spec.client_cert.how),
      trusted_hops_(spec.xff_trusted_hops),
      use_remote_address_(spec.use_remote_address),
      skip_xff_append_(spec.skip_xff_append),
      add_user_agent_(spec.add_user_agent),
      generate_request_id_(spec.generate_request_id),
      preserve_external_request_id_(spec.preserve_external_request_id),
      always_set_request_id_in_response_(spec.always_set_request_id_in_response),
      suppress_envoy_headers_(spec.suppress_envoy_headers),
      internal_unix_sockets_(spec.internal_unix_sockets),
      respect_expected_timeout_(spec.respect_expected_timeout) {}

// --- the request -----------------------------------------------------------------------------------------------------

ClientFacts ForwardingPolicy::on_request(Head& head, const DownstreamFacts& connection, RandomBits random) const {
  HeaderMap& fields = head.fields;
  const Survey survey(fields);
  ClientFacts client;
  const std::string_view forwarded_for = survey.forwarded_for(fields);
  const bool one_hop = find_client(forwarded_for, connection.peer, client);
  client.is_internal = one_hop && is_internal(client.address);
  client.is_edge = use_remote_address_ && !client.is_internal;
  survey.remove_forbidden(fields, client, forwards_client_cert(connection) ? 0 : bit(HeaderId::x_forwarded_client_cert));

  // One line, as Envoy: whoever reads the first or the last of several would see another client than we did.
  if (survey.repeats_forwarded_for()) fields.set(HeaderId::x_forwarded_for, forwarded_for);
  if (use_remote_address_ && !skip_xff_append_) append_forwarded_for(fields, forwarded_for, connection.peer);
  if (client_cert_ != ForwardClientCert::sanitize) tell_client_cert(fields, survey, connection.client_cert);
  set_forwarded_proto(head, survey, connection.tls);
  if (client.is_internal) fields.add(HeaderId::x_envoy_internal, "true");
  if (add_user_agent_) set_user_agent(fields);
  if (!via_.empty()) fields.append(HeaderId::via, via_, ", ");
  if (client.is_edge && client.address.is_ip()) {
    char* ip = fields.arena().allocate_text(Address::text_bytes_max);
    const std::string_view text(ip, client.address.write_ip(ip));
    put(fields, survey.has(HeaderId::x_envoy_external_address), HeaderId::x_envoy_external_address, text);
  }
  set_request_id(fields, client, random);
  return client;
}

// A header about certificates is believed only from who has shown one.
bool ForwardingPolicy::forwards_client_cert(const DownstreamFacts& connection) const {
  switch (client_cert_) {
    case ForwardClientCert::sanitize:
    case ForwardClientCert::sanitize_set:
      return false;
    case ForwardClientCert::forward_only:
    case ForwardClientCert::append_forward:
      return connection.client_cert != nullptr;
    case ForwardClientCert::always_forward_only:
      return true;
  }
  return false;
}

// As Envoy, one line. What may not be forwarded is gone already.
void ForwardingPolicy::tell_client_cert(HeaderMap& fields, const Survey& survey, const std::string* element) const {
  constexpr HeaderId id = HeaderId::x_forwarded_client_cert;
  if (client_cert_ == ForwardClientCert::sanitize_set && element != nullptr) return fields.add(id, *element);
  std::string_view list;
  if (survey.has(id))
    for (const HeaderField& field : fields)
      if (field.id() == id && !field.value().empty())
        list = list.empty() ? field.value() : fields.arena().concat(list, ",", field.value());
  if (client_cert_ == ForwardClientCert::append_forward && element != nullptr)
    list = list.empty() ? std::string_view(*element) : fields.arena().concat(list, ",", *element);
  if (!list.empty()) put(fields, survey.has(id), id, list);
}

// Returns whether the client is known to be one hop away: nobody forwarded the request, or one whose word is the only one. Without
// use_remote_address our peer is a proxy of ours, which has written the list.
bool ForwardingPolicy::find_client(std::string_view forwarded_for, const Address& peer, ClientFacts& client) const {
  std::optional<Address> found;
  bool one_hop;
  if (use_remote_address_) {
    one_hop = forwarded_for.empty();
    if (trusted_hops_ > 0) found = address_from_end(forwarded_for, trusted_hops_ - 1);
  } else {
    found = address_from_end(forwarded_for, trusted_hops_);
    one_hop = found.has_value() && trusted_hops_ == 0 && forwarded_for.find(',') == std::string_view::npos;
  }
  client.is_forwarded = found.has_value();
  client.address = found.has_value() ? *found : peer;
  return one_hop;
}

bool ForwardingPolicy::is_internal(const Address& address) const {
  if (!address.is_ip()) return internal_unix_sockets_;
  return std::any_of(internal_ranges_.begin(), internal_ranges_.end(),
                     [&](const CidrSpec& range) { return address.is_within(range.base, range.prefix_bits); });
}

void ForwardingPolicy::append_forwarded_for(HeaderMap& fields, std::string_view forwarded_for,
                                            const Address& peer) const {
  if (!peer.is_ip()) return;
  std::string_view own = node_ip_;
  if (!peer.is_loopback()) {
    char* ip = fields.arena().allocate_text(Address::text_bytes_max);
    own = {ip, peer.write_ip(ip)};
  }
  if (forwarded_for.data() == nullptr) return fields.add(HeaderId::x_forwarded_for, own);
  fields.set(HeaderId::x_forwarded_for, forwarded_for.empty() ? own : fields.arena().concat(forwarded_for, ",", own));
}

void ForwardingPolicy::set_forwarded_proto(Head& head, const Survey& survey, bool tls) const {
  const std::string_view real = tls ? "https" : "http";
  std::string_view proto;
  if (survey.has(HeaderId::x_forwarded_proto)) proto = head.fields.value(HeaderId::x_forwarded_proto);
  const bool untrusted = use_remote_address_ && trusted_hops_ == 0;
  if (proto.empty() || untrusted) {
    put(head.fields, survey.has(HeaderId::x_forwarded_proto), HeaderId::x_forwarded_proto, real);
    proto = real;
  }
  if (!head.scheme.empty()) return;
  head.scheme = proto == "http" || proto == "https" ? proto : real;
}

// Envoy's add_user_agent: who we are, as a client of the upstream.
void ForwardingPolicy::set_user_agent(HeaderMap& fields) const {
  fields.set(HeaderId::x_envoy_downstream_service_cluster, node_cluster_);
  if (fields.value(HeaderId::user_agent).empty()) fields.set(HeaderId::user_agent, node_cluster_);
  if (!node_id_.empty()) fields.set(HeaderId::x_envoy_downstream_service_node, node_id_);
}

// An edge gives every request a new id, unless told to keep those that come from outside; elsewhere the id is what ties the hops.
void ForwardingPolicy::set_request_id(HeaderMap& fields, const ClientFacts& client, RandomBits random) const {
  if (!generate_request_id_) return;
  const HeaderField* field = fields.find(HeaderId::x_request_id);
  const bool replaced = client.is_edge && !preserve_external_request_id_;
  if (field != nullptr && !field->value().empty() && !replaced) return;
  put(fields, field != nullptr, HeaderId::x_request_id, make_request_id(random, fields.arena()));
}

void ForwardingPolicy::on_request_trailers(HeaderMap& fields) {
  fields.remove_if([](const HeaderField& field) {
    const std::string_view name = field.name();
    return is_envoy_name(name) || name.starts_with("x-forwarded-") || field.id() == HeaderId::x_request_id ||
           is_underscore_alias(name);
  });
}

RouterWishes ForwardingPolicy::take_wishes(Head& head) const {
  RouterWishes wishes;
  for (const HeaderField& field : head.fields)
    wishes.any |= (router_fields & bit(field.id())) != 0 || (field.id() == HeaderId::other && is_envoy_name(field.name()));
  const bool told = respect_expected_timeout_ && head.fields.has(HeaderId::x_envoy_expected_rq_timeout_ms);
  if (told) wishes.timeout = milliseconds_of(head.fields.value(HeaderId::x_envoy_expected_rq_timeout_ms));
  if (!wishes.any) return wishes;
  head.fields.remove_if([&](const HeaderField& field) {
    const std::string_view value = field.value();
    switch (field.id()) {
      case HeaderId::x_envoy_upstream_rq_timeout_ms:
        if (!told) wishes.timeout = milliseconds_of(value);
        return true;
      case HeaderId::x_envoy_upstream_rq_per_try_timeout_ms: wishes.per_try_timeout = milliseconds_of(value); return true;
      case HeaderId::x_envoy_retry_on: wishes.retry_on = value; return true;
      case HeaderId::x_envoy_max_retries: wishes.retries_max = value; return true;
      case HeaderId::other: return take_rare_wish(field.name(), value, wishes);
      default: return false;
    }
  });
  return wishes;
}

void ForwardingPolicy::on_upstream_request(Head& head, Duration timeout) const {
  if (suppress_envoy_headers_ || timeout <= Duration::zero()) return;
  const std::string_view text = number_text(whole_milliseconds(timeout), head.fields.arena());
  head.fields.set(HeaderId::x_envoy_expected_rq_timeout_ms, text);
}

// --- the response ----------------------------------------------------------------------------------------------------

void ForwardingPolicy::on_upstream_response(Head& response, Duration service_time) const {
  if (suppress_envoy_headers_) return;
  const std::string_view text = number_text(whole_milliseconds(service_time), response.fields.arena());
  response.fields.set(HeaderId::x_envoy_upstream_service_time, text);
}

void ForwardingPolicy::on_response(Head& response, const Head& request, SecondCache& second, WallTime now) const {
  HeaderMap& fields = response.fields;
  bool has_date = false, has_server = false;
  for (const HeaderField& field : fields) {
    has_date |= field.id() == HeaderId::date;
    has_server |= field.id() == HeaderId::server;
  }
  // The cached text may change before this message is written.
  if (!has_date) fields.add(HeaderId::date, fields.arena().copy(second.http_date(now)));
  if (server_header_ == ServerHeader::overwrite || (server_header_ == ServerHeader::append_if_absent && !has_server))
    put(fields, has_server, HeaderId::server, server_name_);
  if (!via_.empty()) fields.append(HeaderId::via, via_, ", ");
  if (!always_set_request_id_in_response_ && !request.fields.has(HeaderId::x_envoy_force_trace)) return;
  const std::string_view id = request.fields.value(HeaderId::x_request_id);
  // The request may be gone before the response is.
  if (!id.empty()) fields.set(HeaderId::x_request_id, fields.arena().copy(id));
}

}  // namespace ringside
