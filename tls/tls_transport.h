#pragma once
// Transport over another one, encrypted. The handshake begins with start(); what is sent before its end waits for it.
//
// The library shakes hands. With TLS 1.3 it is let go then, and a RecordLayer goes on with its secrets: an idle connection holds a third
// of the memory, and no byte is copied on its way in. A client's stays until it has a ticket. Older versions stay with the library.
//
// Reading: records are decrypted as far as the credit reaches, into blocks of the pools. The transport below gets credit for
// what was consumed, so that back-pressure goes through.
// Writing: what was sent in one turn is gathered into records of up to 16 KB at the turn's end.
// Ending: the peer's close_notify is on_end(). A FIN without one is a truncation: everything that came is delivered, then
// on_closed({peer_closed, "closed without close_notify"}). finish() sends ours. close({}) sends it as well, if the socket takes it.
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/transport.h"
#include "core/worker.h"
#include "tls/record_bio.h"
#include "tls/record_counter.h"
#include "tls/record_layer.h"
#include "tls/tls_connection_port.h"
#include "tls/tls_context.h"
#include "tls/tls_sessions.h"

namespace ringside {

// Told when the handshake is over. If it fails, TransportUser::on_closed says so; failure_text() says why.
class TlsUser {
 public:
  virtual void on_handshake() = 0;

