#include "perf/load_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdlib>
#include <map>

#include "core/epoll_ring.h"
#include "core/uring_ring.h"

namespace ringside::perf {
namespace {

// "127.0.0.1:80", "[::1]:80" or the path of a unix socket.
Address parse_address(const std::string& text) {
  if (text.starts_with('/') || text.starts_with('@')) {
    if (const auto path = Address::from_path(text)) return *path;
  } else if (const size_t colon = text.rfind(':'); colon != std::string::npos) {
    uint16_t port = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, port);
    const auto address = Address::from_ip(std::string_view(text).substr(0, colon), port);
    if (error == std::errc{} && stop == end && address) return *address;
  }
  throw CLI::ValidationError(text, "not an address such as 127.0.0.1:8080");
}

void add_services(CLI::App& app, std::vector<ServiceAddress>* services, TlsFiles* tls) {
  const auto add = [&](const char* flag, Service service, const char* help) {
    app.add_option_function<std::string>(
        flag,
        [services, service](const std::string& text) {
          services->push_back({service, parse_address(text)});
        },
        help);
  };
  add("--backend-http", Service::http,
      "serve HTTP/1.1 at this address: /any/1024 answers 1024 bytes, /any/head the request; WebSockets are echoed");
  add("--backend-https", Service::https, "the same over TLS");
  add("--backend-h2", Service::h2,
      "the same in HTTP/2, by prior knowledge; and a gRPC method that answers with its message");
  add("--backend-echo", Service::echo, "send back what comes");
  add("--backend-source", Service::source, "send without end");
  add("--backend-sink", Service::sink, "receive without end");
  add("--backend-mongo", Service::mongo, "MongoDB, with one document for each _id in every collection");
  app.add_option("--backend-certificate", tls->chain, "PEM, of --backend-https");
  app.add_option("--backend-key", tls->key, "PEM");
  app.add_option("--backend-client-ca", tls->client_ca, "PEM: clients must show a certificate that this one signed");
}

void add_duration(CLI::App& app, const char* flag, Duration* duration, const char* help) {
  app.add_option_function<double>(
      flag, [duration](double count) { *duration = Duration(static_cast<int64_t>(count * 1e6)); }, help);
}

void add_ring(CLI::App& app, std::string* ring) {
  app.add_option("--ring", *ring, "auto, uring or epoll")->check(CLI::IsMember({"auto", "uring", "epoll"}));
}

void add_protocols(CLI::App& app, LoadOptions* options) {
  static const std::map<std::string, Protocol> protocols = {{"h1", Protocol::h1}, {"h2", Protocol::h2}};
  static const std::map<std::string, Resumption> resumptions = {{"never", Resumption::never},
                                                                {"always", Resumption::always}};
  app.add_option("--protocol", options->protocol, "of http and http-idle: h1, or h2 by prior knowledge")
      ->transform(CLI::CheckedTransformer(protocols));
  app.add_option("--streams", options->h2.streams, "h2: requests at a time on each connection")
      ->check(CLI::Range(1, 10000));
  app.add_flag_callback(
      "--grpc", [options] { options->h2.call = Call::grpc; }, "h2: unary calls instead of requests for the path");
  app.add_flag("--tls", options->tls, "TLS 1.3 with X25519 and AES-128-GCM; the server's certificate is not verified");
  app.add_option("--certificate", options->tls_files.chain, "PEM that the client shows");
  app.add_option("--key", options->tls_files.key, "PEM");
  app.add_option("--resume", options->resumption, "never, or always: each connection with a ticket of an earlier one")
      ->transform(CLI::CheckedTransformer(resumptions));
}

void add_messages(CLI::App& app, LoadOptions* options) {
  static const std::map<std::string, MongoFind> finds = {{"msg", MongoFind::message}, {"query", MongoFind::query}};
  app.add_option("--message", options->message_bytes, "bytes of a ping (up to 65521), or of a message of ws and ws-idle")
      ->check(CLI::Range(size_t{1}, size_t{1} << 26));
  app.add_option("--depth", options->depth, "ws, mongo: how much is in flight on each connection")
      ->check(CLI::Range(1, 1000));
  app.add_option("--find", options->find, "mongo: by OP_MSG (msg), or by the OP_QUERY of old drivers (query)")
      ->transform(CLI::CheckedTransformer(finds));
}

void parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error));
  }
}

}  // namespace

