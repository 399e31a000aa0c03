#include "proxy/observe/metrics_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "proxy/observe/stat_names.h"

namespace ringside {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

StatsQuery query(std::string_view text, StatsFormat page = StatsFormat::text) {
  auto parsed = parse_stats_query(text, page);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error());
  return parsed.value_or(StatsQuery{});
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) result.push_back(line);
  return result;
}

// One cluster, connection manager and listener with the numbers that a real Envoy showed for the same traffic.
class StatsPageTest : public testing::Test {
 protected:
  StatsPageTest() {
    auto cluster = registry_.cells(0).block(cluster_);
    cluster.inc(ClusterStat::upstream_rq_total, 50);
    cluster.inc(ClusterStat::upstream_rq_active);
    cluster.dec(ClusterStat::upstream_rq_active);
    for (int i = 0; i < 46; ++i) cluster.record_code(ClusterStat::upstream_rq_codes, 200);
    for (const uint32_t code : {201u, 302u, 404u, 503u}) cluster.record_code(ClusterStat::upstream_rq_codes, code);
    record(cluster, {{1, 1}, {41, 1}, {42, 1}, {43, 35}, {47, 3}, {51, 1}});
    registry_.merge_histograms();
    record(cluster, {{43, 1}, {51, 1}, {55, 1}, {75, 1}, {140, 1}, {270, 1}, {580, 1}, {1200, 1}});
    registry_.merge_histograms();
    auto http = registry_.cells(1).block(http_);
    http.inc(downstream_rq_class(200), 47);
    http.inc(downstream_rq_class(302));
    registry_.control_cells().block(server_).set(ServerStat::state, 0);
    registry_.control_cells().block(server_).set(ServerStat::live, 1);
  }

  static void record(StatBlock<ClusterStat>& cluster, std::initializer_list<std::pair<uint64_t, int>> values) {
    for (const auto& [value, count] : values) {
      for (int i = 0; i < count; ++i) cluster.record(ClusterStat::upstream_rq_time, value);
    }
  }

  std::string text(std::string_view parameters) { return render_stats(registry_, query(parameters)); }
  std::string prometheus(std::string_view parameters) {
    return render_stats(registry_, query(parameters, StatsFormat::prometheus));
  }

  StatsRegistry registry_{2};
  StatGroup<ClusterStat> cluster_ = registry_.group<ClusterStat>(cluster_scope("up"));
  StatGroup<HttpStat> http_ = registry_.group<HttpStat>(http_scope("ingress_http"));
  StatGroup<ServerStat> server_ = registry_.group<ServerStat>({.prefix = "server."});
  StatGroup<ListenerStat> listener_ = registry_.group<ListenerStat>(listener_scope("127.0.0.1:28932"));
  StatGroup<ListenerWorkerStat> worker_ =
      registry_.group<ListenerWorkerStat>(listener_worker_scope("127.0.0.1:28932", 0));
};

TEST_F(StatsPageTest, TextIsSortedWithHistogramsLast) {
  const std::vector<std::string> all = lines(text(""));
  const auto first_histogram = std::ranges::find_if(all, [](const std::string& line) {
    return line.ends_with("No recorded values") || line.find(": P0(") != std::string::npos;
  });
  EXPECT_TRUE(std::is_sorted(all.begin(), first_histogram));
  EXPECT_TRUE(std::is_sorted(first_histogram, all.end()));
  EXPECT_EQ(all.end() - first_histogram, 9);
  EXPECT_THAT(all, testing::IsSupersetOf({"cluster.up.upstream_rq_200: 46", "cluster.up.upstream_rq_2xx: 47",
                                          "cluster.up.upstream_rq_completed: 50", "cluster.up.upstream_rq_active: 0",
                                          "listener.127.0.0.1_28932.worker_0.downstream_cx_total: 0",
                                          "cluster.up.upstream_rq_per_cx: No recorded values"}));
  // What only some configurations use does not show before it is used.
  EXPECT_THAT(text("filter=remaining|internal\\.|canary|external"), IsEmpty());
}

