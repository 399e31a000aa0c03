#pragma once
// The files that a TLS context was made of, and how to make it anew from what they hold now.
#include <cstdint>
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "tls/tls_context.h"

namespace ringside {

// What tells a file from the one that it was before. Nothing but zeros: there is no regular file.
struct FileMark {
  uint64_t device = 0, inode = 0, size_bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const FileMark&) const = default;
};
std::vector<FileMark> marks_of(const std::vector<std::string>& paths);

struct TlsFiles {
  std::vector<std::string> paths;
  std::vector<FileMark> marks;           // of the paths, from before they were read
  std::vector<std::string> directories;  // in which something moves when files have changed
  std::string where;                     // the configuration has it, for people
};

class TlsSource {
 public:
  explicit TlsSource(TlsFiles files) : files_(std::move(files)) {}
  virtual ~TlsSource() = default;
  // The text of an error is for the operator.
  virtual std::expected<TlsContextPtr, std::string> remake() const = 0;
  const TlsFiles& files() const { return files_; }

 private:
  const TlsFiles files_;
};

}  // namespace ringside
