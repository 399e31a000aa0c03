"""MongoDB over TLS and mutual TLS on either leg, with SCRAM going through: what a mesh does for a database."""

import json
import random
import shutil
import types

import harness
import mongo_peers
import pymongo
import pytest
from harness import cluster
from mongo_peers import mongo_listener
from tls_proxy_test import EC, common, downstream, openssl, sign, upstream_tls

LEGS = ["plain", "tls", "mtls"]
TIME = 20_000 * harness.SLOWNESS
USER = {"username": "worker", "password": "secr\u00e9t & long", "authSource": "admin", "authMechanism": "SCRAM-SHA-256"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Certificates: by ca.pem those of proxy, server and client (also both.pem: with its key), by other.pem those of stranger."""
    path = tmp_path_factory.mktemp("certificates")
    for name in ("ca", "other"):
        openssl(path, "req", "-x509", "-newkey", *EC, "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-days", "3", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    for name in ("proxy", "server", "client"):
        sign(path, name, f"DNS:localhost,DNS:{name}.test,IP:127.0.0.1")
        (path / f"{name}_both.pem").write_text((path / f"{name}.pem").read_text() + (path / f"{name}.key").read_text())
    return path


@pytest.fixture(scope="module")
def servers(folder, tmp_path_factory):
    """SecantusDB that wants a password, by leg: in plain text, with TLS, and asking for a certificate."""
    home = tmp_path_factory.mktemp("secantus")
    first = mongo_peers.secantus(home, "--standalone", storage=home / "made")
    with pymongo.MongoClient("127.0.0.1", first.port) as client:
        client.admin.command("createUser", USER["username"], pwd=USER["password"], roles=["root"])
    first.stop()
    tls = ["--tls-cert-file", folder / "server.pem", "--tls-key-file", folder / "server.key"]
    options = {"plain": [], "tls": tls, "mtls": [*tls, "--tls-ca-file", folder / "ca.pem", "--tls-require-client-cert"]}
    started = {}
    for leg in LEGS:
        shutil.copytree(home / "made", home / leg)
        started[leg] = mongo_peers.secantus(tmp_path_factory.mktemp(leg), "--standalone", "--auth", *options[leg], storage=home / leg)
    yield {leg: server.port for leg, server in started.items()}
    for server in started.values():  # each takes its time
        server.process.terminate()
    for server in started.values():
        server.stop()


def upstream_fields(folder, leg):
    if leg == "plain":
        return {}
    return upstream_tls(common(folder, "proxy" if leg == "mtls" else None, "ca", [("DNS", "server.test")]), sni="server.test")


def terminating(folder, listener, leg):
    if leg == "plain":
        return listener
    fields = {"require_client_certificate": True} if leg == "mtls" else {}
    return downstream(listener, common(folder, "proxy", "ca" if leg == "mtls" else None), **fields)


@pytest.fixture(scope="module")
def link(module_proxy, servers, folder):
    """The proxy with a listener for every pair of legs: running, ports {(downstream, upstream): port}, and one that passes TLS on."""
    listeners = [terminating(folder, mongo_listener(harness.free_port(), up, f"{down}_{up}"), down) for down in LEGS for up in LEGS]
    listeners.append(harness.tcp_listener(harness.free_port(), "blind", "blind"))
    clusters = [cluster(up, servers[up], **upstream_fields(folder, up)) for up in LEGS] + [cluster("blind", servers["mtls"])]
    running = module_proxy(listeners, clusters)
    ports = {(down, up): running.listen_ports[f"{down}_{up}"] for down in LEGS for up in LEGS}
    return types.SimpleNamespace(running=running, ports=ports, blind=running.listen_ports["blind"])


def options_of(folder, leg):
    """What a client says for this kind of connection."""
    tls = {"tls": True, "tlsCAFile": str(folder / "ca.pem")}
    return {"plain": {}, "tls": tls, "mtls": tls | {"tlsCertificateKeyFile": str(folder / "client_both.pem")}}[leg]


def connect(port, seconds=TIME / 1000, **options):
    return pymongo.MongoClient("127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=seconds * 1000, socketTimeoutMS=TIME, **options)


def work(client):
    things = client.tls.things
    things.drop()
    things.insert_many([{"_id": number} for number in range(1000)])
    assert sorted(each["_id"] for each in things.find(batch_size=100)) == list(range(1000))
    block = random.Random(1).randbytes(15_000_000)
    things.insert_one({"_id": "block", "data": block})
    assert things.find_one({"_id": "block"})["data"] == block


@pytest.mark.parametrize("up", LEGS)
@pytest.mark.parametrize("down", LEGS)
def test_every_pair_of_legs(link, folder, down, up):
    with connect(link.ports[down, up], **options_of(folder, down), **USER) as client:
        work(client)
        assert client.admin.command("connectionStatus")["authInfo"]["authenticatedUsers"][0]["user"] == USER["username"]
    assert link.running.stat(f"mongo.{down}_{up}.auth.SCRAM-SHA-256.success") > 0


def test_tls_that_is_not_terminated(link, folder):
    with connect(link.blind, **options_of(folder, "mtls"), **USER) as client:
        work(client)


@pytest.mark.parametrize("leg", LEGS)
def test_a_wrong_password(link, folder, leg):
    with connect(link.ports[leg, leg], **options_of(folder, leg), **USER | {"password": "wrong"}) as client, \
            pytest.raises(pymongo.errors.OperationFailure) as error:
        client.tls.things.find_one()
    assert error.value.code == 18
    assert link.running.stat(f"mongo.{leg}_{leg}.auth.SCRAM-SHA-256.failure") > 0
    with connect(link.ports[leg, leg], **options_of(folder, leg)) as client, pytest.raises(pymongo.errors.OperationFailure) as error:
        client.tls.things.find_one()
    assert error.value.code == 13


def test_a_client_without_certificate(link, folder):
    """It gets nowhere, and the others go on."""
    before = sum(link.running.stats(r"^listener\..*\.ssl\.fail_verify_no_cert$").values())
    with connect(link.ports["mtls", "plain"], 0.5, **options_of(folder, "tls"), **USER) as client, \
            pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
        client.tls.things.find_one()
    assert sum(link.running.stats(r"^listener\..*\.ssl\.fail_verify_no_cert$").values()) > before
    with connect(link.ports["mtls", "plain"], **options_of(folder, "mtls"), **USER) as client:
        assert client.admin.command("ping")["ok"] == 1


def test_a_server_of_another_name(proxy, servers, folder):
    """The proxy does not hand the password to whoever answers."""
    strange = upstream_tls(common(folder, None, "ca", [("DNS", "another.test")]), sni="server.test")
    running = proxy([mongo_listener(harness.free_port(), "origin")], [cluster("origin", servers["tls"], **strange)])
    with connect(running.listen_ports["mongo"], 0.5, **USER) as client, pytest.raises(pymongo.errors.ServerSelectionTimeoutError):
        client.tls.things.find_one()
    assert running.stat("cluster.origin.ssl.fail_verify_san") > 0


def test_node_driver_over_mutual_tls(link, folder):
    words = f"tls=true&tlsCAFile={folder}/ca.pem&tlsCertificateKeyFile={folder}/client_both.pem&authMechanism=SCRAM-SHA-256&authSource=admin"
    url = f"mongodb://worker:{'secr%C3%A9t%20%26%20long'}@localhost:{link.ports['mtls', 'mtls']}/?directConnection=true&{words}"
    results = json.loads(mongo_peers.run_node(url, "tls_node", "crud", "cursors", "aggregate", "bulk", "errors", "large"))
    assert results == {"crud": [250, 100, "new", 200], "cursors": [400, 400], "aggregate": [{"_id": None, "sum": 39800}], "bulk": [1, 1, 1],
                       "errors": [11000, 59], "large": True}
