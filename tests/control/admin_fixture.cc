#include "tests/control/admin_fixture.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "core/log.h"

namespace ringside {

HttpReply take_reply(std::string& bytes, bool head_only) {
  HttpReply reply;
  const size_t head_end = bytes.find("\r\n\r\n");
  if (head_end == std::string::npos) return reply;
  reply.status = std::atoi(bytes.c_str() + 9);
  std::istringstream head(bytes.substr(0, head_end));
  std::string line;
  std::getline(head, line);
  while (std::getline(head, line)) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const size_t colon = line.find(": ");
    reply.fields[line.substr(0, colon)] = line.substr(colon + 2);
  }
  size_t at = head_end + 4;
  if (!head_only && reply.fields.contains("content-length")) {
    const size_t size = std::stoul(reply.fields["content-length"]);
    if (bytes.size() - at < size) return reply;
    reply.body = bytes.substr(at, size);
    at += size;
  } else if (!head_only && reply.fields["transfer-encoding"] == "chunked") {
    while (true) {
      const size_t line_end = bytes.find("\r\n", at);
      if (line_end == std::string::npos) return reply;
      const size_t size = std::stoul(bytes.substr(at, line_end - at), nullptr, 16);
      if (bytes.size() < line_end + 2 + size + 2) return reply;
      reply.body += bytes.substr(line_end + 2, size);
      at = line_end + 2 + size + 2;
      if (size == 0) break;
    }
  }
  bytes.erase(0, at);
  reply.whole = true;
  return reply;
}

AdminTest::AdminTest() {
  log_set_level(LogLevel::error);
  start(*Address::from_ip("127.0.0.1", 0));
}

AdminTest::~AdminTest() {
  for (const auto& [client, rest] : received_) ::close(client);
  server_.close();
  EXPECT_TRUE(run_until([&] { return server_.quiet(); }));
  worker_->turn(Duration::zero());
}

void AdminTest::start(const Address& address) {
  const auto started = server_.start(address);
  ASSERT_TRUE(started.has_value()) << started.error();
}

int AdminTest::connect_client() {
  const Address& address = server_.address();
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  RS_CHECK(connect(fd, address.data(), address.size()) == 0);  // the kernel's queue takes it
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  received_[fd];
  return fd;
}

void AdminTest::send_text(int client, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(client, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent > 0)
      text.remove_prefix(static_cast<size_t>(sent));
    else if (errno == EAGAIN)
      worker_->turn(milliseconds(1));
    else
      return;
  }
}

bool AdminTest::receive_more(int client) {
  char bytes[65536];
  ssize_t got = 0;
  while ((got = recv(client, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
    received_[client].append(bytes, static_cast<size_t>(got));
  return got < 0 && errno == EAGAIN;
}

HttpReply AdminTest::receive_reply(int client, bool head_only) {
  HttpReply reply;
  run_until([&] {
    const bool open = receive_more(client);
    const std::string& bytes = received_[client];
    // Parsing a chunked reply from its beginning with each piece would take for ever.
    if (open && bytes.size() > 100'000 && !bytes.ends_with("\r\n0\r\n\r\n")) return false;
    reply = take_reply(received_[client], head_only);
    return reply.whole || !open;
  });
  return reply;
}

std::string AdminTest::receive_to_end(int client, Duration at_most) {
  EXPECT_TRUE(run_until([&] { return !receive_more(client); }, at_most)) << "the server did not close the connection";
  return std::exchange(received_[client], {});
}

HttpReply AdminTest::request(const std::string& method, const std::string& target, const std::string& fields) {
  const int client = connect_client();
  send_text(client, method + " " + target + " HTTP/1.1\r\nhost: 127.0.0.1:9901\r\n" + fields + "\r\n");
  HttpReply reply = receive_reply(client, method == "HEAD");
  EXPECT_TRUE(reply.whole) << method << " " << target;
  ::close(client);
  received_.erase(client);
  return reply;
}

std::string AdminTest::golden(const std::string& name) {
  std::ifstream file(std::string(RINGSIDE_SOURCE_DIR) + "/tests/golden/" + name);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace ringside
