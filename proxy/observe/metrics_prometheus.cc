#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "proxy/observe/metrics_pages.h"
#include "proxy/observe/stat_names.h"

namespace ringside {

namespace {

// Which part of a stat a family takes. Envoy makes labels of the numbers in rq_200 and rq_2xx.
enum class Part : uint8_t { value, code, code_class, completed };

struct Source {
  uint16_t index = 0;  // of the defs
  Part part = Part::value;
  char fixed_class = 0;  // '2' for a counter called ..._rq_2xx
};

// Groups of one table that differ in their labels only, in the order of their prefixes.
struct GroupSet {
  std::string_view tagless_prefix;
  std::span<const StatDef> defs;
  std::vector<const StatGroupData*> groups;
};

struct Member {
  const GroupSet* set = nullptr;
  std::vector<Source> sources;
};

// What stands below one "# TYPE" line.
struct Family {
  StatKind kind = StatKind::counter;
  std::string name;  // with dots, without labels: Envoy's order
  std::vector<Member> members;
};

// histogram_bounds as Prometheus writes them.
constexpr std::array<std::string_view, histogram_bounds.size()> bound_texts = {
    "0.5",  "1",    "5",     "10",    "25",    "50",     "100",    "250",     "500",    "1000",
    "2500", "5000", "10000", "30000", "60000", "300000", "600000", "1800000", "3600000"};

bool ends_with_rq_class(std::string_view name) {
  return name.size() > 7 && name.ends_with("xx") && name.substr(0, name.size() - 3).ends_with("_rq_") &&
         name[name.size() - 3] >= '1' && name[name.size() - 3] <= '5';
}

// "cluster.upstream_rq_total" -> "envoy_cluster_upstream_rq_total". Our own group has its own namespace.
std::string metric_name(std::string_view dotted) {
  std::string name = dotted.starts_with("ringside.") ? "" : "envoy_";
  for (const char character : dotted) {
    const bool keep = (character >= 'a' && character <= 'z') || (character >= 'A' && character <= 'Z') ||
                      (character >= '0' && character <= '9') || character == '_';
    name += keep ? character : '_';
  }
  return name;
}

void append_label(std::string_view name, std::string_view value, std::string& out) {
  if (!out.empty()) out += ',';
  out.append(name).append("=\"");
  for (const char character : value) {
    if (character == '\n') {
      out += "\\n";
    } else {
      if (character == '"' || character == '\\') out += '\\';
      out += character;
    }
  }
  out += '"';
}

// Every family of the groups, counters before gauges before histograms, each kind by name.
class FamilyTable {
 public:
  explicit FamilyTable(std::span<const StatGroupRef> groups) {
    for (const StatGroupRef& group : groups) {
      GroupSet& set = sets_[{group->tagless_prefix(), group->defs().data()}];
      set.tagless_prefix = group->tagless_prefix();
      set.defs = group->defs();
      set.groups.push_back(&*group);
    }
    for (const auto& [key, set] : sets_) add(set);
    for (auto& [key, family] : by_name_) families_.push_back(std::move(family));
    by_name_.clear();
  }
  const std::vector<Family>& families() const { return families_; }

 private:
  void add(const GroupSet& set) {
    for (size_t i = 0; i < set.defs.size(); ++i) {
      const auto index = static_cast<uint16_t>(i);
      const StatDef& def = set.defs[i];
      std::string name = std::string(set.tagless_prefix) + std::string(def.name);
      if (def.kind == StatKind::response_codes) {
        add(StatKind::counter, name, set, {index, Part::code});
        add(StatKind::counter, name + "_completed", set, {index, Part::completed});
        add(StatKind::counter, name + "_xx", set, {index, Part::code_class});
      } else if (def.kind == StatKind::counter && ends_with_rq_class(def.name)) {
        const char digit = name[name.size() - 3];
        name.erase(name.size() - 3, 1);
        add(StatKind::counter, name, set, {index, Part::value, digit});
      } else {
        add(def.kind, name, set, {index, Part::value});
      }
    }
  }

  void add(StatKind kind, const std::string& name, const GroupSet& set, Source source) {
    Family& family = by_name_[{kind, name}];
    family.kind = kind;
    family.name = name;
    if (family.members.empty() || family.members.back().set != &set) family.members.push_back({&set, {}});
    std::vector<Source>& sources = family.members.back().sources;
    sources.push_back(source);
    // "1xx" before "2xx", in whatever order the table has them.
    std::ranges::sort(sources, {}, [](const Source& entry) { return std::pair(entry.fixed_class, entry.index); });
  }

  std::map<std::pair<std::string_view, const StatDef*>, GroupSet> sets_;
  std::map<std::pair<StatKind, std::string>, Family> by_name_;
  std::vector<Family> families_;
};

class PrometheusPage final : public StatsPage {
 public:
  PrometheusPage(const StatsRegistry& registry, StatsQuery query)
      : registry_(registry), query_(std::move(query)), groups_(registry.groups()), table_(groups_) {}

  bool render(std::string& out, size_t bytes) override {
    if (query_.hidden_only) return false;
    const size_t end = out.size() + bytes;
    while (out.size() < end) {
      if (family_ == table_.families().size()) return false;
      append_next_group(table_.families()[family_], out);
    }
    return true;
  }

 private:
  // One group of the family, then steps on to the next group, member or family.
  void append_next_group(const Family& family, std::string& out) {
    if (member_ == family.members.size()) {
      ++family_;
      member_ = 0;
      metric_.clear();
      return;
    }
    const Member& member = family.members[member_];
    if (group_ == member.set->groups.size()) {
      ++member_;
      group_ = 0;
      return;
    }
    const StatGroupData& group = *member.set->groups[group_++];
    for (const Source& source : member.sources) append_source(family, group, source, out);
  }

