"""Peers of TLS that are wrong on purpose, on both legs of a running proxy; certificates by name and key, OCSP staples over the wire."""

import contextlib
import os
import re
import socket
import ssl
import subprocess
import time

import harness
import pytest
from harness import answering, cluster, http_listener, route
from tls_proxy_test import EC, TIME, client_context, common, connect, downstream, echo_head, get, get_tls, openssl, over_tls, pair, server_context, text_log, upstream_tls

LEAF = "keyUsage=digitalSignature\nbasicConstraints=CA:FALSE\n"
NAMES = "DNS:server.test,DNS:client.test,IP:127.0.0.1"


def issue(folder, name, names=NAMES, issuer="ca", key=EC, extra="", dates=("20200101000000Z", "20400101000000Z")):
    """With any dates, which `openssl x509` cannot do."""
    (folder / f"{name}.ext").write_text(f"{LEAF}subjectAltName={names}\n{extra}")
    openssl(folder, "req", "-newkey", *key, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    openssl(folder, "ca", "-batch", "-config", f"{issuer}.cnf", "-in", f"{name}.csr", "-out", f"{name}.pem", "-extfile", f"{name}.ext", "-notext",
            "-startdate", dates[0], "-enddate", dates[1], "-keyfile", f"{issuer}.key", "-cert", f"{issuer}.pem")


def stamp(days):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(time.time() + days * 86400))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("hostile")
    for name in ("ca", "other"):
        openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}", "-days", "30",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        (path / f"{name}.index").write_text("")
        (path / f"{name}.serial").write_text("1000\n")
        (path / f"{name}.cnf").write_text(
            f"[ca]\ndefault_ca=x\n[x]\ndatabase={name}.index\nserial={name}.serial\nnew_certs_dir=.\ndefault_md=sha256\ndefault_crl_days=20\n"
            "policy=any\nunique_subject=no\n[any]\ncommonName=supplied\n")
    for name in ("good", "revoked"):
        issue(path, name)
    issue(path, "expired", dates=(stamp(-9), stamp(-1)))
    issue(path, "early", dates=(stamp(1), stamp(9)))
    issue(path, "wrong_name", "DNS:elsewhere.test")
    issue(path, "wrong_ca", issuer="other")
    # One name of "server.test", NUL, ".evil.test", and one of an IP that is right.
    issue(path, "nul", "DER:301A8218" + b"server.test\0.evil.test\0x".hex())
    issue(path, "by_rsa", "DNS:server.test", key=["rsa:2048"])
    issue(path, "named", "DNS:named.test,DNS:*.wild.test")
    issue(path, "named_rsa", "DNS:named.test", key=["rsa:2048"])
    openssl(path, "ca", "-config", "ca.cnf", "-revoke", "revoked.pem", "-keyfile", "ca.key", "-cert", "ca.pem")
    openssl(path, "ca", "-config", "ca.cnf", "-gencrl", "-keyfile", "ca.key", "-cert", "ca.pem", "-out", "ca.crl")
    return path


WRONG = {"expired": "certificate has expired", "early": "certificate is not yet valid", "revoked": "certificate revoked",
         "wrong_ca": "unable to get local issuer certificate", "wrong_name": "subject alternative name", "nul": "NUL"}


