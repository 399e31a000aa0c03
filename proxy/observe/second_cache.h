#pragma once
// Text of the wall clock's second, kept so that neither a log line nor a `date` field costs calendar arithmetic.
#include <cstdint>
#include <string_view>

#include "core/time.h"

namespace ringside {

// A point of time in the calendar, UTC.
struct CivilTime {
  int32_t year = 1970;
  uint32_t month = 1, day = 1;  // from 1
  uint32_t hour = 0, minute = 0, second = 0;
  uint32_t weekday = 4;   // 0 is Sunday
  uint32_t year_day = 0;  // from 0
  static CivilTime from(int64_t unix_second);
};

// One per worker.
class SecondCache {
 public:
  // "2024-03-01T12:34:56". Valid until the next call, as the others.
  std::string_view iso(WallTime now) {
    refresh(now);
    return {iso_, sizeof iso_};
  }
  // "Fri, 01 Mar 2024 12:34:56 GMT" (RFC 9110 5.6.7).
  std::string_view http_date(WallTime now) {
    refresh(now);
    return {http_date_, sizeof http_date_};
  }
  const CivilTime& civil(WallTime now) {
    refresh(now);
    return civil_;
  }

 private:
  void refresh(WallTime now) {
    const int64_t second = std::chrono::floor<seconds>(now).time_since_epoch().count();
    if (second != second_) [[unlikely]]
      fill(second);
  }
  void fill(int64_t second);

  int64_t second_ = INT64_MIN;
  CivilTime civil_;
  char iso_[19] = {};
  char http_date_[29] = {};
};

}  // namespace ringside
