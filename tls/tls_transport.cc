#include "tls/tls_transport.h"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>

#include "core/limits.h"
#include "tls/openssl_errors.h"
#include "tls/own_certificate.h"
#include "tls/tls_limits.h"

namespace ringside {
namespace {

// A session is resumed only where its certificate was checked for the same names.
std::string session_name(const PeerCheck& check) {
  std::string name = check.server_name;
  for (const std::string& wanted : check.subject_alt_names) name.append(1, '\0').append(wanted);
  return name;
}

}  // namespace

TlsTransport::TlsTransport(Worker& worker, TlsContextPtr context, std::unique_ptr<Transport> below,
                           TlsConnectionOptions options)
    : worker_(worker),
      context_(std::move(context)),
      below_(std::move(below)),
      stats_(options.stats),
      sessions_(options.sessions),
      ssl_(context_->new_connection()),
      handshake_(std::make_unique<Handshake>()) {
  handshake_->options = std::move(options);
  BIO* bio = make_record_bio(*this);
  SSL_set_bio(ssl_, bio, bio);
  SSL_set_app_data(ssl_, static_cast<TlsConnectionPort*>(this));
}

TlsTransport::~TlsTransport() {
  set_hungry(false);
  let_library_go();
}

void TlsTransport::let_library_go() {
  if (ssl_ == nullptr) return;
  // Otherwise the library takes a connection that it did not close itself for broken, and spoils the session.
  SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_set_app_data(ssl_, nullptr);
  SSL_free(std::exchange(ssl_, nullptr));
}

Error TlsTransport::error(ErrorCode code, const char* detail) const {
  const bool client = context_->side() == TlsSide::client;
  const Retry retry = !client ? Retry::never : state_ == TlsState::handshaking ? Retry::always : Retry::if_reused;
  return {code, client ? Origin::upstream : Origin::downstream, retry, detail};
}

const std::string& TlsTransport::failure_text() const {
  static const std::string none;
  return failure_ != nullptr ? *failure_ : none;
}

void TlsTransport::count(TlsStat stat) {
  if (stats_ != nullptr) stats_->inc(stat);
}

// --- handshake ---------------------------------------------------------------------------------------------------------

void TlsTransport::feed(Slice bytes) {
  RS_CHECK(state_ == TlsState::idle);
  in_.append(std::move(bytes));
}

void TlsTransport::start(TransportUser& user, size_t credit_bytes) {
  RS_CHECK(state_ == TlsState::idle);
  user_ = &user;
  credit_bytes_ = window_bytes_ = credit_bytes;
  state_ = TlsState::handshaking;
  const time_t now = std::chrono::system_clock::to_time_t(std::chrono::time_point_cast<seconds>(worker_.ring().wall_now()));
  X509_VERIFY_PARAM_set_time(SSL_get0_param(ssl_), now);
  if (context_->side() == TlsSide::client) prepare_client();
  below_->start(*this, credit_bytes + limits::tls_record_bytes_max);
  // A client speaks first, a server may have been fed. In the flush, so that no call of the user's comes from inside this one.
  worker_.flush_later(*this);
}

void TlsTransport::prepare_client() {
  TlsConnectionOptions& options = handshake_->options;
  std::string& name = handshake_->check.server_name;
  name = options.server_name.empty() ? context_->server_name() : options.server_name;
  handshake_->check.subject_alt_names = std::move(options.subject_alt_names);
  if (!name.empty()) SSL_set_tlsext_host_name(ssl_, name.c_str());
  if (!options.alpn.empty()) {
    const std::string wire = alpn_wire_format(options.alpn).value_or("");
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wire.data()), static_cast<unsigned>(wire.size()));
  }
  if (sessions_ == nullptr) return;
  if (&sessions_->context() != context_.get()) return;  // there is a newer one
  sessions_->offer(*ssl_, session_name(handshake_->check));
}

void TlsTransport::shake_hands() {
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  const int why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(ssl_, result);
  settle_credit();
  if (why == SSL_ERROR_NONE) return handshake_done();
  if (why != SSL_ERROR_WANT_READ) return handshake_failed();
  if (!below_ended_) return;
  count(TlsStat::connection_error);
  fail(error(ErrorCode::peer_closed, "closed during the TLS handshake"), "TLS_error: connection closed during the handshake");
}

