#include "core/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstring>

namespace ringside {
namespace {

Address ip(std::string_view text, uint16_t port = 0) {
  const auto address = Address::from_ip(text, port);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(Address());
}

TEST(AddressTest, WritesWhatItRead) {
  EXPECT_EQ(ip("0.0.0.0", 0).text(), "0.0.0.0:0");
  EXPECT_EQ(ip("255.254.10.9", 65535).text(), "255.254.10.9:65535");
  EXPECT_EQ(ip("127.0.0.1", 80).ip_text(), "127.0.0.1");
  EXPECT_EQ(ip("::1", 80).text(), "[::1]:80");
  EXPECT_EQ(ip("[2001:DB8::0:1]", 443).text(), "[2001:db8::1]:443");
  EXPECT_EQ(ip("::ffff:1.2.3.4").ip_text(), "::ffff:1.2.3.4");
}

TEST(AddressTest, Ipv4TextEqualsTheSystemsForEveryByte) {
  for (uint32_t byte = 0; byte < 256; ++byte) {
    in_addr raw{};
    raw.s_addr = htonl(byte << 24 | (255 - byte) << 16 | (byte ^ 0x55) << 8 | byte);
    char expected[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &raw, expected, sizeof expected);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr = raw;
    const Address address = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&from), sizeof from);
    EXPECT_EQ(address.ip_text(), expected);
    EXPECT_EQ(ip(expected), address);
  }
}

TEST(AddressTest, RefusesWhatIsNoLiteral) {
  for (const char* text : {"",
                           "1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "1.2.3.256",
                           "01.2.3.4",
                           "1.2.3.04",
                           "0x1.2.3.4",
                           "1.2.3.4 ",
                           " 1.2.3.4",
                           "1..2.3",
                           "1.2.3.",
                           "+1.2.3.4",
                           "1.2.3.4:80",
                           "[1.2.3.4]",
                           "[::1",
                           "::1]",
                           "[]",
                           ":::",
                           "1:2:3:4:5:6:7:8:9",
                           "fe80::1%eth0",
                           "::1%",
                           "host",
                           "99999999999.1.1.1"})
    EXPECT_FALSE(Address::from_ip(text, 0).has_value()) << text;
  EXPECT_FALSE(Address::from_ip(std::string_view("::1\0x", 5), 0).has_value());
  EXPECT_FALSE(Address::from_ip(std::string(1000, ':'), 0).has_value());
}

TEST(AddressTest, TellsKindsOfAddresses) {
  for (const char* text : {"10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1",
                           "127.8.8.8", "::1", "fc00::1", "fdff::1"})
    EXPECT_TRUE(ip(text).is_internal()) << text;
  for (const char* text : {"9.255.255.255", "11.0.0.1", "172.15.255.255", "172.32.0.1", "192.167.1.1", "192.169.0.1",
                           "128.0.0.1", "8.8.8.8", "::2", "fe00::1", "fb00::1", "2001:db8::1"})
    EXPECT_FALSE(ip(text).is_internal()) << text;
  EXPECT_TRUE(ip("0.0.0.0").is_wildcard());
  EXPECT_TRUE(ip("::").is_wildcard());
  EXPECT_FALSE(ip("::1").is_wildcard());
  EXPECT_FALSE(Address().is_ip());
  EXPECT_TRUE(Address().empty());
  EXPECT_EQ(Address().text(), "");
}

TEST(AddressTest, IsWithinARange) {
  EXPECT_TRUE(ip("10.1.2.3").is_within(ip("10.0.0.0"), 8));
  EXPECT_FALSE(ip("11.1.2.3").is_within(ip("10.0.0.0"), 8));
  EXPECT_TRUE(ip("192.168.129.1").is_within(ip("192.168.128.0"), 17));
  EXPECT_FALSE(ip("192.168.127.1").is_within(ip("192.168.128.0"), 17));
  EXPECT_TRUE(ip("1.2.3.4").is_within(ip("0.0.0.0"), 0));
  EXPECT_TRUE(ip("1.2.3.4").is_within(ip("1.2.3.4"), 32));
  EXPECT_FALSE(ip("1.2.3.5").is_within(ip("1.2.3.4"), 32));
  EXPECT_TRUE(ip("1.2.3.4").is_within(ip("1.2.3.4"), 4000)) << "more bits than there are";
  EXPECT_TRUE(ip("2001:db8::5").is_within(ip("2001:db8::"), 64));
  EXPECT_FALSE(ip("2001:db9::5").is_within(ip("2001:db8::"), 32));
  EXPECT_FALSE(ip("::1").is_within(ip("0.0.0.0"), 0)) << "another family";
  EXPECT_FALSE(Address().is_within(Address(), 0));
}

TEST(AddressTest, UnixPaths) {
  const Address file = Address::from_path("/tmp/socket").value();
  EXPECT_EQ(file.text(), "/tmp/socket");
  EXPECT_EQ(file.ip_text(), "");
  EXPECT_EQ(file.port(), 0);
  EXPECT_EQ(file.size(), offsetof(sockaddr_un, sun_path) + 12);
  const Address abstract = Address::from_path("@name").value();
  EXPECT_EQ(abstract.text(), "@name");
  EXPECT_EQ(abstract.size(), offsetof(sockaddr_un, sun_path) + 5);
  EXPECT_NE(file, abstract);
  EXPECT_EQ(file, Address::from_path("/tmp/socket").value());

  constexpr size_t room = sizeof(sockaddr_un::sun_path);
  EXPECT_FALSE(Address::from_path("").has_value());
  EXPECT_FALSE(Address::from_path(std::string(room, 'x')).has_value());
  EXPECT_EQ(Address::from_path(std::string(room - 1, 'x'))->text(), std::string(room - 1, 'x'));
  EXPECT_EQ(Address::from_path('@' + std::string(room - 1, 'x'))->text(), '@' + std::string(room - 1, 'x'));
  EXPECT_FALSE(Address::from_path(std::string_view("/a\0b", 4)).has_value());
}

TEST(AddressTest, FromTheKernel) {
  sockaddr_un unnamed{};
  unnamed.sun_family = AF_UNIX;
  const auto* raw = reinterpret_cast<const sockaddr*>(&unnamed);
  EXPECT_EQ(Address::from_sockaddr(raw, sizeof(sa_family_t)).text(), "");
  EXPECT_TRUE(Address::from_sockaddr(raw, 0).empty());
  // A path that fills the kernel's buffer has no NUL.
  std::memset(unnamed.sun_path, 'x', sizeof unnamed.sun_path);
  EXPECT_EQ(Address::from_sockaddr(raw, sizeof unnamed).text(), std::string(sizeof unnamed.sun_path, 'x'));
}

TEST(AddressTest, EqualityIgnoresPadding) {
  sockaddr_in one{}, two{};
  one.sin_family = two.sin_family = AF_INET;
  one.sin_addr.s_addr = two.sin_addr.s_addr = htonl(0x01020304);
  std::memset(two.sin_zero, 7, sizeof two.sin_zero);
  EXPECT_EQ(Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&one), sizeof one),
            Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&two), sizeof two));
  Address other = ip("1.2.3.4");
  other.set_port(5);
  EXPECT_NE(other, ip("1.2.3.4"));
  EXPECT_NE(ip("::ffff:1.2.3.4"), ip("1.2.3.4"));
}

}  // namespace
}  // namespace ringside