TEST_F(StatsPageTest, HistogramsReadAsThoseOfEnvoy) {
  EXPECT_EQ(text("filter=upstream_rq_time$"),
            "cluster.up.upstream_rq_time: P0(43.5,1.05) P25(51.5,43.270270270270274) P50(75.5,43.5945945945946) "
            "P75(275,43.945945945945944) P90(1250,55.5) P95(1250,275) P99(1250,1250) P99.5(1250,1250) "
            "P99.9(1250,1250) P100(1250,1250)\n");
  EXPECT_EQ(text("filter=upstream_rq_time$&histogram_buckets=cumulative"),
            "cluster.up.upstream_rq_time: B0.5(0,0) B1(0,1) B5(0,1) B10(0,1) B25(0,1) B50(1,42) B100(4,46) B250(5,47) "
            "B500(6,48) B1000(7,49) B2500(8,50) B5000(8,50) B10000(8,50) B30000(8,50) B60000(8,50) B300000(8,50) "
            "B600000(8,50) B1.8e+06(8,50) B3.6e+06(8,50)\n");
  EXPECT_THAT(text("filter=upstream_rq_time$&histogram_buckets=disjoint"),
              HasSubstr(" B50(1,41) B100(3,4) B250(1,1) "));
  EXPECT_THAT(
      text("filter=upstream_rq_time$&histogram_buckets=detailed"),
      testing::StartsWith("cluster.up.upstream_rq_time:\n"
                          "  totals=1,0.1:1, 41,1:1, 42,1:1, 43,1:36, 47,1:3, 51,1:2, 55,1:1, 75,1:1, 140,10:1, "
                          "270,10:1, 580,10:1, 1200,100:1\n"
                          "  intervals=43,1:1, 51,1:1, 55,1:1, 75,1:1, 140,10:1, 270,10:1, 580,10:1, 1200,100:1\n"
                          "  summary=P0(43.5,1.05) P25("));
  registry_.merge_histograms();
  EXPECT_THAT(text("filter=upstream_rq_time$"), HasSubstr("P0(nan,1.05) P25(nan,43.27"));
}

TEST_F(StatsPageTest, WhatTheAgentAsksFor) {
  auto manager = registry_.group<ListenerManagerStat>({.prefix = "listener_manager."});
  registry_.control_cells().block(manager).set(ListenerManagerStat::workers_started, 1);
  EXPECT_EQ(text("usedonly&filter=^(server\\.state|listener_manager\\.workers_started)"),
            "listener_manager.workers_started: 1\nserver.state: 0\n");
  EXPECT_EQ(text("usedonly&filter=downstream_cx_active$"), "");
}

TEST_F(StatsPageTest, FiltersAndTypes) {
  EXPECT_EQ(text("filter=%5Eserver%5C.live"), "server.live: 1\n");
  EXPECT_EQ(text("filter=server.live&filter=state"), "server.live: 1\n");
  EXPECT_THAT(text("invert_filter&filter=_"), Not(HasSubstr("_")));
  EXPECT_THAT(text("type=Gauges"), Not(HasSubstr("rq_total:")));
  EXPECT_THAT(text("type=Counters&filter=upstream_rq_(total|active|time|200)$"),
              "cluster.up.upstream_rq_200: 46\ncluster.up.upstream_rq_total: 50\n");
  EXPECT_THAT(lines(text("type=Histograms&usedonly")).size(), 1u);
  EXPECT_EQ(text("type=TextReadouts"), "");
  EXPECT_EQ(text("hidden=only"), "");
  EXPECT_EQ(text("format=html&filter=server.live"),
            "<!DOCTYPE html>\n<title>stats</title>\n<pre>\nserver.live: 1\n</pre>\n");
}

TEST_F(StatsPageTest, Json) {
  EXPECT_EQ(text("format=json&filter=nothing"), "{\"stats\":[]}");
  EXPECT_EQ(text("format=json&filter=server.live"), R"({"stats":[{"name":"server.live","value":1}]})");
  EXPECT_EQ(text("format=json&filter=^server.(live|init)"),
            R"({"stats":[{"name":"server.live","value":1},{"histograms":{"supported_quantiles":)"
            R"([0,25,50,75,90,95,99,99.5,99.9,100],"computed_quantiles":[{"name":"server.initialization_time_ms",)"
            R"("values":[{"cumulative":null,"interval":null},{"cumulative":null,"interval":null},)"
            R"({"cumulative":null,"interval":null},{"cumulative":null,"interval":null},)"
            R"({"cumulative":null,"interval":null},{"cumulative":null,"interval":null},)"
            R"({"cumulative":null,"interval":null},{"cumulative":null,"interval":null},)"
            R"({"cumulative":null,"interval":null},{"cumulative":null,"interval":null}]}]}}]})");
  const std::string detailed = text("format=json&filter=upstream_rq_time$&histogram_buckets=detailed");
  EXPECT_THAT(detailed, HasSubstr(R"("details":[{"name":"cluster.up.upstream_rq_time","totals":[{"lower_bound":1,)"
                                  R"("width":0.1,"count":1},{"lower_bound":41,"width":1,"count":1},)"));
  EXPECT_THAT(detailed, HasSubstr(R"("percentiles":[{"cumulative":1.05,"interval":43.5},)"));
  EXPECT_TRUE(detailed.ends_with("]}]}}]}"));
  const std::string cumulative = text("format=json&filter=upstream_rq_time$&histogram_buckets=cumulative");
  EXPECT_THAT(cumulative, HasSubstr(R"({"stats":[{"histograms":[{"name":"cluster.up.upstream_rq_time","buckets":[)"
                                    R"({"upper_bound":0.5,"interval":0,"cumulative":0},)"));
  EXPECT_THAT(cumulative, HasSubstr(R"({"upper_bound":3e+05,"interval":8,"cumulative":50})"));
  EXPECT_THAT(cumulative, HasSubstr(R"({"upper_bound":1800000,"interval":8,"cumulative":50})"));
  EXPECT_TRUE(cumulative.ends_with("]}]}]}"));
}

