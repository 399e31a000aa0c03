#pragma once
// Files that belong to a configuration.
#include <expected>
#include <string>

namespace ringside {

// Whole content, or what is wrong. Also reads pipes; never more than `bytes_max`.
std::expected<std::string, std::string> read_config_file(const std::string& path, size_t bytes_max);

}  // namespace ringside