void TlsTransport::handshake_done() {
  X509* peer = SSL_get0_peer_certificate(ssl_);
  const bool resumed = SSL_session_reused(ssl_) == 1;
  if (resumed && peer != nullptr) {
    // The chain was checked when the session was made; that it has not run out since is checked here.
    const bool good = context_->verifier().accepts_resumed(*peer, wall_now());
    if (!good) {
      count(TlsStat::fail_verify_error);
      return fail(error(ErrorCode::bad_message, "TLS session resumed with an expired certificate"),
                  "TLS_error: certificate verify failed: the certificate of the resumed session has expired");
    }
  }
  peer_validated_ = resumed ? context_->verifier().checks() && peer != nullptr && SSL_get_verify_result(ssl_) == X509_V_OK
                            : handshake_->check.validated;
  count(TlsStat::handshake);
  if (resumed) count(TlsStat::session_reused);
  if (peer == nullptr) count(TlsStat::no_certificate);
  note_agreement();
  count_facts();
  TlsUser* user = handshake_->options.user;
  SSL_set_tlsext_status_ocsp_resp(ssl_, nullptr, 0);  // sent; a copy of it would stay with every connection
  state_ = TlsState::open;
  worker_.flush_later(*this);  // what waited for this moment
  if (user != nullptr) user->on_handshake();
  if (handshake_ != nullptr && handshake_->options.keep_chain && peer != nullptr)
    agreement_->chain_pem = std::make_unique<const std::string>(peer_chain_pem());
  drop_issuers();
  if (may_take_over()) return take_over();
  if (!context_->allows_renegotiation() && sessions_ == nullptr) handshake_.reset();
}

// Between two records, and with nothing left in the library's hands.
bool TlsTransport::may_take_over() const {
  if (handshake_ == nullptr || state_ != TlsState::open) return false;
  const Handshake& shake = *handshake_;
  const bool secrets = !shake.client_secret.empty() && !shake.server_secret.empty() && !shake.keys_changed;
  // In the middle of a message, a ticket say, the library is "in init" again.
  if (!secrets || !shake.read.between() || SSL_pending(ssl_) > 0 || SSL_is_init_finished(ssl_) != 1 || !record_suite(agreement_->cipher)) return false;
  return sessions_ == nullptr || shake.has_ticket || shake.read.count() >= limits::tls_ticket_records_max;
}

void TlsTransport::take_over() {
  const Handshake& shake = *handshake_;
  const bool client = context_->side() == TlsSide::client;
  const RecordLayer::Secrets secrets = {.read = client ? shake.server_secret : shake.client_secret,
                                        .write = client ? shake.client_secret : shake.server_secret,
                                        .records_read = shake.read.count(),
                                        .records_written = shake.written.count(),
                                        .takes_tickets = client};
  records_ = std::make_unique<RecordLayer>(*record_suite(agreement_->cipher), secrets);
  handshake_.reset();
  let_library_go();
}

void TlsTransport::handshake_failed() {
  const PeerCheck& check = handshake_->check;
  const bool no_certificate = ERR_GET_REASON(ERR_peek_error()) == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
  const std::string reason = take_openssl_error();
  count(check.failed ? check.reason : no_certificate ? TlsStat::fail_verify_no_cert : TlsStat::connection_error);
  const bool refused = check.failed && !context_->verifier().accept_untrusted();
  fail(error(ErrorCode::bad_message, refused ? "TLS peer certificate refused" : "TLS handshake failed"),
       "TLS_error: " + (refused ? check.text : reason.empty() ? std::string("handshake failed") : reason));
}

bool TlsTransport::on_session(ssl_session_st& session) {
  if (sessions_ == nullptr || handshake_ == nullptr) return false;
  handshake_->has_ticket = true;
  if (&sessions_->context() != context_.get()) return false;  // there is a newer one
  sessions_->put(session_name(handshake_->check), session);
  return true;
}

void TlsTransport::on_handshake_message(uint8_t type) {
  constexpr uint8_t key_update = 24;
  if (handshake_ != nullptr && type == key_update) handshake_->keys_changed = true;
  if (state_ == TlsState::open && ++late_messages_ > limits::tls_late_messages_max) excess_ = true;
}