TEST_F(StatsPageTest, PrometheusFamiliesAndLabels) {
  EXPECT_THAT(
      lines(prometheus("usedonly&type=Counters&filter=^(cluster.up.upstream_rq_(2|3|c|total)|http|server)")),
      ElementsAre(
          "# TYPE envoy_cluster_upstream_rq counter",
          R"(envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="up"} 46)",
          R"(envoy_cluster_upstream_rq{envoy_response_code="201",envoy_cluster_name="up"} 1)",
          R"(envoy_cluster_upstream_rq{envoy_response_code="302",envoy_cluster_name="up"} 1)",
          "# TYPE envoy_cluster_upstream_rq_completed counter",
          R"(envoy_cluster_upstream_rq_completed{envoy_cluster_name="up"} 50)",
          "# TYPE envoy_cluster_upstream_rq_total counter",
          R"(envoy_cluster_upstream_rq_total{envoy_cluster_name="up"} 50)",
          "# TYPE envoy_cluster_upstream_rq_xx counter",
          R"(envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="up"} 47)",
          R"(envoy_cluster_upstream_rq_xx{envoy_response_code_class="3",envoy_cluster_name="up"} 1)",
          "# TYPE envoy_http_downstream_rq_xx counter",
          R"(envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress_http"} 47)",
          R"(envoy_http_downstream_rq_xx{envoy_response_code_class="3",envoy_http_conn_manager_prefix="ingress_http"} 1)",
          "# TYPE envoy_server_live gauge", "envoy_server_live{} 1", "# TYPE envoy_server_state gauge",
          "envoy_server_state{} 0"));
  EXPECT_EQ(prometheus("filter=worker_0.*total"),
            "# TYPE envoy_listener_worker_downstream_cx_total counter\n"
            "envoy_listener_worker_downstream_cx_total{envoy_worker_id=\"0\","
            "envoy_listener_address=\"127.0.0.1_28932\"} 0\n");
}

TEST_F(StatsPageTest, PrometheusHistograms) {
  const std::string page = prometheus("usedonly&filter=time");
  EXPECT_THAT(page,
              testing::StartsWith("# TYPE envoy_cluster_upstream_rq_time histogram\n"
                                  "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"up\",le=\"0.5\"} 0\n"
                                  "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"up\",le=\"1\"} 1\n"));
  EXPECT_TRUE(
      page.ends_with("envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"up\",le=\"3600000\"} 50\n"
                     "envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name=\"up\",le=\"+Inf\"} 50\n"
                     "envoy_cluster_upstream_rq_time_sum{envoy_cluster_name=\"up\"} 4279.9894441454898696974851191044\n"
                     "envoy_cluster_upstream_rq_time_count{envoy_cluster_name=\"up\"} 50\n"));
  const std::string summary = prometheus("filter=^server.init&histogram_buckets=summary");
  EXPECT_THAT(summary, testing::StartsWith("# TYPE envoy_server_initialization_time_ms summary\n"
                                           "envoy_server_initialization_time_ms{quantile=\"0\"} nan\n"
                                           "envoy_server_initialization_time_ms{quantile=\"0.25\"} nan\n"));
  EXPECT_TRUE(
      summary.ends_with("envoy_server_initialization_time_ms_sum{} 0\n"
                        "envoy_server_initialization_time_ms_count{} 0\n"));
  EXPECT_THAT(prometheus("usedonly&filter=time&histogram_buckets=summary"),
              HasSubstr("envoy_cluster_upstream_rq_time{envoy_cluster_name=\"up\",quantile=\"0.995\"} 1250\n"
                        "envoy_cluster_upstream_rq_time{envoy_cluster_name=\"up\",quantile=\"0.999\"} 1250\n"));
}

TEST_F(StatsPageTest, PiecesMakeTheWholePage) {
  for (const char* parameters : {"", "format=json", "format=prometheus", "format=html"}) {
    std::string pieces;
    size_t calls = 1;
    const auto page = make_stats_page(registry_, query(parameters));
    while (page->render(pieces, 100)) ++calls;
    EXPECT_GT(calls, 3u);
    EXPECT_EQ(pieces, text(parameters));
  }
}

