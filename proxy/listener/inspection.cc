#include "proxy/listener/inspection.h"

#include <utility>

#include "proxy/listener/http_guess.h"
#include "proxy/listener/listener_gate.h"
#include "proxy/listener/proxy_header.h"
#include "proxy/shard.h"
#include "tls/client_fingerprint.h"

namespace ringside {
namespace {

// What a filter may want to see before it decides: the largest ClientHello in as many records as it may have.
constexpr size_t window_bytes = ClientHelloReader::hello_bytes_max + 5 * ClientHelloReader::records_max;
static_assert(window_bytes > guessed_line_bytes_max && window_bytes > proxy_header_bytes_max);

}  // namespace

Inspection::Inspection(ListenerGate& gate, std::unique_ptr<TcpTransport> socket) : gate_(gate), socket_(std::move(socket)) {}

Inspection::~Inspection() = default;

void Inspection::start(Slice first_bytes) {
  socket_->start(*this, window_bytes);
  fresh_ = std::move(first_bytes);
  look_at_fresh();
  const Duration timeout = gate_.spec().filters_timeout;
  if (waits() && timeout > Duration::zero()) gate_.worker().arm(timer_, timeout);
}

// --- bytes -------------------------------------------------------------------------------------------------------------

void Inspection::on_bytes(Slice bytes) {
  if (closing_) return socket_->grant(bytes.size());
  if (gathered_.empty()) {
    fresh_ = std::move(bytes);
  } else {
    gathered_ += bytes.text();
  }
  look_at_fresh();
}

void Inspection::look_at_fresh() {
  look();
  // A slow client holds no block.
  if (waits() && !fresh_.empty()) gathered_ = fresh_.text();
  fresh_ = Slice();
}

void Inspection::on_end() {
  if (closing_) return;
  gate_.stats().inc(ListenerStat::downstream_listener_filter_remote_close);
  close({ErrorCode::peer_closed, Origin::downstream, Retry::never, "closed before a filter chain was found"});
}

void Inspection::consume(size_t bytes) {
  socket_->grant(bytes);
  if (gathered_.empty()) return fresh_.remove_prefix(bytes);
  gathered_.erase(0, bytes);
}

Slice Inspection::take_held() {
  if (gathered_.empty()) return std::move(fresh_);
  char* room = nullptr;
  Slice slice = make_heap_slice(gathered_.size(), &room);
  gathered_.copy(room, gathered_.size());
  return slice;
}

// --- filters -----------------------------------------------------------------------------------------------------------

void Inspection::look() {
  const std::vector<ListenerFilterSpec>& filters = gate_.spec().filters;
  for (; at_ < filters.size(); ++at_) {
    const PortSet* const disabled = filters[at_].disabled_ports.get();
    if (disabled != nullptr && disabled->test(socket_->local_address().port())) continue;
    if (apply(filters[at_]) != Step::next) return;
  }
  conclude();
}

Inspection::Step Inspection::apply(const ListenerFilterSpec& filter) {
  switch (filter.kind) {
    case ListenerFilterKind::original_dst: ask_original_destination(); return Step::next;
    case ListenerFilterKind::proxy_protocol: return held().empty() ? Step::more : apply_proxy_header(filter);
    case ListenerFilterKind::tls_inspector: return held().empty() ? Step::more : apply_tls(filter);
    case ListenerFilterKind::http_inspector: return tls_ ? Step::next : held().empty() ? Step::more : apply_http();
  }
  return Step::next;
}

Inspection::Step Inspection::refuse(const char* why) {
  close({ErrorCode::bad_message, Origin::downstream, Retry::never, why});
  return Step::refused;
}

Inspection::Step Inspection::apply_tls(const ListenerFilterSpec& filter) {
  StatBlock<TlsInspectorStat>& stats = gate_.tls_inspector_stats();
  if (hello_ == nullptr) hello_ = std::make_unique<ClientHelloReader>();
  const HelloOutcome outcome = hello_->read(held());
  if (outcome == HelloOutcome::more) {
    if (held().size() <= filter.hello_bytes_max) return Step::more;
    stats.inc(TlsInspectorStat::client_hello_too_large);
    return refuse("ClientHello too large");
  }
  stats.record(TlsInspectorStat::bytes_processed, held().size());
  if (outcome == HelloOutcome::broken) return hello_broken(filter);
  if (outcome == HelloOutcome::not_tls) {
    stats.inc(TlsInspectorStat::tls_not_found);
  } else {
    note_hello(filter);
  }
  hello_.reset();
  return Step::next;
}

// Envoy takes what its library cannot read for something else than TLS.
Inspection::Step Inspection::hello_broken(const ListenerFilterSpec& filter) {
  StatBlock<TlsInspectorStat>& stats = gate_.tls_inspector_stats();
  if (hello_->problem() == ClientHelloReader::too_large) {
    stats.inc(TlsInspectorStat::client_hello_too_large);
    return refuse("ClientHello too large");
  }
  stats.inc(TlsInspectorStat::tls_not_found);
  hello_.reset();
  return filter.close_on_broken_hello ? refuse("ClientHello broken") : Step::next;
}

void Inspection::note_hello(const ListenerFilterSpec& filter) {
  StatBlock<TlsInspectorStat>& stats = gate_.tls_inspector_stats();
  const ClientHello& hello = hello_->hello();
  tls_ = true;
  server_name_ = hello.server_name;
  protocols_ = hello.alpn;
  stats.inc(TlsInspectorStat::tls_found);
  stats.inc(server_name_.empty() ? TlsInspectorStat::sni_not_found : TlsInspectorStat::sni_found);
  stats.inc(protocols_.empty() ? TlsInspectorStat::alpn_not_found : TlsInspectorStat::alpn_found);
  if (filter.ja3) socket_->facts().ja3 = ja3_fingerprint(hello);
  if (filter.ja4) socket_->facts().ja4 = ja4_fingerprint(hello);
}

Inspection::Step Inspection::apply_http() {
  StatBlock<HttpInspectorStat>& stats = gate_.http_inspector_stats();
  switch (guess_http(held())) {
    case HttpGuess::more: return Step::more;
    case HttpGuess::http10: stats.inc(HttpInspectorStat::http10_found), protocols_ = {"http/1.0"}; break;
    case HttpGuess::http11: stats.inc(HttpInspectorStat::http11_found), protocols_ = {"http/1.1"}; break;
    case HttpGuess::http2: stats.inc(HttpInspectorStat::http2_found), protocols_ = {"h2c"}; break;
    case HttpGuess::none: stats.inc(HttpInspectorStat::http_not_found); break;
  }
  return Step::next;
}

Inspection::Step Inspection::apply_proxy_header(const ListenerFilterSpec& filter) {
  StatBlock<ProxyProtocolStat>& stats = gate_.proxy_protocol_stats();
  ProxyHeader header;
  const ProxyHeaderOutcome outcome = read_proxy_header(held(), header);
  if (outcome == ProxyHeaderOutcome::absent) return header_absent(filter);
  const bool v1 = header.version == 1;
  if (header.version != 0 && !(v1 ? filter.version1 : filter.version2)) {
    if (filter.header_may_be_absent) return header_absent(filter);
    stats.inc(v1 ? ProxyProtocolStat::v1_found : ProxyProtocolStat::v2_found);
    stats.inc(v1 ? ProxyProtocolStat::v1_disallowed : ProxyProtocolStat::v2_disallowed);
    return refuse("version of the PROXY header not allowed");
  }
  if (outcome == ProxyHeaderOutcome::more) return Step::more;
  if (outcome == ProxyHeaderOutcome::broken) {
    stats.inc(v1 ? ProxyProtocolStat::v1_error : ProxyProtocolStat::v2_error);
    gate_.count_proxy_protocol_error();
    return refuse("PROXY header broken");
  }
  stats.inc(v1 ? ProxyProtocolStat::v1_found : ProxyProtocolStat::v2_found);
  if (header.names_peer) {
    const Address direct_peer = socket_->peer_address();
    ConnectionFacts& facts = socket_->facts();
    facts.direct_peer = direct_peer;
    facts.peer = header.peer;
    facts.local = header.local;
  }
  consume(header.size_bytes);
  return Step::next;
}

Inspection::Step Inspection::header_absent(const ListenerFilterSpec& filter) {
  StatBlock<ProxyProtocolStat>& stats = gate_.proxy_protocol_stats();
  if (filter.header_may_be_absent) {
    stats.inc(ProxyProtocolStat::not_found_allowed);
    return Step::next;
  }
  stats.inc(ProxyProtocolStat::not_found_disallowed);
  gate_.count_proxy_protocol_error();
  return refuse("PROXY header absent");
}

// Where the client wanted to go before a rule of the kernel's sent it here.
void Inspection::ask_original_destination() {
  const Address original = socket_->original_destination();
  if (!original.empty()) socket_->facts().local = original;
}

// --- the end -----------------------------------------------------------------------------------------------------------

void Inspection::conclude() {
  if (ListenerGate* const other = gate_.original_listener(*socket_)) {
    end();
    return other->inspect(std::move(socket_), take_held());
  }
  LiveChain* const chain = gate_.choose(*socket_, {.server_name = server_name_,
                                                   .transport_protocol = tls_ ? "tls" : "raw_buffer",
                                                   .application_protocols = protocols_});
  if (chain == nullptr) return close({ErrorCode::refused, Origin::local, Retry::never, "no filter chain matches"});
  if (!chain->has_tls() && chain->tells_server_name()) socket_->facts().server_name = std::move(server_name_);
  end();
  gate_.admit(*chain, std::move(socket_), take_held());
}

// Nothing more is called for this one.
void Inspection::end() {
  timer_.disarm();
  Link<Inspection>::unlink();
  gate_.worker().retire(*this);
  gate_.on_inspection_over();
}

void Inspection::on_timer() {
  gate_.stats().inc(ListenerStat::downstream_pre_cx_timeout);
  if (gate_.spec().continue_on_filters_timeout) return conclude();
  close({ErrorCode::timed_out, Origin::downstream, Retry::never, "listener filters timeout"});
}

void Inspection::close(Error why) {
  if (closing_) return;
  closing_ = true;
  timer_.disarm();
  socket_->close(why);
}

void Inspection::on_closed(Error why) {
  if (!closing_) gate_.stats().inc(ListenerStat::downstream_listener_filter_error);
  static_cast<void>(why);
  end();
  gate_.shard().on_descriptor_freed();
}

}  // namespace ringside