LoadOptions parse_load_options(int argc, char** argv) {
  LoadOptions options;
  CLI::App app(
      "Load generator for HTTP/1.1, HTTP/2, gRPC, WebSocket, MongoDB and TCP, with TLS or without. Prints one JSON "
      "object per line; the last one is the result.");
  static const std::map<std::string, Mode> modes = {
      {"http", Mode::http},           {"http-open", Mode::http_open}, {"http-churn", Mode::http_churn},
      {"http-idle", Mode::http_idle}, {"ping", Mode::ping},           {"bulk-down", Mode::bulk_down},
      {"bulk-up", Mode::bulk_up},     {"ws", Mode::ws},               {"ws-idle", Mode::ws_idle},
      {"mongo", Mode::mongo}};
  static const std::map<std::string, Arrivals> arrivals = {{"poisson", Arrivals::poisson},
                                                           {"uniform", Arrivals::uniform}};
  RequestShape& shape = options.http.shape;
  app.add_option("--mode", options.mode, "what to do")->transform(CLI::CheckedTransformer(modes));
  app.add_option_function<std::string>(
         "--target", [&](const std::string& text) { options.http.target = parse_address(text); },
         "address of the proxy")
      ->required();
  app.add_option("--connections", options.http.connections, "connections at a time")->check(CLI::Range(1, 100000));
  app.add_option("--host", shape.host, "the Host header");
  app.add_option("--path", shape.path,
                 "path; '#' stands for 0000 up to --path-count; its last part is the answer's size");
  app.add_option("--path-count", shape.path_count, "how many paths")->check(CLI::Range(1, 10000));
  app.add_option("--body", shape.body_bytes, "bytes of request body; more than 0 makes POSTs");
  add_messages(app, &options);
  app.add_option("--rate", options.rate_per_second, "requests per second of http-open")->check(CLI::PositiveNumber);
  app.add_option("--arrivals", options.arrivals, "schedule of http-open")->transform(CLI::CheckedTransformer(arrivals));
  app.add_option("--seed", options.seed, "of the schedule");
  add_protocols(app, &options);
  add_duration(app, "--warm-up-ms", &options.warm_up, "load before the measured window");
  add_duration(app, "--duration-ms", &options.duration, "the measured window");
  add_duration(app, "--patience-ms", &options.patience, "a request that waits longer at the end is a failure");
  add_services(app, &options.services, &options.backend_tls);
  add_ring(app, &options.ring);
  app.add_flag("--hold", options.hold, "wait for the line \"go [pid...]\" on standard input; measures those processes");
  parse(app, argc, argv);
  shape.answer_bytes = answer_bytes_of_path(shape.path);
  return options;
}

BackendOptions parse_backend_options(int argc, char** argv) {
  BackendOptions options;
  CLI::App app("The servers behind a proxy under load. Ends with standard input, or by a signal.");
  add_services(app, &options.services, &options.backend_tls);
  add_ring(app, &options.ring);
  parse(app, argc, argv);
  return options;
}

bool open_services(Backend& backend, const std::vector<ServiceAddress>& services, const TlsFiles& tls,
                   std::string* why) {
  if (!tls.chain.empty()) {
    TlsContextPtr context = make_server_tls(tls, why);
    if (context == nullptr) return false;
    backend.set_tls(std::move(context));
  }
  for (const ServiceAddress& service : services)
    if (!backend.listen(service.service, service.address, why)) return false;
  return true;
}

std::unique_ptr<Ring> make_ring(const std::string& name, BlockPools& pools, std::string* why) {
  std::unique_ptr<Ring> ring;
  if (name != "epoll") ring = make_uring_ring(pools, why);
  if (ring == nullptr && name != "uring") ring = std::make_unique<EpollRing>(pools);
  return ring;
}

}  // namespace ringside::perf