def validation(folder, name):
    return {"trusted_ca": {"filename": str(folder / "ca.pem")}, "crl": {"filename": str(folder / "ca.crl")},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": name}}]}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_wrong_clients(proxy, upstream, folder, tmp_path, version):
    log = tmp_path / "access.log"
    origin = upstream(answering(echo_head))
    context = {"tls_certificates": [pair(folder, "good")], "validation_context": validation(folder, "client.test")}
    listener = downstream(http_listener(harness.free_port(), [route()], access_log=[text_log(log, "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%")]), context,
                          require_client_certificate=True)
    running = proxy([listener], [cluster("origin", origin.port)])
    port = running.listen_ports["http"]
    for name in ("good", *WRONG, None):
        client = client_context(folder, name)
        client.maximum_version = version
        answered = False
        with contextlib.suppress(OSError, AssertionError), connect(client, port) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            answered = harness.receive_response(peer).status == 200
        assert answered == (name == "good"), name
    assert origin.accepted == 1
    stats = {name.rsplit("ssl.", 1)[1]: value for name, value in running.stats(r"^listener\.127.*ssl\.fail_verify").items()}
    assert stats == {"fail_verify_cert_hash": 0, "fail_verify_error": 4, "fail_verify_no_cert": 1, "fail_verify_san": 2}


@pytest.mark.parametrize("show", ["good", *WRONG])
def test_wrong_origins(proxy, upstream, folder, tmp_path, show):
    log = tmp_path / "access.log"
    asked = []

    def answer(head, body):
        asked.append(head)
        return echo_head(head, body)

    server = upstream(over_tls(server_context(folder, show), answering(answer)))
    target = cluster("origin", server.port, **upstream_tls({"validation_context": validation(folder, "server.test")}, sni="server.test"))
    running = proxy([http_listener(harness.free_port(), [route()], access_log=[text_log(log, "%UPSTREAM_TRANSPORT_FAILURE_REASON%")])], [target])
    response = get(running.listen_ports["http"])
    if show == "good":
        assert response.status == 200
        return
    assert response.status == 503 and not asked
    assert WRONG[show] in harness.wait_until(lambda: log.exists() and log.read_text(), "it is logged").replace("_", " ")


# --- Handshakes --------------------------------------------------------------------------------------------------------


def https(proxy, upstream, folder, common_fields=None, **fields):
    context = {"tls_certificates": [pair(folder, "good")], **(common_fields or {})}
    running = proxy([downstream(http_listener(harness.free_port(), [route()]), context, **fields)], [cluster("origin", upstream(answering(echo_head)).port)])
    return running, running.listen_ports["http"]


def s_client(folder, port, *words, data=b"", seconds=None):
    with subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", folder / "ca.pem", *words], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        if data or seconds:
            process.stdin.write(data)
            process.stdin.flush()
            time.sleep(seconds or 0.5)
        with contextlib.suppress(BrokenPipeError):
            return process.communicate(timeout=TIME)[0].decode(errors="replace")
        return process.stdout.read().decode(errors="replace")


def recorded_hello(version=ssl.TLSVersion.TLSv1_3):
    """The first bytes of a client of OpenSSL."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="server.test").do_handshake()
    return outgoing.read()


def drain(peer):
    data = b""
    with contextlib.suppress(OSError):
        while more := peer.recv(65536):
            data += more
    return data


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_plaintext_behind_the_hello_is_not_taken(proxy, upstream, folder, version):
    """Neither bytes nor a record of plaintext data, before the handshake is over, ever reach the origin."""
    running, port = https(proxy, upstream, folder)
    request = b"GET /injected HTTP/1.1\r\nhost: a\r\n\r\n"
    for injected in (request, b"\x17\x03\x03" + len(request).to_bytes(2, "big") + request):
        with harness.connect(port) as peer:
            peer.sendall(recorded_hello(version) + injected)
            peer.settimeout(TIME)
            assert b"HTTP/1.1" not in drain(peer)
    assert running.stat("http.http.downstream_rq_total") == 0
    assert running.stat("cluster.origin.upstream_rq_total") == 0
    assert get_tls(folder, port).status == 200


def test_truncated_handshakes(proxy, upstream, folder):
    """Cut at every sixteenth byte: by FIN and by RST. Nothing stays."""
    running, port = https(proxy, upstream, folder)
    assert get_tls(folder, port).status == 200
    hello = recorded_hello()
    for at in range(0, len(hello), 16):
        for reset in (False, True):
            with harness.connect(port) as peer:
                peer.sendall(hello[:at])
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    harness.wait_until(lambda: running.stat("http.http.downstream_cx_active") == 0, "all are gone")
    assert get_tls(folder, port).status == 200


def test_downgrades(proxy, upstream, folder):
    running, port = https(proxy, upstream, folder)
    for words in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1_2", "-cipher", "NULL:eNULL:aNULL:@SECLEVEL=0"],
                  ["-tls1_2", "-cipher", "AES128-SHA:RC4:DES:@SECLEVEL=0"]):
        out = s_client(folder, port, *words)
        assert "Cipher is (NONE)" in out or "no ciphers available" in out or "no cipher match" in out, (words, out)
    # A client that falls back says so, and must not get away with it (RFC 7507).
    assert "inappropriate fallback" in s_client(folder, port, "-tls1_2", "-fallback_scsv")
    assert running.stat("http.http.downstream_rq_total") == 0


def test_renegotiation_is_refused(proxy, upstream, folder):
    running, port = https(proxy, upstream, folder)
    started = time.monotonic()
    for _ in range(5):
        out = s_client(folder, port, "-tls1_2", data=b"R\nR\nR\nR\n", seconds=0.3)
        assert "RENEGOTIATING" in out and ("no renegotiation" in out or "ssl handshake failure" in out), out
    assert running.stat("http.http.downstream_rq_total") == 0
    assert running.cpu_seconds() < 2 * harness.SLOWNESS and time.monotonic() - started < 60 * harness.SLOWNESS
    assert get_tls(folder, port).status == 200


def test_an_origin_that_renegotiates(proxy, upstream, folder):
    """A server that asks for it again and again is not answered with handshakes."""
    port = harness.free_port()
    with subprocess.Popen(["openssl", "s_server", "-accept", str(port), "-cert", folder / "good.pem", "-key", folder / "good.key", "-tls1_2", "-quiet", "-naccept", "1"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as server:
        harness.wait_until(lambda: listens(port), "openssl s_server listens")
        target = cluster("origin", port, **upstream_tls(common(folder, ca="ca"), sni="server.test"))
        running = proxy([http_listener(harness.free_port(), [route(timeout="2s")])], [target])
        with harness.connect(running.listen_ports["http"]) as client:
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            time.sleep(0.3)
            with contextlib.suppress(BrokenPipeError):
                server.stdin.write(b"R\nR\n")
                server.stdin.flush()
            client.settimeout(TIME)
            assert harness.receive_response(client).status in (502, 503, 504)
        server.kill()
    assert running.stat("cluster.origin.ssl.handshake") == 1


def listens(port):
    """Without connecting, which would use up the one connection that it takes."""
    wanted = f":{port:04X}"
    with open("/proc/net/tcp", encoding="ascii") as table:
        lines = [line.split() for line in table.readlines()[1:]]
    with open("/proc/net/tcp6", encoding="ascii") as table:
        lines += [line.split() for line in table.readlines()[1:]]
    return any(line[1].endswith(wanted) and line[3] == "0A" for line in lines)


def test_a_flood_of_tickets(proxy, upstream, folder):
    """Tickets that nobody of us has sealed cost a full handshake, and memory does not grow."""
    running, port = https(proxy, upstream, folder)
    context = client_context(folder)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert get_tls(folder, port).status == 200
    other, other_port = https(proxy, upstream, folder)
    sessions = []
    for _ in range(20):
        with connect(context, other_port) as peer:
            sessions.append(peer.session)
    for session in sessions * 5:
        with connect(context, port, session) as peer:
            assert not peer.session_reused
    before = running.rss_bytes()
    for session in sessions * 20:
        with connect(context, port, session) as peer:
            assert not peer.session_reused
    assert running.rss_bytes() < before + 4_000_000
    assert other.stat("server.live") == 1


# --- Certificates by name and key --------------------------------------------------------------------------------------


def subject(folder, port, *words):
    out = s_client(folder, port, *words)
    found = re.search(r"subject=CN ?= ?(\S+)", out)
    return found[1] if found else out


def test_certificates_by_name_and_key(proxy, upstream, folder):
    """openssl s_client asks for names and kinds of key."""
    names = ["good", "by_rsa", "named", "named_rsa"]
    running, port = https(proxy, upstream, folder, {"tls_certificates": [pair(folder, name) for name in names]}, full_scan_certs_on_sni_mismatch=True)
    rsa13, rsa12 = ["-sigalgs", "rsa_pss_rsae_sha256", "-tls1_3"], ["-cipher", "ECDHE-RSA-AES128-GCM-SHA256", "-tls1_2"]
    ec12 = ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-tls1_2"]
    for words, expected in [([], "good"), (rsa13, "by_rsa"), (rsa12, "by_rsa"), (ec12, "good"), (["-servername", "named.test"], "named"),
                            (["-servername", "named.test", *rsa13], "named_rsa"), (["-servername", "named.test", *rsa12], "named_rsa"),
                            (["-servername", "NAMED.test", *ec12], "named"), (["-servername", "a.wild.test"], "named"),
                            (["-servername", "a.b.wild.test"], "good"), (["-servername", "unheard.test", *rsa12], "by_rsa")]:
        assert subject(folder, port, *words) == expected, words
    assert running.stat("http.http.downstream_cx_total") == 11


# --- OCSP --------------------------------------------------------------------------------------------------------------


def staple(folder, name, into, *when):
    openssl(folder, "ocsp", "-index", "ca.index", "-rsigner", "ca.pem", "-rkey", "ca.key", "-CA", "ca.pem", "-issuer", "ca.pem", "-cert", f"{name}.pem",
            "-respout", into, "-noverify", *when)
    return into


def stapled(folder, name, into):
    return {**pair(folder, name), "ocsp_staple": {"filename": str(into)}}


def test_a_staple_is_sent_and_renewed(proxy, upstream, folder, tmp_path):
    path = staple(folder, "good", tmp_path / "staple.der", "-ndays", "2")
    running, port = https(proxy, upstream, folder, {"tls_certificates": [stapled(folder, "good", path)]})
    for version in ("-tls1_2", "-tls1_3"):
        out = s_client(folder, port, "-status", version)
        assert "OCSP Response Status: successful" in out and "Cert Status: good" in out, out
    next_update = re.search(r"Next Update: (.*)", out)[1]
    assert "OCSP response: no response sent" not in out and "OCSP" not in s_client(folder, port, "-tls1_2")
    staple(folder, "good", tmp_path / "new.der", "-ndays", "5")
    os.rename(tmp_path / "new.der", path)
    harness.wait_until(lambda: re.search(r"Next Update: (.*)", s_client(folder, port, "-status"))[1] != next_update, "the new one is sent", 10)
    stats = {name.rsplit("ssl.", 1)[1]: value for name, value in running.stats(r"^listener\.127.*ssl\.ocsp").items()}
    assert stats["ocsp_staple_responses"] >= 3 and stats["ocsp_staple_failed"] == 0


@pytest.mark.parametrize(("policy", "answered", "sent"), [("LENIENT_STAPLING", True, False), ("STRICT_STAPLING", False, False), ("MUST_STAPLE", False, False)])
def test_an_old_staple(proxy, upstream, folder, tmp_path, policy, answered, sent):
    path = staple(folder, "good", tmp_path / "staple.der")  # without a next update: good when it was made, and not after
    running, port = https(proxy, upstream, folder, {"tls_certificates": [stapled(folder, "good", path)]}, ocsp_staple_policy=policy)
    time.sleep(1.1)
    out = s_client(folder, port, "-status")
    assert ("Cert Status: good" in out) == sent
    assert ("subject=CN" in out.replace(" ", "")) == answered, out
    assert "subject=CN" in s_client(folder, port).replace(" ", "")  # whoever does not ask is served, as by Envoy


def test_a_staple_of_another_certificate_is_refused(proxy, folder, tmp_path):
    path = staple(folder, "revoked", tmp_path / "staple.der", "-ndays", "2")
    listener = downstream(http_listener(harness.free_port(), [route()]), {"tls_certificates": [stapled(folder, "good", path)]})
    running = proxy([listener], [cluster("origin", 1)], wait=False, expect_exit=1)
    assert running.process.wait(TIME) == 1
    assert re.search(r"bootstrap\.json:\d+:\d+: .*ocsp_staple: is about another certificate", running.log), running.log
