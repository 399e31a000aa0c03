// What must be refused, on requests and on responses, and with what; and its neighbours that must pass. Each row is also fed
// byte by byte: how the bytes arrive changes nothing.
#include <gtest/gtest.h>

#include "tests/codecs/h1_harness.h"

namespace ringside::h1_test {
namespace {

using namespace std::string_literals;

struct Row {
  const char* name;
  std::string bytes;
  uint16_t status;     // 0: accepted (requests)
  const char* detail;  // "" : accepted
};

std::string get(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"; }
std::string post(const std::string& fields, const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n" + body;
}
std::string chunked(const std::string& body) { return post("Transfer-Encoding: chunked\r\n", body); }
std::string line(const std::string& text) { return text + "\r\nHost: a\r\n\r\n"; }
std::string target(const std::string& text) { return line("GET " + text + " HTTP/1.1"); }
std::string host(const std::string& text) { return "GET / HTTP/1.1\r\nHost:" + text + "\r\n\r\n"; }

constexpr const char* bad_field = "invalid header field";
constexpr const char* bad_name = "invalid character in a field name";
constexpr const char* bad_line = "invalid request line";
constexpr const char* no_crlf = "line does not end in CRLF";
constexpr const char* bad_target = "invalid request target";
constexpr const char* bad_host = "invalid host";
constexpr const char* bad_length = "invalid content-length";
constexpr const char* bad_coding = "transfer-encoding is not exactly chunked";
constexpr const char* bad_size = "chunk size is no hexadecimal number";
constexpr const char* two_lengths = "more than one message length";
constexpr const char* inside = "control character or line end inside of a line";

std::vector<Row> request_lines() {
  return {
      {"plain", line("GET / HTTP/1.1"), 0, ""},
      {"empty line in front", "\r\n" + get(""), 0, ""},
      {"two empty lines in front", "\r\n\r\n" + get(""), 400, inside},
      {"LF in front", "\n" + get(""), 400, inside},
      {"CR in front", "\r" + get(""), 400, no_crlf},
      {"space in front", " " + get(""), 400, "unknown method"},
      {"two spaces before the target", line("GET  / HTTP/1.1"), 400, bad_line},
      {"tab before the target", line("GET\t/ HTTP/1.1"), 400, "unknown method"},
      {"two spaces before the version", line("GET /  HTTP/1.1"), 400, bad_line},
      {"space after the version", line("GET / HTTP/1.1 "), 400, bad_line},
      {"no target", line("GET HTTP/1.1"), 400, bad_target},
      {"no version", line("GET /"), 400, bad_line},
      {"lower-case method", line("get / HTTP/1.1"), 400, "unknown method"},
      {"unknown method", line("BREW / HTTP/1.1"), 400, "unknown method"},
      {"RTSP", line("GET / RTSP/1.0"), 400, bad_line},
      {"lower-case version", line("GET / http/1.1"), 400, bad_line},
      {"HTTP/0.9", line("GET / HTTP/0.9"), 505, "unsupported HTTP version"},
      {"HTTP/1.2", line("GET / HTTP/1.2"), 505, "unsupported HTTP version"},
      {"HTTP/2.0", line("GET / HTTP/2.0"), 505, "unsupported HTTP version"},
      {"HTTP/11.1", line("GET / HTTP/11.1"), 400, bad_line},
      {"HTTP/1.10", line("GET / HTTP/1.10"), 400, bad_line},
      {"HTTP/1", line("GET / HTTP/1"), 400, bad_line},
      {"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP/2 preface on an HTTP/1 connection"},
      {"TLS hello", "\x16\x03\x01\x02\x00\x01\x00"s, 400, "unknown method"},
      {"LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400, inside},
      {"CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400, bad_line},
  };
}

std::vector<Row> targets() {
  return {
      {"origin form", target("/a/b?c=d&e=%20"), 0, ""},
      {"fragment", target("/a#b"), 400, "fragment in the request target"},
      {"NUL in the target", target("/a\0b"s), 400, bad_target},
      {"high byte in the target", target("/a\xff"), 400, "invalid character in the request target"},
      {"DEL in the target", target("/a\x7f"), 400, bad_target},
      {"tab in the target", target("/a\tb"), 400, "invalid character in the request target"},
      {"no leading slash", target("a"), 400, bad_target},
      {"backslash first", target("\\a"), 400, bad_target},
      {"star", line("OPTIONS * HTTP/1.1"), 0, ""},
      {"star without OPTIONS", target("*"), 400, "the target * is for OPTIONS"},
      {"star and more", line("OPTIONS *a HTTP/1.1"), 400, bad_target},
      {"absolute", target("http://b:81/c"), 0, ""},
      {"absolute without a path", target("http://b"), 0, ""},
      {"absolute, query only", target("http://b?c"), 0, ""},
      {"absolute, other scheme", target("ftp://b/"), 400, "unsupported scheme in the request target"},
      {"absolute, userinfo", target("http://u@b/"), 400, "invalid authority in the request target"},
      {"absolute, empty authority", target("http:///a"), 400, "invalid authority in the request target"},
      {"absolute, bad port", target("http://b:x/"), 400, "invalid authority in the request target"},
      {"absolute, port too large", target("http://b:65536/"), 400, "invalid authority in the request target"},
      {"absolute, one slash", target("http:/b"), 400, bad_target},
      {"CONNECT", line("CONNECT b:443 HTTP/1.1"), 0, ""},
      {"CONNECT without port", line("CONNECT b HTTP/1.1"), 400, "CONNECT needs host and port"},
      {"CONNECT with a path", line("CONNECT /b HTTP/1.1"), 400, "CONNECT needs host and port"},
      {"CONNECT with a body", "CONNECT b:443 HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\nx", 400,
       "CONNECT with a body"},
  };
}

std::vector<Row> hosts() {
  return {
      {"no host", "GET http://a/ HTTP/1.1\r\n\r\n", 400, "missing host"},
      {"two hosts", get("Host: a\r\n"), 400, "more than one host"},
      {"two hosts, other case", get("hOST: b\r\n"), 400, "more than one host"},
      {"empty host", host(""), 400, bad_host},
      {"host with a port", host(" a.b-c_d:8080"), 0, ""},
      {"host with a tab in front", host("\ta"), 0, ""},
      {"host with an empty port", host(" a:"), 400, bad_host},
      {"host with port 0", host(" a:0"), 400, bad_host},
      {"host with a port too large", host(" a:65536"), 400, bad_host},
      {"host with two ports", host(" a:80:80"), 400, bad_host},
      {"host with a signed port", host(" a:+80"), 400, bad_host},
      {"host with userinfo", host(" u@a"), 400, bad_host},
      {"host with a path", host(" a/b"), 400, bad_host},
      {"host with a space", host(" a b"), 400, bad_host},
      {"host with a comma", host(" a,b"), 400, bad_host},
      {"host with a percent", host(" a%41"), 400, bad_host},
      {"host with a question mark", host(" a?b"), 400, bad_host},
      {"host with a high byte", host(" \xc3\xa4"), 400, bad_host},
      {"IPv6 host", host(" [::1]:80"), 0, ""},
      {"IPv6 host with a zone", host(" [fe80::1%25eth0]"), 400, bad_host},
      {"IPv6 host, not closed", host(" [::1"), 400, bad_host},
      {"IPv6 host and more", host(" [::1]a"), 400, bad_host},
      {"IPv6 host without brackets", host(" ::1"), 400, bad_host},
      {"port only", host(" :80"), 400, bad_host},
  };
}

std::vector<Row> fields() {
  return {
      {"space before the colon", get("X-A : 1\r\n"), 400, bad_name},
      {"tab before the colon", get("X-A\t: 1\r\n"), 400, bad_field},
      {"space in a known name", get("Content-Length : 1\r\n"), 400, bad_field},
      {"space in front of a name", get(" X-A: 1\r\n"), 400, inside},
      {"space in front of the first name", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "space before the first field"},
      {"folded", get("X-A: 1\r\n 2\r\n"), 400, inside},
      {"folded by a tab", get("X-A: 1\r\n\t2\r\n"), 400, inside},
      {"folded, empty at first", get("X-A:\r\n 2\r\n"), 400, inside},
      {"folded transfer-encoding", get("Transfer-Encoding:\r\n chunked\r\n"), 400, inside},
      {"no colon", get("X-A\r\n"), 400, bad_field},
      {"empty name", get(": 1\r\n"), 400, "empty field name"},
      {"empty value", get("X-A:\r\nX-B: \r\n"), 0, ""},
      {"LF after a value", get("X-A: 1\n"), 400, bad_field},
      {"CR after a value", get("X-A: 1\rX-B: 2\r\n"), 400, no_crlf},
      {"CR CR LF", get("X-A: 1\r\r\n"), 400, no_crlf},
      {"CR in an empty value", get("X-A:\rX-B: 2\r\n"), 400, inside},
      {"NUL in a value", get("X-A: 1\0"s + "2\r\n"), 400, bad_field},
      {"NUL in a name", get("X\0A: 1\r\n"s), 400, bad_field},
      {"bell in a value", get("X-A: \x07\r\n"), 400, bad_field},
      {"DEL in a value", get("X-A: \x7f\r\n"), 400, bad_field},
      {"tab in a value", get("X-A: 1\t2\r\n"), 0, ""},
      {"high bytes in a value", get("X-A: \xe4\xff\r\n"), 0, ""},
      {"high byte in a name", get("X-\xe4: 1\r\n"), 400, bad_field},
      {"parenthesis in a name", get("X(A): 1\r\n"), 400, bad_field},
      {"slash in a name", get("X/A: 1\r\n"), 400, bad_field},
      {"quote in a name", get("\"X\": 1\r\n"), 400, bad_field},
      {"all token characters in a name", get("!#$%&'*+-.^_`|~1a: 1\r\n"), 0, ""},
      {"LF only at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400, no_crlf},
      {"CR and another byte at the end", "GET / HTTP/1.1\r\nHost: a\r\n\rX", 400, no_crlf},
      {"LF everywhere", "GET / HTTP/1.1\nHost: a\n\n", 400, bad_field},
      {"bad connection option", get("Connection: a b\r\n"), 400, "invalid connection option"},
      {"connection lists x-forwarded-for", get("Connection: X-Forwarded-For\r\n"), 400,
       "connection lists a field of proxies"},
  };
}

std::vector<Row> lengths() {
  return {
      {"length", post("Content-Length: 1\r\n", "x"), 0, ""},
      {"length 0", post("Content-Length: 0\r\n", ""), 0, ""},
      {"length with leading zeros", post("Content-Length: 001\r\n", "x"), 0, ""},
      {"signed length", post("Content-Length: +1\r\n", "x"), 400, bad_length},
      {"negative length", post("Content-Length: -1\r\n", "x"), 400, bad_length},
      {"empty length", post("Content-Length:\r\n", "x"), 400, bad_length},
      {"blank length", post("Content-Length: \r\n", "x"), 400, bad_length},
      {"hexadecimal length", post("Content-Length: 0x1\r\n", "x"), 400, bad_length},
      {"length with a decimal point", post("Content-Length: 1.0\r\n", "x"), 400, bad_length},
      {"list of lengths", post("Content-Length: 1, 1\r\n", "x"), 400, bad_length},
      {"length with a space inside", post("Content-Length: 1 1\r\n", "x"), 400, bad_length},
      {"overflowing length", post("Content-Length: 18446744073709551617\r\n", "x"), 400, bad_length},
      {"equal lengths", post("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), 400, two_lengths},
      {"different lengths", post("Content-Length: 1\r\nContent-Length: 2\r\n", "x"), 400, two_lengths},
      {"length and chunked", post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400,
       two_lengths},
      {"chunked and length", post("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "0\r\n\r\n"), 400,
       two_lengths},
      {"chunked", chunked("0\r\n\r\n"), 0, ""},
      {"chunked in capitals", post("TRANSFER-ENCODING: CHUNKED\r\n", "0\r\n\r\n"), 0, ""},
      {"gzip, chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 400, bad_coding},
      {"chunked, gzip", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400, bad_coding},
      {"chunked twice in one field", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400, bad_coding},
      {"chunked in two fields", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", ""), 400,
       bad_coding},
      {"identity", post("Transfer-Encoding: identity\r\n", ""), 400, bad_coding},
      {"identity, then chunked", post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", ""), 400,
       bad_coding},
      {"empty coding", post("Transfer-Encoding:\r\n", ""), 400, bad_coding},
      {"coding in quotes", post("Transfer-Encoding: \"chunked\"\r\n", ""), 400, bad_coding},
      {"coding with a parameter", post("Transfer-Encoding: chunked;a=b\r\n", ""), 400, bad_coding},
      {"coding with a comma", post("Transfer-Encoding: chunked,\r\n", ""), 400, bad_coding},
      {"coding with vertical tab", post("Transfer-Encoding: \vchunked\r\n", ""), 400, bad_field},
      {"xchunked", post("Transfer-Encoding: xchunked\r\n", ""), 400, bad_coding},
      {"connection lists the length", post("Connection: content-length\r\nContent-Length: 1\r\n", "x"), 0, ""},
  };
}

std::vector<Row> chunks() {
  return {
      {"chunks", chunked("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n"), 0, ""},
      {"leading zeros", chunked("0000001\r\nx\r\n000\r\n\r\n"), 0, ""},
      {"17 digits", chunked("00000000000000001\r\nx\r\n0\r\n\r\n"), 400, "chunk size is too large"},
      {"overflowing size", chunked("fffffffffffffffff\r\n"), 400, "chunk size is too large"},
      {"largest 64-bit size", chunked("ffffffffffffffff\r\n"), 400, "chunk size is too large"},
      {"empty size", chunked("\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"size with a prefix", chunked("0x1\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"signed size", chunked("+1\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"negative size", chunked("-1\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"space before the size", chunked(" 1\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"space after the size", chunked("1 \r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"underscore in the size", chunked("1_0\r\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"LF after the size", chunked("1\nx\r\n0\r\n\r\n"), 400, bad_size},
      {"CR and another byte after the size", chunked("1\rXx\r\n0\r\n\r\n"), 400, "chunk line does not end in CRLF"},
      {"extension", chunked("1;a=b;c=\"d e\"\r\nx\r\n0;f\r\n\r\n"), 0, ""},
      {"LF in an extension", chunked("1;a\nx\r\n0\r\n\r\n"), 400, "invalid character in a chunk extension"},
      {"CR in an extension", chunked("1;a\rb\r\nx\r\n0\r\n\r\n"), 400, "chunk line does not end in CRLF"},
      {"NUL in an extension", chunked("1;a\0b\r\nx\r\n0\r\n\r\n"s), 400, "invalid character in a chunk extension"},
      {"long extension", chunked("1;" + std::string(2000, 'a') + "\r\nx\r\n"), 400, "chunk extensions are too long"},
      {"LF after chunk data", chunked("1\r\nx\n0\r\n\r\n"), 400, "chunk data does not end in CRLF"},
      {"nothing after chunk data", chunked("1\r\nx0\r\n\r\n"), 400, "chunk data does not end in CRLF"},
      {"more data than the size", chunked("1\r\nxy\r\n0\r\n\r\n"), 400, "chunk data does not end in CRLF"},
      {"CR and another byte after data", chunked("1\r\nx\rX0\r\n\r\n"), 400, "chunk data does not end in CRLF"},
      {"LF at the end", chunked("0\r\n\n"), 400, no_crlf},
      {"CR and another byte at the end", chunked("0\r\n\rX"), 400, "chunked body does not end in CRLF"},
  };
}

std::vector<Row> trailers() {
  return {
      {"trailer", chunked("0\r\nX-T: 1\r\n\r\n"), 0, ""},
      {"folded trailer", chunked("0\r\nX-T: 1\r\n 2\r\n\r\n"), 400, inside},
      {"LF after a trailer", chunked("0\r\nX-T: 1\n\r\n"), 400, "invalid trailer field"},
      {"trailer with a space", chunked("0\r\nX T: 1\r\n\r\n"), 400, bad_name},
      {"trailer without a colon", chunked("0\r\nX\r\n\r\n"), 400, "invalid trailer field"},
      {"length in trailers", chunked("0\r\nContent-Length: 1\r\n\r\n"), 400, "framing or routing field in trailers"},
      {"coding in trailers", chunked("0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400,
       "framing or routing field in trailers"},
      {"host in trailers", chunked("0\r\nHost: b\r\n\r\n"), 400, "framing or routing field in trailers"},
  };
}

std::vector<Row> http_10() {
  return {
      {"1.0", "GET / HTTP/1.0\r\n\r\n", 0, ""},
      {"1.0 chunked", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
       "transfer-encoding in HTTP/1.0"},
      {"1.0, two hosts", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "more than one host"},
  };
}

std::string ok(const std::string& fields, const std::string& body = {}) {
  return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body;
}
std::string ok_chunked(const std::string& body) { return ok("Transfer-Encoding: chunked\r\n", body); }
std::string status(const std::string& text) { return text + "\r\nContent-Length: 0\r\n\r\n"; }

std::vector<Row> response_heads() {
  return {
      {"plain", ok("Content-Length: 1\r\n", "x"), 0, ""},
      {"no reason", status("HTTP/1.1 200 "), 0, ""},
      {"no space after the code", status("HTTP/1.1 200"), 0, ""},
      {"high bytes in the reason", status("HTTP/1.1 200 \xe4\xff"), 0, ""},
      {"unknown code", status("HTTP/1.1 599 x"), 0, ""},
      {"empty line in front", "\r\n" + ok("Content-Length: 0\r\n"), 0, inside},
      {"LF in front", "\n" + ok("Content-Length: 0\r\n"), 0, inside},
      {"two spaces before the code", status("HTTP/1.1  200 OK"), 0, "invalid status line"},
      {"code of two digits", status("HTTP/1.1 99 x"), 0, "invalid status line"},
      {"code of four digits", status("HTTP/1.1 2000 x"), 0, "invalid status line"},
      {"code 600", status("HTTP/1.1 600 x"), 0, "invalid status code"},
      {"code 000", status("HTTP/1.1 000 x"), 0, "invalid status code"},
      {"code with a sign", status("HTTP/1.1 +20 x"), 0, "invalid status line"},
      {"code with a letter", status("HTTP/1.1 20a x"), 0, "invalid status line"},
      {"HTTP/2.0", status("HTTP/2.0 200 OK"), 0, "unsupported HTTP version"},
      {"HTTP/1.2", status("HTTP/1.2 200 OK"), 0, "unsupported HTTP version"},
      {"lower-case version", status("http/1.1 200 OK"), 0, "invalid status line"},
      {"ICY", status("ICY 200 OK"), 0, "invalid status line"},
      {"NUL in the reason", status("HTTP/1.1 200 O\0K"s), 0, inside},
      {"CR in the reason", status("HTTP/1.1 200 O\rK"), 0, inside},
      {"LF after the status line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", 0, inside},
      {"a request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0, "invalid status line"},
      {"folded", ok("X-A: 1\r\n 2\r\nContent-Length: 0\r\n"), 0, inside},
      {"space before the colon", ok("X-A : 1\r\nContent-Length: 0\r\n"), 0, bad_name},
      {"space before the colon of the length", ok("Content-Length : 1\r\n", "x"), 0, bad_field},
      {"space before the first field", "HTTP/1.1 200 OK\r\n X: 1\r\n\r\n", 0, "space before the first field"},
      {"no colon", ok("X-A\r\nContent-Length: 0\r\n"), 0, bad_field},
      {"NUL in a value", ok("X-A: \0\r\n"s), 0, bad_field},
      {"LF after a value", ok("X-A: 1\nContent-Length: 0\r\n"), 0, bad_field},
      {"CR CR LF", ok("X-A: 1\r\r\nContent-Length: 0\r\n"), 0, no_crlf},
  };
}

std::vector<Row> response_framing() {
  return {
      {"equal lengths", ok("Content-Length: 1\r\nContent-Length: 1\r\n", "x"), 0, two_lengths},
      {"different lengths", ok("Content-Length: 1\r\nContent-Length: 2\r\n", "xx"), 0, two_lengths},
      {"list of lengths", ok("Content-Length: 1, 1\r\n", "x"), 0, bad_length},
      {"signed length", ok("Content-Length: +1\r\n", "x"), 0, bad_length},
      {"negative length", ok("Content-Length: -1\r\n", "x"), 0, bad_length},
      {"empty length", ok("Content-Length:\r\n", "x"), 0, bad_length},
      {"overflowing length", ok("Content-Length: 99999999999999999999\r\n", "x"), 0, bad_length},
      {"length and chunked", ok("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 0, two_lengths},
      {"chunked and length", ok("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "0\r\n\r\n"), 0, two_lengths},
      {"gzip, chunked", ok("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 0, bad_coding},
      {"gzip", ok("Transfer-Encoding: gzip\r\n", "x"), 0, bad_coding},
      {"identity", ok("Transfer-Encoding: identity\r\n", "x"), 0, bad_coding},
      {"chunked twice", ok("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 0, bad_coding},
      {"1.0 chunked", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
       "transfer-encoding in HTTP/1.0"},
      {"chunks", ok_chunked("1;a=b\r\nx\r\n0\r\n\r\n"), 0, ""},
      {"LF after the size", ok_chunked("1\nx\r\n0\r\n\r\n"), 0, bad_size},
      {"signed size", ok_chunked("+1\r\nx\r\n0\r\n\r\n"), 0, bad_size},
      {"overflowing size", ok_chunked("10000000000000000\r\n"), 0, "chunk size is too large"},
      {"LF after chunk data", ok_chunked("1\r\nx\n0\r\n\r\n"), 0, "chunk data does not end in CRLF"},
      {"length in trailers", ok_chunked("0\r\nContent-Length: 1\r\n\r\n"), 0, "framing or routing field in trailers"},
  };
}

std::vector<Row> response_statuses() {
  return {
      {"204 with chunked", "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
       "transfer-encoding in a response without body"},
      {"204 with a length", "HTTP/1.1 204 x\r\nContent-Length: 1\r\n\r\nx", 0,
       "content-length in a response without body"},
      {"204 with length 0", "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n", 0, ""},
      {"100 with a length", "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n", 0,
       "content-length in a response without body"},
      {"100 with chunked", "HTTP/1.1 100 x\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
       "transfer-encoding in a response without body"},
      {"101", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0,
       "switched to a protocol that was not asked for"},
      {"101 without upgrade", "HTTP/1.1 101 x\r\n\r\n", 0, "switched to a protocol that was not asked for"},
      {"1xx in 1.0", "HTTP/1.0 100 x\r\n\r\n" + ok(""), 0, "1xx in HTTP/1.0"},
      {"1xx flood",
       [] {
         std::string flood;
         for (int at = 0; at < 33; ++at) flood += "HTTP/1.1 102 x\r\n\r\n";
         return flood;
       }(),
       0, "too many informational responses"},
      {"1xx first", "HTTP/1.1 100 x\r\n\r\nHTTP/1.1 103 x\r\nLink: y\r\n\r\n" + ok("Content-Length: 0\r\n"), 0, ""},
      {"too many fields", ok([] {
         std::string fields;
         for (int at = 0; at < 101; ++at) fields += "a: b\r\n";
         return fields;
       }()),
       0, "too many header fields"},
      {"bad connection option", ok("Connection: a@b\r\n"), 0, "invalid connection option"},
  };
}

H1Limits limits() {
  H1Limits made;
  made.accept_http_10 = true;
  made.enable_trailers = true;
  return made;
}

void check_requests(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const H1Limits given = limits();
    for (const size_t step : {row.bytes.size(), size_t{1}}) {
      ServerEnd server(given);
      for (size_t at = 0; at < row.bytes.size(); at += step) server.feed(std::string_view(row.bytes).substr(at, step));
      if (row.status == 0) {
        EXPECT_FALSE(server.error.seen) << server.error.why.detail;
        ASSERT_EQ(server.requests.size(), 1u);
        EXPECT_TRUE(server.last().ended);
        server.answer(204);
        EXPECT_EQ(server.granted, row.bytes.size());
        continue;
      }
      ASSERT_TRUE(server.error.seen) << server.events();
      EXPECT_STREQ(server.error.why.detail, row.detail);
      EXPECT_EQ(server.error.status, row.status);
      EXPECT_EQ(server.error.why.origin, Origin::downstream);
      EXPECT_FALSE(server.codec.reusable());
      for (const auto& request : server.requests) EXPECT_TRUE(request->was_reset);
    }
  }
}

void check_responses(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    const H1Limits given = limits();
    for (const size_t step : {row.bytes.size(), size_t{1}}) {
      ClientEnd client(given);
      client.ask();
      for (size_t at = 0; at < row.bytes.size(); at += step) client.feed(std::string_view(row.bytes).substr(at, step));
      if (*row.detail == '\0') {
        EXPECT_FALSE(client.error.seen) << client.error.why.detail;
        EXPECT_TRUE(client.response->ended);
        EXPECT_TRUE(client.codec.reusable());
        EXPECT_EQ(client.idles, 1);
        EXPECT_EQ(client.granted, row.bytes.size());
        continue;
      }
      ASSERT_TRUE(client.error.seen) << client.events();
      EXPECT_STREQ(client.error.why.detail, row.detail);
      EXPECT_EQ(client.error.status, 0);
      EXPECT_TRUE(client.response->was_reset);
      EXPECT_FALSE(client.response->ended);
      EXPECT_FALSE(client.codec.reusable());
    }
  }
}

TEST(H1Hostile, RequestLines) { check_requests(request_lines()); }
TEST(H1Hostile, Targets) { check_requests(targets()); }
TEST(H1Hostile, Hosts) { check_requests(hosts()); }
TEST(H1Hostile, Fields) { check_requests(fields()); }
TEST(H1Hostile, Lengths) { check_requests(lengths()); }
TEST(H1Hostile, Chunks) { check_requests(chunks()); }
TEST(H1Hostile, Trailers) { check_requests(trailers()); }
TEST(H1Hostile, Http10) { check_requests(http_10()); }
TEST(H1Hostile, ResponseHeads) { check_responses(response_heads()); }
TEST(H1Hostile, ResponseFraming) { check_responses(response_framing()); }
TEST(H1Hostile, ResponseStatuses) { check_responses(response_statuses()); }

// --- limits ----------------------------------------------------------------------------------------------------------------

ServerEnd& fed(ServerEnd& server, std::string_view bytes) {
  server.feed(bytes);
  return server;
}

TEST(H1Hostile, HeaderBytes) {
  H1Limits given = limits();
  given.header_bytes_max = 1000;
  const std::string front = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto request_of = [&](size_t size) { return front + std::string(size - front.size() - 4, 'x') + "\r\n\r\n"; };
  ServerEnd fits(given);
  EXPECT_FALSE(fed(fits, request_of(1000)).error.seen);
  ServerEnd above(given);
  fed(above, request_of(1001));
  EXPECT_EQ(above.error.status, 431);
  EXPECT_EQ(above.error.why.code, ErrorCode::too_large);
  ServerEnd slow(given);
  for (const char c : request_of(1001)) slow.feed(std::string_view(&c, 1));
  EXPECT_EQ(slow.error.status, 431);
  ServerEnd target_too_long(given);
  fed(target_too_long, "GET /" + std::string(2000, 'a'));
  EXPECT_EQ(target_too_long.error.status, 414);
}

TEST(H1Hostile, HeaderCount) {
  H1Limits given = limits();
  given.header_count_max = 3;
  ServerEnd fits(given);
  EXPECT_FALSE(fed(fits, get("a: 1\r\nb: 2\r\n")).error.seen);
  ServerEnd above(given);
  EXPECT_EQ(fed(above, get("a: 1\r\nb: 2\r\nc: 3\r\n")).error.status, 431);
}

TEST(H1Hostile, LongName) {
  ServerEnd server(limits());
  EXPECT_EQ(fed(server, get(std::string(9000, 'n') + ": 1\r\n")).error.status, 431);
}

TEST(H1Hostile, TrailerLimits) {
  H1Limits given = limits();
  given.header_bytes_max = 100;
  ServerEnd server(given);
  fed(server, chunked("0\r\nX: " + std::string(200, 'x') + "\r\n\r\n"));
  EXPECT_STREQ(server.error.why.detail, "trailers are too large");
  EXPECT_EQ(server.error.status, 431);
}

TEST(H1Hostile, ExtensionsOfOneBody) {
  ServerEnd server(limits());
  std::string body;
  for (int at = 0; at < 20; ++at) body += "1;" + std::string(1000, 'a') + "\r\nx\r\n";
  EXPECT_STREQ(fed(server, chunked(body)).error.why.detail, "chunk extensions are too long");
}

TEST(H1Hostile, ConnectionOptions) {
  ServerEnd server(limits());
  std::string options = "a";
  for (int at = 0; at < 40; ++at) options += ",a";
  EXPECT_STREQ(fed(server, get("Connection: " + options + "\r\n")).error.why.detail, "too many connection options");
}

TEST(H1Hostile, Underscores) {
  H1Limits given = limits();
  given.underscore = H1Underscore::reject;
  ServerEnd rejects(given);
  EXPECT_EQ(fed(rejects, get("a_b: 1\r\n")).error.status, 400);
  given.underscore = H1Underscore::drop;
  ServerEnd drops(given);
  EXPECT_EQ(fed(drops, get("a_b: 1\r\na-b: 2\r\n")).events(), "head [GET] [] [a] [/] 1.1 {a-b=2;} END\n");
}

TEST(H1Hostile, Version10Refused) {
  H1Limits given;
  ServerEnd server(given);
  EXPECT_EQ(fed(server, "GET / HTTP/1.0\r\n\r\n").error.status, 426);
}

TEST(H1Hostile, AbsoluteTargetRefused) {
  H1Limits given;
  given.allow_absolute_url = false;
  ServerEnd server(given);
  EXPECT_EQ(fed(server, "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n").error.status, 400);
}

TEST(H1Hostile, NothingIsParsedAfterAnError) {
  ServerEnd server(limits());
  server.feed("GET / HTTP/1.1\r\nHost\r\n\r\n" + get(""));
  server.feed(get(""));
  EXPECT_EQ(server.requests.size(), 0u);
  EXPECT_EQ(server.codec.held_bytes(), 0u);
}

}  // namespace
}  // namespace ringside::h1_test