// Told when the keys are installed: records are counted from here on.
void TlsTransport::on_secret(std::string_view line) {
  if (handshake_ == nullptr) return;
  const bool client = line.starts_with("CLIENT_TRAFFIC_SECRET_0 ");
  if (!client && !line.starts_with("SERVER_TRAFFIC_SECRET_0 ")) return;
  TrafficSecret& secret = client ? handshake_->client_secret : handshake_->server_secret;
  if (!secret.set_hex(line.substr(line.rfind(' ') + 1))) return;
  const bool own = client == (context_->side() == TlsSide::client);
  (own ? handshake_->written : handshake_->read).restart();
}

// --- receiving ---------------------------------------------------------------------------------------------------------

void TlsTransport::on_bytes(Slice bytes) {
  if (state_ == TlsState::ending || peer_finished_) return below_->grant(bytes.size());
  in_.append(std::move(bytes));
  if (state_ == TlsState::handshaking) {
    worker_.flush_later(*this);  // before the transport below: an answer goes out with the end of the handshake
    shake_hands();
  }
  if (state_ == TlsState::open) decrypt();
  choose_hungry();
}

void TlsTransport::on_end() {
  below_ended_ = true;
  if (state_ == TlsState::handshaking) shake_hands();
  if (state_ == TlsState::open) decrypt();
}

size_t TlsTransport::read_cipher(char* room, size_t size) {
  if (excess_) return 0;
  size_t copied = 0;
  while (copied < size && !in_.empty()) {
    const std::string_view front = in_.slice(0).text();
    const size_t part = std::min(size - copied, front.size());
    std::memcpy(room + copied, front.data(), part);
    if (handshake_ != nullptr) handshake_->read.pass(front.data(), part);
    in_.consume(part);
    copied += part;
  }
  consumed_bytes_ += copied;
  return copied;
}

void TlsTransport::settle_credit() {
  const size_t early = std::min(granted_early_bytes_, consumed_bytes_);
  granted_early_bytes_ -= early;
  if (const size_t bytes = std::exchange(consumed_bytes_, 0) - early; bytes > 0) below_->grant(bytes);
}

void TlsTransport::drop_input() {
  consumed_bytes_ += in_.size_bytes();
  in_.clear();
  opened_.clear();
  settle_credit();
}

// Without any, the library would allocate a read buffer only to find that out.
bool TlsTransport::has_input() const { return !in_.empty() || SSL_has_pending(ssl_) == 1; }

Slice TlsTransport::take_block() {
  const size_t bytes = std::min(in_.size_bytes() + static_cast<size_t>(SSL_pending(ssl_)), credit_bytes_);
  Block* block = nullptr;
  if (bytes >= limits::bulk_body_bytes) block = worker_.pools().large.take_or_grow();
  if (block == nullptr) block = worker_.pools().small.take_or_grow();
  if (block != nullptr) return {*block, block->data, block->capacity};
  char* room = nullptr;
  return make_heap_slice(limits::small_block_bytes, &room);
}

// Decrypts as much as one block and the credit take. The result is the library's error, SSL_ERROR_NONE when it could go on.
int TlsTransport::decrypt_block(Slice& plain) {
  plain = take_block();
  char* room = const_cast<char*>(plain.data());
  const size_t size = std::min(plain.size(), credit_bytes_);
  size_t filled = 0;
  int why = SSL_ERROR_NONE;
  while (filled < size && has_input() && why == SSL_ERROR_NONE) {
    size_t got = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(ssl_, room + filled, size - filled, &got);
    if (result != 1) why = SSL_get_error(ssl_, result);
    filled += got;
  }
  plain.truncate(filled);
  return why;
}

