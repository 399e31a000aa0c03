// Contexts: what is refused and how it reads; versions, ciphers, curves, certificates by name and key; OCSP; tickets; sessions.
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <sstream>

#include "tests/tls/tls_fixture.h"
#include "tls/tls_tickets.h"

namespace ringside::testing {
namespace {

class TlsContextTest : public TlsFixture {
 protected:
  // "field: reason" of a server's spec after `change`.
  std::string refusal(const std::function<void(TlsServerSpec&)>& change) {
    TlsServerSpec spec = server_spec();
    change(spec);
    const TlsContextResult result = TlsContext::make_server(std::move(spec));
    return result ? "accepted" : result.error().text();
  }
  void handshake(TlsServerSpec server, TlsClientSpec client) {
    reset();
    shake(must(TlsContext::make_server(std::move(server))), must(TlsContext::make_client(std::move(client))));
  }
  // A connection that reads until its tickets have come, and offers what `sessions` has. True: it was resumed.
  bool resumes(const TlsContextPtr& server, TlsSessions& sessions, const TlsContextPtr& client) {
    reset();
    TlsConnectionOptions options;
    options.sessions = &sessions;
    shake(server, client, options);
    EXPECT_TRUE(open()) << server_->transport->failure_text() << client_->transport->failure_text();
    run_for(milliseconds(10));
    client_->send("x");
    EXPECT_TRUE(run_until([&] { return server_->received == "x"; }));
    EXPECT_EQ(client_->transport->facts().resumed, server_->transport->facts().resumed);
    return client_->transport->facts().resumed;
  }
};
INSTANTIATE_OVER_REAL_RINGS(TlsContextTest);

TEST_P(TlsContextTest, refusals_name_the_field) {
  const auto certificate = [](auto change) {
    return [change](TlsServerSpec& spec) { change(spec.common.certificates[0]); };
  };
  EXPECT_EQ(refusal([](TlsServerSpec&) {}), "accepted");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.certificates.clear(); }), "tls_certificates: a server needs a certificate");
  EXPECT_EQ(refusal(certificate([](auto& one) { one.chain_pem = "nonsense"; })),
            "tls_certificates[0].certificate_chain: holds no certificate in PEM");
  EXPECT_EQ(refusal(certificate([](auto& one) { one.chain_pem += "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"; }))
                .substr(0, 79),
            "tls_certificates[0].certificate_chain: certificate 2 of the chain cannot be rea");
  EXPECT_EQ(refusal(certificate([](auto& one) { one.private_key_pem = SecretText("nonsense"); })).substr(0, 48),
            "tls_certificates[0].private_key: cannot be read:");
  EXPECT_EQ(refusal(certificate([](auto& one) { one.private_key_pem = SecretText(authority().key_pem()); })),
            "tls_certificates[0].private_key: does not belong to the first certificate of certificate_chain");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.certificates.push_back(authority().issue({.key = TestKey::rsa1024}).spec()); }),
            "tls_certificates[1].private_key: an RSA key needs 2048 bits or more, this one has 1024");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.version_max = TlsVersion::tls1_1; }),
            "tls_params.tls_minimum_protocol_version: is higher than tls_maximum_protocol_version");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.cipher_suites = {"[ECDHE-RSA-AES128-GCM-SHA256|NOT-A-CIPHER]", "NOR-THIS"}; }),
            "tls_params.cipher_suites: this build does not know: NOT-A-CIPHER, NOR-THIS");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.curves = {"P-256", "X25519MLKEM768"}; }),
            "tls_params.ecdh_curves: this build does not know: X25519MLKEM768");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.alpn = {"h2", ""}; }),
            "alpn_protocols: a protocol's name has 1 to 255 bytes, \"\" has 0");
  EXPECT_EQ(refusal([](auto& spec) { spec.common.key_log_path = "/nowhere/at/all"; }),
            "key_log.path: /nowhere/at/all cannot be written: No such file or directory");
  EXPECT_EQ(refusal([](auto& spec) { spec.session_timeout = Duration::zero(); }), "session_timeout: must be between 1 s and 7 days");
  EXPECT_EQ(refusal([](auto& spec) { spec.require_client_certificate = true; }),
            "require_client_certificate: needs a validation_context, or no certificate would ever be accepted");
}

