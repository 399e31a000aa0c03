#pragma once
// The files that a TLS context was made of, and how to make it anew from what they hold now.
#include <expected>
#include <string>
#include <utility>
#include <vector>

#include "tls/tls_context.h"

namespace ringside {

struct TlsFiles {
  std::vector<std::string> paths;
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