void TlsTransport::decrypt() {
  if (records_ != nullptr) return open_records();
  while (state_ == TlsState::open && !peer_finished_ && credit_bytes_ > 0 && has_input()) {
    Slice plain;
    const int why = decrypt_block(plain);
    settle_credit();
    if (!plain.empty()) {
      late_messages_ = 0;
      deliver_piece(std::move(plain));
    }
    if (state_ != TlsState::open) return;
    if (excess_) {
      count(TlsStat::connection_error);
      return fail(error(ErrorCode::bad_message, "too many TLS handshake messages"), "TLS_error: too many key updates");
    }
    if (why == SSL_ERROR_WANT_READ) break;
    if (why == SSL_ERROR_ZERO_RETURN) {
      peer_finished_ = true;
      drop_input();
      return user_->on_end();
    }
    if (why != SSL_ERROR_NONE) {
      count(TlsStat::connection_error);
      const std::string reason = take_openssl_error();
      return fail(error(ErrorCode::bad_message, "TLS record refused"), "TLS_error: " + reason);
    }
  }
  if (may_take_over()) {
    take_over();
    return open_records();
  }
  end_if_truncated();
}

// What came before the FIN is delivered first, as credit allows.
void TlsTransport::end_if_truncated() {
  if (state_ != TlsState::open || !below_ended_ || peer_finished_) return;
  if (records_ == nullptr && (!in_.empty() || SSL_pending(ssl_) > 0)) return;
  fail(error(ErrorCode::peer_closed, "closed without close_notify"), "TLS_error: connection closed without close_notify");
}

void TlsTransport::grant(size_t bytes) {
  credit_bytes_ += bytes;
  const bool waiting = !in_.empty() || !opened_.empty() || below_ended_ || (ssl_ != nullptr && SSL_pending(ssl_) > 0);
  if (state_ == TlsState::open && !peer_finished_ && waiting) worker_.flush_later(*this);
}

void TlsTransport::expect(size_t bytes) { below_->expect(bytes); }

// --- sending -----------------------------------------------------------------------------------------------------------

void TlsTransport::send(Slice bytes) {
  if (finishing_ || state_ >= TlsState::ending) return;
  plain_.append(std::move(bytes));
  if (state_ == TlsState::open) worker_.flush_later(*this);
}

void TlsTransport::finish() {
  if (finishing_ || state_ >= TlsState::ending) return;
  finishing_ = true;
  if (state_ == TlsState::open) worker_.flush_later(*this);
}

void TlsTransport::finish_and_close() {
  closes_ = true;
  if (finished_) return below_->finish_and_close();
  finish();
}

void TlsTransport::on_flush() {
  const size_t before = cipher_below_bytes_;
  if (state_ == TlsState::handshaking) shake_hands();
  if (state_ == TlsState::open) decrypt();
  if (state_ == TlsState::open) encrypt();
  behind_ = behind_ || (before > 0 && cipher_below_bytes_ > before);
  choose_hungry();
}

// A send below may say nothing until something else happens, and nothing else need happen: these wait for its word. What was added
// behind a send that the transport below had begun; what is kept back as plaintext; input whose user grants when its answer has gone.
void TlsTransport::choose_hungry() {
  const bool open = state_ == TlsState::open;
  const bool starved = credit_bytes_ == 0 && !(in_.empty() && opened_.empty());
  const bool held = cipher_below_bytes_ > 0 && (behind_ || (open && !plain_.empty()));
  set_hungry(state_ != TlsState::closed && (held || (open && starved)));
}

void TlsTransport::set_hungry(bool hungry) {
  if (hungry_ == hungry) return;
  hungry_ = hungry;
  worker_.ring().add_hungry(hungry ? 1 : -1);
}

void TlsTransport::encrypt() {
  while (!plain_.empty() && below_->unsent_bytes() < limits::tls_ahead_bytes_max) {
    if (records_ != nullptr) {
      seal_some();
    } else if (!encrypt_some()) {
      count(TlsStat::connection_error);
      return fail(error(ErrorCode::bad_message, "TLS record not written"), "TLS_error: " + take_openssl_error());
    }
  }
  if (finishing_ && plain_.empty()) say_goodbye();
}

bool TlsTransport::encrypt_some() {
  const size_t written = encrypt_front();
  plain_.consume(written);
  plain_below_bytes_ += written;
  return written > 0;
}

// One record: from the first slice as it stands when that fills one or is the last, else from what is gathered.
size_t TlsTransport::encrypt_front() {
  const std::string_view front = plain_.slice(0).text();
  if (front.size() >= limits::tls_plain_bytes_max || plain_.slice_count() == 1)
    return write_record_of(front.data(), std::min<size_t>(front.size(), limits::tls_plain_bytes_max));
  char gathered[limits::tls_plain_bytes_max];
  size_t size = 0;
  for (size_t at = 0; at < plain_.slice_count() && size < sizeof gathered; ++at) {
    const std::string_view piece = plain_.slice(at).text().substr(0, sizeof gathered - size);
    std::memcpy(gathered + size, piece.data(), piece.size());
    size += piece.size();
  }
  return write_record_of(gathered, size);
}

