#include "control/admin_handlers.h"
#include "control/server_gauges.h"
#include "proxy/observe/metrics_text.h"
#include "proxy/observe/stats_query.h"

namespace ringside {

namespace {

class StatsBody final : public AdminPage {
 public:
  explicit StatsBody(std::unique_ptr<StatsPage> page) : page_(std::move(page)) {}
  bool render(std::string& out, size_t bytes) override { return page_->render(out, bytes); }

 private:
  std::unique_ptr<StatsPage> page_;
};

AdminReply stats_reply(AdminContext& context, const AdminRequest& request, StatsFormat page) {
  auto query = parse_stats_query(request.query, page);
  if (!query) return {.status = 400, .body = query.error()};
  context.gauges.refresh();
  const std::string_view content_type = stats_content_type(query->format);
  return {.content_type = content_type,
          .page = std::make_unique<StatsBody>(make_stats_page(context.registry, std::move(*query)))};
}

}  // namespace

AdminReply admin_stats(AdminContext& context, const AdminRequest& request) {
  return stats_reply(context, request, StatsFormat::text);
}

AdminReply admin_stats_prometheus(AdminContext& context, const AdminRequest& request) {
  return stats_reply(context, request, StatsFormat::prometheus);
}

}  // namespace ringside
