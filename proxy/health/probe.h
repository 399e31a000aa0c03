#pragma once
// One connection to a host by which it is checked: dialing, TLS, and what all kinds of checks have in common. Made by new; retires
// itself when it has closed.
#include <re2/re2.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/dialer.h"
#include "core/transport.h"
#include "core/worker.h"
#include "proxy/health/check_state.h"
#include "proxy/header_edit.h"
#include "proxy/observe/second_cache.h"
#include "proxy/observe/stat_names.h"
#include "proxy/upstream/cluster.h"
#include "tls/tls_transport.h"

namespace ringside {

// What the checks of one cluster share. Lives until `probes` is zero.
struct ProbeContext {
  Cluster& cluster;  // the control thread's own
  const HealthCheckSpec& spec;
  HeaderEdit headers;
  std::shared_ptr<const re2::RE2> service_regex = {};  // of service_name_match, if it is one
  std::string grpc_request = {};
  SecondCache second = {};
  StatBlock<HealthCheckStat> stats = {};
  uint32_t probes = 0;  // that have not retired
};

class ProbeUser {
 public:
  // Never from inside check().
  virtual void on_result(CheckResult result) = 0;
  // It is of no use any more; the last call, but for the result of the check that ended it, which follows.
  virtual void on_probe_gone() = 0;

 protected:
  ~ProbeUser() = default;
};

class Probe : public Retired, protected TransportUser, private DialerUser, private TlsUser {
 public:
  // `host` and `user` live until drop() or on_probe_gone().
  static Probe* make(ProbeContext& context, const Host& host, ProbeUser& user);
  ~Probe() override;

  // check() may be called. It is not when the peer has left and we have not told yet.
  bool usable() const { return !closing_ && (!ready_ || reusable()); }
  // Begins a check: on_result follows, unless give_up() or drop() come first. Connects when it has to.
  void check();
  // The check under way has had its time. on_probe_gone() may follow from inside.
  void give_up();
  // Closes; the user hears nothing more.
  void drop();

 protected:
  Probe(ProbeContext& context, const Host& host, ProbeUser& user);
  // Connected, and TLS has shaken hands.
  virtual void on_ready() = 0;
  // Asks; only when ready.
  virtual void ask() = 0;
  // May the connection serve another check? Asked between checks only.
  virtual bool reusable() const = 0;
  // Ends a request without its response; false when the connection must go with it.
  virtual bool abandon() { return false; }
  // The connection is gone or about to be.
  virtual void on_lost() {}
  // That it went between two checks says something about the host.
  virtual bool loss_is_failure() const { return false; }

  // What the check has shown. Told at the end of the turn, when no codec stands above us.
  void decide(CheckResult result);
  // To look again, at the end of the turn, whether the connection is still of use.
  void look_again() { worker_.flush_later(*this); }
  bool asking() const { return asking_; }
  bool decided() const { return result_.has_value(); }
  bool closing() const { return closing_; }
  const Host& host() const { return *host_; }

  ProbeContext& context_;
  Worker& worker_;
  std::unique_ptr<Transport> transport_;

 private:
  void on_flush() override;
  void on_connected(int fd) override;
  void on_connect_failed(Error why) override;
  void on_handshake() override;
  std::vector<std::string> alpn() const;
  void on_closed(Error why) override;
  void ready();
  void leave();
  void tell(CheckResult result);

  const Host* host_;
  ProbeUser* user_;  // null: nobody listens any more
  Dialer dialer_;
  std::optional<CheckResult> result_;
  bool ready_ = false;
  bool asking_ = false;  // a check is under way
  bool closing_ = false;
};

}  // namespace ringside
