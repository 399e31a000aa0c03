#include "codecs/websocket/ws_handshake.h"

#include <gtest/gtest.h>

#include <string>

#include "codecs/base64.h"

namespace ringside {
namespace {

TEST(WsHandshake, AcceptIsThatOfTheStandardsExample) {
  EXPECT_EQ(ws_accept_of("dGhlIHNhbXBsZSBub25jZQ==").text(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(ws_accept_of("x3JJHMbDL1EzLkh9GBhXDw==").text(), "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
}

TEST(WsHandshake, AnOverlongKeyIsHarmless) {
  EXPECT_EQ(ws_accept_of(std::string(1000, 'a')).text(), ws_accept_of(std::string(92, 'a')).text());
}

TEST(WsHandshake, KeyHoldsTheRandomBits) {
  const WsKey key = make_ws_key(0x0706050403020100, 0x0f0e0d0c0b0a0908);
  EXPECT_EQ(key.text(), "AAECAwQFBgcICQoLDA0ODw==");
  EXPECT_TRUE(is_ws_key(key.text()));
  EXPECT_NE(make_ws_key(1, 2).text(), make_ws_key(2, 1).text());
}

TEST(WsHandshake, KeysAreSixteenBytes) {
  EXPECT_TRUE(is_ws_key("dGhlIHNhbXBsZSBub25jZQ=="));
  EXPECT_FALSE(is_ws_key(""));
  EXPECT_FALSE(is_ws_key("dGhlIHNhbXBsZSBub25jZQ"));        // no padding
  EXPECT_FALSE(is_ws_key("dGhlIHNhbXBsZSBub25jZSE="));      // 17 bytes
  EXPECT_FALSE(is_ws_key("dGhlIHNhbXBsZSBub25jZSEh"));      // 18 bytes
  EXPECT_FALSE(is_ws_key("dGhlIHNhbXBsZSBu b25jZQ="));      // a blank
  EXPECT_FALSE(is_ws_key("dGhlIHNhbXBsZSBub25jZQ==AAAA"));  // more after the padding
  EXPECT_FALSE(is_ws_key("===="));
}

TEST(WsHandshake, ListsSkipWhatIsEmpty) {
  std::string_view list = " chat ,, superchat\t,";
  std::string_view item;
  ASSERT_TRUE(take_ws_item(list, item));
  EXPECT_EQ(item, "chat");
  ASSERT_TRUE(take_ws_item(list, item));
  EXPECT_EQ(item, "superchat");
  EXPECT_FALSE(take_ws_item(list, item));
}

TEST(WsHandshake, ProtocolsAreTokens) {
  EXPECT_TRUE(is_ws_protocol_list("chat, v12.stomp"));
  EXPECT_FALSE(is_ws_protocol_list(""));
  EXPECT_FALSE(is_ws_protocol_list(" , "));
  EXPECT_FALSE(is_ws_protocol_list("chat, a b"));
  EXPECT_FALSE(is_ws_protocol_list("chat, \"a\""));
  EXPECT_TRUE(has_ws_protocol("chat, v12.stomp", "v12.stomp"));
  EXPECT_FALSE(has_ws_protocol("chat, v12.stomp", "Chat"));
  EXPECT_FALSE(has_ws_protocol("chat, v12.stomp", "v12"));
}

TEST(WsHandshake, ExtensionsAreRecognized) {
  EXPECT_FALSE(read_ws_extensions("").any());
  const WsExtensions plain = read_ws_extensions("permessage-deflate");
  EXPECT_TRUE(plain.valid && plain.deflate && !plain.other);
  const WsExtensions full = read_ws_extensions("Permessage-Deflate; server_no_context_takeover; client_max_window_bits = \"10\"");
  EXPECT_TRUE(full.valid && full.deflate && !full.other);
  const WsExtensions two = read_ws_extensions("x-webkit-deflate-frame , permessage-deflate;client_max_window_bits=15");
  EXPECT_TRUE(two.valid && two.deflate && two.other);
}

TEST(WsHandshake, BrokenExtensionsAreInvalid) {
  for (const char* text : {"a b", "permessage-deflate; =1", "permessage-deflate;; x", "permessage-deflate; a=\"b, c\"", "; x",
                           "permessage-deflate; a=", "permessage-deflate; a=\"b", "permessage-deflate; a=\"\\"}) {
    EXPECT_FALSE(read_ws_extensions(text).valid) << text;
  }
}

}  // namespace
}  // namespace ringside
