"""Requests on the edge of HTTP/1.1 and over it: what a parser must refuse, or understand in one way only.

A table, so that the hostile tests and the comparison with Envoy read the same bytes.
"""

HOST = b"host: a.example\r\n"


def head(*lines, start=b"POST / HTTP/1.1", host=HOST):
    return start + b"\r\n" + host + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def get(*lines, host=HOST, target=b"/"):
    return head(*lines, start=b"GET " + target + b" HTTP/1.1", host=host)


CHUNKED = b"transfer-encoding: chunked"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: a.example\r\n\r\n"


def body_chunks(first):
    return head(CHUNKED) + first


# Two readers would see two different messages: never forwarded by anybody.
AMBIGUOUS = {
    "content-length and chunked": head(b"content-length: 5", CHUNKED) + b"0\r\n\r\n" + SMUGGLED,
    "chunked and content-length": head(CHUNKED, b"content-length: 5") + b"0\r\n\r\n" + SMUGGLED,
    "chunked and zero content-length": head(CHUNKED, b"content-length: 0") + b"0\r\n\r\n" + SMUGGLED,
    "two lengths that differ": head(b"content-length: 5", b"content-length: 6") + b"hello!",
    "a list of lengths that differ": head(b"content-length: 5, 6") + b"hello!",
    "length with a plus": head(b"content-length: +5") + b"hello",
    "negative length": head(b"content-length: -1"),
    "length in hex": head(b"content-length: 0x5") + b"hello",
    "length with a space inside": head(b"content-length: 1 0") + b"0123456789",
    "empty length": head(b"content-length: "),
    "length with letters": head(b"content-length: 5a") + b"hello",
    "length beyond 64 bits": head(b"content-length: 18446744073709551617") + b"x",
    "length with a fraction": head(b"content-length: 5.0") + b"hello",
    "chunked twice": head(CHUNKED, CHUNKED) + b"0\r\n\r\n" + SMUGGLED,
    "chunked twice in a list": head(b"transfer-encoding: chunked, chunked") + b"0\r\n\r\n" + SMUGGLED,
    "chunked before another coding": head(b"transfer-encoding: chunked, identity") + b"0\r\n\r\n" + SMUGGLED,
    "unknown coding": head(b"transfer-encoding: xchunked") + b"0\r\n\r\n" + SMUGGLED,
    "coding identity": head(b"transfer-encoding: identity") + SMUGGLED,
    "identity and length": head(b"transfer-encoding: identity", b"content-length: 5") + b"hello",
    "empty coding": head(b"transfer-encoding: ") + b"0\r\n\r\n" + SMUGGLED,
    "coding with a parameter": head(b"transfer-encoding: chunked;a=b") + b"0\r\n\r\n" + SMUGGLED,
    "coding in quotes": head(b'transfer-encoding: "chunked"') + b"0\r\n\r\n" + SMUGGLED,
    "coding with a vertical tab": head(b"transfer-encoding: \x0bchunked") + b"0\r\n\r\n" + SMUGGLED,
    "coding behind a folded line": head(b"transfer-encoding:\r\n chunked") + b"0\r\n\r\n" + SMUGGLED,
    "space before the colon of the coding": head(b"transfer-encoding : chunked", b"content-length: 5") + b"0\r\n\r\n",
    "space before the colon": get(b"x-a : b"),
    "tab before the colon": get(b"x-a\t: b"),
    "space before the name": get(b" x-a: b"),
    "first field begins with a space": b"GET / HTTP/1.1\r\n host: a.example\r\n\r\n",
    "folded field": get(b"x-a: b\r\n c"),
    "folded with a tab": get(b"x-a: b\r\n\tc"),
    "name without colon": get(b"x-a"),
    "empty name": get(b": value"),
    "NUL in a value": get(b"x-a: b\x00c"),
    "NUL in a name": get(b"x-\x00a: b"),
    "CR in a value": get(b"x-a: b\rc: d"),
    "control character in a value": get(b"x-a: b\x01c"),
    "DEL in a value": get(b"x-a: b\x7fc"),
    "space in a name": get(b"x a: b"),
    "bracket in a name": get(b"x(a: b"),
    "non-ASCII name": get(b"x-\xe4: b"),
    "bare LF after the start line": b"GET / HTTP/1.1\nhost: a.example\r\n\r\n",
    "bare LF after a field": b"GET / HTTP/1.1\r\nhost: a.example\nx-a: b\r\n\r\n",
    "bare LF at the end": b"GET / HTTP/1.1\r\nhost: a.example\r\n\n",
    "CR CR LF": b"GET / HTTP/1.1\r\nhost: a.example\r\r\n\r\n",
    "only bare CR": b"GET / HTTP/1.1\rhost: a.example\r\r",
}

