#include "proxy/observe/log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/log.h"

namespace ringside {
namespace {
constexpr size_t block_bytes = 128 * 1024;
constexpr size_t queued_bytes_max = 16 * 1024 * 1024;  // a disk that stands still must not take the memory
constexpr Duration retry_after = seconds(1);
}  // namespace

LogFile::LogFile(Worker& worker, std::string path, LogFileOptions options, StatBlock<FilesystemStat> stats)
    : worker_(worker), path_(std::move(path)), options_(options), stats_(std::move(stats)) {}

LogFile::~LogFile() { close_file(); }

void LogFile::append(const AccessLogFormat& format, const AccessLogRecord& record, SecondCache& second) {
  if (queue_.size_bytes() > queued_bytes_max) return stats_.inc(FilesystemStat::write_failed);
  format.write(record, second, *this);
  appended();
}

void LogFile::append(std::string_view line) {
  if (queue_.size_bytes() > queued_bytes_max) return stats_.inc(FilesystemStat::write_failed);
  put(line);
  appended();
}

void LogFile::appended() {
  stats_.inc(FilesystemStat::write_buffered);
  if (size() >= options_.flush_bytes) return flush();
  if (!timer_.armed()) worker_.arm(timer_, options_.flush_interval);
}

void LogFile::grow(size_t bytes) {
  seal();
  block_ = make_heap_slice(std::max(bytes, block_bytes), &begin_);
  at_ = begin_;
  end_ = begin_ + block_.size();
}

void LogFile::seal() {
  if (size() > 0) queue_.append(block_.share(0, size()));
  block_ = Slice();
  begin_ = at_ = end_ = nullptr;
}

void LogFile::flush() {
  seal();
  write_next();
}

void LogFile::on_timer() {
  stats_.inc(FilesystemStat::flushed_by_timer);
  flush();
}

void LogFile::reopen() {
  reopen_ = true;
  flush();
  if (!write_.in_flight()) open();
}

void LogFile::open() {
  close_file();
  reopen_ = false;
  if (path_ == "/dev/stdout" || path_ == "/dev/stderr")
    fd_ = fcntl(path_ == "/dev/stdout" ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  else
    fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ >= 0) return;
  stats_.inc(FilesystemStat::reopen_failed);
  RS_LOG_ERROR(main, "access log {}: cannot be opened: {}", path_, std::strerror(errno));
}

void LogFile::close_file() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void LogFile::write_next() {
  if (write_.in_flight() || queue_.empty()) return;
  if (fd_ < 0 || reopen_) open();
  if (fd_ < 0) return worker_.arm(timer_, retry_after);
  worker_.ring().write(write_, fd_, queue_);
}

void LogFile::on_write(Cqe cqe) {
  if (cqe.result < 0) {
    stats_.inc(FilesystemStat::write_failed);
    if (!failing_) RS_LOG_ERROR(main, "access log {}: write failed: {}", path_, std::strerror(-cqe.result));
    failing_ = true;
    return worker_.arm(timer_, retry_after);  // kept, and tried again
  }
  failing_ = false;
  stats_.inc(FilesystemStat::write_completed);
  queue_.consume(static_cast<size_t>(cqe.result));
  write_next();
}

}  // namespace ringside
