#include "proxy/client_cert.h"

#include <string_view>
#include <vector>

namespace ringside {
namespace {

class Element {
 public:
  void add(std::string_view key, std::string_view value) {
    if (!text_.empty()) text_ += ';';
    text_.append(key).append("=").append(value);
  }
  void add_all(std::string_view key, const std::vector<std::string>& values) {
    for (const std::string& value : values) add(key, value);
  }
  void add_quoted(std::string_view key, const std::string& value) { add(key, '"' + value + '"'); }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string client_cert_text(const TlsTransport& tls, const ClientCertSpec& spec) {
  if (spec.how != ForwardClientCert::append_forward && spec.how != ForwardClientCert::sanitize_set) return {};
  Element element;
  const CertificateInfo& peer = *tls.peer_certificate();
  if (const CertificateInfo* own = tls.local_certificate()) element.add_all("By", own->uri_sans);
  element.add("Hash", peer.sha256);
  if (spec.cert) element.add_quoted("Cert", url_encoded(tls.peer_pem()));
  if (spec.chain) element.add_quoted("Chain", url_encoded(tls.peer_chain_pem()));
  if (spec.subject) element.add_quoted("Subject", peer.subject);
  if (spec.uri) element.add_all("URI", peer.uri_sans.empty() ? std::vector<std::string>{""} : peer.uri_sans);
  if (spec.dns) element.add_all("DNS", peer.dns_sans);
  return element.take();
}

}  // namespace ringside