# Hosts and targets.
AUTHORITIES = {
    "no host": get(host=b""),
    "two hosts": get(b"host: b.example"),
    "two equal hosts": get(b"host: a.example"),
    "empty host": get(host=b"host: \r\n"),
    "host with userinfo": get(host=b"host: user@a.example\r\n"),
    "host with a path": get(host=b"host: a.example/path\r\n"),
    "host with a query": get(host=b"host: a.example?q\r\n"),
    "host with a space": get(host=b"host: a.exa mple\r\n"),
    "host list": get(host=b"host: a.example, b.example\r\n"),
    "port with letters": get(host=b"host: a.example:80x\r\n"),
    "port too large": get(host=b"host: a.example:99999\r\n"),
    "two ports": get(host=b"host: a.example:80:81\r\n"),
    "open bracket": get(host=b"host: [::1\r\n"),
    "host with a backslash": get(host=b"host: a\\b\r\n"),
    "host with a percent": get(host=b"host: a%00b\r\n"),
    "host with non-ASCII": get(host=b"host: \xc3\xa4.example\r\n"),
    "host with an asterisk": get(host=b"host: *\r\n"),
    "host with an underscore": get(host=b"host: a_b.example\r\n"),
    "empty port": get(host=b"host: a.example:\r\n"),
    "absolute target and another host": get(target=b"http://b.example/"),
    "absolute target with userinfo": get(target=b"http://user:secret@a.example/"),
    "absolute target with a bad port": get(target=b"http://a.example:x/"),
    "absolute target of another scheme": get(target=b"ftp://a.example/"),
    "absolute target without authority": get(target=b"http:///path"),
    "absolute target without path": get(target=b"http://b.example"),
    "target without slash": get(target=b"path"),
    "target with a fragment": get(target=b"/a#b"),
    "target with a space": b"GET /a b HTTP/1.1\r\n" + HOST + b"\r\n",
    "target with a NUL": get(target=b"/a\x00b"),
    "target with a tab": get(target=b"/a\tb"),
    "target with non-ASCII": get(target=b"/\xe4"),
    "asterisk of a GET": get(target=b"*"),
    "authority of a GET": get(target=b"a.example:80"),
    "connect to a path": head(start=b"CONNECT /path HTTP/1.1"),
    "options asterisk": head(start=b"OPTIONS * HTTP/1.1"),
}

