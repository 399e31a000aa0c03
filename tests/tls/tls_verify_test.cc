// Whom we believe: every fault that a certificate may have, on both sides, and what is said about it.
#include "tests/tls/tls_fixture.h"
#include "tls/tls_tickets.h"

namespace ringside::testing {
namespace {

class TlsVerifyTest : public TlsFixture {
 protected:
  // A server that shows `certificate` to a client with `spec`.
  void show(const TestCertificate& certificate, TlsClientSpec spec, const std::string& issuers = {}) {
    reset();
    TlsServerSpec server;
    server.common.certificates.push_back(certificate.spec(issuers));
    shake(must(TlsContext::make_server(std::move(server))), must(TlsContext::make_client(std::move(spec))));
  }
  void expect_refused(const char* word, TlsStat reason) {
    EXPECT_FALSE(client_->shaken);
    EXPECT_TRUE(client_->closed && server_->closed);
    EXPECT_EQ(client_->error.code, ErrorCode::bad_message);
    EXPECT_NE(client_->transport->failure_text().find(word), std::string::npos) << client_->transport->failure_text();
    EXPECT_EQ(client_count(reason), before_[static_cast<size_t>(reason)] + 1);
    EXPECT_EQ(client_count(TlsStat::connection_error), 0);
    for (const TlsStat stat : {TlsStat::fail_verify_error, TlsStat::fail_verify_san, TlsStat::fail_verify_cert_hash})
      before_[static_cast<size_t>(stat)] = client_count(stat);
  }
  // A server that demands a certificate, and a client that shows `certificate` (null: none).
  void ask(TlsServerSpec server, const TestCertificate* certificate, TlsVersion version = TlsVersion::tls1_3) {
    reset();
    TlsClientSpec client = client_spec();
    client.common.version_max = version;
    if (certificate != nullptr) client.common.certificates.push_back(certificate->spec());
    shake(must(TlsContext::make_server(std::move(server))), must(TlsContext::make_client(std::move(client))));
  }
  TlsServerSpec asking_spec() const {
    TlsServerSpec spec = server_spec();
    spec.require_client_certificate = true;
    spec.common.validation.trusted_ca_pem = authority().pem();
    return spec;
  }
  static SanMatcherSpec san(SanType type, TextMatch how, std::string text) { return {type, how, std::move(text), false}; }
  std::array<int64_t, static_cast<size_t>(TlsStat::count_)> before_{};
};
INSTANTIATE_OVER_REAL_RINGS(TlsVerifyTest);

TEST_P(TlsVerifyTest, faults_of_a_server_certificate) {
  show(authority().issue({.starts_in_seconds = -7200, .ends_in_seconds = -3600}), client_spec());
  expect_refused("certificate has expired (depth 0)", TlsStat::fail_verify_error);
  show(authority().issue({.starts_in_seconds = 3600}), client_spec());
  expect_refused("not yet valid", TlsStat::fail_verify_error);
  show(TestCertificate::authority("Somebody else").issue({}), client_spec());
  expect_refused("unable to get local issuer certificate", TlsStat::fail_verify_error);
  show(TestCertificate::self_signed({}), client_spec());
  expect_refused("self-signed certificate", TlsStat::fail_verify_error);
  show(authority().issue({.extended_usage = "clientAuth"}), client_spec());
  expect_refused("purpose", TlsStat::fail_verify_error);
  show(authority().issue({.usage = "keyCertSign"}), client_spec());
  expect_refused("purpose", TlsStat::fail_verify_error);
}

TEST_P(TlsVerifyTest, allowed_to_be_expired) {
  TlsClientSpec spec = client_spec();
  spec.common.validation.allow_expired = true;
  show(authority().issue({.starts_in_seconds = -7200, .ends_in_seconds = -3600}), std::move(spec));
  EXPECT_TRUE(open());
  spec = client_spec();
  spec.common.validation.allow_expired = true;
  show(TestCertificate::authority("Somebody else").issue({.ends_in_seconds = -60}), std::move(spec));
  expect_refused("local issuer", TlsStat::fail_verify_error);
}

TEST_P(TlsVerifyTest, names) {
  const auto with = [&](SanMatcherSpec matcher) {
    TlsClientSpec spec = client_spec();
    spec.common.validation.subject_alt_names.push_back(std::move(matcher));
    return spec;
  };
  const TestCertificate peer =
      authority().issue({.names = "DNS:server.test,DNS:*.wild.test,URI:spiffe://mesh/ns/a/sa/b,IP:10.0.0.1,IP:fd00::1,email:a@b.test"});
  for (const SanMatcherSpec& good : {
           san(SanType::uri, TextMatch::exact, "spiffe://mesh/ns/a/sa/b"), san(SanType::any, TextMatch::exact, "spiffe://mesh/ns/a/sa/b"),
           san(SanType::dns, TextMatch::exact, "SERVER.test"), san(SanType::dns, TextMatch::exact, "a.wild.test"),
           san(SanType::ip, TextMatch::exact, "10.0.0.1"), san(SanType::ip, TextMatch::exact, "fd00::1"),
           san(SanType::email, TextMatch::suffix, "@b.test"), san(SanType::uri, TextMatch::prefix, "spiffe://mesh/"),
           san(SanType::uri, TextMatch::contains, "/sa/"), san(SanType::uri, TextMatch::regex, "spiffe://.*/sa/b")}) {
    show(peer, with(good));
    EXPECT_TRUE(open()) << good.text << client_->transport->failure_text();
  }
  for (const SanMatcherSpec& bad : {
           san(SanType::dns, TextMatch::exact, "spiffe://mesh/ns/a/sa/b"), san(SanType::uri, TextMatch::exact, "spiffe://mesh/ns/a"),
           san(SanType::dns, TextMatch::exact, "a.b.wild.test"), san(SanType::dns, TextMatch::exact, "wild.test"),
           san(SanType::uri, TextMatch::regex, "spiffe://"), san(SanType::ip, TextMatch::exact, "10.0.0.2")}) {
    show(peer, with(bad));
    expect_refused("subject alternative name", TlsStat::fail_verify_san);
  }
  EXPECT_NE(client_->transport->failure_text().find("spiffe://mesh/ns/a/sa/b"), std::string::npos);
}

TEST_P(TlsVerifyTest, the_name_that_was_asked_for) {
  TlsClientSpec spec = client_spec();
  spec.common.validation.match_server_name = true;
  show(leaf(), spec);
  EXPECT_TRUE(open());
  spec.server_name = "other.test";
  show(leaf(), spec);
  expect_refused("server.test", TlsStat::fail_verify_san);
}

// One connection may ask for other names than its context.
TEST_P(TlsVerifyTest, names_of_one_connection) {
  TlsConnectionOptions options;
  options.subject_alt_names = {"spiffe://wanted", "server.test"};
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())), options);
  EXPECT_TRUE(open());
  reset();
  options.subject_alt_names = {"spiffe://wanted"};
  shake(must(TlsContext::make_server(server_spec())), must(TlsContext::make_client(client_spec())), options);
  expect_refused("subject alternative name", TlsStat::fail_verify_san);
}