  void append_source(const Family& family, const StatGroupData& group, const Source& source, std::string& out) {
    const StatDef& def = group.defs()[source.index];
    if (def.kind == StatKind::response_codes) {
      append_codes(family, group, source, out);
    } else if (def.kind == StatKind::histogram) {
      append_histogram(family, group, source, out);
    } else {
      const auto value = registry_.read(group, source.index);
      if (!value.used && (query_.used_only || def.show == StatShow::when_used)) return;
      if (!passes(group, def.name, "")) return;
      labels_.clear();
      if (source.fixed_class != 0) append_label("envoy_response_code_class", {&source.fixed_class, 1}, labels_);
      if (def.kind == StatKind::gauge)
        append_sample(family, group, value.value, out);
      else
        append_sample(family, group, static_cast<uint64_t>(value.value), out);
    }
  }

  void append_codes(const Family& family, const StatGroupData& group, const Source& source, std::string& out) {
    ResponseCodeCounts counts;
    if (!registry_.read_codes(group, source.index, counts)) return;
    for_each_response_code(counts, [&](std::string_view suffix, uint64_t count) {
      const bool of_class = suffix.ends_with("xx"), completed = suffix == "_completed";
      const Part part = completed ? Part::completed : of_class ? Part::code_class : Part::code;
      if (part != source.part || !passes(group, group.defs()[source.index].name, suffix)) return;
      labels_.clear();
      if (part == Part::code) append_label("envoy_response_code", suffix.substr(1), labels_);
      if (part == Part::code_class) append_label("envoy_response_code_class", suffix.substr(1, 1), labels_);
      append_sample(family, group, count, out);
    });
  }

  void append_histogram(const Family& family, const StatGroupData& group, const Source& source, std::string& out) {
    const StatDef& def = group.defs()[source.index];
    const HistogramView view = view_histogram(registry_, group, source.index);
    if (!view.used() && (query_.used_only || def.show == StatShow::when_used)) return;
    if (!passes(group, def.name, "")) return;
    begin_family(family, out);
    labels_.clear();
    append_group_labels(group);
    // As Envoy: quantiles, sum and count of a summary are those of the last interval, buckets count from the start.
    const HistogramCounts& shown = summary() ? view.interval : view.cumulative;
    if (summary())
      append_summary(shown, out);
    else
      append_bounds(shown, out);
    fmt::format_to(std::back_inserter(out), "{}_sum{{{}}} {:.32g}\n{}_count{{{}}} {}\n", metric_, labels_, shown.sum(),
                   metric_, labels_, shown.total());
  }

  void append_summary(const HistogramCounts& counts, std::string& out) const {
    std::array<double, histogram_quantiles.size()> values;
    counts.quantiles(histogram_quantiles, values);
    for (size_t i = 0; i < values.size(); ++i) {
      fmt::format_to(std::back_inserter(out), "{}{{{}{}quantile=\"{:g}\"}} {:.32g}\n", metric_, labels_,
                     labels_.empty() ? "" : ",", histogram_quantiles[i], values[i]);
    }
  }

  void append_bounds(const HistogramCounts& counts, std::string& out) const {
    const auto append = [&](std::string_view bound, uint64_t count) {
      out.append(metric_).append("_bucket{").append(labels_).append(labels_.empty() ? "le=\"" : ",le=\"");
      out.append(bound).append("\"} ").append(fmt::format_int(count).c_str()).append("\n");
    };
    for (size_t i = 0; i < histogram_bounds.size(); ++i)
      append(bound_texts[i], counts.count_up_to(histogram_bounds[i]));
    append("+Inf", counts.total());
  }

  template <class Number>
  void append_sample(const Family& family, const StatGroupData& group, Number value, std::string& out) {
    begin_family(family, out);
    append_group_labels(group);
    out.append(metric_).append("{").append(labels_).append("} ");
    fmt::format_to(std::back_inserter(out), "{}\n", value);
  }

  void append_group_labels(const StatGroupData& group) {
    for (const StatTag& tag : group.tags()) append_label(tag.name, tag.value, labels_);
  }

  // The "# TYPE" line, before the first sample.
  void begin_family(const Family& family, std::string& out) {
    if (!metric_.empty()) return;
    metric_ = metric_name(family.name);
    const char* type = "counter";
    if (family.kind == StatKind::gauge) type = "gauge";
    if (family.kind == StatKind::histogram) type = summary() ? "summary" : "histogram";
    fmt::format_to(std::back_inserter(out), "# TYPE {} {}\n", metric_, type);
  }

  bool passes(const StatGroupData& group, std::string_view name, std::string_view suffix) {
    if (query_.filter == nullptr) return true;
    full_name_.assign(group.prefix()).append(name).append(suffix);
    return query_.matches(full_name_);
  }

  bool summary() const { return query_.buckets == HistogramBuckets::summary; }

  const StatsRegistry& registry_;
  const StatsQuery query_;
  const std::vector<StatGroupRef> groups_;
  const FamilyTable table_;
  // Where the page stands.
  size_t family_ = 0;
  size_t member_ = 0;
  size_t group_ = 0;
  std::string metric_;  // of the family, once it has a sample
  // Scratch.
  std::string labels_;
  std::string full_name_;
};

}  // namespace

std::unique_ptr<StatsPage> make_prometheus_page(const StatsRegistry& registry, StatsQuery query) {
  return std::make_unique<PrometheusPage>(registry, std::move(query));
}

}  // namespace ringside
