#pragma once
// The admin endpoints, one function each. Each may assume that the method was checked.
#include "control/admin_page.h"

namespace ringside {

// Built from the table of endpoints.
AdminReply admin_help(AdminContext& context, const AdminRequest& request);
AdminReply admin_home(AdminContext& context, const AdminRequest& request);

// Of the program: admin_status.cc
AdminReply admin_ready(AdminContext& context, const AdminRequest& request);
AdminReply admin_server_info(AdminContext& context, const AdminRequest& request);
AdminReply admin_memory(AdminContext& context, const AdminRequest& request);
AdminReply admin_init_dump(AdminContext& context, const AdminRequest& request);
AdminReply admin_runtime(AdminContext& context, const AdminRequest& request);
AdminReply admin_hot_restart_version(AdminContext& context, const AdminRequest& request);
AdminReply admin_certs(AdminContext& context, const AdminRequest& request);
AdminReply admin_unavailable(AdminContext& context, const AdminRequest& request);

// Numbers and tables: admin_clusters.cc, admin_stats.cc
AdminReply admin_clusters(AdminContext& context, const AdminRequest& request);
AdminReply admin_listeners(AdminContext& context, const AdminRequest& request);
AdminReply admin_stats(AdminContext& context, const AdminRequest& request);
AdminReply admin_stats_prometheus(AdminContext& context, const AdminRequest& request);

// What changes something: admin_actions.cc
AdminReply admin_quit(AdminContext& context, const AdminRequest& request);
AdminReply admin_drain_listeners(AdminContext& context, const AdminRequest& request);
AdminReply admin_healthcheck_fail(AdminContext& context, const AdminRequest& request);
AdminReply admin_healthcheck_ok(AdminContext& context, const AdminRequest& request);
AdminReply admin_logging(AdminContext& context, const AdminRequest& request);
AdminReply admin_reopen_logs(AdminContext& context, const AdminRequest& request);
AdminReply admin_reset_counters(AdminContext& context, const AdminRequest& request);
AdminReply admin_runtime_modify(AdminContext& context, const AdminRequest& request);

}  // namespace ringside
