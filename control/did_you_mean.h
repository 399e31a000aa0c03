#pragma once
// The known name closest to what somebody wrote.
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringside {

// The candidate with the fewest changed, missing, surplus or swapped letters, when these are few (at most four, and a third of
// its length); earlier candidates win a tie. Otherwise the only one that begins or ends with the whole word that was written.
// Case and "-" against "_" do not count.
std::optional<std::string> closest_name(std::string_view written, const std::vector<std::string>& candidates);

// `, did you mean "x"?` or nothing.
std::string did_you_mean(std::string_view written, const std::vector<std::string>& candidates);

}  // namespace ringside
