#pragma once
// What a connection manager does to the fields of a message on its own account: who the client is, x-forwarded-*, x-envoy-*,
// x-request-id, via, server, date. As Envoy does it, see docs/routing.md.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "codecs/http.h"
#include "core/address.h"
#include "proxy/observe/second_cache.h"
#include "proxy/request_id.h"
#include "proxy/specs.h"

namespace ringside {

// The connection that a request came on.
struct DownstreamFacts {
  Address peer;  // of the socket; empty for unix sockets
  bool tls = false;
  const std::string* client_cert = nullptr;  // where looks_at_client_cert(); outlives the message
};

// Who sent a request.
struct ClientFacts {
  Address address;            // the trusted client address; the peer's when x-forwarded-for says nothing
  bool is_internal = false;   // one hop, from an address that the configuration calls internal
  bool is_edge = false;       // we are the first proxy of our network that it meets
  bool is_forwarded = false;  // `address` is out of x-forwarded-for (and has no port)
};

// What a client that may steer the router asks for, by x-envoy-upstream-rq-timeout-ms and its relatives. Unset, empty: nothing.
struct RouterWishes {
  bool any = false;
  bool alternative_timeout_status = false;  // 204 in place of 504
  std::optional<Duration> timeout, per_try_timeout, stream_duration;
  std::string_view retry_on, retry_grpc_on, retries_max, status_codes, header_names;
};

// Immutable. Its texts go into fields without a copy: it must outlive the messages.
class ForwardingPolicy {
 public:
  // `node_address` stands in x-forwarded-for for a peer on the loopback interface, as in Envoy: an address of this machine.
  ForwardingPolicy(const HttpManagerSpec& spec, const NodeSpec& node, const Address& node_address);

  // Whether on_request wants to know of the client's certificate.
  bool looks_at_client_cert() const {
    return client_cert_ != ForwardClientCert::sanitize && client_cert_ != ForwardClientCert::always_forward_only;
  }
  // Before routing. Changes the fields, and head.scheme when it is empty.
  ClientFacts on_request(Head& head, const DownstreamFacts& connection, RandomBits random) const;
  // Trailers say nothing about the client: what on_request is about goes.
  static void on_request_trailers(HeaderMap& fields);
  // Consumes the fields by which a client steers the router.
  RouterWishes take_wishes(Head& head) const;
  // Before the request goes out: x-envoy-expected-rq-timeout-ms.
  void on_upstream_request(Head& head, Duration timeout) const;
  // x-envoy-upstream-service-time, on an upstream's response.
  void on_upstream_response(Head& response, Duration service_time) const;
  // Before a response goes out, ours or the upstream's: date, server, via, x-request-id.
  void on_response(Head& response, const Head& request, SecondCache& second, WallTime now) const;

 private:
  class Survey;
  bool find_client(std::string_view forwarded_for, const Address& peer, ClientFacts& client) const;
  bool is_internal(const Address& address) const;
  void append_forwarded_for(HeaderMap& fields, std::string_view forwarded_for, const Address& peer) const;
  bool forwards_client_cert(const DownstreamFacts& connection) const;
  void tell_client_cert(HeaderMap& fields, const Survey& survey, const std::string* element) const;
  void set_forwarded_proto(Head& head, const Survey& survey, bool tls) const;
  void set_user_agent(HeaderMap& fields) const;
  void set_request_id(HeaderMap& fields, const ClientFacts& client, RandomBits random) const;

  std::string server_name_, via_, node_cluster_, node_id_, node_ip_;
  std::vector<CidrSpec> internal_ranges_;
  ServerHeader server_header_;
  ForwardClientCert client_cert_;
  uint32_t trusted_hops_;
  bool use_remote_address_, skip_xff_append_, add_user_agent_;
  bool generate_request_id_, preserve_external_request_id_, always_set_request_id_in_response_;
  bool suppress_envoy_headers_, internal_unix_sockets_, respect_expected_timeout_;
};

}  // namespace ringside
