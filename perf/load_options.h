#pragma once
// The command lines of ringside-load and ringside-backend.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/ring.h"
#include "perf/backend.h"
#include "perf/load_h2.h"
#include "perf/load_http.h"
#include "perf/load_mongo_text.h"

namespace ringside::perf {

struct ServiceAddress {
  Service service = Service::http;
  Address address;
};

enum class Mode : uint8_t { http, http_open, http_churn, http_idle, ping, bulk_down, bulk_up, ws, ws_idle, mongo };

enum class Protocol : uint8_t { h1, h2 };

struct LoadOptions {
  Mode mode = Mode::http;
  Protocol protocol = Protocol::h1;  // of http and http-idle
  H2LoadOptions h2;
  bool tls = false;
  TlsFiles tls_files;  // what the client shows
  Resumption resumption = Resumption::never;
  std::string ring = "auto";
  HttpLoadOptions http;        // target and connections are those of every mode
  size_t message_bytes = 64;   // of a ping and of a WebSocket
  uint32_t depth = 1;          // messages in flight on each WebSocket, finds on each connection of MongoDB
  MongoFind find = MongoFind::message;
  double rate_per_second = 1000;
  Arrivals arrivals = Arrivals::poisson;
  uint64_t seed = 1;
  Duration warm_up = milliseconds(400);
  Duration duration = milliseconds(1600);
  Duration patience = seconds(2);
  std::vector<ServiceAddress> services;  // of the backend in the same thread
  TlsFiles backend_tls;
  bool hold = false;  // wait for a line "go [pid...]" on standard input before the load begins
};

struct BackendOptions {
  std::string ring = "auto";
  std::vector<ServiceAddress> services;
  TlsFiles backend_tls;
};

// Print help or what is wrong, and exit.
LoadOptions parse_load_options(int argc, char** argv);
BackendOptions parse_backend_options(int argc, char** argv);

// Makes the services of `backend`; false, and why, when one cannot be had.
bool open_services(Backend& backend, const std::vector<ServiceAddress>& services, const TlsFiles& tls,
                   std::string* why);

// "auto": io_uring where it works. Null, and why, when the ring cannot be had.
std::unique_ptr<Ring> make_ring(const std::string& name, BlockPools& pools, std::string* why);

}  // namespace ringside::perf