size_t TlsTransport::write_record_of(const char* bytes, size_t size) {
  size_t written = 0;
  ERR_clear_error();
  return SSL_write_ex(ssl_, bytes, size, &written) == 1 ? written : 0;
}

void TlsTransport::write_cipher(const char* bytes, size_t size) {
  if (finished_ || state_ == TlsState::closed) return;  // the transport below takes nothing after its FIN
  cipher_below_bytes_ += size;
  if (handshake_ != nullptr) handshake_->written.pass(bytes, size);
  below_->send((size > limits::small_block_bytes ? worker_.bulk_output() : worker_.output()).copy({bytes, size}));
}

// One send below may end in the middle of a record: its plaintext is counted in proportion, and exactly once all is out.
void TlsTransport::on_sent(size_t bytes) {
  RS_CHECK(bytes <= cipher_below_bytes_);
  const size_t plain = bytes == cipher_below_bytes_
                           ? plain_below_bytes_
                           : static_cast<size_t>(static_cast<double>(plain_below_bytes_) * static_cast<double>(bytes) /
                                                 static_cast<double>(cipher_below_bytes_));
  cipher_below_bytes_ -= bytes;
  plain_below_bytes_ -= plain;
  if (cipher_below_bytes_ == 0) behind_ = false;
  if (state_ == TlsState::ending) {
    if (cipher_below_bytes_ == 0) end_below();
    return;
  }
  if (plain > 0) user_->on_sent(plain);
  if (state_ == TlsState::open && !plain_.empty()) worker_.flush_later(*this);
  if (state_ == TlsState::open && owes_key_update_ && cipher_below_bytes_ == 0) pay_key_update();
  choose_hungry();
}

void TlsTransport::say_goodbye() {
  if (finished_) return;
  if (records_ != nullptr) {
    send_alert(TlsAlert::close_notify);
  } else {
    ERR_clear_error();
    SSL_shutdown(ssl_);
  }
  finished_ = true;
  if (closes_) below_->finish_and_close();
  else below_->finish();
}

// --- ending ------------------------------------------------------------------------------------------------------------

void TlsTransport::close(Error why) {
  if (state_ >= TlsState::ending) return;
  const bool orderly = state_ == TlsState::open && why.code == ErrorCode::none;
  reason_ = why;
  plain_.clear();
  if (orderly) say_goodbye();
  state_ = TlsState::ending;
  // What is encrypted is on its way, or with the kernel and not yet reported: the farewell goes behind it.
  if (!orderly || cipher_below_bytes_ == 0) return end_below();
  worker_.arm(patience_, limits::tls_goodbye_time);
}

void TlsTransport::abort(Error why) {
  if (state_ == TlsState::closed) return;
  if (state_ != TlsState::ending) reason_ = why;
  state_ = TlsState::ending;
  plain_.clear();
  patience_.disarm();
  below_->abort(reason_);
}

// The alert that the library wrote goes out before the connection does.
void TlsTransport::fail(Error why, std::string text) {
  reason_ = why;
  failure_ = std::make_unique<std::string>(std::move(text));
  state_ = TlsState::ending;
  plain_.clear();
  drop_input();
  if (cipher_below_bytes_ == 0) return end_below();
  finished_ = true;
  below_->finish();
  worker_.arm(patience_, limits::tls_goodbye_time);
}

void TlsTransport::on_patience_over() { end_below(); }

void TlsTransport::end_below() {
  patience_.disarm();
  below_->close(reason_);
}

void TlsTransport::on_closed(Error why) {
  if (state_ != TlsState::ending) reason_ = why;
  const bool early = state_ == TlsState::handshaking;
  if (early) count(TlsStat::connection_error);
  state_ = TlsState::closed;
  set_hungry(false);
  patience_.disarm();
  in_.clear();
  opened_.clear();
  plain_.clear();
  if (user_ != nullptr) user_->on_closed(reason_);
}

}  // namespace ringside
