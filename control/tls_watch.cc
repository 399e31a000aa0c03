#include "control/tls_watch.h"

#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <set>

#include "core/log.h"

namespace ringside {

namespace {

// Certificate and key are seldom written in one moment.
constexpr Duration settle_time = milliseconds(200);
// File systems of other machines report nothing.
constexpr Duration look_interval_watched = seconds(30), look_interval_unwatched = seconds(5);
constexpr int links_max = 40;

// The directories in which an entry must change for `path` to mean another file: those of the file and of every link on the way.
void add_directories(const std::filesystem::path& path, std::set<std::string>& directories, int links_left = links_max) {
  std::filesystem::path walked;
  for (auto part = path.begin(); part != path.end(); ++part) {
    const std::filesystem::path parent = walked;
    walked /= *part;
    std::error_code error;
    if (!std::filesystem::is_symlink(walked, error) || links_left == 0) continue;
    directories.insert(parent.empty() ? "." : parent.string());
    std::filesystem::path target = parent / std::filesystem::read_symlink(walked, error);
    for (auto rest = std::next(part); rest != path.end(); ++rest) target /= *rest;
    return add_directories(target, directories, links_left - 1);
  }
  const std::filesystem::path parent = path.parent_path();
  directories.insert(parent.empty() ? "." : parent.string());
}

std::string date_text(WallTime time) {
  const time_t whole_seconds{std::chrono::duration_cast<seconds>(time.time_since_epoch()).count()};
  tm parts{};
  char text[64] = "";
  gmtime_r(&whole_seconds, &parts);
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts)};
}

std::optional<WallTime> expiry_of_all(const TlsContext& context) {
  std::optional<WallTime> first;
  for (const auto* list : {&context.certificates(), &context.trusted()})
    for (const CertificateInfo& info : *list) first = std::min(first.value_or(info.not_after), info.not_after);
  return first;
}

}  // namespace

TlsWatch::TlsWatch(Worker& worker, StatsRegistry& registry, TlsPort& port, const std::vector<TlsUseSpec>& uses)
    : worker_(worker), port_(port), stats_(registry.control_cells().block(registry.group<TlsFilesStat>({.prefix = "tls_files."}))) {
  for (const TlsUseSpec& use : uses) entries_.push_back({.use = use, .now = use.context, .marks = {}});
}

TlsWatch::~TlsWatch() {
  if (fd_ >= 0) ::close(fd_);
}

Duration TlsWatch::look_interval() const { return fd_ >= 0 ? look_interval_watched : look_interval_unwatched; }

// The first look is for what has changed since the files were read.
void TlsWatch::start() {
  const auto has_files = [](const Entry& entry) { return entry.use.source != nullptr; };
  if (std::none_of(entries_.begin(), entries_.end(), has_files)) return;
  fd_ = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd_ < 0)
    RS_LOG_WARN(config, "changed TLS files are noticed after {} s: inotify cannot be used: {}", look_interval() / seconds(1), std::strerror(errno));
  else
    worker_.ring().poll_multishot(poll_, fd_, POLLIN);
  for (Entry& entry : entries_) {
    if (!has_files(entry)) continue;
    watch_directories(*entry.use.source);
    entry.marks = entry.use.source->files().marks;
  }
  worker_.arm(look_timer_, settle_time);
}

void TlsWatch::close() {
  closing_ = true;
  look_timer_.disarm();
  if (poll_.in_flight()) worker_.ring().cancel(poll_);
}

// Again after each change: links may lead elsewhere now. A directory that is watched already stays so.
void TlsWatch::watch_directories(const TlsSource& source) const {
  if (fd_ < 0) return;
  std::set<std::string> directories(source.files().directories.begin(), source.files().directories.end());
  for (const std::string& path : source.files().paths) add_directories(path, directories);
  for (const std::string& directory : directories) {
    constexpr uint32_t events = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF;
    if (inotify_add_watch(fd_, directory.c_str(), events | IN_ONLYDIR) >= 0 || errno == ENOENT) continue;
    RS_LOG_WARN(config, "changed TLS files in {} are noticed after {} s: it cannot be watched: {}", directory, look_interval() / seconds(1), std::strerror(errno));
  }
}

void TlsWatch::on_poll(Cqe cqe) {
  alignas(inotify_event) char events[4096];
  bool any = false;
  while (!closing_ && ::read(fd_, events, sizeof events) > 0) any = true;
  if (any) worker_.arm(look_timer_, settle_time);
  if (!cqe.more() && !closing_ && cqe.result >= 0) worker_.ring().poll_multishot(poll_, fd_, POLLIN);
}

void TlsWatch::look() {
  for (Entry& entry : entries_) {
    if (entry.use.source == nullptr) continue;
    std::vector<FileMark> marks = marks_of(entry.use.source->files().paths);
    if (marks == entry.marks) continue;
    entry.marks = std::move(marks);
    watch_directories(*entry.use.source);
    renew(entry);
  }
  worker_.arm(look_timer_, look_interval());
}

void TlsWatch::renew(Entry& entry) {
  auto made = entry.use.source->remake();
  const std::string& where = entry.use.source->files().where;
  if (!made) {
    stats_.inc(TlsFilesStat::update_rejected);
    RS_LOG_EVERY(config, error, "{}: changed TLS files are not used, what was read before stays: {}", where, made.error());
    return;
  }
  stats_.inc(TlsFilesStat::update_success);
  entry.now = *std::move(made);
  const auto expiry = expiry_of_all(*entry.now);
  RS_LOG_EVERY(config, info, "{}: changed TLS files are used from now on, good until {}", where, expiry ? date_text(*expiry) : "ever");
  port_.publish_tls(entry.use.context, entry.now);
}

std::optional<WallTime> TlsWatch::first_expiry() const {
  std::optional<WallTime> first;
  for (const Entry& entry : entries_)
    if (const auto expiry = expiry_of_all(*entry.now)) first = std::min(first.value_or(*expiry), *expiry);
  return first;
}

}  // namespace ringside
