#pragma once
// What passes between the admin server and its pages: a request, a reply, and a page that is made while it is sent.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "control/admin_port.h"
#include "core/stats.h"

namespace ringside {

class ServerGauges;

// A body made piece by piece, so that a large page needs no large buffer.
class AdminPage {
 public:
  virtual ~AdminPage() = default;
  // Appends until `out` has grown by about `bytes`, or to the end of the page. False: that was the end.
  virtual bool render(std::string& out, size_t bytes) = 0;
};

struct AdminRequest {
  std::string method = {};
  std::string path = {};   // without the query
  std::string query = {};  // what stands after '?', still percent-encoded
  std::string host = {};
  std::string origin = {};  // field values; empty when absent
  std::string sec_fetch_site = {};
};

inline constexpr std::string_view admin_text = "text/plain; charset=UTF-8";
inline constexpr std::string_view admin_json = "application/json";
inline constexpr std::string_view admin_html = "text/html; charset=UTF-8";

struct AdminReply {
  uint16_t status = 200;
  std::string_view content_type = admin_text;  // static text
  std::string body = {};
  std::unique_ptr<AdminPage> page = nullptr;  // in place of the body
  bool shut_down_after = false;               // the program ends once the reply has gone
};

// What pages read and act on.
struct AdminContext {
  AdminPort& port;
  StatsRegistry& registry;
  ServerGauges& gauges;
};

// The reply to any request: finds the endpoint, checks method and origin.
AdminReply answer_admin_request(AdminContext& context, const AdminRequest& request);

}  // namespace ringside