TEST_F(StatsPageTest, APageKeepsItsGroups) {
  auto page = make_stats_page(registry_, query(""));
  cluster_ = {};
  EXPECT_THAT(
      [&] {
        std::string out;
        while (page->render(out, 1)) {
        }
        return out;
      }(),
      HasSubstr("cluster.up.upstream_rq_total: 50"));
  page.reset();
  EXPECT_EQ(registry_.groups().size(), 4u);
}

TEST(StatsQuery, MistakesReadAsThoseOfEnvoy) {
  const auto error = [](std::string_view text, StatsFormat page = StatsFormat::text) {
    return parse_stats_query(text, page).error();
  };
  EXPECT_EQ(error("format=bogus"), "usage: /stats?format=(html|active-html|json|prometheus|text)\n\n");
  EXPECT_EQ(error("histogram_buckets=bogus"),
            "usage: /stats?histogram_buckets=(cumulative|disjoint|detailed|summary|prometheusnative)\n");
  EXPECT_EQ(error("hidden=bogus"), "usage: /stats?hidden=(include|only|exclude)\n\n");
  EXPECT_EQ(error("type=counters"), "invalid &type= param");
  EXPECT_EQ(error("filter=("), "Invalid re2 regex: missing ): (");
  EXPECT_EQ(error("format=prometheus&histogram_buckets=disjoint"), "unsupported prometheus histogram bucket mode");
  EXPECT_EQ(error("histogram_buckets=detailed", StatsFormat::prometheus),
            "unsupported prometheus histogram bucket mode");
  EXPECT_EQ(error("histogram_buckets=prometheusnative"),
            "Invalid histogram_buckets type for non prometheus stats type");
}

TEST(StatsQuery, LenientAsEnvoy) {
  EXPECT_EQ(query("format=&type=&histogram_buckets=&filter=").format, StatsFormat::text);
  EXPECT_EQ(query("format=json&format=text").format, StatsFormat::json);
  EXPECT_TRUE(query("usedonly=false").used_only);
  EXPECT_EQ(query("histogram_buckets=none").buckets, HistogramBuckets::summary);
  EXPECT_EQ(query("format=json", StatsFormat::prometheus).format, StatsFormat::prometheus);
  EXPECT_EQ(query("&&=&unknown=1").format, StatsFormat::text);
  EXPECT_TRUE(query("filter=%zz%4").matches("a%zz%4b"));
}

TEST(StatNames, ScopesCarryEnvoysLabels) {
  const StatScope cluster = cluster_scope("a://b:/c:80");
  EXPECT_EQ(cluster.prefix, "cluster.a_b_c_80.");
  EXPECT_EQ(cluster.tags[0].value, "a_b_c_80");
  EXPECT_EQ(listener_scope("[::1]:80").prefix, "listener.[__1]_80.");
  EXPECT_EQ(listener_scope("[::1]:80").tags[0].value, "[__1]_80");
  EXPECT_THAT(listener_scope("admin").tags, IsEmpty());
  EXPECT_EQ(listener_http_scope("admin", "admin").tagless_prefix, "listener.admin.http.");
  const StatScope http = listener_http_scope("10.0.0.1:80", "web");
  EXPECT_EQ(http.prefix, "listener.10.0.0.1_80.http.web.");
  EXPECT_EQ(http.tagless_prefix, "listener.http.");
  EXPECT_EQ(http.tags[0].name, "envoy_http_conn_manager_prefix");
  EXPECT_EQ(http.tags[1].name, "envoy_listener_address");
}

TEST(StatNames, LabelsAreEscaped) {
  StatsRegistry registry(1);
  const auto group = registry.group<TcpStat>(tcp_scope("a\"b\\c\nd"));
  EXPECT_EQ(render_stats(registry, query("filter=idle", StatsFormat::prometheus)),
            "# TYPE envoy_tcp_idle_timeout counter\nenvoy_tcp_idle_timeout{envoy_tcp_prefix=\"a\\\"b\\\\c\\nd\"} 0\n");
  EXPECT_EQ(render_stats(registry, query("filter=idle&format=json")),
            "{\"stats\":[{\"name\":\"tcp.a\\\"b\\\\c\\u000ad.idle_timeout\",\"value\":0}]}");
}

TEST(StatNames, OwnGroupHasItsOwnNamespace) {
  StatsRegistry registry(1);
  const auto group = registry.group<RingsideStat>({.prefix = "ringside."});
  EXPECT_THAT(render_stats(registry, query("", StatsFormat::prometheus)), HasSubstr("\nringside_turns{} 0\n"));
}

}  // namespace
}  // namespace ringside