TEST_P(TlsContextTest, refusals_of_a_validation_context) {
  const auto validation = [&](auto change) {
    return refusal([change](TlsServerSpec& spec) { change(spec.common.validation); });
  };
  EXPECT_EQ(validation([](auto& one) { one.trusted_ca_pem = "nonsense"; }),
            "validation_context.trusted_ca: holds no certificate in PEM");
  EXPECT_EQ(validation([](auto& one) { one.crl_pem = authority().pem(); }), "validation_context.crl: holds no revocation list in PEM");
  EXPECT_EQ(validation([](auto& one) {
              one.subject_alt_names = {{SanType::uri, TextMatch::exact, "a", false}, {SanType::uri, TextMatch::regex, "(", false}};
            }),
            "validation_context.match_typed_subject_alt_names[1]: the regular expression \"(\" is not valid: missing ): (");
  EXPECT_EQ(validation([](auto& one) { one.subject_alt_names = {{SanType::uri, TextMatch::exact, "a", false}}; }),
            "validation_context.match_typed_subject_alt_names: needs trusted_ca, or names in a certificate of anybody's making "
            "would count");
  EXPECT_EQ(validation([](auto& one) { one.certificate_sha256_hex = {"12"}; }),
            "validation_context.verify_certificate_hash[0]: a SHA-256 has 64 hexadecimal digits, with or without colons between "
            "the bytes");
  EXPECT_EQ(validation([](auto& one) { one.spki_sha256_base64 = {"12"}; }),
            "validation_context.verify_certificate_spki[0]: a SHA-256 in base64 has 44 characters");
  EXPECT_EQ(validation([](auto& one) { one.match_server_name = true; }),
            "auto_sni_san_validation: needs validation_context.trusted_ca");
}

TEST_P(TlsContextTest, encrypted_keys) {
  const auto with_password = [&](const char* password) {
    return refusal([&](TlsServerSpec& spec) {
      spec.common.certificates[0].private_key_pem = SecretText(leaf().encrypted_key_pem("right"));
      spec.common.certificates[0].password = SecretText(password);
    });
  };
  EXPECT_EQ(with_password("right"), "accepted");
  EXPECT_EQ(with_password(""), "tls_certificates[0].private_key: is encrypted, and there is no password");
  EXPECT_TRUE(with_password("wrong").starts_with("tls_certificates[0].private_key: cannot be decrypted with this password"));
}

TEST_P(TlsContextTest, secrets_are_wiped) {
  std::string text = "-----BEGIN PRIVATE KEY----- a secret that is longer than what a string keeps inside";
  const char* bytes = text.data();
  const size_t size = text.size();
  SecretText secret = SecretText::take(text);
  EXPECT_EQ(std::string(bytes, size), std::string(size, '\0'));
  const char* kept = secret.reveal().data();
  SecretText moved = std::move(secret);
  EXPECT_EQ(moved.reveal().data(), kept);
  EXPECT_EQ(moved.reveal().size(), size);
}

