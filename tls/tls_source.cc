#include "tls/tls_source.h"

#include <sys/stat.h>

namespace ringside {
namespace {

int64_t nanoseconds_of(const timespec& time) { return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec; }

}  // namespace

std::vector<FileMark> marks_of(const std::vector<std::string>& paths) {
  std::vector<FileMark> marks;
  for (const std::string& path : paths) {
    struct stat found {};
    FileMark mark;
    if (::stat(path.c_str(), &found) == 0 && S_ISREG(found.st_mode)) {
      mark = {.device = found.st_dev,
              .inode = found.st_ino,
              .size_bytes = static_cast<uint64_t>(found.st_size),
              .modified_ns = nanoseconds_of(found.st_mtim),
              .changed_ns = nanoseconds_of(found.st_ctim)};
    }
    marks.push_back(mark);
  }
  return marks;
}

}  // namespace ringside