// "good.test\0.evil.test" and friends, and a line break that would split a header.
TEST_P(TlsVerifyTest, control_characters_in_names) {
  // A SEQUENCE with one dNSName of "a.test", NUL, "b.test"; and one URI of "spiffe://a", CR, LF, "b".
  for (const char* der : {"DER:300F820D612E7465737400622E74657374", "DER:300F860D7370696666653A2F2F610D0A62"}) {
    TlsClientSpec spec = client_spec();
    for (const char* name : {"a.test", "spiffe://a", "b.test"})
      spec.common.validation.subject_alt_names.push_back(san(SanType::any, TextMatch::contains, name));
    show(authority().issue({.names = der}), std::move(spec));
    expect_refused("NUL", TlsStat::fail_verify_san);
    show(authority().issue({.names = der}), client_spec());  // without matchers as well
    expect_refused("NUL", TlsStat::fail_verify_san);
  }
}

TEST_P(TlsVerifyTest, pins) {
  TlsClientSpec spec = client_spec();
  spec.common.validation.certificate_sha256_hex = {std::string(64, '0'), leaf().sha256_hex()};
  show(leaf(), spec);
  EXPECT_TRUE(open());
  spec.common.validation.certificate_sha256_hex = {std::string(64, '0')};
  show(leaf(), spec);
  expect_refused("pinned", TlsStat::fail_verify_cert_hash);
  spec.common.validation.spki_sha256_base64 = {leaf().spki_base64()};  // one of both lists is enough
  show(leaf(), spec);
  EXPECT_TRUE(open());
  // Without an authority a pin is all there is.
  spec.common.validation.trusted_ca_pem.clear();
  show(leaf(), spec);
  EXPECT_TRUE(open());
  EXPECT_TRUE(client_->transport->peer_validated());
  show(authority().issue({}), spec);
  expect_refused("pinned", TlsStat::fail_verify_cert_hash);
}

TEST_P(TlsVerifyTest, accepted_though_untrusted) {
  TlsClientSpec spec = client_spec();
  spec.common.validation.trust_chain = TrustChain::accept_untrusted;
  show(leaf(), spec);
  EXPECT_TRUE(open());
  EXPECT_TRUE(client_->transport->peer_validated());
  show(TestCertificate::self_signed({}), spec);
  EXPECT_TRUE(open());
  EXPECT_FALSE(client_->transport->peer_validated());
  EXPECT_TRUE(client_->transport->peer_certificate() != nullptr);
}

