#pragma once
// Text that must not stay in memory: a private key, a password. Wiped when it is let go, and never printed by anything.
#include <string>
#include <string_view>

namespace ringside {

class SecretText {
 public:
  SecretText() = default;
  // Takes a copy; whoever owns `text` wipes it.
  explicit SecretText(std::string_view text);
  // Takes `text` over and leaves no bytes of it behind.
  static SecretText take(std::string& text);
  SecretText(const SecretText& other);
  SecretText(SecretText&& other) noexcept;
  SecretText& operator=(SecretText other) noexcept;
  ~SecretText();

  bool empty() const { return text_.empty(); }
  std::string_view reveal() const { return text_; }

 private:
  std::string text_;
};

// Overwrites the bytes of `text` in a way that the compiler keeps, and empties it.
void wipe(std::string& text);

}  // namespace ringside
