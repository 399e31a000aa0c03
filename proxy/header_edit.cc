#include "proxy/header_edit.h"

#include <algorithm>

namespace ringside {
namespace {

// Fields that frame the message or manage the connection: the codec alone writes them.
bool is_framing(std::string_view name) {
  for (const std::string_view framing : {"connection", "content-length", "http2-settings", "keep-alive",
                                         "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"})
    if (name == framing) return true;
  return false;
}

bool is_token(std::string_view name) {
  if (name.empty()) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

bool is_value(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
  });
}

std::expected<void, std::string> check_name(const std::string& name) {
  if (name.starts_with(':') || name == "host")
    return std::unexpected("header \"" + name + "\": names that begin with ':' and host cannot be changed");
  if (!is_token(name)) return std::unexpected("header \"" + name + "\": not a header name");
  return {};
}

// Of the well-known names that may come more than once, those that must stay on lines of their own.
bool keeps_lines_apart(HeaderId id) {
  return id == HeaderId::other || id == HeaderId::set_cookie || id == HeaderId::cookie;
}

}  // namespace

std::expected<HeaderEdit, std::string> HeaderEdit::build(const std::vector<std::string>& remove,
                                                         const std::vector<HeaderValueSpec>& add) {
  HeaderEdit edit;
  edit.removals_.reserve(remove.size());
  for (const std::string& name : remove) {
    if (auto good = check_name(name); !good) return std::unexpected(good.error());
    edit.removals_.push_back({header_id(name), name});
  }
  edit.additions_.reserve(add.size());
  for (const HeaderValueSpec& spec : add) {
    if (auto good = check_name(spec.name); !good) return std::unexpected(good.error());
    if (is_framing(spec.name))
      return std::unexpected("header \"" + spec.name +
                             "\": frames the message and is not for the configuration to set");
    if (!is_value(spec.value))
      return std::unexpected("header \"" + spec.name + "\": its value has a control character");
    Addition addition{{header_id(spec.name), spec.name}, spec.value, nullptr, spec.append};
    if (spec.value.find('%') != std::string::npos) {
      auto format = AccessLogFormat::parse(spec.value, AccessLogFormat::Missing::nothing);
      if (!format)
        return std::unexpected("header \"" + spec.name + "\": " + format.error().message + ", at character " +
                               std::to_string(format.error().offset + 1) + " of its value");
      addition.format = std::make_unique<const AccessLogFormat>(std::move(*format));
    }
    edit.additions_.push_back(std::move(addition));
  }
  return edit;
}

bool HeaderEdit::present(const HeaderMap& fields, const Name& name) {
  return name.id != HeaderId::other ? fields.has(name.id) : fields.find(name.text) != nullptr;
}

void HeaderEdit::add(HeaderMap& fields, const Name& name, std::string_view value) {
  if (keeps_lines_apart(name.id)) return fields.push({name.id, name.text, value});
  fields.append(name.id, value, ",");
}

void HeaderEdit::set(HeaderMap& fields, const Name& name, std::string_view value) {
  if (name.id != HeaderId::other) return fields.set(name.id, value);
  fields.set(name.text, value);
}

std::string_view HeaderEdit::value_of(const Addition& addition, HeaderMap& fields, const AccessLogRecord& record,
                                      SecondCache& second) {
  if (addition.format == nullptr) return addition.value;
  ArenaText text(fields.arena());
  addition.format->write(record, second, text);
  return text.text();
}

// In Envoy's order: what a condition or an operator sees is the message after the removals, before any addition.
void HeaderEdit::apply(HeaderMap& fields, const AccessLogRecord& record, SecondCache& second) const {
  for (const Name& name : removals_) {
    if (name.id != HeaderId::other)
      fields.remove(name.id);
    else
      fields.remove(name.text);
  }
  if (additions_.empty()) return;
  auto* values = static_cast<std::string_view*>(
      fields.arena().allocate(additions_.size() * sizeof(std::string_view), alignof(std::string_view)));
  for (size_t at = 0; at < additions_.size(); ++at) {
    const Addition& addition = additions_[at];
    const bool wanted = addition.append == HeaderAppend::append_if_exists_or_add ||
                        addition.append == HeaderAppend::overwrite_if_exists_or_add ||
                        present(fields, addition.name) == (addition.append == HeaderAppend::overwrite_if_exists);
    new (&values[at]) std::string_view(wanted ? value_of(addition, fields, record, second) : std::string_view());
  }
  for (size_t at = 0; at < additions_.size(); ++at)
    if (!values[at].empty() && overwrites(additions_[at].append)) set(fields, additions_[at].name, values[at]);
  for (size_t at = 0; at < additions_.size(); ++at)
    if (!values[at].empty() && !overwrites(additions_[at].append)) add(fields, additions_[at].name, values[at]);
}

std::expected<HeaderEdits, std::string> HeaderEdits::build(const HeaderEditSpec& spec) {
  auto request = HeaderEdit::build(spec.request_remove, spec.request_add);
  if (!request) return std::unexpected(request.error());
  auto response = HeaderEdit::build(spec.response_remove, spec.response_add);
  if (!response) return std::unexpected(response.error());
  return HeaderEdits{std::move(*request), std::move(*response)};
}

}  // namespace ringside
