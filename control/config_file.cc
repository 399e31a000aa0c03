#include "control/config_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace ringside {

std::expected<std::string, std::string> read_config_file(const std::string& path, size_t bytes_max) {
  const auto failed = [] { return std::unexpected(fmt::format("cannot be read: {}", strerror(errno))); };
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failed();
  std::string text;
  std::array<char, 64 * 1024> chunk;
  for (;;) {
    const ssize_t bytes = read(fd, chunk.data(), chunk.size());
    if (bytes < 0 && errno == EINTR) continue;
    if (bytes < 0) {
      const auto failure = failed();
      close(fd);
      return failure;
    }
    if (bytes == 0) break;
    text.append(chunk.data(), static_cast<size_t>(bytes));
    if (text.size() > bytes_max) {
      close(fd);
      return std::unexpected(fmt::format("is larger than {} bytes", bytes_max));
    }
  }
  close(fd);
  return text;
}

}  // namespace ringside