TEST_P(TlsContextTest, versions_ciphers_and_curves) {
  TlsServerSpec server = server_spec();
  server.common.version_max = TlsVersion::tls1_2;
  server.common.cipher_suites = {"[ECDHE-ECDSA-AES256-GCM-SHA384|ECDHE-ECDSA-AES128-GCM-SHA256]"};
  server.common.curves = {"P-384"};
  TlsClientSpec client = client_spec();
  client.common.curves = {"X25519", "P-256", "P-384"};
  handshake(std::move(server), std::move(client));
  ASSERT_TRUE(open());
  EXPECT_EQ(client_->transport->facts().version, "TLSv1.2");
  EXPECT_EQ(client_->transport->facts().cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
  EXPECT_EQ(client_->transport->facts().curve, "P-384");
  EXPECT_EQ(server_count(TlsStat::version_1_2), 1);
  EXPECT_EQ(server_count(TlsStat::cipher_ecdsa_aes256_gcm), 1);
  EXPECT_EQ(server_count(TlsStat::curve_p384), 1);
}

TEST_P(TlsContextTest, old_versions_when_asked_for) {
  for (const TlsVersion version : {TlsVersion::tls1_0, TlsVersion::tls1_1}) {
    TlsServerSpec server = server_spec();
    TlsClientSpec client = client_spec();
    client.common.version_min = client.common.version_max = version;
    client.common.cipher_suites = {"ECDHE-ECDSA-AES128-SHA"};
    handshake(server, client);
    EXPECT_FALSE(server_->shaken);
    EXPECT_EQ(server_->transport->failure_text(), "TLS_error: unsupported protocol");
    EXPECT_NE(client_->transport->failure_text().find("alert protocol version"), std::string::npos);
    server.common.version_min = TlsVersion::tls1_0;
    server.common.cipher_suites = {"ECDHE-ECDSA-AES128-SHA"};
    handshake(server, client);
    EXPECT_TRUE(open()) << server_->transport->failure_text();
  }
}

TEST_P(TlsContextTest, certificates_by_name_and_key) {
  TlsServerSpec server = server_spec();
  for (const LeafSpec& spec : {LeafSpec{.common_name = "rsa", .key = TestKey::rsa2048},
                               LeafSpec{.common_name = "wild", .names = "DNS:*.wild.test"},
                               LeafSpec{.common_name = "exact", .names = "DNS:a.wild.test"},
                               LeafSpec{.common_name = "wild-rsa", .names = "DNS:*.wild.test", .key = TestKey::rsa2048}}) {
    server.common.certificates.push_back(authority().issue(spec).spec());
  }
  const TlsContextPtr context = must(TlsContext::make_server(std::move(server)));
  EXPECT_EQ(context->certificates().size(), 5U);
  const auto shown = [&](const char* name, bool rsa_only) {
    reset();
    TlsClientSpec client = client_spec();
    client.common.version_max = TlsVersion::tls1_2;
    client.server_name = name;
    if (rsa_only) client.common.cipher_suites = {"ECDHE-RSA-AES128-GCM-SHA256"};
    shake(context, must(TlsContext::make_client(std::move(client))));
    EXPECT_TRUE(open()) << server_->transport->failure_text();
    EXPECT_EQ(server_->transport->local_certificate()->sha256, client_->transport->peer_certificate()->sha256);
    return client_->transport->peer_certificate()->subject;
  };
  EXPECT_EQ(shown("server.test", false), "CN=leaf");
  EXPECT_EQ(shown("server.test", true), "CN=rsa");
  EXPECT_EQ(shown("b.wild.test", false), "CN=wild");
  EXPECT_EQ(shown("b.wild.test", true), "CN=wild-rsa");
  EXPECT_EQ(shown("A.wild.test", false), "CN=exact");
  EXPECT_EQ(shown("unknown.test", false), "CN=leaf");
  EXPECT_EQ(shown("", false), "CN=leaf");
}

TEST_P(TlsContextTest, ocsp_policies) {
  const auto with = [&](OcspPolicy policy, const std::string& staple) {
    TlsServerSpec spec = server_spec();
    spec.ocsp_policy = policy;
    spec.common.certificates[0].ocsp_staple_der = staple;
    return spec;
  };
  const auto text = [](TlsServerSpec spec) {
    const TlsContextResult result = TlsContext::make_server(std::move(spec));
    return result ? "accepted" : result.error().text();
  };
  const std::string good = authority().ocsp_good(leaf(), 3600);
  EXPECT_EQ(text(with(OcspPolicy::must_staple, good)), "accepted");
  EXPECT_EQ(text(with(OcspPolicy::must_staple, "")),
            "tls_certificates[0].ocsp_staple: is missing: ocsp_staple_policy is MUST_STAPLE");
  EXPECT_EQ(text(with(OcspPolicy::lenient, "junk")), "tls_certificates[0].ocsp_staple: is not an OCSP response in DER");
  EXPECT_EQ(text(with(OcspPolicy::lenient, authority().ocsp_good(authority().issue({}), 3600))),
            "tls_certificates[0].ocsp_staple: is about another certificate");
  TlsServerSpec marked = server_spec();
  marked.common.certificates[0] = authority().issue({.must_staple = true}).spec();
  EXPECT_EQ(text(marked), "tls_certificates[0].ocsp_staple: is missing: the certificate says that it must be stapled");
}

TEST_P(TlsContextTest, sessions_are_resumed) {
  for (const TlsVersion version : {TlsVersion::tls1_2, TlsVersion::tls1_3}) {
    TlsServerSpec spec = server_spec();
    spec.common.version_max = version;
    const TlsContextPtr server = must(TlsContext::make_server(std::move(spec)));
    const TlsContextPtr client = must(TlsContext::make_client(client_spec()));
    TlsSessions sessions(client, 2);
    EXPECT_FALSE(resumes(server, sessions, client));
    EXPECT_GE(sessions.size(), 1U);
    const int64_t before = server_count(TlsStat::session_reused);
    for (int count = 0; count < 4; ++count) EXPECT_TRUE(resumes(server, sessions, client));
    EXPECT_EQ(server_count(TlsStat::session_reused), before + 4);
    EXPECT_LE(sessions.size(), 2U);
    EXPECT_TRUE(client_->transport->peer_validated());
    EXPECT_TRUE(client_->transport->peer_certificate() != nullptr);
  }
}

TEST_P(TlsContextTest, tickets_across_contexts_and_rotation) {
  const auto keys = [](std::vector<char> marks) {
    std::vector<std::string> secrets;
    for (const char mark : marks) secrets.emplace_back(80, mark);
    return *TlsTicketKeys::make(secrets);
  };
  const auto server = [&](std::shared_ptr<const TlsTicketKeys> ticket_keys) {
    TlsServerSpec spec = server_spec();
    spec.ticket_keys = std::move(ticket_keys);
    return must(TlsContext::make_server(std::move(spec)));
  };
  const TlsContextPtr client = must(TlsContext::make_client(client_spec()));
  TlsSessions sessions(client, 1);
  EXPECT_FALSE(resumes(server(keys({'a'})), sessions, client));
  EXPECT_TRUE(resumes(server(keys({'a'})), sessions, client));       // another context, the same key
  EXPECT_TRUE(resumes(server(keys({'b', 'a'})), sessions, client));  // rotated
  EXPECT_TRUE(resumes(server(keys({'c', 'b'})), sessions, client));
  EXPECT_FALSE(resumes(server(keys({'d'})), sessions, client));
  std::vector<std::string> wrong{std::string(80, 'x'), std::string(79, 'x')};
  EXPECT_EQ(TlsTicketKeys::make(wrong).error().text(), "session_ticket_keys.keys[1]: a key has 80 bytes, this one has 79");
}

// The same keys, but another idea of who the client may be: no resumption, or a check would be passed by.
TEST_P(TlsContextTest, a_ticket_is_bound_to_whom_we_trust) {
  const std::shared_ptr<const TlsTicketKeys> keys = TlsTicketKeys::random();
  const auto server = [&](const std::function<void(TlsServerSpec&)>& change) {
    TlsServerSpec spec = server_spec();
    spec.ticket_keys = keys;
    change(spec);
    return must(TlsContext::make_server(std::move(spec)));
  };
  const TestCertificate mine = authority().issue({.names = "URI:spiffe://a"});
  TlsClientSpec client_with = client_spec();
  client_with.common.certificates.push_back(mine.spec());
  const TlsContextPtr client = must(TlsContext::make_client(std::move(client_with)));
  TlsSessions sessions(client, 1);
  const auto open_to_all = [](TlsServerSpec&) {};
  const auto strict = [](TlsServerSpec& spec) {
    spec.require_client_certificate = true;
    spec.common.validation.trusted_ca_pem = authority().pem();
  };
  const auto named = [&](TlsServerSpec& spec) {
    strict(spec);
    spec.common.validation.subject_alt_names = {{SanType::uri, TextMatch::exact, "spiffe://a", false}};
  };
  EXPECT_FALSE(resumes(server(open_to_all), sessions, client));
  EXPECT_FALSE(resumes(server(strict), sessions, client));
  EXPECT_TRUE(server_->transport->peer_validated());
  EXPECT_TRUE(resumes(server(strict), sessions, client));
  EXPECT_TRUE(server_->transport->peer_validated());
  EXPECT_EQ(server_->transport->peer_certificate()->uri_sans, std::vector<std::string>{"spiffe://a"});
  EXPECT_FALSE(resumes(server(named), sessions, client));
  EXPECT_TRUE(resumes(server(named), sessions, client));
}

TEST_P(TlsContextTest, resumption_off) {
  TlsServerSpec spec = server_spec();
  spec.stateless_resumption = false;
  const TlsContextPtr server = must(TlsContext::make_server(std::move(spec)));
  const TlsContextPtr client = must(TlsContext::make_client(client_spec()));
  TlsSessions sessions(client, 2);
  EXPECT_FALSE(resumes(server, sessions, client));
  EXPECT_FALSE(resumes(server, sessions, client));
  EXPECT_EQ(sessions.size(), 0U);
}

TEST_P(TlsContextTest, key_log) {
  const std::string path = ::testing::TempDir() + "keys-" + std::to_string(::getpid());
  TlsServerSpec spec = server_spec();
  spec.common.key_log_path = path;
  handshake(std::move(spec), client_spec());
  ASSERT_TRUE(open());
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_NE(text.str().find("CLIENT_HANDSHAKE_TRAFFIC_SECRET "), std::string::npos);
  EXPECT_NE(text.str().find("\nSERVER_TRAFFIC_SECRET_0 "), std::string::npos);
  std::remove(path.c_str());
}

TEST_P(TlsContextTest, alpn_without_a_common_protocol_goes_on) {
  TlsServerSpec server = server_spec();
  server.common.alpn = {"h2"};
  TlsClientSpec client = client_spec();
  client.common.alpn = {"istio"};
  handshake(std::move(server), std::move(client));
  ASSERT_TRUE(open());
  EXPECT_EQ(client_->transport->facts().alpn, "");
}

}  // namespace
}  // namespace ringside::testing
