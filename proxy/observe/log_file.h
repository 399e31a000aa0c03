#pragma once
// One access-log file of one worker: lines are formatted into a large block, blocks go out as single writes through the ring.
#include <string>

#include "core/op.h"
#include "core/worker.h"
#include "proxy/observe/access_log.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

struct LogFileOptions {
  Duration flush_interval = seconds(10);
  size_t flush_bytes = 64 * 1024;
};

class LogFile final : private TextSink {
 public:
  // Opens (appending, creating) when first written to. "/dev/stdout" and "/dev/stderr" are our own streams.
  LogFile(Worker& worker, std::string path, LogFileOptions options, StatBlock<FilesystemStat> stats);
  ~LogFile();

  // A line that is longer than the block goes on in the next: blocks are written in order.
  void append(const AccessLogFormat& format, const AccessLogRecord& record, SecondCache& second);
  // Likewise a line that somebody else made, with its end.
  void append(std::string_view line);
  // Writes what there is.
  void flush();
  // For log rotation: the next write goes to a file opened anew by its name.
  void reopen();
  // Everything is with the kernel.
  bool quiet() const { return !write_.in_flight() && queue_.empty() && size() == 0; }
  const std::string& path() const { return path_; }

 private:
  void grow(size_t bytes) override;
  void appended();
  void open();
  void close_file();
  void seal();
  void write_next();
  void on_write(Cqe cqe);
  void on_timer();

  Worker& worker_;
  const std::string path_;
  const LogFileOptions options_;
  StatBlock<FilesystemStat> stats_;
  int fd_ = -1;
  bool reopen_ = false;
  bool failing_ = false;
  Slice block_;  // being filled, through the sink's pointers
  Buffer queue_;          // sealed blocks, the first one is being written
  OpFor<LogFile, &LogFile::on_write> write_{*this};
  TimerFor<LogFile, &LogFile::on_timer> timer_{*this};
};

}  // namespace ringside
