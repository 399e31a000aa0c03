#include "proxy/text_matcher.h"

#include <re2/re2.h>

#include "codecs/ascii.h"
#include "core/check.h"

namespace ringside {

TextMatcher::TextMatcher(const TextMatchSpec& spec)
    : how_(spec.how), ignore_case_(spec.ignore_case && spec.how != TextMatchHow::regex), text_(spec.text) {
  if (ignore_case_) lower_in_place(text_.data(), text_.size());
  if (how_ != TextMatchHow::regex) return;
  regex_ = std::make_unique<const re2::RE2>(text_, re2::RE2::Quiet);
  RS_CHECK(regex_->ok());
}

TextMatcher::TextMatcher(TextMatcher&&) noexcept = default;
TextMatcher::~TextMatcher() = default;

bool TextMatcher::matches(std::string_view text) const {
  std::string lowered;
  if (ignore_case_) {
    lowered = text;
    lower_in_place(lowered.data(), lowered.size());
    text = lowered;
  }
  switch (how_) {
    case TextMatchHow::exact: return text == text_;
    case TextMatchHow::prefix: return text.starts_with(text_);
    case TextMatchHow::suffix: return text.ends_with(text_);
    case TextMatchHow::contains: return text.find(text_) != text.npos;
    case TextMatchHow::regex: return re2::RE2::FullMatch(text, *regex_);
  }
  return false;
}

}  // namespace ringside
