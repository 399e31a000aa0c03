#pragma once
// Header fields that the configuration adds and removes, compiled. Values may use the operators of the access log.
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "codecs/http.h"
#include "proxy/observe/access_log.h"
#include "proxy/specs.h"

namespace ringside {

// Removals and additions of one place of the configuration, for one direction. Immutable.
class HeaderEdit {
 public:
  // The error says which field and why: names that begin with ":" and "host" cannot be changed, and fields that frame the message
  // cannot be set.
  static std::expected<HeaderEdit, std::string> build(const std::vector<std::string>& remove,
                                                      const std::vector<HeaderValueSpec>& add);
  bool empty() const { return removals_.empty() && additions_.empty(); }
  // Removals first, then overwriting, then adding, each in the order of the configuration; an empty value adds nothing. `record`
  // holds what the operators of values may ask for. Text lives here or in the arena of the fields: the edit must outlive them.
  void apply(HeaderMap& fields, const AccessLogRecord& record, SecondCache& second) const;

 private:
  struct Name {
    HeaderId id = HeaderId::other;
    std::string text;
  };
  struct Addition {
    Name name;
    std::string value;
    std::unique_ptr<const AccessLogFormat> format;  // null: `value` as it is
    HeaderAppend append = HeaderAppend::append_if_exists_or_add;
  };
  static bool present(const HeaderMap& fields, const Name& name);
  static void add(HeaderMap& fields, const Name& name, std::string_view value);
  static void set(HeaderMap& fields, const Name& name, std::string_view value);
  static std::string_view value_of(const Addition& addition, HeaderMap& fields, const AccessLogRecord& record,
                                   SecondCache& second);
  static bool overwrites(HeaderAppend append) {
    return append == HeaderAppend::overwrite_if_exists || append == HeaderAppend::overwrite_if_exists_or_add;
  }

  std::vector<Name> removals_;
  std::vector<Addition> additions_;
};

// Both directions of one place.
struct HeaderEdits {
  HeaderEdit request, response;
  static std::expected<HeaderEdits, std::string> build(const HeaderEditSpec& spec);
};

}  // namespace ringside
