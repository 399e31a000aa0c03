#pragma once
// Watches the files that TLS contexts are made of. When some have changed, the context is made anew and handed on; one that cannot be
// made leaves the present one in use.
#include <optional>
#include <string>
#include <vector>

#include "core/stats.h"
#include "core/worker.h"
#include "proxy/observe/stat_names.h"
#include "proxy/specs.h"
#include "tls/tls_source.h"

namespace ringside {

// Implemented by whoever hands contexts to the workers; called on the control thread.
class TlsPort {
 public:
  // Connections that would have begun with `first`, which is in the specs, begin with `now`.
  virtual void publish_tls(TlsContextPtr first, TlsContextPtr now) = 0;

 protected:
  ~TlsPort() = default;
};

class TlsWatch {
 public:
  // `uses` lives as long as the watch.
  TlsWatch(Worker& worker, StatsRegistry& registry, TlsPort& port, const std::vector<TlsUseSpec>& uses);
  ~TlsWatch();
  TlsWatch(const TlsWatch&) = delete;
  TlsWatch& operator=(const TlsWatch&) = delete;

  void start();
  void close();
  bool quiet() const { return !poll_.in_flight(); }
  // When the first certificate in use runs out, own ones and trusted ones; nothing when there is none.
  std::optional<WallTime> first_expiry() const;

 private:
  struct Entry {
    const TlsUseSpec& use;
    TlsContextPtr now;
    std::vector<FileMark> marks;  // of its paths
  };
  void on_poll(Cqe cqe);
  void look();
  void renew(Entry& entry);
  void watch_directories(const TlsSource& source) const;
  Duration look_interval() const;

  Worker& worker_;
  TlsPort& port_;
  StatBlock<TlsFilesStat> stats_;
  std::vector<Entry> entries_;
  int fd_ = -1;  // of inotify; -1: the files are only looked at now and then
  bool closing_ = false;
  TimerFor<TlsWatch, &TlsWatch::look> look_timer_{*this};
  OpFor<TlsWatch, &TlsWatch::on_poll> poll_{*this};
};

}  // namespace ringside
