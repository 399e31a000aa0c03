#pragma once
// A condition on a text, ready to be asked: TextMatchSpec compiled.
#include <memory>
#include <string>
#include <string_view>

#include "proxy/specs.h"

namespace re2 {
class RE2;
}

namespace ringside {

class TextMatcher {
 public:
  // A regular expression was checked by whoever made the spec.
  explicit TextMatcher(const TextMatchSpec& spec);
  TextMatcher(TextMatcher&&) noexcept;
  ~TextMatcher();
  bool matches(std::string_view text) const;

 private:
  TextMatchHow how_;
  bool ignore_case_;
  std::string text_;  // lower case with ignore_case
  std::unique_ptr<const re2::RE2> regex_;
};

}  // namespace ringside
