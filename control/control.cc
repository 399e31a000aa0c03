#include "control/control.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "control/admin_server.h"
#include "control/server_gauges.h"
#include "control/tls_watch.h"
#include "core/log.h"

namespace ringside {

namespace {

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGHUP}) sigaddset(&set, number);
  return set;
}

bool write_file(const std::string& path, const std::string& text) {
  FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return false;
  const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

// --- Signals -----------------------------------------------------------------------------------------------------------------

class SignalWatch {
 public:
  explicit SignalWatch(Control& control) : control_(control) {}
  ~SignalWatch() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool start() {
    const sigset_t set = watched_signals();
    fd_ = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd_ < 0) return false;
    control_.worker_.ring().poll_multishot(poll_, fd_, POLLIN);
    return true;
  }
  void close() {
    closing_ = true;
    control_.worker_.ring().cancel(poll_);
  }
  bool quiet() const { return !poll_.in_flight(); }

 private:
  void on_poll(Cqe cqe) {
    signalfd_siginfo info{};
    while (!closing_ && read(fd_, &info, sizeof info) == sizeof info)
      control_.on_signal(static_cast<int>(info.ssi_signo));
    if (!cqe.more() && !closing_ && cqe.result >= 0) control_.worker_.ring().poll_multishot(poll_, fd_, POLLIN);
  }
  Control& control_;
  int fd_ = -1;
  bool closing_ = false;
  OpFor<SignalWatch, &SignalWatch::on_poll> poll_{*this};
};

void Control::block_signals() {
  const sigset_t set = watched_signals();
  RS_CHECK(pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  // A write to a closed pipe (the log's, say) is an error of that write.
  signal(SIGPIPE, SIG_IGN);
}

void Control::on_signal(int signal_number) {
  switch (signal_number) {
    case SIGTERM: RS_LOG_WARN(main, "caught SIGTERM"); return port_.shutdown(ShutdownCause::sigterm);
    case SIGINT: RS_LOG_WARN(main, "caught SIGINT"); return port_.shutdown(ShutdownCause::sigint);
    case SIGUSR1: RS_LOG_INFO(main, "caught SIGUSR1: reopening access logs"); return port_.reopen_logs();
    case SIGHUP: RS_LOG_WARN(main, "caught and ignored SIGHUP"); return;
    default: return;
  }
}

// --- Start and end -------------------------------------------------------------------------------------------------------------

Control::Control(Worker& worker, StatsRegistry& registry, AdminPort& admin_port, EndpointsPort& endpoints_port,
                 TlsPort& tls_port, const Specs& specs)
    : worker_(worker),
      registry_(registry),
      port_(admin_port),
      specs_(specs),
      tls_watch_(std::make_unique<TlsWatch>(worker, registry, tls_port, specs.tls_uses)),
      gauges_(std::make_unique<ServerGauges>(admin_port, registry, tls_watch_.get())),
      resolver_(std::make_unique<DnsResolver>(worker, DnsResolver::Settings{})),
      refresher_(std::make_unique<DnsRefresher>(worker, *resolver_, registry, endpoints_port, specs.clusters,
                                                DnsRefresher::Settings{})),
      admin_(std::make_unique<AdminServer>(worker, AdminContext{admin_port, registry, *gauges_})),
      signals_(std::make_unique<SignalWatch>(*this)) {}

Control::~Control() {
  close_all();
  while (!quiet()) worker_.turn(milliseconds(10));
}

std::expected<void, std::string> Control::start() {
  if (auto started = start_admin(); !started) return started;
  if (!signals_->start()) return std::unexpected(fmt::format("cannot watch signals: {}", std::strerror(errno)));
  tls_watch_->start();
  on_flush_timer();
  return {};
}

std::expected<void, std::string> Control::start_admin() {
  if (!specs_.admin.address) return {};
  if (auto started = admin_->start(*specs_.admin.address); !started) return started;
  const std::string& path = port_.options().admin_address_path;
  if (!path.empty() && !write_file(path, admin_->address().text()))
    RS_LOG_ERROR(admin, "cannot write the admin address to '{}': {}", path, std::strerror(errno));
  return {};
}

void Control::start_dns() { refresher_->start(); }

void Control::run() {
  worker_.watch_mailbox();
  while (!stopping_) worker_.turn();
  close_all();
  while (!quiet()) worker_.turn(milliseconds(10));
  worker_.unwatch_mailbox();
}

void Control::close_all() {
  flush_timer_.disarm();
  refresher_->stop();
  resolver_->close();
  admin_->close();
  tls_watch_->close();
  signals_->close();
}

bool Control::quiet() const { return resolver_->quiet() && admin_->quiet() && tls_watch_->quiet() && signals_->quiet(); }

Address Control::admin_address() const { return admin_->address(); }

std::vector<std::string> Control::unresolved_clusters() const { return refresher_->unresolved(); }

// --- Statistics ------------------------------------------------------------------------------------------------------------------

void Control::on_flush_timer() {
  gauges_->refresh();
  registry_.merge_histograms();
  log_flush_suppressed();
  worker_.arm(flush_timer_, specs_.stats_flush_interval > Duration::zero() ? specs_.stats_flush_interval : seconds(5));
}

}  // namespace ringside
