#include "tls/san_matcher.h"

#include <re2/re2.h>

#include <algorithm>

namespace ringside {
namespace {

char lower(char byte) { return byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte; }

bool equal(std::string_view left, std::string_view right, bool ignore_case) {
  if (!ignore_case) return left == right;
  return std::ranges::equal(left, right, {}, lower, lower);
}

bool contains(std::string_view text, std::string_view part, bool ignore_case) {
  if (!ignore_case) return text.find(part) != text.npos;
  return !std::ranges::search(text, part, {}, lower, lower).empty() || part.empty();
}

}  // namespace

bool dns_name_matches(std::string_view pattern, std::string_view host) {
  if (equal(pattern, host, true)) return true;
  if (!pattern.starts_with("*.")) return false;
  const std::string_view parent = pattern.substr(1);
  const size_t dot = host.find('.');
  // "*.com" is nobody's name, and a wildcard in the middle or twice is not one.
  if (dot == host.npos || dot == 0 || parent.find('.', 1) == parent.npos || parent.find('*') != parent.npos) return false;
  return equal(parent, host.substr(dot), true);
}

SanMatcher::SanMatcher(const SanMatcherSpec& spec) : spec_(spec) {}
SanMatcher::SanMatcher(SanMatcher&&) noexcept = default;
SanMatcher& SanMatcher::operator=(SanMatcher&&) noexcept = default;
SanMatcher::~SanMatcher() = default;

std::expected<SanMatcher, std::string> SanMatcher::make(const SanMatcherSpec& spec) {
  SanMatcher matcher(spec);
  if (spec.text.empty()) return std::unexpected("an empty text would match either nothing or everything");
  if (spec.how != TextMatch::regex) return matcher;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_encoding(RE2::Options::EncodingLatin1);  // byte by byte: a name need not be UTF-8
  options.set_case_sensitive(!spec.ignore_case);
  matcher.regex_ = std::make_unique<const RE2>(spec.text, options);
  if (!matcher.regex_->ok()) {
    return std::unexpected("the regular expression \"" + spec.text + "\" is not valid: " + matcher.regex_->error());
  }
  return matcher;
}

bool SanMatcher::matches(const CertificateName& name) const {
  if (spec_.type != SanType::any && spec_.type != name.type) return false;
  const std::string_view text = name.text, wanted = spec_.text;
  switch (spec_.how) {
    case TextMatch::exact:
      return name.type == SanType::dns ? dns_name_matches(text, wanted) : equal(text, wanted, spec_.ignore_case);
    case TextMatch::prefix: return equal(text.substr(0, wanted.size()), wanted, spec_.ignore_case);
    case TextMatch::suffix:
      return text.size() >= wanted.size() && equal(text.substr(text.size() - wanted.size()), wanted, spec_.ignore_case);
    case TextMatch::contains: return contains(text, wanted, spec_.ignore_case);
    case TextMatch::regex: return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), *regex_);
  }
  return false;
}

}  // namespace ringside