# Start lines and the rest.
START_LINES = {
    "version 2.0": head(start=b"GET / HTTP/2.0"),
    "version 1.2": head(start=b"GET / HTTP/1.2"),
    "version 0.9": head(start=b"GET / HTTP/0.9"),
    "version 1.1 with zeros": head(start=b"GET / HTTP/01.1"),
    "lower case version": head(start=b"GET / http/1.1"),
    "no version": head(start=b"GET /"),
    "two spaces": head(start=b"GET  / HTTP/1.1"),
    "space at the end": head(start=b"GET / HTTP/1.1 "),
    "tab as separator": head(start=b"GET\t/\tHTTP/1.1"),
    "lower case method": head(start=b"get / HTTP/1.1"),
    "unknown method": head(start=b"FROBNICATE / HTTP/1.1"),
    "method with a colon": head(start=b"GE:T / HTTP/1.1"),
    "empty method": head(start=b" / HTTP/1.1"),
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "garbage without an end of line": b"\x00\x01\x02\x03\x04\x05\x06\x07",
    "empty lines first": b"\r\n\r\n" + get(),
    "a bare LF first": b"\n" + get(),
    "a letter after the request": get() + b"x",
    "equal lengths twice": head(b"content-length: 5", b"content-length: 5") + b"hello",
    "equal lengths in a list": head(b"content-length: 5, 5") + b"hello",
    "length with leading zeros": head(b"content-length: 0005") + b"hello",
    "coding in upper case": head(b"transfer-encoding: CHUNKED") + b"0\r\n\r\n",
    "coding with spaces around": head(b"transfer-encoding: \t chunked \t") + b"0\r\n\r\n",
    "a second coding": head(b"transfer-encoding: gzip, chunked") + b"0\r\n\r\n",
    "body with a GET": get(b"content-length: 5") + b"hello",
    "expectation unknown": head(b"expect: something", b"content-length: 2") + b"ab",
    "field with a value of spaces": get(b"x-a:    "),
    "length and a nominated length": head(b"connection: content-length", b"content-length: 5") + b"hello",
    "upgrade to websocket": get(b"connection: upgrade", b"upgrade: websocket"),
    "upgrade to h2c": get(b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: AAMAAABk"),
    "trailing spaces of a value": get(b"x-a: b  \t "),
    "long method": head(start=b"A" * 300 + b" / HTTP/1.1"),
}

CHUNK_SIZES = {
    "chunk size with 0x": body_chunks(b"0x5\r\nhello\r\n0\r\n\r\n"),
    "negative chunk size": body_chunks(b"-5\r\nhello\r\n0\r\n\r\n"),
    "chunk size with a plus": body_chunks(b"+5\r\nhello\r\n0\r\n\r\n"),
    "empty chunk size": body_chunks(b"\r\nhello\r\n0\r\n\r\n"),
    "chunk size of letters": body_chunks(b"xyz\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 17 digits": body_chunks(b"10000000000000005\r\nhello\r\n0\r\n\r\n"),
    "chunk size of 16 f": body_chunks(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
    "space before a chunk size": body_chunks(b" 5\r\nhello\r\n0\r\n\r\n"),
    "space after a chunk size": body_chunks(b"5 \r\nhello\r\n0\r\n\r\n"),
    "underscore in a chunk size": body_chunks(b"0_5\r\nhello\r\n0\r\n\r\n"),
    "chunk size ended by LF": body_chunks(b"5\nhello\r\n0\r\n\r\n"),
    "chunk size ended by CR": body_chunks(b"5\rhello\r\n0\r\n\r\n"),
    "chunk data ended by LF": body_chunks(b"5\r\nhello\n0\r\n\r\n"),
    "chunk data not ended": body_chunks(b"5\r\nhello0\r\n\r\n"),
    "chunk data too long": body_chunks(b"5\r\nhello!\r\n0\r\n\r\n"),
    "last chunk ended by LF": body_chunks(b"5\r\nhello\r\n0\n\r\n"),
    "end of trailers by LF": body_chunks(b"5\r\nhello\r\n0\r\n\n"),
    "chunk extension with LF": body_chunks(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk extension with NUL": body_chunks(b"5;a=\x00\r\nhello\r\n0\r\n\r\n"),
    "long chunk extension": body_chunks(b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n"),
    "chunk extension": body_chunks(b"5;name=value\r\nhello\r\n0\r\n\r\n"),
    "quoted chunk extension": body_chunks(b'5;name="a;b"\r\nhello\r\n0\r\n\r\n'),
    "chunk size with leading zeros": body_chunks(b"0000005\r\nhello\r\n00\r\n\r\n"),
    "trailer with a NUL": body_chunks(b"5\r\nhello\r\n0\r\nx-a: \x00\r\n\r\n"),
    "trailer without colon": body_chunks(b"5\r\nhello\r\n0\r\nx-a\r\n\r\n"),
    "folded trailer": body_chunks(b"5\r\nhello\r\n0\r\nx-a: b\r\n c\r\n\r\n"),
    "length as trailer": body_chunks(b"5\r\nhello\r\n0\r\ncontent-length: 9\r\n\r\n"),
    "coding as trailer": body_chunks(b"5\r\nhello\r\n0\r\ntransfer-encoding: chunked\r\n\r\n"),
}

REQUESTS = AMBIGUOUS | AUTHORITIES | START_LINES | CHUNK_SIZES
