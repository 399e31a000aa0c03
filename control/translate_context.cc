#include "control/translate_context.h"

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/wrappers.pb.h>

#include <limits>
#include <optional>
#include <utility>

#include "control/did_you_mean.h"

namespace ringside {

namespace {

namespace pb = google::protobuf;

constexpr int64_t nanos_per_second = 1'000'000'000;
// What fits into a Duration, about 292 years. Longer times are cut: nobody waits for the difference.
constexpr int64_t seconds_max = std::numeric_limits<int64_t>::max() / nanos_per_second - 1;

// Value of a uint32 or UInt32Value field that is set.
std::optional<uint32_t> number_of(const pb::Message& message, const pb::FieldDescriptor& field) {
  const pb::Reflection& reflection = *message.GetReflection();
  if (!reflection.HasField(message, &field)) return std::nullopt;
  if (field.cpp_type() == pb::FieldDescriptor::CPPTYPE_UINT32) return reflection.GetUInt32(message, &field);
  return static_cast<const pb::UInt32Value&>(reflection.GetMessage(message, &field)).value();
}

std::string seconds_text(Duration duration) {
  return fmt::format("{}s", static_cast<double>(duration.count()) / static_cast<double>(nanos_per_second));
}

}  // namespace

const pb::FieldDescriptor* TranslateContext::field_of(const Message& message, int number) const {
  return number == 0 ? nullptr : message.GetDescriptor()->FindFieldByNumber(number);
}

std::string TranslateContext::where(const Message& message) const {
  const ConfigNode* node = places_.find(message);
  return node == nullptr ? std::string() : errors_.place(*node);
}

ConfigProblem TranslateContext::problem(const Message& message, int number, std::string what, std::string help,
                                        int index) const {
  const pb::FieldDescriptor* field = field_of(message, number);
  return {.at = places_.find(message, field, index),
          .path = places_.path(message, field, index),
          .what = std::move(what),
          .help = std::move(help)};
}

void TranslateContext::fail(const Message& message, int number, std::string what, std::string help, int index) {
  errors_.error(problem(message, number, std::move(what), std::move(help), index));
}

void TranslateContext::warn(const Message& message, int number, std::string what, std::string help, int index) {
  errors_.warning(problem(message, number, std::move(what), std::move(help), index));
}

void TranslateContext::missing(const Message& message, int number, std::string what, std::string help) {
  if (!damaged(message)) fail(message, number, std::move(what), std::move(help));
}

void TranslateContext::unsupported(const Message& message, int number, std::string_view thing, std::string help,
                                   int index) {
  fail(message, number, fmt::format("{} is not supported by this version of ringside", thing), std::move(help), index);
}

void TranslateContext::duration(const Message& message, int number, Duration& out, DurationFloor floor) {
  const pb::FieldDescriptor* field = field_of(message, number);
  if (!message.GetReflection()->HasField(message, field)) return;
  const auto& value = static_cast<const pb::Duration&>(message.GetReflection()->GetMessage(message, field));
  const Duration duration(std::min(value.seconds(), seconds_max) * nanos_per_second + value.nanos());
  const bool above = floor.bound == DurationFloor::Bound::above;
  if (value.seconds() < 0 || duration < floor.value || (above && duration == floor.value)) {
    return fail(message, number,
                above || floor.value.count() != 0
                    ? fmt::format("must be {} {}", above ? "more than" : "at least", seconds_text(floor.value))
                    : "a time may not be negative");
  }
  out = duration;
}

void TranslateContext::number(const Message& message, int number, uint32_t& out, NumberRange range) {
  const auto value = number_of(message, *field_of(message, number));
  if (!value) return;
  if (*value < range.min || *value > range.max) {
    const bool open = range.max == NumberRange().max;
    return fail(message, number,
                open ? fmt::format("must be at least {}", range.min)
                     : fmt::format("must be within {} to {}", range.min, range.max));
  }
  out = *value;
}

void TranslateContext::flag(const Message& message, int number, bool& out) {
  const pb::FieldDescriptor& field = *field_of(message, number);
  const pb::Reflection& reflection = *message.GetReflection();
  if (!reflection.HasField(message, &field)) return;
  out = field.cpp_type() == pb::FieldDescriptor::CPPTYPE_BOOL
            ? reflection.GetBool(message, &field)
            : static_cast<const pb::BoolValue&>(reflection.GetMessage(message, &field)).value();
}

bool TranslateContext::only_value(const Message& message, int number, int only) {
  const pb::FieldDescriptor& field = *field_of(message, number);
  const pb::EnumValueDescriptor& value = *message.GetReflection()->GetEnum(message, &field);
  if (value.number() == only) return true;
  unsupported(message, number, value.name(),
              fmt::format("supported: {}", field.enum_type()->FindValueByNumber(only)->name()));
  return false;
}

void TranslateContext::add_cluster_name(std::string name) {
  cluster_list_.push_back(name);
  cluster_names_.insert(std::move(name));
}

void TranslateContext::check_cluster(const Message& message, int number, const std::string& name) {
  if (name.empty()) return missing(message, number);
  if (cluster_names_.contains(name) || clusters_incomplete_) return;
  fail(message, number, fmt::format("unknown cluster \"{}\"{}", name, did_you_mean(name, cluster_list_)),
       cluster_list_.empty() ? "static_resources.clusters is empty" : "clusters are in static_resources.clusters");
}

}  // namespace ringside