TEST_P(TlsVerifyTest, revocation) {
  const TestCertificate revoked = authority().issue({});
  TlsClientSpec spec = client_spec();
  spec.common.validation.crl_pem = authority().crl({revoked});
  show(leaf(), spec);
  EXPECT_TRUE(open()) << client_->transport->failure_text();
  show(revoked, spec);
  expect_refused("certificate revoked", TlsStat::fail_verify_error);
  // A list within trusted_ca counts as well.
  spec.common.validation.trusted_ca_pem += std::exchange(spec.common.validation.crl_pem, "");
  show(revoked, spec);
  expect_refused("certificate revoked", TlsStat::fail_verify_error);
  spec.common.validation.trusted_ca_pem = authority().pem() + authority().crl({}, -30);
  show(leaf(), spec);
  expect_refused("CRL has expired", TlsStat::fail_verify_error);
}

TEST_P(TlsVerifyTest, chains_and_their_depth) {
  LeafSpec middle;
  middle.common_name = "Middle";
  middle.is_authority = true;
  const TestCertificate intermediate = authority().issue(middle);
  const TestCertificate below = intermediate.issue({});
  TlsClientSpec spec = client_spec();
  show(below, spec, intermediate.pem());
  EXPECT_TRUE(open());
  EXPECT_EQ(client_->chain_pem, below.pem() + intermediate.pem());
  show(below, spec);
  expect_refused("local issuer", TlsStat::fail_verify_error);
  spec.common.validation.depth_max = 0;
  show(below, spec, intermediate.pem());
  expect_refused("chain too long", TlsStat::fail_verify_error);
  // An intermediate may be the anchor.
  spec = client_spec();
  spec.common.validation.trusted_ca_pem = intermediate.pem();
  show(below, spec);
  EXPECT_TRUE(open());
  // A leaf is no authority, whatever it signs.
  show(leaf().issue({.common_name = "below"}), client_spec(), leaf().pem());
  expect_refused("invalid CA certificate", TlsStat::fail_verify_error);
}

TEST_P(TlsVerifyTest, clients) {
  const TestCertificate mesh = authority().issue({.common_name = "client", .names = "URI:spiffe://mesh/ns/a/sa/b"});
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    ask(asking_spec(), &mesh, version);
    ASSERT_TRUE(open());
    EXPECT_TRUE(server_->transport->peer_validated());
    EXPECT_EQ(server_->transport->peer_certificate()->uri_sans, std::vector<std::string>{"spiffe://mesh/ns/a/sa/b"});
    EXPECT_EQ(server_->transport->peer_certificate()->subject, "CN=client");
    EXPECT_EQ(server_->chain_pem, mesh.pem());
    EXPECT_TRUE(url_encoded(server_->transport->peer_pem()).starts_with("-----BEGIN%20CERTIFICATE-----%0AMIIB"));
    const int64_t missing = server_count(TlsStat::fail_verify_no_cert);
    ask(asking_spec(), nullptr, version);
    EXPECT_EQ(server_count(TlsStat::fail_verify_no_cert), missing + 1);
    EXPECT_FALSE(server_->shaken);
    EXPECT_EQ(server_->transport->failure_text(), "TLS_error: peer did not return a certificate");
    const TestCertificate serving = authority().issue({.extended_usage = "serverAuth"});
    ask(asking_spec(), &serving, version);
    EXPECT_NE(server_->transport->failure_text().find("purpose"), std::string::npos);
    EXPECT_FALSE(server_->shaken);
    // The client hears of it, in TLS 1.3 after it took the handshake for done.
    EXPECT_NE(client_->transport->failure_text().find("alert"), std::string::npos);
  }
}

TEST_P(TlsVerifyTest, a_client_certificate_may_be_optional) {
  TlsServerSpec spec = asking_spec();
  spec.require_client_certificate = false;
  ask(spec, nullptr);
  EXPECT_TRUE(open());
  EXPECT_FALSE(server_->transport->peer_validated());
  const TestCertificate stranger = TestCertificate::self_signed({});
  ask(spec, &stranger);
  EXPECT_FALSE(server_->shaken);
  spec.common.validation.subject_alt_names = {san(SanType::uri, TextMatch::prefix, "spiffe://mesh/")};
  ask(spec, nullptr);  // names are wanted, so there must be some
  EXPECT_FALSE(server_->shaken);
}

}  // namespace
}  // namespace ringside::testing
