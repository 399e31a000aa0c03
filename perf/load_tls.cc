#include "perf/load_tls.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

namespace ringside::perf {
namespace {

// One connection of a resuming load takes one session and leaves at least another.
constexpr size_t sessions_max = 1024;

std::string text_of(const std::string& path, std::string* why) {
  std::ifstream file(path, std::ios::binary);
  if (!file) *why = fmt::format("{} cannot be read", path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TlsCommonSpec common_spec(const TlsFiles& files, std::string* why) {
  TlsCommonSpec spec;
  spec.version_min = spec.version_max = TlsVersion::tls1_3;
  spec.cipher_suites = {"TLS_AES_128_GCM_SHA256"};
  spec.curves = {"X25519"};
  if (!files.chain.empty()) {
    TlsCertificateSpec& certificate = spec.certificates.emplace_back();
    certificate.chain_pem = text_of(files.chain, why);
    std::string key = text_of(files.key, why);
    certificate.private_key_pem = SecretText::take(key);
  }
  if (!files.client_ca.empty()) spec.validation.trusted_ca_pem = text_of(files.client_ca, why);
  return spec;
}

TlsContextPtr checked(TlsContextResult made, std::string* why) {
  if (made) return *made;
  *why = made.error().text();
  return nullptr;
}

}  // namespace

std::unique_ptr<ClientTls> ClientTls::make(const TlsFiles& files, Resumption resumption, std::string alpn,
                                           std::string* why) {
  TlsClientSpec spec;
  spec.common = common_spec(files, why);
  spec.common.alpn.push_back(std::move(alpn));
  spec.server_name = "bench.test";
  if (!why->empty()) return nullptr;
  TlsContextPtr context = checked(TlsContext::make_client(std::move(spec)), why);
  if (context == nullptr) return nullptr;
  std::unique_ptr<ClientTls> tls(new ClientTls(std::move(context)));
  if (resumption == Resumption::always) tls->sessions_ = std::make_unique<TlsSessions>(tls->context_, sessions_max);
  return tls;
}

std::unique_ptr<TlsTransport> ClientTls::wrap(Worker& worker, std::unique_ptr<Transport> below, TlsUser& user) {
  return std::make_unique<TlsTransport>(worker, context_, std::move(below),
                                        TlsConnectionOptions{.user = &user, .sessions = sessions_.get()});
}

TlsContextPtr make_server_tls(const TlsFiles& files, std::string* why) {
  TlsServerSpec spec;
  spec.common = common_spec(files, why);
  spec.require_client_certificate = !files.client_ca.empty();
  if (!why->empty()) return nullptr;
  return checked(TlsContext::make_server(std::move(spec)), why);
}

}  // namespace ringside::perf