 protected:
  ~TlsUser() = default;
};

// What one connection has of its own. The pointers outlive it; each may be null.
struct TlsConnectionOptions {
  TlsUser* user = nullptr;
  StatBlock<TlsStat>* stats = nullptr;
  TlsSessions* sessions = nullptr;             // client; made with the same context
  std::string server_name = {};                // client: SNI; empty: the context's
  std::vector<std::string> alpn = {};          // client; empty: the context's
  std::vector<std::string> subject_alt_names = {};  // client; not empty: one of these, besides what the context asks for
  bool keep_chain = false;                     // peer_chain_pem() may be asked for later
};

// What was agreed on. Views live as long as the transport.
struct TlsFacts {
  std::string_view version;    // "TLSv1.3"
  std::string_view cipher;     // "TLS_AES_128_GCM_SHA256"
  std::string_view curve;      // "X25519"; empty when none was used
  std::string_view signature;  // the peer's: "ecdsa_secp256r1_sha256"; empty when it showed no certificate
  std::string_view alpn;       // empty: none
  std::string_view server_name;  // SNI; empty: none
  bool resumed = false;
};

enum class TlsState : uint8_t {
  idle,         // before start()
  handshaking,
  open,
  ending,       // a last alert is on its way to the kernel
  closed,
};

class TlsTransport final : public Transport,
                           private TransportUser,
                           private Flushable,
                           private RecordPort,
                           private TlsConnectionPort {
 public:
  TlsTransport(Worker& worker, TlsContextPtr context, std::unique_ptr<Transport> below, TlsConnectionOptions options = {});
  ~TlsTransport() override;

  // Bytes that someone was given before by the transport below (a peek at the ClientHello). Before start().
  void feed(Slice bytes);
  void start(TransportUser& user, size_t credit_bytes) override;
  void send(Slice bytes) override;
  void finish() override;
  void finish_and_close() override;
  void grant(size_t bytes) override;
  void hand_over(TransportUser& user) override { user_ = &user; }
  void expect(size_t bytes) override;
  void relay(size_t bytes) override { static_cast<void>(bytes); }  // every byte is looked at here
  bool sends_piped() const override { return false; }
  void close(Error why) override;
  void abort(Error why) override;
  size_t unsent_bytes() const override { return plain_.size_bytes() + plain_below_bytes_; }
  bool is_delivered() const override { return unsent_bytes() == 0 && below_->is_delivered(); }
  Address local_address() const override { return below_->local_address(); }
  Address peer_address() const override { return below_->peer_address(); }
  const ConnectionFacts* facts_before() const override { return below_->facts_before(); }

  TlsState state() const { return state_; }
  const TlsContext& context() const { return *context_; }
  // What there is so far; all of it from on_handshake() on.
  TlsFacts facts() const;
  // The one of them that decides what is spoken; costs nothing.
  std::string_view alpn() const;
  // Null when the peer showed no certificate. Read by the first call.
  const CertificateInfo* peer_certificate() const;
  // The same as PEM. Empty when there is none.
  std::string peer_pem() const;
  // All that the peer showed, its own first. Inside on_handshake() only, without keep_chain: the issuers cost 5 KB each.
  std::string peer_chain_pem() const;
  bool has_peer_certificate() const;
  // Null when none was shown.
  const CertificateInfo* local_certificate() const;
  // Every check that is configured was passed; false with TrustChain::accept_untrusted when one was not.
  bool peer_validated() const { return peer_validated_; }
  // Why the connection broke; empty while it has not.
  const std::string& failure_text() const;

 private:
  struct Handshake {
    PeerCheck check;
    TlsConnectionOptions options;
    // What a RecordLayer needs.
    TrafficSecret client_secret, server_secret;
    RecordCounter read, written;
    bool has_ticket = false;
    bool keys_changed = false;  // since the secrets were told
  };
  // What stays known of it.
  struct Agreement {
    std::string_view version, cipher, curve, signature;
    std::string alpn, server_name;
    std::string peer_der;  // the peer's certificate; empty when it showed none
    std::unique_ptr<const CertificateInfo> peer;  // the same, when somebody asked
    std::unique_ptr<const std::string> chain_pem = nullptr;  // with keep_chain
    const CertificateInfo* own = nullptr;
    bool resumed = false;
  };

  // From below.
  void on_bytes(Slice bytes) override;
  void on_end() override;
  void on_sent(size_t bytes) override;
  void on_closed(Error why) override;
  void on_flush() override;
  // From the library.
  size_t read_cipher(char* room, size_t size) override;
  void write_cipher(const char* bytes, size_t size) override;
  PeerCheck* peer_check() override { return handshake_ != nullptr ? &handshake_->check : nullptr; }
  void count(TlsStat stat) override;
  WallTime wall_now() const override { return worker_.ring().wall_now(); }
  bool on_session(ssl_session_st& session) override;
  void on_handshake_message(uint8_t type) override;
  void on_secret(std::string_view line) override;

  void prepare_client();
  void shake_hands();
  void handshake_done();
  void handshake_failed();
  void note_agreement();
  void count_facts();
  void drop_issuers();
  void let_library_go();
  bool may_take_over() const;
  void take_over();
  bool has_input() const;
  void decrypt();
  int decrypt_block(Slice& plain);
  Slice take_block();
  void end_if_truncated();
  void settle_credit();
  void drop_input();
  void encrypt();
  bool encrypt_some();
  size_t encrypt_front();
  size_t write_record_of(const char* bytes, size_t size);
  // The same with our own records.
  void open_records();
  bool deliver();
  void deliver_piece(Slice piece);
  bool on_record(const RecordLayer::Opened& opened);
  bool accept_late(const char* excess);
  void seal_some();
  void seal_bulk(Slice bulk);
  void pay_key_update();
  void send_control(size_t (RecordLayer::*seal)(char*));
  void send_alert(TlsAlert alert);
  void send_record(Slice record);
  void choose_hungry();
  void set_hungry(bool hungry);
  void say_goodbye();
  void fail(Error why, std::string text);
  void end_below();
  void on_patience_over();
  Error error(ErrorCode code, const char* detail) const;

  Worker& worker_;
  const TlsContextPtr context_;
  const std::unique_ptr<Transport> below_;
  TransportUser* user_ = nullptr;
  StatBlock<TlsStat>* stats_;
  TlsSessions* sessions_;
  ssl_st* ssl_;                           // null once `records_` took over
  std::unique_ptr<RecordLayer> records_;
  std::unique_ptr<Handshake> handshake_;  // while there may be one
  std::unique_ptr<Agreement> agreement_;  // once it is over
  std::unique_ptr<std::string> failure_;
  Buffer in_;      // ciphertext received
  Buffer opened_;  // plaintext that waits for credit
  Buffer plain_;   // plaintext to be encrypted
  size_t credit_bytes_ = 0;        // plaintext that may still be delivered
  size_t window_bytes_ = 0;        // the same at the start
  size_t consumed_bytes_ = 0;      // ciphertext to be granted below
  size_t granted_early_bytes_ = 0;  // at the front of `in_`, the beginning of a record
  size_t cipher_below_bytes_ = 0;  // handed down and not yet with the kernel
  size_t plain_below_bytes_ = 0;   // the plaintext in it
  Error reason_{};
  TimerFor<TlsTransport, &TlsTransport::on_patience_over> patience_{*this};
  TlsState state_ = TlsState::idle;
  uint8_t late_messages_ = 0;  // handshake messages since the last data
  bool peer_validated_ : 1 = false;
  bool peer_finished_ : 1 = false;   // close_notify received
  bool below_ended_ : 1 = false;     // FIN received
  bool finishing_ : 1 = false;       // close_notify wanted
  bool closes_ : 1 = false;          // and the connection closed behind it
  bool finished_ : 1 = false;        // close_notify sent
  bool hungry_ : 1 = false;          // something waits for a send that may not report by itself
  bool behind_ : 1 = false;          // bytes were added behind such a send
  bool owes_key_update_ : 1 = false;  // the peer wants new keys of us
  bool excess_ : 1 = false;          // the peer sends handshake messages and nothing else
};

}  // namespace ringside
