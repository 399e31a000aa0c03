#include "perf/load_request.h"

#include <fmt/format.h>

#include <charconv>
#include <numeric>

namespace ringside::perf {
namespace {

std::string path_at(const RequestShape& shape, uint32_t index) {
  std::string path = shape.path;
  if (const size_t at = path.find('#'); at != std::string::npos) path.replace(at, 1, fmt::format("{:04}", index));
  return path;
}

std::string render(const RequestShape& shape, std::string_view path) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringside-load\r\nAccept: */*\r\n",
                                 shape.body_bytes > 0 ? "POST" : "GET", path, shape.host);
  if (shape.body_bytes > 0) text += fmt::format("Content-Type: text/plain\r\nContent-Length: {}\r\n", shape.body_bytes);
  if (shape.reuse == Reuse::close) text += "Connection: close\r\n";
  return text + "\r\n";
}

}  // namespace

std::vector<std::string> paths_of(const RequestShape& shape) {
  const uint32_t count = shape.path_count > 0 ? shape.path_count : 1;
  uint32_t stride = count / 3 + 1;
  while (std::gcd(stride, count) != 1) ++stride;
  std::vector<std::string> paths;
  for (uint32_t step = 0, index = 0; step < count; ++step, index = (index + stride) % count)
    paths.push_back(path_at(shape, index));
  return paths;
}

RequestTexts::RequestTexts(const RequestShape& shape) : shape_(shape) {
  for (const std::string& path : paths_of(shape)) heads_.push_back(render(shape, path));
}

std::string_view RequestTexts::next() {
  const std::string& text = heads_[next_];
  next_ = next_ + 1 == heads_.size() ? 0 : next_ + 1;
  return text;
}

uint64_t answer_bytes_of_path(std::string_view path) {
  path = path.substr(0, path.find('?'));
  const std::string_view last = path.substr(path.rfind('/') + 1);
  uint64_t bytes = 0;
  const auto [stop, error] = std::from_chars(last.data(), last.data() + last.size(), bytes);
  return error == std::errc{} && stop == last.data() + last.size() ? bytes : 0;
}

}  // namespace ringside::perf
