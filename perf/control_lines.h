#pragma once
// Lines from the program that drives a load tool, read from standard input while the worker turns.
#include <string>

#include "core/worker.h"

namespace ringside::perf {

class ControlLines {
 public:
  explicit ControlLines(Worker& worker) : worker_(worker) {}
  void start();
  // Turns the worker until a whole line came; false at the end of input.
  bool wait_line(std::string* line);
  // Turns the worker until the end of input.
  void wait_end();

 private:
  void on_readable(Cqe cqe);

  Worker& worker_;
  std::string text_;
  bool ended_ = false;
  OpFor<ControlLines, &ControlLines::on_readable> poll_{*this};
};

}  // namespace ringside::perf
