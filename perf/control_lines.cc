#include "perf/control_lines.h"

#include <poll.h>
#include <unistd.h>

namespace ringside::perf {

void ControlLines::start() { worker_.ring().poll_multishot(poll_, STDIN_FILENO, POLLIN); }

bool ControlLines::wait_line(std::string* line) {
  size_t end = text_.find('\n');
  for (; end == std::string::npos && !ended_; end = text_.find('\n')) worker_.turn();
  if (end == std::string::npos) return false;
  *line = text_.substr(0, end);
  text_.erase(0, end + 1);
  return true;
}

void ControlLines::wait_end() {
  while (!ended_) worker_.turn();
}

void ControlLines::on_readable(Cqe cqe) {
  char bytes[4096];
  const ssize_t size = cqe.result < 0 ? 0 : ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (size > 0)
    text_.append(bytes, static_cast<size_t>(size));
  else
    ended_ = true;
  if (!cqe.more() && !ended_) start();
}

}  // namespace ringside::perf
